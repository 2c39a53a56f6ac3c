r"""Bits-back coding: compress with a latent variable at the price of the evidence lower bound, although z is sent too.

To send x the encoder of a variational autoencoder picks z, sends z under the prior and x under p(x | z). Any z near the
mode of q(z | x) would do, and that freedom is worth something: z is *popped* from the stack of bits that is there
already, as if those bits were an encoding of it under q. The receiver, who has x and z in the end, pushes z under q and
has these bits back. The stack grows on average by

.. math:: -\log_2 p(x \mid z) - \log_2 p(z) + \log_2 q(z \mid x), \qquad
          \text{in expectation over } z \sim q \text{ minus the bound, in bits.}

z is a number, and what is coded are cells: each coordinate is cut into :math:`K = 2^{16}` cells of equal mass under the
prior N(0, 1), with edges :math:`e_k = \Phi^{-1}(k / K)`. Under the prior a cell costs 16 bits; under q its mass is
:math:`\Phi((e_{k+1} - \mu) / s) - \Phi((e_k - \mu) / s)`. The decoder sees the middle of the cell. Cells of width w
cost about :math:`(w / s)^2 / 24` nats, which is nothing at these widths.

The first example finds no bits to pop: uniform ones are taken instead (``Ans.borrowed``), which is what a chain of
examples costs beyond the bound.

Reference:
    Townsend, Bird and Barber 2019, "Practical lossless compression with latent variables using bits back coding",
    section 2.3 and algorithm 1; appendix B for the cells.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Shaped
from scipy.special import ndtri
from torch import Tensor

from pushforward.probability.entry_likelihoods import CategoricalLikelihood
from pushforward.probability.likelihood import Likelihood
from pushforward.uses.ans import Ans, frequencies

__all__ = ["Cells", "LatentCoder", "masses"]

#: log2 of the cells of a coordinate of z. A posterior of standard deviation 0.01 spans hundreds of cells around z = 0,
#: where they are 4e-5 wide, and still several at z = 3, where they are 0.003.
CELLS = 16

#: Bits of the frequencies of the cells under q: a cell has at least one slot in 2**32, so all K of them together take a
#: mass of 2**-16 from q.
FINE = 32

#: Examples that go through the networks together: a quarter of those before them, at most 64. Their codes are popped
#: before any of them is pushed, so a chain that began with 64 would borrow for 64; four examples mostly leave more bits
#: than the codes of one take.
SHARE, MOST_TOGETHER = 4, 64

#: Parameters of a likelihood that are worked on at a time, for as many values as that is: 8 MB of doubles.
AT_ONCE = 2**20


@dataclass(frozen=True)
class LatentCoder:
    """The three distributions of a latent-variable model, as bits-back coding needs them.

    Args:
        posterior: mean and standard deviation of q(z | x), which is Gaussian with independent coordinates, each (B,
            latent).
        theta: the parameters of p(x | z).
        likelihood: p(x | theta), a mass on whole numbers.
        latent_dim: coordinates of z; under the prior they are N(0, 1).
        values: an entry of x is one of 0 .. values - 1.
        shape: of x in model units.
    """

    posterior: Callable[[Tensor], tuple[Tensor, Tensor]]
    theta: Callable[[Tensor], Tensor]
    likelihood: Likelihood
    latent_dim: int
    values: int
    shape: tuple[int, ...]

    def push(self, stack: Ans, y: Shaped[Tensor, "n *shape"]) -> None:
        """Push examples."""
        for rows in chain(len(y)):
            part = y[rows]
            z = [law.pop(stack) for law in self._cells(part)]
            stack.push_table(part.flatten().numpy().astype(np.int64), self._table(z))
            stack.push(
                [cell ^ pad for cell, pad in zip(z, pads(rows, self.latent_dim), strict=True)], [1] * len(z), CELLS
            )

    def pop(self, stack: Ans, n: int, dtype: torch.dtype = torch.float64) -> Shaped[Tensor, "n *shape"]:
        """The n examples on top, in the order they were pushed in: the same steps, last one first."""
        parts = []
        for rows in reversed(list(chain(n))):
            count = rows.stop - rows.start
            padded = reversed(pads(rows, self.latent_dim))
            z = [stack.pop(lambda slot: (slot, slot, 1), CELLS) ^ pad for pad in padded][::-1]
            symbols = stack.pop_table(self._table(z))
            part = torch.tensor(symbols, dtype=dtype).unflatten(0, (count, *self.shape))
            for law, cell in zip(reversed(self._cells(part)), reversed(z), strict=True):
                law.push(stack, cell)
            parts.append(part)
        return torch.cat(parts[::-1])

    def _cells(self, y: Shaped[Tensor, "batch *shape"]) -> list[Cells]:
        """q(z | x) over cells, one law per example and coordinate."""
        mean, deviation = self.posterior(y)
        return [Cells(m, s) for m, s in zip(mean.flatten().tolist(), deviation.flatten().tolist(), strict=True)]

    def _table(self, cells: list[int]) -> np.ndarray:
        """The frequencies of every entry of the examples, given the cells of their codes."""
        middle = ndtri((np.array(cells) + 0.5) / (1 << CELLS)).reshape(-1, self.latent_dim)
        log_mass = masses(self.likelihood, self.theta(torch.from_numpy(middle)), self.values)
        return frequencies(log_mass.flatten(0, 1).numpy())


def masses(
    likelihood: Likelihood, theta: Float[Tensor, "batch *theta"], values: int
) -> Float[Tensor, "batch entries values"]:
    """The logarithm of the mass of every value of every entry."""
    if isinstance(likelihood, CategoricalLikelihood):  # all of them at once
        return theta.log_softmax(1).flatten(2).transpose(1, 2)
    batch, found = len(theta), []
    lot = max(AT_ONCE // theta.numel(), 1)
    for low in range(0, values, lot):
        level = torch.arange(low, min(low + lot, values)).to(theta)
        y = level.repeat_interleave(batch).view(-1, *[1] * (theta.ndim - 2)).expand(-1, *likelihood.theta[1:])
        each = likelihood.log_prob_each(y, theta.repeat(len(level), *[1] * (theta.ndim - 1)))
        found.append(each.view(len(level), batch, -1))
    return torch.cat(found).permute(1, 2, 0)


def chain(n: int) -> Iterator[slice]:
    """The rows that go through the networks together.

    Example:
        >>> [(rows.start, rows.stop) for rows in chain(14)][6:]
        [(6, 7), (7, 8), (8, 10), (10, 12), (12, 14)]
    """
    start = 0
    while start < n:
        stop = min(start + min(max(start // SHARE, 1), MOST_TOGETHER), n)
        yield slice(start, stop)
        start = stop


def pads(rows: slice, latent_dim: int) -> list[int]:
    """Fixed random numbers that the cells of these rows are added to, bit by bit, before they are pushed.

    All cells cost the same, so any one-to-one renaming does too. It matters for the next examples, whose codes are
    popped from these very bits: the codes of all data together do not follow the prior quite, and draws made of their
    cells would not follow q.
    """
    stream = random.Random(rows.start)
    return [stream.getrandbits(CELLS) for _ in range((rows.stop - rows.start) * latent_dim)]


@lru_cache(maxsize=1)
def edges() -> list[float]:
    """Where the cells of a coordinate begin and the last one ends: the quantiles of the prior."""
    return ndtri(np.arange((1 << CELLS) + 1) / (1 << CELLS)).tolist()


class Cells:
    """A Gaussian over the cells of one coordinate.

    Args:
        mean: of q.
        deviation: its standard deviation.

    Example:
        Under the prior itself all cells weigh the same, up to their share of a slot each:

        >>> law = Cells(0.0, 1.0)
        >>> [law.start(k + 1) - law.start(k) for k in (0, 1, 40_000)]
        [65536, 65536, 65536]
    """

    def __init__(self, mean: float, deviation: float) -> None:
        self.mean, self.scale, self.edges = mean, 1 / (deviation * math.sqrt(2)), edges()

    def start(self, cell: int) -> int:
        """The first slot of a cell: the mass below it, and one slot for each cell before."""
        if cell == 0:
            return 0
        if cell == 1 << CELLS:
            return 1 << FINE
        below = 0.5 * math.erfc((self.mean - self.edges[cell]) * self.scale)
        return cell + int(((1 << FINE) - (1 << CELLS)) * below)

    def find(self, slot: int) -> tuple[int, int, int]:
        """The cell of a slot, its first slot and how many it has."""
        cell = bisect_right(range((1 << CELLS) + 1), slot, key=self.start) - 1
        start = self.start(cell)
        return cell, start, self.start(cell + 1) - start

    def pop(self, stack: Ans) -> int:
        """Draw a cell with bits of the stack."""
        return stack.pop(self.find, FINE)

    def push(self, stack: Ans, cell: int) -> None:
        """Give the bits back that drawing this cell took."""
        start = self.start(cell)
        stack.push([start], [self.start(cell + 1) - start], FINE)
