"""The grid of a column: found from decimals, and values put back onto it exactly."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pushforward.core.resolution import find_resolution, snap


@given(st.integers(0, 6), st.integers(1, 50), st.lists(st.integers(-1000, 1000), min_size=2, max_size=30))
def test_found_step_divides_every_difference_and_is_the_largest(decimals, factor, numbers):
    values = np.array([factor * n for n in numbers]) / 10.0**decimals
    step = find_resolution(values)
    whole = np.array(sorted({factor * n for n in numbers}))
    expected = np.gcd.reduce(np.diff(whole)) if len(whole) > 1 else None
    if expected is None:
        assert step > 0
    else:
        assert step == pytest.approx(expected / 10.0**decimals, rel=1e-12)


@pytest.mark.parametrize(
    ("values", "step"),
    [
        ([0.1, 0.2, 0.7], 0.1),
        ([1, 3, 5], 2.0),
        ([10.0, 10.25], 0.25),
        ([1e-6, 3e-6], 2e-6),
        ([1e-7, 3e-7], 0.0),
        ([np.pi, np.e], 0.0),
        ([np.nan, np.nan], 0.0),
        ([2.0**60, 2.0**60 + 2**9], 0.0),
        ([1 / 3, 2 / 3], 0.0),
    ],
)
def test_steps(values, step):
    assert find_resolution(np.array(values)) == pytest.approx(step)


@given(
    st.integers(0, 6), st.integers(1, 20), st.integers(-(10**6), 10**6), st.lists(st.integers(-500, 500), min_size=1)
)
def test_snap_gives_the_doubles_that_decimals_are_read_as(decimals, factor, low, offsets):
    """For step = factor / 10^d and low = m / 10^d, the grid point k is the double nearest to (m + k factor) / 10^d."""
    step, start = factor / 10.0**decimals, low / 10.0**decimals
    exact = [float(f"{low + k * factor}e-{decimals}") for k in offsets]
    off = torch.tensor(exact, dtype=torch.float64) + 0.4 * step
    assert snap(off, step, start).tolist() == exact


def test_snap_off_the_decimals():
    assert snap(torch.tensor([0.9], dtype=torch.float64), 1 / 3, 0.0).item() == pytest.approx(1.0)
