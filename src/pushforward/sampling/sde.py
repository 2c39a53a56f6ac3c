r"""Stochastic differential equations :math:`dx = f(t, x)\,dt + g(t, x)\,dW`, by the method of Euler and Maruyama.

.. math:: x \leftarrow x + f(t, x)\,h + g(t, x)\,\Delta W, \qquad \Delta W \sim N(0, h)

The noise acts entry by entry (g is a number, or one for each entry) and in Ito's sense: f and g are taken at the
beginning of a step. Two errors are to be told apart:

* *strong*, of a path: :math:`E\,|x_h(T) - x(T)|` falls as :math:`h^{1/2}` (as h if g is constant);
* *weak*, of an average: :math:`|E\,\varphi(x_h(T)) - E\,\varphi(x(T))|` falls as h. For averages alone
  :math:`\Delta W = \pm\sqrt h` by the toss of a coin does as well, since its first three moments are right.

Reference:
    Kloeden and Platen 1992, "Numerical Solution of Stochastic Differential Equations", sections 10.2 and 14.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from pushforward.core.errors import InputError, check_count
from pushforward.sampling.solvers import checked_times

__all__ = ["Increments", "brownian_increments", "coarsen", "solve_sde"]

#: f or g of the time as (batch, 1, ..., 1) and the points (batch, *event).
Coefficient = Callable[[Tensor, Tensor], Tensor]

Increments = Literal["normal", "coin"]


def brownian_increments(
    shape: Sequence[int],
    *,
    steps: int,
    duration: float,
    kind: Increments = "normal",
    dtype: torch.dtype = torch.float64,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "steps batch *event"]:
    r"""What a Brownian motion adds in each of ``steps`` equal parts of a time.

    Args:
        shape: of x, (batch, \*event).
        steps: how many.
        duration: of all of them together.
        kind: "normal" for paths; "coin", :math:`\pm\sqrt h`, for averages only.
        dtype: of the numbers.
        generator: None takes torch's default one.

    Raises:
        InputError: if ``steps`` is below 1, the duration is not positive, or there is no such kind.

    Example:
        >>> brownian_increments((2,), steps=4, duration=1.0, kind="coin").abs().unique().tolist()
        [0.5]
    """
    check_count(steps, "steps")
    if not duration > 0:
        raise InputError(f"duration: got {duration}, expected a positive number")
    root = math.sqrt(duration / steps)
    match kind:
        case "normal":
            return root * torch.randn(steps, *shape, generator=generator, dtype=dtype)
        case "coin":
            return root * (2 * torch.randint(2, (steps, *shape), generator=generator).to(dtype) - 1)
        case _:
            raise InputError(f"kind: got {kind!r}, expected one of {', '.join(get_args(Increments))}")


def coarsen(increments: Float[Tensor, "steps *shape"], factor: int) -> Float[Tensor, "fewer *shape"]:
    """The increments of the same path over steps ``factor`` times as long: sums of neighbours.

    Raises:
        InputError: if the number of steps is no multiple of the factor.

    Example:
        >>> coarsen(torch.tensor([1.0, 2.0, 3.0, 4.0]), 2).tolist()
        [3.0, 7.0]
    """
    check_count(factor, "factor")
    if len(increments) % factor:
        raise InputError(f"factor: got {factor} for {len(increments)} steps, expected a divisor of their number")
    return increments.unflatten(0, (-1, factor)).sum(1)


def solve_sde(
    drift: Coefficient,
    diffusion: Coefficient,
    x: Float[Tensor, "batch *event"],
    times: Sequence[float] | Float[Tensor, "k"],
    *,
    steps: int = 100,
    kind: Increments = "normal",
    increments: Float[Tensor, "steps batch *event"] | None = None,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "k batch *event"]:
    r"""The states at some times, the first of which is the start; every row follows a path of its own.

    Args:
        drift: f(t, x) of the time as (batch, 1, ..., 1) and the points (batch, \*event); of the shape of x.
        diffusion: g(t, x), of a shape that broadcasts to that of x.
        x: where the points are at the first time.
        times: increasing, or decreasing (then time runs backwards, with a Brownian motion of its own).
        steps: equal steps between two times.
        kind: of the increments, see ``brownian_increments``.
        increments: those of a given path, for exactly two times; they decide the steps. None draws them.
        generator: None takes torch's default one.

    Raises:
        InputError: if the times are not in order, the shapes do not fit, or a state is no longer finite.

    Example:
        The Ornstein-Uhlenbeck process :math:`dx = -x\,dt + \sqrt2\,dW` tends to N(0, 1).

        >>> x = torch.full((4000,), 5.0, dtype=torch.float64)
        >>> end = solve_sde(lambda t, x: -x, lambda t, x: 2**0.5 * torch.ones_like(x), x, [0.0, 8.0], steps=400,
        ...                 generator=torch.Generator().manual_seed(0))[-1]
        >>> abs(round(end.mean().item(), 1)), round(end.var().item(), 1)
        (0.0, 1.0)
    """
    moments = checked_times(times)
    check_count(steps, "steps")
    if increments is not None and (len(moments) != 2 or increments.shape[1:] != x.shape or not len(increments)):
        raise InputError(
            f"increments: got shape {tuple(increments.shape)} for {len(moments)} times and points of shape "
            f"{tuple(x.shape)}, expected (steps, *{tuple(x.shape)}) and two times"
        )
    states = [x]
    for start, stop in zip(moments, moments[1:], strict=False):
        noise = increments
        if noise is None:
            noise = brownian_increments(
                x.shape, steps=steps, duration=abs(stop - start), kind=kind, dtype=x.dtype, generator=generator
            ).to(x.device)
        h = (stop - start) / len(noise)
        for i, dw in enumerate(noise):
            t = x.new_tensor(start + i * h).expand(len(x), *[1] * (x.ndim - 1))
            f, g = drift(t, x), diffusion(t, x)
            _check_coefficients(f, g, x, start + i * h)
            x = x + f * h + g * dw
        states.append(x)
    return torch.stack(states)


def _check_coefficients(f: Tensor, g: Tensor, x: Tensor, t: float) -> None:
    for name, value in (("drift", f), ("diffusion", g)):
        shape = tuple(value.shape) if isinstance(value, Tensor) else None
        fits = shape == tuple(x.shape)
        if name == "diffusion" and shape is not None and len(shape) <= x.ndim:  # it may broadcast
            fits = all(a in (1, b) for a, b in zip(reversed(shape), reversed(x.shape), strict=False))
        if not fits:
            came = type(value).__name__ if shape is None else shape
            raise InputError(f"{name}: got {came} for points of shape {tuple(x.shape)}, expected that shape")
        if not bool(torch.isfinite(value).all()):
            raise InputError(
                f"{name}: got a number that is not finite at t = {t:.4g}, expected finite ones: shorter steps may help"
            )
