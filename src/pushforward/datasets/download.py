"""Files of named data sets: where they are, or else fetched from their home, whole and checked.

Looked for in the folder ``PUSHFORWARD_DATA``, then in the cache, then downloaded into the cache: a part that came
before is continued (HTTP ``Range``), the SHA-256 of the whole is checked, and only then is it moved to its name.
Several processes that want one file download it once.
"""

import contextlib
import hashlib
import http.client
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pushforward.core.errors import InputError
from pushforward.datasets.catalogue import Entry, RemoteFile
from pushforward.datasets.places import cache_folder, data_folder

__all__ = ["Patience", "find_files"]

#: Bytes read at a time at most: the progress bar moves, and the file grows, in pieces of this size.
PIECE = 2**16


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server.

    Args:
        stall: seconds without a byte after which a connection is given up.
        tries: how often a file is asked for.
        pause: seconds before the second try, doubled for each one after.
    """

    stall: float = 30.0
    tries: int = 4
    pause: float = 1.0


def find_files(entry: Entry, patience: Patience | None = None) -> dict[str, Path]:
    """The files of a named data set, by their names.

    Args:
        entry: the data set.
        patience: how long to wait for a server.

    Raises:
        InputError: if one is found with other contents than it should have, or can be had nowhere.
    """
    given = data_folder()
    cache = cache_folder() / entry.folder
    found = {}
    for file in entry.files:
        own = None if given is None else given / entry.folder / file.name
        kept = cache / file.name
        if own is not None and own.is_file():
            _check(own, file)
            found[file.name] = own
            continue
        # What the cache holds was checked when it was put there; if it has changed since, it is fetched again.
        if not kept.is_file() or _sha256(kept) != file.sha256:
            _fetch(entry, file, kept, patience or Patience())
        found[file.name] = kept
    return found


class _Broken(Exception):
    """One try failed; ``worth`` says whether another may do better."""

    def __init__(self, reason: str, *, status: int = 0, worth: bool = True) -> None:
        super().__init__(reason)
        self.status, self.worth = status, worth


def _fetch(entry: Entry, file: RemoteFile, target: Path, patience: Patience) -> None:
    """Download a file into the cache, from the first address that has it."""
    reason = "no server has it"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(target):
            if target.is_file() and _sha256(target) == file.sha256:
                return  # another process was quicker
            for address in file.addresses:
                try:
                    return _persist(address + file.name, file, target, patience)
                except _Broken as error:
                    reason = f"{address}{file.name} failed: {error}"
    except OSError as error:
        raise InputError(
            f"{entry.name}: {target} cannot be written ({error.strerror}), expected a writable place with room "
            "(PUSHFORWARD_CACHE names another)"
        ) from None
    raise InputError(
        f"{entry.name}: {file.name} is neither in PUSHFORWARD_DATA ({os.environ.get('PUSHFORWARD_DATA') or 'not set'}) "
        f"nor in the cache ({target.parent}) nor to be downloaded ({reason})"
    )


def _persist(address: str, file: RemoteFile, target: Path, patience: Patience) -> None:
    """Ask one address for a file until it is whole, or patience ends."""
    partial = target.with_name(f".{target.name}.partial")
    for attempt in range(patience.tries):
        resumed = partial.exists()
        try:
            with _progress(file.name) as advance:
                _continue(address, partial, patience.stall, advance)
            came = _sha256(partial)
            if came == file.sha256:
                return os.replace(partial, target)
            partial.unlink()
            # The fault may lie in the part that was there before: then once more, from the start.
            wrong = f"what came has SHA-256 {came[:12]}... and not {file.sha256[:12]}..., so it was deleted"
            raise _Broken(wrong, worth=resumed)
        except _Broken as error:
            if error.status == 416:  # the part is as long as the whole file, or longer: begin again
                partial.unlink(missing_ok=True)
            elif not error.worth:
                raise
            if attempt == patience.tries - 1:
                raise
            time.sleep(patience.pause * 2**attempt)


def _continue(address: str, partial: Path, stall: float, advance: Callable[[int, int | None], None]) -> None:
    """One try: append what is still missing to the partial file."""
    have = partial.stat().st_size if partial.exists() else 0
    headers = {"User-Agent": "pushforward", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with _asked():
        answer = urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=stall)
    with answer:
        # 206 continues where we asked it to; anything else is the whole file, from its start.
        continues = answer.status == 206 and answer.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        have = have if continues else 0
        size = answer.headers.get("Content-Length")
        total = None if size is None else have + int(size)
        with open(partial, "ab" if continues else "wb") as out:
            while True:
                advance(have, total)
                with _asked():
                    piece = answer.read1(PIECE)  # what is there, so that a stall loses nothing
                if not piece:
                    break
                out.write(piece)
                have += len(piece)
    if total is not None and have < total:
        raise _Broken(f"the connection ended after {have:,} of {total:,} bytes")


@contextlib.contextmanager
def _asked() -> Iterator[None]:
    """What goes wrong with a server is a broken try; what goes wrong with the disk is not caught here."""
    try:
        yield
    except urllib.error.HTTPError as error:
        passing = error.code in (408, 429) or error.code >= 500
        raise _Broken(f"the server answered {error.code} {error.reason}", status=error.code, worth=passing) from None
    except (OSError, http.client.HTTPException, ValueError) as error:  # URLError, TLS and time-outs are OSErrors
        raise _Broken(_reason(error)) from None


def _reason(error: Exception) -> str:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return "the server stalled"
    text = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
    return text or type(cause).__name__


def _check(path: Path, file: RemoteFile) -> None:
    came = _sha256(path)
    if came != file.sha256:
        raise InputError(f"{path}: has SHA-256 {came[:12]}..., expected {file.sha256[:12]}... as the original has")


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Hold a file's lock, where the system has such locks (not on Windows), so that two downloads do not interleave."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with open(target.with_name(f".{target.name}.lock"), "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _progress(name: str) -> Iterator[Callable[[int, int | None], None]]:
    """A progress bar on standard error if that is a terminal, nothing otherwise."""
    if not sys.stderr.isatty():
        yield lambda have, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda have, total: bar.update(task, completed=have, total=total)
