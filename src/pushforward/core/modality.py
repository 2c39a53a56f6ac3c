"""What an example is: points, images, labels; rows of a table are in ``table.py``, texts in ``text.py``.

A modality describes the *storage* form of one example (shape, type, grid) and turns a user's objects into storage
tensors and back: ``pack`` and ``unpack``. It holds no statistics; those are units (``core/units.py``).

| modality | user's object | storage tensor of B examples |
|---|---|---|
| ``Points`` | array (B, D) | float64 (B, D) |
| ``Image`` | array (B, H, W) or (B, H, W, C) | uint8 (B, C, H, W), values 0 .. levels - 1 |
| ``Table`` | DataFrame | float64 (B, columns): numbers, category codes, NaN for a missing cell |
| ``Text`` | list of strings | int64 (B, length), filled up with the end code |
| ``Label`` | list of names | int64 (B,) |
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pushforward.core.errors import InputError

__all__ = ["Image", "Label", "Modality", "Points", "Value"]

#: What a category or a class can be called.
Value = str | int | float | bool


class Modality(ABC):
    """A kind of example. Concrete modalities are frozen dataclasses, so they compare, hash and save as JSON."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Storage shape of one example."""

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """Storage type."""

    @property
    @abstractmethod
    def gridded(self) -> tuple[bool, bool]:
        """(some entries lie on a grid, all entries lie on a grid): a mass, a density, or a mix of both."""

    @abstractmethod
    def describe(self) -> str:
        """One line for people: what an example is."""

    @abstractmethod
    def pack(self, user: Any) -> Tensor:
        """The user's objects as a storage tensor (B, *shape)."""

    @abstractmethod
    def unpack(self, storage: Tensor) -> Any:
        """A storage tensor as objects the user knows."""

    def check(self, storage: Tensor, name: str = "x") -> None:
        """Raise ``InputError`` unless ``storage`` is a batch of examples of this modality."""
        if not isinstance(storage, Tensor):
            raise InputError(f"{name}: got a {type(storage).__name__}, expected a tensor of shape (B, *{self.shape})")
        if tuple(storage.shape[1:]) != self.shape or storage.ndim == 0:
            raise InputError(f"{name}: got shape {tuple(storage.shape)}, expected (B, *{self.shape})")
        whole = self.dtype not in (torch.float32, torch.float64)
        if whole == storage.is_floating_point():
            raise InputError(f"{name}: got dtype {storage.dtype}, expected {self.dtype}")


@dataclass(frozen=True, kw_only=True)
class Points(Modality):
    """Vectors of D real numbers.

    Args:
        dim: D.
        resolution: the grid step of each entry, 0.0 for a continuous one; empty when all are continuous.

    Example:
        >>> Points(dim=2).pack([[0.5, 1.0]]).shape
        torch.Size([1, 2])
    """

    dim: int
    resolution: tuple[float, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.dim,)

    @property
    def dtype(self) -> torch.dtype:
        return torch.float64

    @property
    def steps(self) -> tuple[float, ...]:
        """The resolution of every entry, written out."""
        return self.resolution or (0.0,) * self.dim

    @property
    def gridded(self) -> tuple[bool, bool]:
        return any(self.steps), all(self.steps)

    def describe(self) -> str:
        grid = "" if not any(self.steps) else f", grid steps {', '.join(f'{s:g}' for s in self.steps[:6])}"
        return f"points of {self.dim} number{'s' if self.dim > 1 else ''}{grid}"

    def check(self, storage: Tensor, name: str = "x") -> None:
        super().check(storage, name)
        if not torch.isfinite(storage).all():
            raise InputError(f"{name}: holds NaN or infinite numbers, expected finite ones")

    def pack(self, user: Any) -> Tensor:
        storage = torch.from_numpy(np.array(user, dtype=np.float64))  # a copy: torch wants memory it may write to
        self.check(storage)
        return storage

    def unpack(self, storage: Tensor) -> np.ndarray:
        return storage.cpu().numpy()


@dataclass(frozen=True, kw_only=True)
class Image(Modality):
    """Pictures of H x W pixels with C channels (1 grey, 3 colour, 4 with alpha) in whole levels.

    Args:
        height: H.
        width: W.
        channels: C.
        levels: how many values a pixel can take: 256 for 8-bit pictures, 17 for scikit-learn's digits.

    Example:
        >>> Image(height=2, width=3).pack(np.zeros((5, 2, 3), np.uint8)).shape
        torch.Size([5, 1, 2, 3])
    """

    height: int
    width: int
    channels: int = 1
    levels: int = 256

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.channels, self.height, self.width)

    @property
    def dtype(self) -> torch.dtype:
        return torch.uint8

    @property
    def gridded(self) -> tuple[bool, bool]:
        return True, True

    def describe(self) -> str:
        kind = {1: "grey", 2: "grey with alpha", 3: "colour", 4: "colour with alpha"}.get(self.channels, "")
        return f"images {self.height} x {self.width}, {kind or f'{self.channels} channels'}, {self.levels} levels"

    def check(self, storage: Tensor, name: str = "x") -> None:
        super().check(storage, name)
        if storage.numel() and self.levels < 256 and int(storage.max()) >= self.levels:
            raise InputError(f"{name}: a pixel has value {int(storage.max())}, expected 0 to {self.levels - 1}")

    def pack(self, user: Any) -> Tensor:
        pixels = np.asarray(user)
        if pixels.ndim == 3:
            pixels = pixels[..., None]
        if pixels.ndim != 4 or not np.issubdtype(pixels.dtype, np.integer):
            raise InputError(
                f"images: got {pixels.dtype} of shape {pixels.shape}, expected whole numbers (B, H, W) or (B, H, W, C)"
            )
        if pixels.size and (pixels.min() < 0 or pixels.max() >= self.levels):
            raise InputError(f"images: values {pixels.min()} to {pixels.max()}, expected 0 to {self.levels - 1}")
        storage = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2).astype(np.uint8)))
        self.check(storage, "images")
        return storage

    def unpack(self, storage: Tensor) -> np.ndarray:
        """Arrays (B, H, W) for one channel, (B, H, W, C) for more."""
        pixels = storage.cpu().numpy().transpose(0, 2, 3, 1)
        return pixels[..., 0] if self.channels == 1 else pixels


@dataclass(frozen=True, kw_only=True)
class Label(Modality):
    """One of a few classes.

    Args:
        names: the classes, in the order of their codes.
        title: what is labelled: the column or folder the classes came from.

    Example:
        >>> Label(names=("cat", "dog")).pack(["dog", "cat"]).tolist()
        [1, 0]
    """

    names: tuple[Value, ...]
    title: str = "label"

    @property
    def size(self) -> int:
        """Number of classes."""
        return len(self.names)

    @property
    def shape(self) -> tuple[int, ...]:
        return ()

    @property
    def dtype(self) -> torch.dtype:
        return torch.int64

    @property
    def gridded(self) -> tuple[bool, bool]:
        return True, True

    def describe(self) -> str:
        some = ", ".join(str(name) for name in self.names[:10])
        return f"{self.title}: {self.size} classes ({some}{', ...' if self.size > 10 else ''})"

    def check(self, storage: Tensor, name: str = "condition") -> None:
        if storage.ndim != 1 or storage.is_floating_point():
            raise InputError(
                f"{name}: got {storage.dtype} of shape {tuple(storage.shape)}, expected whole numbers (B,)"
            )
        if storage.numel() and (int(storage.min()) < 0 or int(storage.max()) >= self.size):
            raise InputError(f"{name}: holds a class outside 0 to {self.size - 1}")

    def pack(self, user: Any) -> Tensor:
        by_name = {str(name): code for code, name in enumerate(self.names)}
        codes = []
        for value in [user] if isinstance(user, (str, int, float)) else user:
            if str(value) not in by_name:
                some = ", ".join(list(by_name)[:20])
                raise InputError(f"condition: got {value!r}, expected a class of {self.title}: {some}")
            codes.append(by_name[str(value)])
        return torch.tensor(codes, dtype=torch.int64)

    def unpack(self, storage: Tensor) -> list[Value]:
        return [self.names[code] for code in storage.tolist()]
