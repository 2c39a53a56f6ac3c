import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pushforward.nn.unet import PixelAttention, UNet


def test_attention_is_that_of_torch():
    net, h = PixelAttention(8).double(), torch.randn(2, 8, 3, 5, dtype=torch.float64)
    query, key, value = net.qkv(net.norm(h)).flatten(2).mT.chunk(3, dim=-1)
    seen = F.scaled_dot_product_attention(query, key, value)
    assert torch.allclose(net(h), h + net.out(seen.mT.unflatten(-1, (3, 5))), rtol=0, atol=1e-12)


def test_attention_does_not_care_where_pixels_stand():
    net, h, order = PixelAttention(8).double(), torch.randn(1, 8, 1, 6, dtype=torch.float64), torch.randperm(6)
    assert torch.allclose(net(h[..., order]), net(h)[..., order], rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (28, 28)])
def test_it_starts_at_zero(size: tuple[int, int]):
    assert not UNet((1, *size), 2, width=8)(torch.randn(2, 1, *size)).any()


@pytest.mark.parametrize(("levels", "halved"), [(None, 3), (5, 3), (1, 1), (0, 0)])
def test_levels_are_as_many_as_the_size_allows_or_fewer(levels: int | None, halved: int):
    net = UNet((1, 28, 28), 1, width=8, levels=levels)
    assert len(net.shrink) == len(net.up) == halved
    assert net(torch.zeros(1, 1, 28, 28)).shape == (1, 1, 28, 28)


def test_a_corner_sees_the_opposite_one():
    torch.manual_seed(0)
    net = UNet((1, 28, 28), 1, width=8).double()
    nn.init.normal_(net.outward.weight)
    x = torch.randn(1, 1, 28, 28, dtype=torch.float64, requires_grad=True)
    net(x)[0, 0, 0, 0].backward()
    assert x.grad[0, 0, -1, -1] != 0


def test_depth_is_the_number_of_blocks_at_each_size():
    net = UNet((1, 8, 8), 1, width=8, depth=3)
    assert [len(stack.blocks) for stack in (net.down[0], net.bottom, net.up[0])] == [3, 3, 3]
