r"""Annealed importance sampling: importance weights over a path of distributions, particle by particle.

Each particle starts at a draw of a wide reference r, and at fixed temperatures :math:`0 = \beta_0 < \dots < \beta_T
= 1` on the ``bridge`` it is weighted and then moved by steps that leave :math:`\pi_{\beta_t}` as it is:

.. math:: w = \prod_{t=1}^{T} \left(\frac{\pi(x_{t-1})}{r(x_{t-1})}\right)^{\beta_t - \beta_{t-1}}, \qquad
    E\,w = \int \pi, \qquad \frac{E\,[w f(x_T)]}{E\,w} = E_\pi f .

Both hold however badly the moves mix; with bad ones the weights vary more, and that is measured: by their effective
sample size, Pareto :math:`\hat k` and the standard error of :math:`\log\hat Z`. The particles never meet, so that
their weights are independent and the error is that of a plain mean. Where particles may be resampled on the way,
``smc`` gets more out of the same moves.

Temperatures and step sizes must not follow the particles they weight: they are found by a pilot population, and fixed.

Reference:
    Neal 2001, "Annealed importance sampling".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from pushforward.core.errors import InputError, check_count
from pushforward.probability.weights import Estimate, effective_sample_size, log_mean_weight, self_normalised_mean
from pushforward.sampling.bridge import Bridge, Move, StudentReference
from pushforward.sampling.smc import Anneal, Stage
from pushforward.sampling.target import LogDensity, target_of

__all__ = ["Annealed", "annealed_importance_sampling"]

#: The pilot: islands of a few particles, and how many moves at each of its temperatures.
PILOT_ISLANDS, PILOT_MOVES, PILOT_KEEP = 8, 10, 0.7


@dataclass(frozen=True, eq=False)
class Annealed:
    """Weighted draws, independent of each other.

    Args:
        values: in the user's space.
        log_weights: unnormalised: the mean of their exponentials is the integral.
        log_z: log of the target's integral.
        log_z_error: its standard error.
        betas: the temperatures, from 0 to 1.
    """

    values: Shaped[Tensor, "particles *event"]
    log_weights: Float[Tensor, "particles"]
    log_z: float
    log_z_error: float
    betas: Float[Tensor, "temperatures"]

    @property
    def effective(self) -> float:
        """The effective sample size of the weights."""
        return float(effective_sample_size(self.log_weights))

    def mean(self, values: Float[Tensor, "particles *shape"] | None = None) -> Estimate:
        """The weighted mean of a function of the draws, with its standard error.

        Args:
            values: of the function, at ``values``; None is the draws themselves.
        """
        return self_normalised_mean((self.values if values is None else values).double(), self.log_weights.double())


def annealed_importance_sampling(
    log_prob: LogDensity,
    *,
    dim: int | None = None,
    reference: StudentReference | None = None,
    particles: int = 1024,
    temperatures: int = 100,
    moves: int = 1,
    move: Move = "auto",
    generator: torch.Generator | None = None,
) -> Annealed:
    """Weighted draws from an unnormalised density, and its integral with a standard error.

    Args:
        log_prob: a function of points (n, dim), a distribution or a model, as ``sample`` takes them.
        dim: of the points of a function.
        reference: where particles come from, in unconstrained coordinates; None takes a Student t fitted to what a
            pilot population found from a width of 10 around 0.
        particles: how many, at least 2.
        temperatures: T, at least as many as the pilot used.
        moves: per temperature.
        move: "rwm" without gradients, "hmc" with, "auto" with from 5 dimensions on.
        generator: of all randomness; None is torch's default.

    Raises:
        InputError: if a number is out of range, or the density is not usable.

    Example:
        >>> found = annealed_importance_sampling(
        ...     lambda x: -0.5 * x.square().sum(1),
        ...     dim=2,
        ...     particles=256,
        ...     generator=torch.Generator().manual_seed(0),
        ... )
        >>> abs(found.log_z - math.log(2 * math.pi)) < 5 * found.log_z_error
        True
    """
    for name, count in (("particles", particles), ("temperatures", temperatures), ("moves", moves)):
        check_count(count, name)
    if particles < 2:
        raise InputError(f"particles: got {particles}, expected at least 2, for the standard error")
    target = target_of(log_prob, dim=dim if reference is None else len(reference.location))
    pilot = Anneal(target, PILOT_ISLANDS, PILOT_MOVES, PILOT_KEEP, move, generator)
    size = max(16, particles // PILOT_ISLANDS // 4)
    reference = pilot.find_reference(size) if reference is None else reference
    _, _, stages = pilot(reference, size)
    bridge = Bridge(target, reference, move)
    at = bridge.place(reference.draw(particles, generator=generator))
    betas, of_stage = _ladder(stages, temperatures)
    log_weights = torch.zeros(particles, dtype=torch.float64)
    for before, beta, stage in zip(betas[:-1], betas[1:], of_stage, strict=True):
        log_weights += (beta - before) * (at.log_target - at.log_reference).double()
        for _ in range(moves):
            at, _ = bridge.move(at, beta, stages[stage].walk, generator, adapt=False)
    log_z, error = log_mean_weight(log_weights)
    return Annealed(target.to_user(at.x), log_weights, float(log_z), float(error), torch.tensor(betas))


def _ladder(stages: list[Stage], temperatures: int) -> tuple[list[float], list[int]]:
    """Every step of the pilot cut into as many equal ones, and which of its stages each belongs to."""
    cuts = max(1, math.ceil(temperatures / len(stages)))
    betas, of_stage, low = [0.0], [], 0.0
    for number, stage in enumerate(stages):
        betas += [low + (stage.beta - low) * (cut + 1) / cuts for cut in range(cuts)]
        of_stage += [number] * cuts
        low = stage.beta
    betas[-1] = 1.0
    return betas, of_stage
