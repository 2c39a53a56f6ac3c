"""What a caller of ``load_data`` asked for beside the source, handed whole to whoever reads the source."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any

from pushforward.core.errors import InputError

__all__ = ["Options", "did_you_mean"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """The arguments of ``load_data``; see there."""

    name: str | None = None
    seed: int = 0
    condition: Any = None
    condition_column: str | None = None
    resolution: Mapping[str, float] | None = None
    length: int | None = None
    lines: bool = False
    size: int | tuple[int, ...] | None = None
    labels: bool = True

    def __post_init__(self) -> None:
        """Check what can be checked before any file is opened."""
        if not isinstance(self.seed, int) or isinstance(self.seed, bool) or not 0 <= self.seed < 2**63:
            raise InputError(f"seed: got {self.seed!r}, expected a whole number from 0 to 2**63 - 1")
        if self.length is not None and (not isinstance(self.length, int) or self.length < 2):
            raise InputError(f"length: got {self.length!r}, expected a whole number of at least 2")
        sides = self.size if isinstance(self.size, tuple) else (1 if self.size is None else self.size,) * 2
        if len(sides) != 2 or not all(isinstance(side, int) and 1 <= side <= 2**14 for side in sides):
            raise InputError(f"size: got {self.size!r}, expected pixels or (height, width), each from 1 to 16384")

    def allow(self, kind: str, *names: str) -> None:
        """Raise ``InputError`` if an argument was given that means nothing for this kind of data."""
        default = Options()
        for field in fields(self):
            name = field.name
            if name in ("name", "seed", "labels", *names) or getattr(self, name) is getattr(default, name):
                continue
            accepted = f"expected only {', '.join(names)} or none" if names else "expected none"
            raise InputError(f"{name}: has no meaning for {kind}, {accepted}")

    def title(self, otherwise: str) -> str:
        """The name asked for, or another, fit for the name of a folder."""
        return re.sub(r"[^\w.-]+", "-", self.name or otherwise).strip("-.") or "data"

    def sides(self) -> tuple[int, int] | None:
        """The (height, width) asked for."""
        if self.size is None:
            return None
        return (self.size, self.size) if isinstance(self.size, int) else (self.size[0], self.size[1])


def did_you_mean(word: str, known: list[str]) -> str:
    """The end of a sentence about an unknown word: the nearest known one, and what else there is.

    Example:
        >>> did_you_mean("mnits", ["mnist", "digits"])
        'did you mean mnist (there is: mnist, digits)'
    """
    near = get_close_matches(word.lower(), known, n=1, cutoff=0.5)
    some = ", ".join(known[:30]) + (", ..." if len(known) > 30 else "")
    return f"did you mean {near[0]} (there is: {some})" if near else f"expected one of {some}"
