import math

import pytest
import torch
from scipy.special import gammaincinv

from pushforward.core.errors import InputError
from pushforward.sampling.hamiltonian import begin
from pushforward.sampling.nuts import NUTS, transition
from pushforward.sampling.target import Target
from tests.sampling.known import SCALE, run, t_errors


def test_moments_of_a_gaussian_and_what_was_tuned():
    chains = run(NUTS(), warmup=100, draws=50)
    assert t_errors(chains.positions).abs().max() < 4
    assert chains.acceptance.mean().item() == pytest.approx(0.8, abs=0.1)
    assert torch.allclose(chains.settings["scale"], SCALE, rtol=0.1)


@pytest.mark.parametrize("depth", [1, 3, 6])
def test_an_iteration_leaves_the_target_as_it_is(depth):
    """Exact draws, moved once with a step that is much too coarse or fine, are still exact draws."""
    n = 20_000
    target = Target(lambda x: -x.abs().pow(1.5).sum(1), 2, dtype=torch.float64)
    generator = torch.Generator().manual_seed(depth)
    # |x|^1.5 is a gamma variable of shape 1 / 1.5, so exact draws are at hand.
    size = torch.distributions.Gamma(torch.tensor(2 / 3), torch.tensor(1.0))
    grid = torch.rand(n, 2, generator=generator, dtype=torch.float64)
    radius = torch.as_tensor(gammaincinv(2 / 3, grid.numpy())) ** (2 / 3)
    sign = torch.where(torch.rand(n, 2, generator=generator) < 0.5, -1.0, 1.0)
    step = torch.tensor([1.3, 0.2]).double()
    moved = transition(target, begin(target, sign * radius), step, step, depth, generator)
    after = moved.state.x.abs() ** 1.5
    assert float((after.mean(0) - size.mean).abs().max()) < 4 * math.sqrt(2 / 3 / n)  # the variance is the shape
    assert float((after.square().mean(0) - 10 / 9).abs().max()) < 4 * math.sqrt(6.3 / n)  # a(a+1); its fourth moment
    assert float((moved.state.x.mean(0)).abs().max()) < 4 * float(radius.square().mean().sqrt()) / math.sqrt(n)
    assert float((moved.state.x != sign * radius).double().mean()) > 0.5  # and it moves


def test_the_state_of_a_chain_is_consistent():
    target = Target(lambda x: -(x**4).sum(1), 3, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    state = begin(target, torch.randn(50, 3, generator=generator).double())
    moved = transition(target, state, torch.full((3,), 0.1).double(), torch.ones(3).double(), 8, generator).state
    value, gradient = target.value_and_grad(moved.x)
    assert torch.equal(moved.log_density, value) and torch.equal(moved.gradient, gradient)


def test_a_trajectory_stops_when_it_turns():
    """Half a period of a unit Gaussian takes pi / 0.1 = 31 steps: 31 or 63 of them, never 1,023."""
    target = Target(lambda x: -0.5 * x.square().sum(1), 50, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    state = begin(target, torch.randn(1, 50, generator=generator).double())
    step = torch.full((50,), 0.1).double()
    for _ in range(20):
        target.gradients = 0
        state = transition(target, state, step, torch.ones(50).double(), 10, generator).state
        assert 15 <= target.gradients <= 63


def test_a_depth_of_two_is_three_gradients():
    chains = run(NUTS(max_depth=2, step_size=1e-3), warmup=0, draws=5)
    assert chains.gradients == 15


def test_divergences_are_found_where_the_density_narrows():
    """Neal's funnel, whose neck no step size of the mouth fits."""

    def funnel(x):
        v = x[:, 0]
        return -v.square() / 18 - 0.5 * (x[:, 1:].square().sum(1) * torch.exp(-v)) - 2 * v

    chains = run(NUTS(max_depth=4), chains=10, warmup=40, draws=30, target=Target(funnel, 5, dtype=torch.float64))
    assert bool(chains.divergent.any()) and not bool(chains.divergent.all())
    assert bool(chains.positions.isfinite().all())


def test_a_run_depends_on_its_generator_alone():
    one, same, other = (run(NUTS(), chains=5, warmup=20, draws=5, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(one.positions, same.positions) and not torch.equal(one.positions, other.positions)


def test_float32_stays_float32():
    target = Target(lambda x: -0.5 * x.square().sum(1), 2)
    chains = NUTS().run(target, torch.zeros(3, 2), warmup=20, draws=5, generator=torch.Generator().manual_seed(0))
    assert chains.positions.dtype == chains.log_density.dtype == chains.acceptance.dtype == torch.float32


@pytest.mark.parametrize("settings", [{"max_depth": 0}, {"target_acceptance": 0.0}, {"step_size": -1.0}])
def test_settings_out_of_range(settings):
    with pytest.raises(InputError, match=next(iter(settings))):
        NUTS(**settings)
