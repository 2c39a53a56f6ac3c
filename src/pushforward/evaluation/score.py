"""A score: one number, its interval, what would be ideal, and the conditions it was taken under.

Numbers are put in one column, and ranked, only when their conditions agree: the same name, unit and conditions. What
may differ without forbidding a comparison (how many importance samples, which sampler) stands in ``details``.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Plain", "Score", "comparable", "missing", "score_from_json"]

#: What a condition can be: it is printed, compared and saved as JSON.
Plain = str | int | float | bool


@dataclass(frozen=True, kw_only=True)
class Score:
    """One number of a model on some data.

    Args:
        name: of the metric, in the field's words.
        value: NaN where it could not be taken; ``note`` then says why.
        low: lower end of the 95 % interval for the expectation of the metric at this n; NaN where there is none.
        high: its upper end.
        unit: "bits/dim", "nats/example", "seconds", "" for pure numbers.
        ideal: the value a perfect model would have (0 for distances, 0.5 for a two-sample accuracy, -inf where lower
            is always better); None where no value is better than another.
        conditions: what must be equal for two values to be compared: n, features, split, kind, measure.
        details: what a reader should know besides: method of the interval, importance samples, sampler.
        note: why there is no value, or how to read it.

    Example:
        >>> str(Score(name="coverage", value=0.91, low=0.875, high=0.945, ideal=1.0))
        '0.910 [0.875, 0.945]'
    """

    name: str
    value: float
    low: float = math.nan
    high: float = math.nan
    unit: str = ""
    ideal: float | None = None
    conditions: Mapping[str, Plain] = field(default_factory=dict)
    details: Mapping[str, Plain] = field(default_factory=dict)
    note: str = ""

    def __str__(self) -> str:
        """The value with its interval; a bound says so with a sign."""
        if not math.isfinite(self.value):
            return "n/a"
        # A bound on a log-likelihood bounds the cost from above: the truth is at most this.
        sign = "<= " if self.conditions.get("kind") == "bound" else ""
        if not math.isfinite(self.low):
            return f"{sign}{self.value:.4g}"
        digits = decimals(self.high - self.low)
        return f"{sign}{self.value:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"

    @property
    def loss(self) -> float:
        """How far from ideal: smaller is better. NaN where nothing is better than anything else."""
        if self.ideal is None:
            return math.nan
        if math.isinf(self.ideal):
            return -self.value if self.ideal > 0 else self.value
        return abs(self.value - self.ideal)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON: numbers that are not finite become null, an infinite ideal a word."""
        record = asdict(self)
        for key in ("value", "low", "high"):
            record[key] = record[key] if math.isfinite(record[key]) else None
        if self.ideal is not None and math.isinf(self.ideal):
            record["ideal"] = "higher" if self.ideal > 0 else "lower"
        return record


def score_from_json(record: Mapping[str, Any]) -> Score:
    """The score that ``to_json`` wrote.

    Example:
        >>> score = Score(name="x", value=1.0, ideal=-math.inf)
        >>> score_from_json(score.to_json()).ideal
        -inf
    """
    fields = dict(record)
    for key in ("value", "low", "high"):
        fields[key] = math.nan if fields.get(key) is None else float(fields[key])
    ideal: Any = fields.get("ideal")
    fields["ideal"] = {"higher": math.inf, "lower": -math.inf}.get(ideal, ideal)
    return Score(**fields)


def missing(
    name: str,
    note: str,
    *,
    unit: str = "",
    ideal: float | None = None,
    conditions: Mapping[str, Plain] | None = None,
    details: Mapping[str, Plain] | None = None,
) -> Score:
    """A score that could not be taken, and why."""
    return Score(
        name=name,
        value=math.nan,
        note=note,
        unit=unit,
        ideal=ideal,
        conditions=conditions or {},
        details=details or {},
    )


def comparable(a: Score, b: Score) -> bool:
    """Whether two scores may be ranked: the same metric under the same conditions, both with a value."""
    alike = (a.name, a.unit, dict(a.conditions)) == (b.name, b.unit, dict(b.conditions))
    return alike and math.isfinite(a.value) and math.isfinite(b.value)


def decimals(width: float) -> int:
    """Decimals that show an interval of this width with two figures, between 0 and 6.

    Example:
        >>> decimals(0.07), decimals(12.0)
        (3, 0)
    """
    return min(max(1 - math.floor(math.log10(width)), 0), 6) if width > 0 else 3
