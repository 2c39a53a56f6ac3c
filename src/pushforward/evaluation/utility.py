r"""Downstream utility of generated rows: train on synthetic, test on real (Esteban et al. 2017, section 5.2).

A gradient-boosted tree learns to predict one column from the others, once from m generated rows and once from m real
training rows, and both are judged on the same held-out rows. Generated rows are as useful as real ones where the two
figures agree.

| what is predicted | figure |
|---|---|
| a category of two | AUROC, 0.5 by chance |
| a category of more | accuracy, the share of the most frequent one by chance |
| a number | :math:`R^2 = 1 - \sum (y - \hat y)^2 / \sum (y - \bar y)^2`, 0 by chance |

The interval is that of ``intervals.py``: half of the generated rows to learn from and half of the held-out rows to be
judged on, against the other halves, again and again; so it holds for other draws of either.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from torch import Tensor

from pushforward.core.data import Data
from pushforward.core.modality import Label
from pushforward.core.table import Table
from pushforward.evaluation.intervals import mean_interval, paired_halves
from pushforward.evaluation.score import Score, missing

__all__ = ["downstream_utility"]

NAME = "downstream utility"

#: Rows to learn from at most: trees of 8 leaves learn little from more, and it keeps a fit below half a second.
LEARNED = 10_000

#: Trees in all, shared by the classes; with 8 leaves each they do nearly as well as more.
TREES = 50

#: The tree learner bins columns of categories itself up to so many, and takes larger codes as numbers.
MOST_CATEGORIES = 255

#: Leaves of a tree.
LEAVES = 8

#: Known targets, below which a figure says nothing.
FEWEST = 10

#: Random splits in halves: each is two fits, and 8 degrees of freedom widen the interval by a sixth.
SPLITS = 8


class Task(NamedTuple):
    """What is predicted from which columns."""

    target: str
    metric: str
    classes: int  # 0 for a number
    categorical: list[int]
    rows: tuple[tuple[np.ndarray, np.ndarray], ...]  # (features, target) of training, held-out and generated rows


def downstream_utility(
    data: Data,
    held_out: Float[Tensor, "n columns"],
    drawn: Float[Tensor, "m columns"],
    *,
    held_out_labels: Tensor | None = None,
    drawn_labels: Tensor | None = None,
    split: str = "test",
    seed: int = 0,
) -> Score:
    """How well a tree that learned from generated rows predicts real ones.

    What is predicted is the condition where all rows have theirs, else the last column of categories, else the last
    one of numbers.

    Args:
        data: a table; its training rows are the other ones to learn from.
        held_out: real rows to be judged on.
        drawn: generated rows. Of these and the training rows as many are taken as there are of the fewer.
        held_out_labels: the conditions of the held-out rows, where all are known.
        drawn_labels: what the generated rows were drawn given.
        split: the name of the held-out split.
        seed: of the trees and of the splits in halves.

    Example:
        >>> import torch
        >>> from pushforward.core.data import Rows
        >>> from pushforward.core.table import Column
        >>> rows = torch.arange(80.0).double()[:, None] % 4 * torch.tensor([[1.0, 2.0]]).double()  # b = 2a
        >>> example = Table(columns=(Column(name="a"), Column(name="b")))
        >>> data = Data(name="line", example=example, train=Rows(rows), valid=Rows(rows), test=Rows(rows))
        >>> score = downstream_utility(data, rows, rows)
        >>> round(score.value, 2), score.conditions["target"], score.conditions["metric"]
        (1.0, 'b', 'R2')
    """
    conditions: dict[str, Any] = {"n": len(held_out), "split": split}
    task = _task(data, held_out, drawn, held_out_labels, drawn_labels)
    if isinstance(task, str):
        return missing(NAME, task, ideal=1.0, conditions=conditions)
    return _judged(task, conditions, seed)


def _judged(task: Task, conditions: dict[str, Any], seed: int) -> Score:
    """Both trees on the held-out rows."""
    (x, y), (test_x, test_y), (fake_x, fake_y) = task.rows
    m = min(len(y), len(fake_y))
    conditions = {**conditions, "target": task.target, "metric": task.metric, "rows to learn from": m}
    groups = min(m, len(test_y))  # rows are halved in as many groups on either side

    def figure(real: np.ndarray, fake: np.ndarray) -> float:
        learn, judge = (np.isin(np.arange(count) % groups, some) for count, some in ((m, fake), (len(test_y), real)))
        return _figure(task, fake_x[:m][learn], fake_y[:m][learn], test_x[judge], test_y[judge], seed)

    (found,) = paired_halves(figure, groups, splits=SPLITS, seed=seed)
    if not math.isfinite(found.value):
        note = f"all held-out rows have the same {task.target}, so there is nothing to predict"
        return missing(NAME, note, ideal=1.0, conditions=conditions)
    low, high = mean_interval(found)
    return Score(
        name=NAME,
        value=found.value,
        low=low,
        high=high,
        ideal=1.0,
        conditions=conditions,
        details={
            "train on real": _figure(task, x[:m], y[:m], test_x, test_y, seed),
            "by chance": _chance(task),
            "interval": f"{SPLITS} random splits in halves",
        },
    )


def _task(
    data: Data, held_out: Tensor, drawn: Tensor, held_out_labels: Tensor | None, drawn_labels: Tensor | None
) -> Task | str:
    """Features and target of training, held-out and generated rows whose target is known; or why there are none."""
    assert isinstance(data.example, Table)
    columns = data.example.columns
    kept = list(range(len(columns)))
    train = data.train.spread(LEARNED)
    given = train.condition if train.condition is not None and train.condition.present.all() else None
    tables = (train.x, held_out, drawn)
    if (
        given is not None
        and held_out_labels is not None
        and drawn_labels is not None
        and isinstance(data.condition, Label)
        and data.condition.size > 1
    ):
        name, classes = data.condition.title, data.condition.size
        targets = [label.double() for label in (given.value, held_out_labels, drawn_labels)]
    else:
        categories = [i for i in kept if len(columns[i].categories) > 1]
        candidates = categories or [i for i in kept if columns[i].numeric]
        if not candidates:
            return "no column varies, so there is nothing to predict"
        name, classes = columns[candidates[-1]].name, len(columns[candidates[-1]].categories)
        targets = [table[:, candidates[-1]] for table in tables]
        kept.remove(candidates[-1])
    if not kept:
        return "the table has one column only, so there is nothing to predict it from"
    rows = []
    for which, table, y in zip(("training", "held-out", "generated"), tables, targets, strict=True):
        known = ~y.isnan()
        if int(known.sum()) < FEWEST:
            return f"the {which} rows hold {int(known.sum())} known values of {name}, too few to learn from or judge by"
        rows.append((table[known][:, kept].numpy(), y[known].numpy()))
    metric = {0: "R2", 2: "AUROC"}.get(classes, "accuracy")
    categorical = [place for place, i in enumerate(kept) if 1 < len(columns[i].categories) <= MOST_CATEGORIES]
    return Task(name, metric, classes, categorical, tuple(rows))


def _figure(task: Task, x: np.ndarray, y: np.ndarray, test_x: np.ndarray, test_y: np.ndarray, seed: int) -> float:
    """The metric on (test_x, test_y) of a tree that learned (x, y); NaN if the held-out targets are all the same."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.metrics import r2_score, roc_auc_score

    settings: dict[str, Any] = {
        "max_iter": max(TREES // max(task.classes if task.classes > 2 else 1, 1), 10),
        "max_leaf_nodes": LEAVES,
        "categorical_features": task.categorical or None,
        "early_stopping": False,
        "random_state": seed,
    }
    if task.metric != "accuracy" and len(np.unique(test_y)) < 2:
        return math.nan
    x = np.where(np.isnan(x).all(0), 0.0, x)  # a column without a value teaches nothing, as does a constant one
    # Rows with one target only teach that target.
    constant = len(np.unique(y)) < 2
    if task.metric == "R2":
        learned = None if constant else HistGradientBoostingRegressor(**settings).fit(x, y)
        return float(r2_score(test_y, np.full(len(test_y), y[0]) if learned is None else learned.predict(test_x)))
    learned = None if constant else HistGradientBoostingClassifier(**settings).fit(x, y)
    if task.metric == "accuracy":
        return float(np.mean((y[0] if learned is None else learned.predict(test_x)) == test_y))
    return 0.5 if learned is None else float(roc_auc_score(test_y, learned.predict_proba(test_x)[:, 1]))


def _chance(task: Task) -> float:
    """What a prediction that looks at nothing reaches."""
    if task.metric != "accuracy":
        return {"AUROC": 0.5, "R2": 0.0}[task.metric]
    y = task.rows[1][1]
    return float(np.unique(y, return_counts=True)[1].max() / len(y))
