"""Labels from whatever they come as."""

import numpy as np
import pandas as pd
import pytest
import torch

from pushforward.core.errors import InputError
from pushforward.datasets.labels import join_labels, plain, read_labels


@pytest.mark.parametrize(
    ("values", "names", "codes"),
    [
        ([2, 0, 2], (0, 2), [1, 0, 1]),
        (np.array([2.0, 0.0, 2.0]), (0, 2), [1, 0, 1]),
        (torch.tensor([5, 5, 3]), (3, 5), [1, 1, 0]),
        (["b", "a", "b"], ("a", "b"), [1, 0, 1]),
        ([True, False, True], (False, True), [1, 0, 1]),
        (pd.Series(["x", "y", "x"], dtype="category"), ("x", "y"), [0, 1, 0]),
    ],
)
def test_classes_are_sorted_and_coded(values, names, codes):
    label, (found, present) = read_labels(values, 3)
    assert label.names == names and found.tolist() == codes and present.all()
    assert all(type(name) in (int, str, bool) for name in label.names)


def test_unknown_classes_are_absent():
    _, (codes, present) = read_labels([1.0, np.nan, 1.0, 2.0], 4)
    assert codes.tolist() == [0, 0, 0, 1] and present.tolist() == [True, False, True, True]


def test_splits_share_one_set_of_classes():
    label, parts = join_labels({"train": (3, [1, 1, 2]), "test": (2, np.array([9, 1]))})
    assert label.names == (1, 2, 9)
    assert parts["test"][0].tolist() == [2, 0]


def test_a_split_without_labels_has_none_known():
    label, parts = join_labels({"train": (3, ["a", "b", "a"]), "test": (2, None)})
    assert label.names == ("a", "b") and not parts["test"][1].any()
    assert join_labels({"train": (3, None)}) == (None, {})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, 2], "got 2 of them for 3"),
        ([[1], [2], [3]], "not flat"),
        ([None, None, None], "no known class"),
        ([0.1, 0.2, 0.3], "3 distinct values in 3 examples"),
        ([(1,), (2,), (1,)], "one class each|holds a tuple"),
    ],
)
def test_what_are_no_labels(values, message):
    with pytest.raises(InputError, match=message):
        read_labels(values, 3)


def test_plain_values():
    assert plain(np.float64(1.5)) == 1.5 and type(plain(np.bool_(True))) is bool and plain("1") == "1"
