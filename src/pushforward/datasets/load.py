"""``load_data``: a name, a path, an array or a table, understood and split."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from pushforward.core.data import Data
from pushforward.core.errors import InputError
from pushforward.datasets.arrays import as_array, load_arrays
from pushforward.datasets.audio import load_recording, load_recordings, wav_files
from pushforward.datasets.binary_files import (
    is_idx,
    read_idx_folder,
    read_idx_images,
    read_npy,
    read_npz,
)
from pushforward.datasets.catalogue import ENTRIES
from pushforward.datasets.delimited import read_delimited, read_parquet
from pushforward.datasets.named import load_named
from pushforward.datasets.options import Options, did_you_mean
from pushforward.datasets.pictures import load_pictures, picture_files
from pushforward.datasets.tables import load_table
from pushforward.datasets.texts import load_stream, load_texts, read_lines, read_text

__all__ = ["load_data"]

TABLES = (".csv", ".tsv", ".data")
TEXTS = (".txt", ".text", ".md")


def load_data(
    source: Any,
    *,
    condition: Any = None,
    condition_column: str | None = None,
    resolution: Mapping[str, float] | None = None,
    length: int | None = None,
    lines: bool = False,
    size: int | Sequence[int] | None = None,
    seed: int = 0,
    labels: bool = True,
    name: str | None = None,
) -> Data:
    r"""Data to train, choose and judge on, whatever it comes as.

    Args:
        source: the name of a data set (``pushforward datasets`` lists them; a file of that name is ``./name``); a
            folder of pictures, recordings or texts; a file ``.npy``, ``.npz``, IDX, ``.csv``, ``.tsv``, ``.parquet``,
            ``.txt`` or ``.wav`` (IDX and text files may be gzipped); an array or tensor; a DataFrame; a list of numbers
            or of strings.
        condition: a class for every example, instead of those that the source has.
        condition_column: the column of a table that the others are conditioned on.
        resolution: the grid step of some columns, where the one that is found is not right; 0 for continuous.
        length: codes per example of text, samples per example of sound.
        lines: whether each line of a text file is an example of its own, rather than the file one stream.
        size: pixels to bring images to, a side of a square or (height, width).
        seed: of the split.
        labels: whether classes that come with the source become the condition; without them a model learns p(x) alone.
        name: of the data; None takes that of the source.

    Raises:
        InputError: if the source cannot be used, in one sentence that says why and what is accepted.

    Example:
        >>> data = load_data("digits")
        >>> print("\n".join(data.describe()))
        digits: images 8 x 8, grey, 17 levels
        split: 1,437 train, 180 validation, 180 test
        condition: label: 10 classes (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
        pixel values 0 to 16
    """
    options = Options(
        name=name,
        seed=seed,
        condition=condition,
        condition_column=condition_column,
        resolution=resolution,
        length=length,
        lines=lines,
        size=size if size is None or isinstance(size, int) else tuple(size),
        labels=labels,
    )
    data = _load(source, options)
    return data if labels else data.unlabelled()


def _load(source: Any, options: Options) -> Data:
    if isinstance(source, str) and source in ENTRIES:
        return replace(load_named(source, options), recipe=_recipe(source, options))
    if isinstance(source, (str, os.PathLike)):
        path = Path(os.fspath(source)).expanduser()
        if not path.exists():
            raise InputError(_not_found(source))
        return replace(_load_path(path, options), recipe=_recipe(str(path.resolve()), options))
    return _load_object(source, options)


def _not_found(source: str | os.PathLike) -> str:
    text = os.fspath(source)
    if isinstance(source, str) and os.sep not in text and not Path(text).suffix:
        return f"data: {text!r} is neither a data set nor a file, {did_you_mean(text, list(ENTRIES))}"
    return f"data: there is no file or folder {text}, expected one, or the name of a data set"


def _recipe(source: str, options: Options) -> dict[str, Any] | None:
    """The arguments that load the same data again, or None if one of them is an object."""
    if options.condition is not None:
        return None
    default = Options()
    named = {field.name: getattr(options, field.name) for field in fields(options)}
    given = {name: value for name, value in named.items() if value != getattr(default, name)}
    return {"source": source} | {n: dict(value) if isinstance(value, Mapping) else value for n, value in given.items()}


def _load_path(path: Path, options: Options) -> Data:
    try:
        return _load_folder(path, options) if path.is_dir() else _load_file(path, options)
    except PermissionError:
        raise InputError(f"{path}: may not be read, expected a file that this user can read") from None


def _load_folder(folder: Path, options: Options) -> Data:
    title = folder.resolve().name
    pictures, others = picture_files(folder)
    if pictures:
        return load_pictures(folder, pictures, others, options)
    if recordings := wav_files(others):
        return load_recordings(folder, recordings, [path for path in others if path not in set(recordings)], options)
    if any(is_idx(path) and path.parent == folder for path in others):
        return load_arrays(read_idx_folder(folder), options, title)
    texts = [path for path in others if path.suffix.lower() in TEXTS and not path.name.startswith(".")]
    if texts:
        said = f"{len(texts):,} files, one text each"
        return load_texts([read_text(path) for path in texts], options, title, (said,))
    what = f"{len(others)} files such as {others[0].name}" if others else "no files"
    raise InputError(f"{folder}: holds {what}, expected pictures, recordings (.wav), texts (.txt) or IDX files")


def _load_file(path: Path, options: Options) -> Data:
    if path.stat().st_size == 0:
        raise InputError(f"{path}: has 0 bytes, expected data")
    kind = Path(path.name.lower().removesuffix(".gz")).suffix
    title = path.name.removesuffix(".gz").removesuffix(Path(path.name.removesuffix(".gz")).suffix)
    if kind == ".npy":
        return load_arrays({"train": (as_array(read_npy(path), str(path)), None)}, options, title)
    if kind == ".npz":
        parts, notes = read_npz(path)
        named = {split: (as_array(x, f"{path}: {split}"), y) for split, (x, y) in parts.items()}
        return load_arrays(named, options, title, notes)
    if is_idx(path):
        return load_arrays({"train": read_idx_images(path)}, options, title)
    if kind in TABLES:
        frame, notes = read_delimited(path)
        return load_table(frame, options, title, notes)
    if kind in (".parquet", ".pq"):
        return load_table(read_parquet(path), options, title)
    if kind in TEXTS:
        if options.lines:
            return load_texts(read_lines(path), replace(options, lines=False), title, ("one text per line",))
        return load_stream(read_text(path), options, title)
    if kind == ".wav":
        return load_recording(path, options)
    accepted = ".npy, .npz, .csv, .tsv, .parquet, .txt, .wav, an IDX file, or a folder of pictures, texts or .wav"
    raise InputError(f"data: cannot read {path.name!r}, expected {accepted}")


def _load_object(source: Any, options: Options) -> Data:
    import pandas as pd

    if isinstance(source, pd.Series):
        source = source.to_frame(source.name if source.name is not None else "value")
    if isinstance(source, pd.DataFrame):
        return load_table(source, options, "table")
    if isinstance(source, (list, tuple)) and source and isinstance(source[0], str):
        return load_texts(source, options, "texts")
    if source is None or isinstance(source, (bool, int, float, dict, set, bytes)):
        accepted = "a name, a path, an array, a DataFrame or a list of texts"
        raise InputError(f"data: got a {type(source).__name__}, expected {accepted}")
    array: np.ndarray = as_array(source)
    return load_arrays({"train": (array, None)}, options, "array")
