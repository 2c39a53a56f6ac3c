r"""What two densities are compared by: the integrands of the divergences, and their means over draws.

.. math:: p \ln \frac{p}{q}, \qquad -p \ln q, \qquad
          \tfrac12 \left( p \ln \frac{p}{m} + q \ln \frac{q}{m} \right),\quad m = \tfrac12 (p + q).

Each has all of its mass where p (in the last, p or q) has; where q has none there, the integral is infinite.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, constraints

from pushforward.probability.nats import Nats, draw_points, log_density, mean_of

__all__ = [
    "Product",
    "crossed",
    "halfway",
    "mean_crossed",
    "mean_halfway",
    "mean_log_ratio",
    "relative",
]


class Product(Distribution):
    """Two independent blocks of entries as one vector: the density p(x) p(y).

    Args:
        x: of the first block, a vector or a number.
        y: of the second.
        first: entries of x.

    Example:
        >>> x, y = torch.distributions.Normal(0.0, 1.0), torch.distributions.Exponential(2.0)
        >>> Product(x, y, 1).log_prob(torch.tensor([[0.0, 0.0]])).item()  # -ln(2 pi) / 2 + ln 2
        -0.22579
    """

    arg_constraints: dict[str, constraints.Constraint] = {}

    def __init__(self, x: Distribution, y: Distribution, first: int) -> None:
        self.x, self.y, self.first = x, y, first
        super().__init__(event_shape=torch.Size((first + math.prod(y.event_shape),)), validate_args=False)

    @property
    def support(self) -> None:
        """Not said: each block has its own, and is asked by itself."""
        return None

    def log_prob(self, value: Float[Tensor, "n dim"]) -> Float[Tensor, "n"]:
        """ln p(x) + ln p(y) of rows that hold x, then y; -inf where a block has no mass."""
        blocks = value[:, : self.first], value[:, self.first :]
        return sum(
            (
                log_density(p, block.reshape(-1, *p.event_shape))
                for p, block in zip((self.x, self.y), blocks, strict=True)
            ),
            value.new_zeros(len(value)),
        )


def crossed(logs: Sequence[Tensor]) -> Tensor:
    """- p ln q, which is 0 where p is."""
    p, q = logs
    return torch.where(p == -torch.inf, 0.0, -p.exp() * q)


def relative(logs: Sequence[Tensor]) -> Tensor:
    """p ln (p / q), which is 0 where p is."""
    p, q = logs
    return torch.where(p == -torch.inf, 0.0, p.exp() * (p - q))


def halfway(logs: Sequence[Tensor]) -> Tensor:
    """(p ln (p / m) + q ln (q / m)) / 2."""
    middle = torch.logaddexp(*logs) - math.log(2)
    return 0.5 * (relative((logs[0], middle)) + relative((logs[1], middle)))


def mean_crossed(x: Tensor, q: Distribution) -> Nats:
    """Minus the mean of ln q over samples of p."""
    return mean_of(-log_density(q, x), _drawn(x))


def mean_log_ratio(p: Distribution, q: Distribution, draws: int, generator: torch.Generator | None) -> Nats:
    """The mean of ln (p / q) over draws of p."""
    x = draw_points(p, draws, generator)
    return mean_of(log_density(p, x) - log_density(q, x), _drawn(x))


def mean_halfway(p: Distribution, q: Distribution, draws: int, generator: torch.Generator | None) -> Nats:
    """Half the mean of ln (p / m) over draws of p and of ln (q / m) over as many of q."""

    def terms(own: Distribution, other: Distribution) -> Tensor:
        x = draw_points(own, draws, generator)
        log_own = log_density(own, x)
        return log_own - torch.logaddexp(log_own, log_density(other, x)) + math.log(2)

    # Draw i of p goes together with draw i of q: their sums are independent terms.
    both = 0.5 * (terms(p, q) + terms(q, p))
    return mean_of(both, f"Monte Carlo, {draws} draws of each")


def _drawn(x: Tensor) -> str:
    return f"Monte Carlo, {len(x)} draws"
