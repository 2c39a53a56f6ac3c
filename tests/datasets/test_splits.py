"""Splits: every row once, repeats together, the same for a seed, a given test split kept."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pushforward.core.data import Lazy, Rows
from pushforward.core.errors import InputError
from pushforward.core.modality import Points
from pushforward.datasets.options import Options
from pushforward.datasets.splits import Found, divide, hash_rows, split_up, take


@given(st.lists(st.integers(0, 30), min_size=3, max_size=200), st.integers(0, 5))
def test_every_row_lands_in_exactly_one_part(values, seed):
    (valid, test, train), _ = divide(np.array(values), (0.1, 0.1), seed)
    assert sorted([*valid, *test, *train]) == list(range(len(values)))
    assert min(len(valid), len(test), len(train)) >= 1


@given(st.integers(20, 200), st.integers(0, 40), st.integers(0, 5))
def test_repeats_stay_on_one_side(distinct, repeats, seed):
    rng = np.random.default_rng(seed)
    values = np.concatenate([np.arange(distinct), rng.integers(0, distinct, size=min(repeats, distinct))])
    parts, note = divide(values, (0.1, 0.1), seed)
    sides = [set(values[part]) for part in parts]
    assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])
    assert (note is None) == (len(values) == distinct)


def test_shares_are_ten_percent():
    (valid, test, train), note = divide(np.arange(1000), (0.1, 0.1), seed=3)
    assert (len(valid), len(test), len(train), note) == (100, 100, 800, None)


def test_a_seed_decides():
    first, again, other = (divide(np.arange(100), (0.1, 0.1), seed)[0][0] for seed in (0, 0, 1))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_rows_that_are_mostly_repeats_are_dealt_out_singly():
    values = np.repeat(np.arange(4), 250)
    parts, note = divide(values, (0.1, 0.1), seed=0)
    assert all(set(values[part]) == {0, 1, 2, 3} for part in parts)
    assert "4 distinct rows of 1,000" in note


def test_a_row_that_fills_a_third_of_the_data_is_for_training():
    values = np.concatenate([np.zeros(300), np.arange(1, 601)])
    for seed in range(10):
        (valid, test, train), _ = divide(values, (0.1, 0.1), seed)
        assert 0.0 in values[train]
        assert len(valid) == len(test) == 90


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_few_rows(count):
    with pytest.raises(InputError, match=f"holds {count} example"):
        divide(np.arange(count), (0.1, 0.1), seed=0)


def test_hashes_tell_contents_apart_and_nothing_else():
    x = np.random.default_rng(0).normal(size=(5000, 3))  # more than one chunk
    x[4500] = x[7]
    hashes = hash_rows(x)
    assert len(np.unique(hashes)) == 4999 and hashes[4500] == hashes[7]
    assert np.array_equal(hash_rows(np.asfortranarray(x)), hashes)


def test_take_is_lazy_where_the_split_is():
    rows = Rows(torch.arange(10.0)[:, None], torch.arange(10))
    lazy = Lazy(10, lambda indices: rows[indices], "ten")
    for split in (rows, lazy):
        part = take(split, np.array([2, 5, 7]))
        batch = part[torch.tensor([2, 0])]
        assert len(part) == 3 and batch.x.ravel().tolist() == [7.0, 2.0] and batch.condition.value.tolist() == [7, 2]
    assert isinstance(take(lazy, np.array([1])), Lazy)
    assert take(lazy, np.array([1])).digest() != take(lazy, np.array([2])).digest()


def test_a_given_test_split_is_kept_and_train_cut_in_two():
    x = torch.arange(100.0).double()[:, None]
    test = Rows(x[:7])
    found = Found(example=Points(dim=1), rows=Rows(x), hashes=np.arange(100), test=test)
    data = split_up(found, Options(), "x")
    assert data.test is test and (len(data.train), len(data.valid)) == (90, 10)
    whole = Found(example=Points(dim=1), rows=Rows(x), hashes=np.arange(100), test=test, valid=test)
    assert len(split_up(whole, Options(), "x").train) == 100
