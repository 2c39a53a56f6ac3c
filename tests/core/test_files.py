"""Files that are whole or absent."""

import pytest
import torch

from pushforward.core.errors import InputError
from pushforward.core.files import digest, read_json, read_tensors, write_bytes, write_json, write_tensors


def test_json_round_trip(tmp_path):
    write_json(tmp_path / "a.json", {"a": [1, "é", None]})
    assert read_json(tmp_path / "a.json") == {"a": [1, "é", None]}
    (tmp_path / "a.json").write_text("{")
    for name in ("a.json", "absent.json"):
        with pytest.raises(InputError, match=name):
            read_json(tmp_path / name)


def test_tensors_round_trip_and_carry_their_digest(tmp_path):
    tensors = {
        "w": torch.randn(3, 2, generator=torch.Generator().manual_seed(0)),
        "n": torch.tensor(3),
        "e": torch.empty(0),
    }
    sha = write_tensors(tmp_path / "a.safetensors", tensors, {"step": "7"})
    found, metadata = read_tensors(tmp_path / "a.safetensors")
    assert sha == digest(tensors) == metadata["sha256"] and metadata["step"] == "7"
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)


def test_changed_weights_are_refused(tmp_path):
    write_tensors(tmp_path / "a.safetensors", {"w": torch.ones(8)})
    raw = bytearray((tmp_path / "a.safetensors").read_bytes())
    raw[-1] ^= 1
    (tmp_path / "a.safetensors").write_bytes(raw)
    with pytest.raises(InputError, match="do not match the recorded SHA-256"):
        read_tensors(tmp_path / "a.safetensors")


def test_digest_sees_names_types_and_shapes():
    w = torch.zeros(4)
    others = [{"v": w}, {"w": w.int()}, {"w": w.reshape(2, 2)}, {"w": w + 1}, {"w": w, "v": w}]
    assert len({digest(tensors) for tensors in [{"w": w}, *others]}) == 6


@pytest.mark.parametrize("place", ["absent/a", "file/a", "folder", "x" * 300])
def test_a_place_that_cannot_be_written(tmp_path, place):
    (tmp_path / "file").write_text("kept")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        write_bytes(tmp_path / place, b"x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    write_bytes(tmp_path / "a", b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InputError, match="No space left"):
        write_bytes(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1
