"""Arrays: points, images or texts by their shape and type."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pushforward.core.modality import Image, Points
from pushforward.datasets.arrays import as_array, load_arrays
from pushforward.datasets.options import Options

RNG = np.random.default_rng(0)


def load(x, labels=None, **options):
    return load_arrays({"train": (as_array(x), labels)}, Options(**options), "array")


@pytest.mark.parametrize(
    ("x", "example"),
    [
        (RNG.normal(size=(50, 3)), Points(dim=3)),
        (RNG.normal(size=50), Points(dim=1)),
        (torch.randn(50, 2, generator=torch.Generator().manual_seed(0)), Points(dim=2)),
        (torch.randn(50, 2, generator=torch.Generator().manual_seed(0)).bfloat16().requires_grad_(), Points),
        (RNG.integers(0, 9, size=(50, 2)), Points(dim=2, resolution=(1.0, 1.0))),
        (np.stack([RNG.normal(size=50), RNG.integers(0, 9, 50) / 4], 1), Points(dim=2, resolution=(0.0, 0.25))),
        ((RNG.integers(0, 90, size=(50, 1)) / 10).astype(np.float32), Points(dim=1, resolution=(0.1,))),
        (RNG.integers(0, 256, size=(50, 4, 5), dtype=np.uint8), Image(height=4, width=5)),
        (RNG.integers(0, 256, size=(50, 4, 5, 3), dtype=np.uint8), Image(height=4, width=5, channels=3)),
        ([[0.5, 1.25], [1.0, 2.0], [3.0, 4.0]], Points(dim=2, resolution=(0.5, 0.25))),
    ],
)
def test_what_an_array_is(x, example):
    found = load(x).example
    assert isinstance(found, example) if isinstance(example, type) else found == example


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(-1, 1)), min_size=3, max_size=30))
def test_numbers_are_kept_exactly(rows):
    data = load(np.array(rows))
    stored = torch.cat([data.train.x, data.valid.x, data.test.x])
    assert sorted(map(tuple, stored.tolist())) == sorted(rows)
    assert torch.equal(data.example.pack(data.example.unpack(stored)), stored)


def test_labels_and_splits():
    x = np.arange(40.0)[:, None]
    data = load(x, condition=(np.arange(40) % 3).tolist())
    assert torch.equal(data.train.x[:, 0].long() % 3, data.train.condition)
    parts = {"train": (x, None), "test": (x[:4] + 100, None)}
    own = load_arrays(parts, Options(), "x")
    assert own.test.x.min() == 100 and (len(own.train), len(own.valid)) == (36, 4)


def test_notes():
    distinct = np.stack([np.arange(50), np.arange(50) % 7], axis=1).astype(np.uint8)
    assert load(distinct).notes == (
        "on a grid, scored as a mass: x0 in steps of 1, x1 in steps of 1",
        "8-bit rows taken as points; pictures have shape (N, H, W) or (N, H, W, C)",
    )
    assert "and 8 more" in load(RNG.integers(0, 9, size=(50, 20))).notes[0]


def test_resolution_is_an_argument():
    data = load(RNG.normal(size=(50, 2)), resolution={"x1": 0.5})
    assert data.example.resolution == (0.0, 0.5)
    assert (data.train.x[:, 1] % 0.5 == 0).all()
