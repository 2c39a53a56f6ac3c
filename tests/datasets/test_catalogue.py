"""The list of data sets: complete, honest about where things are, and cheap."""

import subprocess
import sys

import pytest

from pushforward.core.errors import InputError
from pushforward.datasets.catalogue import ENTRIES, datasets_available
from pushforward.datasets.places import cache_folder, data_folder
from pushforward.datasets.toys import TOYS


def test_every_entry_can_be_loaded_by_somebody():
    from pushforward.datasets.named import _LOADERS

    assert set(ENTRIES) == set(TOYS) | set(_LOADERS)
    assert not set(TOYS) & set(_LOADERS)


def test_points_are_the_toys():
    assert {name for name, entry in ENTRIES.items() if entry.modality == "points"} == set(TOYS)


def test_listing_says_where_files_are(tmp_path, monkeypatch):
    monkeypatch.setenv("PUSHFORWARD_DATA", str(tmp_path))
    monkeypatch.setenv("PUSHFORWARD_CACHE", str(tmp_path / "cache"))
    where = {listing.name: listing.where for listing in datasets_available()}
    assert where["digits"] == where["moons"] == "built in"
    assert where["mnist"] == where["adult"] == "downloaded when first used"
    (tmp_path / "adult").mkdir()
    (tmp_path / "adult" / "adult.data").touch()
    assert {x.name: x.where for x in datasets_available()}["adult"] == "downloaded when first used"  # half of it
    (tmp_path / "adult" / "adult.test").touch()
    (tmp_path / "cache" / "tinyshakespeare").mkdir(parents=True)
    (tmp_path / "cache" / "tinyshakespeare" / "input.txt").touch()
    where = {listing.name: listing.where for listing in datasets_available()}
    assert where["adult"] == str(tmp_path / "adult")
    assert where["tinyshakespeare"] == str(tmp_path / "cache" / "tinyshakespeare")


def test_listing_imports_no_torch():
    code = (
        "import sys; from pushforward.datasets.catalogue import datasets_available; datasets_available(); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'pandas')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_places_follow_the_environment(tmp_path, monkeypatch):
    monkeypatch.delenv("PUSHFORWARD_DATA", raising=False)
    assert data_folder() is None
    monkeypatch.setenv("PUSHFORWARD_DATA", str(tmp_path / "absent"))
    with pytest.raises(InputError, match="PUSHFORWARD_DATA: .*absent is not a folder"):
        data_folder()
    monkeypatch.delenv("PUSHFORWARD_CACHE", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "pushforward"
    monkeypatch.setenv("PUSHFORWARD_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
