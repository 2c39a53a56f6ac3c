r"""Does a model repeat its training examples? Copies score well in every other metric, so this one stands beside them.

With :math:`d(x)` the distance, in feature space, from x to the nearest training example, samples y are set against
held-out examples x, which no model has seen:

.. math:: \hat\theta = \frac{1}{nm} \sum_{i,j} \Big( \mathbf{1}[d(y_i) < d(x_j)]
          + \tfrac12\,\mathbf{1}[d(y_i) = d(x_j)] \Big)

the chance that a sample is nearer to the training set than a held-out example is (Meehan et al. 2020, "A
Non-Parametric Test to Detect Data-Copying in Generative Models", section 3: the Mann-Whitney statistic). It is 1/2 for
fresh draws of the data's distribution whatever the training set, near 1 for a copycat, and below 1/2 for samples that
lie farther from the data than the data do.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from scipy.optimize import root_scalar
from scipy.stats import rankdata
from torch import Tensor

from pushforward.datasets.splits import hash_rows
from pushforward.evaluation.features import Features
from pushforward.evaluation.intervals import Z, wilson
from pushforward.evaluation.neighbours import Nearest, nearest
from pushforward.evaluation.score import Plain, Score, missing

__all__ = ["Pairs", "closest_pairs", "memorization", "rank_interval", "wilson"]

#: Training examples searched at most, evenly spaced: their features and distances take some seconds on one core.
SEARCHED = 50_000

NEAREST, COPIES = "nearest training example", "copies"


class Pairs(NamedTuple):
    """Samples beside the training examples nearest to them, nearest first."""

    samples: Shaped[Tensor, "k *shape"]
    train: Shaped[Tensor, "k *shape"]
    distances: Float[Tensor, "k"]
    indices: Int[Tensor, "k"]  # which samples these are


def memorization(
    train: Shaped[Tensor, "n_train *shape"],
    test: Shaped[Tensor, "n *shape"],
    samples: Shaped[Tensor, "n *shape"],
    features: Features,
) -> list[Score]:
    """How much nearer samples are to the training examples than held-out examples are, and how many are exact copies.

    Args:
        train: what the model was trained on, in storage form; at most 50,000 of them are searched.
        test: held-out examples. Of these and the samples as many are taken as there are of the fewer.
        samples: of the model.
        features: where distances are measured.

    Returns:
        "nearest training example" (ideal 0.5) and "copies", the share of samples equal to a training example in every
        entry. Its ideal is the share a fresh draw would have: that of training examples which have an equal one among
        the others, 0 for photographs, more where the data have few distinct rows.
    """
    n = min(len(test), len(samples))
    conditions: dict[str, Plain] = {"n": n, "features": features.name, "split": "test"}
    for which, given in (("training", train), ("held-out", test), ("generated", samples)):
        if len(given) == 0:
            why = f"there are no {which} examples"
            return [missing(name, why, conditions=conditions) for name in (NEAREST, COPIES)]
    train, test, samples = (_spaced(x.cpu(), most) for x, most in ((train, SEARCHED), (test, n), (samples, n)))
    return [_nearness(train, test, samples, features, conditions), _copies(train, test, samples, conditions)]


def _nearness(
    train: Tensor, test: Tensor, samples: Tensor, features: Features, conditions: Mapping[str, Plain]
) -> Score:
    places = [features(x) for x in (train, test, samples)]
    if not all(torch.isfinite(place).all() for place in places):
        return missing(NEAREST, "a sample has no finite features", conditions=conditions)
    reference, held_out, drawn = places
    near_test, near_samples = (nearest(x, reference).distances[:, 0].numpy() for x in (held_out, drawn))
    value, ties = _chance_of_less(near_samples, near_test)
    low, high = rank_interval(value, len(near_samples), len(near_test), ties=ties)
    return Score(
        name=NEAREST,
        value=value,
        low=low,
        high=high,
        ideal=0.5,
        conditions=conditions,
        details={
            "interval": "Newcombe's for the Mann-Whitney statistic",
            "training examples searched": len(train),
            "median distance of samples": float(np.median(near_samples)),
            "median distance of held-out examples": float(np.median(near_test)),
        },
        note="chance that a sample is nearer to the training set than a held-out example is: 0.5 as held-out data, "
        "1 for copies, less than 0.5 for samples farther off",
    )


def _copies(train: Tensor, test: Tensor, samples: Tensor, conditions: Mapping[str, Plain]) -> Score:
    known, real, drawn = (_hashes(x) for x in (train, test, samples))
    _, counts = np.unique(known, return_counts=True)
    chance = float(counts[counts > 1].sum() / len(known))
    n = len(drawn)
    copies = int(np.isin(drawn, known).sum())
    low, high = wilson(copies, n)
    return Score(
        name=COPIES,
        value=copies / n,
        low=low,
        high=high,
        ideal=chance,
        # Equality is of all entries in storage form: no features are involved.
        conditions={name: value for name, value in conditions.items() if name != "features"},
        details={
            "interval": "Wilson",
            "held-out examples that equal a training example": float(np.isin(real, known).mean()),
            "training examples that equal another": chance,
            "training examples searched": len(train),
        },
    )


def closest_pairs(
    train: Shaped[Tensor, "n_train *shape"], samples: Shaped[Tensor, "n *shape"], features: Features, *, k: int = 8
) -> Pairs:
    """The k samples that lie nearest to a training example, each beside it, to be looked at.

    Samples without finite features are left out.

    Example:
        >>> train, samples = torch.tensor([[0.0], [5.0]]), torch.tensor([[4.5], [2.0]])
        >>> closest_pairs(train, samples, Features(name="raw (1)", embed=lambda x: x), k=1)[:3]
        (tensor([[4.5000]]), tensor([[5.]]), tensor([0.5000], dtype=torch.float64))
    """
    train, samples = _spaced(train.cpu(), SEARCHED), samples.cpu()
    drawn, reference = features(samples), features(train)
    usable = torch.isfinite(drawn).all(1).nonzero()[:, 0]
    found = nearest(drawn[usable], reference) if len(usable) else Nearest(torch.empty(0, 1).double(), usable[:, None])
    order = found.distances[:, 0].argsort(stable=True)[:k]
    rows = usable[order]
    return Pairs(samples[rows], train[found.indices[order, 0]], found.distances[order, 0], rows)


def rank_interval(value: float, n: int, m: int, *, ties: float = 0.0) -> tuple[float, float]:
    r"""The 95 % interval of :math:`\theta = P(y < x) + P(y = x)/2` from its estimate of n and m independent values.

    Solves :math:`|\hat\theta - \theta| = z \sqrt{V(\theta)}` with the variance of Hanley and McNeil (1982),

    .. math:: V(\theta) = \frac{(1 - \tau)\,\theta (1 - \theta)}{nm}
              \left(1 + (N - 1)\frac{1 - \theta}{2 - \theta} + (N - 1)\frac{\theta}{1 + \theta}\right), \quad
              N = \frac{n + m}{2}

    so that, as Wilson's interval, it stays in [0, 1] and is not empty at its ends.

    Args:
        value: the estimate.
        n: values of one kind.
        m: values of the other.
        ties: tau, the share of the variance that ties take away.

    Reference:
        Newcombe 2006, "Confidence intervals for an effect size measure based on the Mann-Whitney statistic, part 2",
        method 5.

    Example:
        >>> [round(end, 3) for end in rank_interval(0.5, 100, 100)]
        [0.421, 0.579]
    """
    pairs = (n + m) / 2 - 1

    def beyond(theta: float) -> float:
        spread = 1 + pairs * (1 - theta) / (2 - theta) + pairs * theta / (1 + theta)
        return (value - theta) ** 2 - Z**2 * (1 - ties) * theta * (1 - theta) * spread / (n * m)

    # At the estimate itself beyond <= 0; a step inside, so that an estimate of 0 or 1 is not its own root.
    step = 1e-9
    low = root_scalar(beyond, bracket=(0.0, value - step)).root if value > step else 0.0
    high = root_scalar(beyond, bracket=(value + step, 1.0)).root if value < 1 - step else 1.0
    return low, high


def _hashes(x: Shaped[Tensor, "n *shape"]) -> np.ndarray:
    """One number per row, equal for equal rows; a missing cell equals a missing cell, however it is written."""
    x = torch.where(torch.isnan(x), math.nan, x) if x.is_floating_point() else x
    return hash_rows(x.contiguous().numpy())


def _chance_of_less(y: np.ndarray, x: np.ndarray) -> tuple[float, float]:
    """P(y < x) + P(y = x)/2, and the share of its variance that ties take away."""
    ranks = rankdata(np.concatenate([y, x]))
    n, m = len(y), len(x)
    value = 1 - (ranks[:n].sum() - n * (n + 1) / 2) / (n * m)
    counts = np.unique(ranks, return_counts=True)[1].astype(np.float64)
    total = float(n + m)
    # Where all are equal nothing would be left: keep the interval of a single pair.
    return float(value), float(min((counts**3 - counts).sum() / (total**3 - total), 1 - 1 / total))


def _spaced(x: Tensor, most: int) -> Tensor:
    """At most ``most`` rows, evenly spaced."""
    return x if len(x) <= most else x[torch.arange(most) * len(x) // most]
