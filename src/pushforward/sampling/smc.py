r"""Sequential Monte Carlo: a population that walks from a wide reference to the target, and measures its mass.

At temperatures :math:`0 = \beta_0 < \dots < \beta_T = 1` on the ``bridge`` each particle is weighted by
:math:`(\pi/r)^{\beta_t - \beta_{t-1}}`, drawn anew in proportion to its weight, and moved by steps that leave
:math:`\pi_{\beta_t}` as it is. The next temperature is the one at which the effective sample size of the weights falls
to a given share, so that hard parts of the way get more of them. The mean weights multiply to the normalising constant,

.. math:: \hat Z = \prod_t \frac1N \sum_i \left(\frac{\pi(x_i)}{r(x_i)}\right)^{\beta_t - \beta_{t-1}},
    \qquad E \hat Z = \int \pi

(unbiased at fixed temperatures). The particles live on *islands* between which nothing passes, and every island has its
own :math:`\hat Z_j`: their spread is the standard error, whatever happened on the way.

Two modes, however far apart, are both kept when the reference covers both: that is what chains cannot do.

Reference:
    Del Moral, Doucet and Jasra 2006, "Sequential Monte Carlo samplers"; for the temperatures Jasra et al. 2011.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from pushforward.core.errors import InputError, check_count
from pushforward.probability.weights import Estimate, log_mean_weight
from pushforward.sampling.bridge import Bridge, Move, Placed, StudentReference, Walk
from pushforward.sampling.preconditioning import preconditioner
from pushforward.sampling.resampling import resample
from pushforward.sampling.target import LogDensity, Target, target_of

__all__ = ["Anneal", "Population", "Stage", "sequential_monte_carlo"]

#: The reference where none is given: wide for a parameter on its natural scale.
SCALE = 10.0

#: How much wider than what the first round found the reference of the second is.
WIDEN = 1.5

#: Moves at beta = 1, in multiples of those at the others: the end is what counts.
LAST = 3

#: The largest Hamiltonian step to start from, in standard deviations.
STEP = 1.0


@dataclass(frozen=True, eq=False)
class Stage:
    """One temperature of a run: beta, how points were moved there, and the mean acceptance."""

    beta: float
    walk: Walk
    acceptance: float


@dataclass(frozen=True, eq=False)
class Population:
    """Weighted particles.

    Args:
        values: in the user's space, island after island.
        log_weights: normalised: their exponentials sum to 1.
        log_z: log of the target's integral.
        log_z_error: its standard error.
        log_z_islands: of every island.
        stages: the temperatures.
        reference: where the particles came from.
    """

    values: Shaped[Tensor, "particles *event"]
    log_weights: Float[Tensor, "particles"]
    log_z: float
    log_z_error: float
    log_z_islands: Float[Tensor, "islands"]
    stages: list[Stage]
    reference: StudentReference

    def mean(self, values: Float[Tensor, "particles *shape"] | None = None) -> Estimate:
        r"""The mean of a function of the particles, with the standard error from the spread of the islands.

        Islands count as :math:`W_j \propto \hat Z_j`; the error is :math:`(\sum_j W_j^2 (m_j - m)^2)^{1/2}`.

        Args:
            values: of the function, at ``values``; None is the particles themselves.
        """
        values = self.values if values is None else values
        islands = len(self.log_z_islands)
        each = values.double().reshape(islands, -1, *values.shape[1:]).mean(1)
        share = self.log_z_islands.double().softmax(0).reshape(-1, *(1,) * (each.ndim - 1))
        mean = (share * each).sum(0)
        # A sum of J squares around its own mean falls short by the share (J - 1)/J.
        error = (share.square() * (each - mean).square()).sum(0).mul(islands / max(islands - 1, 1)).sqrt()
        return Estimate(mean, error)


def sequential_monte_carlo(
    log_prob: LogDensity,
    *,
    dim: int | None = None,
    reference: StudentReference | None = None,
    particles: int = 4096,
    islands: int = 16,
    moves: int = 10,
    keep: float = 0.7,
    move: Move = "auto",
    generator: torch.Generator | None = None,
) -> Population:
    """Draw from an unnormalised density that may have several far modes, and integrate it.

    Args:
        log_prob: a function of points (n, dim), a distribution or a model, as ``sample`` takes them.
        dim: of the points of a function.
        reference: where particles come from, in unconstrained coordinates. None takes a Student t of width 10
            around 0, and after a first round with a quarter of the particles one fitted to what they found.
        particles: how many.
        islands: in how many populations they live, a divisor of ``particles``; at least 2.
        moves: per temperature.
        keep: the effective sample size after weighting, as a share, that sets the next temperature.
        move: "rwm" without gradients, "hmc" with, "auto" with from 5 dimensions on.
        generator: of all randomness; None is torch's default.

    Raises:
        InputError: if a number is out of range, the density is not usable, or it is zero at all particles.

    Example:
        >>> def two_modes(x):
        ...     return torch.logaddexp(-0.5 * (x - 8).square().sum(1), -0.5 * (x + 8).square().sum(1))
        >>> found = sequential_monte_carlo(
        ...     two_modes, dim=1, particles=1024, generator=torch.Generator().manual_seed(0)
        ... )
        >>> abs(found.log_z - math.log(2 * math.sqrt(2 * math.pi))) < 5 * found.log_z_error
        True
    """
    check_count(particles, "particles")
    if not isinstance(islands, int) or islands < 2 or particles % islands or particles < 4 * islands:
        raise InputError(
            f"islands: got {islands!r} for {particles} particles, expected a divisor of them, at least 2 and at most a "
            "quarter of them"
        )
    target = target_of(log_prob, dim=dim if reference is None else len(reference.location))
    run = Anneal(target, islands, moves, keep, move, generator)
    size = particles // islands
    reference = run.find_reference(max(4, size // 4)) if reference is None else reference
    at, log_z, stages = run(reference, size)
    estimate = log_mean_weight(log_z)
    return Population(
        values=target.to_user(at.x),
        log_weights=_weights(log_z, size).log(),
        log_z=float(estimate.value),
        log_z_error=float(estimate.standard_error),
        log_z_islands=log_z,
        stages=stages,
        reference=reference,
    )


def _weights(log_z: Tensor, size: int) -> Tensor:
    """Of the particles: those of an island share its weight."""
    return (log_z.softmax(0) / size).repeat_interleave(size)


@dataclass
class Anneal:
    """The run of a population, with the settings of ``sequential_monte_carlo``."""

    target: Target
    islands: int
    moves: int
    keep: float
    move: Move
    generator: torch.Generator | None

    def __post_init__(self) -> None:
        check_count(self.moves, "moves")
        if not 0 < self.keep < 1:
            raise InputError(f"keep: got {self.keep!r}, expected a number between 0 and 1")

    def find_reference(self, size: int) -> StudentReference:
        """One fitted to what islands of ``size`` particles find that come from a wide one."""
        wide = StudentReference.round(self.target.dim, SCALE, dtype=self.target.dtype)
        at, log_z, _ = self(wide, size)
        return StudentReference.around(at.x, _weights(log_z, size), widen=WIDEN)

    def __call__(self, reference: StudentReference, size: int) -> tuple[Placed, Tensor, list[Stage]]:
        """Particles at beta = 1, log Z of every island, and what happened on the way."""
        bridge = Bridge(self.target, reference, self.move)
        x = reference.draw(self.islands * size, generator=self.generator)
        self._check(x, bridge)
        at = bridge.place(x)
        beta, step, log_z, stages = 0.0, STEP, torch.zeros(self.islands, dtype=torch.float64), []
        while beta < 1:
            ratio = (at.log_target - at.log_reference).double().reshape(self.islands, size)
            after = _next_temperature(ratio, beta, self.keep)
            log_weights = (after - beta) * ratio
            log_z = log_z + log_weights.logsumexp(1) - math.log(size)
            beta = after
            first = size * torch.arange(self.islands)[:, None]
            at = at.chosen((resample(log_weights, generator=self.generator) + first).flatten())
            walk = Walk(preconditioner(at.x, "dense" if len(x) > 2 * self.target.dim else "diagonal"), step)
            accepted = 0.0
            count = self.moves * (LAST if beta == 1 else 1)
            for _ in range(count):
                at, share = bridge.move(at, beta, walk, self.generator, adapt=True)
                accepted += share / count
            step = walk.step
            stages.append(Stage(beta, walk, accepted))
        return at, log_z, stages

    def _check(self, x: Tensor, bridge: Bridge) -> None:
        """The density is usable, and not zero everywhere; far out it may be."""
        value = self.target.tried(x)
        inside = value > -math.inf
        if not bool(inside.any()):
            raise InputError("reference: the density is zero at all of its draws, expected one that covers the target")
        self.target.check(x[inside][:2], gradient=bridge.gradients)


def _next_temperature(ratio: Float[Tensor, "islands size"], beta: float, keep: float) -> float:
    """Where the effective sample size of the weights is ``keep``, by bisection; 1 if it is larger all the way."""

    def remains(after: float) -> float:
        share = ((after - beta) * ratio).softmax(1)
        return float((1 / share.square().sum(1)).mean()) / ratio.shape[1]

    if remains(1.0) >= keep:
        return 1.0
    low, high = beta, 1.0
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if remains(middle) >= keep else (low, middle)
    # At the limit of rounding, go on all the same.
    return high if low <= beta else low
