import math

import pytest
import torch

from pushforward.sampling.adaptation import (
    DualAveraging,
    PooledCovariance,
    PooledVariance,
    WarmUp,
    variance_windows,
)


@pytest.mark.parametrize("first", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("power", [1, 2, 3])
def test_dual_averaging_finds_the_step_of_the_wanted_acceptance(first, power):
    """An acceptance of erfc(0.4 e^p) is that of a leapfrog of order p; 0.05 of acceptance is no loss."""

    def acceptance(step):
        return math.erfc(0.4 * step**power)

    steps = DualAveraging(first, acceptance=0.7)
    for _ in range(300):
        steps.update(acceptance(steps.step_size))
    assert acceptance(steps.average) == pytest.approx(0.7, abs=0.05)


def test_an_acceptance_that_is_not_a_number_counts_as_none():
    steps, other = DualAveraging(1.0, acceptance=0.8), DualAveraging(1.0, acceptance=0.8)
    steps.update(math.nan)
    other.update(0.0)
    assert steps.step_size == other.step_size


def test_pooled_moments_are_those_of_all_points():
    x = torch.randn(7, 5, 3, dtype=torch.float64) + 1e4
    variance, covariance = PooledVariance(), PooledCovariance()
    for part in x:
        variance.update(part)
        covariance.update(part)
    flat = x.flatten(0, 1)
    assert torch.allclose(variance.variance, flat.var(0))
    root = covariance.scale(torch.eye(3).double())
    sample = torch.cov(flat.T)
    weight = 35 / (35 + 3 + 5)
    assert torch.allclose(root @ root.T, weight * sample + (1 - weight) * sample.diagonal().diag())


def test_a_scale_does_not_depend_on_the_units_and_survives_a_coordinate_that_stands_still():
    x = torch.randn(40, 3, dtype=torch.float64)
    plain, scaled = PooledVariance(), PooledVariance()
    plain.update(x)
    scaled.update(1e-6 * x)
    before = torch.ones(3, dtype=torch.float64)
    assert torch.allclose(scaled.scale(before), 1e-6 * plain.scale(before))
    x[:, 1] = 7.0
    stuck = PooledVariance()
    stuck.update(x)
    assert bool((stuck.scale(before) > 0).all()) and bool(stuck.scale(before).isfinite().all())
    assert torch.equal(PooledVariance().scale(before), before)  # nothing seen, nothing changed


@pytest.mark.parametrize("warmup", [0, 5, 20, 57, 100, 300, 1000, 5000])
def test_windows_lie_within_warm_up_and_double(warmup):
    first, ends = variance_windows(warmup)
    bounds = [first, *ends]
    lengths = [b - a for a, b in zip(bounds[:-1], bounds[1:], strict=True)]
    assert all(length > 0 for length in lengths) and bounds[-1] <= warmup
    assert all(b >= 2 * a for a, b in zip(lengths[:-1], lengths[1:], strict=True))
    if warmup >= 20:
        assert warmup - ends[-1] == max(round(0.05 * warmup), min(50, warmup // 4))


def test_warm_up_settles_on_scales_and_step():
    scale = torch.tensor([0.01, 1.0, 100.0])
    tuned = WarmUp(torch.zeros(50, 3), step_size=0.1, acceptance=0.8, warmup=200)
    generator = torch.Generator().manual_seed(0)
    changes = 0
    for _ in range(200):
        step = (tuned.step_size * tuned.scale / scale).max()  # the narrowest coordinate decides
        changes += tuned.learn(scale * torch.randn(50, 3, generator=generator), math.exp(-float(step)))
    assert changes == len(variance_windows(200)[1])
    assert torch.allclose(tuned.scale, scale, rtol=0.05)  # 2,500 draws or more: 0.014 standard errors
    assert tuned.step_size == pytest.approx(-math.log(0.8), rel=0.1)


def test_without_warm_up_nothing_changes():
    tuned = WarmUp(torch.zeros(5, 3), step_size=0.3, acceptance=0.8, warmup=0)
    assert tuned.step_size == 0.3 and torch.equal(tuned.scale, torch.ones(3))
