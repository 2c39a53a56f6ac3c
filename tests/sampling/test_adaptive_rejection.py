"""Adaptive rejection: exact draws of log-concave densities, and the others are recognised."""

import math

import pytest
import torch
from scipy import stats
from torch import Tensor

from pushforward.core.errors import InputError
from pushforward.sampling.adaptive_rejection import adaptive_rejection_sample


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gamma(x: Tensor) -> Tensor:
    return 2 * x.log() - x


@pytest.mark.parametrize(
    ("log_density", "bounds", "law"),
    [
        (lambda x: -(x**2) / 2, {}, stats.norm()),
        (lambda x: -((x - 1e4) ** 2) / 2, {}, stats.norm(1e4)),
        (lambda x: -((x / 1e-4) ** 2) / 2, {}, stats.norm(0, 1e-4)),
        (lambda x: -x, {"lower": 0.0, "start": 1.0}, stats.expon()),
        (gamma, {"lower": 0.0, "start": 1.0}, stats.gamma(3)),
        (lambda x: x.log() + 3 * torch.log1p(-x), {"lower": 0.0, "upper": 1.0, "start": 0.5}, stats.beta(2, 4)),
        (lambda x: 0 * x, {"lower": -1.0, "upper": 3.0}, stats.uniform(-1, 4)),
        (lambda x: -x.abs(), {"start": 0.3}, stats.laplace()),
        (lambda x: -x - 2 * torch.nn.functional.softplus(-x), {}, stats.logistic()),
        (lambda x: -(x**2) / 2, {"lower": 2.0, "start": 2.5}, stats.truncnorm(2, math.inf)),
        (lambda x: x - x.exp(), {}, stats.loggamma(1)),
    ],
    ids=[
        "normal", "far", "narrow", "exponential", "gamma", "beta", "flat", "laplace", "logistic", "truncated", "gumbel"
    ],
)  # fmt: skip
def test_the_draws_have_the_law_of_the_density(log_density, bounds: dict[str, float], law):
    x = adaptive_rejection_sample(log_density, 10_000, generator=seeded(), **bounds)
    assert x.shape == (10_000,)
    # The chance of a smaller p-value is 1e-3 for a right sampler; the seed is fixed.
    assert stats.kstest(x.numpy(), law.cdf).pvalue > 1e-3
    # Independent: the order of the draws means nothing, and neighbours are uncorrelated (standard error 0.01).
    assert abs(float(torch.corrcoef(torch.stack([x[:-1], x[1:]]))[0, 1])) < 0.05


def test_the_first_draws_are_as_right_as_the_last():
    # Draws while the hull still learns: 150 short runs.
    x = torch.stack(
        [adaptive_rejection_sample(gamma, 3, lower=0.0, start=1.0, generator=seeded(s)) for s in range(150)]
    )
    for draw in x.T:
        assert stats.kstest(draw.numpy(), stats.gamma(3).cdf).pvalue > 1e-3


def test_few_evaluations_do():
    asked = 0

    def counted(x: Tensor) -> Tensor:
        nonlocal asked
        asked += len(x)
        return -(x**2) / 2

    adaptive_rejection_sample(counted, 10_000, generator=seeded())
    # With 100 tangents all but about one in a thousand is kept; the rest is the learning.
    assert asked < 10_500


def test_an_unnormalised_density_of_any_size_will_do():
    x = adaptive_rejection_sample(lambda x: -(x**2) / 2 + 1e4, 2000, generator=seeded())
    assert stats.kstest(x.numpy(), "norm").pvalue > 1e-3


@pytest.mark.parametrize(
    "log_density",
    [
        lambda x: torch.logaddexp(-((x - 4) ** 2) / 2, -((x + 4) ** 2) / 2),
        lambda x: -torch.log1p(x**2),
        lambda x: -2 * torch.log1p(x**2 / 3),
        lambda x: -(x.abs() + 1e-12).sqrt(),
    ],
    ids=["two modes", "cauchy", "student", "stretched"],
)
def test_what_is_not_log_concave_is_named(log_density):
    with pytest.raises(InputError, match="log_density: not log-concave near x = "):
        adaptive_rejection_sample(log_density, 5000, start=0.1, generator=seeded())


def test_bad_input_is_named():
    with pytest.raises(InputError, match="start: got 0"):
        adaptive_rejection_sample(gamma, 10, lower=0.0)
    with pytest.raises(InputError, match="upper: the log-density does not fall"):
        adaptive_rejection_sample(lambda x: x, 10)
    with pytest.raises(InputError, match="log_density: got nan .*ends of the support"):
        adaptive_rejection_sample(gamma, 5000, start=1.0, generator=seeded())
    with pytest.raises(InputError, match="log_density: got no gradient"):
        adaptive_rejection_sample(lambda x: -(x.detach() ** 2), 10)
    with pytest.raises(InputError, match="log_density: got .*one number each"):
        adaptive_rejection_sample(lambda x: -(x**2).sum(), 10)
    with pytest.raises(InputError, match="n: got 0"):
        adaptive_rejection_sample(gamma, 0, start=1.0, lower=0.0)
