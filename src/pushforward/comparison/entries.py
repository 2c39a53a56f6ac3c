"""One trained and evaluated run, as a comparison knows it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pushforward.evaluation.score import Score
from pushforward.evaluation.scorecard import Scorecard

__all__ = ["BASELINES", "TIMINGS", "Entry", "first_seeds", "models_of", "on_shared_machine"]

#: Models that know least: columns on their own, one Gaussian, a few Gaussians. All are fitted in closed form or by EM.
BASELINES = ("independent", "gaussian", "mixture")

#: Scores that a second process on the machine changes.
TIMINGS = ("training time", "seconds per 1,000 samples")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A run of one model with one training seed, or what stood in its way.

    Args:
        model: its name in the comparison.
        seed: of its training.
        baseline: whether it is there to be beaten.
        card: its scores; None where it has none.
        fault: one sentence on why it has none.
        lines: of its ``metrics.jsonl``.
        training: its ``training.json``.
        folder: of the run, where pictures lie.
    """

    model: str
    seed: int = 0
    baseline: bool = False
    card: Scorecard | None = None
    fault: str = ""
    lines: tuple[Mapping[str, Any], ...] = ()
    training: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None

    @property
    def scores(self) -> tuple[Score, ...]:
        """Its scores, none where it failed."""
        return () if self.card is None else tuple(self.card.scores)

    @property
    def steps(self) -> int:
        """Training steps; 0 for a closed form."""
        return int(self.training.get("settings", {}).get("steps", 0))

    def find(self, name: str) -> Score | None:
        """The score of this name that has a value."""
        return next((s for s in self.scores if s.name == name and s.value == s.value), None)


def models_of(entries: Iterable[Entry]) -> tuple[str, ...]:
    """The models in their order: learned ones first, then the baselines.

    Example:
        >>> models_of([Entry(model="gaussian", baseline=True), Entry(model="vae"), Entry(model="vae", seed=1)])
        ('vae', 'gaussian')
    """
    return tuple(dict.fromkeys(e.model for e in sorted(entries, key=lambda entry: entry.baseline)))


def first_seeds(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """For every model, its first run that has scores (or its first run)."""
    entries = tuple(entries)
    runs = ([e for e in entries if e.model == model] for model in models_of(entries))
    return tuple(next((e for e in of_model if e.card is not None), of_model[0]) for of_model in runs)


def on_shared_machine(card: Scorecard) -> Scorecard:
    """The same scores, with times marked as taken beside other work: a condition, so they rank with no others."""
    marked = (
        replace(s, conditions={**s.conditions, "machine": "shared"}) if s.name in TIMINGS else s for s in card.scores
    )
    return replace(card, scores=tuple(marked))
