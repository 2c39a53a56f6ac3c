r"""The loop of the methods that tune one step size and one scale: warm up, freeze, draw.

A *kernel* moves all chains once with given settings. It is all that differs between random-walk Metropolis, MALA, HMC
and NUTS.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pushforward.sampling.adaptation import WarmUp
from pushforward.sampling.method import Chains, Recorder, Report
from pushforward.sampling.target import Target

__all__ = ["DIVERGENCE", "Kernel", "Moved", "State", "accept_or_stay", "run_tuned"]

#: An energy error (in nats) that no useful integrator makes: exp(-1000) is never accepted (Stan's choice).
DIVERGENCE = 1000.0


class State(NamedTuple):
    """Where the chains are, with what is known there."""

    x: Float[Tensor, "chains dim"]
    log_density: Float[Tensor, "chains"]
    gradient: Float[Tensor, "chains dim"]


class Moved(NamedTuple):
    """One iteration of all chains."""

    state: State
    acceptance: Float[Tensor, "chains"]
    divergent: Bool[Tensor, "chains"] | None


#: (state, step size, scale) -> where the chains went.
Kernel: TypeAlias = Callable[[State, float, Tensor], Moved]


def accept_or_stay(
    before: State, proposal: State, log_ratio: Float[Tensor, "chains"], generator: torch.Generator | None
) -> Moved:
    r"""Metropolis-Hastings: take the proposal with probability :math:`\min(1, e^r)`; a NaN ratio is a rejection.

    Example:
        >>> state = State(torch.zeros(2, 1), torch.zeros(2), torch.zeros(2, 1))
        >>> proposal = State(torch.ones(2, 1), torch.zeros(2), torch.ones(2, 1))
        >>> moved = accept_or_stay(state, proposal, torch.tensor([0.0, -torch.inf]), None)
        >>> moved.state.x.flatten(), moved.acceptance
        (tensor([1., 0.]), tensor([1., 0.]))
    """
    acceptance = log_ratio.clamp(max=0).exp().nan_to_num(0.0)
    taken = torch.rand(acceptance.shape, generator=generator, dtype=acceptance.dtype, device=acceptance.device)
    taken = taken < acceptance
    rows = taken[:, None]
    after = State(
        torch.where(rows, proposal.x, before.x),
        torch.where(taken, proposal.log_density, before.log_density),
        torch.where(rows, proposal.gradient, before.gradient),
    )
    return Moved(after, acceptance, None)


def run_tuned(
    target: Target, state: State, kernel: Kernel, tuned: WarmUp, *, warmup: int, draws: int, report: Report
) -> Chains:
    """Warm up, telling ``tuned`` every iteration, then draw with what it has found.

    Args:
        target: whose gradients are counted.
        state: where the chains start.
        kernel: one iteration.
        tuned: step size and scale.
        warmup: iterations thrown away.
        draws: iterations kept.
        report: told after every iteration.
    """
    for i in range(warmup):
        state, acceptance, _ = kernel(state, tuned.step_size, tuned.scale)
        tuned.learn(state.x, float(acceptance.mean()))
        report(i + 1, warmup + draws)
    recorder = Recorder(target, state.x, warmup=warmup, draws=draws, report=report)
    with recorder.interruptible():
        for _ in recorder.iterations():
            state, acceptance, divergent = kernel(state, tuned.step_size, tuned.scale)
            recorder.add(state.x, state.log_density, acceptance, divergent)
    return recorder.chains(
        {"step_size": tuned.step_size, "scale": tuned.scale, "target_acceptance": tuned.steps.acceptance}
    )
