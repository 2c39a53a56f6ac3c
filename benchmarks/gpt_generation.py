"""Tokens per second of cached generation: `GPT.complete` beside the `generate` of transformers' GPT-2.

    python benchmarks/gpt_generation.py [--threads 2] [--new 500] [--rounds 5]

4 layers of width 128 with 4 heads, 65 codes, room for 512 positions, float32, random weights; both sides draw from the
untruncated softmax, after one given code, to the last of 500. They take turns in one process; the medians of the rounds
and of their ratios are printed. GPT-2 has learned positions and a plain perceptron, ours rotations and a gated one with
as many weights.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from pushforward.core.text import Text
from pushforward.transformers.gpt import GPT

CODES, LENGTH, WIDTH, DEPTH, HEADS = 65, 512, 128, 4, 4

#: Batch size, and the ratio that is to be reached.
BARS = {1: 2.5, 16: 1.5}


def ours(new: int) -> Callable[[int], torch.Tensor]:
    """Generation through the public method of our model."""
    text = Text(vocabulary=tuple(chr(33 + code) for code in range(CODES)), length=LENGTH, stream=True)
    model = GPT(example=text, width=WIDTH, depth=DEPTH, heads=HEADS)
    return lambda batch: model.complete(torch.zeros(1, dtype=torch.int64), batch, length=new, seed=0)


def theirs(new: int) -> Callable[[int], torch.Tensor]:
    """Generation through the public method of transformers."""
    from transformers import GenerationConfig, GPT2Config, GPT2LMHeadModel

    sizes = {"vocab_size": CODES, "n_positions": LENGTH, "n_embd": WIDTH, "n_layer": DEPTH, "n_head": HEADS}
    model = GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=0, eos_token_id=None)).eval()
    # No end token and nothing but the softmax: as long and as random as ours.
    how = GenerationConfig(max_new_tokens=new, do_sample=True, top_k=0, use_cache=True, pad_token_id=0)

    def generate(batch: int) -> torch.Tensor:
        prompt = torch.zeros(batch, 1, dtype=torch.int64)
        return model.generate(prompt, attention_mask=torch.ones_like(prompt), generation_config=how)

    return generate


def main() -> None:
    """Take turns, and print tokens per second and ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--new", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    sides = {"pushforward": ours(given.new), "transformers": theirs(given.new)}
    for batch, bar in BARS.items():
        speeds: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(given.rounds + 1):  # the first round warms up and is not counted
            for name, generate in sides.items():
                began = time.perf_counter()
                codes = generate(batch)
                speeds[name].append(batch * given.new / (time.perf_counter() - began))
                assert codes.shape == (batch, 1 + given.new)
        median = {name: statistics.median(laps[1:]) for name, laps in speeds.items()}
        ratios = [a / b for a, b in zip(speeds["pushforward"][1:], speeds["transformers"][1:], strict=True)]
        print(
            f"batch {batch:>2}: "
            + ", ".join(f"{name} {value:,.0f} tokens/s" for name, value in median.items())
            + f"; ratio {median['pushforward'] / median['transformers']:.2f} of medians,"
            + f" {statistics.median(ratios):.2f} median of rounds ({min(ratios):.2f} to {max(ratios):.2f}), bar {bar}",
            flush=True,
        )


if __name__ == "__main__":
    main()
