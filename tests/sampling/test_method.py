import pytest
import torch

from pushforward.sampling.method import Recorder, silent
from pushforward.sampling.target import Target


def recorder(draws, report=silent):
    target = Target(lambda x: -x.square().sum(1), 2)
    target.gradients = 7
    return target, Recorder(target, torch.zeros(3, 2), warmup=5, draws=draws, report=report)


def fill(keeper, interrupt_at=None):
    with keeper.interruptible():
        for i in keeper.iterations():
            if i == interrupt_at:
                raise KeyboardInterrupt
            keeper.add(torch.full((3, 2), float(i)), torch.full((3,), -float(i)), torch.ones(3))


def test_draws_come_chain_first_with_the_gradients_of_each_part():
    told = []
    target, keeper = recorder(4, lambda done, total: told.append((done, total)))
    target.gradients += 11
    fill(keeper)
    chains = keeper.chains({"step_size": 0.5})
    assert chains.positions.shape == (3, 4, 2) and chains.positions[1, :, 0].tolist() == [0.0, 1.0, 2.0, 3.0]
    assert chains.log_density[0].tolist() == [0.0, -1.0, -2.0, -3.0]
    assert (chains.warmup_gradients, chains.gradients) == (7, 11)
    assert told == [(6, 9), (7, 9), (8, 9), (9, 9)] and not bool(chains.divergent.any())


def test_an_interrupt_keeps_what_was_drawn():
    _, keeper = recorder(10)
    fill(keeper, interrupt_at=3)
    assert keeper.chains({}).positions.shape == (3, 3, 2)


def test_an_interrupt_before_anything_was_drawn_goes_on_up():
    _, keeper = recorder(10)
    with pytest.raises(KeyboardInterrupt):
        fill(keeper, interrupt_at=0)
