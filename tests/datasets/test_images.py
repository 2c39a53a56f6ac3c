"""Arrays as images: levels, channels, sizes, and what streams because it is large."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pushforward.core.data import Lazy, Rows
from pushforward.core.errors import InputError
from pushforward.datasets import images
from pushforward.datasets.images import load_images, resized
from pushforward.datasets.options import Options


def load(pixels, labels=None, **options):
    return load_images({"train": (pixels, labels)}, Options(**options), "pictures")


def every(data) -> torch.Tensor:
    """All examples, split by split."""
    return torch.cat([split[torch.arange(len(split))].x for split in (data.train, data.valid, data.test)])


def noise(*shape: int, high: int = 256) -> np.ndarray:
    pixels = np.random.default_rng(0).integers(0, high, size=shape, dtype=np.uint8)
    pixels.flat[0] = high - 1
    return pixels


@pytest.mark.parametrize(
    ("shape", "stored"),
    [
        ((30, 5, 7), (1, 5, 7)),
        ((30, 5, 7, 1), (1, 5, 7)),
        ((30, 5, 7, 3), (3, 5, 7)),
        ((30, 5, 7, 4), (4, 5, 7)),
        ((30, 3, 5, 7), (3, 5, 7)),
        ((30, 1, 5, 7), (1, 5, 7)),
        ((30, 3, 8, 3), (3, 3, 8)),  # in doubt: the last axis
    ],
)
def test_channels_are_found(shape, stored):
    data = load(noise(*shape))
    assert data.example.shape == stored and data.train.x.dtype == torch.uint8
    assert any("last axis" in note for note in data.notes) == (shape[1:] == (3, 8, 3))


@given(st.sampled_from([(4, 5), (4, 5, 3), (2, 6, 5)]), st.integers(10, 40))
def test_pixels_come_back(shape, count):
    pixels = noise(count, *shape)
    data = load(pixels)
    stored = every(data).numpy()
    rows = {np.ascontiguousarray(row).tobytes() for row in stored}
    channels_first = pixels[:, None] if len(shape) == 2 else pixels.transpose(0, 3, 1, 2) if shape[-1] == 3 else pixels
    assert rows == {np.ascontiguousarray(row).tobytes() for row in channels_first}


@pytest.mark.parametrize(
    ("pixels", "levels", "note"),
    [
        (noise(20, 3, 3), 256, None),
        (noise(20, 3, 3, high=17), 17, "0 to 16"),
        (noise(20, 3, 3, high=17).astype(np.float64), 17, "0 to 16"),
        (noise(20, 3, 3, high=2).astype(bool), 2, "0 to 1"),
        (noise(20, 3, 3).astype(np.int64), 256, None),
        (noise(20, 3, 3).astype(np.float32), 256, None),
        (noise(20, 3, 3).astype(np.float32) / 255, 256, "256 levels"),
        (np.random.default_rng(0).uniform(size=(20, 3, 3)), 256, "rounded to the nearest"),
        (np.zeros((20, 3, 3)), 2, "0 to 1"),
    ],
)
def test_levels_are_found(pixels, levels, note):
    data = load(pixels)
    assert data.example.levels == levels
    assert note is None or any(note in line for line in data.notes)
    assert ("rounded" in " ".join(data.notes)) == (note == "rounded to the nearest")


def test_numbers_in_the_unit_interval_round_to_the_nearest_level():
    data = load(np.linspace(0, 1, 30 * 256).reshape(30, 16, 16))
    expected = np.rint(np.linspace(0, 1, 30 * 256) * 255)
    assert np.array_equal(np.sort(every(data).numpy().ravel()), np.sort(expected))


def test_labels_follow_their_images():
    pixels = np.repeat(np.arange(100, dtype=np.uint8), 4).reshape(100, 2, 2)
    data = load(pixels, np.arange(100) % 7)
    for split in (data.train, data.valid, data.test):
        assert torch.equal(split.x[:, 0, 0, 0].long() % 7, split.condition)
    assert data.condition.names == tuple(range(7))


def test_size_resizes():
    data = load(np.full((20, 4, 6), 200, np.uint8), size=(2, 3))
    assert data.example.shape == (1, 2, 3) and (every(data) == 200).all()
    assert resized(torch.full((1, 1, 4, 4), 16, dtype=torch.uint8), (8, 8), levels=17).unique().tolist() == [16]


def test_what_is_large_streams_the_same_pixels(monkeypatch):
    pixels, labels = noise(50, 6, 5, 3), np.arange(50) % 3
    whole = load(pixels, labels, seed=4)
    monkeypatch.setattr(images, "IN_MEMORY", 100)
    lazy = load(pixels, labels, seed=4)
    assert isinstance(whole.train, Rows) and isinstance(lazy.train, Lazy)
    for name in ("train", "valid", "test"):
        a, b = (getattr(data, name)[torch.arange(len(getattr(data, name)))] for data in (whole, lazy))
        assert torch.equal(a.x, b.x) and torch.equal(a.condition.value, b.condition.value)
    other = pixels.copy()
    other[3] += 1
    assert load(other, labels, seed=4).fingerprint != lazy.fingerprint == load(pixels, labels, seed=4).fingerprint


def test_own_test_split():
    parts = {"train": (noise(30, 4, 4), [0, 1] * 15), "test": (noise(5, 4, 4)[:, ::-1], [1, 1, 0, 1, 0])}
    data = load_images(parts, Options(), "x")
    assert (len(data.train), len(data.valid), len(data.test)) == (27, 3, 5)
    assert data.test.condition.tolist() == [1, 1, 0, 1, 0]


@pytest.mark.parametrize(
    "pixels",
    [
        np.full((9, 4, 4), 256),
        np.full((9, 4, 4), -1),
        np.full((9, 4, 4), -0.5),
        np.full((9, 4, 4), 1.5),
        np.full((9, 4, 4), np.nan),
        np.zeros((9, 5, 6, 7), np.uint8),
        np.zeros((9, 0, 6), np.uint8),
    ],
)
def test_what_are_no_pixels(pixels):
    with pytest.raises(InputError, match="^images: "):
        load(pixels)
