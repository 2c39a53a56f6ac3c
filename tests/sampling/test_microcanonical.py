import math

import pytest
import torch

from pushforward.core.errors import InputError
from pushforward.sampling.microcanonical import MCLMC, autocorrelation_time
from pushforward.sampling.target import Target
from tests.sampling.known import MEAN, SCALE, run


def test_moments_of_a_gaussian_within_its_bias():
    """In 3 dimensions the bias of a second moment at this energy error is below 2 %."""
    chains = run(MCLMC(energy_variance=1e-5), warmup=300, draws=200)
    z = (chains.positions - MEAN) / SCALE
    assert z.mean((0, 1)).abs().max() < 0.05  # 40,000 draws, autocorrelated: about 0.01 each
    assert (z.square().mean((0, 1)) - 1).abs().max() < 0.05
    assert torch.allclose(chains.settings["scale"], SCALE, rtol=0.1)


def test_the_bias_is_bought_with_the_energy_error():
    """In 50 dimensions; 100 chains of 100 draws know the mean of all squares to a third of a percent."""
    target = Target(lambda x: -0.5 * x.square().sum(1), 50, dtype=torch.float64)
    biases = [
        1 - float(run(MCLMC(energy_variance=e), chains=100, target=target, warmup=200).positions.square().mean())
        for e in (2e-2, 1e-4)
    ]
    assert biases[0] > 0.02 and abs(biases[1]) < 0.015


def test_no_more_than_a_thousand_gradients():
    """Condition number 100 in 100 dimensions, turned: the second moments to a tenth, relative (the published bar)."""
    generator = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(100, 100, generator=generator))[0]
    variances = torch.logspace(-1, 1, 100)
    precision = (axes / variances) @ axes.T
    target = Target(lambda x: -0.5 * ((x @ precision) * x).sum(1), 100)
    start = torch.rand(32, 100, generator=generator) * 4 - 2
    chains = MCLMC(thinning=1).run(target, start, warmup=500, draws=499, generator=generator)
    assert chains.gradients <= 1000
    squares = (chains.positions.double() @ axes.double()).square().mean(1) / variances
    assert float((squares - 1).square().mean()) <= 0.01


def test_autocorrelation_time_of_an_autoregression():
    """x_t = a x_{t-1} + noise has (1 + a) / (1 - a)."""
    generator = torch.Generator().manual_seed(0)
    a, x, path = 0.8, torch.randn(400, 1, generator=generator), []
    for _ in range(200):
        path.append(x)
        x = a * x + math.sqrt(1 - a**2) * torch.randn(400, 1, generator=generator)
    # The sum ends where rho = 0.05, which leaves out 2 * 0.05 / (1 - a) = 0.5 of 9.
    assert autocorrelation_time(torch.stack(path, 1)).item() == pytest.approx(9 - 0.5, abs=0.7)


def test_chains_that_get_lost_stay_where_they_were():
    """A cliff: beyond 1 there is nothing."""
    target = Target(lambda x: torch.where(x.norm(dim=1) < 1, 0 * x.sum(1), -math.inf), 2, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    start = 0.1 * torch.randn(20, 2, generator=generator, dtype=torch.float64)
    chains = MCLMC().run(target, start, warmup=50, draws=50, generator=generator)
    assert (chains.positions.norm(dim=2) < 1).all()
    assert bool(chains.divergent.any())


def test_a_run_depends_on_its_generator_alone():
    one, same, other = (run(MCLMC(), chains=5, warmup=20, draws=5, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(one.positions, same.positions) and not torch.equal(one.positions, other.positions)


@pytest.mark.parametrize("settings", [{"metric": "full"}, {"energy_variance": 0.0}, {"thinning": 0}])
def test_settings_out_of_range(settings):
    with pytest.raises(InputError, match=next(iter(settings))):
        MCLMC(**settings)


def test_one_dimension_is_refused():
    target = Target(lambda x: -x.square().sum(1), 1)
    with pytest.raises(InputError, match="mclmc"):
        MCLMC().run(target, torch.zeros(2, 1), warmup=1, draws=1, generator=None)
