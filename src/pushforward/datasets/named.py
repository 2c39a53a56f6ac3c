"""The data sets that have a name, read from the files they are published in."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pushforward.core.data import Data, Rows
from pushforward.datasets.binarised import binarise
from pushforward.datasets.binary_files import read_idx
from pushforward.datasets.catalogue import ENTRIES
from pushforward.datasets.delimited import parse_column
from pushforward.datasets.download import find_files
from pushforward.datasets.images import load_images
from pushforward.datasets.options import Options
from pushforward.datasets.splits import Found, split_up
from pushforward.datasets.spoken_digits import load_spoken_digits
from pushforward.datasets.tables import load_table
from pushforward.datasets.texts import load_stream, pack_texts, read_text
from pushforward.datasets.toys import TOYS, load_toy

__all__ = ["load_named"]

NUMERALS = tuple("0123456789")

CLOTHES = (
    "T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip

#: The header that adult.data does not have, from adult.names.
ADULT = (
    "age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation", "relationship", "race",
    "sex", "capital-gain", "capital-loss", "hours-per-week", "native-country", "income",
)  # fmt: skip


def load_named(name: str, options: Options) -> Data:
    """A data set of ``catalogue.py``.

    Raises:
        InputError: if an option has no meaning for it, or its files cannot be had.

    Example:
        >>> digits = load_named("digits", Options())
        >>> digits.example.describe(), len(digits.train)
        ('images 8 x 8, grey, 17 levels', 1437)
    """
    if name in TOYS:
        return load_toy(name, options)
    return _LOADERS[name](options)


def _digits(options: Options) -> Data:
    options.allow("digits", "size")
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    labels = np.array([str(label) for label in bunch.target])
    return load_images({"train": (bunch.images, labels)}, options, "digits")


def _mnist(name: str, classes: tuple[str, ...], options: Options) -> Data:
    options.allow(name, "size")
    files = find_files(ENTRIES[name])
    parts = {}
    for split, start in (("train", "train"), ("test", "t10k")):
        labels = read_idx(files[f"{start}-labels-idx1-ubyte.gz"])
        parts[split] = (read_idx(files[f"{start}-images-idx3-ubyte.gz"]), np.array(classes)[labels])
    return load_images(parts, options, name, classes=classes)


def _tinyshakespeare(options: Options) -> Data:
    return load_stream(read_text(find_files(ENTRIES["tinyshakespeare"])["input.txt"]), options, "tinyshakespeare")


def _multi30k(options: Options) -> Data:
    return _captions("multi30k", options, given=False)


def _multi30k_de_en(options: Options) -> Data:
    return _captions("multi30k-de-en", options, given=True)


def _captions(name: str, options: Options, *, given: bool) -> Data:
    """English sentences on their own, or given the German ones."""
    options.allow(name, "length")
    files = find_files(ENTRIES[name])
    stems = ("train", "val", "test_2016_flickr")
    english = [_sentences(files[f"{stem}.en.gz"]) for stem in stems]
    sizes = [len(part) for part in english]
    example, x, notes = pack_texts([text for part in english for text in part], options.length)
    condition, pieces = None, [None] * 3
    if given:
        german = [text for stem in stems for text in _sentences(files[f"{stem}.de.gz"])]
        condition, c, said = pack_texts(german, options.length)
        notes = (*notes, *(f"condition: {line}" for line in said))
        pieces = c.split(sizes)
    train, valid, test = (Rows(part, piece) for part, piece in zip(x.split(sizes), pieces, strict=True))
    found = Found(
        example=example,
        condition=condition,
        rows=train,
        hashes=np.arange(len(train)),
        valid=valid,
        test=test,
        notes=(*notes, "its own training, validation and test (2016, Flickr) splits"),
    )
    return split_up(found, options, name)


def _sentences(path: Path) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as lines:
        return [line.rstrip("\n") for line in lines]


def _adult(options: Options) -> Data:
    options.allow("adult", "condition_column", "resolution")
    files = find_files(ENTRIES["adult"])
    train, test = (_adult_frame(files[f"adult.{part}"]) for part in ("data", "test"))
    return load_table(train, options, "adult", ("its own test split; '?' is missing",), test=test)


def _adult_frame(path: Path) -> pd.DataFrame:
    """Rows of 15 cells; the test file has a line of comment in front and a full stop after each label."""
    lines = [line.rstrip(".").split(", ") for line in path.read_text().splitlines() if line and line[0] != "|"]
    cells = zip(*([("" if cell == "?" else cell) for cell in line] for line in lines), strict=True)
    return pd.DataFrame({name: parse_column(column)[0] for name, column in zip(ADULT, cells, strict=True)})


_LOADERS: dict[str, Callable[[Options], Data]] = {
    "digits": _digits,
    "mnist": lambda options: _mnist("mnist", NUMERALS, options),
    "mnist-binary": lambda options: binarise(_mnist("mnist-binary", NUMERALS, options)),
    "fashion-mnist": lambda options: _mnist("fashion-mnist", CLOTHES, options),
    "fashion-mnist-binary": lambda options: binarise(_mnist("fashion-mnist-binary", CLOTHES, options)),
    "tinyshakespeare": _tinyshakespeare,
    "multi30k": _multi30k,
    "multi30k-de-en": _multi30k_de_en,
    "adult": _adult,
    "fsdd": load_spoken_digits,
}
