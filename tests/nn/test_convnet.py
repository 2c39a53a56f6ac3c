import pytest
import torch
from torch import nn

from pushforward.nn.convnet import ConvDecoder, ConvEncoder, ConvResNet, ResidualBlock, group_norm, halvings, resize


@pytest.mark.parametrize(
    ("size", "sizes"),
    [
        ((28, 28), [(14, 14), (7, 7), (4, 4)]),
        ((8, 8), [(4, 4)]),
        ((7, 7), [(4, 4)]),
        ((6, 6), []),
        ((1, 1), []),
        ((1, 32), [(1, 16), (1, 8), (1, 4)]),
        ((33, 17), [(17, 9), (9, 5), (5, 5)]),
    ],
)
def test_sides_are_halved_while_four_pixels_are_left(size, sizes):
    assert [step.size for step in halvings(size)] == sizes


@pytest.mark.parametrize("size", [(28, 28), (33, 17), (1, 32), (13, 100)])
def test_a_strided_convolution_takes_the_halvings(size: tuple[int, int]):
    h = torch.zeros(1, 1, *size)
    for step in halvings(size):
        h = nn.functional.conv2d(h, torch.zeros(1, 1, 3, 3), stride=step.stride, padding=1)
        assert h.shape[2:] == step.size


@pytest.mark.parametrize("side", range(1, 70))
def test_the_way_back_repeats_each_pixel_and_crops(side: int):
    small = torch.arange((side + 1) // 2, dtype=torch.float32)
    expected = small.repeat_interleave(2)[:side]
    assert torch.equal(resize(small.view(1, 1, -1, 1), (side, 1)).flatten(), expected)
    assert torch.equal(resize(small.view(1, 1, 1, -1), (1, side)).flatten(), expected)


@pytest.mark.parametrize(("channels", "groups"), [(1, 1), (8, 1), (12, 1), (16, 2), (32, 4), (20, 2), (64, 8)])
def test_groups_have_at_least_eight_channels_where_there_are(channels: int, groups: int):
    assert group_norm(channels).num_groups == groups


def test_a_residual_block_is_its_formula():
    block = ResidualBlock(8, 16, condition=3)
    h, c = torch.randn(2, 8, 5, 4), torch.randn(2, 3)
    scale, shift = block.modulate.affine(c)[:, :, None, None].chunk(2, dim=1)
    inner = block.first(nn.functional.silu(nn.functional.group_norm(h, 1)))
    steered = nn.functional.group_norm(inner, 2) * (1 + scale) + shift
    expected = block.skip(h) + block.second(nn.functional.silu(steered))
    assert torch.allclose(block(h, c), expected, atol=1e-5)  # another order of the same operations in float32


def test_a_block_that_keeps_its_channels_starts_from_the_identity():
    block = ResidualBlock(8, 8)
    nn.init.zeros_(block.second.weight)
    nn.init.zeros_(block.second.bias)
    h = torch.randn(1, 8, 3, 3)
    assert torch.equal(block(h), h)


def test_channels_double_up_to_four_times_the_width():
    net = ConvEncoder((1, 64, 64), 10, width=4)
    assert [layer.out_channels for layer in net.shrink] == [4, 8, 16, 16]
    assert net.head.in_features == 16 * 4 * 4


@pytest.mark.parametrize("size", [(1, 1), (2, 7), (28, 28), (33, 17)])
def test_a_decoder_gives_exactly_the_size(size: tuple[int, int]):
    assert ConvDecoder(2, (3, *size), parameters=2, width=4)(torch.zeros(5, 2)).shape == (5, 2, 3, *size)


@pytest.mark.parametrize("kind", [ConvEncoder, ConvDecoder])
def test_without_norms_there_are_none(kind: type[nn.Module]):
    shapes = ((1, 9, 9), 4) if kind is ConvEncoder else (4, (1, 9, 9))
    with_norms, without = kind(*shapes, width=8), kind(*shapes, width=8, normalize=False)
    assert any(isinstance(layer, nn.GroupNorm) for layer in with_norms.modules())
    assert not any(isinstance(layer, nn.GroupNorm) for layer in without.modules())


def test_a_resnet_may_start_at_zero():
    assert not ConvResNet(2, 4, width=8, zero_init=True)(torch.randn(3, 2, 5, 6)).any()


@pytest.mark.parametrize(
    "net",
    [
        ConvEncoder((1, 8, 8), 4, width=8, condition=2),
        ConvDecoder(64, (1, 8, 8), width=8, condition=2),
        ConvResNet(1, 1, width=8, condition=2),
    ],
    ids=lambda net: type(net).__name__,
)
def test_the_condition_counts(net: nn.Module):
    x = torch.randn(1, 64) if isinstance(net, ConvDecoder) else torch.randn(1, 1, 8, 8)
    one, other = net(x, torch.zeros(1, 2)), net(x, torch.ones(1, 2))
    assert (one - other).abs().max() > 1e-3  # far above rounding
    with pytest.raises(ValueError, match="this network accepts a tensor"):
        net(x)


def test_an_autoencoder_learns_to_copy_images():
    """Six images are six points, so a code of six numbers can hold them exactly and the error has to vanish."""
    torch.manual_seed(0)
    x = torch.randn(6, 1, 9, 7)
    encoder, decoder = ConvEncoder((1, 9, 7), 6, width=8), ConvDecoder(6, (1, 9, 7), width=8)
    optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-2)
    for _ in range(100):
        loss = (decoder(encoder(x))[:, 0] - x).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.01  # of a variance of one
