import pytest
import torch

from pushforward.core.errors import InputError
from pushforward.sampling.hamiltonian import HMC, begin, first_step_size, leapfrog
from pushforward.sampling.target import Target
from tests.sampling.known import SCALE, run, t_errors


def quartic():
    return Target(lambda x: -(x**4).sum(1) / 4, 2, dtype=torch.float64)


def energy_error(steps: int) -> float:
    """Along a path of length 1."""
    target = quartic()
    state, u = begin(target, torch.ones(1, 2).double()), torch.ones(1, 2).double()
    before = state.log_density - 0.5 * u.square().sum(1)
    for _ in range(steps):
        state, u = leapfrog(target, state, u, torch.full((2,), 1 / steps).double())
    return float((state.log_density - 0.5 * u.square().sum(1) - before).abs())


def test_the_leapfrog_is_of_second_order_and_runs_backwards():
    assert energy_error(50) / energy_error(100) == pytest.approx(4, rel=0.05)
    target = quartic()
    state, u = begin(target, torch.ones(1, 2).double()), torch.ones(1, 2).double()
    step = torch.tensor([0.1, 0.2]).double()
    forth, v = state, u
    for _ in range(10):
        forth, v = leapfrog(target, forth, v, step)
    back, w = forth, -v
    for _ in range(10):
        back, w = leapfrog(target, back, w, step)
    assert torch.allclose(back.x, state.x) and torch.allclose(w, -u)


def test_moments_of_a_gaussian_and_what_was_tuned():
    chains = run(HMC())
    assert t_errors(chains.positions).abs().max() < 4
    assert chains.acceptance.mean().item() == pytest.approx(0.8, abs=0.12)  # steps per trajectory are whole numbers
    assert torch.allclose(chains.settings["scale"], SCALE, rtol=0.1)
    assert not bool(chains.divergent.any())


def test_the_first_step_size_fits_the_target():
    narrow = Target(lambda x: -0.5 * (x / 1e-4).square().sum(1), 2, dtype=torch.float64)
    start = begin(narrow, 1e-4 * torch.randn(64, 2, generator=torch.Generator().manual_seed(0)).double())
    step = first_step_size(narrow, start, 0.8, torch.Generator().manual_seed(0))
    assert 0.3e-4 < step < 3e-4  # the standard deviation and half of it, doubled or halved


def test_a_step_far_too_large_diverges():
    chains = run(HMC(step_size=50.0), warmup=0, draws=5)
    assert bool(chains.divergent.all()) and float(chains.acceptance.max()) < 1e-6


@pytest.mark.parametrize("settings", [{"length": 0.0}, {"max_steps": 0}, {"target_acceptance": 2.0}])
def test_settings_out_of_range(settings):
    with pytest.raises(InputError, match=next(iter(settings))):
        HMC(**settings)
