r"""Gibbs sampling: a Markov chain that redraws one variable at a time from its distribution given all others.

.. math:: x_i \sim p(x_i \mid x_1, \dots, x_{i-1}, x_{i+1}, \dots, x_d)

Each such move leaves the joint p unchanged: it keeps the law of the others and draws :math:`x_i` from what p says given
them. A *systematic* scan updates the variables in their order; a *random* one picks d of them, with replacement, per
sweep, which makes the chain reversible. Nothing is rejected and nothing is tuned, but strongly dependent variables move
slowly: two normals with correlation :math:`\rho` keep :math:`\rho^2` of their deviation per systematic sweep.

Reference:
    Geman and Geman 1984, "Stochastic relaxation, Gibbs distributions, and the Bayesian restoration of images".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from pushforward.core.errors import InputError, check_count
from pushforward.probability.drawing import drawing_from
from pushforward.sampling.ancestral import Conditional, parents_of, rows_of

__all__ = ["Scan", "gibbs_sample"]

Scan = Literal["systematic", "random"]


def gibbs_sample(
    conditionals: Mapping[str, Conditional],
    start: Mapping[str, Float[Tensor, "chains *shape"]],
    *,
    draws: int,
    warmup: int = 0,
    scan: Scan = "systematic",
    generator: torch.Generator | None = None,
) -> dict[str, Float[Tensor, "chains draws *shape"]]:
    """Many chains at once, each from its row of the start.

    Args:
        conditionals: variable -> function whose arguments are the names of the other variables it depends on, tensors
            (chains, *shape), and which returns its distribution given them, one row per chain.
        start: variable -> first values, (chains, *shape).
        draws: sweeps that are kept.
        warmup: sweeps before them that are not.
        scan: "systematic" updates all variables in their order; "random" picks one at random as many times. All chains
            share the picks.
        generator: None takes torch's default one.

    Returns:
        Variable -> its values after each sweep.

    Raises:
        InputError: if the names of start and conditionals differ, a conditional depends on what is no variable or on
            its own, does not return one row per chain or draws another shape than the start's, the numbers of chains
            differ, there is no such scan, or a draw is not finite.

    Example:
        >>> from torch.distributions import Normal
        >>> chains = gibbs_sample(
        ...     {"x": lambda y: Normal(0.5 * y, 0.75**0.5), "y": lambda x: Normal(0.5 * x, 0.75**0.5)},
        ...     {"x": torch.zeros(500), "y": torch.zeros(500)},
        ...     draws=20, warmup=5, generator=torch.Generator().manual_seed(0),
        ... )
        >>> chains["x"].shape, round((chains["x"] * chains["y"]).mean().item(), 1)
        (torch.Size([500, 20]), 0.5)
    """
    check_count(draws, "draws")
    if warmup < 0:
        raise InputError(f"warmup: got {warmup}, expected a whole number of at least 0")
    if scan not in get_args(Scan):
        raise InputError(f"scan: got {scan!r}, expected one of {', '.join(get_args(Scan))}")
    depends = _check(conditionals, start)
    names = list(conditionals)
    state = {name: start[name].clone() for name in names}
    kept: dict[str, list[Tensor]] = {name: [] for name in names}
    with drawing_from(generator), torch.no_grad():
        for sweep in range(warmup + draws):
            picks = torch.randint(len(names), (len(names),)).tolist() if scan == "random" else range(len(names))
            for i in picks:
                state[names[i]] = _redraw(names[i], conditionals, depends, state)
            if sweep >= warmup:
                for name in names:
                    kept[name].append(state[name])
    return {name: torch.stack(values, dim=1) for name, values in kept.items()}


def _redraw(
    name: str, conditionals: Mapping[str, Conditional], depends: Mapping[str, tuple[str, ...]], state: dict[str, Tensor]
) -> Float[Tensor, "chains *shape"]:
    old = state[name]
    others = {other: state[other] for other in depends[name]}
    distribution = rows_of(conditionals[name](**others), len(old), name=name, rooted=not others)
    new = distribution.sample()
    if new.shape != old.shape:
        raise InputError(
            f"conditionals: {name!r} draws shape {tuple(new.shape)}, expected that of the start, {tuple(old.shape)}"
        )
    if new.is_floating_point() and not bool(torch.isfinite(new).all()):
        raise InputError(f"conditionals: {name!r} drew a number that is not finite, expected a proper distribution")
    return new


def _check(conditionals: Mapping[str, Conditional], start: Mapping[str, Tensor]) -> dict[str, tuple[str, ...]]:
    """What each variable depends on."""
    if not conditionals or set(conditionals) != set(start):
        raise InputError(f"start: got {sorted(start)}, expected one for each of the variables {sorted(conditionals)}")
    rows = {name: tuple(value.shape) for name, value in start.items()}
    if any(not shape for shape in rows.values()) or len({shape[0] for shape in rows.values()}) > 1:
        raise InputError(f"start: got shapes {rows}, expected (chains, ...) with one number of chains")
    depends = {name: parents_of(name, conditional, conditionals) for name, conditional in conditionals.items()}
    for name, others in depends.items():
        if name in others:
            raise InputError(f"conditionals: {name!r} depends on itself, expected a function of the other variables")
    return depends
