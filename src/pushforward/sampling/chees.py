r"""ChEES-HMC: Hamiltonian Monte Carlo for many chains in lock-step, which learns how long its trajectories should be.

Each iteration draws a momentum, follows Hamilton's equations with the leapfrog for :math:`\lceil hT/\epsilon\rceil`
steps,

.. math:: p \leftarrow p + \tfrac\epsilon2 A^\top\nabla\log\pi(x), \qquad x \leftarrow x + \epsilon A p, \qquad
    p \leftarrow p + \tfrac\epsilon2 A^\top\nabla\log\pi(x),

and accepts where it ends with probability :math:`\min(1, e^{-\Delta H})`, :math:`H = \tfrac12 |p|^2 - \log\pi(x)`.
Where NUTS decides for every chain by itself when to stop, which makes all chains of a batch wait for the longest tree,
the chains here share T, the jitter h, the step :math:`\epsilon` and the preconditioner A, all found by ``trajectory``.

Reference:
    Hoffman, Radul and Sountsov 2021, "An Adaptive-MCMC Scheme for Setting Trajectory Lengths in Hamiltonian Monte
    Carlo".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from pushforward.sampling.hamiltonian import begin, check_settings, normal_like
from pushforward.sampling.method import Chains, Method, Report, silent
from pushforward.sampling.preconditioning import Metric, Preconditioner, check_metric
from pushforward.sampling.target import Target
from pushforward.sampling.trajectory import End, run_trajectories
from pushforward.sampling.tuned import State

__all__ = ["ChEES"]


@dataclass(frozen=True)
class ChEES(Method):
    """Many-chain Hamiltonian Monte Carlo: a draw is one trajectory.

    Args:
        target_acceptance: harmonic mean over the chains that the step size is tuned to, so that none is left stuck
            (0.65: section 3 of the reference).
        metric: what is learnt of the covariance: "diagonal", "dense" (all of it), or "auto": dense where there are
            enough positions (10 per dimension) and at most 512 dimensions.

    Raises:
        InputError: if a setting is out of range.

    Example:
        >>> target = Target(lambda x: -0.5 * (x / torch.tensor([1.0, 9.0])).square().sum(1), dim=2)
        >>> start = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
        >>> chains = ChEES().run(target, start, warmup=50, draws=20, generator=torch.Generator().manual_seed(0))
        >>> chains.positions.shape
        torch.Size([64, 20, 2])
    """

    target_acceptance: float = 0.65
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
        def follow(state: State, metric: Preconditioner, step: float, count: int) -> End:
            return _trajectory(target, state, metric, step, count, generator)

        return run_trajectories(
            target,
            begin(target, start),
            follow,
            guess=target.dim**-0.25,  # the leapfrog's error grows so with the dimension
            crossing=math.pi,  # half a period of a standard normal
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
    """The end of a trajectory with a fresh momentum."""
    x, log_density, gradient = state
    p = normal_like(x, generator)
    energy = 0.5 * p.square().sum(1) - log_density
    p = torch.add(p, metric.gradient(gradient), alpha=0.5 * step)
    for i in range(count):
        x = torch.add(x, metric.velocity(p), alpha=step)
        log_density, gradient = target.value_and_grad(x)
        # The half steps of two neighbours are one whole step.
        p = torch.add(p, metric.gradient(gradient), alpha=step if i < count - 1 else 0.5 * step)
    return End(State(x, log_density, gradient), p, 0.5 * p.square().sum(1) - log_density - energy)
