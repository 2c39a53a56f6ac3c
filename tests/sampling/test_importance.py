"""Importance sampling: right answers with right errors, resampling, and a warning where weights have no variance."""

import math

import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.distributions import Cauchy, Exponential, Independent, Normal, Uniform

from pushforward.core.errors import InputError
from pushforward.sampling.importance import WeightedDraws, importance_resample, importance_sample

ZERO = torch.tensor(0.0, dtype=torch.float64)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def bell(x: Tensor) -> Tensor:
    """Its integral is sqrt(2 pi)."""
    return -(x**2) / 2


def test_three_estimates_of_known_answers():
    draws = importance_sample(bell, Normal(ZERO, 2.0), 20_000, generator=seeded())
    z = math.sqrt(2 * math.pi)
    for (value, error), answer in (
        (draws.mean(torch.square), 1.0),
        (draws.integral(torch.square), z),
        (draws.log_normaliser(), math.log(z)),
    ):
        assert abs(float(value) - answer) < 4 * float(error)
        assert 0 < float(error) < 0.05
    assert draws.samples.dtype == draws.log_weights.dtype == torch.float64


def test_the_effective_sample_size_is_what_the_densities_say():
    # n / E_q[(p/q)^2] with p = N(0, 1), q = N(0, s^2): E = s^2 / sqrt(2 s^2 - 1).
    draws = importance_sample(bell, Normal(ZERO, 2.0), 50_000, generator=seeded())
    assert draws.effective_sample_size / 50_000 == pytest.approx(math.sqrt(7) / 4, rel=0.02)
    assert draws.k < 0.3  # bounded weights
    assert "light" in draws.diagnosis()


def test_the_tails_of_the_weights_are_those_of_the_densities():
    # An exponential of rate 1 from one of rate r: the weights are Pareto with k = (r - 1) / r.
    for rate, k, words in ((1.25, 0.2, "light"), (2.5, 0.6, "smoothed()"), (5.0, 0.8, "cannot be trusted")):
        law = Exponential(ZERO + rate)
        draws = importance_sample(torch.neg, law, 100_000, generator=seeded(1))
        # The standard error of the shape from 949 excesses is (1 + k) / sqrt(949), at most 0.058; two of them.
        assert draws.k == pytest.approx(k, abs=0.12)
        assert words in draws.diagnosis()
    assert (
        "cannot be trusted"
        in importance_sample(Cauchy(ZERO, 1.0).log_prob, Normal(ZERO, 1.0), 10_000, generator=seeded()).diagnosis()
    )


def test_smoothed_weights_still_estimate():
    draws = importance_sample(torch.neg, Exponential(ZERO + 2.5), 100_000, generator=seeded())
    # The mean of x is 1; the smoothed tail carries it to a few percent.
    assert abs(float(draws.smoothed().mean().value) - 1) < 0.1
    assert float(draws.smoothed().log_weights.exp().sum()) == pytest.approx(1.0)


def test_resampled_draws_have_the_law_of_the_target():
    x = importance_resample(bell, Uniform(ZERO - 6, 6.0), 2000, pool=200_000, generator=seeded())
    # Repeats are rare in 2,000 of 200,000, of which some 42,000 count.
    assert len(x.unique()) > 1900
    assert stats.kstest(x.numpy(), "norm").pvalue > 1e-3


def test_draws_of_any_event_shape():
    law = Independent(Normal(torch.zeros(2, 3).double(), 2.0), 2)
    draws = importance_sample(lambda x: bell(x).sum((1, 2)), law, 5000, generator=seeded())
    assert draws.mean().value.shape == (2, 3)
    assert abs(float(draws.log_normaliser().value) - 3 * math.log(2 * math.pi)) < 4 * float(
        draws.log_normaliser().standard_error
    )
    assert draws.resampled(7).shape == (7, 2, 3)


@pytest.mark.slow
def test_the_intervals_cover_the_answer_as_often_as_they_say():
    proposal = Normal(ZERO, 1.5)
    integral = normaliser = 0
    for seed in range(400):
        draws = importance_sample(bell, proposal, 2000, generator=seeded(seed))
        value, error = draws.integral(torch.square)
        integral += abs(float(value) - math.sqrt(2 * math.pi)) <= 1.959964 * float(error)
        log_z, relative = draws.log_normaliser()
        ratio = math.exp(float(log_z)) / math.sqrt(2 * math.pi)
        normaliser += abs(ratio - 1) <= 1.959964 * ratio * float(relative)
    # 95 % of 400 is 380, with a standard deviation of 4.4.
    assert 366 <= integral <= 392
    assert 366 <= normaliser <= 392


def test_bad_input_is_named():
    law = Normal(ZERO, 1.0)
    with pytest.raises(InputError, match="log_weights: all are -inf.*covers the target"):
        importance_sample(lambda x: torch.full_like(x, -torch.inf), law, 10)
    with pytest.raises(InputError, match="log_target: got nan at x"):
        importance_sample(lambda x: (x - 100).log(), law, 10)
    with pytest.raises(InputError, match="log_target: got .*one number each"):
        importance_sample(lambda x: x[:, None], law, 10)
    with pytest.raises(InputError, match="proposal: got a batch"):
        importance_sample(bell, Normal(torch.zeros(3), 1.0), 10)
    with pytest.raises(InputError, match="log_weights: got shape"):
        WeightedDraws(torch.zeros(3), torch.zeros(4))
