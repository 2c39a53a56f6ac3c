"""What a check says: one property after another, with what was done, what came out, and what a failure means."""

import textwrap
from dataclasses import asdict, dataclass
from typing import Any, Literal

__all__ = ["Property", "Question", "Report"]

Outcome = Literal["holds", "fails", "does not apply"]


@dataclass(frozen=True, kw_only=True)
class Property:
    """The answer to one question about a model.

    Args:
        name: what should hold.
        outcome: whether it does.
        tested: what was done.
        found: what came out, with figures; or why the question does not apply.
        meaning: what a failure means: its cause, as far as it can be told.
        where: which method of which class to look at.
    """

    name: str
    outcome: Outcome
    tested: str
    found: str
    meaning: str
    where: str


@dataclass(frozen=True, kw_only=True)
class Question:
    """A property before it is tested: its answers are made from it.

    Example:
        >>> asked = Question(name="sums to one", tested="added up", meaning="no density", where="Model.log_prob")
        >>> asked.fails("the sum is 1.3").outcome
        'fails'
    """

    name: str
    tested: str
    meaning: str
    where: str

    def holds(self, found: str) -> Property:
        """The property was seen to hold."""
        return self._answer("holds", found)

    def fails(self, found: str, meaning: str | None = None, where: str | None = None) -> Property:
        """It was seen to fail; ``meaning`` and ``where`` replace the general ones if more is known."""
        return self._answer("fails", found, meaning, where)

    def absent(self, why: str) -> Property:
        """There is nothing to test, or nothing to test it on."""
        return self._answer("does not apply", why)

    def _answer(self, outcome: Outcome, found: str, meaning: str | None = None, where: str | None = None) -> Property:
        return Property(
            name=self.name,
            outcome=outcome,
            tested=self.tested,
            found=found,
            meaning=meaning or self.meaning,
            where=where or self.where,
        )


@dataclass(frozen=True, kw_only=True)
class Report:
    """All properties of one model, the root of trouble first: of several failures the first explains most.

    Args:
        model: which model, in a few words.
        seed: of everything that was drawn.
        properties: the answers.
    """

    model: str
    seed: int
    properties: tuple[Property, ...]

    @property
    def ok(self) -> bool:
        """Whether no property fails."""
        return not self.failures

    @property
    def failures(self) -> tuple[Property, ...]:
        """The properties that fail."""
        return tuple(p for p in self.properties if p.outcome == "fails")

    def to_json(self) -> dict[str, Any]:
        """As plain numbers, text, lists and dictionaries."""
        return {
            "model": self.model,
            "seed": self.seed,
            "ok": self.ok,
            "properties": [asdict(p) for p in self.properties],
        }

    def __str__(self) -> str:
        counts = {outcome: 0 for outcome in ("holds", "fails", "does not apply")}
        for each in self.properties:
            counts[each.outcome] += 1
        lines = [
            f"{self.model}: {counts['holds']} properties hold, {counts['fails']} fail, "
            f"{counts['does not apply']} do not apply"
        ]
        sign = {"holds": "ok", "fails": "FAILS", "does not apply": "-"}
        for each in self.properties:
            lines += ["", f"{sign[each.outcome]:<6}{each.name}", *_indented(each.found)]
            if each.outcome == "fails":
                lines += _indented(f"tested: {each.tested}")
                lines += _indented(f"meaning: {each.meaning}")
                lines += _indented(f"look at: {each.where}")
        return "\n".join(lines)


def _indented(text: str) -> list[str]:
    return textwrap.wrap(text, width=100, initial_indent=" " * 6, subsequent_indent=" " * 8)
