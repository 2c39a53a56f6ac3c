"""``pushforward evaluate``: measure a run on its held-out split, or on a file of new examples."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from pushforward.cli.place import open_run

__all__ = ["evaluate_command"]


@dataclasses.dataclass(kw_only=True)
class Evaluate:
    """What ``evaluate`` takes besides the fields of the model's sampler."""

    data: str | None = None  # A file of new examples to measure on, instead of the test split.
    per_example: Path | None = None  # Write the log-probability of every example into this CSV file.
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 1000  # Held-out examples at most, and as many samples.
    seed: int = 0  # Of the samples and the measurements.
    features: Literal["auto", "classifier", "pca", "raw", "inception"] = "auto"  # What examples are compared in.
    draws: int | None = None  # Importance samples of a likelihood that is a bound.
    baselines: bool = True  # Measure the cheap models too.
    references: Path | None = None  # For text: a CSV with the columns prompt and reference.
    json: bool = False  # Print the scorecard as JSON.
    trust: tuple[str, ...] = ()  # Classes of models from outside that may be imported, as module:Class.
    device: str = "cpu"  # Where to compute: cpu or cuda.
    threads: int = 0  # CPU threads; 0 takes as many as torch does.


def evaluate_command(rest: list[str]) -> int:
    """Measure a run; prints a table, or JSON.

    Raises:
        InputError: if an argument cannot be used.
    """
    run, given, sampler = open_run(
        rest, Evaluate, verb="evaluate", description="Measure a run on its held-out split, or on a file."
    )
    # The default is the untruncated model: only another one is named in the scorecard.
    return _measured(run, given, None if sampler is None or sampler == type(sampler)() else sampler)


def _measured(run: Any, given: Any, sampler: Any) -> int:
    from pushforward.core.files import write_bytes
    from pushforward.run.judge import data_of, evaluate, score_examples

    if given.per_example is not None:
        source = data_of(run) if given.data is None else given.data
        scores = score_examples(run, source, draws=given.draws, seed=given.seed)
        write_bytes(given.per_example, scores.to_csv(index=False).encode())
    card = evaluate(
        run,
        given.data,
        n=given.n,
        seed=given.seed,
        features=given.features,
        draws=given.draws,
        sampler=sampler,
        baselines=given.baselines,
        references=given.references,
    )
    if given.json:
        print(json.dumps(card.to_json(), indent=2, ensure_ascii=False, allow_nan=False))
        return 0
    _print(card)
    if given.per_example is not None:
        print(f"a score for every example: {given.per_example}")
    elif given.data is None:
        print(f"all of it: {run.path / 'evaluation.json'}")
    return 0


def _print(card: Any) -> None:
    """The scorecard as a table: the model, the floor, the baselines."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    console = Console()
    data = card.data
    what = f"{card.model} on {data['name']}, {data['split']} split, {data['rows']:,} examples"
    console.print(f"{what}; compared in {data['features']}", highlight=False)
    table = Table(box=SIMPLE, pad_edge=False)
    table.add_column("")
    others = {"floor": card.floor, **card.baselines}
    for title in (f"{card.model} [95 %]", *others):
        table.add_column(title, justify="right")
    for score in card.scores:
        beside = [_short(score, scores) for scores in others.values()]
        table.add_row(_said(score), str(score) if math.isfinite(score.value) else "-", *beside)
    console.print(table)
    for score in card.scores:
        if not math.isfinite(score.value) and score.note:
            console.print(f"{score.name}: {score.note}", highlight=False, soft_wrap=True)
    console.print("floor: training examples in place of samples. <=: a bound, the truth is at most this.")
    for note in card.notes:
        console.print(note, highlight=False, soft_wrap=True)


def _said(score: Any) -> str:
    """The name with its unit, and for a likelihood what kind of number it is."""
    kind = ", ".join(str(score.conditions[key]) for key in ("kind", "measure") if key in score.conditions)
    unit = f", {score.unit}" if score.unit else ""
    return f"{score.name}{unit}" + (f" ({kind})" if kind else "")


def _short(score: Any, others: Any) -> str:
    """The same metric of something else, without interval."""
    for other in others:
        if (other.name, other.unit) == (score.name, score.unit) and math.isfinite(other.value):
            bound = "<= " if other.conditions.get("kind") == "bound" else ""
            return f"{bound}{other.value:.3g}"
    return ""
