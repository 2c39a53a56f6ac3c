"""``pushforward fit``: flags of the chosen model, of training, and of the data."""

import dataclasses
from pathlib import Path
from typing import Any

import tyro

from pushforward.cli.flags import options_of, parse
from pushforward.core.errors import InputError
from pushforward.training.settings import Settings

__all__ = ["fit_command", "grid_steps"]


@dataclasses.dataclass(kw_only=True)
class Fit:
    """What ``fit`` takes besides the fields of the model."""

    data: str  # A name (see pushforward datasets), a file, or a folder.
    condition_column: str | None = None  # Column of a table to condition on.
    labels: bool = True  # Condition on the classes that come with the data; --no-labels learns p(x) alone.
    resolution: tuple[str, ...] = ()  # Grid steps that were not found right, as COLUMN=STEP; 0 for continuous.
    size: int | None = None  # Bring images to this many pixels a side.
    length: int | None = None  # Codes per example of text.
    lines: bool = False  # Take each line of a text file as an example of its own.
    budget: str | None = None  # Training time, such as 20s, 1min, 1.5h; 1min unless --steps is given.
    out: Path | None = None  # The run folder; runs/MODEL-DATA unless given.
    dry_run: bool = False  # Only say what was understood and chosen, and what it would take.
    tensorboard: bool = False  # Write TensorBoard logs into the run folder too.
    settings: tyro.conf.OmitArgPrefixes[Settings] = dataclasses.field(default_factory=Settings)


@dataclasses.dataclass(kw_only=True)
class Resume:
    """Go on with a run that was stopped, as if it had not been."""

    resume: Path  # The run folder.
    threads: int = 0  # CPU threads; must be those of the run.
    trust: tuple[str, ...] = ()  # Classes of models from outside that may be imported, as module:Class.
    tensorboard: bool = False  # Write TensorBoard logs into the run folder too.


def fit_command(rest: list[str]) -> int:
    """Fit a model, or go on with a run; prints one line with the outcome.

    Raises:
        InputError: if an argument cannot be used.
    """
    if any(argument.split("=")[0] == "--resume" for argument in rest):
        return _resume(rest)
    model, rest = _model_and_rest(rest)
    from pushforward.zoo import find

    cls = find(model)
    options: Any = options_of(cls, f"{cls.__name__}Options")
    kind = dataclasses.make_dataclass(
        "Fit", [("model", options, dataclasses.field(default_factory=options))], bases=(Fit,), kw_only=True
    )
    summary = (cls.__doc__ or "").strip().split("\n")[0]
    given: Any = parse(kind, rest, prog=f"pushforward fit {model}", description=f"Fit {cls.__name__}: {summary}")
    if given.settings.steps and given.budget:
        raise InputError(f"budget: got {given.budget!r} beside --steps {given.settings.steps}, expected one of them")

    from pushforward.datasets.load import load_data
    from pushforward.run.verbs import fit, plan

    data = load_data(
        given.data,
        condition_column=given.condition_column,
        labels=given.labels,
        resolution=grid_steps(given.resolution),
        size=given.size,
        length=given.length,
        lines=given.lines,
    )
    chosen = {
        "budget": given.budget,
        "settings": given.settings,
        "options": {f.name: getattr(given.model, f.name) for f in dataclasses.fields(given.model)},
    }
    if given.dry_run:
        print("\n".join(plan(cls, data, **chosen)))
        return 0
    return _report(fit(cls, data, out=given.out, log=_logger(given.tensorboard), **chosen))


def _resume(rest: list[str]) -> int:
    given = parse(Resume, rest, prog="pushforward fit", description="Go on with a run that was stopped.")
    from pushforward.run.verbs import resume

    return _report(
        resume(given.resume, threads=given.threads or None, trust=given.trust, log=_logger(given.tensorboard))
    )


def _model_and_rest(rest: list[str]) -> tuple[str, list[str]]:
    if rest and not rest[0].startswith("-"):
        return rest[0], rest[1:]
    from pushforward.zoo import models

    names = ", ".join(entry.name for entry in models())
    if rest and rest[0] in ("-h", "--help"):
        print("usage: pushforward fit MODEL --data DATA [OPTIONS]\n       pushforward fit --resume RUN\n")
        print(f"models: {names}\nFor the options of a model: pushforward fit MODEL --help")
        raise SystemExit(0)
    raise InputError(f"model: none was given after fit, expected one of {names}")


def grid_steps(given: tuple[str, ...]) -> dict[str, float] | None:
    """COLUMN=STEP pairs as numbers."""
    steps = {}
    for pair in given:
        column, _, step = pair.rpartition("=")
        try:
            steps[column] = float(step)
        except ValueError:
            steps[column] = -1.0
        if not column or not 0 <= steps[column] < float("inf"):
            raise InputError(f"resolution: got {pair!r}, expected COLUMN=STEP such as age=1")
    return steps or None


def _report(run: Any) -> int:
    from pushforward.run.outline import parameters, said_time

    seconds, learned = said_time(run.training["seconds"]), parameters(run.model)
    print(f"{run.path}: validation {run.training['said']}, {seconds} of training, {learned:,} parameters")
    if run.training.get("warning"):
        print(f"note: {run.training['warning']}")
    return 0


def _logger(tensorboard: bool) -> Any:
    """A function that takes the lines of the metrics to TensorBoard, or drops them."""
    if not tensorboard:
        return lambda folder, line: None
    try:
        from torch.utils.tensorboard.writer import SummaryWriter
    except ImportError:
        raise InputError(
            "tensorboard: is not installed, expected it from: pip install 'pushforward[tensorboard]'"
        ) from None
    writers: dict[Path, Any] = {}

    def log(folder: Path, line: dict) -> None:
        writer = writers.setdefault(folder, SummaryWriter(str(folder / "tensorboard")))
        for name, value in {"validation": line["validation"], **line["loss"]}.items():
            writer.add_scalar(name, value, line["step"])
        writer.flush()

    return log
