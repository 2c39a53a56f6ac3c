"""Nats against minutes on MNIST, binarised anew for every update: train on a CPU, then score by importance sampling.

    PUSHFORWARD_DATA=... python benchmarks/mnist_nats.py train vae --budget 36min --out runs/vae
    PUSHFORWARD_DATA=... python benchmarks/mnist_nats.py train iwae --start runs/vae --budget 24min --out runs/iwae
    PUSHFORWARD_DATA=... python benchmarks/mnist_nats.py evaluate runs/vae --images 10000
    PUSHFORWARD_DATA=... python benchmarks/mnist_nats.py curve runs/vae runs/iwae --out nats.png

Models: ``vae`` (fully connected), ``iwae`` (the same networks on the bound of 50 importance samples) and ``hvae``
(hierarchical, convolutional). With ``--start`` a model takes over the weights of a run, whose time counts as its own:
two thirds of an hour on the plain bound and the rest on the one of 50 samples, which costs a dozen times as much an
update. Labels are not used. 54,000 images train, 6,000 validate, the 10,000 of the test set are
looked at by ``evaluate`` alone. Training goes on where it was stopped if the folder exists.

At every validation the best weights so far are scored on 500 validation images by 50 importance samples; the time that
this takes is not part of the training time. ``evaluate`` writes what it has after every hundred images and goes on from
there. All seconds are those of the run's own record (training and its validations).
"""

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch

import pushforward as pf


class Recipe(NamedTuple):
    """A model, its fields, and how it is trained."""

    model: str
    options: dict[str, Any]
    settings: dict[str, Any]


_DENSE = {"latent_dim": 50, "width": 500, "depth": 2, "network": "mlp", "likelihood": "bernoulli"}

RECIPES = {
    "vae": Recipe("vae", _DENSE, {"batch_size": 256, "lr": 2e-3, "precision": "bf16"}),
    "iwae": Recipe(
        "vae", {**_DENSE, "objective": "iwae", "samples": 50}, {"batch_size": 128, "lr": 1e-3, "precision": "bf16"}
    ),
    "hvae": Recipe("hvae", {}, {"batch_size": 64, "lr": 2e-3, "precision": "bf16"}),
}

#: Images and importance samples of the estimate along the way: the same images each time, standard error near one nat.
WATCHED, FEW = 500, 50

#: Images scored between two writes of the results.
PIECE = 100

#: Nats per example of one bit per pixel, in which metrics are recorded.
NATS = 28 * 28 * math.log(2)


def nats(model: Any, x: torch.Tensor, samples: int, seed: int) -> torch.Tensor:
    """Minus the importance bound of every image, in nats."""
    # Few images at a time: their samples share one pass of the encoder, and the decoder works on all of them at once.
    return -model.log_prob(x, samples=samples, seed=seed, batch_size=32)


def train(given: argparse.Namespace) -> None:
    """Fit, or go on with, one run."""
    data, recipe = pf.load_data("mnist-binary", labels=False), RECIPES[given.recipe]
    rows = torch.arange(WATCHED) * len(data.valid) // WATCHED
    watched = data.valid[rows].x

    before = pf.load(given.start).training["seconds"] if given.start else 0.0

    def log(folder: Path, line: dict) -> None:
        began, seconds = time.perf_counter(), before + line["seconds"]
        estimate = float(nats(pf.load(folder).model, watched, FEW, seed=1).mean())
        record = {"seconds": seconds, "bound": line["validation"] * NATS, "nats": estimate}
        with open(folder / "nats.jsonl", "a") as lines:
            lines.write(json.dumps(record) + "\n")
        took = time.perf_counter() - began
        print(
            f"{seconds / 60:7.2f} min  step {line['step']:>7,}  bound {record['bound']:7.2f}  "
            f"{FEW} samples {estimate:7.2f} nats  (scored in {took:.0f} s)",
            flush=True,
        )

    if Path(given.out, "training.json").exists():
        run = pf.resume(given.out, log=log)
    else:
        settings = pf.Settings(seed=given.seed, threads=given.threads, steps=given.steps, **recipe.settings)
        budget = None if given.steps else given.budget
        model, options = recipe.model, recipe.options
        if given.start:
            model, options = going_on(given.start, recipe.options), None
        run = pf.fit(model, data, budget=budget, out=given.out, settings=settings, options=options, log=log)
    print(f"python benchmarks/mnist_nats.py {' '.join(sys.argv[1:])}\nseed {given.seed}: {run.training['said']}")


def going_on(start: str, options: dict[str, Any]) -> Any:
    """The model of a run with other fields of training; what its weights mean stays the same."""
    model = pf.load(start).model
    for name, value in (options | {"warm_up": 0.0}).items():  # the code is in use already
        setattr(model, name, value)
    return model


def evaluate(given: argparse.Namespace) -> None:
    """Score test images by importance sampling, a hundred at a time."""
    torch.set_num_threads(given.threads or torch.get_num_threads())
    folder = Path(given.run)
    model, data = pf.load(folder).model, pf.load_data("mnist-binary", labels=False)
    path = folder / f"test-{given.samples}.json"
    found = json.loads(path.read_text()) if path.exists() else {"nats": [], "bound": []}
    wanted = min(given.images, len(data.test))
    while (first := len(found["nats"])) < wanted:
        rows = torch.arange(first, min(first + PIECE, wanted))
        x = data.test[rows].x
        found["nats"] += nats(model, x, given.samples, seed=first).tolist()
        found["bound"] += nats(model, x, 1, seed=first).tolist()
        path.write_text(json.dumps(found))
        print(f"{len(found['nats']):>6,} images: {said(found['nats'])}", flush=True)
    print(
        f"python benchmarks/mnist_nats.py {' '.join(sys.argv[1:])}\n"
        f"test, {given.samples:,} importance samples, {wanted:,} images: {said(found['nats'][:wanted])}; "
        f"bound of one sample {said(found['bound'][:wanted])}"
    )


def said(values: list[float]) -> str:
    """Mean and standard error over images."""
    each = torch.tensor(values, dtype=torch.float64)
    error = float(each.std()) / math.sqrt(len(each)) if len(each) > 1 else math.nan
    return f"{float(each.mean()):.2f} +- {error:.2f} nats"


def read(folder: Path) -> list[dict[str, float]]:
    """Seconds, bound and nats at every validation; a run that was fitted without this script has its bounds only."""
    if (path := folder / "nats.jsonl").exists():
        return [json.loads(line) for line in path.read_text().splitlines()]
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{"seconds": m["seconds"], "bound": m["validation"] * NATS, "nats": math.nan} for m in metrics]


def curve(given: argparse.Namespace) -> None:
    """Draw and print nats against minutes of several runs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for index, folder in enumerate(map(Path, given.runs)):
        lines = read(folder)
        minutes = [line["seconds"] / 60 for line in lines]
        colour = f"C{index}"
        axes.plot(minutes, [line["nats"] for line in lines], color=colour, label=f"{folder.name}, {FEW} samples")
        axes.plot(minutes, [line["bound"] for line in lines], color=colour, lw=1, ls=":", label="one sample")
        for path in sorted(folder.glob("test-*.json")):
            mean = sum(values := json.loads(path.read_text())["nats"]) / len(values)
            label = f"test, {path.stem[5:]} samples, {len(values):,} images: {mean:.2f}"
            axes.plot(minutes[-1], mean, "o", color=colour, label=label)
        print(f"\n{folder.name}\n\n| minutes | bound | {FEW} samples |\n|---|---|---|")
        print(
            "\n".join(f"| {m:.1f} | {a['bound']:.2f} | {a['nats']:.2f} |" for m, a in zip(minutes, lines, strict=True))
        )
    axes.set_ylim(given.low, given.high)
    axes.set_xlabel("minutes of training")
    axes.set_ylabel("nats per image (lower is better)")
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    figure.savefig(given.out, dpi=150)


def main() -> int:
    """Take the command apart."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers()
    parser.set_defaults(work=lambda given: parser.print_help())  # hours of work are not begun unasked
    one = verbs.add_parser("train")
    one.add_argument("recipe", choices=list(RECIPES))
    one.add_argument("--budget", default="1h")
    one.add_argument("--steps", type=int, default=0)
    one.add_argument("--seed", type=int, default=0)
    one.add_argument("--threads", type=int, default=0)
    one.add_argument("--start", help="a run whose weights are taken over")
    one.add_argument("--out", required=True)
    one.set_defaults(work=train)
    two = verbs.add_parser("evaluate")
    two.add_argument("run")
    two.add_argument("--samples", type=int, default=5000)
    two.add_argument("--images", type=int, default=10_000)
    two.add_argument("--threads", type=int, default=0)
    two.set_defaults(work=evaluate)
    three = verbs.add_parser("curve")
    three.add_argument("runs", nargs="+")
    three.add_argument("--out", default="nats.png")
    three.add_argument("--low", type=float, default=80.0)
    three.add_argument("--high", type=float, default=110.0)
    three.set_defaults(work=curve)
    given = parser.parse_args()
    given.work(given)
    return 0


if __name__ == "__main__":
    sys.exit(main())
