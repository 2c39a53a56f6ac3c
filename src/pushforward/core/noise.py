r"""Randomness as an argument: a stream of numbers addressed by *what they are for*, not by what was drawn before.

Every number comes from the counter-based generator Philox 4x64 (Salmon et al. 2011, "Parallel random numbers: as
easy as 1, 2, 3"), whose output is a function of a key and a counter. The address of a number is

    key = (seed, step),   counter = (position in the block, draw within the step, block of rows, 0),

so the noise of row *i* is the same whatever the batch size, the number of rows asked for, the process that asks,
or the device the model is on. Rows come in blocks of 64, one stream each, which keeps this as cheap as one large draw.
"""

import secrets
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pushforward.core.errors import InputError

__all__ = ["BLOCK", "Noise", "fresh_seed"]

#: Rows that share one stream: large enough that making a stream (about 10 microseconds) does not count,
#: small enough that asking for one row wastes little.
BLOCK = 64


def fresh_seed() -> int:
    """A seed nobody chose, below 2**31 so that it is easy to write down and use again.

    Example:
        >>> 0 <= fresh_seed() < 2**31
        True
    """
    return secrets.randbelow(2**31)


class Noise:
    """Standard normals and uniforms for the rows ``start .. start + rows - 1`` of a global batch.

    Successive calls are successive *draws*; two ``Noise`` objects with the same seed and step give the same
    draws in the same order, restricted to their rows.

    Args:
        seed: which experiment; a whole number of at least 0.
        step: which moment of it (a training step, for instance).
        rows: how many rows each draw has.
        start: the global index of the first row.

    Raises:
        InputError: if a number is negative or not whole.

    Example:
        >>> whole = Noise(0, rows=100).normal(3)
        >>> part = Noise(0, rows=10, start=70).normal(3)
        >>> bool((whole[70:80] == part).all())
        True
    """

    def __init__(self, seed: int, step: int = 0, *, rows: int, start: int = 0) -> None:
        for name, value in (("seed", seed), ("step", step), ("rows", rows), ("start", start)):
            if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 0 or value >= 2**63:
                raise InputError(f"{name}: got {value!r}, expected a whole number from 0 to 2**63 - 1")
        self.seed, self.step, self.rows, self.start = int(seed), int(step), int(rows), int(start)
        self._draw = 0

    def __len__(self) -> int:
        """The number of rows of each draw."""
        return self.rows

    def normal(self, *event: int, like: Tensor | None = None) -> Float[Tensor, "rows *event"]:
        """Independent N(0, 1) numbers, shape ``(rows, *event)``, on the device and in the dtype of ``like``."""
        return self._fill("normal", event, like)

    def uniform(self, *event: int, like: Tensor | None = None) -> Float[Tensor, "rows *event"]:
        """Independent numbers uniform on [0, 1), multiples of 2**-24, shape ``(rows, *event)``."""
        return self._fill("uniform", event, like)

    def part(self, start: int, rows: int) -> "Noise":
        """The noise of ``rows`` of these rows, from the ``start``-th on, at its first draw.

        Example:
            >>> noise = Noise(5, rows=8)
            >>> bool((noise.part(2, 3).uniform() == noise.uniform()[2:5]).all())
            True
        """
        return Noise(self.seed, self.step, rows=rows, start=self.start + start)

    def _fill(self, law: Literal["normal", "uniform"], event: tuple[int, ...], like: Tensor | None) -> Tensor:
        values = np.empty((self.rows, *event), dtype=np.float32)
        stop = self.start + self.rows
        for block in range(self.start // BLOCK, -(-stop // BLOCK)):
            first = block * BLOCK
            low, high = max(first, self.start), min(first + BLOCK, stop)
            stream = np.random.Generator(
                np.random.Philox(key=[self.seed, self.step], counter=[0, self._draw, block, 0])
            )
            # The block is drawn from its first row on, as far as it is needed: row i never depends on `rows`.
            wanted = values[low - self.start : high - self.start]
            drawn = wanted if low == first else np.empty((high - first, *event), dtype=np.float32)
            if law == "normal":
                stream.standard_normal(dtype=np.float32, out=drawn)
            else:
                stream.random(dtype=np.float32, out=drawn)
            if drawn is not wanted:
                wanted[...] = drawn[low - first :]
        self._draw += 1
        tensor = torch.from_numpy(values)
        return tensor if like is None else tensor.to(device=like.device, dtype=like.dtype)
