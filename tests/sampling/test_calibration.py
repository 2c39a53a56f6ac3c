"""Every chain method against exact answers: the prior given back, and means as wrong as the method says they are."""

import math

import pytest
import torch
from scipy import stats

from pushforward.sampling.chains import METHODS, sample
from pushforward.sampling.diagnostics import ess

pytestmark = pytest.mark.slow

#: p > 0.01 after the correction of Bonferroni for every method and both parameters.
LEVEL = 0.01 / (2 * len(METHODS))

REPEATS, CHAINS = 132, 32


def posterior(y: torch.Tensor):
    """Of mean m and log-variance l, given y: s2 ~ InvGamma(3, 3), m ~ N(0, s2), y ~ N(m, s2): conjugate."""

    def log_prob(z):
        mean, log_variance = z.unbind(1)
        squares = 6 + mean.square() + (y - mean[:, None]).square().sum(1)
        return -(3 + 0.5 + 0.5 * len(y)) * log_variance - 0.5 * squares * torch.exp(-log_variance)

    return log_prob


@pytest.mark.parametrize("method", METHODS)
def test_the_ranks_of_the_truth_among_the_draws_are_uniform(method):
    """Simulation-based calibration (Talts et al. 2018): the last draws of 32 chains, for 132 draws from the prior."""
    generator = torch.Generator().manual_seed(2026)
    ranks = torch.zeros(REPEATS, 2, dtype=torch.long)
    gamma = torch.as_tensor(stats.gamma(3, scale=1 / 3).ppf(torch.rand(REPEATS, generator=generator).numpy()))
    for i in range(REPEATS):
        s2 = 1 / gamma[i]
        mean = s2.sqrt() * torch.randn((), generator=generator, dtype=torch.float64)
        y = mean + s2.sqrt() * torch.randn(5, generator=generator, dtype=torch.float64)
        start = torch.randn(CHAINS, 2, generator=generator, dtype=torch.float64)
        draws = sample(posterior(y), method=method, start=start, warmup=100, draws=30, generator=generator)
        truth = torch.stack([mean, s2.log()])
        ranks[i] = (draws.values[:, -1] < truth).sum(0)
    for parameter in range(2):
        counts = torch.bincount(ranks[:, parameter] // 3, minlength=11)  # 33 ranks in 11 equal bins
        assert stats.chisquare(counts.numpy()).pvalue > LEVEL, counts.tolist()


DIM, SEEDS = 100, 20

#: Draws that are enough for every method's own effective sample size to be known.
DRAWS = {"rwm": 2000, "mala": 8000, "hmc": 1000, "tempering": 1000}


@pytest.mark.parametrize("method", METHODS)
def test_means_are_as_wrong_as_the_effective_sample_size_says(method, capsys):
    """On a correlated Gaussian of condition number 100 the mean squared z-score over 20 groups of chains is near 1.

    The groups share one warm-up and are independent after it: 20 repeats for the price of one.
    """
    generator = torch.Generator().manual_seed(1)
    basis = torch.linalg.qr(torch.randn(DIM, DIM, generator=generator, dtype=torch.float64)).Q
    eigenvalues = torch.logspace(0, 2, DIM, dtype=torch.float64)
    precision, root = (basis / eigenvalues) @ basis.T, basis * eigenvalues.sqrt()
    start = torch.randn(SEEDS * 4, DIM, generator=generator, dtype=torch.float64) @ root.T

    def log_prob(x):
        return -0.5 * ((x @ precision) * x).sum(1)

    draws = DRAWS.get(method, 400)
    run = sample(log_prob, method=method, start=start, warmup=500, draws=draws, generator=generator)
    scale = root.square().sum(1).sqrt()
    groups = (run.values / scale).reshape(SEEDS, 4, draws, DIM)
    z2 = torch.stack([group.mean((0, 1)).square() * ess(group, "mean") for group in groups]).mean()
    with capsys.disabled():
        print(f"\n{method}: mean squared z-score {z2:.3f}, {run.gradients} gradients, {run.seconds:.1f} s")
    assert math.isfinite(z2)
    if method != "rwm":  # too slow here for its effective sample size to be known: reported only
        assert 0.8 < z2 < 1.25
