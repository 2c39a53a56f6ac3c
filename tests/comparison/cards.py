"""Scorecards made by hand, whose right reading is known."""

import math
from html.parser import HTMLParser
from pathlib import Path

from pushforward.comparison.entries import Entry
from pushforward.evaluation.score import Score
from pushforward.evaluation.scorecard import Breakdown, Scorecard

__all__ = ["DATA", "SETTINGS", "accuracy", "entry", "likelihood", "read", "seconds"]

DATA = {
    "name": "digits",
    "fingerprint": "f" * 64,
    "recipe": {"source": "digits"},
    "description": ["digits: images 8 x 8, grey, 17 levels", "split: 1,437 train, 180 validation, 180 test"],
}

SETTINGS = {
    "models": ["vae"],
    "folders": [],
    "seeds": 1,
    "budget": "20s",
    "steps": None,
    "jobs": 1,
    "n": None,
    "features": "auto",
    "baselines": True,
    "out": "report",
}


def likelihood(value: float, kind: str, *, half: float = 0.02, n: int = 180, measure: str = "mass") -> Score:
    return Score(
        name="negative log-likelihood",
        value=value,
        low=value - half,
        high=value + half,
        unit="bits/dim",
        ideal=-math.inf,
        conditions={"kind": kind, "measure": measure, "n": n, "split": "test"},
    )


def accuracy(value: float, *, half: float = 0.03, n: int = 180, features: str = "classifier", name="trees") -> Score:
    return Score(
        name=f"two-sample accuracy ({name})",
        value=value,
        low=value - half,
        high=value + half,
        ideal=0.5,
        conditions={"n": n, "features": features, "split": "test"},
    )


def seconds(value: float, name: str = "training time") -> Score:
    return Score(name=name, value=value, unit="s", ideal=-math.inf, conditions={"device": "cpu", "threads": 2})


def entry(
    model: str,
    *scores: Score,
    seed: int = 0,
    floor: tuple[Score, ...] = (),
    rows: tuple[dict, ...] = (),
    baseline: bool | None = None,
    fault: str = "",
    steps: int = 0,
    lines: tuple[dict, ...] = (),
    figure: tuple[str, str, str] = ("bits/dim", "exact", "mass"),
    folder: Path | None = None,
) -> Entry:
    card = Scorecard(
        model=model,
        data={"name": "digits"},
        seed=seed,
        scores=scores,
        floor=floor,
        breakdowns=(Breakdown(title="class", rows=rows),) if rows else (),
    )
    return Entry(
        model=model,
        seed=seed,
        baseline=model in ("independent", "gaussian", "mixture") if baseline is None else baseline,
        card=None if fault else card,
        fault=fault,
        lines=lines,
        training={
            "settings": {"steps": steps, "threads": 2, "device": "cpu"},
            "versions": {"pushforward": "0.1.0", "torch": "2.13.0"},
            "figure": dict(zip(("unit", "kind", "measure"), figure, strict=True)),
        },
        folder=folder,
    )


class Reader(HTMLParser):
    """What a page holds: its text, and the addresses it asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.text, self.addresses, self.tags = "", [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "srcset", "href", "action", "data")]

    def handle_data(self, data):
        self.text += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    return reader
