import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pushforward.nn.mlp import MLP, ResidualMLP, activation_layer


def parameters(net: nn.Module) -> int:
    return sum(weight.numel() for weight in net.parameters())


def test_it_is_the_plain_stack_of_layers():
    mlp = MLP(3, 2, width=5, depth=2, activation="tanh")
    first, second, last = (layer for layer in mlp.layers if isinstance(layer, nn.Linear))
    assert [type(layer) for layer in mlp.layers] == [nn.Linear, nn.Tanh, nn.Linear, nn.Tanh, nn.Linear]
    x = torch.randn(4, 3)
    assert torch.equal(mlp(x), last(torch.tanh(second(torch.tanh(first(x))))))


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_parameters_are_as_many_as_the_docstring_says(depth: int):
    d, c, h, k = 3, 2, 7, 5
    expected = (d + c + 1) * h + (depth - 1) * (h + 1) * h + (h + 1) * k if depth else (d + c + 1) * k
    assert parameters(MLP(d, k, width=h, depth=depth, condition=c)) == expected


def test_the_condition_is_a_further_input():
    conditioned, plain = MLP(2, 1, width=4, condition=3), MLP(5, 1, width=4)
    plain.load_state_dict(conditioned.state_dict())
    x, c = torch.randn(6, 2), torch.randn(6, 3)
    assert torch.equal(conditioned(x, c), plain(torch.cat((x, c), dim=1)))


def test_a_condition_is_neither_ignored_nor_forgotten():
    with pytest.raises(RuntimeError, match="shapes"):
        MLP(2, 1)(torch.zeros(1, 2), torch.zeros(1, 3))
    with pytest.raises(RuntimeError, match="shapes"):
        MLP(2, 1, condition=3)(torch.zeros(1, 2))


@pytest.mark.parametrize("kind", [MLP, ResidualMLP])
def test_zero_init_starts_at_zero_and_can_leave_it(kind: type[nn.Module]):
    net = kind(2, 3, width=8, zero_init=True)
    y = net(torch.randn(4, 2))
    assert not y.any()
    (y - 1).square().sum().backward()
    last = list(net.parameters())[-2]
    assert last.shape == (3, 8)
    assert last.grad.any()


@pytest.mark.parametrize(
    ("name", "function"),
    [("silu", F.silu), ("relu", F.relu), ("tanh", torch.tanh), ("leaky_relu", lambda x: torch.maximum(x, 0.2 * x))],
)
def test_activations_are_what_they_are_called(name, function):
    x = torch.linspace(-3, 3, 13)
    assert torch.equal(activation_layer(name)(x), function(x))


def test_an_unknown_activation_is_refused():
    with pytest.raises(ValueError, match="got 'gelu', accepted are silu, relu, tanh and leaky_relu"):
        activation_layer("gelu")


def test_a_residual_mlp_is_its_formula():
    net = ResidualMLP(3, 2, width=6, depth=1, condition=4)
    x, c = torch.randn(5, 3), torch.randn(5, 4)
    h, block = net.inward(x), net.blocks[0]
    scale, shift = block.modulate.affine(c).chunk(2, dim=1)
    steered = F.layer_norm(h, (6,)) * (1 + scale) + shift  # the norm's own scale and shift start at one and zero
    h = h + block.second(F.silu(block.first(steered)))
    # another order of the same few operations in float32
    assert torch.allclose(net(x, c), net.outward(F.silu(F.layer_norm(h, (6,)))), atol=1e-6)


def test_a_residual_block_has_as_many_parameters_as_the_docstring_says():
    h, c = 6, 4
    per_block = parameters(ResidualMLP(3, 2, width=h, depth=2, condition=c)) - parameters(
        ResidualMLP(3, 2, width=h, depth=1, condition=c)
    )
    assert per_block == 2 * h * h + 4 * h + 2 * h * (c + 1)
