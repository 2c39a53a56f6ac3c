import pytest
import torch

from pushforward.core.errors import InputError
from pushforward.sampling.chees import ChEES
from pushforward.sampling.target import Target
from tests.sampling.known import SCALE, run, t_errors


@pytest.mark.parametrize("metric", ["diagonal", "dense"])
def test_moments_of_a_gaussian_and_what_was_tuned(metric):
    chains = run(ChEES(metric=metric), warmup=100, draws=100)
    assert t_errors(chains.positions).abs().max() < 4
    assert torch.allclose(chains.settings["scale"], SCALE, rtol=0.1)
    # The best jittered length for a standard normal lies between a quarter of a period and a whole one.
    assert 1.5 < chains.settings["trajectory_length"] < 6.3


def test_steps_of_any_size_leave_the_target_as_it_is():
    """No warm-up, exact draws at the start, a first guess that was never tuned."""
    target = Target(lambda x: -0.5 * x.square().sum(1), 5, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(20_000, 5, generator=generator, dtype=torch.float64)
    chains = ChEES().run(target, start, warmup=0, draws=3, generator=generator)
    # 100,000 squares of variance 2.
    assert chains.positions[:, -1].square().mean().item() == pytest.approx(1, abs=4 * (2 / 1e5) ** 0.5)
    assert (chains.positions[:, -1] != start).all(1).double().mean() > 0.3


def test_a_correlated_gaussian_is_whitened():
    """Correlation 0.999: with all of the covariance a trajectory is a few steps, with its diagonal it is fifty."""
    root = torch.tensor([[1.0, 0.0], [0.999, (1 - 0.999**2) ** 0.5]], dtype=torch.float64)
    precision = torch.linalg.inv(root @ root.T)
    target = Target(lambda x: -0.5 * ((x @ precision) * x).sum(1), 2, dtype=torch.float64)
    dense, diagonal = (
        run(ChEES(metric=metric), target=target, chains=100, draws=30).gradients for metric in ("dense", "diagonal")
    )
    assert dense < 30 * 8 < 30 * 16 < diagonal


def test_a_run_depends_on_its_generator_alone():
    one, same, other = (run(ChEES(), chains=5, warmup=20, draws=5, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(one.positions, same.positions) and not torch.equal(one.positions, other.positions)


def test_float32_stays_float32():
    target = Target(lambda x: -0.5 * x.square().sum(1), 2)
    chains = ChEES().run(target, torch.zeros(3, 2), warmup=20, draws=5, generator=torch.Generator().manual_seed(0))
    assert chains.positions.dtype == chains.log_density.dtype == chains.acceptance.dtype == torch.float32


@pytest.mark.parametrize("settings", [{"metric": "full"}, {"target_acceptance": 1.0}])
def test_settings_out_of_range(settings):
    with pytest.raises(InputError, match=next(iter(settings))):
        ChEES(**settings)
