"""How often the 95 % intervals of the sample metrics hold what they are for: the expectation of the metric at this n.

    python benchmarks/interval_coverage.py [--repeats 400] [--case shift]

The expectation is the mean over 2,000 independent pairs of samples, of which the first 400 get intervals. Of 400
intervals that hold with probability 0.95, between 366 and 392 do. "width" is how much wider (above 1) or narrower the
intervals are on average than 2 x 1.96 standard deviations of the metric. Some 10 minutes per case on two idle cores,
most of them for the boosted trees.
"""

import argparse
import math
from collections.abc import Callable

import numpy as np
import torch
from joblib import Parallel, delayed

from pushforward.evaluation.fidelity import Distances, frechet_distance, inception_score, kernel_distance
from pushforward.evaluation.sample_scores import METRICS, sample_scores
from pushforward.evaluation.two_sample import (
    accuracy,
    energy_discrepancy,
    gaussian_discrepancy,
    sliced_wasserstein,
)

EXPECTATION = 2000
Pair = tuple[np.ndarray, np.ndarray]


def shift(rng: np.random.Generator) -> Pair:
    """200 from two Gaussians in 8 dimensions, a unit apart."""
    return rng.normal(size=(200, 8)), rng.normal(size=(200, 8)) + 1 / math.sqrt(8)


def scale(rng: np.random.Generator) -> Pair:
    """120 from two Gaussians in 5 dimensions, one of them three quarters as wide: too little variety."""
    return rng.normal(size=(120, 5)), 0.75 * rng.normal(size=(120, 5))


def weights(rng: np.random.Generator) -> Pair:
    """200 from a mixture of five in 4 dimensions and from one with other weights that lacks the last."""
    centres = 1.5 * np.random.default_rng(5).normal(size=(5, 4))
    real, fake = (
        centres[rng.choice(5, 200, p=p)] + rng.normal(size=(200, 4)) / 2
        for p in ([0.2, 0.2, 0.2, 0.2, 0.2], [0.35, 0.35, 0.2, 0.1, 0.0])
    )
    return real, fake


def same(rng: np.random.Generator) -> Pair:
    """200 twice from one Gaussian in 8 dimensions: pairs of examples decide, the intervals are meant to be wide."""
    return rng.normal(size=(200, 8)), rng.normal(size=(200, 8))


CASES: dict[str, Callable[[np.random.Generator], Pair]] = {f.__name__: f for f in (shift, scale, weights, same)}


def probabilities(x: np.ndarray) -> torch.Tensor:
    """Of a fixed linear classifier of five classes."""
    return torch.softmax(torch.from_numpy(x @ np.random.default_rng(7).normal(size=(x.shape[1], 5))), 1)


def values(case: str, seed: int) -> list[float]:
    """Every metric once, and the mean negative log-likelihood of the real examples under a standard normal."""
    x, y = CASES[case](np.random.default_rng(seed))
    real, fake = torch.from_numpy(x), torch.from_numpy(y)
    pairs = Distances(real, fake)
    told = [accuracy(real, fake, "linear").accuracy, accuracy(real, fake, "trees").accuracy]
    kernels = [gaussian_discrepancy(pairs)(), energy_discrepancy(pairs)()]
    moments = [sliced_wasserstein(real, fake), frechet_distance(real, fake), kernel_distance(real, fake)]
    return [*told, *kernels, *moments, *pairs.prdc(k=5), inception_score(probabilities(y)), surprise(x).mean()]


def surprise(x: np.ndarray) -> np.ndarray:
    """-log N(x; 0, I)."""
    return 0.5 * np.square(x).sum(1) + 0.5 * x.shape[1] * math.log(2 * math.pi)


def intervals(case: str, seed: int) -> list[tuple[float, float, float]]:
    """Value, lower and upper end of every metric; a mean has its standard error."""
    torch.set_num_threads(1)
    x, y = CASES[case](np.random.default_rng(seed))
    real, fake = torch.from_numpy(x), torch.from_numpy(y)
    scores = sample_scores(real, fake, features="raw", fake_probabilities=probabilities(y))
    costs = surprise(x)
    mean, error = float(costs.mean()), float(costs.std(ddof=1)) / math.sqrt(len(x))
    return [(s.value, s.low, s.high) for s in scores] + [(mean, mean - 1.96 * error, mean + 1.96 * error)]


def report(case: str, repeats: int, jobs: int) -> None:
    """Print one line per metric."""
    print(f"\n{case}: {CASES[case].__doc__}", flush=True)
    run = Parallel(n_jobs=jobs)
    found = np.array(run(delayed(intervals)(case, seed) for seed in range(repeats)))
    more = run(delayed(values)(case, seed) for seed in range(repeats, max(EXPECTATION, repeats)))
    known = np.concatenate([found[:, :, 0], np.array(more).reshape(-1, found.shape[1])])
    least, most = (math.floor(repeats * share + 0.5) for share in (366 / 400, 392 / 400))
    for i, name in enumerate([*METRICS, "negative log-likelihood"]):
        truth, spread = known[:, i].mean(), known[:, i].std()
        low, high = found[:, i, 1], found[:, i, 2]
        held = int(((low <= truth) & (truth <= high)).sum())
        half = f"; 0.5 in {((low <= 0.5) & (high >= 0.5)).sum()}" if case == "same" and "accuracy" in name else ""
        verdict = "in" if least <= held <= most else "NOT in"
        width = (high - low).mean() / (2 * 1.96 * spread)
        print(
            f"{name:<30} {truth:9.4f}  covered {held}/{repeats}, {verdict} [{least}, {most}]"
            f"  (missed {(low > truth).sum()} below, {(high < truth).sum()} above; width x {width:.2f}{half})",
            flush=True,
        )


def main() -> None:
    """Run the cases asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=400)
    parser.add_argument("--case", choices=list(CASES), action="append")
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    for case in given.case or CASES:
        report(case, given.repeats, given.jobs)


if __name__ == "__main__":
    main()
