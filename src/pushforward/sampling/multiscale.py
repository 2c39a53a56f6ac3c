r"""Multiscale HMC: every trajectory of every chain has a step size of its own, from a wide range.

A funnel is a hundredth wide in its neck and a hundred in its mouth. A step size that suits the neck never crosses the
mouth, and one that suits the mouth is rejected in the neck, where the chains should be a good part of the time: a
single step size leaves out one end of it, and no diagnosis of the draws can see what was never visited. Here

.. math:: \log \epsilon = \log \epsilon_{\max} - s U, \qquad U \sim \mathrm{Uniform}(0, 1),

is drawn afresh for each trajectory, before it starts and without a look at where the chain is, so that the kernel is a
mixture of Hamiltonian kernels, each of which leaves the target as it is. All sizes cost the same, L leapfrog steps; in
any place some are of the right order. That is wasteful where one size would do, by about a factor of s, and all the
price there is: the chains move as one batch. Warm-up finds :math:`\epsilon_{\max}`, at which the mean acceptance over
all sizes and places is ``target_acceptance``, with the coordinates as they are: there is no one scale to divide by.

Reference:
    Neal 2011, "MCMC using Hamiltonian dynamics", section 5.4.2, on step sizes drawn at random.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from pushforward.core.errors import InputError
from pushforward.sampling.adaptation import DualAveraging
from pushforward.sampling.hamiltonian import begin, check_settings, first_step_size, normal_like
from pushforward.sampling.method import Chains, Method, Recorder, Report, silent
from pushforward.sampling.target import Target
from pushforward.sampling.tuned import Moved, State, accept_or_stay

__all__ = ["MultiscaleHMC"]


@dataclass(frozen=True)
class MultiscaleHMC(Method):
    """Hamiltonian Monte Carlo with step sizes drawn over orders of magnitude, for targets of no single scale.

    Many chains (hundreds) from anywhere, and enough iterations that they forget their start: warm up for as long as
    you draw.

    Args:
        leaps: L, leapfrog steps of a trajectory.
        spread: s, the logarithm of the ratio of the largest to the smallest step size.
        target_acceptance: mean over all sizes.

    Raises:
        InputError: if a setting is out of range.

    Example:
        >>> target = Target(lambda x: -0.5 * x.square().sum(1), dim=2)
        >>> generator = torch.Generator().manual_seed(0)
        >>> run = MultiscaleHMC().run(target, torch.zeros(64, 2), warmup=20, draws=20, generator=generator)
        >>> bool((run.positions.var() - 1).abs() < 0.2)
        True
    """

    leaps: int = 16
    spread: float = 5.0
    target_acceptance: float = 0.6

    def __post_init__(self) -> None:
        check_settings(self.target_acceptance, None)
        if self.leaps < 1 or not self.spread >= 0:
            raise InputError(
                f"leaps, spread: got {self.leaps!r} and {self.spread!r}, expected at least 1 and a number of at least 0"
            )

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
        state = begin(target, start)
        # The guess is for a single size; the largest is above it by half of the spread or so.
        first = first_step_size(target, state, self.target_acceptance, generator) * math.exp(self.spread / 3)

        steps = DualAveraging(first, acceptance=self.target_acceptance)
        for i in range(warmup):
            state, acceptance, _ = self._move(target, state, steps.step_size, generator)
            steps.update(float(acceptance.mean()))
            report(i + 1, warmup + draws)
        recorder = Recorder(target, start, warmup=warmup, draws=draws, report=report)
        with recorder.interruptible():
            for _ in recorder.iterations():
                # Large steps are lost in narrow places, as they must be: no divergence that says anything.
                state, acceptance, _ = self._move(target, state, steps.average, generator)
                recorder.add(state.x, state.log_density, acceptance)
        return recorder.chains({"step_size": steps.average, "target_acceptance": self.target_acceptance})

    def _move(self, target: Target, state: State, largest: float, generator: torch.Generator | None) -> Moved:
        size = torch.rand(len(state.x), 1, generator=generator, dtype=state.x.dtype, device=state.x.device)
        step = largest * torch.exp(-self.spread * size)
        u = normal_like(state.x, generator)
        joint = state.log_density - 0.5 * u.square().sum(1)
        x, gradient, value, half = state.x, state.gradient, state.log_density, 0.5 * step
        u = torch.addcmul(u, half, gradient)
        for i in range(self.leaps):
            x = torch.addcmul(x, step, u)
            value, gradient = target.value_and_grad(x)
            # The half steps of two neighbours are one whole step.
            u = torch.addcmul(u, step if i < self.leaps - 1 else half, gradient)
        gained = value - 0.5 * u.square().sum(1) - joint
        return accept_or_stay(state, State(x, value, gradient), gained, generator)
