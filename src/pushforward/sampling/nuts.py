r"""The No-U-Turn Sampler: Hamiltonian Monte Carlo that stops when the path turns back, for many chains in step.

A trajectory grows by doubling, each time forwards or backwards in time with equal chance, until its ends approach each
other. With :math:`\rho = \int u \, dt` along a stretch from its earlier end (-) to its later (+), it *turns* if

.. math:: \rho \cdot u_- \le 0 \quad\text{or}\quad \rho \cdot u_+ \le 0

(the generalised criterion of Betancourt 2017; the leapfrog's own sum of :math:`\epsilon u` over a stretch is exactly
:math:`(x_+ - x_-)/s`, which is what is computed). Two stretches that are joined are also tested with the nearest leaf
of the other, or a whole period would pass for none. A doubling is thrown away if any of its own binary subtrees turns,
as otherwise the way back would have stopped elsewhere, or if the energy error *diverges*.

The next position is drawn from the trajectory with weights :math:`e^{-\Delta H}`: within a new half *progressively*,
leaf n replacing the choice with probability :math:`w_n / \sum_{m \le n} w_m`; the new half replaces the old choice with
probability :math:`\min(1, W_{new} / W_{old})`, which favours the far end (Betancourt 2017, appendix A.3.2).

Instead of recursion, a half of :math:`2^j` leaves is walked once, and the left ends of the open subtrees are kept: leaf
n, if even, at position popcount(n), of at most j (Phan et al. 2019, section 4; Lao & Dillon 2020). All chains
walk leaf n of doubling j at the same time, so these indices are numbers and not tensors. A chain whose trajectory is
complete leaves the batch until the next iteration.

Reference:
    Hoffman & Gelman 2014, JMLR 15; Betancourt 2017, "A conceptual introduction to Hamiltonian Monte Carlo".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pushforward.core.errors import InputError
from pushforward.sampling.adaptation import WarmUp
from pushforward.sampling.hamiltonian import begin, check_settings, first_step_size, normal_like
from pushforward.sampling.method import Chains, Method, Report, silent
from pushforward.sampling.target import Target
from pushforward.sampling.tuned import DIVERGENCE, Moved, State, run_tuned

__all__ = ["NUTS"]


@dataclass(frozen=True)
class NUTS(Method):
    """The No-U-Turn Sampler with multinomial sampling and a diagonal scale.

    Args:
        target_acceptance: mean over a trajectory, to tune the step size for; nearer to 1 is slower and safer where the
            density narrows.
        max_depth: doublings at most, so 2**max_depth - 1 gradients.
        step_size: a first guess, kept if there is no warm-up; None finds one.

    Raises:
        InputError: if a setting is out of range.

    Example:
        >>> target = Target(lambda x: -0.5 * x.square().sum(1), dim=2)
        >>> generator = torch.Generator().manual_seed(0)
        >>> run = NUTS().run(target, torch.zeros(16, 2), warmup=50, draws=50, generator=generator)
        >>> bool((run.positions.var() - 1).abs() < 0.2)
        True
    """

    target_acceptance: float = 0.8
    max_depth: int = 10
    step_size: float | None = None

    def __post_init__(self) -> None:
        check_settings(self.target_acceptance, self.step_size)
        if self.max_depth < 1:
            raise InputError(f"max_depth: got {self.max_depth!r}, expected at least 1")

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
            return transition(target, state, step_size * scale, scale, self.max_depth, generator)

        tuned = WarmUp(start, step_size=first, acceptance=self.target_acceptance, warmup=warmup)
        return run_tuned(target, state, kernel, tuned, warmup=warmup, draws=draws, report=report)


class Leaf(NamedTuple):
    """A point of a trajectory."""

    x: Float[Tensor, "chains dim"]
    u: Float[Tensor, "chains dim"]


class Ends(NamedTuple):
    """Position, momentum and gradient at the ends of a stretch: the earlier (0) and the later (1)."""

    x: Float[Tensor, "2 chains dim"]
    u: Float[Tensor, "2 chains dim"]
    gradient: Float[Tensor, "2 chains dim"]


class Half(NamedTuple):
    """What a doubling adds: its first and last leaf, its choice, and whether it counts."""

    first: Leaf
    last: Leaf
    gradient: Float[Tensor, "chains dim"]  # at the last leaf
    choice: State
    log_weight: Float[Tensor, "chains"]
    sound: Bool[Tensor, "chains"]  # neither turned nor diverged
    diverged: Bool[Tensor, "chains"]
    acceptance: Float[Tensor, "chains"]  # summed over its leaves
    leaves: Float[Tensor, "chains"]


def transition(
    target: Target, state: State, step: Tensor, scale: Tensor, max_depth: int, generator: torch.Generator | None
) -> Moved:
    """One iteration of all chains; a chain's row leaves the batch when its trajectory is complete."""
    u = normal_like(state.x, generator)
    joint = state.log_density - 0.5 * u.square().sum(1)
    ends = Ends(*(t.expand(2, *t.shape).clone() for t in (state.x, u, state.gradient)))
    log_weight = torch.zeros_like(joint)
    result = State(*(t.clone() for t in state))
    summed, leaves = torch.zeros_like(joint), torch.zeros_like(joint)
    divergent = torch.zeros_like(joint, dtype=torch.bool)
    rows = torch.arange(len(u), device=u.device)
    for depth in range(max_depth):
        later = torch.rand(len(rows), generator=generator, device=u.device) < 0.5
        direction = torch.where(later, 1.0, -1.0).to(u.dtype)[:, None]
        here, there = ((side, torch.arange(len(rows), device=u.device)) for side in (later.long(), (~later).long()))
        near, far = Leaf(ends.x[here], ends.u[here]), Leaf(ends.x[there], ends.u[there])
        measure = direction / scale
        half = extend(target, near, ends.gradient[here], joint, direction * step, measure, depth, generator)
        summed[rows] += half.acceptance
        leaves[rows] += half.leaves
        divergent[rows] |= half.diverged
        luck = torch.rand(len(rows), generator=generator, dtype=joint.dtype, device=u.device).log()
        _put(result, half.choice, rows, half.sound & (luck < half.log_weight - log_weight))
        goes_on = half.sound & ~_joined_turns(far, near, half.first, half.last, measure)
        rows = rows[goes_on]
        if len(rows) == 0:
            break
        ends.x[here], ends.u[here], ends.gradient[here] = half.last.x, half.last.u, half.gradient
        log_weight = torch.logaddexp(log_weight, half.log_weight)
        if len(rows) < len(goes_on):
            joint, log_weight = joint[goes_on], log_weight[goes_on]
            ends = Ends(*(t[:, goes_on] for t in ends))
    return Moved(result, summed / leaves, divergent)


def extend(
    target: Target,
    near: Leaf,
    gradient: Float[Tensor, "chains dim"],
    joint: Float[Tensor, "chains"],
    step: Float[Tensor, "chains dim"],
    measure: Float[Tensor, "chains dim"],
    depth: int,
    generator: torch.Generator | None,
) -> Half:
    """Walk 2**depth leaves on from one end of every chain's trajectory."""
    (x, u), half_step = near, 0.5 * step
    # The largest of log w + Gumbel noise is a draw with probabilities w: the progressive draw in another form.
    noise = torch.rand(2**depth, len(joint), generator=generator, dtype=joint.dtype, device=x.device)
    noise = -(-noise.log()).log()
    best = torch.full_like(joint, -math.inf)
    choice = State(x, joint, gradient)  # replaced by leaf 0
    sound = torch.ones_like(joint, dtype=torch.bool)
    first: Leaf | None = None
    starts: dict[int, Leaf] = {}
    middles: dict[int, Leaf] = {}
    visited, gains = [], []
    for leaf in range(2**depth):
        u = torch.addcmul(u, half_step, gradient)
        x = torch.addcmul(x, step, u)
        value, gradient = target.value_and_grad(x)
        u = torch.addcmul(u, half_step, gradient)
        now = Leaf(x, u)
        first = first or now
        gained = torch.sub(value - joint, u.square().sum(1), alpha=0.5)
        visited.append(sound)
        gains.append(gained)
        key = gained + noise[leaf]
        taken = key > best
        best = torch.maximum(best, key)
        choice = _where(taken, State(x, value, gradient), choice)
        sound = sound & (gained > -DIVERGENCE)  # NaN is not
        if leaf % 2 == 0:
            starts[leaf.bit_count()] = now
        else:
            sound = sound & ~_subtrees_turn(leaf, starts, middles, now, measure)
        middles[_trailing_ones(leaf)] = now
        if not bool(sound.any()):
            break
    assert first is not None
    alive, gain = torch.stack(visited), torch.stack(gains)
    exact = gain > -DIVERGENCE
    acceptance = gain.clamp(max=0).exp().masked_fill(~(alive & exact), 0.0).sum(0)
    diverged = (alive & ~exact).any(0)
    leaves = alive.sum(0).to(joint.dtype)
    return Half(first, now, gradient, choice, gain.logsumexp(0), sound, diverged, acceptance, leaves)


def _trailing_ones(leaf: int) -> int:
    return ((leaf + 1) & ~leaf).bit_length() - 1


def _turns(a: Leaf, b: Leaf, measure: Tensor) -> Bool[Tensor, "chains"]:
    """Whether the stretch from a to b turns; ``measure`` is the direction of time over the scale."""
    rho = (b.x - a.x) * measure
    return torch.minimum((rho * a.u).sum(1), (rho * b.u).sum(1)) <= 0


def _joined_turns(first: Leaf, middle: Leaf, next_: Leaf, last: Leaf, measure: Tensor) -> Bool[Tensor, "chains"]:
    """Whether two stretches, first to middle and next to last, turn when they are joined.

    Where both are almost half a period, the whole is almost a period, and its ends move apart again: it turns between
    either stretch and the leaf next to it.
    """
    whole = _turns(first, last, measure)
    return whole | _turns(first, next_, measure) | _turns(middle, last, measure)


def _subtrees_turn(
    leaf: int, starts: dict[int, Leaf], middles: dict[int, Leaf], now: Leaf, measure: Tensor
) -> Bool[Tensor, "chains"]:
    """Whether a subtree that is complete with this (odd) leaf turns: of 2, 4, ... leaves, one for each trailing 1.

    Its first leaf, and that of its second half, are among ``starts`` by their number of ones; the last leaf of its
    first half, with k trailing ones, is ``middles[k]``.
    """
    turned = _turns(starts[(leaf - 1).bit_count()], now, measure)
    for level in range(1, _trailing_ones(leaf)):
        first = leaf + 1 - 2 ** (level + 1)
        second = first + 2**level
        joined = (starts[first.bit_count()], middles[level], starts[second.bit_count()], now)
        turned |= _joined_turns(*joined, measure)
    return turned


def _where(taken: Bool[Tensor, "chains"], new: State, old: State) -> State:
    rows = taken[:, None]
    return State(
        torch.where(rows, new.x, old.x),
        torch.where(taken, new.log_density, old.log_density),
        torch.where(rows, new.gradient, old.gradient),
    )


def _put(result: State, choice: State, rows: Int[Tensor, "n"], taken: Bool[Tensor, "n"]) -> None:
    """Write the choices that were taken to their rows."""
    rows = rows[taken]
    for kept, new in zip(result, choice, strict=True):
        kept[rows] = new[taken]
