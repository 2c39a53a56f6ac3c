"""``compare``: the same data, split, time and seeds for every model, one after another, and one report.

    OUT/comparison.json     what was asked for; at the end every score and verdict as well
    OUT/runs/MODEL-SEED/    the run of a model with a training seed, and its evaluation
    OUT/features/           the feature network and the floor, which all runs share
    OUT/index.html, OUT/scores.csv

The folders are the state: what is finished there is not done again, so a comparison that was stopped goes on with
``resume``.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from pushforward.comparison.entries import Entry, on_shared_machine
from pushforward.comparison.jobs import carry_out, in_processes
from pushforward.comparison.plan import Plan, Task, data_of, make_plan, read_plan
from pushforward.comparison.report import Comparison, write_report
from pushforward.core.data import Data
from pushforward.core.errors import InputError
from pushforward.core.files import read_json, write_json
from pushforward.core.modality import Image
from pushforward.core.text import Text
from pushforward.datasets.load import load_data
from pushforward.evaluation.assess import EXAMPLES
from pushforward.evaluation.features import choose_features
from pushforward.evaluation.scorecard import Scorecard, scorecard_from_json
from pushforward.plotting import draw_examples
from pushforward.run.folder import is_run, new_folder, read_record
from pushforward.run.loaded import metrics
from pushforward.run.outline import said_time
from pushforward.training.loop import Stopped
from pushforward.training.settings import parse_budget

__all__ = ["compare"]

#: Pictures show as many real examples as samples.
SHOWN = 64


def compare(
    models: Sequence[str] = (),
    data: Any = None,
    *,
    budget: str | float | None = None,
    steps: int | Mapping[str, int] | None = None,
    seeds: int = 1,
    out: str | Path = "report",
    jobs: int = 1,
    threads: int = 0,
    baselines: bool = True,
    n: int | None = None,
    features: str = "auto",
    trust: Collection[str] = (),
    resume: str | Path | None = None,
    show: bool | None = None,
) -> Comparison:
    """Train and measure several models under the same conditions, and write one report.

    Args:
        models: names, ``module:Class``, or folders of runs on the same data, which are only measured.
        data: what ``load_data`` takes, or what it gave.
        budget: training time of every run, such as "1min".
        steps: training steps in its place: of every model, or a number for each.
        seeds: training seeds of each model.
        out: a new folder.
        jobs: runs at once; with more than one all times are marked as those of a shared machine.
        threads: CPU threads of each run; 0 takes as many as torch does, shared out among the jobs.
        baselines: whether to add ``independent``, ``gaussian`` and ``mixture`` where they take such data.
        n: held-out examples to look at, and samples to draw; None takes the usual number.
        features: what samples are compared in; see ``evaluate``.
        trust: ``module:Class`` names that may be imported when runs are loaded.
        resume: the folder of a comparison to go on with; all else is as it was asked for then.
        show: whether to show progress; None asks whether standard error is a terminal.

    Raises:
        InputError: if an argument cannot be used, or no model could be trained and measured.
        Stopped: on Ctrl-C; ``resume`` goes on from there.
    """
    if resume is None:
        plan = make_plan(
            models,
            seeds=seeds,
            budget=budget,
            steps=steps,
            jobs=jobs,
            threads=threads,
            baselines=baselines,
            n=n,
            features=features,
            trust=trust,
            out=out,
        )
        path, found = Path(out), _data(plan, data)
        _begin(path, plan, found)
    else:
        path = Path(resume)
        plan, record = read_plan(path)
        found = _resumed_data(record, data, path)
    return _carried_out(path, plan, found, show)


def _begin(path: Path, plan: Plan, data: Data) -> None:
    """The folder, with the plan and what all evaluations share; or nothing, if they cannot be made of such data."""
    if len(data.test) == 0:
        raise InputError("data: its held-out (test) split is empty, expected at least one example to judge on")
    if path.exists():
        raise InputError(f"out: {path} exists; to go on with it use --resume {path}, else choose a new folder")
    with new_folder(path) as folder:
        wish: Any = plan.features
        choose_features(data, wish=wish, seed=0, cache=folder / "features")
        if isinstance(data.example, (Image, Text)):
            # The first of the held-out examples that evaluations look at: samples are given their conditions.
            draw_examples(data.example, data.test.spread(plan.n or EXAMPLES).x[:SHOWN], folder / "real")
        write_json(folder / "comparison.json", _record(plan, data_of(data), {}))


def _carried_out(path: Path, plan: Plan, data: Data, show: bool | None) -> Comparison:
    """Run what is not done yet, then measure the whole."""
    console = Console(stderr=True)
    shown = console.is_terminal if show is None else show
    tasks, record = plan.tasks(path), read_json(path / "comparison.json")
    faults: dict[str, str] = dict(record.get("faults", {}))
    # Runs that were there before are always measured: what their folders hold may be of other conditions.
    todo = [task for task in tasks if plan.folders or not (_given_up(task, faults) or _done(task))]
    kept = {name: fault for name, fault in faults.items() if name not in [_key(task) for task in todo]}
    clock = Clock(todo, plan, console if shown else None)

    def end(task: Task, fault: str) -> None:
        if fault:
            kept[_key(task)] = fault
            write_json(path / "comparison.json", _record(plan, record["data"], kept))
        clock.end(task, fault)

    try:
        if plan.jobs > 1:
            in_processes(todo, plan, data.recipe or data, path, begin=clock.begin, end=end)
        else:
            for task in todo:
                clock.begin(task)
                end(task, carry_out(task, plan, data, path, show=show))
    except KeyboardInterrupt:
        raise Stopped(f"stopped; to go on use --resume {path}") from None
    entries = [entry for task in tasks if (entry := _entry(task, plan, kept.get(_key(task), ""))) is not None]
    if not any(entry.card for entry in entries):
        raise InputError(f"compare: no model could be trained and measured: {next(iter(kept.values()), 'none ran')}")
    comparison = Comparison(path, tuple(entries), plan.to_json(), record["data"])
    write_report(comparison)
    return comparison


class Clock:
    """Says which run of how many begins, and about how long the rest will take.

    Args:
        todo: the runs.
        plan: its budget is the first guess for a run that learns; those after it take as long as those before.
        console: where to say it; None says nothing.
    """

    def __init__(self, todo: Sequence[Task], plan: Plan, console: Console | None) -> None:
        self.todo, self.plan, self.console = todo, plan, console
        self.began: dict[Task, float] = {}
        self.took: dict[Task, float] = {}

    def begin(self, task: Task) -> None:
        """Tell that a run begins."""
        self.began[task] = time.perf_counter()
        seconds = sum(self._guess(other) for other in self.todo if other not in self.took) / self.plan.jobs
        about = f", about {said_time(seconds)} left" if seconds else ""
        self._say(f"[{len(self.began)} of {len(self.todo)}] {task.label}, seed {task.seed}{about}")

    def end(self, task: Task, fault: str) -> None:
        """Tell that a run ended."""
        self.took[task] = time.perf_counter() - self.began[task]
        if fault:
            self._say(f"{task.label}, seed {task.seed}: {fault}")

    def _guess(self, task: Task) -> float:
        alike = [seconds for other, seconds in self.took.items() if other.baseline == task.baseline]
        if alike:
            return sum(alike) / len(alike)
        return parse_budget(self.plan.budget) if self.plan.budget and not task.baseline else 0.0

    def _say(self, line: str) -> None:
        if self.console is not None:
            self.console.print(line, highlight=False, markup=False)


def _data(plan: Plan, data: Any) -> Data:
    """The data given; or of folders the data that all of them were fitted to."""
    if not plan.folders:
        if data is None:
            raise InputError("data: none was given, expected a name, a file or a folder")
        return data if isinstance(data, Data) else load_data(data)
    records = {folder: read_record(Path(folder))[1] for folder in plan.folders}
    first = plan.folders[0]
    for folder, record in records.items():
        if record["fingerprint"] != records[first]["fingerprint"]:
            raise InputError(f"run: {folder} was fitted to other data than {first}, expected runs of one data set")
    return _resumed_data({"data": records[first]}, data, Path(first))


def _resumed_data(record: Mapping[str, Any], data: Any, path: Path) -> Data:
    """The data of a record, loaded again or given again, which must be the same."""
    recipe = record["data"].get("recipe")
    if data is None and recipe is None:
        raise InputError(f"data: {path} was made with an object, expected data=... with the same contents")
    found = load_data(**recipe) if data is None else data if isinstance(data, Data) else load_data(data)
    if found.fingerprint != record["data"]["fingerprint"]:
        raise InputError(f"data: {found.name} is not the data of {path}, expected one data set in one comparison")
    return found


def _entry(task: Task, plan: Plan, fault: str) -> Entry | None:
    """A task as a row; None for a baseline that nobody asked for and that does not take such data."""
    there = is_run(task.folder)
    if not there and task.baseline and task.model not in plan.models:
        return None
    training = read_record(task.folder)[0] if there else {}
    card = None if fault else _card(task.folder)
    return Entry(
        model=task.label,
        seed=task.seed,
        baseline=task.baseline,
        card=on_shared_machine(card) if card is not None and plan.jobs > 1 else card,
        fault=fault,
        lines=tuple(metrics(task.folder)) if there else (),
        training=training,
        folder=task.folder if there else None,
    )


def _done(task: Task) -> bool:
    """Whether a run is trained and measured."""
    return is_run(task.folder) and bool(read_record(task.folder)[0].get("finished")) and _card(task.folder) is not None


def _given_up(task: Task, faults: Mapping[str, str]) -> bool:
    """Whether training failed before: its folder is there, unfinished, with a fault on record."""
    return _key(task) in faults and is_run(task.folder) and not read_record(task.folder)[0].get("finished")


def _card(folder: Path) -> Scorecard | None:
    try:
        return scorecard_from_json(read_json(folder / "evaluation.json"))
    except InputError:
        return None


def _key(task: Task) -> str:
    return f"{task.label}-{task.seed}"


def _record(plan: Plan, data: Mapping[str, Any], faults: Mapping[str, str]) -> dict[str, Any]:
    return {"finished": False, "settings": plan.to_json(), "data": dict(data), "faults": dict(faults)}
