"""Every metric of samples against held-out examples, on features that suit the data, each with its interval.

All metrics get as many samples as there are held-out examples, n: most are biased at finite n, by an amount that only
values at one n share. The intervals (``intervals.py``) are for the expectation of the metric at this n, over both what
was held out and what was drawn.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from jaxtyping import Float
from torch import Tensor

from pushforward.core.errors import InputError
from pushforward.evaluation.fidelity import Distances, Kernels, frechet_distance, inception_score
from pushforward.evaluation.intervals import (
    SPLITS,
    Halves,
    Interval,
    distance_interval,
    mean_interval,
    paired_halves,
    share_interval,
)
from pushforward.evaluation.score import Score, missing
from pushforward.evaluation.two_sample import (
    Classifier,
    Discrepancy,
    accuracy,
    energy_discrepancy,
    gaussian_discrepancy,
    project,
    sorted_distance,
)

__all__ = ["METRICS", "sample_scores"]

#: Every metric, in the order of the scores, and what perfect samples would have.
METRICS = {
    "two-sample accuracy (linear)": 0.5,
    "two-sample accuracy (trees)": 0.5,
    "maximum mean discrepancy": 0.0,
    "energy distance": 0.0,
    "sliced Wasserstein distance": 0.0,
    "Frechet distance": 0.0,
    "kernel distance": 0.0,
    "precision": 1.0,
    "recall": 1.0,
    "density": 1.0,
    "coverage": 1.0,
    "Inception-type score": math.inf,
}

#: The neighbour that a ball reaches to, as in the papers of density and coverage.
NEIGHBOUR = 5

#: Fewest examples: a half still has a neighbour beyond the k-th.
FEWEST = 2 * NEIGHBOUR + 2

#: Splits for the classifiers, which are fitted 10 times for each; the quantile of Student's t pays for the fewer ones.
CLASSIFIER_SPLITS = {"linear": 20, "trees": 8}

#: Examples (or features, for the Frechet distance) up to which all splits are made. The cost of one grows with the
#: square of the examples and faster with the features; 10 splits remain.
ALL_SPLITS = {"examples": 1000, "features": 256}


def sample_scores(
    real: Float[Tensor, "n dim"],
    fake: Float[Tensor, "n dim"],
    *,
    features: str,
    split: str = "test",
    seed: int = 0,
    real_probabilities: Float[Tensor, "n classes"] | None = None,
    fake_probabilities: Float[Tensor, "n classes"] | None = None,
) -> list[Score]:
    """The scores of ``METRICS``, in their order; those that cannot be taken say why.

    Args:
        real: features of held-out examples.
        fake: features of as many samples.
        features: what they are called, a condition of every score.
        split: where the held-out examples are from, a condition too.
        seed: of folds, directions and splits.
        real_probabilities: of the classes of the held-out examples, for the Inception-type score of real data.
        fake_probabilities: of the classes of the samples, for the Inception-type score.

    Raises:
        InputError: if the two samples do not have one shape.

    Example:
        >>> import torch
        >>> x = torch.linspace(-1, 1, 60)[:, None]
        >>> scores = sample_scores(x[::2], x[1::2], features="raw")
        >>> [score.name for score in scores if score.name in ("coverage", "precision")]
        ['precision', 'coverage']
    """
    if real.shape != fake.shape or real.ndim != 2:
        shapes = f"{tuple(real.shape)} and {tuple(fake.shape)}"
        raise InputError(f"real, fake: got features of shapes {shapes}, expected one shape (n, dim)")
    n = len(real)
    conditions = {"n": n, "features": features, "split": split}
    trouble = _trouble(real, fake)
    if trouble:
        return [missing(name, trouble, ideal=ideal, conditions=conditions) for name, ideal in METRICS.items()]
    real, fake = (x.detach().cpu().double() for x in (real, fake))
    taken = {}
    for name, halves, interval, note in _measure(real, fake, seed):
        taken[name] = _score(name, halves, interval, note, conditions)
    name = "Inception-type score"
    taken[name] = _inception(name, real_probabilities, fake_probabilities, seed, conditions)
    return [taken[name] for name in METRICS]


def _trouble(real: Tensor, fake: Tensor) -> str:
    """Why nothing can be measured; empty where it can."""
    if len(real) < FEWEST:
        return f"{len(real)} examples are too few to measure samples by, it takes {FEWEST}"
    if real.shape[1] == 0:
        return "the examples have no features to compare"
    for name, x in (("samples", fake), ("held-out examples", real)):
        bad = int((~x.isfinite()).any(1).sum())
        if bad:
            return f"{bad} of the {len(x)} {name} have features that are not finite numbers"
    return ""


#: A metric as measured: name, values on halves (None where it has no meaning), interval and note.
Measured = tuple[str, Halves | None, Interval | None, str]


def _measure(real: Tensor, fake: Tensor, seed: int) -> Iterator[Measured]:
    """All metrics of features."""
    n, dim = real.shape
    splits = _splits(n, ALL_SPLITS["examples"])
    kinds: tuple[Classifier, ...] = ("linear", "trees")
    for kind in kinds:
        told = partial(_told, real, fake, kind, seed)
        (halves,) = paired_halves(told, n, splits=CLASSIFIER_SPLITS[kind], seed=seed)
        # 2n examples are told; that the classifiers share their training examples is in the design effect.
        yield f"two-sample accuracy ({kind})", halves, share_interval(halves, 2 * n), ""

    pairs = Distances(real, fake)
    kernels: dict[str, Callable[[Distances], Discrepancy]] = {
        "maximum mean discrepancy": gaussian_discrepancy,
        "energy distance": energy_discrepancy,
    }
    for name, kernel in kernels.items():
        try:
            (halves,) = paired_halves(kernel(pairs), n, splits=splits, seed=seed)
        except InputError:
            yield name, None, None, "half of the pairs of held-out examples are identical: there is no scale"
        else:
            yield name, halves, distance_interval(halves), ""

    x, y = (project(points, seed=seed) for points in (real, fake))
    (halves,) = paired_halves(lambda i, j: sorted_distance(x[i], y[j]), n, splits=splits, seed=seed)
    yield "sliced Wasserstein distance", halves, _positive(distance_interval(halves, root=True)), ""

    few = _splits(min(n // 2, dim), ALL_SPLITS["features"])
    (halves,) = paired_halves(lambda i, j: frechet_distance(real[i], fake[j]), n, splits=few, seed=seed)
    note = f"{n} examples of {dim} features have singular covariances: mostly bias" if n <= dim else ""
    yield "Frechet distance", halves, _positive(distance_interval(halves)), note
    (halves,) = paired_halves(Kernels(real, fake).distance, n, splits=splits, seed=seed)
    yield "kernel distance", halves, distance_interval(halves), ""
    yield from _neighbours(pairs, n, splits, seed)


def _told(real: Tensor, fake: Tensor, kind: Classifier, seed: int, i: np.ndarray, j: np.ndarray) -> float:
    return accuracy(real[i], fake[j], kind, seed).accuracy


def _neighbours(pairs: Distances, n: int, splits: int, seed: int) -> Iterator[Measured]:
    """Precision, recall, density and coverage."""
    names = ("precision", "recall", "density", "coverage")
    empty = [
        float((x.topk(NEIGHBOUR, largest=False).values[:, -1] == 0).double().mean()) for x in (pairs.real, pairs.fake)
    ]
    if 1.0 in empty:
        who = "held-out examples" if empty[0] == 1.0 else "samples"
        for name in names:
            yield name, None, None, f"every one of the {who} has {NEIGHBOUR} copies: no ball reaches beyond its centre"
        return
    note = ""
    if max(empty) > 0:
        note = f"empty balls, of points with {NEIGHBOUR} copies: {empty[0]:.0%} of the real, {empty[1]:.0%} of the fake"
    found = paired_halves(lambda i, j: tuple(pairs.prdc(i, j, k=NEIGHBOUR)), n, splits=splits, seed=seed)
    for name, halves in zip(names, found, strict=True):
        interval = _positive(mean_interval(halves)) if name == "density" else share_interval(halves, n)
        yield name, halves, interval, note


def _inception(
    name: str, real: Tensor | None, fake: Tensor | None, seed: int, conditions: dict[str, str | int]
) -> Score:
    """Of the samples, with that of the held-out examples in the details."""
    ideal = METRICS[name]
    if fake is None:
        note = "needs the class probabilities of a classifier, which takes labelled training examples"
        return missing(name, note, ideal=ideal, conditions=conditions)
    try:
        probabilities = fake.detach().cpu().double()
        (halves,) = paired_halves(lambda _, j: inception_score(probabilities[j]), len(fake), seed=seed)
        of_real = {} if real is None else {"of the held-out examples": round(inception_score(real), 4)}
    except InputError:
        return missing(name, "some class probabilities are not finite", ideal=ideal, conditions=conditions)
    return _score(name, halves, mean_interval(halves), "", conditions, of_real)


def _score(
    name: str,
    halves: Halves | None,
    interval: Interval | None,
    note: str,
    conditions: dict[str, str | int],
    details: dict[str, float] | None = None,
) -> Score:
    if halves is None or interval is None or not math.isfinite(halves.value):
        return missing(
            name, note or "overflows: the features are too large", ideal=METRICS[name], conditions=conditions
        )
    return Score(
        name=name,
        value=halves.value,
        low=interval.low,
        high=interval.high,
        ideal=METRICS[name],
        conditions=conditions,
        details={"interval": f"paired halves, {halves.splits} splits", **(details or {})},
        note=note,
    )


def _positive(interval: Interval) -> Interval:
    """Without what a number that is never negative cannot be."""
    return Interval(max(interval.low, 0.0), interval.high)


def _splits(size: int, full: int) -> int:
    """As many splits as the cost allows."""
    return SPLITS if size <= full else max(SPLITS * full // size, 10)
