import pytest
import torch

from pushforward.core.errors import InputError
from pushforward.sampling.multiscale import MultiscaleHMC
from pushforward.sampling.target import Target
from tests.sampling.known import gaussian, run, t_errors


def funnel(x):
    v = x[:, 0]
    return -v.square() / 18 - 4.5 * v - 0.5 * (x[:, 1:].square().sum(1) * torch.exp(-v))


def test_moments_of_a_gaussian_with_scales_that_differ_thirtyfold():
    assert t_errors(run(MultiscaleHMC(), warmup=100, draws=150).positions).abs().max() < 4


def test_an_iteration_leaves_the_funnel_as_it_is():
    """Exact draws stay exact: v keeps mean 0 and variance 9, its ends included."""
    generator = torch.Generator().manual_seed(0)
    n = 20_000
    v = 3 * torch.randn(n, 1, generator=generator, dtype=torch.float64)
    x = torch.randn(n, 9, generator=generator, dtype=torch.float64) * (0.5 * v).exp()
    target = Target(funnel, 10, dtype=torch.float64)
    chains = MultiscaleHMC(leaps=8).run(target, torch.cat([v, x], 1), warmup=0, draws=5, generator=generator)
    after = chains.positions[:, -1, 0]
    assert after.mean().item() == pytest.approx(0, abs=4 * 3 / n**0.5)
    assert after.square().mean().item() == pytest.approx(9, abs=4 * 9 * (2 / n) ** 0.5)
    assert (after != v[:, 0]).double().mean() > 0.3


@pytest.mark.slow
def test_the_centred_funnel():
    target = Target(funnel, 10)
    found = []
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        start = 4 * torch.rand(256, 10, generator=generator) - 2
        v = MultiscaleHMC().run(target, start, warmup=600, draws=600, generator=generator).positions[:, :, 0]
        found.append((float(v.mean()), float(v.std())))
    means, spreads = zip(*found, strict=True)
    assert sorted(map(abs, means))[1] <= 0.15
    assert sorted(spreads)[1] == pytest.approx(3, rel=0.05)


def test_a_run_depends_on_its_generator_alone():
    one, same, other = (
        run(MultiscaleHMC(leaps=4), chains=5, warmup=10, draws=5, seed=seed, target=gaussian()) for seed in (3, 3, 4)
    )
    assert torch.equal(one.positions, same.positions) and not torch.equal(one.positions, other.positions)


@pytest.mark.parametrize("settings", [{"leaps": 0}, {"spread": -1.0}, {"target_acceptance": 2.0}])
def test_settings_out_of_range(settings):
    with pytest.raises(InputError, match=next(iter(settings))):
        MultiscaleHMC(**settings)
