"""Bits-back coding in actual bytes, beside its bound, PNG and JPEG.

    PUSHFORWARD_DATA=... python benchmarks/compression.py [--data mnist-binary] [--budget 1min] [--images 1000]

A VAE is trained on the training split, and the first images of the test split are compressed, decoded and compared. The
bound is minus the evidence lower bound at one draw of the code, averaged over ten draws: what bits-back coding costs in
expectation. The bar of the project is a chain within 2 % of it; "chain" is the stack without header, "file" everything.
"""

import argparse
import math
import tempfile
import time

import torch

import pushforward as pf
from pushforward.uses.compression import compress, decompress, picture_bytes

DRAWS = 10


def main() -> None:
    """Train, compress, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="mnist-binary")
    parser.add_argument("--budget", default="1min")
    parser.add_argument("--images", type=int, default=1000)
    given = parser.parse_args()
    data = pf.load_data(given.data)
    with tempfile.TemporaryDirectory() as folder:
        run = pf.fit("vae", data, budget=given.budget, seed=0, out=f"{folder}/run", show=False)
    x = data.test[torch.arange(min(given.images, len(data.test)))].x
    began = time.perf_counter()
    found = compress(run.model, x)  # decodes it, too
    middle = time.perf_counter()
    restored = decompress(run.model, found.contents)
    seconds = time.perf_counter() - middle
    assert torch.equal(restored.x, x)
    totals = torch.stack([run.model.log_prob(x, samples=1, seed=seed).sum() for seed in range(DRAWS)])
    bound, spread = (float(number) / math.log(2) for number in (-totals.mean(), totals.std()))
    chain = 8 * (len(found.contents) - found.header)
    entries = x.numel()
    print(f"{given.data}, {len(x):,} test images, a VAE trained for {given.budget}, torch {torch.__version__}")
    print(f"bound   {bound / 8:10,.0f} bytes  {bound / entries:.4f} bits/dim (one draw varies by {spread / bound:.2%})")
    print(f"chain   {chain / 8:10,.0f} bytes  {chain / entries:.4f} bits/dim  {chain / bound - 1:+.2%} of the bound")
    print(f"file    {len(found.contents):10,} bytes  {found.bits_per_entry:.4f} bits/dim  ({found.header} of header)")
    for name, quality, together in (
        ("PNG, a file each", None, False),
        ("PNG, all in one", None, True),
        ("JPEG 75, all in one (lossy)", 75, True),
    ):
        size = picture_bytes(x, data.example, quality=quality, together=together)
        print(f"{name:<28} {size:10,} bytes  {size / len(found.contents):.2f} times the file")
    print(f"seconds: compress and check {middle - began:.1f}, decompress {seconds:.1f}; borrowed {found.borrowed} bits")


if __name__ == "__main__":
    main()
