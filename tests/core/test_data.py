"""Batches, splits and their fingerprints."""

import dataclasses

import torch

from pushforward.core.data import Batch, Condition, Data, Lazy, Rows, Windows
from pushforward.core.modality import Label, Points
from pushforward.core.noise import Noise

X = torch.arange(20.0).double().reshape(10, 2)
CODES = torch.arange(10) % 3


def test_rows_look_up_examples_and_conditions():
    batch = Rows(X, CODES, CODES != 1)[torch.tensor([7, 1])]
    assert torch.equal(batch.x, X[[7, 1]])
    assert batch.condition.value.tolist() == [1, 1] and batch.condition.present.tolist() == [False, False]
    assert Rows(X)[torch.tensor([0])].condition is None


def test_windows_begin_at_every_code():
    stream = torch.arange(10, dtype=torch.uint8)
    windows = Windows(stream, 4)
    assert len(windows) == 7 and len(Windows(stream, 11)) == 0
    batch = windows[torch.tensor([0, 6])]
    assert batch.x.tolist() == [[0, 1, 2, 3], [6, 7, 8, 9]] and batch.x.dtype == torch.int64


def test_spread_covers_a_split_evenly():
    assert Rows(X).spread(5).x[:, 0].tolist() == [0, 4, 8, 12, 16]
    assert len(Rows(X).spread(100).x) == 10


def test_digests_see_every_part():
    splits = [
        Rows(X),
        Rows(X + 1),
        Rows(X.float()),
        Rows(X.reshape(20, 1)),
        Rows(X, CODES),
        Rows(X, CODES, CODES != 1),
        Windows(torch.arange(9), 3),
        Lazy(10, lambda i: Batch(X[i]), "a"),
        Lazy(10, lambda i: Batch(X[i]), "b"),
    ]
    assert len({split.digest() for split in splits}) == len(splits)
    assert Rows(X).digest() == Rows(X.clone()).digest()
    assert Rows(X[::2]).digest() == Rows(X[::2].clone()).digest()  # contents, not memory


def test_fingerprint_is_of_contents_and_modalities():
    data = Data(name="a", example=Points(dim=2), train=Rows(X), valid=Rows(X[:1]), test=Rows(X[1:2]))
    same = dataclasses.replace(data, name="b", notes=("x",))
    assert same.fingerprint == data.fingerprint
    for change in (
        {"example": Points(dim=2, resolution=(1.0, 1.0))},
        {"condition": Label(names=("a",))},
        {"train": Rows(X + 1)},
        {"valid": Rows(X[1:2]), "test": Rows(X[:1])},
    ):
        assert dataclasses.replace(data, **change).fingerprint != data.fingerprint


def test_conditions_move_with_their_batch():
    batch = Batch(X, Condition(CODES, CODES > 0)).to(torch.device("cpu"))
    assert torch.equal(batch.condition.value, CODES)


def test_describe_counts():
    data = Data(name="a", example=Points(dim=2), train=Rows(X), valid=Rows(X[:1]), test=Rows(X[1:2]), notes=("note",))
    assert data.describe() == ("a: points of 2 numbers", "split: 10 train, 1 validation, 1 test", "note")


def test_data_without_labels_keeps_its_examples_and_every_split_loses_its_condition():
    labels = torch.arange(3)
    split = Rows(torch.arange(3.0).double()[:, None], labels)
    named = Label(names=("a", "b", "c"))
    data = Data(name="d", example=Points(dim=1), condition=named, train=split, valid=split, test=split)
    bare = data.unlabelled()
    assert bare.condition is None and bare.unlabelled() is bare
    batch = bare.train[torch.tensor([2])]
    assert batch.x.item() == 2 and batch.condition is None
    assert bare.train.fresh(torch.tensor([1]), Noise(0, rows=1)).condition is None
    assert bare.fingerprint != data.fingerprint
