"""Modalities: a user's objects to storage and back, and one sentence for what does not fit."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pushforward.core.errors import InputError
from pushforward.core.modality import Image, Label, Points
from pushforward.core.spec import from_spec, to_spec
from pushforward.core.table import Column, Table
from pushforward.core.text import Text

ALL = [
    Points(dim=2),
    Points(dim=2, resolution=(0.5, 0.0)),
    Image(height=3, width=4, channels=3),
    Image(height=8, width=8, levels=17),
    Label(names=("a", "b")),
    Label(names=(0, 1, 2), title="digit"),
    Text(vocabulary=("a", "\n"), length=9),
    Text(length=9, stream=True),
    Table(columns=(Column(name="n", resolution=0.1, missing=True), Column(name="c", categories=("x", 2, 0.5, True)))),
]


@pytest.mark.parametrize("example", ALL, ids=repr)
def test_modalities_are_values(example):
    """They compare, hash, save as JSON and describe themselves in one line."""
    assert from_spec(to_spec(example)) == example and hash(from_spec(to_spec(example))) == hash(example)
    assert "\n" not in example.describe()
    assert from_spec(to_spec(example)).describe() == example.describe()


@pytest.mark.parametrize(
    ("example", "some", "every"),
    [
        (Points(dim=2), False, False),
        (Points(dim=2, resolution=(0.5, 0.0)), True, False),
        (Points(dim=2, resolution=(0.5, 1.0)), True, True),
        (Image(height=1, width=1), True, True),
        (Text(), True, True),
        (Table(columns=(Column(name="a"),)), False, False),
        (Table(columns=(Column(name="a"), Column(name="b", categories=("x", "y")))), True, False),
    ],
)
def test_what_lies_on_a_grid(example, some, every):
    assert example.gridded == (some, every)


@given(arrays(np.float64, (3, 2), elements=st.floats(allow_nan=False, allow_infinity=False)))
def test_points_come_back(x):
    assert np.array_equal(Points(dim=2).unpack(Points(dim=2).pack(x)), x)


@pytest.mark.parametrize(("channels", "levels"), [(1, 17), (1, 256), (3, 256), (2, 4)])
def test_images_come_back(channels, levels):
    image = Image(height=3, width=5, channels=channels, levels=levels)
    shape = (7, 3, 5) if channels == 1 else (7, 3, 5, channels)
    pixels = np.random.default_rng(0).integers(0, levels, size=shape, dtype=np.uint8)
    storage = image.pack(pixels)
    assert storage.shape == (7, channels, 3, 5) and np.array_equal(image.unpack(storage), pixels)
    assert storage[2, 0, 1, 4] == (pixels[2, 1, 4] if channels == 1 else pixels[2, 1, 4, 0])


def test_labels_come_back():
    label = Label(names=(3, "x", 0.5), title="kind")
    assert label.unpack(label.pack([0.5, 3, "x"])) == [0.5, 3, "x"]
    assert label.pack("3").tolist() == [0]  # as the command line has it


@pytest.mark.parametrize(
    ("example", "storage"),
    [
        (Points(dim=2), torch.zeros(3, 3).double()),
        (Points(dim=2), torch.zeros(3, 2, dtype=torch.int64)),
        (Points(dim=2), torch.tensor([[0.0, float("nan")]])),
        (Points(dim=2), np.zeros((3, 2))),
        (Points(dim=2), torch.tensor(1.0)),
        (Image(height=2, width=2), torch.zeros(1, 2, 2, dtype=torch.uint8)),
        (Image(height=2, width=2), torch.zeros(1, 1, 2, 2)),
        (Image(height=1, width=1, levels=17), torch.full((1, 1, 1, 1), 17, dtype=torch.uint8)),
        (Label(names=("a", "b")), torch.tensor([2])),
        (Label(names=("a", "b")), torch.tensor([-1])),
        (Label(names=("a", "b")), torch.tensor([0.0])),
        (Label(names=("a", "b")), torch.tensor([[0]])),
        (Text(vocabulary=("a",), length=2), torch.tensor([[0, 2]])),
        (Text(vocabulary=("a",), length=2, stream=True), torch.tensor([[0, 1]])),
        (Table(columns=(Column(name="a"),)), torch.tensor([[float("inf")]]).double()),
        (Table(columns=(Column(name="a"),)), torch.tensor([[float("nan")]]).double()),
        (Table(columns=(Column(name="a", categories=("x",)),)), torch.tensor([[1.0]]).double()),
        (Table(columns=(Column(name="a", categories=("x", "y")),)), torch.tensor([[0.5]]).double()),
    ],
)
def test_storage_that_does_not_fit(example, storage):
    with pytest.raises(InputError, match=r"^x: "):
        example.check(storage, "x")


@pytest.mark.parametrize(
    ("example", "user"),
    [
        (Points(dim=2), [[1.0, float("inf")]]),
        (Image(height=2, width=2), np.zeros((1, 2, 2))),
        (Image(height=2, width=2), np.zeros((2, 2), np.uint8)),
        (Image(height=2, width=2), np.full((1, 2, 2), 256)),
        (Image(height=2, width=2, levels=17), np.full((1, 2, 2), 17)),
        (Image(height=2, width=2), np.full((1, 2, 2), -1)),
        (Image(height=2, width=2), np.zeros((1, 3, 2), np.uint8)),
        (Label(names=("a", "b")), ["c"]),
    ],
)
def test_objects_that_do_not_fit(example, user):
    with pytest.raises(InputError):
        example.pack(user)
