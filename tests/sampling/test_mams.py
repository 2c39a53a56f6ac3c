import pytest
import torch

from pushforward.core.errors import InputError
from pushforward.sampling.mams import MAMS
from pushforward.sampling.target import Target
from tests.sampling.known import SCALE, run, t_errors


@pytest.mark.parametrize("metric", ["diagonal", "dense"])
def test_moments_of_a_gaussian_and_what_was_tuned(metric):
    chains = run(MAMS(metric=metric), warmup=100, draws=100)
    assert t_errors(chains.positions).abs().max() < 4
    assert torch.allclose(chains.settings["scale"], SCALE, rtol=0.1)


def test_steps_of_any_size_leave_the_target_as_it_is():
    """No warm-up, exact draws of a law that is no Gaussian at the start, a first guess that was never tuned."""
    generator = torch.Generator().manual_seed(0)
    # A logistic variable is log(u / (1 - u)), of variance pi^2 / 3 and fourth moment 7 pi^4 / 15.
    start = torch.rand(20_000, 4, generator=generator, dtype=torch.float64).logit()
    target = Target(lambda x: (-x - 2 * torch.nn.functional.softplus(-x)).sum(1), 4, dtype=torch.float64)
    chains = MAMS().run(target, start, warmup=0, draws=3, generator=generator)
    second, fourth = torch.pi**2 / 3, 7 * torch.pi**4 / 15
    error = ((fourth - second**2) / 80_000) ** 0.5
    assert chains.positions[:, -1].square().mean().item() == pytest.approx(second, abs=4 * error)
    assert (chains.positions[:, -1] != start).all(1).double().mean() > 0.3


def test_a_run_depends_on_its_generator_alone():
    one, same, other = (run(MAMS(), chains=5, warmup=20, draws=5, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(one.positions, same.positions) and not torch.equal(one.positions, other.positions)


def test_float32_stays_float32():
    target = Target(lambda x: -0.5 * x.square().sum(1), 2)
    chains = MAMS().run(target, torch.zeros(3, 2), warmup=20, draws=5, generator=torch.Generator().manual_seed(0))
    assert chains.positions.dtype == chains.log_density.dtype == chains.acceptance.dtype == torch.float32


@pytest.mark.parametrize("settings", [{"metric": "full"}, {"target_acceptance": 0.0}])
def test_settings_out_of_range(settings):
    with pytest.raises(InputError, match=next(iter(settings))):
        MAMS(**settings)
