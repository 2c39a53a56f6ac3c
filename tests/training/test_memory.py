"""The high-water mark rises by what is held, and falls when it is set back."""

import mmap
import sys

import pytest
import torch

from pushforward.training.memory import CLEAR, peak_memory, reset_peak

CPU = torch.device("cpu")


@pytest.mark.skipif(not sys.platform.startswith("linux") or not CLEAR.exists(), reason="needs Linux' own mark")
def test_the_mark_counts_what_was_held_since_the_reset():
    reset_peak(CPU)
    before = peak_memory(CPU)
    held = mmap.mmap(-1, 2**26)  # fresh pages: what a tensor gets may have been given back by an earlier one
    for _ in range(2**6):
        held.write(b"1" * 2**20)
    with_it = peak_memory(CPU)
    assert with_it - before > 0.9 * 2**26
    held.close()
    reset_peak(CPU)
    assert peak_memory(CPU) < with_it - 2**25  # half of it at least has been given back
