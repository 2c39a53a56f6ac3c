r"""An amount of information with its error and the way it was found, and what is asked of the samples it comes from.

An amount of information is an expectation of log-densities, in nats (natural logarithms); divided by ln 2 it is in
bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, MixtureSameFamily, constraints

from pushforward.core.errors import InputError
from pushforward.probability.drawing import drawing_from

__all__ = ["Nats", "as_points", "draw_points", "log_density", "mean_of", "split_rows", "support_of"]


@dataclass(frozen=True)
class Nats:
    """A number of nats, and how far it can be relied on.

    Args:
        value: the number; infinite where that is the answer.
        standard_error: of an estimate; for a quadrature the change that half of its nodes were good for.
        method: how it was found.
        kind: ``exact`` (to rounding, or to the tolerance of the quadrature), ``estimate``, or ``bound``: what is below
            the truth but for its standard error.

    Example:
        >>> found = Nats(0.5, 0.1, "Monte Carlo", "estimate")
        >>> print(found)
        0.5 +- 0.1 nats (estimate, Monte Carlo)
        >>> found.interval
        (0.304, 0.696)
        >>> Nats(math.log(2), 0.0, "closed form", "exact").bits
        1.0
    """

    value: float
    standard_error: float
    method: str
    kind: Literal["exact", "estimate", "bound"]

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        error = "" if self.kind == "exact" else f" +- {self.standard_error:.2g}"
        return f"{self.value:.6g}{error} nats ({self.kind}, {self.method})"

    @property
    def bits(self) -> float:
        """The value in bits."""
        return self.value / math.log(2)

    @property
    def interval(self) -> tuple[float, float]:
        """The value give or take 1.96 standard errors: 95 % of such intervals cover what an unbiased estimate is of."""
        return self.value - 1.96 * self.standard_error, self.value + 1.96 * self.standard_error


def mean_of(terms: Float[Tensor, "n"], method: str) -> Nats:
    r"""The mean of independent terms, with its standard error :math:`s / \sqrt n`.

    Example:
        >>> mean_of(torch.tensor([0.0, 2.0]), "by hand")
        Nats(value=1.0, standard_error=1.0, method='by hand', kind='estimate')
    """
    terms = terms.double()
    if bool(terms.isinf().any()):
        return Nats(float(terms.mean()), 0.0, f"{method}; there is mass where the other has none", "estimate")
    return Nats(float(terms.mean()), float(terms.std()) / math.sqrt(len(terms)), method, "estimate")


def as_points(x: Tensor, name: str, *, least: int = 2) -> Float[Tensor, "n dim"]:
    """Samples as rows: (n,) becomes (n, 1), and further axes are flattened.

    Raises:
        InputError: if they are fewer than ``least``, are not floating-point numbers, or one is not finite.

    Example:
        >>> as_points(torch.zeros(3), "x").shape
        torch.Size([3, 1])
        >>> as_points(torch.tensor([0.0, torch.nan]), "x")
        Traceback (most recent call last):
        ...
        pushforward.core.errors.InputError: x: got nan in sample 1, expected finite numbers
    """
    if not x.is_floating_point():
        raise InputError(f"{name}: got samples of {x.dtype}, expected floating-point numbers")
    if x.ndim == 0 or len(x) < least:
        raise InputError(f"{name}: got {len(x) if x.ndim else 'no row of'} sample(s), expected at least {least}")
    x = x.detach().reshape(len(x), -1)
    if x.shape[1] == 0:
        raise InputError(f"{name}: got samples of no entry, expected at least one")
    if bool((bad := ~x.isfinite()).any()):
        row, column = bad.nonzero()[0].tolist()
        raise InputError(f"{name}: got {float(x[row, column])} in sample {row}, expected finite numbers")
    return x


def split_rows(n: int, shares: tuple[float, ...], generator: torch.Generator | None) -> tuple[Tensor, ...]:
    """Rows 0 to n - 1 in random order, shared out in these proportions.

    Example:
        >>> [len(part) for part in split_rows(10, (0.5, 0.3, 0.2), torch.Generator().manual_seed(0))]
        [5, 3, 2]
    """
    order = torch.randperm(n, generator=generator)
    ends = [round(n * sum(shares[: i + 1])) for i in range(len(shares))]
    return tuple(order[start:end] for start, end in zip([0, *ends], ends, strict=False))


def draw_points(p: Distribution, n: int, generator: torch.Generator | None, name: str = "p") -> Tensor:
    """n draws of a distribution, (n, *event).

    Raises:
        InputError: if the distribution is a batch of several, or cannot be sampled.

    Example:
        >>> p = torch.distributions.Normal(0.0, 1.0)
        >>> one, two = (draw_points(p, 3, torch.Generator().manual_seed(5)) for _ in range(2))
        >>> torch.equal(one, two)
        True
    """
    if p.batch_shape:
        shape = tuple(p.batch_shape)
        raise InputError(
            f"{name}: got a batch of distributions of shape {shape}, expected one (Independent joins them)"
        )
    try:
        with drawing_from(generator):
            return p.sample(torch.Size((n,)))
    except NotImplementedError:
        raise InputError(f"{name}: got a {type(p).__name__}, which has no sampler, expected one that has") from None


def support_of(p: Distribution) -> constraints.Constraint | None:
    """Where a distribution has mass: of a mixture that of its components, or None if it does not say.

    Example:
        >>> support_of(torch.distributions.Exponential(1.0))
        GreaterThanEq(lower_bound=0.0)
    """
    try:
        return support_of(p.component_distribution) if isinstance(p, MixtureSameFamily) else p.support
    except NotImplementedError:
        return None


def log_density(p: Distribution, x: Tensor) -> Float[Tensor, "n"]:
    """log p(x), which is -inf outside the support, where torch would refuse to answer.

    Example:
        >>> log_density(torch.distributions.Uniform(0.0, 1.0), torch.tensor([0.5, 2.0]))
        tensor([0., -inf])
    """
    support = support_of(p)
    inside = None if support is None else support.check(x)
    if not isinstance(inside, Tensor) or bool(inside.all()):
        return p.log_prob(x)
    inside = inside.reshape(len(x), -1).all(1)
    if not bool(inside.any()):
        return torch.full((len(x),), -torch.inf, dtype=x.dtype if x.is_floating_point() else torch.get_default_dtype())
    some = p.log_prob(x[inside])
    return some.new_full((len(x),), -torch.inf).index_put((inside,), some)
