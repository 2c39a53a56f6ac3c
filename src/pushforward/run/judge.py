"""The verb that measures: a run on its held-out split, or on new examples of the user's own."""

import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch

from pushforward.core.capabilities import HasCompletion, HasDensity, require
from pushforward.core.data import Data, Split
from pushforward.core.errors import InputError, check_count
from pushforward.core.files import read_json, write_json
from pushforward.core.model import Model
from pushforward.core.text import Text
from pushforward.datasets.delimited import read_delimited
from pushforward.datasets.load import load_data
from pushforward.datasets.read_as import read_as
from pushforward.evaluation.assess import EXAMPLES, Assessment, assess, floor
from pushforward.evaluation.features import Features, Wish, choose_features
from pushforward.evaluation.likelihood import likelihood, per_example
from pushforward.evaluation.score import Plain, Score, score_from_json
from pushforward.evaluation.scorecard import Scorecard
from pushforward.evaluation.texts import complete_prompts, reference_scores
from pushforward.plotting import draw_examples, draw_pairs
from pushforward.run.loaded import Run, load
from pushforward.training.fabric import launch
from pushforward.training.loop import Loop
from pushforward.training.progress import Bar
from pushforward.training.settings import Settings
from pushforward.zoo import create

__all__ = ["BASELINES", "data_of", "evaluate", "score_examples"]

#: Cheap models that every score is set beside: what a column, a covariance, a few clusters already explain.
BASELINES = ("independent", "gaussian", "mixture")


def evaluate(
    run: Run | str | Path,
    data: Any = None,
    *,
    n: int = EXAMPLES,
    seed: int = 0,
    features: str = "auto",
    draws: int | None = None,
    sampler: Any | None = None,
    baselines: bool = True,
    references: str | Path | None = None,
    cache: Path | None = None,
    show: bool | None = None,
) -> Scorecard:
    """Measure a run on its held-out test split, beside the floor and the baselines.

    On the run's own split, writes ``evaluation.json``, ``evaluated.*`` (the samples) and ``nearest.png`` beside it.

    Args:
        run: a run or its folder.
        data: what the run was fitted to, where that was an object; or new examples (a file, an array, a DataFrame).
        n: held-out examples at most, and as many samples.
        seed: of the samples and of everything random in the measurements.
        features: what examples are compared in: "auto", "classifier", "pca", "raw" or "inception".
        draws: importance samples of a likelihood that is a bound; None takes what suits.
        sampler: how to draw; None is the untruncated model.
        baselines: whether to fit and measure the cheap models too.
        references: for text: a CSV with columns ``prompt`` and ``reference``; the model goes on from each prompt.
        cache: where the feature network and the floor are kept; None takes the run folder.
        show: whether to show progress; None asks whether standard error is a terminal.

    Raises:
        InputError: if an argument cannot be used, or the data is not that of the run.
    """
    began, run = time.perf_counter(), run if isinstance(run, Run) else load(run)
    _check_counts(n, draws)
    asked = None if references is None else _read_references(run, Path(references))
    whole, split, name = _split_of(run, data)
    cache = run.path / "features" if cache is None else cache
    model = type(run.model).__name__.lower()
    with Bar(f"evaluate {model}", show=show) as bar, torch.random.fork_rng(devices=[]):
        (step := _steps(bar, 4 + len(BASELINES) * baselines))("features")
        chosen = choose_features(whole, wish=cast(Wish, features), seed=0, cache=cache)
        look = partial(assess, data=whole, features=chosen, split=split, split_name=name, n=n, seed=seed)
        found = look(run.model, draws=draws, sampler=sampler, step=step)
        least = _floor(whole, chosen, split, name, n, seed, cache)
        others = _baselines(whole, seed, look, step) if baselines else {}
    compared = [] if asked is None else _against_references(run, asked, seed, sampler)
    card = Scorecard(
        model=model,
        data=_said_of(whole) | {"split": name, "rows": min(n, len(split)), "features": chosen.name},
        seed=run.training.get("settings", {}).get("seed"),
        sampler="" if sampler is None else str(sampler),
        scores=(*found.scores, *compared, *_costs(run)),
        floor=least,
        baselines=others,
        breakdowns=tuple(found.breakdowns),
        seconds=time.perf_counter() - began,
    )
    return _kept(run, card, found, whole) if data is None or isinstance(data, Data) else card


def score_examples(run: Run | str | Path, data: Any, *, draws: int | None = None, seed: int = 0) -> Any:
    """The log-probability of every example, in the order of the source, as a DataFrame.

    Args:
        run: a run or its folder, of a model with a density.
        data: a file, an array, a DataFrame; or a ``Data``, whose test split is taken.
        draws: importance samples of a bound; None takes what suits.
        seed: of the noise.

    Raises:
        InputError: if the model has no density, or the examples are not of its kind.
    """
    run = run if isinstance(run, Run) else load(run)
    require(run.model, HasDensity, "score examples")
    split = data.test if isinstance(data, Data) else read_as(data, run.model.example, run.model.condition)
    _, log_prob = likelihood(run.model, split, samples=draws, seed=seed, n=None)
    return per_example(run.model.example, log_prob)


def data_of(run: Run) -> Data:
    """The data a run was fitted to, loaded again.

    Raises:
        InputError: if it was given as an object, or has changed since.
    """
    recipe = run.data.get("recipe")
    if recipe is None:
        raise InputError("data: this run was fitted to an object, expected data=... with the same contents")
    found = load_data(**recipe)
    _same_data(run, found)
    return found


def fitted_baselines(data: Data, seed: int = 0) -> dict[str, Model]:
    """The cheap models that can take such data, fitted to its training split."""
    fitted = {}
    for name in BASELINES:
        try:
            model = create(name, data)
        except InputError:  # a Gaussian of texts, say
            continue
        settings = Settings(seed=seed, device="cpu")
        with Bar(name, show=False) as bar:
            Loop(model, data, settings, fabric=launch(settings), validate=lambda model: 0.0, bar=bar).run()
        fitted[name] = model
    return fitted


def _baselines(
    data: Data, seed: int, look: Callable[[Model], Assessment], step: Callable[[str], None]
) -> dict[str, tuple[Score, ...]]:
    """The cheap models, fitted and measured like any other."""
    scores = {}
    for name, model in fitted_baselines(data, seed).items():
        step(name)
        scores[name] = tuple(look(model).scores)
    return scores


def _said_of(data: Data) -> dict[str, Any]:
    return {"name": data.name, "fingerprint": data.fingerprint}


def _split_of(run: Run, data: Any) -> tuple[Data, Split, str]:
    """The data of the run, the examples to measure on, and what they are called."""
    if isinstance(data, Data):
        _same_data(run, data)
        return data, data.test, "test"
    whole = data_of(run)
    if data is None:
        return whole, whole.test, "test"
    name = Path(data).name if isinstance(data, (str, Path)) else "given"
    return whole, read_as(data, run.model.example, run.model.condition), name


def _same_data(run: Run, data: Data) -> None:
    if data.fingerprint != run.data.get("fingerprint"):
        raise InputError(f"data: {data.name} is not what {run.path} was fitted to, expected the same contents")


def _floor(
    data: Data, features: Features, split: Split, name: str, n: int, seed: int, cache: Path
) -> tuple[Score, ...]:
    """The floor, read again where it has been computed under the same conditions."""
    path = cache / "floor.json"
    key = [data.fingerprint, split.digest(), name, n, seed, features.name]
    if path.is_file():
        try:
            kept = read_json(path)
            if kept["key"] == key:
                return tuple(map(score_from_json, kept["scores"]))
        except (InputError, KeyError, TypeError):  # damaged: it is computed anew
            pass
    scores = floor(data, features, split=split, split_name=name, n=n, seed=seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"key": key, "scores": [score.to_json() for score in scores]})
    return scores


def _costs(run: Run) -> list[Score]:
    """What training took, from the records of the run."""
    settings = run.training.get("settings", {})
    kept: dict[str, Plain] = {key: settings[key] for key in ("device", "threads") if key in settings}
    seconds, peak = run.training.get("seconds"), run.training.get("peak_memory")
    found = {
        "training time": ("s", seconds, {"steps": settings.get("steps", 0)}),
        "peak memory": ("MiB", peak and peak / 2**20, {"of": "the whole process while training"}),
    }
    return [
        Score(name=name, value=value, unit=unit, ideal=-math.inf, conditions=kept, details=details)
        for name, (unit, value, details) in found.items()
        if value is not None
    ]


def _check_counts(n: int, draws: int | None) -> None:
    if not isinstance(n, int) or n < 2:
        raise InputError(f"n: got {n!r}, expected a whole number of at least 2")
    if draws is not None:
        check_count(draws, "draws")


class Asked(NamedTuple):
    """What a model of text is asked to go on from, and what should come."""

    prompts: list[str]
    wanted: list[str]


def _read_references(run: Run, path: Path) -> Asked:
    """The prompts and references of a file, read before anything is measured."""
    require(run.model, HasCompletion, "go on from a prompt")
    if not path.is_file():
        raise InputError(f"references: there is no file {path}, expected a CSV with columns prompt and reference")
    frame, _ = read_delimited(path)
    if not {"prompt", "reference"} <= set(frame.columns):
        raise InputError(f"references: {path} has columns {list(frame.columns)}, expected prompt and reference")
    return Asked(frame["prompt"].astype(str).tolist(), frame["reference"].astype(str).tolist())


def _against_references(run: Run, asked: Asked, seed: int, sampler: Any | None) -> list[Score]:
    """Continuations of the prompts against what should have come."""
    assert isinstance(run.model, HasCompletion) and isinstance(run.model.example, Text)
    length = max(len(run.model.example.codes(text)) for text in asked.wanted)
    written = complete_prompts(run.model, asked.prompts, length=length, seed=seed, sampler=sampler)
    return reference_scores(written, [[text] for text in asked.wanted])


def _kept(run: Run, card: Scorecard, found: Assessment, data: Data) -> Scorecard:
    """The scorecard, once it and its pictures are in the run folder."""
    if found.drawn is not None:
        draw_examples(data.example, found.drawn[:64], run.path / "evaluated", real=data.test.spread(1000).x)
    if found.pairs is not None:
        draw_pairs(data.example, found.pairs.samples, found.pairs.train, run.path / "nearest")
    write_json(run.path / "evaluation.json", card.to_json())
    return card


def _steps(bar: Bar, total: int) -> Callable[[str], None]:
    done = -1

    def step(part: str) -> None:
        nonlocal done
        done += 1
        bar.update(min(done, total), total, validation=part)

    return step
