"""One model, one held-out split, every measurement that applies: the heart of ``evaluate``.

likelihood     of the held-out examples, with its kind and measure
samples        as many as there are held-out examples, given the same conditions, compared in features that suit
floor          the same metrics of training examples in place of samples
memorisation   are samples nearer to the training examples than held-out ones are?
modes          does every class (or cluster) get its share?
tables, texts  what only they have
costs          seconds, parameters, memory
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from pushforward.core.capabilities import HasDensity
from pushforward.core.data import Batch, Data, Split, Windows
from pushforward.core.errors import InputError
from pushforward.core.model import Model
from pushforward.core.table import Table
from pushforward.core.text import Text
from pushforward.evaluation.features import Features
from pushforward.evaluation.likelihood import likelihood
from pushforward.evaluation.memorization import closest_pairs, memorization
from pushforward.evaluation.modes import modes
from pushforward.evaluation.sample_scores import sample_scores
from pushforward.evaluation.score import Score, missing
from pushforward.evaluation.scorecard import Breakdown
from pushforward.evaluation.tables import table_scores
from pushforward.evaluation.texts import text_scores

__all__ = ["Assessment", "assess", "floor"]

#: Held-out examples that are looked at, and samples drawn, unless the user says otherwise: shares are then known to
#: three hundredths, and the slowest of the samplers are still done in minutes.
EXAMPLES = 1000

#: Training examples that copies and neighbours are looked for among.
SEARCHED = 50_000


@dataclass
class Assessment:
    """What ``assess`` found.

    Args:
        scores: every number.
        breakdowns: per class, per column.
        drawn: the samples, in storage form; None if the model could not draw.
        pairs: samples and their nearest training examples.
        log_prob: of every held-out example, in nats; None for a model without a density.
        seconds: of each part of the work.
    """

    scores: list[Score] = field(default_factory=list)
    breakdowns: list[Breakdown] = field(default_factory=list)
    drawn: Tensor | None = None
    pairs: Any = None
    log_prob: Tensor | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Add the time of the block to ``seconds``."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - began


def assess(
    model: Model,
    data: Data,
    features: Features,
    *,
    split: Split | None = None,
    split_name: str = "test",
    n: int = EXAMPLES,
    seed: int = 0,
    draws: int | None = None,
    sampler: Any | None = None,
    step: Callable[[str], None] = lambda part: None,
) -> Assessment:
    """Measure a model on held-out examples.

    Args:
        model: fitted to ``data.train``.
        data: its train split is what samples may be copies of.
        features: what examples are compared in.
        split: the held-out examples; None takes ``data.test``.
        split_name: what they are called in the conditions of every score.
        n: held-out examples at most, and as many samples.
        seed: of samples and noise.
        draws: importance samples of a likelihood; None takes what suits its kind.
        sampler: how to draw; None is the untruncated model.
        step: told which part begins.

    Raises:
        InputError: if there is no held-out example.
    """
    split = data.test if split is None else split
    if len(split) == 0:
        raise InputError("data: the held-out split is empty, expected at least one example")
    found = Assessment()
    held_out = split.spread(n)
    if isinstance(model, HasDensity):
        step("likelihood")
    with found.timed("likelihood"):
        scores, found.log_prob = likelihood(
            model, split, n=n, samples=draws, seed=seed, truth=data.log_density, split_name=split_name
        )
    found.scores += scores
    step("samples")
    with found.timed("draw"):
        found.drawn = _draw(found, model, held_out, seed, sampler)
    if found.drawn is not None:
        step("comparison")
        with found.timed("comparison"):
            _compare(found, model, data, split, held_out, features, split_name, seed)
    found.scores = [_named(score, split_name) for score in found.scores]
    found.scores.append(
        Score(name="parameters", value=sum(p.numel() for p in model.parameters()), ideal=None, unit="numbers")
    )
    return found


def floor(
    data: Data, features: Features, *, split: Split | None = None, split_name: str = "test", n: int, seed: int
) -> tuple[Score, ...]:
    """The metrics of samples, of training examples in their place: no model can be expected to be nearer."""
    held_out = (data.test if split is None else split).spread(n)
    train = data.train.spread(len(held_out.x))
    if len(train.x) < len(held_out.x):
        held_out = Batch(held_out.x[: len(train.x)])
    return tuple(_distances(features, held_out.x, train.x, split_name, seed))


def labels_of(model: Model, batch: Batch) -> Tensor | None:
    """The conditions of held-out examples, where the model takes them and all are known."""
    given = batch.condition
    return None if given is None or model.condition is None or not bool(given.present.all()) else given.value


def _draw(found: Assessment, model: Model, held_out: Batch, seed: int, sampler: Any | None) -> Tensor | None:
    began = time.perf_counter()
    n = len(held_out.x)
    try:
        drawn = model.sample(n, condition=labels_of(model, held_out), seed=seed, sampler=sampler).cpu()
        model.example.check(drawn, "samples")
    except (ArithmeticError, InputError) as error:
        found.scores.append(missing("samples", f"the model could not draw: {error}"))
        return None
    per_thousand = (time.perf_counter() - began) / n * 1000
    threads = torch.get_num_threads()
    found.scores.append(
        Score(
            name="seconds per 1,000 samples",
            value=per_thousand,
            unit="s",
            ideal=-torch.inf,
            conditions={"device": model.device.type, "threads": threads},
            details={"sampler": "the model's own" if sampler is None else str(sampler), "drawn": n},
        )
    )
    return drawn


def _compare(
    found: Assessment,
    model: Model,
    data: Data,
    split: Split,
    held_out: Batch,
    features: Features,
    split_name: str,
    seed: int,
) -> None:
    """What samples, held-out examples and training examples say about each other."""
    drawn = found.drawn
    assert drawn is not None
    features = remembering(features)
    train = data.train.spread(SEARCHED)
    found.scores += _distances(features, held_out.x, drawn, split_name, seed)
    found.scores += memorization(train.x, held_out.x, drawn, features)
    found.pairs = closest_pairs(train.x, drawn, features)
    labels = None if held_out.condition is None else held_out.condition.value
    scores, shares = modes(
        train.x, held_out.x, drawn, features, labels=labels, asked=labels_of(model, held_out), seed=seed
    )
    found.scores += scores
    found.breakdowns.append(shares)
    match data.example:
        case Table():
            asked = labels_of(model, held_out)
            scores, columns = table_scores(data, held_out, drawn, labels=asked, split=split_name, seed=seed)
            found.scores += scores
            found.breakdowns.append(columns)
        case Text():
            texts = split if isinstance(split, Windows) else held_out.x
            found.scores += text_scores(data, texts, drawn, split=split_name, seed=seed)


def remembering(features: Features) -> Features:
    """The same features, which are computed once for every tensor while this object lives."""
    known: dict[int, tuple[Tensor, Tensor]] = {}  # the examples are kept, so that no other tensor takes their place

    def embed(x: Tensor) -> Tensor:
        if id(x) not in known:
            known[id(x)] = (x, features.embed(x))
        return known[id(x)][1]

    return replace(features, embed=embed)


def _distances(features: Features, real: Tensor, fake: Tensor, split_name: str, seed: int) -> list[Score]:
    return sample_scores(
        features(real),
        features(fake),
        features=features.name,
        split=split_name,
        seed=seed,
        real_probabilities=features.probabilities(real),
        fake_probabilities=features.probabilities(fake),
    )


def _named(score: Score, split_name: str) -> Score:
    """The score with the name of the split it was taken on."""
    if score.conditions.get("split", split_name) == split_name:
        return score
    return replace(score, conditions={**score.conditions, "split": split_name})
