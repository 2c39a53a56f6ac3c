"""New examples for a model that is already there: a file read in its order, as the modality the model knows.

``load_data`` finds out what a file holds and splits it; here both are given, and row i of the file stays example i.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pushforward.core.audio import Audio
from pushforward.core.data import Rows, Split, Windows
from pushforward.core.errors import InputError
from pushforward.core.modality import Image, Label, Modality, Points
from pushforward.core.table import Table
from pushforward.core.text import Text
from pushforward.datasets.arrays import as_array
from pushforward.datasets.audio import read_recordings
from pushforward.datasets.binary_files import is_idx, read_idx_images, read_npy, read_npz
from pushforward.datasets.delimited import read_delimited, read_parquet
from pushforward.datasets.images import read_layout, resized
from pushforward.datasets.labels import read_labels
from pushforward.datasets.picture_file import for_each, read_picture
from pushforward.datasets.pictures import picture_files
from pushforward.datasets.texts import read_lines, read_text

__all__ = ["read_as"]


def read_as(source: Any, example: Modality, condition: Modality | None = None) -> Split:
    """All examples of a source, in its order, as storage examples of a known modality.

    Args:
        source: a file or folder as ``load_data`` takes them, or an array, DataFrame or list of strings.
        example: what an example is.
        condition: what its condition is; a column of that title, subfolders, or labels beside an array give it.

    Raises:
        InputError: if the source holds something else, naming the first thing that does not fit.

    Example:
        >>> read_as([[1.0, 2.0], [3.0, 4.0]], Points(dim=2))[torch.tensor([1])].x
        tensor([[3., 4.]], dtype=torch.float64)
    """
    if isinstance(source, (str, os.PathLike)):
        path = Path(os.fspath(source)).expanduser()
        if not path.exists():
            raise InputError(f"data: there is no file or folder {path}, expected new examples of {example.describe()}")
        if path.is_file() and path.stat().st_size == 0:
            raise InputError(f"{path}: has 0 bytes, expected data")
        source = path
    label = condition if isinstance(condition, Label) else None
    readers: dict[type, Callable[[Any, Any, Label | None], Split]] = {
        Table: _table,
        Points: _points,
        Image: _images,
        Text: _texts,
        Audio: _recordings,
    }
    if type(example) not in readers:
        raise InputError(f"data: new examples of {example.describe()} cannot be read")
    found = readers[type(example)](source, example, label)
    if len(found) == 0:
        raise InputError("data: holds no example, expected at least one")
    return found


def _table(source: Any, example: Table, label: Label | None) -> Rows:
    frame = _frame(source)
    frame = frame.set_axis([str(name).strip() for name in frame.columns], axis=1)
    given = None if label is None or label.title not in frame.columns else frame[label.title]
    return _rows(example.pack(frame), given, label)


def _points(source: Any, example: Points, label: Label | None) -> Rows:
    given = None
    if isinstance(source, Path) and source.suffix.lower() not in (".npy", ".npz"):
        frame = _frame(source)
        if label is not None and label.title in frame.columns:
            given, frame = frame[label.title], frame.drop(columns=[label.title])
        source = frame
    array, labels = _array(source)
    if array.dtype.kind not in "biuf":
        raise InputError("data: holds something other than numbers, expected points")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError("data: holds NaN or infinite numbers, expected finite ones")
    return _rows(example.pack(array[:, None] if array.ndim == 1 else array), labels if given is None else given, label)


def _images(source: Any, example: Image, label: Label | None) -> Rows:
    if isinstance(source, Path) and source.is_dir():
        return _folder(source, example, label)
    array, labels = _array(source)
    layout, _ = read_layout([array])
    sides = (example.height, example.width)
    if layout.image.channels != example.channels:
        raise InputError(f"data: holds {layout.image.describe()}, expected {example.describe()}")
    pixels = layout.convert(array)
    if (layout.image.height, layout.image.width) != sides:
        pixels = resized(pixels, sides, layout.image.levels)
    example.check(pixels, "data")
    return _rows(pixels, labels, label)


def _folder(folder: Path, example: Image, label: Label | None) -> Rows:
    pictures, _ = picture_files(folder)
    if not pictures:
        raise InputError(f"{folder}: holds no picture, expected {example.describe()}")
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[example.channels]
    arrays = for_each(lambda path: read_picture(path, example.height, example.width, mode), pictures)
    pixels = torch.from_numpy(np.stack(arrays))
    example.check(pixels, "data")
    names = [path.relative_to(folder).parts[0] if path.parent != folder else None for path in pictures]
    return _rows(pixels, names if any(names) else None, label)


def _recordings(source: Any, example: Audio, label: Label | None) -> Rows:
    arrays = isinstance(source, Path) and source.suffix.lower() in (".npy", ".npz")
    if isinstance(source, Path) and not arrays:
        return Rows(read_recordings(source, example))
    waves, labels = _array(source)
    if waves.ndim != 2:
        raise InputError(f"data: got an array of shape {waves.shape}, expected waveforms (B, {example.length})")
    return _rows(example.pack(waves), labels, label)


def _texts(source: Any, example: Text, label: Label | None) -> Split:
    if example.stream:
        text = read_text(source) if isinstance(source, Path) else source if isinstance(source, str) else "".join(source)
        codes = torch.tensor(example.codes(text), dtype=torch.int64)
        if len(codes) < example.length:
            raise InputError(f"data: the text has {len(codes)} codes, expected at least a window of {example.length}")
        return Windows(codes, example.length)
    texts = read_lines(source) if isinstance(source, Path) else [source] if isinstance(source, str) else list(source)
    return _rows(example.pack(texts), None, label)


def _frame(source: Any) -> Any:
    import pandas as pd

    if isinstance(source, pd.DataFrame):
        return source
    if not isinstance(source, Path) or source.is_dir():
        raise InputError(f"data: got {source if isinstance(source, Path) else type(source).__name__}, expected a table")
    return read_parquet(source) if source.suffix.lower() in (".parquet", ".pq") else read_delimited(source)[0]


def _array(source: Any) -> tuple[np.ndarray, Any]:
    """The numbers of a source, and the labels beside them if it has any."""
    if not isinstance(source, Path):
        return as_array(source), None
    if source.suffix.lower() == ".npy":
        return as_array(read_npy(source), str(source)), None
    if source.suffix.lower() == ".npz":
        parts, _ = read_npz(source)
        if len(parts) > 1:
            raise InputError(f"{source}: holds several splits ({', '.join(parts)}), expected one array of new examples")
        x, labels = next(iter(parts.values()))
        return as_array(x, str(source)), labels
    if is_idx(source):
        return read_idx_images(source)
    raise InputError(f"data: cannot read {source.name!r} as an array, expected .npy, .npz or an IDX file")


def _rows(x: Tensor, labels: Any, label: Label | None) -> Rows:
    if labels is None or label is None:
        return Rows(x)
    _, (codes, present) = read_labels(labels, len(x), label.title, label.names)
    return Rows(x, codes, present)
