"""What every network of the room keeps, whatever the size of an image: one test per promise, one line per network."""

import copy
from collections.abc import Callable

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from pushforward.nn.backbones import decoder, denoiser, encoder
from pushforward.nn.convnet import ConvDecoder, ConvEncoder, ConvResNet
from pushforward.nn.embedding import LearnedPositions
from pushforward.nn.mlp import MLP, ResidualMLP
from pushforward.nn.transformer import Transformer
from pushforward.nn.unet import UNet

SIZES = [(1, 1), (1, 9), (5, 3), (8, 8), (33, 17)]
C = 3  # length of the condition

Case = tuple[nn.Module, tuple[Tensor, ...]]


def image(size: tuple[int, int], channels: int = 2) -> Tensor:
    return torch.randn(3, channels, *size)


VECTORS: dict[str, Callable[[], Case]] = {
    "mlp": lambda: (MLP(4, 5, width=8, depth=2), (torch.randn(3, 4),)),
    "mlp linear": lambda: (MLP(4, 5, depth=0), (torch.randn(3, 4),)),
    "mlp conditioned": lambda: (MLP(4, 5, width=8, condition=C), (torch.randn(3, 4), torch.randn(3, C))),
    "residual mlp": lambda: (ResidualMLP(4, 5, width=8), (torch.randn(3, 4),)),
    "residual mlp conditioned": lambda: (
        ResidualMLP(4, 5, width=8, condition=C, zero_init=True),
        (torch.randn(3, 4), torch.randn(3, C)),
    ),
    "flat encoder": lambda: (encoder((2, 3, 4), 5, width=8, depth=1, network="mlp"), (image((3, 4)),)),
    "flat decoder": lambda: (decoder(5, (2, 3, 4), width=8, depth=1, network="mlp"), (torch.randn(3, 5),)),
    "denoiser of vectors": lambda: (denoiser((4,), width=8, depth=2), (torch.randn(3, 4), torch.rand(3))),
    "transformer": lambda: (Transformer(8, depth=2, heads=2), (torch.randn(3, 5, 8),)),
    "learned positions": lambda: (LearnedPositions(5, 8), (torch.randn(3, 5, 8),)),
}

IMAGES: dict[str, Callable[[tuple[int, int]], Case]] = {
    "conv encoder": lambda size: (ConvEncoder((2, *size), 5, width=8), (image(size),)),
    "conv encoder, conditioned, without norms": lambda size: (
        ConvEncoder((2, *size), 5, width=4, depth=2, condition=C, normalize=False),
        (image(size), torch.randn(3, C)),
    ),
    "conv decoder": lambda size: (ConvDecoder(5, (2, *size), width=8), (torch.randn(3, 5),)),
    "conv decoder, conditioned, without norms": lambda size: (
        ConvDecoder(5, (2, *size), parameters=2, width=4, condition=C, normalize=False),
        (torch.randn(3, 5), torch.randn(3, C)),
    ),
    "conv resnet": lambda size: (
        ConvResNet(2, 3, width=8, condition=C, zero_init=True),
        (image(size), torch.randn(3, C)),
    ),
    "u-net": lambda size: (UNet((2, *size), 3, width=8, condition=C), (image(size), torch.randn(3, C))),
    "denoiser of images": lambda size: (
        denoiser((2, *size), width=8, depth=1, condition=C),
        (image(size), torch.rand(3), torch.randn(3, C)),
    ),
}

CASES = [pytest.param(make, id=name) for name, make in VECTORS.items()] + [
    pytest.param(lambda make=make, size=size: make(size), id=f"{name} {size}")
    for name, make in IMAGES.items()
    for size in SIZES
]


def built(make: Callable[[], Case]) -> Case:
    """The network in float64, with what starts at zero moved away from it: zeros would hide what lies before them."""
    torch.manual_seed(0)
    net, inputs = make()
    for weight in net.parameters():
        if not weight.any():
            nn.init.normal_(weight, std=0.3)
    return net.double(), tuple(value.double() for value in inputs)


@pytest.mark.parametrize("make", CASES)
def test_an_output_does_not_depend_on_the_rest_of_the_batch(make: Callable[[], Case]):
    net, inputs = built(make)
    alone = net(*(value[:1] for value in inputs))
    others = [value.clone() for value in inputs]
    for value in others:
        value[1:] = torch.nan  # whatever leaks is seen
    # Kernels may add in another order for another batch size: a few roundings of float64.
    assert torch.allclose(net(*others)[:1], alone, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("make", CASES)
def test_gradients_reach_every_parameter_and_every_input(make: Callable[[], Case]):
    net, inputs = built(make)
    inputs = [value.requires_grad_() for value in inputs]
    net(*inputs).square().sum().backward()
    still = [name for name, weight in net.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert not still
    assert all(value.grad is not None and value.grad.any() for value in inputs)


@pytest.mark.parametrize("make", CASES)
def test_a_copy_and_a_saved_one_compute_the_same(make: Callable[[], Case]):
    net, inputs = built(make)
    expected = net(*inputs)
    assert all(value.is_floating_point() for value in net.state_dict().values())
    torch.manual_seed(1)
    fresh = make()[0].double()
    # safetensors refuses tensors that share memory, so saving is a test of that too.
    fresh.load_state_dict(safetensors.torch.load(safetensors.torch.save(net.state_dict())))
    assert torch.equal(copy.deepcopy(net)(*inputs), expected)
    assert torch.equal(fresh(*inputs), expected)


TWICE = [
    *(pytest.param(VECTORS[name], id=name) for name in ("mlp conditioned", "residual mlp conditioned", "flat encoder")),
    *(pytest.param(lambda make=make: make((5, 3)), id=name) for name, make in IMAGES.items()),
]


@pytest.mark.parametrize("make", TWICE)
def test_second_derivatives_are_those_of_finite_differences(make: Callable[[], Case]):
    net, inputs = built(make)
    inputs = tuple(value[:1].requires_grad_() for value in inputs)
    assert torch.autograd.gradgradcheck(net, inputs, fast_mode=True)
