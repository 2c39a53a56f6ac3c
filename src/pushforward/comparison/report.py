"""A finished comparison, and the files that tell of it: ``index.html``, ``comparison.json``, ``scores.csv``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pushforward.comparison.entries import Entry
from pushforward.comparison.export import as_csv, as_records, as_text
from pushforward.comparison.page import html
from pushforward.comparison.table import Column, columns
from pushforward.comparison.words import Remark, summary
from pushforward.core.files import write_bytes, write_json

__all__ = ["Comparison", "write_report"]


@dataclass(frozen=True)
class Comparison:
    """Several models on the same data.

    Args:
        path: the folder of the comparison.
        entries: its runs.
        settings: what was asked for.
        data: the record of the data.
    """

    path: Path
    entries: tuple[Entry, ...] = field(repr=False)
    settings: Mapping[str, Any] = field(repr=False)
    data: Mapping[str, Any] = field(repr=False)

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The table, decided: which numbers may be ranked, and which is best."""
        return columns(self.entries)

    @cached_property
    def summary(self) -> tuple[Remark, ...]:
        """What the numbers support, in words."""
        return summary(self.entries, self.columns)

    @property
    def report(self) -> Path:
        """The page."""
        return self.path / "index.html"

    def table(self, width: int = 100) -> str:
        """The main numbers for a terminal of some width."""
        return as_text(self.entries, self.columns, width=width)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "finished": True,
            "settings": dict(self.settings),
            "data": dict(self.data),
            "faults": faults(self.entries),
            **as_records(self.entries, self.columns, self.summary),
        }

    def __str__(self) -> str:
        """The table and where the report lies."""
        return f"{self.table()}\n{self.report}"


def write_report(comparison: Comparison) -> Path:
    """Write page, JSON and CSV into the folder of the comparison.

    Raises:
        InputError: if there is no room.
    """
    path = comparison.path
    real = next((found for ending in (".png", ".txt") if (found := path / f"real{ending}").is_file()), None)
    page = html(
        comparison.entries,
        comparison.columns,
        comparison.summary,
        data=comparison.data,
        settings=comparison.settings,
        real=real,
    )
    write_bytes(path / "scores.csv", as_csv(comparison.entries, comparison.columns).encode())
    write_bytes(comparison.report, page.encode())
    write_json(path / "comparison.json", comparison.to_json())
    return comparison.report


def faults(entries: tuple[Entry, ...]) -> dict[str, str]:
    """What stood in the way of each run that failed."""
    return {f"{entry.model}-{entry.seed}": entry.fault for entry in entries if entry.fault}
