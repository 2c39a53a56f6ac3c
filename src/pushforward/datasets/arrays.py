"""Arrays, tensors and lists: rows of numbers as points, stacks of pixels as images, strings as texts."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pushforward.core.data import Data
from pushforward.core.errors import InputError
from pushforward.core.modality import Points
from pushforward.datasets.images import Parts, load_images
from pushforward.datasets.labels import join_labels, labelled
from pushforward.datasets.numbers import as_doubles, check_steps, resolve
from pushforward.datasets.options import Options
from pushforward.datasets.splits import Found, hash_rows, split_up
from pushforward.datasets.texts import load_texts

__all__ = ["as_array", "load_arrays"]

#: Columns named in a note; the rest are counted.
NAMED = 12


def as_array(value: Any, name: str = "data") -> np.ndarray:
    """A list, tensor or array as an array of numbers or strings.

    Raises:
        InputError: if it is ragged, or of a type that is no data.
    """
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        value = value.float() if value.dtype == torch.bfloat16 else value
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:
        reason = str(error).split(".")[0]
        raise InputError(f"{name}: cannot be read as an array ({reason}), expected rows of one shape") from None
    if array.dtype.kind not in "biufU":
        raise InputError(f"{name}: got an array of dtype {array.dtype}, expected real numbers or strings")
    return array


def load_arrays(parts: Parts, options: Options, otherwise: str, notes: tuple[str, ...] = ()) -> Data:
    """Data from arrays: (N,) and (N, D) are points, (N, H, W) and more are images, strings are texts.

    Raises:
        InputError: if the shape or the numbers fit nothing.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(50, 2))
        >>> load_arrays({"train": (x, None)}, Options(), "x").example
        Points(dim=2, resolution=())
    """
    if options.condition is not None:
        if len(parts) > 1:
            raise InputError("condition: got one beside files of several splits, expected their labels among them")
        parts = {"train": (parts["train"][0], options.condition)}
    first = parts["train"][0]
    if first.dtype.kind == "U":
        if first.ndim != 1 or len(parts) > 1:
            raise InputError(f"data: got strings in shape {first.shape}, expected one list of texts")
        return load_texts(first.tolist(), options, otherwise, notes)
    match first.ndim:
        case 1 | 2:
            options.allow("points", "condition", "resolution")
            return _load_points(parts, options, otherwise, notes)
        case 3 | 4:
            options.allow("images", "condition", "size")
            return load_images(parts, options, otherwise, notes)
    raise InputError(f"data: got an array of shape {first.shape}, expected (N, D), (N, H, W) or (N, H, W, C)")


def _load_points(parts: Parts, options: Options, otherwise: str, notes: tuple[str, ...]) -> Data:
    arrays = {name: x[:, None] if x.ndim == 1 else x for name, (x, _) in parts.items()}
    whole = np.concatenate(list(arrays.values())) if _agree(arrays) else np.empty(0)
    if 0 in whole.shape:
        raise InputError(f"data: got an array of shape {whole.shape}, expected at least one row of at least one number")
    strange = np.argwhere(~np.isfinite(whole)) if whole.dtype.kind == "f" else []
    if len(strange):
        row, column = map(int, strange[0])
        what = "NaN" if np.isnan(whole[row, column]) else "an infinite number"
        raise InputError(
            f"data: row {row}, column {column} is {what}, expected finite numbers (a DataFrame may have missing cells)"
        )
    names = [f"x{column}" for column in range(int(np.size(whole[0])))]
    check_steps(options.resolution or {}, names)
    columns = [resolve(name, as_doubles(whole[:, i]), options.resolution, names) for i, name in enumerate(names)]
    steps = tuple(step for _, step in columns)
    x = torch.from_numpy(np.stack([numbers for numbers, _ in columns], axis=1))
    label, labels = join_labels({name: (len(array), parts[name][1]) for name, array in arrays.items()})
    pieces = dict(zip(arrays, x.split([len(array) for array in arrays.values()]), strict=True))
    splits = {name: labelled(piece, labels.get(name)) for name, piece in pieces.items()}
    found = Found(
        example=Points(dim=len(names), resolution=steps if any(steps) else ()),
        rows=splits["train"],
        hashes=hash_rows(pieces["train"].numpy()),
        condition=label,
        valid=splits.get("valid"),
        test=splits.get("test"),
        notes=(*notes, *_describe(whole, steps)),
    )
    return split_up(found, options, otherwise)


def _agree(arrays: dict[str, np.ndarray]) -> bool:
    widths = {array.shape[1:] for array in arrays.values()}
    if len(widths) > 1:
        both = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise InputError(f"data: got {both}, expected rows of one length")
    return True


def _describe(x: np.ndarray, steps: tuple[float, ...]) -> list[str]:
    notes = []
    gridded = [f"x{column} in steps of {step:g}" for column, step in enumerate(steps) if step]
    if gridded:
        more = f" and {len(gridded) - NAMED} more" if len(gridded) > NAMED else ""
        notes.append(f"on a grid, scored as a mass: {', '.join(gridded[:NAMED])}{more}")
    if x.dtype == np.uint8 and x.shape[1] > 1:
        notes.append("8-bit rows taken as points; pictures have shape (N, H, W) or (N, H, W, C)")
    return notes
