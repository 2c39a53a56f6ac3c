r"""Linear preconditioning: chains walk in coordinates z in which the target is as wide in every direction.

With :math:`x = A z` and :math:`A A^\top = \Sigma` the covariance (or its diagonal), a velocity in z is one in x, and a
gradient comes back:

.. math:: \dot x = A \dot z, \qquad \nabla_z = A^\top \nabla_x.

The covariance is pooled over chains and warm-up iterations. Its correlations are shrunk towards zero as far as their
own noise asks, :math:`(1 - \rho) R + \rho I`, so that a few hundred positions in a hundred dimensions are enough to
gain from them.

Reference:
    Chen, Wiesel, Eldar and Hero 2010, "Shrinkage algorithms for MMSE covariance estimation", equation 23, for
    :math:`\rho`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from pushforward.core.errors import InputError

__all__ = ["Metric", "Preconditioner", "check_metric", "preconditioner"]

Metric = Literal["auto", "dense", "diagonal"]

#: Beyond this many dimensions a product with a full matrix costs more than it saves.
DENSE_DIMENSIONS = 512

#: Positions per dimension from which "auto" trusts correlations.
POSITIONS_PER_DIMENSION = 10


@dataclass(frozen=True, eq=False)
class Preconditioner:
    """The map A.

    Args:
        factor: A: its diagonal, or a lower triangle.

    Example:
        >>> metric = Preconditioner(torch.tensor([1.0, 10.0]))
        >>> metric.velocity(torch.ones(1, 2))
        tensor([[ 1., 10.]])
    """

    factor: Float[Tensor, "dim"] | Float[Tensor, "dim dim"]

    @classmethod
    def identity(cls, like: Float[Tensor, "chains dim"]) -> Preconditioner:
        """x = z."""
        return cls(torch.ones_like(like[0]))

    @property
    def dense(self) -> bool:
        """Whether A is a full matrix."""
        return self.factor.ndim == 2

    @property
    def scale(self) -> Float[Tensor, "dim"]:
        """The standard deviation of every coordinate."""
        return self.factor.norm(dim=1) if self.dense else self.factor

    def velocity(self, v: Float[Tensor, "chains dim"]) -> Float[Tensor, "chains dim"]:
        """A v: from z to x."""
        return v @ self.factor.T if self.dense else v * self.factor

    def gradient(self, g: Float[Tensor, "chains dim"]) -> Float[Tensor, "chains dim"]:
        """A^T g: from x to z."""
        return g @ self.factor if self.dense else g * self.factor

    def whiten(self, x: Float[Tensor, "chains dim"]) -> Float[Tensor, "chains dim"]:
        """A^-1 x: from x to z."""
        if not self.dense:
            return x / self.factor
        return torch.linalg.solve_triangular(self.factor.T, x, upper=True, left=False)

    def size_against(self, other: Preconditioner) -> float:
        """How much longer a unit of z is in x than with ``other``, in the geometric mean over the coordinates."""
        return float((self.scale.log() - other.scale.log()).mean().exp())


def check_metric(metric: Metric) -> None:
    """Raise ``InputError`` unless there is such a metric.

    Example:
        >>> check_metric("diagonal")
    """
    if metric not in get_args(Metric):
        raise InputError(f"metric: got {metric!r}, expected one of {', '.join(get_args(Metric))}")


def preconditioner(positions: Float[Tensor, "n dim"], metric: Metric = "auto") -> Preconditioner:
    """From positions of the warm-up.

    Args:
        positions: of all chains.
        metric: "diagonal", "dense", or "auto": dense where there are 10 positions per dimension and at most 512
            dimensions.

    Raises:
        InputError: if there is no such metric.

    Example:
        >>> z = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0))
        >>> x = z @ torch.tensor([[1.0, 0.0], [3.0, 4.0]]).T
        >>> preconditioner(x, "dense").factor.round(decimals=1)
        tensor([[1., 0.],
                [3., 4.]])
    """
    check_metric(metric)
    x = positions.double()
    n, dim = x.shape
    # A coordinate that never moved keeps a scale above zero.
    scale = x.std(0).clamp_min(1e-6).nan_to_num(1.0) if n > 1 else torch.ones_like(x[0])
    dense = metric == "dense" or (metric == "auto" and dim <= DENSE_DIMENSIONS and n >= POSITIONS_PER_DIMENSION * dim)
    if not dense or n < 3:
        return Preconditioner(scale.to(positions.dtype))
    standard = (x - x.mean(0)) / scale
    correlation = standard.T @ standard / (n - 1)
    squares = float(correlation.square().sum())  # trace of R^2; the trace of R is dim
    rho = ((1 - 2 / dim) * squares + dim**2) / ((n + 1 - 2 / dim) * max(squares - dim, 1e-12))
    # Never quite 0: what was found to be flat in one direction keeps a width of a thousandth.
    rho = min(max(rho, 1e-6), 1.0)
    shrunk = (1 - rho) * correlation + rho * torch.eye(dim, dtype=x.dtype, device=x.device)
    return Preconditioner((scale[:, None] * torch.linalg.cholesky(shrunk)).to(positions.dtype))
