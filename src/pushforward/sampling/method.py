r"""What every Markov-chain method is: settings, and one way to run many chains at once.

A method moves all chains together, as rows of one tensor. It first *warms up* (finds its step size and the scale of
every coordinate; these draws are thrown away, since the kernel changed with its own past) and then draws with its
settings frozen, so that the chains are Markov and leave the target as it is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pushforward.sampling.target import Target

__all__ = ["Chains", "Method", "Recorder", "Report", "silent"]

#: Told (iterations done, iterations in all) after every iteration, warm-up included.
Report: TypeAlias = Callable[[int, int], None]


def silent(done: int, total: int) -> None:
    """A report to nobody."""


@dataclass(frozen=True, eq=False)
class Chains:
    r"""What a method returns, in the coordinates it moved in.

    Args:
        positions: the draws.
        log_density: log pi there.
        acceptance: of the proposal that led there, in [0, 1] (NUTS: its mean over the trajectory).
        divergent: whether the error of the energy was so large that the integrator cannot have been accurate.
        gradients: batched gradient evaluations while drawing: what each chain has paid.
        warmup_gradients: the same for warm-up.
        settings: what warm-up found (step_size, scale, ...), and the acceptance it tuned for.
    """

    positions: Float[Tensor, "chains draws dim"]
    log_density: Float[Tensor, "chains draws"]
    acceptance: Float[Tensor, "chains draws"]
    divergent: Bool[Tensor, "chains draws"]
    gradients: int
    warmup_gradients: int
    settings: dict[str, float | Tensor] = field(default_factory=dict)


class Method(ABC):
    """A Markov-chain method; concrete ones are frozen dataclasses of their settings."""

    #: Whether the log-density has to be differentiable.
    needs_gradient: ClassVar[bool] = True

    @abstractmethod
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
        """Warm up, then draw.

        Args:
            target: what to sample.
            start: one point of positive density per chain; the chains take its dtype and device.
            warmup: iterations to tune in, thrown away.
            draws: iterations to keep, per chain.
            generator: of all randomness; None is torch's default.
            report: told after every iteration how far the run is.
        """


class Recorder:
    """Takes the draws of all chains, one iteration after another.

    An interrupt (Ctrl-C) after the first draw ends the run early and keeps what was drawn; one before it goes on up.

    Args:
        target: whose gradients are counted: those until now are warm-up's.
        start: a batch of positions, for its shape, dtype and device.
        warmup: iterations done before.
        draws: iterations to come.
        report: told after every iteration.

    Example:
        >>> target = Target(lambda x: -0.5 * x.square().sum(1), dim=1)
        >>> recorder = Recorder(target, torch.zeros(2, 1), warmup=0, draws=3, report=silent)
        >>> with recorder.interruptible():
        ...     for _ in recorder.iterations():
        ...         recorder.add(torch.zeros(2, 1), torch.zeros(2), torch.ones(2))
        >>> recorder.chains({}).positions.shape
        torch.Size([2, 3, 1])
    """

    def __init__(self, target: Target, start: Tensor, *, warmup: int, draws: int, report: Report) -> None:
        chains, dim = start.shape
        # An iteration is one contiguous block; chains come first only when all is done.
        self.positions = start.new_empty(draws, chains, dim)
        self.log_density = start.new_empty(draws, chains)
        self.acceptance = start.new_empty(draws, chains)
        self.divergent = torch.zeros(draws, chains, dtype=torch.bool, device=start.device)
        self.done = 0
        self._target, self._report = target, report
        self._warmup, self._total = warmup, warmup + draws
        self._warmup_gradients = target.gradients

    def iterations(self) -> Iterator[int]:
        """Numbers of the draws to come."""
        yield from range(len(self.positions))

    def add(
        self,
        positions: Float[Tensor, "chains dim"],
        log_density: Float[Tensor, "chains"],
        acceptance: Float[Tensor, "chains"],
        divergent: Bool[Tensor, "chains"] | None = None,
    ) -> None:
        """Keep one draw of every chain."""
        self.positions[self.done] = positions
        self.log_density[self.done] = log_density
        self.acceptance[self.done] = acceptance
        if divergent is not None:
            self.divergent[self.done] = divergent
        self.done += 1
        self._report(self._warmup + self.done, self._total)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Around the loop over ``iterations``: Ctrl-C ends it early if there is something to keep."""
        try:
            yield
        except KeyboardInterrupt:
            if self.done == 0:
                raise

    def chains(self, settings: dict[str, float | Tensor]) -> Chains:
        """All that was recorded."""
        n = self.done
        return Chains(
            positions=self.positions[:n].transpose(0, 1),
            log_density=self.log_density[:n].T,
            acceptance=self.acceptance[:n].T,
            divergent=self.divergent[:n].T,
            gradients=self._target.gradients - self._warmup_gradients,
            warmup_gradients=self._warmup_gradients,
            settings=settings,
        )
