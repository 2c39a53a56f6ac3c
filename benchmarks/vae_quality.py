"""The same network, objective and data as pythae's: how long until its test bound after five epochs is reached.

    PUSHFORWARD_DATA=... python benchmarks/vae_quality.py [--seeds 3] [--threads 2]

784-512-16 and mirror, the standard bound with Bernoulli pixels, on one fixed draw of black-and-white Fashion-MNIST.
pythae trains five epochs in batches of 128 with its usual optimiser and rate (Adam at 1e-3, float32), and its clock is
the time of its training steps alone. Then ``pushforward.fit`` is given shares of that time, each a training of its own
from new weights with the settings in ``QUICK``; its clock is that of the whole call, with validations, pictures and
checkpoints. Both libraries are imported before the clocks start. The last line of a seed is our ``vae`` as it comes,
without the matched network and with default settings, in the same time. Bounds are of all 10,000 test images, one draw
each, by the same formula for both, in nats (higher is better).
"""

import argparse
import dataclasses
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from _pythae import OPTIONS, peer
from torch import Tensor
from torch.nn import functional as F

import pushforward as pf
from pushforward.core.data import Rows

EPOCHS = 5

#: Shares of pythae's time that our training is given as its budget; the bar is a half for the whole call.
SHARES = (0.125, 0.25, 0.41)

#: How the matched network is trained: a high rate that rises slowly and falls late, matrices in 16 bits.
QUICK = {"lr": 4e-3, "schedule": "wsd", "warmup": 0.1, "precision": "bf16"}


def fixed(images: int) -> pf.Data:
    """Black-and-white Fashion-MNIST whose bits stay, so that both sides see the same ones; some training images."""
    data = pf.load_data("fashion-mnist-binary", labels=False)
    splits = {}
    for name in ("train", "valid", "test"):
        part = getattr(data, name)
        splits[name] = Rows(part[torch.arange(min(len(part), images if name == "train" else len(part)))].x)
    return dataclasses.replace(data, name="fashion-bits", recipe=None, **splits)


def their_bound(model: Any, x: Tensor) -> float:
    """The mean one-draw bound of pythae's model."""
    torch.manual_seed(0)
    total = 0.0
    with torch.no_grad():
        for part in x.float().split(500):
            mean, log_variance = model.encoder.body(part).chunk(2, 1)
            logits = model.decoder.body(mean + (0.5 * log_variance).exp() * torch.randn_like(mean))
            kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum()
            total -= float(F.binary_cross_entropy_with_logits(logits, part, reduction="sum") + kl)
    return total / len(x)


def our_bound(run: pf.Run, x: Tensor) -> float:
    """The mean one-draw bound of ours: minus the terms of its loss at the end of training."""
    model: Any = run.model
    return float(model.log_prob(x, samples=1).mean())


def fitted(data: pf.Data, budget: float, settings: pf.Settings, options: dict[str, Any]) -> tuple[float, pf.Run]:
    """The seconds of a whole call of ``fit``, and its run."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        run = pf.fit("vae", data, budget=budget, out=Path(folder, "run"), settings=settings, options=options)
        return time.perf_counter() - began, run


def one_seed(data: pf.Data, seed: int, threads: int) -> tuple[float, float]:
    """(share of pythae's time in which its bound was reached, nats by which our defaults are better in its time)."""
    pixels, test = data.train[torch.arange(len(data.train))].x.float(), data.test[torch.arange(len(data.test))].x
    with tempfile.TemporaryDirectory() as folder:
        other = peer("mlp", pixels, folder, seed=seed)
        began = time.perf_counter()
        for epoch in range(1, EPOCHS + 1):
            other.trainer.train_step(epoch=epoch)
        seconds = time.perf_counter() - began
        other.model.eval()
        goal = their_bound(other.model, test)
    print(f"seed {seed}: pythae, {EPOCHS} epochs: {goal:8.2f} nats in {seconds:6.1f} s", flush=True)
    reached = float("inf")
    for share in SHARES:
        took, run = fitted(data, share * seconds, pf.Settings(seed=seed, threads=threads, **QUICK), OPTIONS["mlp"])
        bound = our_bound(run, test)
        print(
            f"        same network:      {bound:8.2f} nats in {took:6.1f} s ({took / seconds:.2f} of its time)",
            flush=True,
        )
        if bound >= goal:
            reached = min(reached, took / seconds)
    took, run = fitted(data, seconds, pf.Settings(seed=seed, threads=threads), {})
    better = our_bound(run, test) - goal
    print(f"        vae as it comes:   {goal + better:8.2f} nats in {took:6.1f} s, {better:+.2f} nats", flush=True)
    return reached, better


def main() -> int:
    """All seeds; the exit status is 1 unless the median seed reaches pythae's bound in half its time."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--images", type=int, default=54_000, help="of the training split; fewer for a quick look")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    data = fixed(given.images)
    fitted(data, 0.1, pf.Settings(threads=given.threads, **QUICK), OPTIONS["mlp"])  # imports
    shares, nats = zip(*(one_seed(data, seed, given.threads) for seed in range(given.seeds)), strict=True)
    share = statistics.median(shares)
    print(f"pythae's bound is reached within {share:.2f} of its time (median of {given.seeds} seeds; bar: 0.50)")
    print(
        f"our defaults in its time: {statistics.median(nats):+.2f} nats (median; {min(nats):+.2f} to {max(nats):+.2f})"
    )
    return int(share > 0.5)


if __name__ == "__main__":
    sys.exit(main())
