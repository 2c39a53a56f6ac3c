"""What training records: the mean of every term since the last validation, and a watch over them."""

import json
import math
from pathlib import Path

import torch
from torch import Tensor

from pushforward.core.stages import Phase

__all__ = ["Diverged", "Means", "drop_later"]

#: A loss this many times the size of the first one will not come back.
FAR = 1e6


class Diverged(ArithmeticError):
    """The loss is no longer a finite, sensible number; the last good checkpoint is kept."""


class Means:
    """Running means of the terms of every phase, which refuse what is not a sensible number."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self._first: dict[str, float] = {}

    def add(self, phase: Phase, means: dict[str, Tensor], step: int) -> float:
        """Take the terms of one update in; returns their sum.

        Raises:
            Diverged: if the loss is not finite, or a million times its first size, naming the term.
        """
        values = torch.stack([mean.detach() for mean in means.values()]).tolist()
        loss = sum(values)
        first = self._first.setdefault(phase.name, loss)
        if not math.isfinite(loss) or abs(loss) > FAR * (1 + abs(first)):
            worst = max(zip(means, values, strict=True), key=lambda pair: _size(pair[1]))[0]
            raise Diverged(
                f"training: at step {step} of phase {phase.name!r} the term {worst!r} made the loss {loss:g}; "
                "try a lower lr, or clip"
            )
        for name, value in zip(means, values, strict=True):
            key = f"{phase.name}/{name}"
            self._sums[key] = self._sums.get(key, 0.0) + value
            self._counts[key] = self._counts.get(key, 0) + 1
        return loss

    def take(self) -> dict[str, float]:
        """The means so far; starts anew."""
        taken = {key: total / self._counts[key] for key, total in self._sums.items()}
        self._sums, self._counts = {}, {}
        return taken


def drop_later(path: Path, step: int) -> None:
    """Forget the lines recorded after ``step`` (they will be recorded again), and a line cut off by a kill."""
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except (ValueError, KeyError):
            continue
    path.write_text("".join(kept), encoding="utf-8")


def _size(value: float) -> float:
    return abs(value) if math.isfinite(value) else math.inf
