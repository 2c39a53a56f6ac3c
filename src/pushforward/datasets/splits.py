"""Train, validation and test: 80/10/10 by a seed, exact repeats on one side; a test split that came along is kept.

A row that stands in train and in test lets a model score by memory, so rows with the same contents are dealt out
together. Where most rows are repeats (a table of three yes-or-no columns) they are not leaks but the data itself, and
keeping them together would hide whole values from training: there every row is dealt out on its own.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pushforward.core.data import Data, Lazy, Rows, Split
from pushforward.core.errors import InputError
from pushforward.core.modality import Modality
from pushforward.datasets.options import Options

__all__ = ["Found", "divide", "hash_rows", "split_up", "take"]

#: Share of all rows for test, and for validation.
HELD_OUT = 0.1

#: Fewer distinct rows than this share and repeats are the nature of the data.
MOSTLY_DISTINCT = 0.5

#: Rows hashed at a time: a few megabytes of small images.
CHUNK = 4096


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a source turned out to hold, before it is split.

    Args:
        example: what x is.
        rows: all examples, or those of the source's own training split.
        hashes: one number per row, equal for equal rows.
        condition: what c is, or None.
        valid: the source's own validation split.
        test: the source's own test split.
        notes: what was understood.
        log_density: the true one, where it is known.
    """

    example: Modality
    rows: Split
    hashes: np.ndarray
    condition: Modality | None = None
    valid: Split | None = None
    test: Split | None = None
    notes: tuple[str, ...] = ()
    log_density: Callable[[Tensor], Tensor] | None = None


def hash_rows(x: np.ndarray) -> np.ndarray:
    """64-bit hashes of the contents of each row: equal rows, equal hashes.

    Example:
        >>> hashes = hash_rows(np.array([[0.0, 1.0], [2.0, 3.0], [-0.0, 1.0]]))
        >>> bool(hashes[0] == hashes[2]), bool(hashes[0] == hashes[1])
        (True, False)
    """
    hashes = np.empty(len(x), dtype=np.uint64)
    for first in range(0, len(x), CHUNK):
        part = x[first : first + CHUNK]
        part = part + 0.0 if part.dtype.kind == "f" else part  # -0.0 becomes 0.0
        for index, row in enumerate(np.ascontiguousarray(part), start=first):
            digest = hashlib.blake2b(np.ascontiguousarray(row).data, digest_size=8).digest()
            hashes[index] = int.from_bytes(digest, "little")
    return hashes


def divide(hashes: np.ndarray, parts: tuple[float, ...], seed: int) -> tuple[list[np.ndarray], str | None]:
    """Deal rows out at random: the given shares of them, then the rest.

    Args:
        hashes: one per row, equal for equal rows.
        parts: shares, in the order they are dealt; each part gets at least one row.
        seed: of the order.

    Returns:
        The row numbers of each part and of the rest, each in increasing order; a line on repeated rows, if there are.

    Raises:
        InputError: if there are too few rows to go round.

    Example:
        >>> (valid, test, train), note = divide(np.arange(10), (0.1, 0.1), seed=0)
        >>> len(train), len(valid), len(test), note
        (8, 1, 1, None)
    """
    count = len(hashes)
    if count < len(parts) + 1:
        raise InputError(
            f"data: holds {count} example{'s' * (count != 1)}, expected at least {len(parts) + 1} to split"
        )
    distinct, group = np.unique(hashes, return_inverse=True)
    note = None
    if len(distinct) < count and len(distinct) >= max(MOSTLY_DISTINCT * count, len(parts) + 1):
        note = f"{count - len(distinct):,} exact repeats, each on the side of its first"
    elif len(distinct) < count:
        note = f"only {len(distinct):,} distinct rows of {count:,}: repeats are the data's nature, not kept together"
        group = np.arange(count)
    size = np.bincount(group)
    order = np.random.default_rng(seed).permutation(len(size))
    # A row repeated more often than a held-out part has rows is for training: dealt last, it falls to the rest.
    order = order[np.argsort(size[order] > min(parts) * count, kind="stable")]
    # Rows in the order of their groups, and where each group ends.
    rows = np.argsort(np.argsort(order)[group], kind="stable")
    ends = np.cumsum(size[order])
    dealt, start, used = [], 0, 0
    for left, share in zip(range(len(parts), 0, -1), parts, strict=True):
        # As many whole groups as come nearest to the share, leaving at least one for each part to come.
        wanted = start + max(share * count, 1.0)
        used = int(np.clip(np.abs(ends - wanted).argmin() + 1, used + 1, len(ends) - left))
        dealt.append(np.sort(rows[start : ends[used - 1]]))
        start = ends[used - 1]
    return [*dealt, np.sort(rows[start:])], note


def take(split: Split, rows: np.ndarray) -> Split:
    """The examples of a split with these numbers, as a split of its own."""
    indices = torch.from_numpy(rows.astype(np.int64))
    if isinstance(split, Rows):
        condition = None if split.condition is None else split.condition[indices]
        return Rows(split.x[indices], condition, split.present[indices])
    identity = f"{split.digest()} {hashlib.sha256(rows.astype(np.int64).tobytes()).hexdigest()}"
    return Lazy(len(rows), lambda wanted: split[indices[wanted]], identity)


def split_up(found: Found, options: Options, otherwise: str) -> Data:
    """Data from what was found; ``otherwise`` is its name if the caller gave none.

    Raises:
        InputError: if there are too few examples.
    """
    valid, test = found.valid, found.test
    missing = [part is None for part in (valid, test)]
    if sum(missing):
        (*dealt, rest), repeats = divide(found.hashes, (HELD_OUT,) * sum(missing), options.seed)
        parts = [take(found.rows, rows) for rows in dealt]
        test = test or parts.pop()
        valid = valid or parts.pop()
        train = take(found.rows, rest)
    else:
        train, repeats = found.rows, None
    assert valid is not None and test is not None
    for name, split in (("train", train), ("validation", valid), ("test", test)):
        if len(split) == 0:
            raise InputError(f"data: the {name} split is empty, expected at least one example")
    return Data(
        name=options.title(otherwise),
        example=found.example,
        condition=found.condition,
        train=train,
        valid=valid,
        test=test,
        notes=(*found.notes, *([repeats] if repeats else [])),
        log_density=found.log_density,
    )
