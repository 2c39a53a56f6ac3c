import pytest
import torch

from pushforward.core.errors import InputError
from pushforward.sampling.metropolis import MALA, RandomWalk
from pushforward.sampling.target import Target
from tests.sampling.known import SCALE, run, t_errors


@pytest.mark.parametrize("method", [RandomWalk(), MALA()])
def test_moments_of_a_gaussian(method):
    chains = run(method)
    assert t_errors(chains.positions).abs().max() < 4  # six standard normals: 4e-4 in all


def test_the_random_walk_scales_itself_as_theory_says():
    """Of a Gaussian: acceptance as asked for, and proposals of 2.38 / sqrt(d) standard deviations."""
    chains = run(RandomWalk(), warmup=400)
    assert chains.acceptance.mean().item() == pytest.approx(0.234 + 0.206 / 3, abs=0.05)
    proposal = chains.settings["step_size"] * chains.settings["scale"].diagonal()
    # 2.38 / sqrt(d) is the limit of many dimensions; in three, 10 % away at the acceptance that is best there.
    assert torch.allclose(proposal, 2.38 / 3**0.5 * SCALE, rtol=0.3)


def test_the_random_walk_learns_correlations_and_takes_no_gradients():
    covariance = torch.tensor([[1.0, 0.95], [0.95, 1.0]], dtype=torch.float64)
    precision = covariance.inverse()
    target = Target(lambda x: -0.5 * ((x.detach() @ precision) * x).sum(1), 2, dtype=torch.float64)
    chains = run(RandomWalk(), warmup=400, target=target)
    root = chains.settings["scale"]
    assert torch.allclose(root @ root.T, covariance, atol=0.1) and target.gradients == 0


def test_mala_is_tuned_to_its_acceptance_and_pays_one_gradient_a_draw():
    chains = run(MALA())
    assert chains.acceptance.mean().item() == pytest.approx(0.574, abs=0.08)
    assert chains.gradients == 100


def test_a_wall_of_no_density_is_not_crossed():
    target = Target(lambda x: torch.where(x[:, 0] > 0, -x[:, 0], -torch.inf), 1, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    start = torch.rand(400, 1, generator=generator, dtype=torch.float64)
    for method in (RandomWalk(), MALA()):
        x = method.run(target, start, warmup=100, draws=100, generator=generator).positions
        assert bool((x > 0).all())
        assert x.mean().item() == pytest.approx(1.0, abs=0.06)  # an exponential; some 5,000 effective draws


@pytest.mark.parametrize("settings", [{"target_acceptance": 1.0}, {"target_acceptance": -0.1}, {"step_size": 0.0}])
def test_settings_out_of_range(settings):
    for method in (RandomWalk, MALA):
        with pytest.raises(InputError, match=next(iter(settings))):
            method(**settings)
