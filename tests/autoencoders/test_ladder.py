"""The two-way network: sizes that fit on the way back, and steps that are the linear maps they say they are."""

import math

import pytest
import torch

from pushforward.autoencoders.ladder import HIGHEST, LOWEST, BottomUp, Gaussian, TopDownLayer, Upward, scale_steps
from pushforward.nn.convnet import Halving


@pytest.mark.parametrize("size", [(28, 28), (9, 15), (64, 5), (3, 3), (1, 1)])
def test_the_way_back_has_every_size_of_the_way_up(size: tuple[int, int]):
    steps = scale_steps(size, 2)
    assert steps[-1].size == (1, 1) and len(steps) <= 3
    up = BottomUp(2, size, steps, [4] * len(steps), depth=1, scale=1.0)
    maps = up(torch.randn(5, 2, *size))
    assert [tuple(h.shape[2:]) for h in maps] == [step.size for step in steps]
    for below, step, h in zip([size, *(s.size for s in steps)], steps, maps, strict=False):
        assert Upward(4, 3, step, size=below)(h).shape == (5, 3, *below)


def test_a_step_up_gives_every_pixel_of_a_field_weights_of_its_own():
    layer = Upward(1, 1, Halving((2, 3), (2, 2)), size=(4, 6))
    with torch.no_grad():
        layer.conv.weight.zero_()
        layer.conv.bias.copy_(torch.arange(6.0))  # the place in the field, row by row
        layer.conv.weight[0] = 10.0
    out = layer(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))[0, 0]
    assert out.tolist() == [[10, 1, 2, 20, 1, 2], [3, 4, 5, 3, 4, 5], [30, 1, 2, 40, 1, 2], [3, 4, 5, 3, 4, 5]]


def test_log_deviations_are_kept_within_their_limits():
    q = Gaussian.of(torch.tensor([5.0, 5.0, 5.0, -1e9, 0.01, 1e9]).view(1, 6, 1, 1))
    assert q.log_std.flatten().tolist() == pytest.approx([LOWEST, 0.01, HIGHEST], abs=1e-6)
    assert q.at(torch.ones(1, 3, 1, 1))[0, 1].item() == pytest.approx(5 + 1.01, abs=1e-3)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_a_normal_is_in_full_precision_whatever_a_network_computes_in(half: torch.dtype):
    q = Gaussian.of(torch.tensor([5.0, 1e4]).view(1, 2, 1, 1).to(half))
    assert q.kl().item() == pytest.approx(0.5 * (24 + math.exp(4)) - 2), "37.299 is more than 16 bits can tell"


def test_without_blocks_a_layer_is_linear_in_the_state_and_what_it_draws():
    torch.manual_seed(0)
    layer = TopDownLayer(3, 2, (1, 1), depth=0, scale=1.0).double()
    with torch.no_grad():
        layer.prior_head.weight[:2].normal_()
    s, u = torch.randn(2, 4, 3, 1, 1).double(), torch.randn(2, 4, 2, 1, 1).double()
    middle = layer.take_in(s.mean(0), u.mean(0))
    ends = torch.stack([layer.take_in(a, b) for a, b in zip(s, u, strict=True)])
    assert torch.allclose(middle, ends.mean(0))
