"""The spoken digits, from an archive and from a clone of their home, made small."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from pushforward.core.errors import InputError
from pushforward.datasets import spoken_digits
from pushforward.datasets.catalogue import ENTRIES, datasets_available
from pushforward.datasets.load import load_data


def recordings() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Ten digits, seven takes: padded audio, lengths, digits, takes."""
    rng = np.random.default_rng(0)
    digits, takes = np.repeat(np.arange(10), 7).astype(np.uint8), np.tile(np.arange(7), 10).astype(np.uint8)
    lengths = rng.integers(200, 300, 70)
    audio = rng.integers(-9000, 9000, (70, 300)).astype(np.int16)
    return np.where(np.arange(300) < lengths[:, None], audio, 0).astype(np.int16), lengths, digits, takes


def checked(data) -> None:
    assert data.condition.names == tuple("0123456789")
    assert data.example.rate == 8000 and data.example.length == 512
    assert len(data.test) == 50 and len(data.train) + len(data.valid) == 20
    audio, _, digits, takes = recordings()
    batch = data.test.spread(50)
    assert batch.condition.value.tolist() == digits[takes < 5].tolist()
    assert np.array_equal(batch.x[:, :300].numpy(), audio[takes < 5])


def test_the_archive(tmp_path: Path, monkeypatch):
    audio, lengths, digits, takes = recordings()
    (tmp_path / "fsdd").mkdir()
    path = tmp_path / "fsdd" / "fsdd.npz"
    np.savez(path, audio=audio, length=lengths, label=digits, is_test=takes < 5)
    entry = ENTRIES["fsdd"]
    file = replace(entry.files[0], sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setitem(spoken_digits.ENTRIES, "fsdd", replace(entry, files=(file,)))
    monkeypatch.setenv("PUSHFORWARD_DATA", str(tmp_path))
    checked(load_data("fsdd"))


def test_the_clone(tmp_path: Path, monkeypatch):
    audio, lengths, digits, takes = recordings()
    folder = tmp_path / "fsdd" / "recordings"
    folder.mkdir(parents=True)
    for row, length, digit, take in zip(audio, lengths, digits, takes, strict=True):
        wavfile.write(folder / f"{digit}_ann_{take}.wav", 8000, row[:length])
    monkeypatch.setenv("PUSHFORWARD_DATA", str(tmp_path))
    checked(load_data("fsdd"))
    wavfile.write(folder / "seven.wav", 8000, audio[0])
    with pytest.raises(InputError, match=r"seven.wav is no recording of it, expected files such as 7_jackson_32.wav"):
        load_data("fsdd")


def test_where_it_is_missing_the_sentence_says_where_to_put_it(tmp_path: Path, monkeypatch):
    monkeypatch.delenv("PUSHFORWARD_DATA", raising=False)
    monkeypatch.setenv("PUSHFORWARD_CACHE", str(tmp_path))
    (where,) = [listing.where for listing in datasets_available() if listing.name == "fsdd"]
    assert where == "to be put into PUSHFORWARD_DATA"
    with pytest.raises(InputError, match=r"fsdd: fsdd.npz is neither in PUSHFORWARD_DATA .* \(no server has it\)"):
        load_data("fsdd")
