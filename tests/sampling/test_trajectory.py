import math

import pytest
import torch

from pushforward.sampling.trajectory import TrajectoryLength, TrajectoryWarmUp, half_accepted_step, van_der_corput


def test_the_jitter_is_even():
    points = sorted(van_der_corput(i) for i in range(255))
    assert points == [i / 256 for i in range(1, 256)]


@pytest.mark.parametrize("right", [1e-4, 1.0, 3e5])
def test_a_first_step_is_right_within_a_factor_of_two(right):
    """An error of log 2 is accepted half of the time."""
    found = half_accepted_step(lambda step: torch.tensor([math.log(2) * (step / right) ** 2]), 1.0)
    assert right / 2 <= found <= right


def test_an_error_that_is_no_number_is_a_rejection():
    assert half_accepted_step(lambda step: torch.tensor([math.nan if step > 0.1 else 0.0]), 1.0) == 0.0625


def test_a_slope_that_is_no_number_is_not_followed():
    length = TrajectoryLength(2.0)
    length.climb(math.nan)
    assert length.value == 2.0


def test_the_slope_is_the_derivative_of_the_criterion():
    """For a harmonic oscillator z(t) is known, so the criterion can be differentiated by hand."""
    generator = torch.Generator().manual_seed(0)
    z, p = (torch.randn(5000, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    z, p = z - z.mean(0), p - p.mean(0)  # so that the centre stays 0 along the way
    warm = TrajectoryWarmUp(z, step_size=0.1, acceptance=0.8, warmup=10, metric="diagonal", crossing=math.pi)

    def after(t: float) -> torch.Tensor:
        return z * math.cos(t) + p * math.sin(t)

    def criterion(t: float) -> float:
        return 0.25 * float((after(t).square().sum(1) - z.square().sum(1)).square().mean())

    t, h = 0.7, 1e-5
    velocity = p * math.cos(t) - z * math.sin(t)
    slope = warm._slope(z, after(t), velocity, torch.ones(5000, dtype=torch.float64), t)
    assert slope == pytest.approx(t * (criterion(t + h) - criterion(t - h)) / (2 * h), rel=1e-6)
