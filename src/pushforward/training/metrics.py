"""What training records: the mean of every term since the last validation, and a watch over them."""

import json
import math
from pathlib import Path

import torch
from torch import Tensor

from pushforward.core.errors import InputError
from pushforward.core.files import write_bytes
from pushforward.core.stages import Phase

__all__ = ["Diverged", "Means", "append_line", "keep_lines"]

#: A loss this many times the size of the first one will not come back.
FAR = 1e6


class Diverged(ArithmeticError):
    """The loss is no longer a finite, sensible number; the last good checkpoint is kept."""


class Means:
    """Running means of the terms of every phase, which refuse what is not a sensible number.

    Args:
        sums: the sum and the count of every term so far.
    """

    def __init__(self, sums: dict[str, list[float]] | None = None) -> None:
        self.sums: dict[str, list[float]] = {} if sums is None else sums
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
            total, count = self.sums.get(f"{phase.name}/{name}", (0.0, 0))
            self.sums[f"{phase.name}/{name}"] = [total + value, count + 1]
        return loss

    def take(self) -> dict[str, float]:
        """The means so far; starts anew."""
        taken = {name: total / count for name, (total, count) in self.sums.items()}
        self.sums = {}
        return taken


def append_line(path: Path, line: dict) -> None:
    """Add one line of JSON to a file.

    Raises:
        InputError: if there is no room.
    """
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}), expected a writable place with room") from None


def keep_lines(path: Path, count: int) -> None:
    """Forget all but the first lines of a file: those after a checkpoint, or cut off by a kill, will come again."""
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    write_bytes(path, b"".join(lines[:count]))


def _size(value: float) -> float:
    return abs(value) if math.isfinite(value) else math.inf
