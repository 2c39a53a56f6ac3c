"""Transformers over whole sequences: every position counts, and an encoder looks both ways."""

import pytest
import torch

from pushforward.nn.attention import SelfAttention
from pushforward.nn.sequences import SequenceDecoder, SequenceEncoder, _heads


def test_attention_that_is_not_causal_sees_what_comes_after():
    torch.manual_seed(0)
    x = torch.randn(1, 4, 8)
    changed = x.clone()
    changed[:, -1] += 1
    for causal, moved in ((True, False), (False, True)):
        attention = SelfAttention(8, heads=2, causal=causal)
        assert bool((attention(x)[:, 0] - attention(changed)[:, 0]).abs().max() > 1e-4) is moved


def test_every_position_reaches_the_code_and_its_place_counts():
    torch.manual_seed(0)
    net = SequenceEncoder((3, 6), 4, width=16, depth=1).double()
    x = torch.randn(1, 3, 6).double().requires_grad_()
    (slope,) = torch.autograd.grad(net(x).sum(), x)
    assert (slope.abs().amax((0, 1)) > 1e-6).all()
    assert (net(x) - net(x.roll(1, dims=2))).abs().max() > 1e-3


def test_positions_of_the_decoder_differ_and_follow_the_code():
    torch.manual_seed(0)
    net = SequenceDecoder(4, (6,), parameters=3, width=16, depth=1)
    here, there = net(torch.zeros(1, 4)), net(torch.ones(1, 4))
    assert here.std(2).min() > 1e-3
    assert (here - there).abs().amax((0, 1)).min() > 1e-4


@pytest.mark.parametrize(("width", "heads"), [(8, 1), (64, 2), (96, 3), (256, 8), (100, 2)])
def test_heads_have_at_least_thirty_two_numbers_and_share_the_width(width: int, heads: int):
    assert _heads(width) == heads
