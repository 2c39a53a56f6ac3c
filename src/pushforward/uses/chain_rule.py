r"""Coding with an autoregressive model: each code at the price of :math:`-\log_2 p(x_t \mid x_{<t})`, the likelihood.

The receiver knows the codes before t when it decodes code t, and needs the very same frequencies as the sender, to the
last bit. Sums of floating-point numbers depend on the shapes they are taken over, so both sides make the same call: a
pass over all T positions, of which later codes cannot change earlier results (a masked weight is exactly 0). The sender
reads all conditionals off one pass; the receiver makes T of them, filling in one code after each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pushforward.uses.ans import Ans, frequencies

__all__ = ["ChainCoder"]

#: Sequences that go through the network together.
TOGETHER = 128


@dataclass(frozen=True)
class ChainCoder:
    """Sequences of codes on a stack.

    Args:
        log_mass: codes (B, T) to the logarithms (B, T, V) of the probabilities of what stands at each position given
            the codes before it; what stands later must not matter.
        length: T.
    """

    log_mass: Callable[[Tensor], Tensor]
    length: int

    def push(self, stack: Ans, y: Int[Tensor, "n codes"]) -> None:
        """Push sequences: the last position first, so that the first one is popped first."""
        for rows in _batches(len(y)):
            part = y[rows]
            log_mass = self.log_mass(part)
            for t in reversed(range(self.length)):
                stack.push_table(part[:, t].numpy(), _table(log_mass[:, t]))

    def pop(self, stack: Ans, n: int) -> Int[Tensor, "n codes"]:
        """The n sequences on top, in the order they were pushed in."""
        parts = []
        for rows in reversed(list(_batches(n))):
            part = torch.zeros(rows.stop - rows.start, self.length, dtype=torch.int64)
            for t in range(self.length):
                part[:, t] = torch.tensor(stack.pop_table(_table(self.log_mass(part)[:, t])))
            parts.append(part)
        return torch.cat(parts[::-1])


def _table(log_mass: Float[Tensor, "batch values"]) -> Int[np.ndarray, "batch values+1"]:
    return frequencies(log_mass.numpy())


def _batches(n: int) -> Iterator[slice]:
    for start in range(0, n, TOGETHER):
        yield slice(start, min(start + TOGETHER, n))
