"""The verbs that train: fit a model to data, and go on with a run that was stopped."""

import dataclasses
import math
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from pushforward.core.data import Data
from pushforward.core.errors import InputError
from pushforward.core.files import read_json, write_json
from pushforward.core.model import Model
from pushforward.core.saving import save_folder
from pushforward.core.spec import from_spec, to_spec
from pushforward.datasets.load import load_data
from pushforward.evaluation.collapse import observe
from pushforward.evaluation.held_out import Figure, measure
from pushforward.evaluation.latent_figures import draw_latents
from pushforward.plotting import draw_samples
from pushforward.run.folder import choose_folder, data_record, new_folder, read_record, versions
from pushforward.run.loaded import Run, load
from pushforward.run.outline import describe
from pushforward.training.fabric import launch
from pushforward.training.loop import Loop
from pushforward.training.memory import peak_memory, reset_peak
from pushforward.training.metrics import keep_lines
from pushforward.training.progress import Bar
from pushforward.training.settings import Settings, parse_budget
from pushforward.zoo import create, resolve

__all__ = ["fit", "plan", "resume"]

#: When neither a budget nor steps are given.
DEFAULT_BUDGET = "1min"


def fit(
    model: str | type | Model,
    data: Any,
    *,
    budget: str | float | None = None,
    steps: int | None = None,
    seed: int | None = None,
    out: str | Path | None = None,
    settings: Settings | None = None,
    options: Mapping[str, Any] | None = None,
    show: bool | None = None,
    log: Callable[[Path, dict], None] = lambda folder, line: None,
) -> Run:
    """Fit a model to data, in a new run folder.

    Args:
        model: a name (``"vae"``), a class, ``"my.module:MyModel"``, or a model object made for this data.
        data: what ``load_data`` takes, or what it gave.
        budget: training time such as ``"1min"``; becomes a number of steps that is recorded.
        steps: the number of steps itself: exact and reproducible.
        seed: of everything random.
        out: the run folder; None chooses ``runs/MODEL-DATA``.
        settings: the other choices of training.
        options: fields of the model.
        show: whether to show lines and a progress bar; None asks whether standard error is a terminal.
        log: called with the run folder and every line of the metrics.

    Raises:
        InputError: if an argument cannot be used; nothing is left behind.
        Diverged: if the loss leaves the finite numbers; the run folder keeps the last good checkpoint.
        Stopped: on Ctrl-C or SIGTERM, after a checkpoint.
    """
    settings, seconds = _timed(settings, budget, steps, seed)
    data = data if isinstance(data, Data) else load_data(data)
    name = _name_of(model)
    path = choose_folder(out, name, data.name)
    fabric = launch(settings)
    with torch.random.fork_rng(devices=[]), Bar(f"fit {name}", show=show) as bar:
        torch.manual_seed(settings.seed)
        made = _made(model, data, options)
        settings = dataclasses.replace(settings, batch_size=settings.batch_size or made.batch_size)
        loop = _loop(made, data, settings, fabric, bar, log)
        torch.manual_seed(settings.seed + 1 + fabric.global_rank)  # dropout: a stream of its own in every process
        if seconds is not None:
            settings = loop.calibrate(seconds)
        if fabric.is_global_zero:
            for line in (*describe(loop.model, data, settings, loop.pace), f"run folder: {path}"):
                bar.say(line)
        _make_folder(path, loop, settings)
        return _train(loop, settings, data, path)


def plan(
    model: str | type | Model,
    data: Any,
    *,
    budget: str | float | None = None,
    steps: int | None = None,
    seed: int | None = None,
    settings: Settings | None = None,
    options: Mapping[str, Any] | None = None,
) -> tuple[str, ...]:
    """What ``fit`` would do with these arguments: what was understood and chosen, time and memory. Writes nothing.

    A few training steps are made to see the pace, and forgotten.
    """
    settings, seconds = _timed(settings, budget, steps, seed)
    data = data if isinstance(data, Data) else load_data(data)
    with torch.random.fork_rng(devices=[]), Bar("plan", show=False) as bar:
        torch.manual_seed(settings.seed)
        loop = _loop(_made(model, data, options), data, settings, launch(settings), bar, lambda folder, line: None)
        possible = loop.calibrate(20.0 if seconds is None else seconds).steps
        settings = dataclasses.replace(settings, steps=settings.steps if seconds is None else possible)
        return describe(loop.model, data, settings, loop.pace)


def resume(
    path: str | Path,
    *,
    data: Data | None = None,
    threads: int | None = None,
    trust: Collection[str] = (),
    show: bool | None = None,
    log: Callable[[Path, dict], None] = lambda folder, line: None,
) -> Run:
    """Go on with a run that was stopped, bit by bit as if it had not been; a finished run is left as it is.

    Args:
        path: the run folder.
        data: needed where the data was given as an object rather than a name or path.
        threads: CPU threads, which must be those of the run; None takes them.
        trust: see ``load``.
        show: see ``fit``.
        log: see ``fit``.

    Raises:
        InputError: naming what differs, if data, model, version, threads or processes are not those of the run.
    """
    path = Path(path)
    training, record = read_record(path)
    if training.get("finished"):
        return load(path, trust=trust)
    settings = _settings(training, path)
    _same("version", versions()["pushforward"], training["versions"].get("pushforward"))
    _same("torch", versions()["torch"], training["versions"].get("torch"))
    _same("processes", _processes(), training.get("processes"))
    if threads:
        _same("threads", threads, settings.threads)
    if data is None and record.get("recipe") is None:
        raise InputError("data: this run was fitted to an object, expected data=... with the same contents")
    found = load_data(**record["recipe"]) if data is None else data
    _same("data", found.fingerprint, record["fingerprint"])
    fabric = launch(settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = from_spec(training["model"], lambda name: resolve(name, trust))
        closed = all(stage.solve is not None for stage in model.stages())
        if not closed:  # a closed form starts over, and may have chosen fields of its own
            _same("model", read_json(path / "config.json").get("model"), training["model"])
        with Bar(f"fit {type(model).__name__.lower()}", show=show) as bar:
            loop = _loop(model, found, settings, fabric, bar, log)
            loop.folder = path
            if closed:
                keep_lines(path / "metrics.jsonl", 0)
            else:
                loop.resume()
            if fabric.is_global_zero:
                bar.say(f"resuming {path} at step {loop.position.step} of {settings.steps}")
            return _train(loop, settings, found, path, trust)


def _train(loop: Loop, settings: Settings, data: Data, path: Path, trust: Collection[str] = ()) -> Run:
    loop.folder = path
    fabric = loop.fabric
    reset_peak(fabric.device)
    position = loop.run()
    peak = peak_memory(fabric.device)
    if fabric.is_global_zero:
        figure = measure(loop.model, data.valid)
        draw_samples(loop.model, data, path, seed=settings.seed)
        draw_latents(loop.model, data, path)
        seen = observe(loop.model, data.valid)
        record = _training_record(loop.model, settings)
        record |= {
            "finished": True,
            "weights": save_folder(loop.model, path),
            "seconds": round(position.seconds, 2),
            "peak_memory": peak,
            "best_step": position.best_step,
            "figure": dataclasses.asdict(figure),
            "said": str(figure),
            "latent": None if seen is None else seen.record,
            "warning": "" if seen is None else seen.said,
            "remedies": position.eased,
        }
        write_json(path / "training.json", record)
    fabric.barrier()
    return load(path, trust=trust)


def _loop(
    model: Model, data: Data, settings: Settings, fabric: Fabric, bar: Bar, log: Callable[[Path, dict], None]
) -> Loop:
    held: list[Figure] = []

    def validate(candidate: Model) -> float:
        held[:] = [measure(candidate, data.valid)]
        return held[0].value

    def picture(candidate: Model, folder: Path) -> None:
        draw_samples(candidate, data, folder, seed=settings.seed)
        draw_latents(candidate, data, folder)

    return Loop(
        model,
        data,
        settings,
        fabric=fabric,
        validate=validate,
        picture=picture,
        observe=lambda candidate: observe(candidate, data.valid),
        # A distance of samples weighs where the mass lies far above how sharp it is, and is noisy: of a game that
        # comes to rest, the last average is the better guess.
        slack=lambda: math.inf if held[0].kind == "samples" else 0.0,
        say=lambda value: f"{value:.4g} {held[0].unit}",
        log=log,
        bar=bar,
    )


def _make_folder(path: Path, loop: Loop, settings: Settings) -> None:
    model, data, fabric = loop.model, loop.data, loop.fabric
    if fabric.is_global_zero:
        with new_folder(path) as folder:
            save_folder(model, folder)
            write_json(folder / "training.json", _training_record(model, settings))
            write_json(folder / "data.json", data_record(data))
            (folder / "metrics.jsonl").touch()
            loop.folder = folder
            loop.checkpoint({})  # the initial weights: a run killed at any moment can go on
    else:
        loop.checkpoint({})  # its share of the random states
    fabric.barrier()


def _training_record(model: Model, settings: Settings) -> dict[str, Any]:
    return {
        "finished": False,
        "weights": None,
        "model": to_spec(model),
        "settings": dataclasses.asdict(settings) | {"threads": torch.get_num_threads(), "device": model.device.type},
        "processes": _processes(),
        "versions": versions(),
    }


def _processes() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def _settings(training: Mapping[str, Any], path: Path) -> Settings:
    try:
        return Settings(**training["settings"])
    except (KeyError, TypeError):
        raise InputError(
            f"{path / 'training.json'}: holds no settings, expected a run that pushforward fit made"
        ) from None


def _same(what: str, now: Any, then: Any) -> None:
    if now != then:
        shown = f"got {now!r}, the run has {then!r}" if len(f"{now}{then}") < 100 else "it differs from that of the run"
        raise InputError(f"{what}: {shown}; a run is resumed only under the same {what}")


def _timed(
    settings: Settings | None, budget: str | float | None, steps: int | None, seed: int | None
) -> tuple[Settings, float | None]:
    """The settings with steps and seed put in, and the seconds of the budget if it is to decide the steps."""
    if steps is not None and budget is not None:
        raise InputError(f"budget: got {budget!r} beside steps {steps}, expected one of them")
    if steps is not None and (not isinstance(steps, int) or steps < 1):
        raise InputError(f"steps: got {steps!r}, expected a whole number of at least 1")
    changed = {"steps": steps, "seed": seed}
    settings = dataclasses.replace(settings or Settings(), **{k: v for k, v in changed.items() if v is not None})
    return settings, None if settings.steps else parse_budget(DEFAULT_BUDGET if budget is None else budget)


def _name_of(model: str | type | Model) -> str:
    if isinstance(model, str):
        return model.split(":")[-1].lower()
    return (model if isinstance(model, type) else type(model)).__name__.lower()


def _made(model: str | type | Model, data: Data, options: Mapping[str, Any] | None) -> Model:
    """The model object, which must be made for such data."""
    made = model if isinstance(model, Model) else create(model, data, options)
    _check_fits(made, data)
    return made


def _check_fits(model: Model, data: Data) -> None:
    for name, split in (("training", data.train), ("validation", data.valid)):
        if len(split) == 0:
            raise InputError(f"data: its {name} split is empty, expected at least one example")
    if model.example != data.example:
        raise InputError(f"model: made for {model.example.describe()}, the data is {data.example.describe()}")
    if model.condition is not None and model.condition != data.condition:
        raise InputError("model: its condition is not that of the data, expected the same classes")
