r"""Hamiltonian Monte Carlo: a random push, then a frictionless slide over the log-density.

Position x and momentum u have the joint density :math:`\pi(x) N(u; 0, I)`. With the scale s of every coordinate,

.. math:: \dot x = s \, u, \qquad \dot u = s \, \nabla \log \pi(x)

keeps it, and the *leapfrog* follows it with steps of size :math:`\epsilon`,

.. math:: u \mathrel{+}= \tfrac{\epsilon}{2} s \nabla\log\pi(x), \qquad x \mathrel{+}= \epsilon s \, u, \qquad
          u \mathrel{+}= \tfrac{\epsilon}{2} s \nabla\log\pi(x),

which preserves volume and runs backwards on its own path. Its error in :math:`\log \pi(x) - u^2/2` is therefore all
that a Metropolis step has to correct. (Momentum of unit variance and the scale in the motion is the same as a mass
:math:`1/s^2`, and saves a product.)

Reference:
    Duane et al. 1987; Neal 2011, "MCMC using Hamiltonian dynamics", sections 2, 3 and 5.4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from pushforward.core.errors import InputError
from pushforward.sampling.adaptation import WarmUp
from pushforward.sampling.method import Chains, Method, Report, silent
from pushforward.sampling.target import Target
from pushforward.sampling.tuned import DIVERGENCE, Moved, State, accept_or_stay, run_tuned

__all__ = ["HMC", "begin", "check_settings", "first_step_size", "leapfrog", "normal_like"]


@dataclass(frozen=True)
class HMC(Method):
    """Hamiltonian Monte Carlo with a trajectory of random length.

    The length is uniform on (0, 2 ``length``), the same for all chains of one iteration: a fixed one can be a period of
    the motion, which returns to where it began.

    Args:
        length: the mean length of a trajectory, in standard deviations; a quarter of the period of a Gaussian, after
            which the new position is independent of the old, is pi / 2.
        target_acceptance: to tune the step size for.
        step_size: a first guess, kept if there is no warm-up; None finds one.
        max_steps: of one trajectory.

    Raises:
        InputError: if a setting is out of range.

    Example:
        >>> target = Target(lambda x: -0.5 * x.square().sum(1), dim=2)
        >>> generator = torch.Generator().manual_seed(0)
        >>> run = HMC().run(target, torch.zeros(16, 2), warmup=50, draws=100, generator=generator)
        >>> bool((run.positions.var() - 1).abs() < 0.2)
        True
    """

    length: float = math.pi / 2
    target_acceptance: float = 0.8  # a little above the 0.65 that is best for long trajectories: safer in the tails
    step_size: float | None = None
    max_steps: int = 1000

    def __post_init__(self) -> None:
        check_settings(self.target_acceptance, self.step_size)
        if not self.length > 0 or self.max_steps < 1:
            raise InputError(
                f"length, max_steps: got {self.length!r}, {self.max_steps!r}, expected a number above 0 and at least 1"
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
        first = self.step_size or first_step_size(target, state, self.target_acceptance, generator)

        def kernel(state: State, step_size: float, scale: Tensor) -> Moved:
            length = 2 * self.length * float(torch.rand((), generator=generator, device=start.device))
            steps = min(max(1, math.ceil(length / step_size)), self.max_steps)
            return self._move(target, state, step_size * scale, steps, generator)

        tuned = WarmUp(start, step_size=first, acceptance=self.target_acceptance, warmup=warmup)
        return run_tuned(target, state, kernel, tuned, warmup=warmup, draws=draws, report=report)

    def _move(self, target: Target, state: State, step: Tensor, steps: int, generator: torch.Generator | None) -> Moved:
        u = normal_like(state.x, generator)
        joint = state.log_density - 0.5 * u.square().sum(1)
        proposal = state
        for _ in range(steps):
            proposal, u = leapfrog(target, proposal, u, step)
        gained = proposal.log_density - 0.5 * u.square().sum(1) - joint
        moved = accept_or_stay(state, proposal, gained, generator)
        return moved._replace(divergent=~(gained > -DIVERGENCE))


def begin(target: Target, start: Float[Tensor, "chains dim"]) -> State:
    """The state of chains at their start."""
    return State(start, *target.value_and_grad(start))


def normal_like(x: Tensor, generator: torch.Generator | None) -> Tensor:
    """Standard normals in the shape, dtype and device of x."""
    return torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)


def leapfrog(
    target: Target, state: State, u: Float[Tensor, "chains dim"], step: Float[Tensor, "dim"]
) -> tuple[State, Float[Tensor, "chains dim"]]:
    r"""One step of the integrator.

    Args:
        target: the density.
        state: position and gradient.
        u: momentum of unit variance.
        step: :math:`\epsilon s`, per coordinate (or per chain and coordinate).

    Returns:
        State and momentum after it.

    Example:
        >>> target = Target(lambda x: -0.5 * x.square().sum(1), dim=1)
        >>> state, u = begin(target, torch.ones(1, 1)), torch.zeros(1, 1)
        >>> for _ in range(100):  # a quarter of a period takes the pendulum from rest at 1 through 0 at speed 1
        ...     state, u = leapfrog(target, state, u, torch.tensor([math.pi / 200]))
        >>> abs(round(state.x.item(), 3)), round(u.item(), 3)
        (0.0, -1.0)
    """
    half = 0.5 * step
    u = torch.addcmul(u, half, state.gradient)
    x = torch.addcmul(state.x, step, u)
    after = State(x, *target.value_and_grad(x))
    return after, torch.addcmul(u, half, after.gradient)


def first_step_size(target: Target, state: State, acceptance: float, generator: torch.Generator | None) -> float:
    """A step size whose single leapfrog is accepted about as often as is wanted: doubled or halved until it crosses.

    Example:
        >>> target = Target(lambda x: -0.5 * (x / 1000).square().sum(1), dim=1)
        >>> first_step_size(target, begin(target, torch.ones(100, 1)), 0.8, torch.Generator().manual_seed(0)) > 256
        True
    """
    step_size, grows = 1.0, None
    for _ in range(60):  # 2**60 either way spans more scales than float32 can tell apart
        u = normal_like(state.x, generator)
        proposal, v = leapfrog(target, state, u, torch.full_like(state.x[0], step_size))
        gained = proposal.log_density - state.log_density + 0.5 * (u.square() - v.square()).sum(1)
        accepted = float(gained.clamp(max=0).exp().nan_to_num(0.0).mean()) > acceptance
        if grows is not None and accepted != grows:
            break
        grows = accepted
        step_size *= 2.0 if grows else 0.5
    return step_size


def check_settings(acceptance: float, step_size: float | None) -> None:
    """Raise ``InputError`` unless the acceptance is in (0, 1) and the step size, if there is one, above 0."""
    if not 0 < acceptance < 1:
        raise InputError(f"target_acceptance: got {acceptance!r}, expected a number between 0 and 1")
    if step_size is not None and not step_size > 0:
        raise InputError(f"step_size: got {step_size!r}, expected a number above 0, or None to find one")
