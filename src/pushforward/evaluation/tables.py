r"""What is measured of tables only: are the columns right, and what lies between them; are the rows of use, and new?

Over n held-out rows and n generated ones:

* *column shape*: the mean over columns of :math:`1 - \sup_v |F(v) - G(v)|` for numbers (Kolmogorov and Smirnov) and
  :math:`1 - \frac12 \sum_v |p(v) - q(v)|` for categories (total variation). A missing cell is a category of its own,
  and lies below every number.
* *column trend*: the mean over pairs of columns of :math:`1 - \frac12 |\rho - \rho'|` for two columns of numbers, with
  Spearman's rank correlation over rows that have both, and of :math:`1 - \frac12 \sum_{v,w} |p(v,w) - q(v,w)|` for any
  other pair, numbers being cut at the tenths of the held-out ones.
* *distance to closest record*: the median distance of a generated row to the nearest training row, over that of a
  held-out row: 1 for fresh rows, 0 for copies. Numbers are normal scores, categories 0 and 1 (``vectors.py``).
* *rare categories kept*: of the categories with a share of less than 5 % that the held-out rows hold, the share that
  the generated rows hold too.
* *downstream utility*: see ``utility.py``.

Finite samples of one distribution differ, so that even real rows do not reach the ideal of shape, trend and rare
categories: the same scores of training rows say how far one can get.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from scipy.stats import rankdata
from torch import Tensor

from pushforward.core.data import Batch, Data
from pushforward.core.table import Column, Table
from pushforward.evaluation.intervals import Statistic, distance_interval, paired_halves, wilson
from pushforward.evaluation.neighbours import nearest
from pushforward.evaluation.score import Plain, Score, missing
from pushforward.evaluation.scorecard import Breakdown
from pushforward.evaluation.utility import downstream_utility
from pushforward.evaluation.vectors import fit_vectors

__all__ = ["table_scores"]

NAMES = (SHAPE, TREND, DISTANCE, RARE_KEPT, _) = (
    "column shape",
    "column trend",
    "distance to closest record",
    "rare categories kept",
    "downstream utility",
)

#: Training rows searched for the nearest one, at most and evenly spaced: some seconds for a thousand rows.
SEARCHED = 50_000

#: A category with a smaller share of the training rows is rare.
RARE = 0.05

#: Numbers are cut here, for their contingency with categories: tenths, of which each keeps enough rows to count.
BINS = 10

#: Pairs of columns looked at, all or so many by chance: their mean is then known far better than n rows allow.
PAIRS = 300

#: Fewer rows than this have no halves worth the name.
FEWEST = 10


class Codes(NamedTuple):
    """A column of both samples as whole numbers in the order of its values; 0 is a missing cell if there is one."""

    real: np.ndarray
    fake: np.ndarray
    size: int


def table_scores(
    data: Data,
    held_out: Batch,
    drawn: Float[Tensor, "m columns"],
    *,
    labels: Tensor | None = None,
    split: str = "test",
    seed: int = 0,
) -> tuple[list[Score], Breakdown]:
    """All scores of a table and a breakdown by column.

    Args:
        data: where the rows are from; its training split is what samples may be copies of.
        held_out: real rows.
        drawn: generated rows. As many of each are compared as there are of the fewer; more generated rows serve to
            learn from.
        labels: what the generated rows were drawn given, if anything.
        split: what the held-out rows are called in the conditions.
        seed: of the trees, of the splits in halves, and of the pairs if not all are looked at.

    Example:
        >>> from pushforward.core.data import Rows
        >>> rows = Rows((torch.arange(20.0).double() % 10)[:, None])
        >>> example = Table(columns=(Column(name="digit", resolution=1.0),))
        >>> data = Data(name="digits", example=example, train=rows, valid=rows, test=rows)
        >>> scores, _ = table_scores(data, Batch(rows.x), rows.x / 2)
        >>> round(scores[0].value, 3), scores[1].note  # F(4.5) is 0.5, G(4.5) is 1
        (0.5, 'it takes two columns that vary, and there are 1')
    """
    assert isinstance(data.example, Table)
    columns = data.example.columns
    n = min(len(held_out.x), len(drawn))
    conditions: dict[str, Plain] = {"n": n, "split": split}
    train = data.train.spread(SEARCHED).x.cpu()
    real, fake = held_out.x[:n].cpu(), drawn[:n].cpu()
    if n < FEWEST or len(train) < FEWEST:
        why = f"there are {n} rows to compare and {len(train)} to learn from, and it takes {FEWEST} of each"
        return [missing(name, why, ideal=1.0, conditions=conditions) for name in NAMES], Breakdown(title="column")
    given = held_out.condition
    scores = [
        _shape(columns, real, fake, conditions, seed),
        _trend(columns, real, fake, conditions, seed),
        _distance(data.example, train, real, fake, conditions, seed),
        _rare(columns, train, real, fake, conditions),
        downstream_utility(
            data,
            real,
            drawn.cpu(),
            held_out_labels=None if given is None or not given.present.all() else given.value[:n].cpu(),
            drawn_labels=None if labels is None else labels.cpu(),
            split=split,
            seed=seed,
        ),
    ]
    rows = [_row(column, real[:, i].numpy(), fake[:, i].numpy()) for i, column in enumerate(columns)]
    return scores, Breakdown(title="column", rows=rows)


# -- shape: one column at a time ------------------------------------------------------------------------------------


def _codes(real: np.ndarray, fake: np.ndarray) -> Codes:
    """Both samples of one column as ranks of their distinct values, a missing one before all others."""
    cells = np.concatenate([real, fake])
    values, codes = np.unique(np.where(np.isnan(cells), -np.inf, cells), return_inverse=True)
    return Codes(codes[: len(real)], codes[len(real) :], len(values))


def _similarity(codes: Codes, numeric: bool, real: np.ndarray | slice, fake: np.ndarray | slice) -> float:
    """One minus the Kolmogorov-Smirnov statistic or the total variation, of some rows of both samples."""
    p, q = codes.real[real], codes.fake[fake]
    difference = np.bincount(p, minlength=codes.size) / len(p) - np.bincount(q, minlength=codes.size) / len(q)
    return float(1 - (np.abs(difference.cumsum()).max() if numeric else np.abs(difference).sum() / 2))


def _shape(columns: tuple[Column, ...], real: Tensor, fake: Tensor, conditions: dict[str, Plain], seed: int) -> Score:
    coded = [_codes(real[:, i].numpy(), fake[:, i].numpy()) for i in range(len(columns))]

    def mean(rows: np.ndarray, others: np.ndarray) -> float:
        pairs = zip(coded, columns, strict=True)
        return float(np.mean([_similarity(codes, column.numeric, rows, others) for codes, column in pairs]))

    return _similar(SHAPE, mean, len(real), conditions, seed, {"columns": len(columns)})


# -- trend: two columns at a time -----------------------------------------------------------------------------------


def _trend(columns: tuple[Column, ...], real: Tensor, fake: Tensor, conditions: dict[str, Plain], seed: int) -> Score:
    varying = [i for i in range(len(columns)) if len(np.unique(real[:, i].numpy(), equal_nan=True)) > 1]
    pairs = [(i, j) for place, i in enumerate(varying) for j in varying[place + 1 :]]
    if not pairs:
        why = f"it takes two columns that vary, and there are {len(varying)}"
        return missing(TREND, why, ideal=1.0, conditions=conditions)
    total = len(pairs)
    if total > PAIRS:
        chosen = np.random.default_rng(seed).choice(total, PAIRS, replace=False)
        pairs = [pairs[k] for k in np.sort(chosen)]
    numeric = [i for i in varying if columns[i].numeric]
    both = [(numeric.index(i), numeric.index(j)) for i, j in pairs if columns[i].numeric and columns[j].numeric]
    crossed = [_crossed(columns, real, fake, i, j) for i, j in pairs if not (columns[i].numeric and columns[j].numeric)]
    # Ranks are taken once, in the whole of each sample, and kept in its halves: cheaper, and as near.
    ranks = [_ranks(x[:, numeric].numpy()) for x in (real, fake)]

    def mean(rows: np.ndarray, others: np.ndarray) -> float:
        close = [_similarity(codes, False, rows, others) for codes in crossed]
        if both:
            gap = np.abs(_correlation(ranks[0][rows]) - _correlation(ranks[1][others]))
            close += [1 - gap[pair] / 2 for pair in both]
        return float(np.mean(close))

    details = {"pairs": f"{len(pairs)} of {total}" if len(pairs) < total else f"all {total}"}
    return _similar(TREND, mean, len(real), conditions, seed, details)


def _crossed(columns: tuple[Column, ...], real: Tensor, fake: Tensor, i: int, j: int) -> Codes:
    """The cells of two columns as one code each: numbers by the tenths of the real ones."""

    def cut(index: int) -> Codes:
        x, y = real[:, index].numpy(), fake[:, index].numpy()
        if columns[index].numeric:
            edges = np.unique(np.nanquantile(x, np.arange(1, BINS) / BINS))
            x, y = (np.where(np.isnan(z), np.nan, np.searchsorted(edges, z, side="right")) for z in (x, y))
        return _codes(x, y)

    first, second = cut(i), cut(j)
    return _codes(first.real * second.size + second.real, first.fake * second.size + second.fake)


def _ranks(x: np.ndarray) -> np.ndarray:
    """Ranks within every column, NaN where a cell is missing."""
    return rankdata(x, axis=0, nan_policy="omit") if x.size else x


def _correlation(x: np.ndarray) -> np.ndarray:
    r"""Pearson's correlation of all pairs of columns, over the rows that have both; 0 where one does not vary.

    With :math:`m` the 0/1 matrix of cells that are there, sums over common rows are matrix products:
    :math:`N = m^\top m`, :math:`S = x^\top m`, :math:`Q = (x^2)^\top m`, :math:`P = x^\top x`.
    """
    there = ~np.isnan(x)
    m = there.astype(float)
    x = np.where(there, x, 0.0)
    x = (x - x.mean(0)) * m / (x.std(0) + 1e-300)
    n = np.maximum(m.T @ m, 1)
    mean = (x.T @ m) / n
    variance = np.maximum((x**2).T @ m / n - mean**2, 0)
    spread = np.sqrt(variance * variance.T)
    covariance = x.T @ x / n - mean * mean.T
    return np.where(spread > 1e-9, covariance / np.maximum(spread, 1e-9), 0.0)  # 1e-9: rounding of a constant


# -- closeness, rare categories -------------------------------------------------------------------------------------


def _distance(
    example: Table, train: Tensor, real: Tensor, fake: Tensor, conditions: dict[str, Plain], seed: int
) -> Score:
    vectors = fit_vectors(example, train)
    places = [vectors(x) for x in (train, real, fake)]
    if not all(torch.isfinite(place).all() for place in places):
        return missing(DISTANCE, "a row has a gap where none can be", ideal=1.0, conditions=conditions)
    root = math.sqrt(max(len(example.columns), 1))
    of_real, of_fake = (nearest(place, places[0]).distances[:, 0].numpy() / root for place in places[1:])

    def ratio(rows: np.ndarray, others: np.ndarray) -> float:
        usual = np.median(of_real[rows])
        return float(np.median(of_fake[others]) / usual) if usual > 0 else math.nan

    if np.median(of_real) == 0:
        why = "more than half of the held-out rows equal a training row, so that copies cannot be told from fresh rows"
        return missing(DISTANCE, why, ideal=1.0, conditions=conditions)
    (found,) = paired_halves(ratio, len(real), seed=seed)
    low, high = distance_interval(found, root=True)
    return Score(
        name=DISTANCE,
        value=found.value,
        low=max(low, 0.0),
        high=high,
        ideal=1.0,
        conditions=conditions,
        details={
            "median of generated rows": float(np.median(of_fake)),
            "median of held-out rows": float(np.median(of_real)),
            "training rows searched": len(train),
            "interval": f"{found.splits} random splits in halves",
        },
    )


def _rare(
    columns: tuple[Column, ...], train: Tensor, real: Tensor, fake: Tensor, conditions: dict[str, Plain]
) -> Score:
    rare = kept = 0
    for index, column in enumerate(columns):
        if column.numeric:
            continue
        known, held, drawn = (_shares(x[:, index].numpy(), column) for x in (train, real, fake))
        looked_at = (known < RARE) & (held > 0)
        rare, kept = rare + int(looked_at.sum()), kept + int((looked_at & (drawn > 0)).sum())
    if rare == 0:
        why = "no category among the held-out rows has a share below 5 %"
        return missing(RARE_KEPT, why, ideal=1.0, conditions=conditions)
    low, high = wilson(kept, rare)
    return Score(
        name=RARE_KEPT,
        value=kept / rare,
        low=low,
        high=high,
        ideal=1.0,
        conditions=conditions,
        details={"rare categories": rare, "interval": "Wilson, over categories (no narrower than it should be)"},
    )


def _shares(cells: np.ndarray, column: Column) -> np.ndarray:
    """The share of every category, a missing cell the last one."""
    size = len(column.categories)
    codes = np.where(np.isnan(cells), size, cells).astype(int)
    return np.bincount(codes, minlength=size + 1) / max(len(cells), 1)


# -- what is said ---------------------------------------------------------------------------------------------------


def _similar(
    name: str, statistic: Statistic, n: int, conditions: dict[str, Plain], seed: int, details: Mapping[str, Plain]
) -> Score:
    """A mean similarity of n rows of each sample; one minus it is a mean of distances, with their interval."""
    (found,) = paired_halves(statistic, n, seed=seed)
    distance = replace(found, value=1 - found.value, half=1 - found.half)
    low, high = distance_interval(distance, root=True)
    return Score(
        name=name,
        value=found.value,
        low=max(1 - high, 0.0),
        high=min(1 - low, 1.0),
        ideal=1.0,
        conditions=conditions,
        details={**details, "interval": f"{found.splits} random splits in halves"},
    )


def _row(column: Column, real: np.ndarray, fake: np.ndarray) -> dict[str, Any]:
    """One column, real beside synthetic: mean, deviation, missing share of numbers; shares of the top categories."""
    codes = _codes(real, fake)
    row: dict[str, Any] = {
        "name": column.name,
        "kind": "numbers" if column.numeric else "categories",
        "shape": _similarity(codes, column.numeric, slice(None), slice(None)),
    }
    for which, cells in (("real", real), ("synthetic", fake)):
        known = cells[~np.isnan(cells)]
        numbers = column.numeric and len(known) > 0
        row[f"{which} mean"] = float(known.mean()) if numbers else None
        row[f"{which} std"] = float(known.std()) if numbers else None
        row[f"{which} missing"] = float(np.isnan(cells).mean())
        row[f"{which} top"] = "" if column.numeric else _top(cells, column, np.argsort(-_shares(real, column)[:-1]))
    return row


def _top(cells: np.ndarray, column: Column, order: np.ndarray) -> str:
    """The shares of the three categories that are most frequent among the real rows."""
    shares = _shares(cells, column)
    return ", ".join(f"{column.categories[k]} {shares[k]:.1%}" for k in order[:3])
