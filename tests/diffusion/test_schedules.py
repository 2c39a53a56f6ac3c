"""Noise schedules against their definitions, and the two variances against the Gaussians they belong to."""

import math

import pytest
import torch

from pushforward.core.errors import InputError
from pushforward.diffusion.schedules import added_variance, alpha, gammas, posterior_variance, sigma

NAMES = ["log-snr", "cosine", "linear"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("steps", [2, 10, 256, 1000])
def test_noise_only_grows(name: str, steps: int):
    gamma = gammas(name, steps)
    assert gamma.shape == (steps,) and torch.isfinite(gamma).all()
    assert (gamma.diff() > 0).all()
    assert torch.allclose(alpha(gamma) ** 2 + sigma(gamma) ** 2, torch.ones(steps).double(), atol=1e-12)


def test_linear_is_that_of_ho_et_al():
    kept = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)
    assert torch.allclose(alpha(gammas("linear", 1000)) ** 2, kept, rtol=1e-9)


def test_cosine_is_that_of_nichol_and_dhariwal():
    t = torch.arange(1, 1000, dtype=torch.float64) / 1000  # but for the last step, which is clipped
    f = torch.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2
    known = f / math.cos(0.008 / 1.008 * math.pi / 2) ** 2
    assert torch.allclose(alpha(gammas("cosine", 1000))[:-1] ** 2, known, rtol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_variances_are_those_of_the_chain(name: str):
    gamma = gammas(name, 50)
    s, t = gamma[:-1], gamma[1:]
    # z_t = (alpha_t / alpha_s) z_s + noise, and the variance of z_t given x is sigma_t^2.
    added = sigma(t) ** 2 - (alpha(t) / alpha(s) * sigma(s)) ** 2
    assert torch.allclose(added_variance(s, t), added, rtol=1e-6, atol=1e-12)
    # Precisions add up: 1 / sigma_s^2 from x, (alpha_t / alpha_s)^2 / beta from z_t.
    precision = 1 / sigma(s) ** 2 + (alpha(t) / alpha(s)) ** 2 / added_variance(s, t)
    assert torch.allclose(posterior_variance(s, t), 1 / precision, rtol=1e-9)


def test_impossible_schedules_are_refused():
    with pytest.raises(InputError, match="steps: got 1, expected at least 2"):
        gammas("cosine", 1)
    with pytest.raises(ValueError, match="schedule: got 'quadratic'"):
        gammas("quadratic", 10)
