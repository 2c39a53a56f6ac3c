"""What training shows while it runs: a bar with loss, validation figure and time left; nothing when piped."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["Bar"]


class Bar:
    """A progress bar on standard error, silent unless that is a terminal.

    Args:
        title: what is being done.
        show: None asks whether standard error is a terminal.
    """

    def __init__(self, title: str, *, show: bool | None = None) -> None:
        console = Console(stderr=True)
        self._shown = console.is_terminal if show is None else show
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=12),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=console,
            disable=not self._shown,
            refresh_per_second=4,
        )
        self._task = self._progress.add_task(title, total=None, figures="")
        self._figures = {"loss": "", "validation": ""}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()

    def update(self, done: int, total: int | None, *, loss: float | None = None, validation: str | None = None) -> None:
        """Show how far it is, and the newest figures."""
        if not self._shown:
            return
        if loss is not None:
            self._figures["loss"] = f"loss {loss:.4g}"
        if validation is not None:
            self._figures["validation"] = f"valid {validation}"
        figures = "  ".join(text for text in self._figures.values() if text)
        self._progress.update(self._task, completed=done, total=total, figures=figures)

    def say(self, line: str) -> None:
        """A line above the bar."""
        if self._shown:
            self._progress.console.print(line, highlight=False)
