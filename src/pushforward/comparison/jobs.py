"""One run of a comparison from start to end, in this process or in one of its own."""

import multiprocessing
import multiprocessing.connection
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from pushforward.comparison.plan import Plan, Task
from pushforward.core.data import Data
from pushforward.core.errors import InputError
from pushforward.datasets.load import load_data
from pushforward.evaluation.assess import EXAMPLES
from pushforward.run.folder import is_run, read_record
from pushforward.run.judge import evaluate
from pushforward.run.loaded import load
from pushforward.run.verbs import fit
from pushforward.run.verbs import resume as go_on
from pushforward.training.settings import Settings

__all__ = ["carry_out", "in_processes"]


def carry_out(task: Task, plan: Plan, data: Data, path: Path, *, show: bool | None) -> str:
    """Train and measure one run, as far as it is not done; returns what stood in the way, in one sentence."""
    if plan.threads:
        torch.set_num_threads(plan.threads)
    trust = [*plan.trust, *([task.model] if ":" in task.model else [])]
    try:
        if not task.folder.exists():
            time_of: dict[str, Any] = plan.time_of(task)
            first = task.folder.with_name(f"{task.label}-0")
            if "budget" in time_of and task.seed and is_run(first):
                # All seeds make the steps that the budget came to for the first: they then differ in the seed alone.
                time_of = {"steps": read_record(first)[0]["settings"]["steps"] or None}
            run = fit(
                task.model,
                data,
                budget=time_of.get("budget"),
                steps=time_of.get("steps"),
                seed=task.seed,
                out=task.folder,
                settings=Settings(threads=plan.threads),
                show=show,
            )
        elif not read_record(task.folder)[0].get("finished"):
            if plan.folders:
                raise InputError(f"run: {task.folder} is not finished, expected --resume to have been used on it")
            run = go_on(task.folder, data=data, trust=trust, show=show)
        else:
            run = load(task.folder, trust=trust)
        evaluate(
            run,
            data,
            n=plan.n or EXAMPLES,
            features=plan.features,
            cache=path / "features",
            baselines=False,
            show=show,
        )
    except (InputError, ArithmeticError) as error:
        return str(error)
    except (RuntimeError, TypeError, ValueError, AttributeError, MemoryError) as error:
        # A fault in one model, such as one that a user wrote, must not cost hours of the others.
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'without a message'}"
    return ""


def in_processes(
    tasks: Sequence[Task],
    plan: Plan,
    source: Mapping[str, Any] | Data,
    path: Path,
    *,
    begin: Callable[[Task], None],
    end: Callable[[Task, str], None],
) -> None:
    """Carry tasks out, ``plan.jobs`` at once, each in a process of its own; the folders are what comes back.

    A seed begins when the one before has been trained by all models: it takes the number of steps from there.

    Args:
        tasks: in their order.
        plan: of the comparison.
        source: what loads the data, or the data itself.
        path: the folder of the comparison.
        begin: told of every task that begins.
        end: told of every task that ended, and of what stood in its way.
    """
    for seed in sorted({task.seed for task in tasks}):
        waiting = [task for task in tasks if task.seed == seed]
        running: dict[Any, tuple[Task, Any]] = {}
        try:
            while waiting or running:
                while waiting and len(running) < plan.jobs:
                    begin(waiting[0])
                    task = waiting.pop(0)
                    here, process = _started(task, plan, source, path)
                    running[here] = (task, process)
                for here in multiprocessing.connection.wait(list(running)):
                    task, process = running.pop(here)
                    end(task, _told(here, process))
        except BaseException:
            # What trains writes a checkpoint when it is asked to stop.
            for _, process in running.values():
                process.terminate()
            for _, process in running.values():
                process.join()
            raise


def _started(task: Task, plan: Plan, source: Mapping[str, Any] | Data, path: Path) -> tuple[Any, Any]:
    context = multiprocessing.get_context("spawn")  # a fork would share torch's threads, which do not survive it
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_process, args=(there, task, plan, source, path))
    process.start()
    there.close()
    return here, process


def _process(there: Any, task: Task, plan: Plan, source: Mapping[str, Any] | Data, path: Path) -> None:
    """What runs in a process of its own."""
    try:
        if not plan.threads:
            torch.set_num_threads(max((os.cpu_count() or 1) // plan.jobs, 1))
        data = source if isinstance(source, Data) else load_data(**source)
        there.send(carry_out(task, plan, data, path, show=False))
    except InputError as error:
        there.send(str(error))
    except KeyboardInterrupt:  # the one who began this one says so
        there.close()


def _told(here: Any, process: Any) -> str:
    """What a process said of its fault, or that it died."""
    try:
        fault = here.recv()
    except EOFError:
        process.join()
        fault = f"its process ended with status {process.exitcode}"
    process.join()
    return fault
