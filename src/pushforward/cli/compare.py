"""``pushforward compare``: several models on the same data for the same time, one table and one report."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any, Literal

from pushforward.cli.fit import grid_steps
from pushforward.cli.flags import parse
from pushforward.core.errors import InputError

__all__ = ["compare_command"]


@dataclasses.dataclass(kw_only=True)
class Compare:
    """What ``compare`` takes besides the models."""

    data: str | None = None  # A name (see pushforward datasets), a file, or a folder.
    condition_column: str | None = None  # Column of a table to condition on.
    labels: bool = True  # Condition on the classes that come with the data; --no-labels learns p(x) alone.
    resolution: tuple[str, ...] = ()  # Grid steps that were not found right, as COLUMN=STEP; 0 for continuous.
    size: int | None = None  # Bring images to this many pixels a side.
    length: int | None = None  # Codes per example of text.
    lines: bool = False  # Take each line of a text file as an example of its own.
    budget: str | None = None  # Training time of every run, such as 20s, 1min, 1.5h; 1min unless --steps is given.
    steps: tuple[str, ...] = ()  # Training steps in its place: a number, or MODEL=STEPS for every model.
    seeds: int = 1  # Training seeds of each model.
    out: Path = Path("report")  # A new folder for the runs and the report.
    jobs: int = 1  # Runs at once; with more than one all times are marked as shared.
    threads: int = 0  # CPU threads of each run; 0 takes as many as torch does.
    baselines: bool = True  # Add independent, gaussian and mixture where they take such data.
    n: int | None = None  # Held-out examples to look at, and samples to draw.
    features: Literal["auto", "classifier", "pca", "raw", "inception"] = "auto"  # What samples are compared in.
    trust: tuple[str, ...] = ()  # Classes of models from outside that may be imported, as module:Class.
    json: bool = False  # Print comparison.json instead of the table.


@dataclasses.dataclass(kw_only=True)
class Resume:
    """Go on with a comparison that was stopped; what is finished is not done again."""

    resume: Path  # Its folder.
    json: bool = False  # Print comparison.json instead of the table.


def compare_command(rest: list[str]) -> int:
    """Compare models, or go on with a comparison; prints the table and where the report lies.

    Raises:
        InputError: if an argument cannot be used.
    """
    if any(argument.split("=")[0] == "--resume" for argument in rest):
        if not rest[0].startswith("-"):
            raise InputError(f"models: got {rest[0]!r} beside --resume, which goes on with what was asked for before")
        again = parse(Resume, rest, prog="pushforward compare", description="Go on with a comparison.")
        from pushforward.comparison.runs import compare

        return _report(compare(resume=again.resume), again.json)
    count = next((i for i, argument in enumerate(rest) if argument.startswith("-")), len(rest))
    models, flags = rest[:count], rest[count:]
    about = "MODEL ...: names of models, or folders of runs on the same data."
    given = parse(Compare, flags, prog="pushforward compare MODEL ...", description=about)
    if not models:
        raise InputError("model: none was given after compare, expected some names or run folders")
    from pushforward.comparison.plan import make_plan
    from pushforward.comparison.runs import compare
    from pushforward.datasets.load import load_data

    chosen: dict[str, Any] = {
        name: getattr(given, name)
        for name in ("budget", "seeds", "out", "jobs", "threads", "baselines", "n", "features", "trust")
    }
    chosen["steps"] = _numbers(given.steps)
    plan = make_plan(models, **chosen)  # what is wrong with the words is said before the data is read
    data = None
    if given.data is not None:
        data = load_data(
            given.data,
            condition_column=given.condition_column,
            labels=given.labels,
            resolution=grid_steps(given.resolution),
            size=given.size,
            length=given.length,
            lines=given.lines,
        )
    elif not plan.folders:
        raise InputError("data: none was given, expected --data with a name, a file or a folder")
    return _report(compare(models, data, **chosen), given.json)


def _numbers(given: tuple[str, ...]) -> int | dict[str, int] | None:
    """``2000``, or ``vae=2000 gan=900``.

    Example:
        >>> _numbers(("2000",)), _numbers(("vae=20", "gan=9")), _numbers(())
        (2000, {'vae': 20, 'gan': 9}, None)
    """
    pairs = [text.rpartition("=") for text in given]
    for text, (_, _, number) in zip(given, pairs, strict=True):
        if not number.isdecimal():
            raise InputError(f"steps: got {text!r}, expected a whole number, or MODEL=STEPS such as vae=2000")
    if len(pairs) == 1 and not pairs[0][0]:
        return int(pairs[0][2])
    for text, (name, _, _) in zip(given, pairs, strict=True):
        if not name:
            raise InputError(f"steps: got {text!r} among several, expected MODEL=STEPS such as vae=2000")
    return {name: int(number) for name, _, number in pairs} or None


def _report(comparison: Any, as_json: bool) -> int:
    if as_json:
        print(json.dumps(comparison.to_json(), indent=2, ensure_ascii=False))
        return 0
    # Piped into a file there is no width to keep to; a hundred is what a page shows.
    print(comparison.table(width=shutil.get_terminal_size((100, 24)).columns))
    print(f"report: {comparison.report}")
    return 0
