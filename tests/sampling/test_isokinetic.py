import math

import pytest
import torch

from pushforward.core.errors import InputError
from pushforward.sampling.isokinetic import Particles, check_dimension, kick, minimal_norm, random_directions
from pushforward.sampling.preconditioning import Preconditioner
from pushforward.sampling.target import Target


def quartic() -> Target:
    return Target(lambda x: -(x**4).sum(1), 4, dtype=torch.float64)


def particles(target: Target, n: int = 50) -> Particles:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, target.dim, generator=generator, dtype=torch.float64)
    return Particles(x, random_directions(x, generator), *target.value_and_grad(x))


def test_a_kick_solves_its_equation():
    """Against ten thousand small steps of du/dt = (g - (u.g) u) / (d - 1), dK/dt = u.g."""
    generator = torch.Generator().manual_seed(0)
    g = 5 * torch.randn(20, 4, generator=generator, dtype=torch.float64)
    u = random_directions(g, generator)
    v, work, n = u, torch.zeros(20, dtype=torch.float64), 10_000
    for _ in range(n):
        middle = v + 0.5 / n * (g - (v * g).sum(1, keepdim=True) * v) / 3
        work = work + (middle * g).sum(1) / n
        v = v + (g - (middle * g).sum(1, keepdim=True) * middle) / 3 / n
    turned, gained = kick(u, g, 1.0)
    assert torch.allclose(turned, v, atol=1e-6)
    assert torch.allclose(gained, work, atol=1e-5)


def test_a_step_backwards_returns():
    target = quartic()
    before = particles(target)
    metric = Preconditioner(torch.tensor([1.0, 2.0, 0.5, 1.0], dtype=torch.float64))
    after, error = minimal_norm(target, before, metric, 0.3)
    back, undone = minimal_norm(target, after._replace(u=-after.u), metric, 0.3)
    assert torch.allclose(back.x, before.x, atol=1e-10) and torch.allclose(back.u, -before.u, atol=1e-9)
    assert torch.allclose(undone, -error, atol=1e-9)


def test_the_energy_error_is_of_second_order_along_a_path():
    """Over a path of fixed length it falls fourfold when the step is halved."""
    target = quartic()
    errors = []
    for n in (40, 80):
        state, total = particles(target), torch.zeros(50, dtype=torch.float64)
        for _ in range(n):
            state, error = minimal_norm(target, state, Preconditioner.identity(state.x), 1.0 / n)
            total = total + error
        errors.append(float(total.square().mean().sqrt()))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.2)


def test_two_gradients_a_step():
    target = quartic()
    state = particles(target)
    target.gradients = 0
    minimal_norm(target, state, Preconditioner.identity(state.x), 0.1)
    assert target.gradients == 2


def test_one_dimension_is_refused():
    with pytest.raises(InputError, match="'mclmc' in 1 dimension"):
        check_dimension(1, "mclmc")
