"""``pushforward anomalies``: the examples that a run finds strange, the strangest first."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from pushforward.cli.examples import Named, busy, read_named, said_changed
from pushforward.cli.place import open_run
from pushforward.core.errors import InputError

__all__ = ["anomalies_command"]

#: Rate of false alarms unless one is given and the validation split can promise it.
RATE = 0.01

#: Validation examples that the threshold is taken from at most: a rate of 1 % is then known to a fifth of itself.
USUAL = 2000

#: Examples in the picture of the strangest.
PICTURED = 64


@dataclasses.dataclass(kw_only=True)
class Anomalies:
    """What ``anomalies`` takes besides the run."""

    data: str | None = None  # Examples to look at: a folder of pictures, or a file; the run's test split unless given.
    score: Literal["auto", "likelihood", "reconstruction", "ratio"] = "auto"  # What makes an example strange.
    background: Path | None = None  # A run on the same kind of data, for the ratio; for images PNG stands in.
    false_alarms: float | None = None  # Share of usual examples above the threshold: 0.01, or what can be promised.
    out: Path | None = None  # A CSV file with the score of every example, the strangest first.
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 10  # How many to print.
    draws: int = 16  # Importance samples of a likelihood that is a bound.
    seed: int = 0  # Of their noise.
    trust: tuple[str, ...] = ()  # Classes of models from outside that may be imported, as module:Class.
    device: str = "cpu"  # Where to compute: cpu or cuda.
    threads: int = 0  # CPU threads; 0 takes as many as torch does.


def anomalies_command(rest: list[str]) -> int:
    """Print the strangest examples and how many are above the threshold; draws them beside the run.

    Raises:
        InputError: if an argument cannot be used.
    """
    run, given, _ = open_run(rest, Anomalies, verb="anomalies", description="Find the examples a run finds strange.")
    from pushforward.core.errors import check_count
    from pushforward.plotting import draw_examples
    from pushforward.run.judge import data_of
    from pushforward.run.loaded import load
    from pushforward.uses.anomalies import anomaly_scores, false_alarm_threshold, usual_score

    check_count(given.n, "n")
    if given.out is not None and given.out.suffix.lower() != ".csv":
        raise InputError(f"out: got {given.out.name!r}, expected a name that ends in .csv")
    if given.background is not None and given.score != "ratio":
        raise InputError(f"background: got {given.background} beside --score {given.score}, expected --score ratio")
    score = usual_score(run.model) if given.score == "auto" else given.score
    background: Any = None if given.background is None else load(given.background, trust=given.trust).model
    whole = data_of(run)
    x, names, changed = read_named([given.data], run.example) if given.data else _all_of(whole.test)
    usual = whole.valid.spread(USUAL).x
    rate = max(RATE, 1 / (len(usual) + 1)) if given.false_alarms is None else given.false_alarms
    with busy(f"scoring {len(x):,} examples, and {len(usual):,} usual ones for the threshold"):
        found, least = (
            anomaly_scores(run.model, part, score, background=background, draws=given.draws, seed=given.seed)
            for part in (x, usual)
        )
    threshold = false_alarm_threshold(least, rate)
    order = found.sort(descending=True).indices
    labels = [names[i] if names else f"example {i}" for i in order.tolist()]
    if given.out is not None:
        _write(given.out, labels, found[order].tolist(), threshold)
    picture = draw_examples(run.example, x[order[:PICTURED]], run.path / "anomalies")
    above = int((found > threshold).sum())
    print(f"{above:,} of {len(x):,} examples are above {threshold:.4g} ({score}), as {rate:.2%} of usual ones would be")
    for line in said_changed(changed, run.example):
        print(line)
    for label, value in list(zip(labels, found[order].tolist(), strict=True))[: given.n]:
        print(f"{value:12.4g}  {label}{'' if value > threshold else '  (usual)'}")
    print(f"the strangest first: {picture}" + ("" if given.out is None else f", all of them: {given.out}"))
    return 0


def _all_of(split: Any) -> Named:
    import torch

    return Named(split[torch.arange(len(split))].x, (), 0)


def _write(path: Path, labels: list[str], scores: list[float], threshold: float) -> None:
    import pandas as pd

    from pushforward.core.files import write_bytes

    frame = pd.DataFrame({"example": labels, "score": scores, "anomaly": [score > threshold for score in scores]})
    write_bytes(path, frame.to_csv(index=False).encode())
