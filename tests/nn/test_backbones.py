import pytest
import torch
from torch import nn

from pushforward.core.errors import InputError
from pushforward.nn.backbones import Denoiser, FlatDecoder, FlatEncoder, decoder, denoiser, encoder
from pushforward.nn.convnet import ConvDecoder, ConvEncoder
from pushforward.nn.mlp import ResidualMLP
from pushforward.nn.unet import UNet


def test_the_plain_encoder_is_flatten_linear_activation_linear():
    net = encoder((1, 28, 28), 32, width=512, depth=1, network="mlp")
    plain = nn.Sequential(nn.Flatten(), nn.Linear(784, 512), nn.SiLU(), nn.Linear(512, 32))
    plain.load_state_dict(dict(zip(plain.state_dict(), net.state_dict().values(), strict=True)))
    x = torch.randn(4, 1, 28, 28)
    assert torch.equal(net(x), plain(x))


def test_the_plain_decoder_is_linear_activation_linear_unflatten():
    net = decoder(16, (1, 4, 3), width=8, depth=1, parameters=2, network="mlp")
    plain = nn.Sequential(nn.Linear(16, 8), nn.SiLU(), nn.Linear(8, 24), nn.Unflatten(1, (2, 1, 4, 3)))
    plain.load_state_dict(dict(zip(plain.state_dict(), net.state_dict().values(), strict=True)))
    z = torch.randn(5, 16)
    assert torch.equal(net(z), plain(z))


def test_the_shape_chooses_the_network():
    assert isinstance(encoder((2,), 3, width=8, depth=1), FlatEncoder)
    assert isinstance(decoder(3, (2,), width=8, depth=1), FlatDecoder)
    assert isinstance(denoiser((2,), width=8, depth=1).net, ResidualMLP)
    assert isinstance(encoder((1, 5, 5), 3, width=8, depth=1), ConvEncoder)
    assert isinstance(decoder(3, (1, 5, 5), width=8, depth=1), ConvDecoder)
    assert isinstance(denoiser((1, 5, 5), width=8, depth=1).net, UNet)


@pytest.mark.parametrize("network", ["auto", "transformer", "recurrent", "conv", "mlp"])
def test_a_sequence_goes_in_and_comes_out_under_a_condition(network):
    torch.manual_seed(0)
    net = encoder((3, 7), 4, width=8, depth=1, condition=2, network=network)
    x, c = torch.randn(2, 3, 7), torch.randn(2, 2)
    code = net(x, c)
    assert code.shape == (2, 4)
    swapped = x.flip(2)  # the order of the sequence is seen, and so is the condition
    assert (net(swapped, c) - code).abs().max() > 1e-3
    assert (net(x, c + 1) - code).abs().max() > 1e-3
    back = decoder(4, (3, 7), width=8, depth=1, parameters=5, condition=2, network=network)
    assert back(code, c).shape == (2, 5, 3, 7)
    assert (back(code, c + 1) - back(code, c)).abs().max() > 1e-3


@pytest.mark.parametrize("network", ["transformer", "recurrent"])
def test_the_codes_of_a_text_come_out_of_a_sequence_network(network):
    assert decoder(4, (7,), width=8, depth=1, parameters=5, network=network)(torch.zeros(2, 4)).shape == (2, 5, 7)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: encoder((2,), 3, width=8, depth=1, network="conv"), "network: got 'conv' for vectors of 2 numbers"),
        (lambda: decoder(3, (2,), width=8, depth=1, network="conv"), "network: got 'conv' for vectors of 2 numbers"),
        (lambda: encoder((2,), 3, width=8, depth=1, network="unet"), "network: got 'unet', accepted are auto"),
        (lambda: encoder((1, 2, 3, 4), 3, width=8, depth=1), r"shape: got \(1, 2, 3, 4\), accepted are"),
        (lambda: encoder((1, 5, 5), 3, width=8, depth=1, network="recurrent"), "got 'recurrent' for images, accepted"),
        (lambda: encoder((3, 7), 3, width=8, depth=0), "depth: got 0, a transformer accepts 1"),
        (lambda: denoiser((2, 3), width=8, depth=1), r"shape: got \(2, 3\), a denoiser accepts"),
        (lambda: encoder((1, 5, 5), 3, width=8, depth=0), "depth: got 0, a convolutional network accepts 1"),
        (lambda: denoiser((2,), width=8, depth=0), "depth: got 0, a denoiser accepts 1"),
    ],
)
def test_what_does_not_go_together_is_refused(call, message: str):
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.parametrize("shape", [(4,), (2, 5, 3)])
def test_a_denoiser_starts_at_zero_and_then_minds_time_and_condition(shape: tuple[int, ...]):
    torch.manual_seed(0)
    net = denoiser(shape, width=8, depth=1, condition=3)
    x, t, c = torch.randn(1, *shape), torch.tensor([0.2]), torch.zeros(1, 3)
    assert not net(x, t, c).any()
    nn.init.normal_(net.net.outward.weight)
    y = net(x, t, c)
    assert (net(x, t + 0.5, c) - y).abs().max() > 1e-3  # far above rounding
    assert (net(x, t, c + 1) - y).abs().max() > 1e-3


def test_a_denoiser_wraps_any_network_of_x_and_an_embedding():
    class Sum(nn.Module):
        def forward(self, x, e):
            return x + e

    assert Denoiser(Sum(), 4)(torch.zeros(2, 4), torch.rand(2)).shape == (2, 4)
