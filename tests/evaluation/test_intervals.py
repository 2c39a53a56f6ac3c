"""Intervals against closed forms, and how often they hold."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from pushforward.evaluation.intervals import (
    Halves,
    distance_interval,
    mean_interval,
    paired_halves,
    score_interval,
    share_interval,
)

MANY = 10**6  # splits, for a quantile that is 1.96


def test_variance_of_a_mean_is_that_of_the_textbook():
    x = np.random.default_rng(0).normal(size=300)
    y = np.random.default_rng(1).normal(size=300)
    (difference,) = paired_halves(lambda i, j: x[i].mean() - y[j].mean(), 300, splits=2000)
    textbook = x.var(ddof=1) / 300 + y.var(ddof=1) / 300
    assert difference.value == pytest.approx(x.mean() - y.mean())
    assert difference.variance == pytest.approx(textbook, rel=0.1)  # a mean of 2,000 squares: 3 %, three times over
    # No pair of examples decides: the mean of two complementary halves is the mean of all, whatever the split.
    assert difference.interaction == pytest.approx(0, abs=1e-30)


def test_pairs_are_told_from_single_examples():
    """Of a sum over pairs alone, sum e_i e_j over i != j, V is 2B and E is B (here B = 2 n (n - 1) / n^4)."""
    n = 400
    found = []
    for seed in range(10):
        x = np.random.default_rng(seed).choice([-1.0, 1.0], size=n)
        x[: n // 2], x[n // 2 :] = 1, -1  # the mean is exactly 0: no single example has a say

        def statistic(i, _, x=x):
            return (x[i].sum() ** 2 - len(i)) / len(i) ** 2

        (halves,) = paired_halves(statistic, n, splits=400, seed=seed)
        found.append(halves.interaction)
        assert halves.variance == pytest.approx(0, abs=1e-20)  # complementary halves have opposite sums
    assert np.mean(found) == pytest.approx(2 / n**2, rel=0.25)


def test_halves_are_disjoint_and_of_distinct_rows():
    seen = []
    paired_halves(lambda i, j: (seen.append((set(i), set(j))), 0.0)[1], 11, splits=3)
    whole, *halves = seen
    assert whole == (set(range(11)), set(range(11)))
    for first, second in zip(halves[::2], halves[1::2], strict=True):
        for a, b in zip(first, second, strict=True):
            assert len(a) == len(b) == 5 and not a & b


def test_several_metrics_share_their_splits_and_the_seed_decides():
    x = np.random.default_rng(0).normal(size=50)

    def one(i, j):
        return x[i].mean()

    both = paired_halves(lambda i, j: (one(i, j), 2 * one(i, j)), 50, seed=3)
    assert both[0].variance == pytest.approx(paired_halves(one, 50, seed=3)[0].variance)
    assert both[1].variance == pytest.approx(4 * both[0].variance)
    assert paired_halves(one, 50, seed=4)[0].variance != pytest.approx(both[0].variance, rel=1e-6)


def test_global_randomness_is_neither_used_nor_touched():
    x = np.arange(30.0)
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    first = paired_halves(lambda i, j: x[i].mean(), 30)
    assert (np.random.get_state()[1] == before).all()
    np.random.seed(99)
    assert paired_halves(lambda i, j: x[i].mean(), 30) == first


@pytest.mark.parametrize(("right", "n"), [(5, 10), (0, 20), (20, 20), (87, 100)])
def test_the_share_of_independent_examples_has_wilsons_interval(right, n):
    p = right / n
    interval = share_interval(Halves(p, p, p * (1 - p) / n, 0.0, MANY), n)
    wilson = binomtest(right, n).proportion_ci(method="wilson")
    assert interval == pytest.approx((wilson.low, wilson.high), abs=1e-4)


def test_dependent_examples_count_for_fewer():
    p, n = 0.8, 400
    interval = share_interval(Halves(p, p, 4 * p * (1 - p) / n, 0.0, MANY), n)
    wilson = binomtest(80, 100).proportion_ci(method="wilson")
    assert interval == pytest.approx((wilson.low, wilson.high), abs=1e-4)


def test_wilson_is_a_score_interval():
    """At a slope of (1 - 2p)/n; the variance there is linear but for p^2/n, which is small."""
    p, n = 0.9, 10_000
    low, high = score_interval(p, p * (1 - p) / n, (1 - 2 * p) / n, 1.96)
    wilson = binomtest(9000, n).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((wilson.low, wilson.high), abs=3e-6)


def test_a_distance_has_the_variance_of_the_candidate():
    """The square of a normal mean m with known variance: the roots of (m^2 - t)^2 = q^2 4 t s^2."""
    m, s, q = 1.0, 0.1, 1.96
    halves = Halves(m**2, m**2, 4 * m**2 * s**2, 0.0, MANY)
    low, high = distance_interval(halves)
    for end in (low, high):
        assert (m**2 - end) ** 2 == pytest.approx(q**2 * 4 * end * s**2, rel=1e-3)
    assert high - m**2 > m**2 - low > 0


def test_a_distance_of_nothing_has_a_plain_interval():
    assert distance_interval(Halves(0.0, 0.0, 1.0, 0.5, MANY)) == pytest.approx((-1.96, 1.96), abs=1e-3)


def test_without_spread_the_interval_is_a_point():
    flat = Halves(2.0, 2.0, 0.0, 0.0, 50)
    assert mean_interval(flat) == distance_interval(flat) == distance_interval(flat, root=True) == (2.0, 2.0)


def test_intervals_of_a_mean_hold_19_times_in_20():
    held = 0
    for seed in range(200):
        x = np.random.default_rng(seed).exponential(size=100)
        (halves,) = paired_halves(lambda i, _, x=x: x[i].mean(), 100, splits=30, seed=seed)
        low, high = mean_interval(halves)
        held += low <= 1.0 <= high
    assert 180 <= held <= 198  # 190 +- three standard deviations of 3.1


def test_a_value_that_is_not_finite_has_no_interval():
    low, high = mean_interval(Halves(math.nan, math.nan, math.nan, math.nan, 50))
    assert math.isnan(low) and math.isnan(high)
