"""CSV and its relatives, and Parquet, as a DataFrame whose columns are numbers or strings with missing cells.

A cell that is empty or says ``NaN`` is missing. A column is one of numbers if all its other cells are; a word such as
``NA`` or ``?`` in a column that otherwise holds numbers is missing too, and said so. Everything else is a string.
"""

import csv
import gzip
import io
import math
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pushforward.core.errors import InputError

__all__ = ["parse_column", "read_delimited", "read_parquet"]

#: In the order in which they win a tie: a comma is also a decimal sign and stands in prose.
DELIMITERS = ("\t", ";", "|", ",")

#: Words for "nothing" in a column of numbers. "None" is often a category of its own, so elsewhere they stay words.
NOTHING = {"na", "n/a", "null", "none", "?", "-", "missing", "#n/a"}

#: Cells of a field may be long (a text per row); the csv module's own limit is 128 KiB.
LONGEST_FIELD = 2**24

#: The delimiter shows in so many characters; a copy of a large file would be waste.
SNIFFED = 2**18

#: If at least this share of a column reads as numbers, the rest may be slips, and a line says where the first is.
NEARLY_ALL = 0.9

DECIMAL_COMMA, WHOLE = (re.compile(pattern) for pattern in (r"[+-]?\d+,\d+", r"[+-]?\d+"))


def read_delimited(path: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The table in a text file, and what was decided on the way.

    Raises:
        InputError: if it is empty or no text, or a row has another number of cells than the first (by line number).
    """
    text, notes = _decode(path)
    delimiter = "\t" if ".tsv" in path.suffixes else _sniff(text)
    rows = _split_rows(path, text, delimiter)
    if not rows:
        raise InputError(f"{path}: holds no rows, expected a table")
    if _has_header(rows):
        names, rows = rows[0], rows[1:]
    else:
        names = [f"column{index + 1}" for index in range(len(rows[0]))]
        notes.append(f"no header line found: columns are named {names[0]} to {names[-1]}")
    if not rows:
        raise InputError(f"{path}: holds a header and no rows, expected at least 3 rows")
    frame, said = _frame(path, names, rows, delimiter)
    return frame, (*notes, *said)


def read_parquet(path: Path) -> pd.DataFrame:
    """The table in a Parquet file.

    Raises:
        InputError: if it is none.
    """
    import pyarrow

    try:
        return pd.read_parquet(path)
    except (OSError, ValueError, TypeError, pyarrow.ArrowException) as error:
        reason = str(error).split("\n")[0].rstrip(".")
        raise InputError(f"{path}: cannot be read ({reason}), expected a Parquet file") from None


def parse_column(cells: Sequence[str], name: str = "column", decimal: str = ".") -> tuple[np.ndarray, str | None]:
    """The cells of a column as numbers, or as strings with None for missing ones, and a line if that was in doubt.

    Args:
        cells: as they stand in the file.
        name: of the column, for the line.
        decimal: "," if that may be the decimal sign.

    Example:
        >>> parse_column(["1", "", "2.5"])[0].tolist()
        [1.0, nan, 2.5]
        >>> parse_column(["cat", "", "dog"])[0].tolist()
        ['cat', None, 'dog']
    """
    place, distinct = pd.factorize(np.array(cells, dtype=object))  # each distinct cell is read once
    times = np.bincount(place, minlength=len(distinct))
    words = [str(word).strip() for word in distinct]
    read = [_number(word, decimal) for word in words]
    strange = np.array([number is None for number in read])
    numbers = np.array([math.nan if number is None else number for number in read])
    empty = np.isnan(numbers) & ~strange
    count, known = int(times[strange].sum()), int(times[~empty].sum())
    first = words[int(strange.argmax())]
    if count < known and all(word.lower() in NOTHING for word, odd in zip(words, strange, strict=True) if odd):
        whole = not empty.any() and all(WHOLE.fullmatch(word) for word in words) and np.abs(numbers).max() < 2.0**53
        note = f"{name}: {first!r} taken as missing, in {count:,} cell(s)" if count else None
        return (numbers.astype(np.int64) if whole else numbers)[place], note
    if known == 0:
        return numbers[place], None
    note = None
    if count <= (1 - NEARLY_ALL) * known:
        row = int(np.argmax(place == strange.argmax())) + 1
        note = f"{name}: taken as categories, not numbers, because row {row} says {first!r}"
    texts = np.array([None if nothing else word for word, nothing in zip(words, empty, strict=True)], dtype=object)
    return texts[place], note


def _number(word: str, decimal: str) -> float | None:
    """The number a word says, NaN for an empty cell, None if it is none; 007 is a name and no number."""
    if word == "":
        return math.nan
    if decimal == "," and DECIMAL_COMMA.fullmatch(word):
        word = word.replace(",", ".")
    try:
        number = float(word)
    except ValueError:
        return None
    digits = word.lstrip("+-")
    return None if "_" in word or (digits[0] == "0" and digits.isdigit() and digits != "0") else number


def _decode(path: Path) -> tuple[str, list[str]]:
    try:
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({error}), expected a table as text") from None
    notes = []
    try:
        utf16 = raw[:2] in (b"\xff\xfe", b"\xfe\xff")
        text = raw.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
        notes.append("read as Latin-1, for it is not UTF-8")
    if "\0" in text:
        raise InputError(f"{path}: holds zero bytes, expected a table as text (a spreadsheet can be saved as CSV)")
    if not text.strip():
        raise InputError(f"{path}: is empty, expected a table")
    return text, notes


def _reader(text: str, delimiter: str) -> Any:
    csv.field_size_limit(LONGEST_FIELD)
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)


def _sniff(text: str) -> str:
    """The delimiter that cuts the first hundred rows most evenly into more than one cell; a comma if none does."""
    beginning = text if len(text) <= SNIFFED else text[: text.rfind("\n", 0, SNIFFED) + 1] or text

    def evenness(delimiter: str) -> float:
        try:
            counts = Counter(len(row) for row in islice(_reader(beginning, delimiter), 100) if row)
        except csv.Error:
            return 0.0
        width, rows = max(counts.items(), key=lambda item: item[1], default=(1, 0))
        return rows / counts.total() if width > 1 else 0.0

    best = max(DELIMITERS, key=evenness)  # of equals, the first
    return best if evenness(best) > 0 else ","


def _split_rows(path: Path, text: str, delimiter: str) -> list[list[str]]:
    reader = _reader(text, delimiter)
    rows, line = [], 1
    try:
        for row in reader:
            if row:
                if rows and len(row) != len(rows[0]):
                    raise InputError(
                        f"{path}: line {line} has {len(row)} cells, expected {len(rows[0])} as in the first line"
                    )
                rows.append(row)
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{path}: line {line} cannot be read ({error}), expected a table as text") from None
    return rows


def _has_header(rows: list[list[str]]) -> bool:
    """Whether the first row names columns: no number in it, and its cells are names that do not come back below."""
    first = rows[0]
    if any(_is_number(cell) for cell in first):
        return False
    below = list(zip(*rows[1:1001], strict=True)) or [()] * len(first)
    if any(column and all(_is_number(cell) or not cell.strip() for cell in column) for column in below):
        return True
    return not any(cell and cell in column for cell, column in zip(first, below, strict=True))


def _is_number(cell: str) -> bool:
    try:
        float(cell.strip().replace(",", "."))
        return True
    except ValueError:
        return False


def _frame(path: Path, names: list[str], rows: list[list[str]], delimiter: str) -> tuple[pd.DataFrame, list[str]]:
    names = [name.strip() for name in names]
    twice = [name for name, times in Counter(names).items() if times > 1 and name]
    if twice:
        raise InputError(f"{path}: has two columns named {twice[0]!r}, expected distinct names")
    notes, columns = [], {}
    decimal = "." if delimiter == "," else ","
    for index, (name, cells) in enumerate(zip(names, zip(*rows, strict=True), strict=True)):
        values, note = parse_column(cells, name or f"column {index + 1}", decimal)
        if not name:
            # What a spreadsheet or pandas writes in front: the numbers of the rows.
            if index == 0 and len(names) > 1 and values.dtype == np.int64 and (np.diff(values) == 1).all():
                notes.append("left out: a first column without a name that numbers the rows")
                continue
            raise InputError(f"{path}: column {index + 1} has no name in the header, expected one")
        columns[name] = values
        notes += [note] if note else []
    return pd.DataFrame(columns), notes
