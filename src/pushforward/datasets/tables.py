"""DataFrames as tables: which columns are numbers and on which grid, which are categories, what is missing.

The rules, in this order, for the cells of a column that are not missing:

* none at all: the column is left out; a single value: it is kept as a constant;
* dates: an error (only the user knows what their zero and unit should be);
* booleans, pandas' categories, strings, and numbers of at most two values: categories;
* strings of which more than half, and more than twenty, are distinct (names, keys, prose): left out, unless it is the
  only column: then the rows are texts;
* all other numbers: numbers, on the decimal grid they all lie on, if there is one.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from pushforward.core.data import Data
from pushforward.core.errors import InputError
from pushforward.core.modality import Value
from pushforward.core.table import Column, Table
from pushforward.datasets.labels import join_labels, labelled, plain
from pushforward.datasets.numbers import as_doubles, check_steps, resolve, whole
from pushforward.datasets.options import Options, did_you_mean
from pushforward.datasets.splits import Found, hash_rows, split_up
from pushforward.datasets.texts import load_texts

__all__ = ["load_table", "understand_column"]

#: Columns described in the notes; the rest are counted.
NAMED = 12

#: A column of strings with more distinct values than this, and than half its cells, has no categories.
FEW_STRINGS = 20

#: Kinds of object columns (as pandas infers them) that hold strings, booleans or numbers and nothing else.
STRINGS, BOOLEANS = {"string", "empty"}, {"boolean"}
NUMBERS = {"integer", "floating", "mixed-integer-float", "decimal"}
DATES = {"datetime", "datetime64", "date", "timedelta", "timedelta64", "time", "period"}


def load_table(
    frame: pd.DataFrame,
    options: Options,
    otherwise: str,
    notes: tuple[str, ...] = (),
    test: pd.DataFrame | None = None,
) -> Data:
    """Data from the rows of a DataFrame.

    Args:
        frame: all rows, or those of the training split.
        options: those of the caller; ``condition_column`` names the column that rows are conditioned on.
        otherwise: the name, if the caller gave none.
        notes: what was understood before.
        test: rows of a test split that came along.

    Raises:
        InputError: if a cell is infinite, a name unknown, or no usable column is left.

    Example:
        >>> frame = pd.DataFrame({"age": [31, 45, 27, 52] * 9, "pet": ["cat", "dog", "cat", None] * 9})
        >>> [column.describe() for column in load_table(frame, Options(), "pets").example.columns]
        ['age: numbers in steps of 1', 'pet: 2 categories, some missing']
    """
    options.allow("a table", "condition", "condition_column", "resolution", "length")
    sizes = [len(frame)] + ([] if test is None else [len(test)])
    frame = _named(frame if test is None else pd.concat([frame, test], ignore_index=True))
    if len(frame) < 3:
        raise InputError(
            f"table: has {len(frame)} rows, expected at least 3 (one each to train, to choose and to test)"
        )
    frame, given = _take_condition(frame, options)
    texts = _only_texts(frame)
    if texts is not None:
        return load_texts(texts, replace(options, condition=given, condition_column=None), otherwise, notes)
    replace(options, condition=None, condition_column=None).allow("a table", "resolution")
    columns, cells, said = _understand(frame, options.resolution)
    x = torch.from_numpy(np.stack(cells, axis=1))
    splits = dict(zip(("train", "test"), x.split(sizes), strict=False))
    classes = {"train": given}
    if test is not None and given is not None:
        classes = dict(zip(splits, np.split(given, sizes[:1]), strict=True))
    label, labels = join_labels(
        {name: (len(part), classes.get(name)) for name, part in splits.items()}, options.condition_column or "label"
    )
    rows = {name: labelled(part, labels.get(name)) for name, part in splits.items()}
    found = Found(
        example=Table(columns=tuple(columns)),
        rows=rows["train"],
        hashes=hash_rows(splits["train"].numpy()),
        condition=label,
        test=rows.get("test"),
        notes=(*notes, *said),
    )
    return split_up(found, options, otherwise)


def understand_column(name: str, values: Any) -> tuple[Column | None, np.ndarray, str | None]:
    """One column: what it is (without its resolution), its cells in storage form, and a line if it was left out.

    Raises:
        InputError: if it holds dates, infinite numbers, or values of several types.

    Example:
        >>> understand_column("flag", pd.Series([True, False, True]))[0].categories
        (False, True)
    """
    known = values[values.notna()]
    missing = len(known) < len(values)
    if known.empty:
        return None, np.empty(0), f"left out {name}: all its cells are missing"
    kind = _kind(name, values, known)
    if kind == "numbers":
        numbers = _numbers(values)
        infinite = np.flatnonzero(np.isinf(numbers))
        if infinite.size:
            raise InputError(f"table: column {name!r} is infinite in row {infinite[0] + 1}, expected finite numbers")
        if np.abs(numbers[~np.isnan(numbers)]).max() > 2.0**53 and whole(numbers):
            return None, np.empty(0), f"left out {name}: whole numbers beyond 2**53, a key rather than a quantity"
        if len(np.unique(numbers[~np.isnan(numbers)])) > 2:
            # With missing cells pandas keeps whole numbers as floats; there only the numbers themselves can tell.
            integers = whole(numbers) and (missing or values.dtype.kind in "iu")
            return Column(name=name, missing=missing, whole=integers), numbers, None
        known = pd.Series(numbers[~np.isnan(numbers)])
    distinct = _distinct(known)
    strange = next((value for value in distinct if not isinstance(value, Value)), None)
    if strange is not None:
        raise InputError(
            f"table: column {name!r} holds a {type(strange).__name__}, expected numbers, strings or booleans"
        )
    if kind == "strings" and len(distinct) > max(FEW_STRINGS, len(known) / 2):
        return None, np.empty(0), f"left out {name}: {len(distinct):,} distinct strings in {len(known):,} rows"
    codes = {value: code for code, value in enumerate(distinct)}
    cells = values.astype(object).map(codes).to_numpy(dtype=np.float64, na_value=np.nan)
    return Column(name=name, categories=tuple(distinct), missing=missing), cells, None


def _kind(name: str, values: Any, known: Any) -> str:
    """``numbers``, ``strings`` or ``categories``."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return "categories"
    kind = pd.api.types.infer_dtype(known, skipna=True)
    if kind in NUMBERS:
        return "numbers"
    if kind in STRINGS:
        return "strings"
    if kind in BOOLEANS:
        return "categories"
    if kind in DATES:
        raise InputError(
            f"table: column {name!r} holds dates, expected numbers or categories (such as days since a first day)"
        )
    types = ", ".join(sorted({type(value).__name__ for value in known.iloc[:1000]})[:3])
    raise InputError(f"table: column {name!r} holds values of type {types}, expected numbers, strings or booleans")


def _distinct(known: Any) -> list[Any]:
    """The values there are: pandas' categories in their own order, others sorted."""
    if isinstance(known.dtype, pd.CategoricalDtype):
        return [plain(value) for value in known.cat.remove_unused_categories().cat.categories]
    return sorted({plain(value) for value in known.unique()})


def _numbers(values: Any) -> np.ndarray:
    if values.dtype.kind == "f":
        return as_doubles(values.to_numpy(dtype=values.dtype.name.lower(), na_value=np.nan))
    numbers: Any = pd.to_numeric(values)
    return numbers.to_numpy(dtype=np.float64, na_value=np.nan)


def _named(frame: pd.DataFrame) -> pd.DataFrame:
    names = [str(name).strip() for name in frame.columns]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"table: has two columns named {twice!r}, expected distinct names")
    if not names:
        raise InputError("table: has no columns, expected at least one")
    return frame.set_axis(names, axis=1).reset_index(drop=True)


def _take_condition(frame: pd.DataFrame, options: Options) -> tuple[pd.DataFrame, Any]:
    name = options.condition_column
    if name is None:
        return frame, options.condition
    if options.condition is not None:
        raise InputError("condition: got one beside condition_column, expected one of them")
    if name not in frame.columns:
        raise InputError(f"condition_column: got {name!r}, {did_you_mean(name, list(frame.columns))}")
    if len(frame.columns) == 1:
        raise InputError(f"condition_column: {name!r} is the only column, expected others to be left")
    column = frame[name].astype(object)
    return frame.drop(columns=name), column.where(column.notna(), None).to_numpy()


def _only_texts(frame: pd.DataFrame) -> list[str] | None:
    """The strings of the only column, if they are texts."""
    if len(frame.columns) != 1:
        return None
    name, values = frame.columns[0], frame.iloc[:, 0]
    known = values[values.notna()]
    if known.empty or _kind(name, values, known) != "strings":
        return None
    return known.tolist() if known.nunique() > max(FEW_STRINGS, len(known) / 2) and len(known) == len(values) else None


def _understand(
    frame: pd.DataFrame, resolution: Mapping[str, float] | None
) -> tuple[list[Column], list[np.ndarray], list[str]]:
    columns, cells, left_out = [], [], []
    for name in frame.columns:
        column, values, reason = understand_column(name, frame[name])
        if column is None:
            left_out.append(reason)
            continue
        columns.append(column)
        cells.append(values)
    if not columns:
        raise InputError(f"table: no usable column is left ({'; '.join(left_out[:3])}), expected numbers or categories")
    numeric = [column.name for column in columns if column.numeric]
    check_steps(resolution or {}, numeric)
    for index, column in enumerate(columns):
        if column.numeric:
            cells[index], step = resolve(column.name, cells[index], resolution, numeric)
            columns[index] = replace(column, resolution=step)
    notes = [column.describe() for column in columns[:NAMED]]
    if len(columns) > NAMED:
        notes.append(f"and {len(columns) - NAMED} more columns")
    return columns, cells, [*notes, *left_out]
