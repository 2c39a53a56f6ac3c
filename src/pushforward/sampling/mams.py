r"""MAMS: microcanonical dynamics with a Metropolis test, for many chains in lock-step.

Each iteration draws directions u uniformly on the sphere, follows the isokinetic dynamics of ``isokinetic`` for
:math:`\lceil hL/\epsilon\rceil` minimal-norm steps, and accepts where it ends with probability

.. math:: \min(1, e^{-W}), \qquad W = \sum_{\text{steps}} \left(\Delta K - \Delta\log\pi\right),

the energy error of the whole path. The test removes the bias of a finite step, which may then be large. Step
:math:`\epsilon`, length L and preconditioner are found in warm-up by ``trajectory``, the length by the same criterion
as in ChEES-HMC.

Reference:
    Robnik, Cohn-Gordon and Seljak 2025, "Metropolis Adjusted Microcanonical Hamiltonian Monte Carlo".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from pushforward.sampling.hamiltonian import begin, check_settings
from pushforward.sampling.isokinetic import Particles, check_dimension, minimal_norm, random_directions
from pushforward.sampling.method import Chains, Method, Report, silent
from pushforward.sampling.preconditioning import Metric, Preconditioner, check_metric
from pushforward.sampling.target import Target
from pushforward.sampling.trajectory import End, run_trajectories
from pushforward.sampling.tuned import State

__all__ = ["MAMS"]


@dataclass(frozen=True)
class MAMS(Method):
    """Metropolis-adjusted microcanonical sampler: a draw is one trajectory; two gradients a step.

    Args:
        target_acceptance: harmonic mean over the chains that the step size is tuned to, so that none is left stuck.
        metric: what is learnt of the covariance: "diagonal", "dense" (all of it), or "auto": dense where there are
            enough positions (10 per dimension) and at most 512 dimensions.

    Raises:
        InputError: if a setting is out of range, or in one dimension.

    Example:
        >>> target = Target(lambda x: -0.5 * (x / torch.tensor([1.0, 9.0])).square().sum(1), dim=2)
        >>> start = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
        >>> chains = MAMS().run(target, start, warmup=50, draws=20, generator=torch.Generator().manual_seed(0))
        >>> chains.positions.shape
        torch.Size([64, 20, 2])
    """

    target_acceptance: float = 0.8
    metric: Metric = "auto"

    def __post_init__(self) -> None:
        check_settings(self.target_acceptance, None)
        check_metric(self.metric)

    def run(
        self,
        target: Target,
        start: Float[Tensor, "chains dim"],
        *,
        warmup: int,
        draws: int,
        generator: torch.Generator | None,
        report: Report = silent,
    ) -> Chains:
        check_dimension(target.dim, "mams")

        def follow(state: State, metric: Preconditioner, step: float, count: int) -> End:
            return _trajectory(target, state, metric, step, count, generator)

        return run_trajectories(
            target,
            begin(target, start),
            follow,
            guess=math.sqrt(target.dim),  # the time it takes to cross a standard normal, or so
            crossing=math.pi * math.sqrt(target.dim),  # the speed is 1 in all coordinates together
            acceptance=self.target_acceptance,
            metric=self.metric,
            warmup=warmup,
            draws=draws,
            generator=generator,
            report=report,
        )


def _trajectory(
    target: Target, state: State, metric: Preconditioner, step: float, count: int, generator: torch.Generator | None
) -> End:
    """The end of a trajectory with a fresh direction."""
    end = Particles(state.x, random_directions(state.x, generator), state.log_density, state.gradient)
    error = torch.zeros_like(state.log_density)
    for _ in range(count):
        end, more = minimal_norm(target, end, metric, step)
        error = error + more
    return End(State(end.x, end.log_density, end.gradient), end.u, error)
