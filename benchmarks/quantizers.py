"""Every quantiser at 512 codes: how many of them a test split uses, and what they leave of the picture.

    python benchmarks/quantizers.py [--data fashion-mnist cats] [--seconds 120] [--only fsq] [--threads 2] [--seed 0]

For every data set and quantiser a VQ-VAE with the same encoder and decoder is trained for the same time (or, with
--steps, for the same number of steps), codes only: the prior has no part in these figures. Then the *whole* test split
is encoded and codes are counted: the share that occurs at least once and the perplexity, of several codebooks the one
that does worst. The error is the root mean square over pixels of the decoder's mean, in levels of 0 to 255; bits are
those of the codes of one picture, log2(512) for each index.

--data takes fashion-mnist, cats (the CIFAR-10 cats in the folder that PUSHFORWARD_DATA names), or anything else that
``pushforward fit --data`` takes. Status 1 says that a quantiser used less than the share asked for.
"""

import argparse
import math
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import pushforward as pf
from pushforward.autoencoders.code_use import code_use
from pushforward.autoencoders.vqvae import VQVAE
from pushforward.core.data import Data, Split
from pushforward.core.noise import Noise
from pushforward.training.batches import Batches
from pushforward.training.optimizers import learning_rate
from pushforward.zoo import create

#: The share of codes that must be in use.
LEAST = 0.95

#: What is offered, by the fields of the model. Both kinds of several codebooks have two of 512.
OFFERED: dict[str, dict] = {
    "ema": {},
    "gradient": {"update": "gradient"},
    "rotation": {"gradient": "rotation"},
    "cosine": {"cosine": True},
    "residual": {"quantizer": "residual"},
    "product": {"quantizer": "product"},
    "fsq": {"quantizer": "fsq"},
    "lfq": {"quantizer": "lfq"},
}


def load(name: str) -> Data:
    """A data set; of the cats the 5,000 of CIFAR-10's training set, cut 80/10/10 (its test file has a hundred)."""
    if name != "cats":
        return pf.load_data(name)
    folder = Path(os.environ.get("PUSHFORWARD_DATA", "../shared/data"))
    with np.load(folder / "cifar10-cats" / "cats32.npz") as file:
        return pf.load_data(file["train"], name="cats")


def fit(model: VQVAE, train: Split, *, seconds: float, steps: int, seed: int) -> tuple[int, float]:
    """Descend on the first stage alone; returns steps made and seconds they took."""
    (phase,) = model.stages()[0].phases
    optimiser = torch.optim.AdamW(phase.parameters, lr=phase.lr, fused=True)
    batches = Batches(train, model.batch_size, seed)
    began, step = time.perf_counter(), 0
    model.train()
    while True:
        spent = step / steps if steps else (time.perf_counter() - began) / seconds
        if spent >= 1:
            break
        model.progress = spent
        rate = learning_rate(round(1000 * spent), 1000, warmup=0.02, schedule="cosine")
        optimiser.param_groups[0]["lr"] = phase.lr * rate
        batch, noise = train[batches.indices(step)], Noise(seed, step + 1, rows=model.batch_size)
        x, _ = model.fitted.encode(batch.x, noise=noise, dtype=model.dtype)
        loss = torch.stack(list(model.fit_codes(x, None, noise=noise).values())).sum(0).mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(phase.parameters, phase.clip or math.inf)
        optimiser.step()
        model.after_step()
        step += 1
    model.eval()
    return step, time.perf_counter() - began


def error(model: VQVAE, split: Split) -> float:
    """Root mean square difference of pixel levels between pictures and what their codes give back."""
    squares = []
    for rows in torch.arange(len(split)).split(256):
        x = split[rows].x
        difference: Tensor = model.decode(model.encode(x)).double() - x.double()
        squares.append(difference.square().flatten(1).mean(1))
    return math.sqrt(float(torch.cat(squares).mean()))


def main() -> None:
    """Train, count, print; status 1 if too few codes are used."""
    parser = argparse.ArgumentParser(description="Use of codes and error of every quantiser.")
    parser.add_argument("--data", nargs="+", default=["fashion-mnist", "cats"])
    parser.add_argument("--only", nargs="+", choices=list(OFFERED), default=list(OFFERED))
    parser.add_argument("--codes", type=int, default=512)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=120.0, help="of training, for each quantiser")
    parser.add_argument("--steps", type=int, default=0, help="of training instead, the same on any machine")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    failed = []
    for name in given.data:
        data = load(name)
        print(f"\n{name}: {data.example.describe()}; {len(data.train):,} to train on, {len(data.test):,} in the test")
        heading = (
            f"{'quantiser':>10} {'codes':>12} {'used':>7} {'perplexity':>11} {'error':>7} {'bits':>6} {'steps':>7}"
        )
        print(f"{heading} {'seconds':>8}")
        for kind in given.only:
            torch.manual_seed(given.seed)
            options = {"codes": given.codes, "width": given.width, "prior": "independent", **OFFERED[kind]}
            model = create("vqvae", data, options)
            assert isinstance(model, VQVAE)
            steps, seconds = fit(model, data.train, seconds=given.seconds, steps=given.steps, seed=given.seed)
            use = code_use(model, data.test)
            share, perplexity = float(use.share.min()), float(use.perplexity.min())
            indices = math.prod(model.codes_are.shape)
            codes = (
                f"{model.codebook_size} x {model.quantize.count}" if model.quantize.count > 1 else model.codebook_size
            )
            bits = indices * math.log2(model.codebook_size)
            figures = f"{codes:>12} {share:>7.1%} {perplexity:>11.0f} {error(model, data.test):>7.2f} {bits:>6.0f}"
            print(f"{kind:>10} {figures} {steps:>7} {seconds:>8.0f}", flush=True)
            if share < LEAST:
                failed.append(f"{kind} on {name}")
    print(f"\nat least {LEAST:.0%} of the codes used: {'all' if not failed else 'not by ' + ', '.join(failed)}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
