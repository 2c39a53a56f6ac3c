r"""Which numbers may be ranked: the one place that decides it for the terminal, the JSON and the report alike.

A column holds numbers of one metric under one set of conditions. Exact likelihoods and bounds, or distances in other
features or of other sizes, stand in columns of their own, and the columns say that they are not ranked together.
Within a column, with :math:`\ell` the distance from the ideal value,

.. math:: a \text{ is better than } b \iff \max_{x \in I_a} \ell(x) < \min_{x \in I_b} \ell(x),

for their 95 % intervals :math:`I`. Where intervals meet, nothing is said. Two 95 % intervals that do not meet are a
stricter demand than a 95 % interval of the difference without zero, so no correction for the number of pairs is made.

With several training seeds a number is their mean. The standard deviation of a mean is at most the mean of the standard
deviations, however much the seeds share (they share the held-out examples), so the mean of the ends of their intervals
is a cautious interval for it. It is widened to hold the value of every seed: a model is better only where its worst
seed is better than the best seed of the other, too.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal

from pushforward.comparison.entries import Entry, models_of
from pushforward.evaluation.score import Score, comparable, decimals

__all__ = ["TOPICS", "Cell", "Column", "apart", "columns", "conditions_said", "interval_said", "proves", "value_said"]

#: The questions of a report in their order, and the metrics that answer them. A metric that is not here comes last.
TOPICS: Mapping[str, tuple[str, ...]] = {
    "Likelihood of held-out data": ("negative log-likelihood", "bits per character", "bits per byte"),
    "Samples against held-out data": (
        "two-sample accuracy (linear)",
        "two-sample accuracy (trees)",
        "Frechet distance",
        "kernel distance",
        "maximum mean discrepancy",
        "energy distance",
        "sliced Wasserstein distance",
        "Inception-type score",
        "column shape",
        "column trend",
        "downstream utility",
        "BLEU",
        "chrF",
        "ROUGE-L",
    ),
    "Coverage, precision and copying": (
        "precision",
        "recall",
        "density",
        "coverage",
        "classes covered",
        "class agreement",
        "class shares (total variation)",
        "bins that differ",
        "rare categories kept",
        "distinct-1",
        "distinct-2",
        "words known",
        "copies",
        "nearest training example",
        "distance to closest record",
    ),
    "Other": (),
    "Cost": ("training time", "seconds per 1,000 samples", "parameters", "peak memory"),
}

Verdict = Literal["best", "lowest bound", "tied", ""]


@dataclass(frozen=True)
class Cell:
    """What stands for one model in one column.

    Args:
        model: whose.
        score: mean over training seeds, with the interval described above; None where there is no number.
        seeds: how many training seeds it is of.
        spread: its lowest and highest value over them; None for a single one.
        verdict: "best" or "tied" for the best, "" for all others and where nothing can be said.
        note: why there is no number, or how to read it.
    """

    model: str
    score: Score | None
    seeds: int = 0
    spread: tuple[float, float] | None = None
    verdict: Verdict = ""
    note: str = ""


@dataclass(frozen=True)
class Column:
    """Numbers that may be ranked among each other.

    Args:
        name: of the metric.
        unit: of all its numbers.
        conditions: of all its numbers.
        ideal: see ``Score``.
        cells: one per model.
        floor: what real training examples score against the held-out ones, where that was measured.
        topic: the question it belongs to.
        refusal: where the same metric stands in other columns too: why they are not ranked together.
    """

    name: str
    unit: str
    conditions: Mapping[str, object]
    ideal: float | None
    cells: tuple[Cell, ...]
    floor: Score | None = None
    topic: str = "Other"
    refusal: str = ""

    @property
    def kind(self) -> str:
        """Of a likelihood "exact", "bound" or "estimate", of anything else empty."""
        return str(self.conditions.get("kind", ""))

    @property
    def label(self) -> str:
        """A name that no other column of the table has."""
        return f"{self.name} ({'; '.join(filter(None, (self.unit, conditions_said(self.conditions))))})"

    @property
    def filled(self) -> tuple[Cell, ...]:
        """The cells that hold a number, in their order."""
        return tuple(cell for cell in self.cells if cell.score is not None)

    def of(self, model: str) -> Cell:
        """The cell of a model."""
        return next(cell for cell in self.cells if cell.model == model)


def columns(entries: Sequence[Entry]) -> tuple[Column, ...]:
    """The table of a comparison, decided.

    Example:
        >>> columns([])
        ()
    """
    groups: list[list[tuple[Entry, Score]]] = []
    for entry in entries:
        for score in entry.scores:
            if math.isfinite(score.value):
                group = next((g for g in groups if comparable(g[0][1], score)), None)
                groups.append([(entry, score)]) if group is None else group.append((entry, score))
    floors = [score for entry in entries if entry.card is not None for score in entry.card.floor]
    made = [_column(group, entries, floors) for group in groups]
    order = [name for names in TOPICS.values() for name in names]
    made.sort(key=lambda c: (list(TOPICS).index(c.topic), order.index(c.name) if c.name in order else 0, c.unit))
    return tuple(replace(column, refusal=_refusal(column, made)) for column in made)


def apart(a: Score, b: Score) -> int:
    """-1 where ``a`` is better than ``b`` beyond both intervals, 1 where it is worse, 0 where nothing can be said.

    Nothing can be said of numbers whose conditions differ, without intervals, or of which none is better.

    Example:
        >>> near, far = (Score(name="x", value=v, low=v - 0.1, high=v + 0.1, ideal=0.5) for v in (0.6, 0.9))
        >>> apart(near, far), apart(far, near), apart(near, near)
        (-1, 1, 0)
    """
    if not comparable(a, b) or a.ideal is None or a.ideal != b.ideal:
        return 0
    (low_a, high_a), (low_b, high_b) = _losses(a), _losses(b)
    return -1 if high_a < low_b else 1 if high_b < low_a else 0


def proves(bound: Score, exact: Score) -> bool:
    """Whether a bound on a cost proves it lower than an exact one: it lies below, intervals apart, conditions equal.

    The other way round nothing is proved: the true cost behind a bound may lie anywhere below it.

    Example:
        >>> kinds = ({"kind": "bound"}, {"kind": "exact"})
        >>> bound, exact = (Score(name="x", value=v, low=v, high=v, conditions=k) for v, k in zip((1.0, 2.0), kinds))
        >>> proves(bound, exact), proves(exact, bound)
        (True, False)
    """
    kinds = bound.conditions.get("kind"), exact.conditions.get("kind")
    alike = replace(bound, conditions={**bound.conditions, "kind": "exact"})
    return kinds == ("bound", "exact") and comparable(alike, exact) and bound.high < exact.low


def conditions_said(conditions: Mapping[str, object]) -> str:
    """Conditions in a few words: those with a name of their own as ``n 500``, the rest by their value.

    Example:
        >>> conditions_said({"kind": "bound", "measure": "mass", "n": 500, "split": "test"})
        'bound, mass, n 500, test'
    """
    plain = ("kind", "measure", "split", "features")
    return ", ".join(str(v) if k in plain else f"{k} {v}" for k, v in conditions.items())


def value_said(score: Score) -> str:
    """The number alone, as many figures as its interval allows; ``<=`` before a bound.

    Example:
        >>> value_said(Score(name="x", value=2.4321, low=2.41, high=2.45)), value_said(Score(name="x", value=12345.0))
        ('2.432', '12,345')
    """
    sign = "<= " if score.conditions.get("kind") == "bound" else ""
    if math.isfinite(score.low) and math.isfinite(score.high):
        return f"{sign}{score.value:.{decimals(score.high - score.low)}f}"
    return f"{sign}{score.value:,.0f}" if abs(score.value) >= 1000 else f"{sign}{score.value:.3g}"


def interval_said(score: Score) -> str:
    """The interval alone, or nothing."""
    if not (math.isfinite(score.low) and math.isfinite(score.high)):
        return ""
    digits = decimals(score.high - score.low)
    return f"[{score.low:.{digits}f}, {score.high:.{digits}f}]"


def _column(group: Sequence[tuple[Entry, Score]], entries: Sequence[Entry], floors: Iterable[Score]) -> Column:
    """One column, its cells ranked."""
    first = group[0][1]
    cells = [
        _cell(model, first.name, [s for e, s in group if e.model == model], entries) for model in models_of(entries)
    ]
    topic = next((topic for topic, names in TOPICS.items() if first.name in names), "Other")
    floor = next((floor for floor in floors if comparable(floor, first)), None)
    return Column(first.name, first.unit, dict(first.conditions), first.ideal, _ranked(cells), floor, topic)


def _cell(model: str, name: str, scores: Sequence[Score], entries: Sequence[Entry]) -> Cell:
    runs = [entry for entry in entries if entry.model == model]
    notes = [entry.fault for entry in runs if entry.fault]
    notes += [s.note for e in runs for s in e.scores if s.name == name and s.note and not math.isfinite(s.value)]
    if not scores:
        return Cell(model, None, note=notes[0] if notes else "")
    values = [score.value for score in scores]
    mean = replace(
        scores[0],
        value=fmean(values),
        # NaN comes first, where min and max keep it: a number without interval stays without one.
        low=min(fmean(score.low for score in scores), *values),
        high=max(fmean(score.high for score in scores), *values),
    )
    spread = (min(values), max(values)) if len(values) > 1 else None
    missing = f"{len(runs) - len(scores)} of {len(runs)} seeds without it: {notes[0]}" if notes else ""
    return Cell(model, mean, len(scores), spread, note=missing or scores[0].note)


def _ranked(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """The cells with the best marked: alone where it is apart from all others, else tied with those it is not."""
    held = [cell.score for cell in cells if cell.score is not None]
    if len(held) < 2 or any(math.isnan(loss) for score in held for loss in _losses(score)):
        return tuple(cells)  # one number, a number without interval, or a metric of which no value is better
    leader = min(held, key=lambda score: score.loss)
    equal = [score for score in held if score is leader or apart(leader, score) == 0]
    alone: Verdict = "lowest bound" if leader.conditions.get("kind") == "bound" else "best"
    verdict: Verdict = alone if len(equal) == 1 else "tied"
    return tuple(
        replace(cell, verdict=verdict if any(cell.score is score for score in equal) else "") for cell in cells
    )


def _losses(score: Score) -> tuple[float, float]:
    """Least and largest distance from ideal over the interval; NaN where there is no interval or no ideal."""
    if not (math.isfinite(score.low) and math.isfinite(score.high)):
        return math.nan, math.nan
    ends = sorted(replace(score, value=end).loss for end in (score.low, score.high))
    inside = score.ideal is not None and score.low <= score.ideal <= score.high
    return (0.0 if inside else ends[0]), ends[1]


def _refusal(column: Column, table: Sequence[Column]) -> str:
    """Why the columns of this metric and unit are not ranked together; empty for a column without a sibling."""
    family = [other for other in table if (other.name, other.unit) == (column.name, column.unit)]
    if len(family) == 1:
        return ""
    keys = dict.fromkeys(key for c in family for key in c.conditions)
    differing = [k for k in keys if len({repr(c.conditions.get(k)) for c in family}) > 1]
    parts = []
    for other in family:
        what = conditions_said({key: other.conditions[key] for key in differing if key in other.conditions})
        parts.append(f"{what or 'none stated'} ({', '.join(cell.model for cell in other.filled)})")
    why = f"not ranked against each other, because they differ in {' and '.join(differing)}"
    return f"{column.name}: {why}: {'; '.join(parts)}"
