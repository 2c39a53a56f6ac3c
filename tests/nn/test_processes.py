"""Statistics over several processes are those of the whole batch: two of them learn the codebook that one would."""

import pytest
import torch
from torch import distributed, multiprocessing

from pushforward.autoencoders.codebook import Codebook
from pushforward.core.noise import Noise
from pushforward.nn.processes import gathered, summed


def test_alone_nothing_happens():
    x = torch.randn(3, 2)
    assert gathered(x) is x and summed(x) is x


def learned(rank: int, world: int) -> Codebook:
    """A codebook after a k-means start and steps in which codes die and are moved; each process has its rows."""
    codebook = Codebook(12, 3, decay=0.5).double()
    for step in range(8):
        z = Noise(step, rows=60).normal(3).double() * (1 + step)
        codebook(z.chunk(world)[rank])
        codebook.learn()
    return codebook


def work(rank: int, store: str, folder: str) -> None:
    distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    torch.manual_seed(rank)  # the processes have nothing in common but their data
    x = torch.full((2, 2), float(rank + 1))
    assert gathered(x).tolist() == [[1.0, 1.0]] * 2 + [[2.0, 2.0]] * 2 and summed(x).tolist() == [[3.0, 3.0]] * 2
    assert x.tolist() == [[rank + 1.0] * 2] * 2, "what is given stays as it is"
    torch.save(learned(rank, 2).state_dict(), f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_learn_what_one_does(tmp_path):
    # Forked, since a fresh interpreter could not import this file.
    multiprocessing.start_processes(work, (str(tmp_path / "store"), str(tmp_path)), nprocs=2, start_method="fork")
    whole = learned(0, 1).state_dict()
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert all(torch.allclose(found[name], whole[name]) for name in whole)
