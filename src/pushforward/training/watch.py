"""What is done at a validation when the code of a model has collapsed: say so, and, if wished, make it easier to use.

The monitor itself (``evaluation/collapse.py``) stands on a higher floor and comes in as a callable. A collapse counts
from the third validation in a row on, and not before the KL term has its weight: a model that has just begun may have a
code that says nothing yet.

A remedy is a function of how many there have been, and the model's ``progress`` starts anew with it, so that all that
is annealed (the weight of a KL term) is annealed again. Both follow from the steps kept in ``Position.eased``, so a
resumed run goes on exactly.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from pushforward.core.capabilities import HasLatent
from pushforward.core.model import Model
from pushforward.training.checkpoint import Position

__all__ = ["Observation", "Watch"]

#: Validations in a row that must see a collapse before it counts. There are twenty in a run, so it is said after 15 %
#: of the training; on digits the code of a healthy run carried less than a bit for the first two.
PATIENCE = 3

#: Remedies in one run. If the third has not helped, the objective is not what is wrong.
MOST = 3


class Observation(NamedTuple):
    """What was seen of the latent space of a model.

    Args:
        record: numbers for the metrics, ready for JSON.
        collapsed: whether the code says next to nothing about the example.
        said: one sentence on it, and what to set; "" when all is well.
        settling: the share of the training before which nothing is concluded, as the KL term is still coming in.
    """

    record: dict[str, Any]
    collapsed: bool = False
    said: str = ""
    settling: float = 0.0


class Watch:
    """Looks at the latent space at every validation.

    Args:
        observe: the monitor; None for a model without a code.
        remedy: "auto" applies ``HasLatent.ease`` when a collapse is seen.
        say: shows a line to the user.
    """

    def __init__(
        self, observe: Callable[[Model], Observation | None], remedy: Literal["off", "auto"], say: Callable[[str], None]
    ) -> None:
        self.observe, self.remedy, self.say = observe, remedy, say

    def look(self, trained: Model, averaged: Model, position: Position) -> dict[str, Any]:
        """Observe the averaged weights; what is to be recorded, with the remedy applied to ``trained`` if one was."""
        seen = self.observe(averaged)
        if seen is None:
            return {}
        counts = seen.collapsed and trained.progress >= seen.settling
        position.collapsed = position.collapsed + 1 if counts else 0
        if position.collapsed < PATIENCE:
            return {"latent": seen.record}
        if position.collapsed == PATIENCE:
            self.say(seen.said)
        return {"latent": seen.record, "collapse": seen.said} | self._remedied(trained, position)

    def _remedied(self, trained: Model, position: Position) -> dict[str, str]:
        if self.remedy == "off" or len(position.eased) == MOST or not isinstance(trained, HasLatent):
            return {}
        if not (done := trained.ease(len(position.eased) + 1)):
            if position.collapsed == PATIENCE:
                self.say(f"remedy: this {type(trained).__name__} has nothing to ease")
            return {}
        position.eased.append(position.step)
        position.collapsed = 0
        self.say(f"remedy: {done}")
        return {"remedy": done}

    @staticmethod
    def resume(trained: Model, position: Position) -> None:
        """Bring a model made anew to where the remedies had brought it."""
        if position.eased and isinstance(trained, HasLatent):
            trained.ease(len(position.eased))

    @staticmethod
    def progress(position: Position, total: int) -> float:
        """The share of the training that is done, in [0, 1), counted from the last remedy.

        Example:
            >>> Watch.progress(Position(step=50), 100), Watch.progress(Position(step=50, eased=[20]), 100)
            (0.5, 0.375)
        """
        start = position.eased[-1] if position.eased else 0
        return (position.step - start) / max(total - start, 1)
