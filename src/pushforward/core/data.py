"""Data as models and the loop see it: batches of storage tensors, indexed splits, and the three of them together."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

from pushforward.core.modality import Modality
from pushforward.core.noise import Noise

__all__ = ["Batch", "Condition", "Data", "Lazy", "Rows", "Split", "Unlabelled", "Windows"]


class Condition(NamedTuple):
    """What an example is conditioned on, and for which examples that is known (the others use the learned null)."""

    value: Shaped[Tensor, "batch *shape"]
    present: Bool[Tensor, "batch"]

    def to(self, device: torch.device) -> "Condition":
        """The same on another device."""
        return Condition(self.value.to(device), self.present.to(device))


class Batch(NamedTuple):
    """Examples and their conditions, in storage form or in model units."""

    x: Shaped[Tensor, "batch *shape"]
    condition: Condition | None = None

    def to(self, device: torch.device) -> "Batch":
        """The same on another device."""
        return Batch(self.x.to(device), None if self.condition is None else self.condition.to(device))


class Split(ABC):
    """Examples that can be counted and looked up by index."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of examples."""

    @abstractmethod
    def __getitem__(self, indices: Int[Tensor, "batch"]) -> Batch:
        """The examples at these indices, in storage form."""

    def fresh(self, indices: Int[Tensor, "batch"], noise: Noise) -> Batch:
        """The examples as one update of training sees them: the same every time, unless a split draws them anew.

        Args:
            indices: which.
            noise: of the update, with as many rows.
        """
        return self[indices]

    @abstractmethod
    def digest(self) -> str:
        """SHA-256 of the contents."""

    def spread(self, most: int) -> Batch:
        """At most ``most`` examples, evenly spaced over the split (all of them when there are fewer)."""
        count = min(most, len(self))
        return self[(torch.arange(count, dtype=torch.int64) * len(self)) // max(count, 1)]


class Rows(Split):
    """Examples held in one storage tensor; looking up a batch is one indexing operation.

    Example:
        >>> Rows(torch.arange(10.0).double()[:, None])[torch.tensor([3])].x.item()
        3.0
    """

    def __init__(self, x: Tensor, condition: Tensor | None = None, present: Tensor | None = None) -> None:
        self.x, self.condition = x, condition
        self.present = torch.ones(len(x), dtype=torch.bool) if present is None else present

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, indices: Int[Tensor, "batch"]) -> Batch:
        if self.condition is None:
            return Batch(self.x[indices])
        return Batch(self.x[indices], Condition(self.condition[indices], self.present[indices]))

    def digest(self) -> str:
        return _sha256(self.x, self.condition, self.present)


class Windows(Split):
    """All windows of ``length`` codes of one stream; window i starts at code i.

    Example:
        >>> Windows(torch.arange(5), 3)[torch.tensor([1])].x.tolist()
        [[1, 2, 3]]
    """

    def __init__(self, stream: Int[Tensor, "codes"], length: int) -> None:
        self.stream, self.length = stream, length

    def __len__(self) -> int:
        return max(len(self.stream) - self.length + 1, 0)

    def __getitem__(self, indices: Int[Tensor, "batch"]) -> Batch:
        return Batch(self.stream[indices[:, None] + torch.arange(self.length)].long())

    def digest(self) -> str:
        return _sha256(self.stream)


class Lazy(Split):
    """Examples too large to hold: ``fetch(indices)`` reads them when they are asked for.

    Args:
        count: number of examples.
        fetch: indices to a storage batch.
        identity: text that changes when the contents do (file names, sizes and times).
    """

    def __init__(self, count: int, fetch: Callable[[Tensor], Batch], identity: str) -> None:
        self.count, self.fetch, self.identity = count, fetch, identity

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, indices: Int[Tensor, "batch"]) -> Batch:
        return self.fetch(indices)

    def digest(self) -> str:
        return hashlib.sha256(self.identity.encode()).hexdigest()


class Unlabelled(Split):
    """The examples of another split without their conditions."""

    def __init__(self, split: Split) -> None:
        self.split = split

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, indices: Int[Tensor, "batch"]) -> Batch:
        return Batch(self.split[indices].x)

    def fresh(self, indices: Int[Tensor, "batch"], noise: Noise) -> Batch:
        return Batch(self.split.fresh(indices, noise).x)

    def digest(self) -> str:
        return hashlib.sha256(f"unlabelled {self.split.digest()}".encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Data:
    """A data set, understood and split.

    Args:
        name: short, fit for a folder name.
        example: what x is.
        condition: what c is, or None.
        train: used to learn.
        valid: used to choose.
        test: used once, to judge.
        notes: what was understood and decided on the way in, one line each, for people.
        recipe: the arguments of ``load_data`` that load it again (JSON), or None for data given as an object.
        log_density: the true log-density in data units where it is known (toys), ``(B, D) -> (B,)`` in nats.
    """

    name: str
    example: Modality
    condition: Modality | None = None
    train: Split
    valid: Split
    test: Split
    notes: tuple[str, ...] = ()
    recipe: Mapping[str, Any] | None = None
    log_density: Callable[[Tensor], Tensor] | None = field(default=None, repr=False)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the modality and the three splits: two data sets with one fingerprint train alike."""
        parts = [repr(self.example), repr(self.condition), *(s.digest() for s in (self.train, self.valid, self.test))]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def unlabelled(self) -> "Data":
        """The same examples without their conditions."""
        if self.condition is None:
            return self
        train, valid, test = (Unlabelled(split) for split in (self.train, self.valid, self.test))
        return replace(self, condition=None, train=train, valid=valid, test=test)

    def describe(self) -> tuple[str, ...]:
        """What was understood, a few lines for people."""
        sizes = f"{len(self.train):,} train, {len(self.valid):,} validation, {len(self.test):,} test"
        given = () if self.condition is None else (f"condition: {self.condition.describe()}",)
        return (f"{self.name}: {self.example.describe()}", f"split: {sizes}", *given, *self.notes)


def _sha256(*tensors: Tensor | None) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        if tensor is not None:
            digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
            digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else b"")
    return digest.hexdigest()
