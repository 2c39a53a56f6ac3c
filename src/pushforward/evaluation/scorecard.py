"""Everything that was measured of one model on one data set, as one object and as one JSON file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pushforward.core.errors import InputError
from pushforward.evaluation.score import Score, score_from_json

__all__ = ["Breakdown", "Scorecard", "scorecard_from_json"]

#: Version of the JSON written.
FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Breakdown:
    """A table that takes the scores apart: a row per class or per column.

    Args:
        title: what a row is: "class", "column", "cluster".
        rows: each with the same keys; the first, "name", says which it is.
    """

    title: str
    rows: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, kw_only=True)
class Scorecard:
    """What was measured of one model.

    Args:
        model: its name.
        data: name, fingerprint, split and number of examples looked at.
        seed: of its training; None if unknown.
        sampler: how its samples were drawn; empty for the untruncated model itself.
        scores: of the model.
        floor: the same metrics of real training examples against the test split: as near as samples can come.
        baselines: the same metrics of cheap models fitted to the same training split.
        breakdowns: per class, per column, per cluster.
        notes: what a reader must know, one sentence each.
        seconds: that the evaluation took.
    """

    model: str
    data: Mapping[str, Any]
    seed: int | None = None
    sampler: str = ""
    scores: tuple[Score, ...] = ()
    floor: tuple[Score, ...] = ()
    baselines: Mapping[str, tuple[Score, ...]] = field(default_factory=dict)
    breakdowns: tuple[Breakdown, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    def score(self, name: str, unit: str = "") -> Score | None:
        """The score of a name (and unit, if there are several), or None."""
        return next((s for s in self.scores if s.name == name and (not unit or s.unit == unit)), None)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "format": FORMAT,
            "model": self.model,
            "data": dict(self.data),
            "seed": self.seed,
            "sampler": self.sampler,
            "scores": [score.to_json() for score in self.scores],
            "floor": [score.to_json() for score in self.floor],
            "baselines": {name: [score.to_json() for score in scores] for name, scores in self.baselines.items()},
            "breakdowns": [{"title": b.title, "rows": [dict(row) for row in b.rows]} for b in self.breakdowns],
            "notes": list(self.notes),
            "seconds": round(self.seconds, 3),
        }


def scorecard_from_json(record: Any) -> Scorecard:
    """The scorecard that ``to_json`` wrote.

    Raises:
        InputError: if the record is something else.

    Example:
        >>> card = Scorecard(model="vae", data={"name": "digits"}, scores=(Score(name="coverage", value=0.9),))
        >>> scorecard_from_json(card.to_json()).score("coverage").value
        0.9
    """
    try:
        if record["format"] != FORMAT:
            raise InputError(f"evaluation: got format {record['format']!r}, expected {FORMAT}; evaluate the run again")
        return Scorecard(
            model=record["model"],
            data=record["data"],
            seed=record["seed"],
            sampler=record["sampler"],
            scores=tuple(map(score_from_json, record["scores"])),
            floor=tuple(map(score_from_json, record["floor"])),
            baselines={name: tuple(map(score_from_json, scores)) for name, scores in record["baselines"].items()},
            breakdowns=tuple(Breakdown(title=b["title"], rows=tuple(b["rows"])) for b in record["breakdowns"]),
            notes=tuple(record["notes"]),
            seconds=record["seconds"],
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError("evaluation: is not a scorecard, expected one that pushforward evaluate wrote") from None
