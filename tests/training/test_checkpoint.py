"""The checkpoint: whole or absent, exact, and never unpickled."""

import errno
import json
import os
import pickle

import pytest
import torch
from torch import nn

from pushforward.core.errors import InputError
from pushforward.training.checkpoint import (
    Position,
    load_checkpoint,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
)

POSITION = Position(
    stage=1, step=7, update=21, best=0.1 + 0.2, best_step=5, seconds=1.5, lines=2, sums={"a/b": [0.3, 2]}
)


def test_what_is_saved_is_what_is_loaded(tmp_path):
    tensors = {"model.w": torch.randn(3, 2), "random": torch.arange(8, dtype=torch.uint8), "step": torch.tensor(2.0)}
    save_checkpoint(tmp_path / "checkpoint", POSITION, tensors)
    position, found = load_checkpoint(tmp_path / "checkpoint")
    assert position == POSITION
    assert set(found) == set(tensors)
    assert all(torch.equal(found[name], tensors[name]) and found[name].dtype == tensors[name].dtype for name in tensors)


def test_the_folder_holds_one_file_and_nothing_pickled(tmp_path):
    save_checkpoint(tmp_path / "checkpoint", POSITION, {"w": torch.zeros(2)})
    (path,) = (tmp_path / "checkpoint").iterdir()
    size = int.from_bytes(path.read_bytes()[:8], "little")
    assert json.loads(path.read_bytes()[8 : 8 + size])["w"]["dtype"] == "F32"  # a safetensors header


def test_no_checkpoint_is_none(tmp_path):
    assert load_checkpoint(tmp_path / "checkpoint") is None


def test_parts_of_killed_writes_are_removed(tmp_path):
    folder = tmp_path / "checkpoint"
    save_checkpoint(folder, POSITION, {"w": torch.zeros(2)})
    (folder / ".state.safetensors.123.partial").write_bytes(b"half a checkp")
    assert load_checkpoint(folder)[0] == POSITION
    assert [path.name for path in folder.iterdir()] == ["state.safetensors"]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_checkpoint(failing, tmp_path, monkeypatch):
    folder = tmp_path / "checkpoint"
    save_checkpoint(folder, POSITION, {"w": torch.zeros(2)})
    before = (folder / "state.safetensors").read_bytes()

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, failing, full)
        with pytest.raises(InputError, match="No space left on device"):
            save_checkpoint(folder, Position(step=8), {"w": torch.ones(2)})
    assert [path.name for path in folder.iterdir()] == ["state.safetensors"]
    assert (folder / "state.safetensors").read_bytes() == before


def _change_a_byte(path):
    contents = bytearray(path.read_bytes())
    contents[-1] ^= 1
    path.write_bytes(contents)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (_change_a_byte, "do not match the recorded SHA-256"),
        (lambda path: path.write_bytes(path.read_bytes()[:-3]), "is not a safetensors file"),
        (lambda path: path.write_bytes(b""), "is not a safetensors file"),
        (lambda path: path.write_bytes(pickle.dumps({"w": 1})), "is not a safetensors file"),
        (lambda path: save_foreign(path), "carries no SHA-256"),
    ],
)
def test_a_harmed_checkpoint_is_refused(harm, message, tmp_path):
    folder = tmp_path / "checkpoint"
    save_checkpoint(folder, POSITION, {"w": torch.zeros(2)})
    harm(folder / "state.safetensors")
    with pytest.raises(InputError, match=message):
        load_checkpoint(folder)


def save_foreign(path):
    from safetensors.torch import save_file

    save_file({"w": torch.zeros(2)}, path)


def test_weights_without_a_position_are_no_checkpoint(tmp_path):
    from pushforward.core.files import write_tensors

    write_tensors(tmp_path / "state.safetensors", {"w": torch.zeros(2)})
    with pytest.raises(InputError, match="is not a checkpoint"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_optimiser_goes_on_bit_by_bit(dtype):
    torch.manual_seed(0)
    one = nn.Linear(4, 3).to(dtype)
    two = nn.Linear(4, 3).to(dtype)
    two.load_state_dict(one.state_dict())
    x = torch.randn(5, 4, dtype=dtype)

    def steps(layer, optimizer, count):
        for _ in range(count):
            optimizer.zero_grad()
            layer(x).square().sum().backward()
            optimizer.step()

    straight = torch.optim.AdamW(one.parameters(), lr=0.01, fused=True)
    steps(one, straight, 6)
    before = torch.optim.AdamW(two.parameters(), lr=0.01, fused=True)
    steps(two, before, 3)
    saved = optimizer_tensors("fit", before)
    assert {name.split(".")[-1] for name in saved} == {"step", "exp_avg", "exp_avg_sq"}
    after = torch.optim.AdamW(two.parameters(), lr=0.01, fused=True)
    restore_optimizer("fit", after, {name: tensor.clone() for name, tensor in saved.items()})
    steps(two, after, 3)
    assert torch.equal(one.weight, two.weight) and torch.equal(one.bias, two.bias)
