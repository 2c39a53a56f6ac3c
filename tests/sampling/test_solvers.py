"""Solvers of ordinary differential equations: orders, tolerances, rows on their own, gradients, bad velocities."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pushforward.core.errors import InputError
from pushforward.sampling.solvers import Method, runge_kutta_step, solve_ode, solve_ode_adjoint, tableau_of

METHODS = {"euler": 1, "heun": 2, "rk4": 4, "dormand_prince": 5}


def logistic(t: Tensor, x: Tensor) -> Tensor:
    """dx/dt = x (1 - x) cos t, of which the logit of x grows as sin t."""
    return x * (1 - x) * torch.cos(t)


def logistic_answer(x: Tensor, t: float) -> Tensor:
    return torch.sigmoid(torch.logit(x) + math.sin(t))


START = torch.tensor([[0.1, 0.5], [0.3, 0.8]], dtype=torch.float64)


def slope(steps: list[int], errors: list[float]) -> float:
    """Of log error against log step."""
    return -float(np.polyfit(np.log(steps), np.log(errors), 1)[0])


def turn(t: Tensor, x: Tensor) -> Tensor:
    """A rotation whose speed 1 + sin(t) / 2 changes."""
    return (1 + torch.sin(t) / 2) * torch.stack((-x[:, 1], x[:, 0]), dim=1)


def turn_answer(x: Tensor, t: float) -> Tensor:
    angle = t + (1 - math.cos(t)) / 2
    c, s = math.cos(angle), math.sin(angle)
    return x @ torch.tensor([[c, s], [-s, c]], dtype=x.dtype)


# Steps where the leading term of the error rules and rounding (1e-16) does not.
STEPS = {"euler": [250, 500, 1000], "heun": [50, 100, 200], "rk4": [40, 80, 160], "dormand_prince": [40, 80, 160]}


def errors_of(velocity, answer, method: Method) -> list[float]:
    runs = [solve_ode(velocity, START, [0.0, 2.0], method=method, steps=n)[-1] for n in STEPS[method]]
    return [float((end - answer(START, 2.0)).norm()) for end in runs]


@pytest.mark.parametrize("method", METHODS)
def test_the_order_is_the_declared_one(method: Method):
    found = slope(STEPS[method], errors_of(turn, turn_answer, method))
    assert found == pytest.approx(METHODS[method], abs=0.1)
    assert tableau_of(method).order == METHODS[method]
    # Where the velocity is not linear in x more conditions count; here the terms of order 5 and 6 are of like size.
    assert slope(STEPS[method], errors_of(logistic, logistic_answer, method)) > METHODS[method] - 0.1


def test_the_error_estimate_is_of_the_order_of_the_embedded_method():
    # The local error of order 4 is h^5; so is its estimate.
    estimates = []
    for n in (10, 20, 40):
        h = torch.full((2, 1), 1 / n, dtype=torch.float64)
        _, error = runge_kutta_step(logistic, torch.zeros(2, 1).double(), START, h, tableau_of("dormand_prince"))
        estimates.append(float(error.abs().max()))
    assert slope([10, 20, 40], estimates) == pytest.approx(5, abs=0.1)


@pytest.mark.parametrize("method", METHODS)
def test_the_tableaus_are_consistent(method: Method):
    tableau = tableau_of(method)
    assert sum(tableau.b) == pytest.approx(1.0, abs=1e-15)
    assert sum(tableau.error) == pytest.approx(0.0, abs=1e-15)
    # The condition of order 2, sum b_i c_i = 1/2.
    if tableau.order >= 2:
        assert sum(b * c for b, c in zip(tableau.b, tableau.c, strict=True)) == pytest.approx(0.5, abs=1e-14)


@pytest.mark.parametrize("tolerance", [1e-4, 1e-7, 1e-10])
def test_the_adaptive_error_is_of_the_size_of_the_tolerance(tolerance: float):
    times = [0.0, 0.7, 2.0, 5.0]
    path = solve_ode(logistic, START, times, rtol=tolerance, atol=tolerance)
    assert path.shape == (4, 2, 2)
    for state, t in zip(path, times, strict=True):
        # Errors of some ten steps add up, in an equation that does not amplify them.
        assert float((state - logistic_answer(START, t)).abs().max()) < 10 * tolerance


def test_adaptive_steps_agree_with_scipy():
    from scipy.integrate import solve_ivp

    def swing(t: Tensor, x: Tensor) -> Tensor:
        return torch.stack((x[:, 1], -torch.sin(x[:, 0])), dim=1)

    x = torch.tensor([[3.0, 0.0]], dtype=torch.float64)
    ours = solve_ode(swing, x, [0.0, 10.0], rtol=1e-10, atol=1e-10)[-1, 0]
    theirs = solve_ivp(lambda t, y: [y[1], -math.sin(y[0])], (0, 10), [3.0, 0.0], rtol=1e-12, atol=1e-12).y[:, -1]
    assert ours.numpy() == pytest.approx(theirs, abs=1e-7)


def test_a_path_does_not_depend_on_the_points_it_travels_with():
    def pull(t: Tensor, x: Tensor) -> Tensor:
        return -(x**3)

    x = torch.tensor([[0.1], [30.0]], dtype=torch.float64)  # the second needs much shorter steps
    together = solve_ode(pull, x, [0.0, 1.0])[-1]
    assert torch.equal(together[:1], solve_ode(pull, x[:1], [0.0, 1.0])[-1])
    assert together[:, 0].tolist() == pytest.approx([v / math.sqrt(1 + 2 * v**2) for v in (0.1, 30.0)], rel=1e-5)


def test_backwards_is_the_inverse():
    path = solve_ode(logistic, START, [0.0, 2.0], rtol=1e-9, atol=1e-9)
    back = solve_ode(logistic, path[-1], torch.tensor([2.0, 0.0]), rtol=1e-9, atol=1e-9)
    assert torch.allclose(back[-1], START, atol=1e-7)
    even = solve_ode(logistic, path[-1], [2.0, 0.0], method="rk4", steps=50)
    assert torch.allclose(even[-1], START, atol=1e-6)


@pytest.mark.parametrize("event", [(), (3,), (2, 4)])
def test_any_shape_and_dtype(event: tuple[int, ...]):
    x = torch.rand(5, *event, generator=torch.Generator().manual_seed(0))
    end = solve_ode(logistic, x, [0.0, 1.0])[-1]
    assert end.dtype == torch.float32
    assert torch.allclose(end, logistic_answer(x, 1.0), atol=1e-5)


def test_a_point_at_rest_stays():
    x = torch.zeros(2, 3)
    assert torch.equal(solve_ode(lambda t, x: torch.zeros_like(x), x, [0.0, 1.0])[-1], x)


class Linear(nn.Module):
    """dx/dt = a x, so that x(1) = x(0) e^a and its derivative by a is x(1)."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(0.7, dtype=torch.float64))

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        assert t.shape == (len(x), 1)
        return self.a * x


@pytest.mark.parametrize("adjoint", [False, True])
def test_gradients_reach_the_start_and_the_parameters(adjoint: bool):
    velocity = Linear()
    x = torch.tensor([[2.0]], dtype=torch.float64, requires_grad=True)
    if adjoint:
        pytest.importorskip("torchdiffeq")
        end = solve_ode_adjoint(velocity, x, [0.0, 1.0], rtol=1e-9, atol=1e-9)[-1]
    else:
        end = solve_ode(velocity, x, [0.0, 1.0], rtol=1e-9, atol=1e-9)[-1]
    end.sum().backward()
    assert end.item() == pytest.approx(2 * math.exp(0.7), rel=1e-7)
    assert x.grad.item() == pytest.approx(math.exp(0.7), rel=1e-6)
    assert velocity.a.grad.item() == pytest.approx(2 * math.exp(0.7), rel=1e-6)


def test_bad_input_is_named():
    x = torch.ones(2, 1, dtype=torch.float64)
    with pytest.raises(InputError, match="steps: got None"):
        solve_ode(logistic, x, [0.0, 1.0], method="rk4")
    with pytest.raises(InputError, match="steps: got 0"):
        solve_ode(logistic, x, [0.0, 1.0], method="rk4", steps=0)
    with pytest.raises(InputError, match="method: got 'verlet'"):
        solve_ode(logistic, x, [0.0, 1.0], method="verlet")
    for times in ([0.0], [0.0, 0.0], [0.0, 1.0, 0.5], [0.0, math.nan]):
        with pytest.raises(InputError, match="times: got"):
            solve_ode(logistic, x, times)
    with pytest.raises(InputError, match="rtol, atol: got"):
        solve_ode(logistic, x, [0.0, 1.0], rtol=0.0)
    with pytest.raises(InputError, match=r"velocity: got \(2,\)"):
        solve_ode(lambda t, x: x[:, 0], x, [0.0, 1.0])
    with pytest.raises(InputError, match="velocity: got a number that is not finite near t = 0"):
        solve_ode(lambda t, x: x / 0, x, [0.0, 1.0])
    # x' = x^2 from 1 is infinite at t = 1
    with pytest.raises(InputError, match=r"max_steps: 500 steps led only to t = 1 of 2|velocity: .* near t = 1"):
        solve_ode(lambda t, x: x**2, x, [0.0, 2.0], max_steps=500)
    with pytest.raises(InputError, match="velocity: got function, expected an nn.Module"):
        solve_ode_adjoint(logistic, x, [0.0, 1.0])
