"""Weights: against hand calculations, the reference implementation of the smoothing, and the coverage of the errors."""

import math

import numpy as np
import pytest
import torch

from pushforward.core.errors import InputError
from pushforward.probability.weights import (
    Estimate,
    effective_sample_size,
    log_mean_weight,
    monte_carlo_mean,
    pareto_k,
    pareto_smooth,
    self_normalised_mean,
    trustworthy_k,
    unnormalised_mean,
)

NORMAL = torch.distributions.Normal(torch.tensor(0.0, dtype=torch.float64), 1.0)
REPEATS = 400


def pareto_quantiles(k: float, n: int) -> torch.Tensor:
    """log of evenly spread quantiles of a Pareto distribution with shape k."""
    u = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    return -k * torch.log1p(-u)


def test_the_effective_sample_size_is_that_of_the_weights():
    w = torch.tensor([[1.0, 2.0, 3.0], [5.0, 0.0, 0.0]], dtype=torch.float64)
    assert effective_sample_size(w.log()).tolist() == pytest.approx([36 / 14, 1.0])


def test_the_effective_sample_size_survives_any_constant():
    log_w = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)
    # The weights themselves overflow and vanish.
    for shift in (-5000.0, 5000.0):
        assert float(effective_sample_size(log_w + shift)) == pytest.approx(float(effective_sample_size(log_w)))


def test_the_dtype_of_the_weights_stays():
    w = torch.linspace(0, 3, 100)
    assert effective_sample_size(w).dtype == pareto_k(w).dtype == pareto_smooth(w).log_weights.dtype == torch.float32
    assert log_mean_weight(w).value.dtype == torch.float32


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (torch.full((4,), -torch.inf), "every weight is zero"),
        (torch.tensor([0.0, torch.nan]), "got nan"),
        (torch.tensor([0.0, torch.inf]), "got inf"),
        (torch.tensor(0.0), r"shape \(\)"),
        (torch.zeros(0), "n at least 1"),
        (torch.zeros(3, dtype=torch.int64), "floating-point"),
        (torch.stack([torch.zeros(2), torch.full((2,), -torch.inf)]), "every weight is zero"),
    ],
)
def test_weights_that_mean_nothing_are_refused(bad: torch.Tensor, message: str):
    for function in (effective_sample_size, pareto_k, log_mean_weight):
        with pytest.raises(InputError, match=message):
            function(bad)


def test_values_that_do_not_fit_the_weights_are_refused():
    with pytest.raises(InputError, match="one weight for each value"):
        self_normalised_mean(torch.zeros(3), torch.zeros(4))
    with pytest.raises(InputError, match="not finite"):
        unnormalised_mean(torch.tensor([0.0, torch.nan]), torch.zeros(2))
    with pytest.raises(InputError, match="n at least 2"):
        monte_carlo_mean(torch.zeros(1))
    with pytest.raises(InputError, match="at least 2"):
        log_mean_weight(torch.zeros(1))
    with pytest.raises(InputError, match="at least 25"):
        pareto_smooth(torch.zeros(24))


def test_the_estimates_are_those_of_the_formulas():
    w = torch.tensor([0.5, 1.5, 2.0], dtype=torch.float64)
    f = torch.tensor([[1.0, 0.0], [2.0, 1.0], [4.0, 5.0]], dtype=torch.float64)
    mean, error = self_normalised_mean(f, w.log())
    share = w / 4
    assert mean.tolist() == pytest.approx((share @ f).tolist())
    assert error.tolist() == pytest.approx((share**2 @ (f - share @ f) ** 2).sqrt().tolist())
    assert unnormalised_mean(f, w.log()).value.tolist() == pytest.approx((w @ f / 3).tolist())
    log_z, relative = log_mean_weight(w.log())
    assert math.exp(log_z) == pytest.approx(4 / 3)
    assert float(relative) == pytest.approx(float(w.std() / 3**0.5 / (4 / 3)))


@pytest.mark.parametrize("k", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("n", [100, 5000])
def test_smoothing_agrees_with_arviz(k: float, n: int):
    stats = pytest.importorskip("arviz").stats
    log_w = k * torch.empty(n, dtype=torch.float64).exponential_(generator=torch.Generator().manual_seed(n))
    theirs, their_k = stats.psislw(log_w.numpy().copy())
    ours = pareto_smooth(log_w)
    # The formulas are the same: what is left is the rounding of sums in another order.
    assert float(ours.k) == pytest.approx(float(their_k), abs=1e-9)
    assert np.abs(ours.log_weights.numpy() - np.asarray(theirs)).max() < 1e-8


def test_smoothing_agrees_with_arviz_where_weights_are_zero():
    stats = pytest.importorskip("arviz").stats
    log_w = torch.randn(400, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    log_w[:100] = -torch.inf
    theirs, their_k = stats.psislw(log_w.numpy().copy())
    ours = pareto_smooth(log_w)
    assert float(ours.k) == pytest.approx(float(their_k), abs=1e-9)
    assert np.allclose(ours.log_weights.numpy(), np.asarray(theirs), atol=1e-8)


@pytest.mark.parametrize("k", [0.2, 0.5, 0.7, 1.0])
def test_k_of_a_pareto_tail_is_found(k: float):
    # The prior of weight 10 at 1/2 pulls the estimate from 3 sqrt(n) = 670 excesses by up to 10/680 of the distance.
    assert float(pareto_k(pareto_quantiles(k, 50_000))) == pytest.approx(k, abs=0.02)


def test_weights_without_a_tail_have_none():
    assert float(pareto_k(torch.zeros(1000))) == -math.inf
    # One draw has everything: there is a tail, and too few in it to see how heavy it is.
    lonely = torch.full((1000,), -torch.inf)
    lonely[3] = 0.0
    assert float(pareto_k(lonely)) == math.inf


def test_rows_are_smoothed_by_themselves():
    rows = torch.stack([pareto_quantiles(0.3, 500), pareto_quantiles(0.8, 500)])
    together = pareto_smooth(rows)
    for row, log_w, k in zip(rows, together.log_weights, together.k, strict=True):
        alone = pareto_smooth(row)
        assert torch.equal(alone.log_weights, log_w)
        assert alone.k == k
    assert together.log_weights.exp().sum(1).tolist() == pytest.approx([1.0, 1.0])


def test_no_smoothed_weight_is_above_the_largest_raw_one():
    log_w = pareto_quantiles(0.9, 500)
    smooth = pareto_smooth(log_w).log_weights
    # Both as ratios to a weight outside of the tail, which is not changed.
    assert float(smooth.max() - smooth[0]) <= float(log_w.max() - log_w[0]) + 1e-12


def test_the_limit_of_k_grows_with_the_number_of_draws():
    assert trustworthy_k(10) == pytest.approx(0.0)
    assert trustworthy_k(1000) == pytest.approx(2 / 3)
    assert trustworthy_k(10**9) == 0.7


def covered(estimate: Estimate, answer: float) -> bool:
    return abs(float(estimate.value) - answer) <= 1.959964 * float(estimate.standard_error)


@pytest.mark.parametrize("of", ["monte carlo", "normaliser", "unnormalised", "self-normalised"])
def test_the_intervals_cover_the_answer_as_often_as_they_say(of: str):
    hits = 0
    for seed in range(REPEATS):
        generator = torch.Generator().manual_seed(seed)
        x = 1.5 * torch.randn(2000, dtype=torch.float64, generator=generator)
        # From N(0, 1.5^2) to the integral of exp(-x^2 / 2): bounded weights, with E_p[x^2] = 1.
        log_w = -(x**2) / 2 - torch.distributions.Normal(x.new_zeros(()), 1.5).log_prob(x)
        z = math.sqrt(2 * math.pi)
        match of:
            case "monte carlo":
                hits += covered(monte_carlo_mean(x**2), 2.25)
            case "normaliser":
                log_z, relative = log_mean_weight(log_w)
                hits += covered(Estimate(log_z.exp(), log_z.exp() * relative), z)
            case "unnormalised":
                hits += covered(unnormalised_mean(x**2, log_w), z)
            case _:
                hits += covered(self_normalised_mean(x**2, log_w), 1.0)
    # 95 % of 400 is 380, with a standard deviation of 4.4.
    assert 366 <= hits <= 392
