"""Which examples an update sees: a function of the seed and the number of the update, so nothing needs to be stored."""

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from pushforward.core.data import Batch, Condition, Split
from pushforward.core.noise import Noise

__all__ = ["Batches"]


class Batches:
    """Shuffled passes over a split.

    Pass e over N examples is a permutation drawn from the stream (seed, e); update u takes its batch number
    u mod floor(N / B). The few examples left over at the end of a pass come up in later ones.

    Args:
        split: the training examples.
        size: B, over all processes (at most N is used).
        seed: of the order.
    """

    def __init__(self, split: Split, size: int, seed: int) -> None:
        self.split, self.size, self.seed = split, min(size, len(split)), seed
        self.per_pass = len(split) // self.size
        self._pass, self._order = -1, torch.empty(0, dtype=torch.int64)

    def indices(self, update: int) -> Int[Tensor, "batch"]:
        """The examples of one update.

        Example:
            >>> from pushforward.core.data import Rows
            >>> batches = Batches(Rows(torch.zeros(10, 1)), 5, seed=0)
            >>> sorted(torch.cat([batches.indices(0), batches.indices(1)]).tolist())
            [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
        """
        number, position = divmod(update, self.per_pass)
        if number != self._pass:
            # Philox counter word 3 = 1 keeps these streams apart from those of Noise, which has 0 there.
            stream = np.random.Generator(np.random.Philox(key=[self.seed, number], counter=[0, 0, 0, 1]))
            self._pass, self._order = number, torch.from_numpy(stream.permutation(len(self.split)))
        return self._order[position * self.size : (position + 1) * self.size]

    def part(self, update: int, noise: Noise) -> Batch:
        """The rows of an update's batch that ``noise`` is for, as the split shows them to this update."""
        return self.split.fresh(self.indices(update)[noise.start : noise.start + noise.rows], noise)


def hide_conditions(batch: Batch, share: float, noise: Noise) -> Batch:
    """Mark a random share of the conditions absent, so that the null condition is learned."""
    if batch.condition is None or share == 0.0:
        return batch
    kept = noise.uniform() >= share
    value, present = batch.condition
    return Batch(batch.x, Condition(value, present & kept.to(present.device)))
