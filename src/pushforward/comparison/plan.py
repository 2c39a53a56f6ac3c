"""What a comparison was asked to do, checked before anything is trained, and kept in ``comparison.json``."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pushforward.comparison.entries import BASELINES
from pushforward.core.data import Data
from pushforward.core.errors import InputError, check_count
from pushforward.core.files import read_json
from pushforward.run.folder import data_record, read_record
from pushforward.training.settings import Settings, parse_budget
from pushforward.zoo import find, models

__all__ = ["Plan", "Task", "data_of", "make_plan", "read_plan"]

FEATURES = ("auto", "classifier", "pca", "raw", "inception")


class Task(NamedTuple):
    """One model to train with one seed (or one run that is there already)."""

    model: str
    seed: int
    label: str
    baseline: bool
    folder: Path


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What was asked for.

    Args:
        models: names, or ``module:Class``.
        folders: of runs that are there already, in place of models.
        seeds: training seeds of each model: 0 to seeds - 1.
        budget: training time of each run, such as "1min".
        steps: training steps in its place: of all models, or of each by its name.
        jobs: runs at once.
        threads: CPU threads of each run; 0 takes as many as torch does.
        baselines: whether the cheap models are added.
        n: held-out examples that are looked at; None takes the usual number.
        features: what samples are compared in.
        trust: classes from outside that may be imported.
        out: the folder of the comparison, as it was named.
    """

    models: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    seeds: int = 1
    budget: str | None = None
    steps: int | dict[str, int] | None = None
    jobs: int = 1
    threads: int = 0
    baselines: bool = True
    n: int | None = None
    features: str = "auto"
    trust: tuple[str, ...] = ()
    out: str = "report"

    def tasks(self, out: Path) -> list[Task]:
        """Every run, the first seed of all models before the second: seeds share the steps that the first came to."""
        if self.folders:
            return [_of_folder(Path(folder)) for folder in self.folders]
        labels = {label_of(name): name for name in self.models}
        labels |= {name: name for name in BASELINES if self.baselines and name not in labels}
        return [
            Task(name, seed, label, label in BASELINES, out / "runs" / f"{label}-{seed}")
            for seed in range(self.seeds)
            for label, name in labels.items()
        ]

    def time_of(self, task: Task) -> dict[str, Any]:
        """The arguments of ``fit`` that say how long to train."""
        if task.baseline:  # in closed form
            return {}
        steps = self.steps.get(task.label) if isinstance(self.steps, dict) else self.steps
        return {"budget": self.budget} if steps is None else {"steps": steps}

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return dataclasses.asdict(self)


def label_of(name: str) -> str:
    """What a model is called in the comparison.

    Example:
        >>> label_of("my.module:MyModel")
        'mymodel'
    """
    return name.split(":")[-1].lower()


def make_plan(
    named: Sequence[str],
    *,
    seeds: int,
    budget: str | float | None,
    steps: int | Mapping[str, int] | None,
    jobs: int,
    threads: int,
    baselines: bool,
    n: int | None,
    features: str,
    trust: Collection[str],
    out: str | Path,
) -> Plan:
    """A plan that can be carried out, as far as can be told without the data; see ``compare`` for the arguments.

    Raises:
        InputError: if an argument cannot be used.
    """
    if isinstance(named, str):
        raise InputError(f"models: got {named!r}, expected a list of names")
    folders = [name for name in named if _is_folder(name)]
    if folders and len(folders) < len(named):
        other = next(name for name in named if name not in folders)
        raise InputError(f"models: got the folder {folders[0]!r} beside the model {other!r}, expected one kind of them")
    if not named:
        raise InputError(f"model: none was given, expected some of {', '.join(entry.name for entry in models())}")
    labels = [str(Path(name)) if folders else label_of(name) for name in named]
    if repeated := next((label for label in labels if labels.count(label) > 1), None):
        raise InputError(f"model: {repeated!r} is given twice, expected each once; --seeds trains one several times")
    check_count(seeds, "seeds")
    check_count(jobs, "jobs")
    if n is not None and (not isinstance(n, int) or n < 2):
        raise InputError(f"n: got {n!r}, expected a whole number of at least 2")
    if features not in FEATURES:
        raise InputError(f"features: got {features!r}, expected one of {', '.join(FEATURES)}")
    for name in [] if folders else named:
        find(name)
    steps = _steps(steps, budget, labels)
    if budget is None and steps is None and not folders:
        budget = "1min"
    if budget is not None:
        parse_budget(budget)
    Settings(threads=threads)  # refuses what is no number of threads
    return Plan(
        models=() if folders else tuple(named),
        folders=tuple(folders),
        seeds=1 if folders else seeds,
        budget=None if budget is None else str(budget),
        steps=steps,
        jobs=1 if folders else jobs,
        threads=threads,
        baselines=baselines and not folders,
        n=n,
        features=features,
        trust=tuple(trust),
        out=str(out),
    )


def read_plan(out: Path) -> tuple[Plan, dict[str, Any]]:
    """The plan of a comparison that was begun, and all of its record.

    Raises:
        InputError: if the folder holds none.
    """
    if not (out / "comparison.json").is_file():
        raise InputError(f"resume: {out} is not the folder of a comparison, expected one that pushforward compare made")
    record = read_json(out / "comparison.json")
    try:
        settings: dict[str, Any] = dict(record["settings"])
        for name in ("models", "folders", "trust"):  # JSON has lists only
            settings[name] = tuple(settings[name])
        plan = Plan(**settings)
        if not isinstance(record["data"]["fingerprint"], str):
            raise TypeError
    except (KeyError, TypeError, ValueError):
        raise InputError(
            f"{out / 'comparison.json'}: is not the record of a comparison, expected it unchanged"
        ) from None
    return plan, record


def data_of(data: Data) -> dict[str, Any]:
    """What a comparison records of its data."""
    return data_record(data) | {"description": list(data.describe())}


def _is_folder(name: str) -> bool:
    if ":" in name or any(entry.name == name.lower() for entry in models()):
        return False
    return Path(name).is_dir() or len(Path(name).parts) > 1


def _of_folder(folder: Path) -> Task:
    training, _ = read_record(folder)
    return Task("", int(training["settings"].get("seed", 0)), str(folder), False, folder)


def _steps(
    steps: int | Mapping[str, int] | None, budget: str | float | None, labels: Sequence[str]
) -> int | dict[str, int] | None:
    """The steps, each a whole number of at least 1, and with a number for every learned model."""
    if steps is None:
        return None
    if budget is not None:
        raise InputError(f"budget: got {budget!r} beside steps, expected one of them")
    each = {label_of(name): count for name, count in steps.items()} if isinstance(steps, Mapping) else {"": steps}
    for count in each.values():
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise InputError(f"steps: got {count!r}, expected a whole number of at least 1")
    if isinstance(steps, int):
        return steps
    if lacking := [label for label in labels if label not in each and label not in BASELINES]:
        raise InputError(f"steps: got none for {', '.join(lacking)}, expected a number for every model")
    if strange := [name for name in each if name not in labels]:
        raise InputError(f"steps: got some for {', '.join(strange)}, expected only models that are compared")
    return each
