"""Grids of numbers, also where a narrow type has blurred them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushforward.core.errors import InputError
from pushforward.core.resolution import find_resolution
from pushforward.datasets.numbers import as_doubles, resolve, whole


@given(st.lists(st.integers(-500, 500), min_size=2, max_size=30), st.integers(0, 2))
def test_float32_decimals_come_back_sharp(numbers, decimals):
    exact = np.array(numbers) / 10.0**decimals
    assert np.array_equal(as_doubles(exact.astype(np.float32)), exact)


def test_continuous_float32_stays_as_it_is():
    # Near 100 a float32 has spacing 8e-6, so that rounding to 6 decimals would give back every number.
    x = np.random.default_rng(0).uniform(50, 150, size=1000).astype(np.float32)
    assert np.array_equal(as_doubles(x), x.astype(np.float64))
    assert find_resolution(as_doubles(x)) == 0.0


def test_missing_cells_and_whole_types_pass():
    assert as_doubles(np.array([0.1, np.nan], np.float32))[0] == 0.1
    assert as_doubles(np.array([1, 2], np.int16)).dtype == np.float64
    assert np.isnan(as_doubles(np.array([np.nan], np.float32))).all()


def test_an_asked_resolution_rounds_to_multiples_of_it():
    values, step = resolve("a", np.array([0.13, 0.26, np.nan, 1.0]), {"a": 0.1}, ["a"])
    assert step == 0.1 and values[[0, 1, 3]].tolist() == [0.1, 0.3, 1.0] and np.isnan(values[2])
    values, step = resolve("a", np.array([1.0, 2.0, 4.0]), {"a": 0}, ["a"])
    assert step == 0.0 and values.tolist() == [1.0, 2.0, 4.0]
    assert resolve("a", np.array([1.0, 2.0, 4.0]), None, ["a"])[1] == 1.0


@pytest.mark.parametrize("asked", [{"b": 1.0}, {"a": -1.0}, {"a": float("nan")}, {"a": "fine"}, 0.1])
def test_impossible_resolutions(asked):
    with pytest.raises(InputError, match="^resolution: "):
        resolve("a", np.array([1.0]), asked, ["a"])


def test_whole():
    assert whole(np.array([1.0, -3.0])) and not whole(np.array([1.0, 0.25]))
