r"""Metropolis: propose a move, take it as often as the densities say.

With a proposal :math:`q(x' \mid x)`, taking it with probability

.. math:: \min\left(1, \frac{\pi(x') \, q(x \mid x')}{\pi(x) \, q(x' \mid x)}\right)

makes the flow from x to x' equal to the flow back (detailed balance), so :math:`\pi` stays as it is, and only ratios of
densities are needed: the normalising constant cancels.

* Random walk: :math:`x' = x + h L \xi`, :math:`\xi \sim N(0, I)`, symmetric. With :math:`L L^\top` the covariance of
  the target, :math:`h = 2.38 / \sqrt d` is best for a Gaussian, where 0.234 of the proposals are accepted (0.44 for
  d = 1). The covariance is learnt in warm-up (Haario et al. 2001), pooled over chains.
* Langevin (MALA): a step uphill and noise, :math:`x' = x + \tfrac{h^2}{2} s^2 \nabla\log\pi(x) + h s \xi`; the way
  back needs :math:`\xi' = -(\xi + \tfrac h2 s (\nabla\log\pi(x) + \nabla\log\pi(x')))`. Best at an acceptance of 0.574.

Reference:
    Roberts, Gelman & Gilks 1997; Haario, Saksman & Tamminen 2001; Roberts & Rosenthal 1998 (MALA), 2001 (scaling).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from pushforward.sampling.adaptation import PooledCovariance, WarmUp
from pushforward.sampling.hamiltonian import begin, check_settings, first_step_size, normal_like
from pushforward.sampling.method import Chains, Method, Report, silent
from pushforward.sampling.target import Target
from pushforward.sampling.tuned import Moved, State, accept_or_stay, run_tuned

__all__ = ["MALA", "RandomWalk"]


@dataclass(frozen=True)
class RandomWalk(Method):
    r"""Random-walk Metropolis with the covariance learnt in warm-up; needs no gradient.

    Args:
        target_acceptance: to tune the step size for; None takes 0.44 in one dimension, falling to 0.234 in many.
        step_size: h, a first guess, kept if there is no warm-up; None is :math:`2.38 / \sqrt d`.

    Raises:
        InputError: if a setting is out of range.

    Example:
        >>> target = Target(lambda x: -0.5 * x.square().sum(1), dim=2)
        >>> generator = torch.Generator().manual_seed(0)
        >>> run = RandomWalk().run(target, torch.zeros(64, 2), warmup=100, draws=100, generator=generator)
        >>> bool((run.positions.var() - 1).abs() < 0.2), run.gradients
        (True, 0)
    """

    needs_gradient: ClassVar[bool] = False

    target_acceptance: float | None = None
    step_size: float | None = None

    def __post_init__(self) -> None:
        check_settings(0.5 if self.target_acceptance is None else self.target_acceptance, self.step_size)

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
        dim = start.shape[1]
        # 0.44 at d = 1 and 0.234 in the limit, nearly reached at d = 10 (Roberts & Rosenthal 2001, figure 3).
        acceptance = self.target_acceptance or 0.234 + 0.206 / dim
        no_gradient = start.new_empty(len(start), 0)

        def kernel(state: State, step_size: float, root: Tensor) -> Moved:
            x = torch.addmm(state.x, normal_like(state.x, generator), root.T, alpha=step_size)
            proposal = State(x, target.value(x), no_gradient)
            return accept_or_stay(state, proposal, proposal.log_density - state.log_density, generator)

        state = State(start, target.value(start), no_gradient)
        first = self.step_size or 2.38 / math.sqrt(dim)
        tuned = WarmUp(start, step_size=first, acceptance=acceptance, warmup=warmup, pooled=PooledCovariance())
        return run_tuned(target, state, kernel, tuned, warmup=warmup, draws=draws, report=report)


@dataclass(frozen=True)
class MALA(Method):
    """Metropolis-adjusted Langevin: Metropolis whose proposals know which way is up.

    Args:
        target_acceptance: to tune the step size for.
        step_size: h, a first guess, kept if there is no warm-up; None finds one.

    Raises:
        InputError: if a setting is out of range.

    Example:
        >>> target = Target(lambda x: -0.5 * x.square().sum(1), dim=2)
        >>> generator = torch.Generator().manual_seed(0)
        >>> run = MALA().run(target, torch.zeros(64, 2), warmup=50, draws=50, generator=generator)
        >>> bool((run.positions.var() - 1).abs() < 0.2), run.gradients
        (True, 50)
    """

    target_acceptance: float = 0.574
    step_size: float | None = None

    def __post_init__(self) -> None:
        check_settings(self.target_acceptance, self.step_size)

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
        def kernel(state: State, step_size: float, scale: Tensor) -> Moved:
            step = step_size * scale
            xi = normal_like(state.x, generator)
            x = state.x + step * (xi + 0.5 * step * state.gradient)
            proposal = State(x, *target.value_and_grad(x))
            back = xi + 0.5 * step * (state.gradient + proposal.gradient)
            log_ratio = proposal.log_density - state.log_density + 0.5 * (xi.square() - back.square()).sum(1)
            return accept_or_stay(state, proposal, log_ratio, generator)

        state = begin(target, start)
        first = self.step_size or first_step_size(target, state, self.target_acceptance, generator)
        tuned = WarmUp(start, step_size=first, acceptance=self.target_acceptance, warmup=warmup)
        return run_tuned(target, state, kernel, tuned, warmup=warmup, draws=draws, report=report)
