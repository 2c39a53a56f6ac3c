"""A comparison outside the report: JSON with every verdict, a long CSV, and the table of the terminal."""

import csv
import io
import json
import math
from collections.abc import Sequence
from typing import Any

from pushforward.comparison.entries import Entry, models_of
from pushforward.comparison.table import Cell, Column, interval_said, value_said
from pushforward.comparison.words import Remark
from pushforward.evaluation.score import Score, comparable

__all__ = ["as_csv", "as_records", "as_text", "chosen"]

#: What the terminal shows, where it was measured: the rest stands in the report.
SHOWN = (
    "negative log-likelihood",
    "bits per character",
    "two-sample accuracy (linear)",
    "two-sample accuracy (trees)",
    "Frechet distance",
    "column shape",
    "downstream utility",
    "coverage",
    "copies",
    "training time",
    "seconds per 1,000 samples",
    "parameters",
)

FIELDS = (
    "model",
    "seed",
    "baseline",
    "metric",
    "value",
    "low",
    "high",
    "unit",
    "ideal",
    "conditions",
    "comparable group",
    "verdict",
    "note",
)


def as_records(entries: Sequence[Entry], table: Sequence[Column], words: Sequence[Remark]) -> dict[str, Any]:
    """Scorecards, verdicts and summary as plain JSON."""
    return {
        "summary": [{"title": remark.title, "sentences": list(remark.sentences)} for remark in words],
        "verdicts": [_column_record(column) for column in table],
        "runs": [
            {
                "model": entry.model,
                "seed": entry.seed,
                "baseline": entry.baseline,
                "fault": entry.fault,
                "steps": entry.steps,
                "folder": None if entry.folder is None else str(entry.folder),
                "scorecard": None if entry.card is None else entry.card.to_json(),
            }
            for entry in entries
        ],
    }


def as_csv(entries: Sequence[Entry], table: Sequence[Column]) -> str:
    """One line for every number: rows of one "comparable group" may be ranked, of different ones may not."""
    text = io.StringIO()
    writer: csv.DictWriter[str] = csv.DictWriter(text, FIELDS, lineterminator="\n")
    writer.writeheader()
    for entry in entries:
        for score in entry.scores:
            column = next((c for c in table if _belongs(score, c)), None)
            verdict = column.of(entry.model).verdict if column is not None else ""
            writer.writerow(_line(entry.model, str(entry.seed), entry.baseline, score, column) | {"verdict": verdict})
        if entry.fault:
            writer.writerow({"model": entry.model, "seed": entry.seed, "baseline": entry.baseline, "note": entry.fault})
    for column in table:
        if column.floor is not None:
            writer.writerow(_line("floor (train against test)", "", False, column.floor, column))
    return text.getvalue()


def chosen(table: Sequence[Column]) -> tuple[Column, ...]:
    """The columns for the terminal; of a metric in several units the first."""
    first: dict[tuple[str, str], str] = {}
    for column in table:
        first.setdefault((column.name, str(column.conditions.get("measure"))), column.unit)
    shown = (c for c in table if c.name in SHOWN and first[c.name, str(c.conditions.get("measure"))] == c.unit)
    return tuple(shown)


def as_text(entries: Sequence[Entry], table: Sequence[Column], *, width: int = 100) -> str:
    """The table for a terminal of some width: as many columns side by side as fit, the others below."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    models, columns, marks = models_of(entries), chosen(table), _marks(table)
    baselines = {entry.model for entry in entries if entry.baseline}
    names = ["floor: train against test", *(f"{m} (baseline)" if m in baselines else m for m in models)]
    blocks: list[list[tuple[str, list[str]]]] = [[]]
    room = width - max(map(len, names)) - 3
    for column in columns:
        texts = _texts(column, models, marks.get(column.refusal, ""))  # a spread stays beside its numbers
        wide = sum(2 + max(len(s) for text in (*_header(t), *cells) for s in text.split("\n")) for t, cells in texts)
        if blocks[-1] and wide > room:
            blocks.append([])
            room = width - max(map(len, names)) - 3
        room -= wide
        blocks[-1] += texts
    text = io.StringIO()
    console = Console(file=text, width=width, color_system=None, legacy_windows=False)
    for block in blocks if columns else []:
        grid = Table("model", *("\n".join(_header(title)) for title, _ in block), box=SIMPLE_HEAD, padding=(0, 1))
        for index, name in enumerate(names):
            cells = [cells[index] for _, cells in block]
            if any(cells) or index:
                grid.add_row(name, *cells)
        console.print(grid, highlight=False, markup=False)
    lines = [f"{mark} {refusal}" for refusal, mark in marks.items() if any(c.refusal == refusal for c in columns)]
    lines += [f"{entry.model}, seed {entry.seed}: {entry.fault}" for entry in entries if entry.fault]
    return "\n".join([text.getvalue().rstrip(), "", *lines]).strip("\n") + "\n"


def _texts(column: Column, models: Sequence[str], mark: str) -> list[tuple[str, list[str]]]:
    """The column as texts, and its spread over training seeds as a second one where there are several."""
    kind = {"exact": "exact", "bound": "bound", "estimate": "estimate"}.get(column.kind, "")
    shared = "shared" if column.conditions.get("machine") == "shared" else ""
    features = str(column.conditions.get("features", ""))
    measure = str(column.conditions.get("measure", ""))
    n = f"n {column.conditions['n']}" if "n" in column.conditions else ""
    how = ", ".join(filter(None, (column.unit, kind, measure, features, n, shared)))
    title = f"{column.name}|{how}{' ' + mark if mark else ''}"
    floor = "" if column.floor is None else _text(Cell("", column.floor))
    made = [(title, [floor, *(_text(column.of(model)) for model in models)])]
    if any(cell.spread for cell in column.cells) and column.topic != "Cost":
        spreads = [column.of(model).spread for model in models]
        said = ["" if s is None else f"{s[0]:.3g}\nto {s[1]:.3g}" for s in spreads]
        made.append((f"spread|of {max(cell.seeds for cell in column.cells)} seeds", ["", *said]))
    return made


def _header(title: str) -> list[str]:
    """A title on short lines."""
    name, _, how = title.partition("|")
    lines: list[str] = []
    for part in (name, how):
        line = ""
        for word in part.split():
            if line and len(line) + len(word) > 16:
                lines.append(line)
                line = word
            else:
                line = f"{line} {word}".strip()
        lines.append(line)
    return lines


def _text(cell: Cell) -> str:
    if cell.score is None:
        return "n/a" if cell.note else ""
    value = f"{value_said(cell.score)}{' ' + cell.verdict if cell.verdict else ''}"
    return "\n".join(filter(None, (value, interval_said(cell.score))))


def _marks(table: Sequence[Column]) -> dict[str, str]:
    refusals = dict.fromkeys(column.refusal for column in table if column.refusal)
    return {refusal: f"({index})" for index, refusal in enumerate(refusals, start=1)}


def _column_record(column: Column) -> dict[str, Any]:
    return {
        "comparable group": column.label,
        "metric": column.name,
        "unit": column.unit,
        "conditions": dict(column.conditions),
        "not ranked": column.refusal or None,
        "floor": None if column.floor is None else column.floor.to_json(),
        "cells": [
            {
                "model": cell.model,
                "value": None if cell.score is None else cell.score.value,
                "low": None if cell.score is None else _finite(cell.score.low),
                "high": None if cell.score is None else _finite(cell.score.high),
                "seeds": cell.seeds,
                "spread": None if cell.spread is None else list(cell.spread),
                "verdict": cell.verdict,
                "note": cell.note,
            }
            for cell in column.cells
        ],
    }


def _line(model: str, seed: str, baseline: bool, score: Score, column: Column | None) -> dict[str, Any]:
    record = score.to_json()
    return {
        "model": model,
        "seed": seed,
        "baseline": baseline,
        "metric": score.name,
        **{key: record[key] for key in ("value", "low", "high", "unit", "ideal", "note")},
        "conditions": json.dumps(dict(score.conditions), ensure_ascii=False),
        "comparable group": "" if column is None else column.label,
    }


def _belongs(score: Score, column: Column) -> bool:
    held = next((cell.score for cell in column.cells if cell.score is not None), None)
    return held is not None and comparable(score, held)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
