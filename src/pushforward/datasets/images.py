"""Arrays as images: 8-bit or fewer levels, numbers in [0, 1], channels first or last, in memory or streamed."""

import hashlib
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from pushforward.core.data import Batch, Condition, Data, Lazy, Split
from pushforward.core.errors import InputError
from pushforward.core.modality import Image
from pushforward.datasets.labels import Labels, join_labels, labelled
from pushforward.datasets.options import Options
from pushforward.datasets.splits import Found, hash_rows, split_up

__all__ = ["IN_MEMORY", "Parts", "load_images", "read_layout", "resized"]

#: For each split ("train", and perhaps "valid" and "test"): the examples, and their labels or None.
Parts = dict[str, tuple[np.ndarray, Any]]

#: Decoded bytes up to which a split is one tensor: 1 GiB, a small part of any machine's memory today.
IN_MEMORY = 2**30

#: Whole numbers below this many are levels of their own (digits have 17, black and white 2), above they are 8-bit.
FEW_LEVELS = 64

#: Grey, grey with alpha, colour, colour with alpha.
CHANNELS = (1, 2, 3, 4)


@dataclass(frozen=True)
class Layout:
    """How arrays of one kind become storage images.

    Args:
        axes: where height, width and channels are.
        whole: whether pixels are whole numbers already, rather than numbers in [0, 1].
        image: what an example is.
    """

    axes: Literal["HW", "HWC", "CHW"]
    whole: bool
    image: Image

    def convert(self, pixels: np.ndarray) -> Tensor:
        """A batch as uint8 (B, C, H, W)."""
        if self.whole:
            levels = pixels.astype(np.uint8, copy=False)
        else:
            levels = np.rint(pixels.astype(np.float64) * 255).astype(np.uint8)
        match self.axes:
            case "HW":
                levels = levels[:, None]
            case "HWC":
                levels = levels.transpose(0, 3, 1, 2)
            case "CHW":
                pass
        # A copy unless it is whole already: torch wants memory it may write to.
        return torch.from_numpy(np.require(levels, requirements=["C", "W", "O"]))


def load_images(
    parts: Parts, options: Options, otherwise: str, notes: tuple[str, ...] = (), classes: tuple[str, ...] = ()
) -> Data:
    """Data from arrays of images.

    Args:
        parts: the arrays, all of one shape per example.
        options: those of the caller.
        otherwise: the name, if the caller gave none.
        notes: what was understood before.
        classes: names in the order of their codes, where labels are such names; found and sorted if none are given.

    Raises:
        InputError: if the numbers are no pixels.

    Example:
        >>> pixels = np.random.default_rng(0).integers(0, 256, size=(30, 4, 5, 3), dtype=np.uint8)
        >>> load_images({"train": (pixels, None)}, Options(), "noise").example.shape
        (3, 4, 5)
    """
    layout, said = read_layout([pixels for pixels, _ in parts.values()])
    wanted = options.sides()
    if wanted and wanted != (layout.image.height, layout.image.width):
        said = (*said, f"resized from {layout.image.height} x {layout.image.width}")
    sizes = {name: (len(pixels), given) for name, (pixels, given) in parts.items()}
    label, labels = join_labels(sizes, names=classes)
    hashes = {name: hash_rows(pixels) for name, (pixels, _) in parts.items()}
    splits = {
        name: _split(pixels, layout, wanted, labels.get(name), hashes[name]) for name, (pixels, _) in parts.items()
    }
    example = layout.image if wanted is None else replace(layout.image, height=wanted[0], width=wanted[1])
    found = Found(
        example=example,
        rows=splits["train"],
        hashes=hashes["train"],
        condition=label,
        valid=splits.get("valid"),
        test=splits.get("test"),
        notes=(*notes, *said),
    )
    return split_up(found, options, otherwise)


def resized(images: Tensor, sides: tuple[int, int], levels: int) -> Tensor:
    """uint8 images at another size, bilinear with antialiasing; whole levels stay whole."""
    scaled = torch.nn.functional.interpolate(images.float(), size=sides, mode="bilinear", antialias=True)
    return scaled.round().clamp(0, levels - 1).to(torch.uint8)


def _split(
    pixels: np.ndarray, layout: Layout, wanted: tuple[int, int] | None, labels: Labels | None, hashes: np.ndarray
) -> Split:
    def read(rows: np.ndarray | slice) -> Tensor:
        images = layout.convert(pixels[rows])
        sides = (layout.image.height, layout.image.width)
        return images if wanted in (None, sides) else resized(images, wanted, layout.image.levels)

    def fetch(indices: Tensor) -> Batch:
        x = read(indices.numpy())
        return Batch(x) if labels is None else Batch(x, Condition(labels[0][indices], labels[1][indices]))

    height, width = wanted or (layout.image.height, layout.image.width)
    if len(pixels) * layout.image.channels * height * width <= IN_MEMORY:
        if wanted is None:
            return labelled(read(slice(None)), labels)
        # Resized in blocks, so that floats of everything never lie side by side.
        blocks = [read(slice(first, first + 1024)) for first in range(0, len(pixels), 1024)]
        return labelled(torch.cat(blocks), labels)
    known = b"" if labels is None else labels[0].numpy().tobytes()
    identity = f"{layout} {wanted} {hashlib.sha256(hashes.tobytes() + known).hexdigest()}"
    return Lazy(len(pixels), fetch, identity)


def read_layout(arrays: list[np.ndarray]) -> tuple[Layout, tuple[str, ...]]:
    """How arrays of pixels are laid out, and what was understood.

    Raises:
        InputError: if shapes differ or the numbers are no pixels.
    """
    shapes = {array.shape[1:] for array in arrays}
    if len(shapes) > 1 or min(map(len, arrays)) == 0 or 0 in arrays[0].shape:
        both = ", ".join(str(array.shape) for array in arrays)
        raise InputError(f"images: got arrays of shape {both}, expected some images, all of one size")
    axes, (height, width, channels), notes = _read_axes(arrays[0].shape)
    low, high, whole, on_grid = _scan(arrays)
    if whole and low >= 0 and high <= 255:
        levels = max(int(high) + 1, 2) if high < FEW_LEVELS else 256
        notes += [f"pixel values 0 to {levels - 1}"] if levels < 256 else []
    elif 0.0 <= low and high <= 1.0:
        levels = 256
        notes += ["numbers in [0, 1] taken as 256 levels" + ("" if on_grid else ", rounded to the nearest")]
    else:
        raise InputError(
            f"images: got values from {low:g} to {high:g} in an array of shape {arrays[0].shape}, "
            "expected whole numbers from 0 to 255 or numbers in [0, 1]; rows of numbers have shape (N, D)"
        )
    image = Image(height=height, width=width, channels=channels, levels=levels)
    return Layout(axes, bool(whole), image), tuple(notes)


def _read_axes(shape: tuple[int, ...]) -> tuple[Literal["HW", "HWC", "CHW"], tuple[int, int, int], list[str]]:
    if len(shape) == 3:
        return "HW", (shape[1], shape[2], 1), []
    _, first, middle, last = shape
    if last in CHANNELS:
        doubt = first in CHANNELS and middle not in CHANNELS
        return "HWC", (first, middle, last), ["channels taken to be the last axis"] if doubt else []
    if first in CHANNELS:
        return "CHW", (middle, last, first), []
    raise InputError(f"images: got shape {shape}, expected 1 to 4 channels as the second or the last axis")


def _scan(arrays: list[np.ndarray]) -> tuple[float, float, bool, bool]:
    """(least, greatest, all whole, all multiples of 1/255), some megabytes at a time."""
    low, high, whole, on_grid = np.inf, -np.inf, True, True
    for array in arrays:
        step = max(2**22 // max(int(np.prod(array.shape[1:])), 1), 1)
        for first in range(0, len(array), step):
            part = np.asarray(array[first : first + step])
            low, high = min(low, float(part.min())), max(high, float(part.max()))
            if part.dtype.kind == "f":
                if not np.isfinite(part).all():
                    raise InputError("images: hold NaN or infinite numbers, expected finite ones")
                whole = whole and bool((part == np.rint(part)).all())
                scaled = part.astype(np.float64) * 255
                on_grid = on_grid and bool((np.abs(scaled - np.rint(scaled)) < 1e-3).all())
    return low, high, whole, on_grid
