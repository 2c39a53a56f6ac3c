import pytest
import torch

from pushforward.core.errors import InputError
from pushforward.sampling.target import Target
from pushforward.sampling.tempering import ParallelTempering, even_ladder
from tests.sampling.known import run, t_errors
from tests.sampling.test_smc import two_modes


def test_moments_of_a_gaussian():
    assert t_errors(run(ParallelTempering(), chains=100, warmup=100, draws=100).positions).abs().max() < 4


def test_chains_that_all_begin_at_one_mode_find_the_other():
    """Three quarters are at +8 and all start at -8, which no step can leave."""
    target = Target(two_modes, 2)
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(32, 2, generator=generator) - 8
    chains = ParallelTempering().run(target, start, warmup=150, draws=150, generator=generator)
    right = (chains.positions[:, :, 0] > 0).double()
    shares = right.mean(1)
    error = float(shares.std()) / 32**0.5
    assert float(right.mean()) == pytest.approx(0.75, abs=4 * error) and error < 0.05
    near = chains.positions[right.bool()] - 8
    assert near.mean(0).abs().max() < 0.2 and (near.std(0) - 1).abs().max() < 0.1


def test_neighbours_reject_alike_after_warm_up():
    target = Target(lambda x: -0.5 * x.square().sum(1), 5)
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(50, 5, generator=generator)
    settings = ParallelTempering().run(target, start, warmup=150, draws=100, generator=generator).settings
    betas, rejections = settings["betas"], settings["swap_rejection"]
    assert betas[0] == 0 and betas[-1] == 1 and bool((betas.diff() > 0).all())
    assert rejections.max() - rejections.min() < 0.15


def test_a_ladder_that_is_even_stays():
    betas = torch.tensor([0.0, 0.1, 0.4, 1.0], dtype=torch.float64)
    assert torch.allclose(even_ladder(betas, torch.full((3,), 0.3, dtype=torch.float64)), betas)


def test_swaps_leave_the_reference_and_the_target_as_they_are():
    """Two temperatures only, so that the cold chain is fed by swaps with exact draws of the hot one."""
    target = Target(lambda x: -0.5 * x.square().sum(1), 2)
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(2000, 2, generator=generator)
    method = ParallelTempering(temperatures=2, spread=2.0, leaps=1)
    x = method.run(target, start, warmup=0, draws=20, generator=generator).positions[:, -1]
    assert x.square().mean().item() == pytest.approx(1, abs=4 * (2 / 4000) ** 0.5)


def test_a_run_depends_on_its_generator_alone():
    one, same, other = (run(ParallelTempering(), chains=5, warmup=20, draws=5, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(one.positions, same.positions) and not torch.equal(one.positions, other.positions)


def test_float32_stays_float32():
    target = Target(lambda x: -0.5 * x.square().sum(1), 2)
    start, generator = torch.zeros(3, 2), torch.Generator().manual_seed(0)
    chains = ParallelTempering().run(target, start, warmup=20, draws=5, generator=generator)
    assert chains.positions.dtype == chains.log_density.dtype == chains.acceptance.dtype == torch.float32


@pytest.mark.parametrize("settings", [{"temperatures": 1}, {"spread": 0.0}, {"leaps": 0}, {"target_acceptance": 1.5}])
def test_settings_out_of_range(settings):
    with pytest.raises(InputError, match=next(iter(settings))):
        ParallelTempering(**settings)
