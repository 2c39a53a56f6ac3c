r"""Asymmetric numeral systems: a stack of symbols kept as one whole number, each at the price of its information.

A distribution is whole frequencies :math:`f_s` that sum to :math:`2^p`; symbol s owns the slots from
:math:`c_s = \sum_{t < s} f_t` on. Pushing s onto the number a, and popping it again, are

.. math:: a' = 2^p \lfloor a / f_s \rfloor + c_s + (a \bmod f_s), \qquad
          u = a' \bmod 2^p, \quad c_s \le u < c_s + f_s, \quad a = f_s \lfloor a' / 2^p \rfloor + u - c_s ,

so that :math:`\log_2 a' \approx \log_2 a + \log_2 (2^p / f_s)`: a symbol of probability :math:`f_s / 2^p` costs its
information. The last symbol pushed is the first to be popped. Popping from a stack that was never pushed to reads
uniform bits as symbols: it *draws* from the distribution, and pushing the symbol gives the bits back. That is what
bits-back coding is made of (``bits_back.py``).

The number is kept as a *head* of 32 to 64 bits and a list of 32-bit words below it. All arithmetic is on Python's whole
numbers, hence the same everywhere.

Reference:
    Duda 2009, "Asymmetric numeral systems", section 3; Townsend, Bird and Barber 2019, "Practical lossless compression
    with latent variables using bits back coding", section 2.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

import numpy as np
from jaxtyping import Float, Int

from pushforward.core.errors import InputError

__all__ = ["PRECISION", "Ans", "frequencies"]

#: Bits of a word below the head, and the least value of the head.
WORD = 32
LEAST = 1 << WORD

#: p for tables of symbols: rounding a probability of 2**-12 to a multiple of 2**-24 costs 2**-12 of a bit at most.
PRECISION = 24


class Ans:
    """The stack.

    Args:
        contents: of a stack written by ``to_bytes``; None is an empty one, below which there are uniform bits without
            end (those of a fixed seed: how many were taken, ``borrowed`` tells). A stack that was read has nothing
            below.

    Raises:
        InputError: if the contents are no stack.

    Example:
        Fair bits cost one bit each, and come back in the opposite order:

        >>> stack = Ans()
        >>> stack.push([0, 1, 1], [1, 1, 1], 1)
        >>> stack.bits
        3.0
        >>> [stack.pop(lambda u: (u, u, 1), 1) for _ in range(3)]
        [1, 1, 0]
    """

    def __init__(self, contents: bytes | None = None) -> None:
        self.borrowed = 0
        self._below = random.Random(0) if contents is None else None
        if contents is None:
            self._head, self._words = LEAST, []
            return
        if len(contents) < 8 or len(contents) % 4:
            raise InputError(f"contents: got {len(contents)} bytes, expected whole words of an ANS stack")
        self._words = np.frombuffer(contents[8:], "<u4").tolist()
        self._head = int.from_bytes(contents[:8], "little")
        if self._head < LEAST:
            raise InputError("contents: are no ANS stack, its head is too small")

    @property
    def bits(self) -> float:
        """log2 of the number that the stack is, minus that of an empty one."""
        return float(np.log2(self._head)) - WORD + WORD * len(self._words)

    def push(self, starts: Iterable[int], widths: Iterable[int], precision: int) -> None:
        """Push symbols, given where their slots start and how many they have of 2**precision."""
        head, words, most = self._head, self._words, 2 * WORD - precision
        for start, width in zip(starts, widths, strict=True):
            if head >= width << most:  # the head would overflow: its low word goes below
                words.append(head & (LEAST - 1))
                head >>= WORD
            times, rest = divmod(head, width)
            head = (times << precision) + start + rest
        self._head = head

    def pop(self, find: Callable[[int], tuple[int, int, int]], precision: int) -> int:
        """Pop one symbol; ``find`` maps a slot to (symbol, start, width)."""
        slot = self._head & ((1 << precision) - 1)
        symbol, start, width = find(slot)
        head = width * (self._head >> precision) + slot - start
        if head < LEAST:
            head = (head << WORD) | (self._words.pop() if self._words else self._borrow())
        self._head = head
        return symbol

    def pop_table(self, table: Int[np.ndarray, "symbols values+1"], precision: int = PRECISION) -> list[int]:
        """Pop one symbol per row of ``frequencies``, the last row first; in the order of the rows."""
        found = []
        for row in table[::-1]:

            def find(slot: int, row: np.ndarray = row) -> tuple[int, int, int]:
                symbol = int(row.searchsorted(slot, side="right")) - 1
                start = int(row[symbol])
                return symbol, start, int(row[symbol + 1]) - start

            found.append(self.pop(find, precision))
        return found[::-1]

    def push_table(
        self,
        symbols: Int[np.ndarray, "symbols"],
        table: Int[np.ndarray, "symbols values+1"],
        precision: int = PRECISION,
    ) -> None:
        """Push one symbol per row of ``frequencies``, in order."""
        rows = np.arange(len(symbols))
        starts = table[rows, symbols]
        self.push(starts.tolist(), (table[rows, symbols + 1] - starts).tolist(), precision)

    def to_bytes(self) -> bytes:
        """The head in 8 bytes, then the words from the lowest up, little-endian."""
        return self._head.to_bytes(8, "little") + np.array(self._words, "<u4").tobytes()

    def _borrow(self) -> int:
        if self._below is None:
            raise InputError("contents: the stack ran empty, expected one whose symbols were pushed with this model")
        self.borrowed += WORD
        return self._below.getrandbits(WORD)


def frequencies(
    log_mass: Float[np.ndarray, "symbols values"], precision: int = PRECISION
) -> Int[np.ndarray, "symbols values+1"]:
    r"""Where the slots of every value start: :math:`c_v = v + \lfloor (2^p - V)\, F_v \rfloor`, F the sum before v.

    Every value gets at least one slot, so whatever the model thinks impossible can be coded all the same, at p bits.

    Args:
        log_mass: logarithms of the probabilities of each symbol's values, up to a constant per symbol.
        precision: p.

    Example:
        >>> frequencies(np.log([[0.5, 0.25, 0.25]]), precision=4).tolist()  # 8, 4 and 4 slots, nearly
        [[0, 7, 11, 16]]
    """
    count = log_mass.shape[1]
    mass = np.exp(log_mass.astype(np.float64) - log_mass.max(1, keepdims=True))
    below = np.cumsum(mass, axis=1)
    below = np.pad(below / below[:, -1:], ((0, 0), (1, 0)))
    return np.arange(count + 1) + np.floor(((1 << precision) - count) * below).astype(np.int64)
