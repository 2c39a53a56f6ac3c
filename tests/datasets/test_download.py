"""Downloads from a server that truncates, corrupts, stalls, refuses and ignores Range."""

import hashlib
import io
import socket
import sys
import threading

import pytest

from pushforward.core.errors import InputError
from pushforward.datasets import download
from pushforward.datasets.catalogue import Entry, RemoteFile
from pushforward.datasets.download import Patience, find_files
from tests.datasets.server import CONTENTS, serve

SHA = hashlib.sha256(CONTENTS).hexdigest()
HASTY = Patience(stall=0.3, tries=3, pause=0.01)


@pytest.fixture
def places(tmp_path, monkeypatch):
    """An empty cache and no PUSHFORWARD_DATA."""
    monkeypatch.setenv("PUSHFORWARD_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PUSHFORWARD_DATA", raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def entry(*addresses: str) -> Entry:
    return Entry("set", "a set", "text", "folder", (RemoteFile("file.bin", SHA, addresses),))


def visible(places) -> list[str]:
    """Files in the cache but for locks."""
    return sorted(path.name for path in places.glob("cache/folder/*") if not path.name.endswith(".lock"))


def fetch(*addresses: str) -> bytes:
    return find_files(entry(*addresses), HASTY)["file.bin"].read_bytes()


def test_downloads_once(places):
    with serve("whole") as (address, plan):
        assert fetch(address) == CONTENTS and fetch(address) == CONTENTS
    assert plan.asked == [None] and visible(places) == ["file.bin"]


@pytest.mark.parametrize("trouble", ["cut", "stall"])
def test_goes_on_where_it_broke_off(places, trouble):
    with serve(trouble, trouble, "whole") as (address, plan):
        assert fetch(address) == CONTENTS
    half = len(CONTENTS) // 2
    assert plan.asked == [None, f"bytes={half}-", f"bytes={half + half // 2}-"]


def test_goes_on_in_another_process(places):
    with serve("cut") as (address, _), pytest.raises(InputError, match="the connection ended after"):
        fetch(address)
    assert visible(places) == [".file.bin.partial"]
    with serve("whole") as (address, plan):
        assert fetch(address) == CONTENTS
    assert plan.asked[0].startswith("bytes=") and visible(places) == ["file.bin"]


def test_a_server_that_ignores_range_starts_over(places):
    with serve("cut", "deaf") as (address, plan):
        assert fetch(address) == CONTENTS
    assert len(plan.asked) == 2


def test_a_partial_file_that_is_too_long_is_dropped(places):
    (places / "cache" / "folder").mkdir(parents=True)
    (places / "cache" / "folder" / ".file.bin.partial").write_bytes(CONTENTS + b"more")
    with serve("416", "whole") as (address, plan):
        assert fetch(address) == CONTENTS
    assert plan.asked[1] is None


def test_a_partial_file_that_is_wrong_is_dropped(places):
    (places / "cache" / "folder").mkdir(parents=True)
    (places / "cache" / "folder" / ".file.bin.partial").write_bytes(bytes(100))
    with serve("whole") as (address, plan):
        assert fetch(address) == CONTENTS
    assert plan.asked == ["bytes=100-", None]


def test_wrong_contents_are_deleted(places):
    with serve("wrong") as (address, plan), pytest.raises(InputError, match=r"has SHA-256 .* so it was deleted"):
        fetch(address)
    assert visible(places) == [] and len(plan.asked) == 1


def test_refusals_are_not_repeated_but_overload_is(places):
    with serve("404") as (address, plan), pytest.raises(InputError, match="the server answered 404"):
        fetch(address)
    assert len(plan.asked) == 1
    with serve("503", "503", "whole") as (address, plan):
        assert fetch(address) == CONTENTS


def test_stalling_for_good(places):
    with serve("stall") as (address, _), pytest.raises(InputError, match="the server stalled"):
        fetch(address)


def test_the_second_address_is_tried(places):
    with serve("404") as (first, _), serve("whole") as (second, _):
        assert fetch(first, second) == CONTENTS


def test_offline_names_the_three_places(places):
    with socket.socket() as free:  # a port that nothing listens on
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/"
        with pytest.raises(InputError) as error:
            fetch(address)
    message = str(error.value)
    for place in ("PUSHFORWARD_DATA (not set)", str(places / "cache" / "folder"), address):
        assert place in message
    assert "\n" not in message


def test_own_files_come_first_and_are_checked(places, monkeypatch):
    (places / "own" / "folder").mkdir(parents=True)
    monkeypatch.setenv("PUSHFORWARD_DATA", str(places / "own"))
    path = places / "own" / "folder" / "file.bin"
    path.write_bytes(CONTENTS)
    assert find_files(entry("http://127.0.0.1:9/"), HASTY)["file.bin"] == path
    path.write_bytes(CONTENTS + b"!")
    with pytest.raises(InputError, match=rf"{path}: has SHA-256 .*, expected {SHA[:12]}"):
        find_files(entry("http://127.0.0.1:9/"), HASTY)
    path.unlink()
    with serve("whole") as (address, _):
        assert fetch(address) == CONTENTS


def test_a_cached_file_that_changed_is_fetched_again(places):
    with serve("whole") as (address, plan):
        fetch(address)
        (places / "cache" / "folder" / "file.bin").write_bytes(b"spoilt")
        assert fetch(address) == CONTENTS
    assert len(plan.asked) == 2


def test_two_at_once_download_once(places):
    with serve("whole") as (address, plan):
        threads = [threading.Thread(target=fetch, args=(address,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(plan.asked) == 1 and visible(places) == ["file.bin"]


def test_a_full_disk_and_a_place_that_cannot_be_written(places, monkeypatch):
    (places / "blocked").write_text("a file")
    monkeypatch.setenv("PUSHFORWARD_CACHE", str(places / "blocked"))
    with serve("whole") as (address, _), pytest.raises(InputError, match="cannot be written"):
        fetch(address)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setenv("PUSHFORWARD_CACHE", str(places / "cache"))
    monkeypatch.setattr(download.os, "replace", full)
    with serve("whole") as (address, _), pytest.raises(InputError, match="No space left on device"):
        fetch(address)


def test_a_progress_bar_only_on_a_terminal(places, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for terminal in (False, True):
        stream = Terminal() if terminal else io.StringIO()
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("PUSHFORWARD_CACHE", str(places / f"cache{terminal}"))
        with serve("whole") as (address, _):
            fetch(address)
        assert ("file.bin" in stream.getvalue()) == terminal
