"""Our quantisers beside those of vector-quantize-pytorch: vectors per second in training and in use.

    python benchmarks/vq_speed.py [--threads 2] [--batch 64] [--places 49] [--dim 64] [--codes 512] [--rounds 5]

A *training step* is everything a quantiser does in one: nearest codes, the loss, the gradient to the vectors (and to
the codes where those are learned by it), the moving averages and the revival of dead codes. *Use* is evaluation mode
without gradients: vectors to codes. Both sides get the same float32 vectors and settings: size of the codebook, memory
of the averages, squared distance or angle, straight-through or rotation, levels. The sides take turns in one process; a
round is a few steps of each, and the ratio is that of the medians of the rounds, above 1 where ours is faster.

Residual and product quantisers have 4 codebooks. The peer draws its dead codes' successors at random, ours by their
squared distance; the peer's codes are dead below 2 uses a step, ours below a tenth of the even share.
"""

import argparse
import math
import statistics
import sys
import time
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from pushforward.autoencoders.lookup_free import even_levels
from pushforward.autoencoders.quantizer import Quantizer
from pushforward.autoencoders.quantizers import quantizer_of

#: Times faster than the peer, in training and in use.
TARGET = 1.3

#: Steps in a round: a few tens of milliseconds, far above the resolution of the clock.
STEPS = 8

#: (what it is, our fields, the peer's class and arguments).
PAIRS: tuple[tuple[str, dict, str, dict], ...] = (
    ("ema", {}, "VectorQuantize", {"rotation_trick": False, "straight_through": False}),
    ("rotation", {"gradient": "rotation"}, "VectorQuantize", {"rotation_trick": True}),
    ("cosine", {"cosine": True}, "VectorQuantize", {"use_cosine_sim": True, "rotation_trick": False}),
    (
        "gradient",
        {"update": "gradient"},
        "VectorQuantize",
        {"learnable_codebook": True, "ema_update": False, "rotation_trick": False},
    ),
    ("residual", {"name": "residual", "levels": 4}, "ResidualVQ", {"num_quantizers": 4, "rotation_trick": False}),
    (
        "product",
        {"name": "product", "levels": 4},
        "VectorQuantize",
        {"heads": 4, "separate_codebook_per_head": True, "rotation_trick": False},
    ),
    ("fsq", {"name": "fsq"}, "FSQ", {}),
    ("lfq", {"name": "lfq"}, "LFQ", {}),
)


def ours(fields: dict, codes: int, dim: int) -> tuple[Quantizer, Callable[[Tensor], None], Callable[[Tensor], None]]:
    """Our quantiser, a training step of it, and its use."""
    quantizer = quantizer_of(**{"name": "codebook", "codes": codes, "dim": dim, "start": "normal", **fields})

    def step(z: Tensor) -> None:
        found = quantizer(z)
        (found.vectors.square().sum() + found.loss.sum()).backward()
        quantizer.learn()

    def use(z: Tensor) -> None:
        with torch.no_grad():
            quantizer(z)

    return quantizer, step, use


def peer(
    name: str, arguments: dict, codes: int, dim: int, count: int, shape: tuple[int, int]
) -> tuple[torch.nn.Module, Callable[[Tensor], None], Callable[[Tensor], None]]:
    """The quantiser of vector-quantize-pytorch, a training step of it, and its use."""
    import vector_quantize_pytorch as theirs

    match name:
        case "FSQ":
            quantizer = theirs.FSQ(levels=list(even_levels(codes)))
        case "LFQ":
            quantizer = theirs.LFQ(codebook_size=codes, dim=dim, entropy_loss_weight=0.1, commitment_loss_weight=0.25)
        case "ResidualVQ":
            settings = {"decay": 0.97, "threshold_ema_dead_code": 2, "commitment_weight": 0.25}
            quantizer = theirs.ResidualVQ(dim=dim, codebook_size=codes, **settings, **arguments)
        case _:
            settings = {"decay": 0.97, "threshold_ema_dead_code": 2, "commitment_weight": 0.25}
            # With heads of their own length the peer needs no projection.
            settings |= {"codebook_dim": dim // count}
            quantizer = theirs.VectorQuantize(dim=dim, codebook_size=codes, **settings, **arguments)

    def step(z: Tensor) -> None:
        out = quantizer(z.view(*shape, -1))
        losses = out[2].sum() if len(out) > 2 else 0.0
        (out[0].square().sum() + losses).backward()

    def use(z: Tensor) -> None:
        with torch.no_grad():
            quantizer(z.view(*shape, -1))

    return quantizer, step, use


def timed(function: Callable[[Tensor], None], z: Tensor) -> float:
    """Seconds of one call, over a few."""
    began = time.perf_counter()
    for _ in range(STEPS):
        z.grad = None
        function(z)
    return (time.perf_counter() - began) / STEPS


def main() -> None:
    """Time both sides in turn; status 1 if one of the ratios is below the target."""
    parser = argparse.ArgumentParser(description="Speed of quantisers beside vector-quantize-pytorch.")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--places", type=int, default=49)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--codes", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=[pair[0] for pair in PAIRS], default=[pair[0] for pair in PAIRS])
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    warnings.simplefilter("ignore")
    shape = (given.batch, given.places)
    print(f"{shape[0]} x {shape[1]} vectors of {given.dim}, {given.codes} codes, {given.threads} thread(s);", end=" ")
    print(f"medians of {given.rounds} rounds of {STEPS} steps, in milliseconds a step")
    print(f"{'quantiser':>10} {'train':>9} {'peer':>9} {'ratio':>7} {'use':>9} {'peer':>9} {'ratio':>7}")
    slow = []
    for kind, fields, name, arguments in PAIRS:
        if kind not in given.only:
            continue
        mine, step, use = ours(fields, given.codes, given.dim)
        theirs, peer_step, peer_use = peer(name, arguments, given.codes, mine.dim, mine.count, shape)
        z = torch.randn(math.prod(shape), mine.dim, requires_grad=True)
        figures = []
        for training, functions in ((True, (step, peer_step)), (False, (use, peer_use))):
            mine.train(training)
            theirs.train(training)
            for function in functions:  # the first steps make buffers and find their kernels
                timed(function, z)
            rounds = [[timed(function, z) for function in functions] for _ in range(given.rounds)]
            a, b = (statistics.median(side) for side in zip(*rounds, strict=True))
            figures.append(f"{1e3 * a:>9.2f} {1e3 * b:>9.2f} {b / a:>7.2f}")
            if b / a < TARGET:
                slow.append(f"{kind} {'in training' if training else 'in use'} ({b / a:.2f})")
        print(f"{kind:>10} {' '.join(figures)}", flush=True)
    print(f"\nat least {TARGET} times the peer: {'all' if not slow else 'not ' + ', '.join(slow)}")
    sys.exit(1 if slow else 0)


if __name__ == "__main__":
    main()
