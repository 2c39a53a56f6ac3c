"""Log-densities as samplers call them: checked, so that a wrong one is an error with a name and never a wrong draw."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from pushforward.core.errors import InputError

__all__ = ["describe_point", "inside", "log_density_of", "log_prob_of"]


def log_density_of(
    log_density: Callable[[Tensor], Tensor], x: Float[Tensor, "n *event"], *, name: str
) -> Float[Tensor, "n"]:
    """The values of a user's log-density, without gradients.

    Raises:
        InputError: if they are not of shape (n,), or one is NaN or +inf.

    Example:
        >>> log_density_of(lambda x: x.log(), torch.tensor([1.0, -1.0]), name="log_target")
        Traceback (most recent call last):
        ...
        pushforward.core.errors.InputError: log_target: got nan at x = -1, expected a number, or -inf where there is ...
    """
    with torch.no_grad():
        value = log_density(x)
    if not isinstance(value, Tensor) or value.shape != x.shape[:1]:
        shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise InputError(
            f"{name}: got {shape} for draws of shape {tuple(x.shape)}, expected one number each, ({len(x)},): "
            "sum over the dimensions of one draw"
        )
    bad = torch.isnan(value) | (value == torch.inf)
    if bool(bad.any()):
        i = int(bad.nonzero()[0])
        raise InputError(
            f"{name}: got {float(value[i])} at x = {describe_point(x[i])}, expected a number, or -inf where there is "
            "no mass"
        )
    return value


def log_prob_of(distribution: Distribution, x: Float[Tensor, "n *event"]) -> Float[Tensor, "n"]:
    """log q(x), -inf outside of the support (where many distributions raise instead).

    Raises:
        InputError: if the distribution has a batch shape: it is to be one law, not several.

    Example:
        >>> log_prob_of(torch.distributions.Uniform(0.0, 2.0), torch.tensor([1.0, 3.0])).exp().tolist()
        [0.5, 0.0]
    """
    if distribution.batch_shape:
        raise InputError(
            f"proposal: got a batch of {tuple(distribution.batch_shape)} distributions, expected one: "
            f"torch.distributions.Independent(proposal, {len(distribution.batch_shape)}) makes it one"
        )
    within = inside(distribution, x)
    value = torch.full(x.shape[:1], -torch.inf, dtype=x.dtype, device=x.device)
    if bool(within.any()):
        with torch.no_grad():
            value[within] = distribution.log_prob(x[within]).to(x.dtype)
    return value


def inside(distribution: Distribution, x: Float[Tensor, "n *event"]) -> Tensor:
    """Which points lie in the support; all, for a distribution that does not say.

    Example:
        >>> inside(torch.distributions.Exponential(1.0), torch.tensor([-1.0, 1.0])).tolist()
        [False, True]
    """
    try:
        support = distribution.support
    except NotImplementedError:
        support = None
    if support is None:
        return torch.ones(x.shape[:1], dtype=torch.bool, device=x.device)
    within = support.check(x)
    return within.flatten(1).all(1) if within.ndim > 1 else within


def describe_point(x: Float[Tensor, "*event"]) -> str:
    """A point as messages write it: four digits, and not more than six coordinates.

    Example:
        >>> describe_point(torch.tensor([1.0, 2.5]))
        '(1, 2.5)'
    """
    flat = x.flatten().tolist()
    if x.ndim == 0:
        return f"{flat[0]:.4g}"
    written = ", ".join(f"{number:.4g}" for number in flat[:6])
    return f"({written}, ...)" if len(flat) > 6 else f"({written})"
