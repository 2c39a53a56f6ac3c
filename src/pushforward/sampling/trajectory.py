r"""How long a trajectory should be, and the warm-up of methods whose chains all take trajectories of one length.

**Length** (Hoffman, Radul & Sountsov 2021). A trajectory of length :math:`t = hT`, with h between 0 and 1 jittered,
from z to z' should change the squared distance to the centre as much as it can:

.. math:: \mathrm{ChEES} = \tfrac14 E\left[\left(|z' - \bar z|^2 - |z - \bar z|^2\right)^2\right], \qquad
    \frac{d\,\mathrm{ChEES}}{d \log T} = E\left[t \left(|z' - \bar z|^2 - |z - \bar z|^2\right)
    (z' - \bar z) \cdot \dot z'\right],

a derivative that costs nothing, because :math:`\dot z'` is the velocity at the end. Adam climbs it, on log T, with
the mean over the chains weighted by their acceptance. It takes many chains to have little noise.

**Jitter**: in warm-up h runs through the van der Corput sequence, which covers (0, 1) evenly from the start; afterwards
it is drawn. It keeps every direction out of resonance, and is the same for all chains, which so do the same number of
steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from pushforward.sampling.adaptation import DualAveraging, variance_windows
from pushforward.sampling.method import Chains, Recorder, Report
from pushforward.sampling.preconditioning import Metric, Preconditioner, preconditioner
from pushforward.sampling.target import Target
from pushforward.sampling.tuned import DIVERGENCE, State, accept_or_stay

__all__ = [
    "End",
    "Follow",
    "TrajectoryLength",
    "TrajectoryWarmUp",
    "half_accepted_step",
    "run_trajectories",
    "van_der_corput",
]

#: Adam's rate on log T and its memory of squares (the reference's, with the rate doubled for shorter warm-ups).
RATE, MEMORY = 0.05, 0.95

#: Most steps of a trajectory; in the first part of warm-up, where the step size is not known yet, far fewer.
MOST_STEPS, FIRST_STEPS = 1000, 16

#: What a proposal that is never accepted counts as in the harmonic mean.
LEAST = 1e-3

#: Most positions that a covariance is learnt from: more change it by less than a percent.
MOST_POSITIONS = 20_000


def van_der_corput(index: int) -> float:
    """The digits of index + 1 in base 2, mirrored at the point.

    Example:
        >>> [van_der_corput(i) for i in range(5)]
        [0.5, 0.25, 0.75, 0.125, 0.625]
    """
    index, value, digit = index + 1, 0.0, 0.5
    while index:
        value += digit * (index & 1)
        index, digit = index >> 1, digit / 2
    return value


def half_accepted_step(energy_error: Callable[[float], Float[Tensor, "chains"]], guess: float) -> float:
    """The size, within a factor of 2, at which one step of the integrator is accepted half of the time.

    Args:
        energy_error: of one step of a given size, per chain.
        guess: where to start.

    Example:
        >>> half_accepted_step(lambda step: torch.tensor([10 * step**2]), 1.0)
        0.25
    """

    def accepted(step: float) -> bool:
        return float((-energy_error(step).nan_to_num(math.inf)).clamp(max=0).exp().mean()) > 0.5

    step, grow = guess, accepted(guess)
    for _ in range(40):  # 2**40 either way: beyond any float32 scale
        if accepted(step * (2 if grow else 0.5)) != grow:
            return step if grow else step * 0.5
        step *= 2 if grow else 0.5
    return step


class TrajectoryLength:
    """T, by Adam on its logarithm.

    Example:
        >>> length = TrajectoryLength(1.0)
        >>> for _ in range(100):
        ...     length.climb(2.0 - length.value)  # a criterion whose derivative vanishes at 2
        >>> 1.8 < length.average < 2.2
        True
    """

    def __init__(self, value: float) -> None:
        self.value = value
        #: Smoothed over the last iterations.
        self.average = value
        self._squares = 0.0
        self._count = 0

    def climb(self, slope: float) -> None:
        """One step of Adam (without momentum); a slope that is not finite is not followed."""
        if not math.isfinite(slope):
            return
        self._count += 1
        self._squares = MEMORY * self._squares + (1 - MEMORY) * slope**2
        size = math.sqrt(self._squares / (1 - MEMORY**self._count)) + 1e-30
        self.value *= math.exp(RATE * slope / size)
        # Half of the memory is the last ten iterations.
        self.average = math.exp(0.93 * math.log(self.average) + 0.07 * math.log(self.value))


class TrajectoryWarmUp:
    """Step size, length and preconditioner of methods with one trajectory length for all chains.

    Args:
        start: positions of the chains.
        step_size: a first guess.
        acceptance: the harmonic mean over the chains to reach.
        warmup: how many iterations there will be.
        metric: what is learnt of the covariance.
        crossing: how long it takes to cross a standard normal: the length to start from once the scale is known.
    """

    def __init__(
        self,
        start: Float[Tensor, "chains dim"],
        *,
        step_size: float,
        acceptance: float,
        warmup: int,
        metric: Metric,
        crossing: float,
    ) -> None:
        self.metric = Preconditioner.identity(start)
        self.steps = DualAveraging(step_size, acceptance=acceptance)
        self.length = TrajectoryLength(8 * step_size)
        self._kind: Metric = metric
        self._crossing = crossing
        self._first, self._ends = variance_windows(warmup)
        self._warmup, self._done = warmup, 0
        self._window: list[Tensor] = []

    @property
    def step_size(self) -> float:
        """The one to use now: the latest guess in warm-up, the average after it."""
        return self.steps.step_size if self._done < self._warmup else self.steps.average

    def count(self, jitter: float) -> int:
        """How many steps the next trajectory has."""
        length = self.length.value if self._done < self._warmup else self.length.average
        most = FIRST_STEPS if self._done < self._first else MOST_STEPS
        return max(1, min(math.ceil(jitter * length / self.step_size), most))

    def learn(
        self,
        before: Float[Tensor, "chains dim"],
        proposed: Float[Tensor, "chains dim"],
        velocity: Float[Tensor, "chains dim"],
        now: Float[Tensor, "chains dim"],
        acceptance: Float[Tensor, "chains"],
        time: float,
    ) -> None:
        """Learn from one iteration.

        Args:
            before: where the trajectories began.
            proposed: where they ended.
            velocity: there, in preconditioned coordinates.
            now: where the chains are, after acceptance.
            acceptance: probabilities.
            time: how long the trajectories were.
        """
        # The harmonic mean: one chain in a hundred that is stuck counts for as much as all others that move.
        self.steps.update(float(1 / (1 / acceptance.clamp_min(LEAST)).mean()))
        self._done += 1
        self.length.climb(self._slope(before, proposed, velocity, acceptance, time))
        # A trajectory shorter than a step is a step; one of all the steps there may be is as long as it gets.
        self.length.value = min(max(self.length.value, self.step_size), MOST_STEPS * self.step_size)
        if not self._first < self._done <= (self._ends[-1] if self._ends else 0):
            return
        self._window.append(now)
        if self._done in self._ends:
            self._renew()

    def _slope(self, before: Tensor, proposed: Tensor, velocity: Tensor, acceptance: Tensor, time: float) -> float:
        z, after = self.metric.whiten(before), self.metric.whiten(proposed)
        usable = (after.isfinite().all(1) & velocity.isfinite().all(1))[:, None]
        after, velocity = torch.where(usable, after, z), torch.where(usable, velocity, 0.0)
        weight = acceptance[:, None] / acceptance.sum().clamp_min(1e-10)
        z, after = z - z.mean(0), after - (weight * after).sum(0)
        change = after.square().sum(1) - z.square().sum(1)
        return float(time * (weight[:, 0] * change * (after * velocity).sum(1)).sum())

    def _renew(self) -> None:
        every = math.ceil(len(self._window) * len(self._window[0]) / MOST_POSITIONS)
        before, self.metric = self.metric, preconditioner(torch.cat(self._window[::every]), self._kind)
        self._window = []
        # Steps are in units of the scale: the same in the user's units is a good first guess.
        self.steps.restart(self.steps.average / self.metric.size_against(before))
        self.length = TrajectoryLength(self._crossing)


class End(NamedTuple):
    """Where trajectories end: the state, the velocity there in preconditioned coordinates, the energy error."""

    state: State
    velocity: Float[Tensor, "chains dim"]
    error: Float[Tensor, "chains"]


#: (state, metric, step size, number of steps) -> the end of a trajectory that starts in a fresh direction.
Follow: TypeAlias = Callable[[State, Preconditioner, float, int], End]


def run_trajectories(
    target: Target,
    state: State,
    follow: Follow,
    *,
    guess: float,
    crossing: float,
    acceptance: float,
    metric: Metric,
    warmup: int,
    draws: int,
    generator: torch.Generator | None,
    report: Report,
) -> Chains:
    r"""Warm up, then draw: an iteration follows one trajectory and takes its end with probability min(1, exp(-error)).

    Args:
        target: whose gradients are counted.
        state: where the chains start.
        follow: a trajectory; all that differs between the methods.
        guess: a first step size, to be halved or doubled until a step is accepted half of the time.
        crossing: how long it takes to cross a standard normal.
        acceptance: the harmonic mean over the chains to reach.
        metric: what is learnt of the covariance.
        warmup: iterations thrown away.
        draws: iterations kept.
        generator: of the jitter and of acceptance.
        report: told after every iteration.
    """
    identity = Preconditioner.identity(state.x)
    step = half_accepted_step(lambda size: follow(state, identity, size, 1).error, guess)
    tuned = TrajectoryWarmUp(
        state.x, step_size=step, acceptance=acceptance, warmup=warmup, metric=metric, crossing=crossing
    )
    for i in range(warmup):
        count = tuned.count(van_der_corput(i))
        end = follow(state, tuned.metric, tuned.step_size, count)
        before, (state, accepted, _) = state, accept_or_stay(state, end.state, -end.error, generator)
        tuned.learn(before.x, end.state.x, end.velocity, state.x, accepted, count * tuned.step_size)
        report(i + 1, warmup + draws)
    recorder = Recorder(target, state.x, warmup=warmup, draws=draws, report=report)
    with recorder.interruptible():
        for _ in recorder.iterations():
            # At random, so that the draws are a chain of one kernel, as estimates of their error presume.
            count = tuned.count(float(torch.rand((), generator=generator)))
            end = follow(state, tuned.metric, tuned.step_size, count)
            state, accepted, _ = accept_or_stay(state, end.state, -end.error, generator)
            recorder.add(state.x, state.log_density, accepted, ~(end.error < DIVERGENCE))
    found = {"step_size": tuned.step_size, "trajectory_length": tuned.length.average, "scale": tuned.metric.scale}
    return recorder.chains(found)
