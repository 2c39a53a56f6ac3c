r"""Does every kind of example get its share? Mode coverage, by classes where there is a classifier, else by clusters.

*Classes.* The same classifier names the classes of samples and of held-out examples, so its errors fall on both alike.
With :math:`p_c, q_c` the shares of class c in n held-out examples and in n samples,

.. math:: \text{covered} = \frac{\#\{c : q_c \ge p_c / 10\}}{\#\{c : p_c > 0\}}, \qquad
          \text{total variation} = \tfrac12 \sum_c |p_c - q_c|.

*Bins.* k-means cells of the training examples' features, whatever their labels: a bin differs if its two shares differ
in the two-proportion test at 5 %,

.. math:: |p - q| > 1.96 \sqrt{2\,\bar p (1 - \bar p) / n}, \qquad \bar p = (p + q)/2

(Richardson and Weiss 2018, "On GANs and GMMs", section 3). Of equal distributions one bin in twenty differs.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from pushforward.evaluation.features import Features
from pushforward.evaluation.intervals import Z, wilson
from pushforward.evaluation.score import Plain, Score, missing
from pushforward.evaluation.scorecard import Breakdown

__all__ = ["differs", "modes", "total_variation"]

#: A class counts as covered from this part of its real share on. Confusion of a classifier alone lends a dropped class
#: some hundredths of its share, and a class that is rarer than this is missing for practical purposes.
COVERED = 0.1

#: Held-out examples per bin on average: the normal law of a two-proportion test asks for about ten.
PER_BIN = 20

#: Bins at most: what Richardson and Weiss take.
BINS = 100

#: Training examples that bins are fitted on.
FITTED = 10_000

COVERAGE, VARIATION, BINS_DIFFER, AGREEMENT = (
    "classes covered",
    "class shares (total variation)",
    "bins that differ",
    "class agreement",
)


class _Shares(NamedTuple):
    """How many of n held-out examples and of n samples fell into each class or bin."""

    real: Int[np.ndarray, "kinds"]
    drawn: Int[np.ndarray, "kinds"]
    n: int


def modes(
    train: Shaped[Tensor, "n_train *shape"],
    test: Shaped[Tensor, "n *shape"],
    samples: Shaped[Tensor, "n *shape"],
    features: Features,
    *,
    labels: Int[Tensor, "n"] | None = None,
    asked: Int[Tensor, "n"] | None = None,
    seed: int = 0,
) -> tuple[list[Score], Breakdown]:
    """How the samples are spread over classes and over bins of feature space, compared with held-out examples.

    Args:
        train: what bins are fitted on, in storage form.
        test: held-out examples; of these and the samples as many are taken as there are of the fewer.
        samples: of the model.
        features: where bins are; its classifier, if it has one of the user's classes, names the classes.
        labels: the true classes of the held-out examples.
        asked: the classes the samples were asked to have, for a class-conditional model.
        seed: of k-means.

    Returns:
        "bins that differ"; with a classifier "classes covered" and "class shares (total variation)"; with ``asked``
        "class agreement", the share of samples in which the classifier sees the class asked for (its ``details`` have
        the same share of held-out examples). And a row per class, or per bin where there are no classes: name, share
        among held-out examples and samples, the interval of the latter, and whether the two differ.
    """
    n = min(len(test), len(samples))
    test, labels = _first(test, labels, n)
    samples, asked = _first(samples, asked, n)
    bins, bin_shares = _bins(train, test, samples, features, seed)
    if not features.classes:
        return [bins], _breakdown("cluster", bin_shares, [f"cluster {i + 1}" for i in range(BINS)])
    conditions: dict[str, Plain] = {
        "n": n,
        "features": f"classifier (accuracy {features.accuracy:.3f})",
        "split": "test",
    }
    names = [COVERAGE, VARIATION] + ([AGREEMENT] if asked is not None else [])
    seen_real, seen = (_seen(x, features) for x in (test, samples))
    if seen_real is None or seen is None:
        why = "a sample has no class probabilities" if n else "there are no examples to compare"
        return [bins, *(missing(name, why, conditions=conditions) for name in names)], Breakdown(title="class")
    shares = _Shares(_count(seen_real, len(features.classes)), _count(seen, len(features.classes)), n)
    scores = [bins, _covered(shares, conditions), _variation(shares, conditions, seed)]
    if asked is not None:
        scores.append(_agreement(seen, asked, seen_real, labels, conditions))
    return scores, _breakdown("class", shares, [str(name) for name in features.classes])


def _covered(shares: _Shares, conditions: Mapping[str, Plain]) -> Score:
    there = shares.real > 0
    wanted = COVERED * shares.real[there] / shares.n
    ends = np.array([wilson(int(count), shares.n) for count in shares.drawn[there]])
    return Score(
        name=COVERAGE,
        value=float((shares.drawn[there] / shares.n >= wanted).mean()),
        low=float((ends[:, 0] >= wanted).mean()),
        high=float((ends[:, 1] >= wanted).mean()),
        ideal=1.0,
        conditions=conditions,
        details={
            "classes": int(there.sum()),
            "covered from": f"{COVERED:g} of the real share",
            "interval": "classes covered surely and possibly, by Wilson's interval of each share",
        },
    )


def total_variation(real: Float[np.ndarray, "*b kinds"], drawn: Float[np.ndarray, "*b kinds"]) -> np.ndarray:
    """Half the sum of the differences of two histograms of shares.

    Example:
        >>> float(total_variation(np.array([0.5, 0.5]), np.array([1.0, 0.0])))
        0.5
    """
    return 0.5 * np.abs(real - drawn).sum(-1)


def _variation(shares: _Shares, conditions: Mapping[str, Plain], seed: int) -> Score:
    """The interval is 1.96 deviations of the value under new multinomial draws.

    They are drawn from shares whose difference is the one found less what chance adds to it: p and q at twice the
    noise would have twice the spread where the true shares are equal.
    """
    n, real, drawn = shares.n, shares.real / shares.n, shares.drawn / shares.n
    pooled, half_gap = (real + drawn) / 2, (real - drawn) / 2
    chance = (2 * pooled * (1 - pooled) / n).sum()  # E sum (p - q)^2 of equal distributions
    found = 4 * (half_gap**2).sum()
    half_gap = half_gap * math.sqrt(max(1 - chance / found, 0.0)) if found else half_gap
    rng = np.random.default_rng(seed)

    def again(gap: np.ndarray) -> np.ndarray:
        draws = [rng.multinomial(n, pooled + sign * gap, 1000) / n for sign in (1, -1)]
        return total_variation(*draws)

    value, half = float(total_variation(real, drawn)), Z * float(again(half_gap).std())
    return Score(
        name=VARIATION,
        value=value,
        low=max(value - half, 0.0),
        high=min(value + half, 1.0),
        ideal=0.0,
        conditions=conditions,
        details={
            "interval": "parametric bootstrap",
            "of equal distributions, by chance": float(again(0 * half_gap).mean()),
        },
    )


def _agreement(
    seen: Tensor, asked: Tensor, seen_real: Tensor, labels: Tensor | None, conditions: Mapping[str, Plain]
) -> Score:
    right = int((seen == asked).sum())
    low, high = wilson(right, len(seen))
    details: dict[str, Plain] = {"interval": "Wilson"}
    if labels is not None:
        details["of held-out examples"] = float((seen_real == labels).double().mean())
    return Score(
        name=AGREEMENT,
        value=right / len(seen),
        low=low,
        high=high,
        ideal=1.0,
        conditions=conditions,
        details=details,
        note="share of samples in which the classifier sees the class asked for; their class shares are given, not "
        "learned",
    )


def differs(real: Int[np.ndarray, "kinds"], drawn: Int[np.ndarray, "kinds"], n: int) -> np.ndarray:
    """Whether the shares ``real / n`` and ``drawn / n`` differ in the two-proportion test at 5 %.

    Example:
        >>> differs(np.array([50, 50]), np.array([55, 80]), 1000).tolist()
        [False, True]
    """
    p, q = real / n, drawn / n
    pooled = (p + q) / 2
    return np.abs(p - q) > Z * np.sqrt(2 * pooled * (1 - pooled) / n)


def _bins(train: Tensor, test: Tensor, samples: Tensor, features: Features, seed: int) -> tuple[Score, _Shares | None]:
    """The share of k-means cells whose share of samples differs from that of held-out examples."""
    n = len(test)
    conditions: dict[str, Plain] = {"n": n, "features": features.name, "split": "test"}
    count = min(n // PER_BIN, BINS)
    if count < 2:
        why = f"{n} examples are too few for bins of {PER_BIN}"
        return missing(BINS_DIFFER, why, conditions=conditions), None
    fitted = train if len(train) <= FITTED else train[torch.arange(FITTED) * len(train) // FITTED]
    places = [features(x).double() for x in (fitted, test, samples)]
    if not all(torch.isfinite(place).all() for place in places):
        return missing(BINS_DIFFER, "a sample has no finite features", conditions=conditions), None
    count = min(count, len(places[0].unique(dim=0)))
    if count < 2:
        return missing(BINS_DIFFER, "all training examples have the same features", conditions=conditions), None
    centres = _k_means(places[0], count, seed)
    counts = [_count(torch.cdist(place, centres).argmin(1), count) for place in places]
    order = np.argsort(-counts[1], kind="stable")  # the largest first
    shares = _Shares(counts[1][order], counts[2][order], n)
    different = int(differs(shares.real, shares.drawn, n).sum())
    low, high = wilson(different, count)
    return Score(
        name=BINS_DIFFER,
        value=different / count,
        low=low,
        high=high,
        ideal=0.05,
        conditions=conditions,
        details={"interval": "Wilson, over bins", "bins": count, "training examples": len(fitted)},
        note="of equal distributions one bin in twenty differs by chance",
    ), shares


def _k_means(x: Float[Tensor, "n dim"], count: int, seed: int) -> Float[Tensor, "count dim"]:
    from sklearn.cluster import KMeans

    return torch.from_numpy(KMeans(count, random_state=seed).fit(x.numpy()).cluster_centers_)


def _breakdown(title: str, shares: _Shares | None, names: list[str]) -> Breakdown:
    if shares is None:
        return Breakdown(title=title)
    different = differs(shares.real, shares.drawn, shares.n)
    rows: list[dict[str, Any]] = []
    for kind in range(len(shares.real)):
        low, high = wilson(int(shares.drawn[kind]), shares.n)
        rows.append(
            {
                "name": names[kind],
                "real share": float(shares.real[kind] / shares.n),
                "sample share": float(shares.drawn[kind] / shares.n),
                "low": low,
                "high": high,
                "differs": bool(different[kind]),
            }
        )
    return Breakdown(title=title, rows=tuple(rows))


def _seen(x: Tensor, features: Features) -> Int[Tensor, "n"] | None:
    """The most probable class of every example; None if there are none or one has no probabilities."""
    probabilities = features.probabilities(x)
    if probabilities is None or not len(probabilities) or not torch.isfinite(probabilities).all():
        return None
    return probabilities.argmax(1)


def _count(kinds: Int[Tensor, "n"], size: int) -> Int[np.ndarray, "kinds"]:
    return kinds.bincount(minlength=size).numpy()


def _first(x: Tensor, labels: Tensor | None, n: int) -> tuple[Tensor, Tensor | None]:
    """``n`` rows, evenly spaced, with their labels; the very tensor where it has no more."""
    if len(x) == n:
        return x.cpu(), None if labels is None else labels.cpu()
    rows = torch.arange(n) * len(x) // max(n, 1)
    return x.cpu()[rows], None if labels is None else labels.cpu()[rows]
