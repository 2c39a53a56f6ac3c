"""Small data sets of every modality, made on the spot, so that tests of models and of the loop depend on no loader."""

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from pushforward.core.data import Data, Rows, Windows
from pushforward.core.modality import Image, Label, Modality, Points
from pushforward.core.table import Column, Table
from pushforward.core.text import Text

__all__ = ["KINDS", "digits", "grid", "points", "small", "split", "table", "text"]

#: The kinds of data that ``small`` makes.
KINDS = ("points", "grid", "images", "tables", "text")


def split(name: str, example: Modality, x: Tensor, condition: Modality | None = None, c: Tensor | None = None) -> Data:
    """A data set of storage examples, 80/10/10 in their order."""
    first, second = round(0.8 * len(x)), round(0.9 * len(x))
    bounds = {"train": slice(0, first), "valid": slice(first, second), "test": slice(second, len(x))}
    parts = {part: Rows(x[rows], None if c is None else c[rows]) for part, rows in bounds.items()}
    return Data(name=name, example=example, condition=condition, **parts)


def points(n: int = 600) -> Data:
    """Correlated points in the plane, with two classes that shift them."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, n)
    x = rng.normal(size=(n, 2)) @ np.array([[1.0, 0.8], [0.0, 0.6]]) + labels[:, None] * np.array([3.0, -1.0])
    return split("points", Points(dim=2), torch.from_numpy(x), Label(names=("a", "b")), torch.from_numpy(labels))


def grid(n: int = 600) -> Data:
    """The same points, the first entry recorded to half a unit, the second one continuous."""
    found = points(n)
    x = torch.cat([found.train.x, found.valid.x, found.test.x])
    x[:, 0] = (2 * x[:, 0]).round() / 2
    labels = torch.cat([part.condition for part in (found.train, found.valid, found.test)])
    return split("grid", Points(dim=2, resolution=(0.5, 0.0)), x, found.condition, labels)


def digits(n: int = 600) -> Data:
    """Scikit-learn's scanned digits, 8 x 8 in 17 levels, with their classes."""
    found = load_digits()
    x = torch.from_numpy(found.images[:n].astype(np.uint8))[:, None]
    label = Label(names=tuple(range(10)), title="digit")
    return split("digits", Image(height=8, width=8, levels=17), x, label, torch.from_numpy(found.target[:n]).long())


def table(n: int = 600) -> Data:
    """Rows with every kind of column: whole and continuous numbers, categories, missing cells, a constant."""
    rng = np.random.default_rng(2)
    kind = rng.integers(0, 3, n)
    size = np.where(rng.random(n) < 0.2, np.nan, kind + 0.3 * rng.normal(size=n))
    colour = np.array(["red", "blue"], dtype=object)[(rng.random(n) < 0.3 + 0.2 * kind).astype(int)]
    colour[rng.random(n) < 0.1] = None
    frame = pd.DataFrame(
        {"age": rng.poisson(20 + 10 * kind), "size": size, "kind": kind, "colour": colour, "unit": "m"}
    )
    example = Table(
        columns=(
            Column(name="age", resolution=1.0, whole=True),
            Column(name="size", missing=True),
            Column(name="kind", categories=(0, 1, 2)),
            Column(name="colour", categories=("blue", "red"), missing=True),
            Column(name="unit", categories=("m",)),
        )
    )
    group = torch.from_numpy(rng.integers(0, 2, n))
    return split("table", example, example.pack(frame), Label(names=("north", "south"), title="region"), group)


def text(n: int = 3000) -> Data:
    """One stream in windows of 12 codes: a letter is followed by the next of the alphabet nine times in ten."""
    rng = np.random.default_rng(3)
    steps = np.where(rng.random(n) < 0.9, 1, rng.integers(0, 5, n))
    stream = torch.from_numpy(np.cumsum(steps) % 5)
    example = Text(vocabulary=("a", "b", "c", "d", "e"), length=12, stream=True)
    parts = {"train": stream[: n * 8 // 10], "valid": stream[n * 8 // 10 : n * 9 // 10], "test": stream[n * 9 // 10 :]}
    return Data(name="text", example=example, **{name: Windows(codes, 12) for name, codes in parts.items()})


def small(kind: str) -> Data:
    """One of the data sets above, by its kind."""
    return {"points": points, "grid": grid, "images": digits, "tables": table, "text": text}[kind]()
