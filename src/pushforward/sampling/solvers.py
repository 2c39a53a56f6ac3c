r"""Ordinary differential equations :math:`dx/dt = v(t, x)`, for many starting points at once.

One step of an explicit Runge-Kutta method from t to t + h:

.. math:: k_i = v\Bigl(t + c_i h,\; x + h \sum_{j<i} a_{ij} k_j\Bigr), \qquad x \leftarrow x + h \sum_i b_i k_i

It has order p if its error over a fixed time falls as :math:`h^p`: Euler 1, Heun 2, the classical method of Kutta 4,
Dormand and Prince 5. The last comes with second weights :math:`\hat b` of order 4 for the same k; the difference of the
two results, :math:`h \sum_i (b_i - \hat b_i) k_i`, tells the error of a step and so chooses its size. Every row has its
own step size: the path of a point does not depend on the points it travels with.

Reference:
    Hairer, Nørsett and Wanner 1993, "Solving Ordinary Differential Equations I", chapter II; Dormand and Prince 1980,
    "A family of embedded Runge-Kutta formulae".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pushforward.core.errors import InputError, check_count

__all__ = ["Method", "Tableau", "Velocity", "runge_kutta_step", "solve_ode", "solve_ode_adjoint", "tableau_of"]

#: v(t, x): the time as (batch, 1, ..., 1), which broadcasts with x, and the points (batch, *event).
Velocity = Callable[[Tensor, Tensor], Tensor]

Method = Literal["euler", "heun", "rk4", "dormand_prince"]

#: The next step is this part of what would just meet the tolerance, and never changes by more than these factors
#: (Hairer et al., section II.4): a step refused costs as much as one taken.
SAFETY, SHRINK_MOST, GROW_MOST = 0.9, 0.2, 10.0


class Tableau(NamedTuple):
    """The numbers of an explicit Runge-Kutta method.

    Args:
        a: of the stages, row i for stage i + 1.
        b: of the result.
        error: b minus the weights of the embedded method, or empty if there is none.
        order: p.
    """

    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]
    error: tuple[float, ...]
    order: int

    @property
    def c(self) -> tuple[float, ...]:
        """The times of the stages: the row sums of a."""
        return (0.0, *(sum(row) for row in self.a))


EULER = Tableau(a=(), b=(1.0,), error=(), order=1)
HEUN = Tableau(a=((1.0,),), b=(1 / 2, 1 / 2), error=(), order=2)
RK4 = Tableau(a=((1 / 2,), (0.0, 1 / 2), (0.0, 0.0, 1.0)), b=(1 / 6, 1 / 3, 1 / 3, 1 / 6), error=(), order=4)
DORMAND_PRINCE = Tableau(
    a=(
        (1 / 5,),
        (3 / 40, 9 / 40),
        (44 / 45, -56 / 15, 32 / 9),
        (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
        (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
        (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
    ),
    b=(35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84, 0.0),
    error=(71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40),
    order=5,
)


def tableau_of(method: Method) -> Tableau:
    """The numbers of a method.

    Raises:
        InputError: if there is no such method.

    Example:
        >>> tableau_of("heun").c
        (0.0, 1.0)
    """
    match method:
        case "euler":
            return EULER
        case "heun":
            return HEUN
        case "rk4":
            return RK4
        case "dormand_prince":
            return DORMAND_PRINCE
        case _:
            raise InputError(f"method: got {method!r}, expected one of {', '.join(get_args(Method))}")


def runge_kutta_step(
    velocity: Velocity, t: Tensor, x: Float[Tensor, "batch *event"], h: Tensor, tableau: Tableau
) -> tuple[Float[Tensor, "batch *event"], Float[Tensor, "batch *event"]]:
    """The state after one step, and the estimate of its error (0 for a method without one).

    Args:
        velocity: v(t, x).
        t: (batch, 1, ..., 1).
        x: the state.
        h: the step, as t or one number.
        tableau: of the method.

    Raises:
        InputError: if the velocity is not finite or not of the shape of x.

    Example:
        >>> x, _ = runge_kutta_step(lambda t, x: x, torch.zeros(1), torch.ones(1), torch.tensor(0.5), HEUN)
        >>> x.item()  # 1 + h + h^2 / 2
        1.625
    """
    stages = [_velocity(velocity, t, x)]
    for c, row in zip(tableau.c[1:], tableau.a, strict=True):
        stages.append(_velocity(velocity, t + c * h, x + h * _combine(row, stages)))
    error = h * _combine(tableau.error, stages) if tableau.error else torch.zeros_like(x)
    return x + h * _combine(tableau.b, stages), error


def solve_ode(
    velocity: Velocity,
    x: Float[Tensor, "batch *event"],
    times: Sequence[float] | Float[Tensor, "k"],
    *,
    method: Method = "dormand_prince",
    steps: int | None = None,
    rtol: float = 1e-6,
    atol: float = 1e-6,
    max_steps: int = 10_000,
) -> Float[Tensor, "k batch *event"]:
    r"""The states at some times, the first of which is the start.

    Gradients flow through all steps by autograd; ``solve_ode_adjoint`` needs less memory for them.

    Args:
        velocity: v(t, x) of the time as (batch, 1, ..., 1) and the points (batch, \*event).
        x: where the points are at the first time.
        times: increasing or decreasing, at least two.
        method: which; only "dormand_prince" can choose its steps.
        steps: equal steps between two times; None lets the method choose them, row by row.
        rtol: an adaptive step may be wrong by ``atol + rtol |x|``, in the root mean square over a row.
        atol: see rtol.
        max_steps: tries of an adaptive method between two times.

    Raises:
        InputError: if the times are not in order, the method needs ``steps``, a tolerance is not positive, the velocity
            is not finite or of another shape than x, or ``max_steps`` do not suffice.

    Example:
        A rotation by a right angle:

        >>> x = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
        >>> path = solve_ode(lambda t, x: torch.stack((-x[:, 1], x[:, 0]), 1), x, [0.0, torch.pi / 2])
        >>> path[-1].round(decimals=5).abs().tolist()
        [[0.0, 1.0]]
    """
    tableau = tableau_of(method)
    moments = checked_times(times)
    if steps is None and not tableau.error:
        raise InputError(f"steps: got None, expected a number of steps: {method} cannot choose them")
    if not (rtol > 0 and atol > 0):
        raise InputError(f"rtol, atol: got {rtol} and {atol}, expected positive numbers")
    if steps is not None:
        check_count(steps, "steps")
    states = [x]
    for start, stop in zip(moments, moments[1:], strict=False):
        if steps is not None:
            x = _even_steps(velocity, x, start, stop, steps, tableau)
        else:
            x = _adaptive_steps(velocity, x, start, stop, tableau, rtol, atol, max_steps)
        states.append(x)
    return torch.stack(states)


def solve_ode_adjoint(
    velocity: nn.Module,
    x: Float[Tensor, "batch *event"],
    times: Sequence[float] | Float[Tensor, "k"],
    *,
    rtol: float = 1e-6,
    atol: float = 1e-6,
) -> Float[Tensor, "k batch *event"]:
    """The same with gradients by the adjoint equation, whose memory does not grow with the steps; from torchdiffeq.

    The steps are chosen for the batch as a whole. Gradients reach x and the parameters of the module.

    Args:
        velocity: a module called as ``velocity(t, x)``, as ``solve_ode`` calls it.
        x: where the points are at the first time.
        times: increasing or decreasing, at least two.
        rtol: relative tolerance.
        atol: absolute tolerance.

    Raises:
        InputError: if torchdiffeq is not installed, the velocity is no module, or the times are not in order.

    Reference:
        Chen, Rubanova, Bettencourt and Duvenaud 2018, "Neural Ordinary Differential Equations".
    """
    if not isinstance(velocity, nn.Module):
        raise InputError(
            f"velocity: got {type(velocity).__name__}, expected an nn.Module: its parameters get gradients"
        )
    try:
        from torchdiffeq import odeint_adjoint
    except ImportError:
        raise InputError(
            'solve_ode_adjoint: needs torchdiffeq, install it with pip install "pushforward[sampling]"'
        ) from None
    moments = x.new_tensor(checked_times(times))
    path = odeint_adjoint(_Broadcast(velocity), x, moments, rtol=rtol, atol=atol)
    assert isinstance(path, Tensor)  # a tuple only for events, which are not asked for
    return path


def checked_times(times: Sequence[float] | Tensor) -> list[float]:
    """Times as numbers.

    Raises:
        InputError: if there are fewer than two, or they neither increase nor decrease.

    Example:
        >>> checked_times(torch.tensor([1.0, 0.0]))
        [1.0, 0.0]
    """
    moments = [float(t) for t in times]
    gaps = [b - a for a, b in zip(moments, moments[1:], strict=False)]
    if not gaps or not (all(gap > 0 for gap in gaps) or all(gap < 0 for gap in gaps)):
        raise InputError(f"times: got {moments}, expected at least two that increase, or decrease")
    return moments


class _Broadcast(nn.Module):
    """A velocity called with one time for all."""

    def __init__(self, velocity: nn.Module) -> None:
        super().__init__()
        self.velocity = velocity

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        return self.velocity(_per_row(t, x), x)


def _even_steps(velocity: Velocity, x: Tensor, start: float, stop: float, steps: int, tableau: Tableau) -> Tensor:
    h = (stop - start) / steps
    for i in range(steps):
        t = _per_row(x.new_tensor(start + i * h), x)
        x, _ = runge_kutta_step(velocity, t, x, x.new_tensor(h), tableau)
    return x


def _adaptive_steps(
    velocity: Velocity, x: Tensor, start: float, stop: float, tableau: Tableau, rtol: float, atol: float, max_steps: int
) -> Tensor:
    """Row by row: a step is taken if its error is within the tolerance, and the next one suits the error."""
    span = stop - start
    # The share of the way that is done, from 0 to 1, so that the end is met exactly in either direction.
    done = _per_row(x.new_zeros(()), x)
    step = _per_row(_first_step(velocity, x, start, span, rtol, atol), x)
    for _ in range(max_steps):
        last = step >= 1 - done
        share = torch.where(last, 1 - done, step)
        new, error = runge_kutta_step(velocity, start + span * done, x, span * share, tableau)
        size = _norm((error / (atol + rtol * torch.maximum(x.abs(), new.abs()))).detach(), x)
        taken = size <= 1
        x = torch.where(taken, new, x)
        done = torch.where(taken, torch.where(last, 1.0, done + share), done)
        if bool((done == 1).all()):
            return x
        factor = SAFETY * size.clamp(min=1e-10) ** (-1 / tableau.order)
        step = share * factor.clamp(SHRINK_MOST, GROW_MOST)
    raise InputError(
        f"max_steps: {max_steps} steps led only to t = {start + span * float(done.min()):.4g} of {stop}, expected a "
        "larger number, looser tolerances, or a velocity that is not stiff"
    )


def _first_step(velocity: Velocity, x: Tensor, start: float, span: float, rtol: float, atol: float) -> Tensor:
    """A share of the way over which Euler's step moves a point by a hundredth of its size (Hairer et al., II.4)."""
    scale = (atol + rtol * x.abs()).detach()
    slope = _velocity(velocity, _per_row(x.new_tensor(start), x), x).detach() * span
    place, speed = _norm(x.detach() / scale, x), _norm(slope / scale, x)
    return torch.where((place < 1e-5) | (speed < 1e-5), 1e-3, 0.01 * place / speed).clamp(max=1.0)


def _norm(y: Tensor, x: Tensor) -> Tensor:
    """Root mean square over each row, shaped as times are."""
    return y.reshape(len(x), -1).square().mean(1).sqrt().view(-1, *[1] * (x.ndim - 1))


def _per_row(t: Tensor, x: Tensor) -> Tensor:
    """A time, or one per row, as (batch, 1, ..., 1)."""
    return t.expand(len(x), *[1] * (x.ndim - 1))


def _combine(weights: tuple[float, ...], stages: list[Tensor]) -> Tensor:
    """sum_j w_j k_j, without the terms that are 0."""
    return torch.stack([w * k for w, k in zip(weights, stages, strict=True) if w]).sum(0)


def _velocity(velocity: Velocity, t: Tensor, x: Tensor) -> Tensor:
    v = velocity(t, x)
    if not isinstance(v, Tensor) or v.shape != x.shape:
        shape = tuple(v.shape) if isinstance(v, Tensor) else type(v).__name__
        raise InputError(f"velocity: got {shape} for points of shape {tuple(x.shape)}, expected the same shape")
    if not bool(torch.isfinite(v).all()):
        raise InputError(
            f"velocity: got a number that is not finite near t = {float(t.flatten()[0]):.4g}, expected finite ones: "
            "shorter steps, or an end of the time before the solution blows up"
        )
    return v
