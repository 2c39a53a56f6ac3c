"""What every chapter of the book shares: sizes for a quick run, the style of the figures, the table of known answers.

A chapter is a script of cells. It runs from the command line and opens as a notebook, and it ends in a table in which
every computed number stands beside the answer it must have, and where that answer comes from.
"""

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pushforward.core.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ACCENT", "BLUE", "GREEN", "GREY", "ORANGE", "Chapter"]

#: Colours of all figures. They differ in lightness too, so that a print in grey can be read: what was computed is
#: blue, what is known is drawn in near-black, a rival or a failure is orange.
BLUE, ORANGE, GREEN, GREY, ACCENT = "#2a6fb0", "#d1661c", "#2b8a5f", "#9a9a9a", "#222222"

STYLE: dict[str, Any] = {
    "figure.dpi": 110,
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.grid": False,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "image.cmap": "Blues",
}

#: How many standard errors a computed number may be away from its answer before the table marks it. By chance alone
#: four are exceeded once in 16,000 rows.
STANDARD_ERRORS = 4.0


class Row(NamedTuple):
    """One line of the final table."""

    quantity: str
    computed: float
    answer: float
    allowed: float | None
    source: str

    @property
    def error(self) -> float:
        """How far the computed number is from its answer."""
        return self.computed - self.answer

    @property
    def off(self) -> bool:
        """Whether it is further away than it may be."""
        if self.allowed is None:
            return not math.isfinite(self.computed)
        return not abs(self.error) <= self.allowed


class Chapter:
    """The frame of one chapter.

    Args:
        title: what the chapter is about.
        arguments: as on the command line: ``--smoke`` for a run in seconds, ``--out DIR`` for the figures. None reads
            those of the script, and in a notebook nothing.

    Example:
        >>> chapter = Chapter("Means", arguments=["--smoke"])
        >>> chapter.size(100_000, smoke=500)
        500
        >>> chapter.known("E[x]", 0.51, 0.5, source="closed form", error=0.01)
        >>> [row.off for row in chapter.rows]
        [False]
    """

    def __init__(self, title: str, *, arguments: list[str] | None = None) -> None:
        import matplotlib
        import matplotlib.style

        self.title = title
        self.rows: list[Row] = []
        self.notebook = "ipykernel" in sys.modules
        parser = argparse.ArgumentParser(description=title)
        parser.add_argument("--smoke", action="store_true", help="small sizes: seconds, and rougher numbers")
        parser.add_argument("--out", type=Path, default=Path("book-figures"), help="folder of the figures")
        given = parser.parse_args([] if self.notebook and arguments is None else arguments)
        self.smoke: bool = given.smoke
        self.out: Path = given.out
        if not self.notebook:
            matplotlib.use("agg")  # figures go to files, no window opens
        matplotlib.style.use(STYLE)

    def size(self, full: int, *, smoke: int) -> int:
        """A number of samples or steps: ``full``, or ``smoke`` under ``--smoke``."""
        return smoke if self.smoke else full

    def known(
        self,
        quantity: str,
        computed: float,
        answer: float,
        *,
        source: str,
        error: float | None = None,
        within: float | None = None,
    ) -> None:
        """A row of the table.

        Args:
            quantity: what was computed, in symbols.
            computed: the number.
            answer: what it must be.
            source: where the answer comes from.
            error: standard error of the computed number; it may be 4 of them away from the answer.
            within: the largest difference allowed, for what is not random.

        Raises:
            InputError: if both ``error`` and ``within`` are given.
        """
        if error is not None and within is not None:
            raise InputError("within: got it together with error, expected one of them")
        allowed = None if error is None and within is None else within
        if error is not None:
            allowed = STANDARD_ERRORS * float(error)
        self.rows.append(Row(quantity, float(computed), float(answer), allowed, source))

    def show(self, figure: "Figure", name: str) -> Path:
        """Save a figure as ``OUT/name.png``; a notebook shows it as well."""
        self.out.mkdir(parents=True, exist_ok=True)
        path = self.out / f"{name}.png"
        figure.savefig(path)
        if not self.notebook:
            import matplotlib.pyplot as plt

            plt.close(figure)
            print(f"figure: {path}")
        return path

    def end(self) -> None:
        """Print the table; a script exits with status 1 if a number is further from its answer than it may be."""
        from rich.console import Console
        from rich.table import Table

        table = Table("quantity", "computed", "known answer", "error", "allowed", "where the answer comes from")
        for row in self.rows:
            style = "bold red" if row.off else ""
            allowed = "" if row.allowed is None else f"{row.allowed:.2g}"
            cells = (row.quantity, f"{row.computed:.5g}", f"{row.answer:.5g}", f"{row.error:+.2g}", allowed, row.source)
            table.add_row(*cells, style=style)
        table.title = self.title
        # A pipe has no width: the table is then as wide as it needs to be.
        Console(width=None if sys.stdout.isatty() else 140, markup=False).print(table)
        if any(row.off for row in self.rows) and not self.notebook:
            raise SystemExit(1)
