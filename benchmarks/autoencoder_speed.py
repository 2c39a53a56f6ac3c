"""Training and sampling throughput of a fully connected and a convolutional VAE beside pythae's, side by side.

    PUSHFORWARD_DATA=... python benchmarks/autoencoder_speed.py [--batches 80] [--threads 2]

The same networks, batches of 128 and Adam at float32 on both sides, on Fashion-MNIST in black and white. The sides take
turns in one process; the first round is not counted, medians of five and the ratio of them are printed. A batch of ours
is drawn in a fresh order from uint8, with bits drawn anew; the loop keeps its metrics and its moving average. pythae
reads fixed bits as floats. Validation and checkpoints are left out on both sides. pythae's samples are means of p(x|z);
ours are true draws, on the grid of the data, and on a line of their own the means too. Another line has our training
with ``precision="bf16"``, which pythae does not offer on a CPU.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any, Literal

import torch
from _pythae import BATCH, LATENT, OPTIONS, Network, peer

import pushforward as pf
from pushforward.training.fabric import launch
from pushforward.training.loop import Loop
from pushforward.training.progress import Bar
from pushforward.zoo import create

#: The bar of the comparison, and rounds that are counted.
WANTED, ROUNDS = 1.3, 5


def our_training(
    network: Network, data: pf.Data, batches: int, threads: int, precision: Literal["32", "bf16"] = "32"
) -> tuple[Any, Callable[[], object]]:
    """Our model, and some updates of it."""
    common = {"batch_size": BATCH, "schedule": "constant", "threads": threads, "precision": precision}
    settings = pf.Settings(steps=100 * batches, **common)
    torch.manual_seed(0)
    model: Any = create("vae", data, OPTIONS[network])
    bar = Bar("benchmark", show=False)
    loop = Loop(model, data, settings, fabric=launch(settings), validate=lambda m: 0.0, bar=bar)
    stage = model.stages()[0]
    optimizers = loop._optimizers(stage)
    return model, lambda: [loop._step(stage, optimizers) for _ in range(batches)]


def medians(sides: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Seconds of each side, which take turns."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS + 1):
        for name, side in sides.items():
            began = time.perf_counter()
            side()
            times[name].append(time.perf_counter() - began)
    return {name: statistics.median(laps[1:]) for name, laps in times.items()}


def compare(title: str, images: int, sides: dict[str, Callable[[], object]]) -> float:
    """One line of the table."""
    found = medians(sides)
    ours, theirs = (images / found[name] for name in ("pushforward", "pythae"))
    print(f"{title:28s} {ours:12,.0f} {theirs:12,.0f} images/s   {ours / theirs:5.2f}x (bar: {WANTED}x)", flush=True)
    return ours / theirs


def main() -> int:
    """Both networks, training and sampling."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--batches", type=int, default=80)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    data = pf.load_data("fashion-mnist-binary", labels=False)
    images = given.batches * BATCH
    pixels = data.train[torch.arange(images)].x.float()
    ratios = []
    print(f"{'':28s} {'pushforward':>12s} {'pythae':>12s}   {given.threads} threads, medians of {ROUNDS}")
    for network in ("mlp", "conv"):
        with tempfile.TemporaryDirectory() as folder:
            model, train = our_training(network, data, given.batches, given.threads)
            other = peer(network, pixels, folder)
            sizes = [sum(p.numel() for p in m.parameters()) for m in (model, other.model)]
            if sizes[0] != sizes[1]:
                raise AssertionError(f"the networks differ: {sizes[0]:,} and {sizes[1]:,} parameters")
            _, short = our_training(network, data, given.batches, given.threads, "bf16")
            for name, mine in (("training", train), ("training, bf16", short)):
                sides = {"pushforward": mine, "pythae": lambda other=other: other.trainer.train_step(epoch=2)}
                ratios.append(compare(f"{network} vae, {name}", images, sides))
            other.model.eval()
            z = torch.randn(given.samples, LATENT)
            for name, mine in (
                ("sampling", lambda model=model: model.sample(given.samples, seed=0)),
                ("means of samples", lambda model=model, z=z: [model.decode(part) for part in z.split(256)]),
            ):
                sides = {"pushforward": mine, "pythae": lambda other=other: other.sample(given.samples)}
                ratios.append(compare(f"{network} vae, {name}", given.samples, sides))
    return sum(ratio < WANTED for ratio in ratios)


if __name__ == "__main__":
    sys.exit(main())
