r"""A bridge from a reference that can be drawn from to a target that cannot.

Between a wide normalised density r and the unnormalised target :math:`\pi` lie, for an inverse temperature
:math:`\beta` from 0 to 1,

.. math:: \log \pi_\beta(x) = (1 - \beta) \log r(x) + \beta \log \pi(x),

each near enough to the next that what is known of one carries over. The reference is a multivariate Student t, whose
tails leave no place of the target out; the points in between are moved by Metropolis or Hamiltonian steps that leave
:math:`\pi_\beta` invariant, preconditioned by the covariance of the population, every point with a step size of its
own: a fixed multiple of :math:`e^{-sU}`, U uniform on (0, 1), so that narrow places are entered with small steps and
wide ones are crossed with large ones, and nothing has to be known about where which is needed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from pushforward.core.errors import InputError
from pushforward.sampling.preconditioning import Preconditioner
from pushforward.sampling.target import Target

__all__ = ["Bridge", "Move", "Placed", "StudentReference", "Walk"]

Move = Literal["auto", "rwm", "hmc"]

#: Logarithm of how much smaller the smallest step is than the largest: without gradients, and with.
SPREAD_RWM, SPREAD_HMC = 4.0, 2.0

#: Leapfrog steps of a Hamiltonian move.
LEAPS = 8

#: From this dimension on gradients pay ("auto").
GRADIENT_DIMENSION = 5

#: What the largest Hamiltonian step is tuned to: the mean acceptance over all sizes.
ACCEPTANCE = 0.75


@dataclass(frozen=True, eq=False)
class StudentReference:
    r"""A multivariate Student t with :math:`\nu` degrees of freedom, or with :math:`\nu = \infty` a normal.

    .. math:: \log r(x) = c - \tfrac{\nu + d}{2} \log\left(1 + \tfrac{|F^{-1}(x - m)|^2}{\nu}\right) - \log\det F

    Args:
        location: m.
        factor: F, a lower triangle with a positive diagonal.
        dof: nu, a whole number of at least 3, or infinity.

    Raises:
        InputError: if the factor has no positive diagonal, or nu is not usable.

    Example:
        >>> wide = StudentReference.round(2, 10.0)
        >>> wide.draw(5, generator=torch.Generator().manual_seed(0)).shape
        torch.Size([5, 2])
        >>> wide.log_prob(torch.zeros(1, 2))  # -log(2 pi 10^2)
        tensor([-6.4430])
    """

    location: Float[Tensor, "dim"]
    factor: Float[Tensor, "dim dim"]
    dof: float = 5.0

    def __post_init__(self) -> None:
        if not bool((self.factor.diagonal() > 0).all()):
            raise InputError(f"factor: got the diagonal {self.factor.diagonal().tolist()}, expected positive numbers")
        if self.dof != math.inf and (self.dof < 3 or self.dof != int(self.dof)):
            raise InputError(f"dof: got {self.dof}, expected a whole number of at least 3, or infinity")

    @classmethod
    def round(cls, dim: int, scale: float, *, dof: float = 5.0, dtype: torch.dtype | None = None) -> StudentReference:
        """Of one width in every direction, around 0."""
        return cls(torch.zeros(dim, dtype=dtype), scale * torch.eye(dim, dtype=dtype), dof)

    @classmethod
    def around(cls, x: Float[Tensor, "n dim"], weights: Float[Tensor, "n"], *, widen: float) -> StudentReference:
        """With the mean and ``widen`` times the standard deviations and the correlations of weighted points."""
        share = (weights / weights.sum()).double()
        mean = share @ x.double()
        apart = x.double() - mean
        covariance = (apart * share[:, None]).T @ apart
        ridge = 1e-6 * covariance.diagonal() + 1e-30
        factor = widen * torch.linalg.cholesky(covariance + torch.diag(ridge))
        return cls(mean.to(x.dtype), factor.to(x.dtype))

    def draw(self, n: int, *, generator: torch.Generator | None = None) -> Float[Tensor, "n dim"]:
        """Independent points."""
        z = torch.randn(n, len(self.location), generator=generator, dtype=self.factor.dtype)
        if self.dof != math.inf:
            chi = torch.randn(n, int(self.dof), generator=generator, dtype=self.factor.dtype).square().mean(1)
            z = z / chi.sqrt()[:, None]
        return self.location + z @ self.factor.T

    def log_prob(self, x: Float[Tensor, "n dim"]) -> Float[Tensor, "n"]:
        """log r(x), normalised."""
        squares = self._whiten(x).square().sum(1)
        d, nu = x.shape[1], self.dof
        inside = -0.5 * squares if nu == math.inf else -0.5 * (nu + d) * torch.log1p(squares / nu)
        return inside + self._constant(d)

    def gradient(self, x: Float[Tensor, "n dim"]) -> Float[Tensor, "n dim"]:
        """Of log r."""
        z = self._whiten(x)
        d, nu = x.shape[1], self.dof
        pull = z if nu == math.inf else z * ((nu + d) / (nu + z.square().sum(1, keepdim=True)))
        return -(pull @ self._inverse)

    @cached_property
    def _inverse(self) -> Tensor:
        identity = torch.eye(len(self.factor), dtype=torch.float64)
        return torch.linalg.solve_triangular(self.factor.double(), identity, upper=False).to(self.factor.dtype)

    def _whiten(self, x: Tensor) -> Tensor:
        return (x - self.location) @ self._inverse.T

    def _constant(self, d: int) -> Tensor:
        nu = self.dof
        if nu == math.inf:
            constant = -0.5 * d * math.log(2 * math.pi)
        else:
            constant = math.lgamma((nu + d) / 2) - math.lgamma(nu / 2) - 0.5 * d * math.log(nu * math.pi)
        return constant - self.factor.diagonal().log().sum()


class Placed(NamedTuple):
    """Points, and the two ends of the bridge there."""

    x: Float[Tensor, "n dim"]
    log_reference: Float[Tensor, "n"]
    log_target: Float[Tensor, "n"]

    def chosen(self, rows: Tensor) -> Placed:
        """Some of them, again and again if need be."""
        return Placed(self.x[rows], self.log_reference[rows], self.log_target[rows])

    def moved(self, taken: Tensor, other: Placed) -> Placed:
        """Those of ``other`` where ``taken``."""
        return Placed(
            torch.where(taken[:, None], other.x, self.x),
            torch.where(taken, other.log_reference, self.log_reference),
            torch.where(taken, other.log_target, self.log_target),
        )


@dataclass
class Walk:
    """How points are moved at one temperature.

    Args:
        metric: of the population.
        step: the largest step of a Hamiltonian move, in units of the metric; one that adapts follows it.
    """

    metric: Preconditioner
    step: float


class Bridge:
    """The densities in between, and moves that leave each of them as it is.

    Args:
        target: at 1.
        reference: at 0.
        move: "rwm" without gradients, "hmc" with, "auto" with from 5 dimensions on.

    Raises:
        InputError: if there is no such move.
    """

    def __init__(self, target: Target, reference: StudentReference, move: Move) -> None:
        if move not in get_args(Move):
            raise InputError(f"move: got {move!r}, expected one of {', '.join(get_args(Move))}")
        self.target, self.reference = target, reference
        self.gradients = move == "hmc" or (move == "auto" and target.dim >= GRADIENT_DIMENSION)

    def place(self, x: Float[Tensor, "n dim"]) -> Placed:
        """Both ends at some points."""
        return Placed(x, self.reference.log_prob(x), self.target.value(x))

    def move(
        self, at: Placed, beta: float, walk: Walk, generator: torch.Generator | None, *, adapt: bool
    ) -> tuple[Placed, float]:
        """One move of every point at one temperature, and the mean acceptance.

        Args:
            at: where they are.
            beta: inverse temperature.
            walk: how; ``adapt`` changes its step.
            generator: of all randomness.
            adapt: whether to learn the step from the acceptance.
        """
        n = len(at.x)
        uniform = torch.rand(2, n, generator=generator, dtype=at.x.dtype)
        proposed, log_ratio = (self._leap if self.gradients else self._hop)(at, beta, walk, uniform[0], generator)
        log_ratio = log_ratio.nan_to_num(-math.inf)
        accepted = float(log_ratio.clamp(max=0).exp().mean())
        if adapt and self.gradients:
            walk.step *= math.exp(0.5 * (accepted - ACCEPTANCE))
        return at.moved(uniform[1].log() < log_ratio, proposed), accepted

    def _hop(
        self, at: Placed, beta: float, walk: Walk, size: Tensor, generator: torch.Generator | None
    ) -> tuple[Placed, Tensor]:
        """Random-walk Metropolis; 2.38/sqrt(d) is the best single size for a normal (Roberts et al. 1997)."""
        step = 2.38 / math.sqrt(self.target.dim) * torch.exp(-SPREAD_RWM * size)
        xi = torch.randn(at.x.shape, generator=generator, dtype=at.x.dtype)
        proposed = self.place(at.x + walk.metric.velocity(step[:, None] * xi))
        return proposed, _mixed(proposed, beta) - _mixed(at, beta)

    def _leap(
        self, at: Placed, beta: float, walk: Walk, size: Tensor, generator: torch.Generator | None
    ) -> tuple[Placed, Tensor]:
        """A short Hamiltonian trajectory."""
        step = (walk.step * torch.exp(-SPREAD_HMC * size))[:, None]
        p = torch.randn(at.x.shape, generator=generator, dtype=at.x.dtype)
        energy = 0.5 * p.square().sum(1) - _mixed(at, beta)
        x = at.x
        log_target, force = self._force(x, beta, walk.metric)
        for i in range(LEAPS):
            p = p + (0.5 if i == 0 else 1.0) * step * force
            x = x + walk.metric.velocity(step * p)
            log_target, force = self._force(x, beta, walk.metric)
        p = p + 0.5 * step * force
        end = Placed(x, self.reference.log_prob(x), log_target)
        return end, energy - 0.5 * p.square().sum(1) + _mixed(end, beta)

    def _force(self, x: Tensor, beta: float, metric: Preconditioner) -> tuple[Tensor, Tensor]:
        log_target, gradient = self.target.value_and_grad(x)
        return log_target, metric.gradient(beta * gradient + (1 - beta) * self.reference.gradient(x))


def _mixed(at: Placed, beta: float) -> Tensor:
    return (1 - beta) * at.log_reference + beta * at.log_target
