"""Fidelity metrics on 10,000 x 2,048 features beside torch-fidelity, torchmetrics and prdc: same numbers, less time.

    python benchmarks/fidelity.py [--threads 2] [--rows 10000] [--features 2048] [--rounds 3] [--only kernel]

Every side gets the same float32 features (rectified, most of their variance in 64 directions) and works from them to
the number; feature extraction is no part of it. All take turns in one process; the medians of the rounds, the ratio of
ours to the fastest peer and the largest relative difference to a peer are printed, one metric a line. The same ratio of
processor time, with one thread a figure that other work on the machine hardly disturbs, stands beside it.

Settings are those that each package gives. torchmetrics and torch-fidelity average the kernel distance over 100 subsets
of 1,000; ours is over all pairs, and is held against torch-fidelity with one subset of everything, in float64 (its sums
in float32 are themselves off by some 1e-5). torch-fidelity's precision and recall are at its default k = 3, prdc's four
shares at k = 5; a point on the edge of a ball is inside for torch-fidelity, outside for prdc and for us.

The peers import torchvision for data sets and image models; where it is not installed, an empty module stands in.
"""

import argparse
import contextlib
import importlib.machinery
import importlib.util
import io
import statistics
import sys
import time
import types
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pushforward.evaluation.fidelity import frechet_distance, kernel_distance, prdc

#: Largest relative difference that counts as the same number.
AGREEMENT = 1e-4

Metric = Callable[[Tensor, Tensor], dict[str, float]]


class _Nothing(types.ModuleType):
    """A module that has every attribute, and none that does anything."""

    __path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def stand_in() -> None:
    """Let ``import torchvision`` succeed where it is not installed."""
    if importlib.util.find_spec("torchvision") is not None:
        return
    for name in ("", ".datasets", ".models", ".transforms", ".transforms.functional"):
        module = _Nothing(f"torchvision{name}")
        module.__spec__ = importlib.machinery.ModuleSpec(module.__name__, None)
        sys.modules[module.__name__] = module
        parent, _, child = module.__name__.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)


def features(rows: int, dim: int, seed: int, shift: float) -> Tensor:
    """Rectified features with 64 strong directions and a little noise in all others."""
    directions = torch.randn(64, dim, generator=torch.Generator().manual_seed(0)) / 8
    noise = torch.Generator().manual_seed(seed)
    strong = torch.randn(rows, 64, generator=noise) + shift
    return (strong @ directions + 0.3 * torch.randn(rows, dim, generator=noise)).relu()


def ours() -> dict[str, Metric]:
    """The functions that are measured, by metric."""
    return {
        "Frechet distance": lambda real, fake: {"distance": frechet_distance(real, fake)},
        "kernel distance": lambda real, fake: {"distance": kernel_distance(real, fake)},
        "precision, recall (k = 3)": lambda real, fake: prdc(real, fake, k=3)._asdict(),
        "all four (k = 5)": lambda real, fake: prdc(real, fake, k=5)._asdict(),
    }


def peers() -> dict[str, dict[str, Metric]]:
    """The same of every package that has it, by metric and package."""
    stand_in()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside the packages
        from prdc import compute_prdc
        from torch_fidelity import metric_fid, metric_kid, metric_prc
        from torchmetrics.image.fid import FrechetInceptionDistance
        from torchmetrics.image.kid import KernelInceptionDistance

    def frechet(real: Tensor, fake: Tensor) -> dict[str, float]:
        one, two = (metric_fid.fid_features_to_statistics(x) for x in (real, fake))
        return {"distance": metric_fid.fid_statistics_to_metric(one, two, False)[metric_fid.KEY_METRIC_FID]}

    def kernel(real: Tensor, fake: Tensor, subsets: int, size: int) -> dict[str, float]:
        found = metric_kid.kid_features_to_metric(
            fake, real, kid_subsets=subsets, kid_subset_size=size, verbose=False, rng_seed=0
        )
        return {"distance": found[metric_kid.KEY_METRIC_KID_MEAN]}

    def balls(real: Tensor, fake: Tensor) -> dict[str, float]:
        found = metric_prc.prc_features_to_metric(fake, real, prc_neighborhood=3, verbose=False)
        return {name: found[name] for name in ("precision", "recall")}

    def updated(metric: Any, real: Tensor, fake: Tensor) -> Any:
        metric.update(real, real=True)
        metric.update(fake, real=False)
        return metric.compute()

    class Identity(torch.nn.Module):
        """Takes features for images."""

        def __init__(self, dim: int) -> None:
            super().__init__()
            self.num_features = dim

        def forward(self, x: Tensor) -> Tensor:
            return x

    def torchmetrics_frechet(real: Tensor, fake: Tensor) -> dict[str, float]:
        metric = FrechetInceptionDistance(Identity(real.shape[1]))
        return {"distance": float(updated(metric, real, fake))}

    def torchmetrics_kernel(real: Tensor, fake: Tensor) -> dict[str, float]:
        metric = KernelInceptionDistance(Identity(real.shape[1]), subsets=100, subset_size=min(1000, len(real)))
        return {"distance": float(updated(metric, real, fake)[0])}

    return {
        "Frechet distance": {"torch-fidelity": frechet, "torchmetrics": torchmetrics_frechet},
        "kernel distance": {
            "torch-fidelity, all pairs": lambda real, fake: kernel(real, fake, 1, len(real)),
            "the same in float64": lambda real, fake: kernel(real.double(), fake.double(), 1, len(real)),
            "torch-fidelity, subsets": lambda real, fake: kernel(real, fake, 100, min(1000, len(real))),
            "torchmetrics, subsets": torchmetrics_kernel,
        },
        "precision, recall (k = 3)": {"torch-fidelity": balls},
        "all four (k = 5)": {"prdc": lambda real, fake: compute_prdc(real.numpy(), fake.numpy(), 5)},
    }


def timed(metric: Metric, real: Tensor, fake: Tensor) -> tuple[float, float, dict[str, float]]:
    """Seconds, processor seconds and values; what a package prints or warns of is not shown."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        began, busy = time.perf_counter(), time.process_time()
        values = metric(real, fake)
        return time.perf_counter() - began, time.process_time() - busy, values


def compare(name: str, sides: dict[str, Metric], real: Tensor, fake: Tensor, rounds: int) -> bool:
    """Take turns, print one line, and say whether the numbers agree and ours is not slower."""
    times: dict[str, list[float]] = {side: [] for side in sides}
    work: dict[str, list[float]] = {side: [] for side in sides}
    values: dict[str, dict[str, float]] = {}
    for _ in range(rounds):
        for side, metric in sides.items():
            seconds, busy, values[side] = timed(metric, real, fake)
            times[side].append(seconds)
            work[side].append(busy)
    median = {side: statistics.median(laps) for side, laps in times.items()}
    cost = {side: statistics.median(laps) for side, laps in work.items()}
    own, own_cost, mine = median.pop("pushforward"), cost.pop("pushforward"), values.pop("pushforward")
    worst = {
        side: max(abs(mine[key] / value - 1) for key, value in found.items())
        for side, found in values.items()
        # Averages over subsets are another estimate, equal only in the mean; sums in float32 are inexact.
        if "subsets" not in side and "all pairs" not in side
    }
    print(
        f"{name}: pushforward {own:.2f} s, "
        + ", ".join(f"{side} {seconds:.2f} s" for side, seconds in median.items())
        + f"; ratio to the fastest {own / min(median.values()):.2f}, of processor time "
        + f"{own_cost / min(cost.values()):.2f} (ours {own_cost:.1f} s); relative difference "
        + ", ".join(f"{value:.1e} ({side})" for side, value in worst.items()),
        flush=True,
    )
    return own <= min(median.values()) and max(worst.values()) <= AGREEMENT


def main() -> int:
    """Compare metric by metric; the exit status is 1 if one disagrees or is slower."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="the metrics with this in their name")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    real = features(given.rows, given.features, 1, 0.0)
    fake = features(given.rows, given.features, 2, 0.1)
    own, others = ours(), peers()
    passed = [
        compare(name, {"pushforward": own[name], **others[name]}, real, fake, given.rounds)
        for name in own
        if given.only in name
    ]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
