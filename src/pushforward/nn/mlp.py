"""Networks for vectors: the multilayer perceptron, and one with residual blocks for deep or conditioned maps."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from pushforward.nn.modulation import Modulation

__all__ = ["MLP", "Activation", "ResidualMLP", "activation_layer", "zero_"]

Activation = Literal["silu", "relu", "tanh", "leaky_relu"]


def activation_layer(name: Activation) -> nn.Module:
    """The layer of a non-linearity.

    Raises:
        ValueError: for an unknown name.

    Example:
        >>> activation_layer("leaky_relu")(torch.tensor([-1.0])).item()
        -0.2
    """
    match name:
        case "silu":
            return nn.SiLU()
        case "relu":
            return nn.ReLU()
        case "tanh":
            return nn.Tanh()
        case "leaky_relu":
            return nn.LeakyReLU(0.2)  # the slope GAN critics are trained with since Radford et al. 2016
        case _:
            raise ValueError(f"activation: got {name!r}, accepted are silu, relu, tanh and leaky_relu")


def zero_(layer: nn.Module, *, when: bool = True) -> nn.Module:
    """Set the weights of a layer to zero, so that a network starts as the zero map; in place, and returned."""
    for weight in layer.parameters() if when else ():
        nn.init.zeros_(weight)
    return layer


class MLP(nn.Module):
    r"""Multilayer perceptron; the condition is a further input.

    .. math:: h_0 = (x, c), \qquad h_{l+1} = \sigma(W_l h_l + b_l), \qquad y = W_L h_L + b_L

    With width H, L hidden layers and D inputs, C conditions, K outputs it has
    ``(D + C + 1) H + (L - 1) (H + 1) H + (H + 1) K`` parameters. Without condition it is the bare stack of layers.

    Args:
        inputs: length of x.
        outputs: length of y.
        width: units of a hidden layer.
        depth: number of hidden layers; 0 is a single linear map.
        condition: length of c; 0 for none.
        activation: the non-linearity.
        zero_init: whether the last layer starts at zero, so that y does.

    Example:
        >>> MLP(2, 3, width=16, condition=4)(torch.zeros(5, 2), torch.zeros(5, 4)).shape
        torch.Size([5, 3])
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        width: int = 256,
        depth: int = 2,
        condition: int = 0,
        activation: Activation = "silu",
        zero_init: bool = False,
    ) -> None:
        super().__init__()
        sizes = [inputs + condition, *[width] * depth, outputs]
        layers: list[nn.Module] = []
        for fan_in, fan_out in zip(sizes[:-1], sizes[1:], strict=True):
            layers += [nn.Linear(fan_in, fan_out), activation_layer(activation)]
        layers.pop()  # the last map is linear
        zero_(layers[-1], when=zero_init)
        self.layers = nn.Sequential(*layers)

    def forward(
        self, x: Float[Tensor, "batch inputs"], c: Float[Tensor, "batch condition"] | None = None
    ) -> Float[Tensor, "batch outputs"]:
        return self.layers(x if c is None else torch.cat((x, c), dim=-1))


class ResidualMLP(nn.Module):
    r"""Perceptron of pre-norm residual blocks, each steered by c (a time, a class) through :class:`Modulation`.

    .. math:: h \leftarrow h + W_2\,\sigma(W_1 \,\mathrm{mod}(\mathrm{norm}(h), c)), \qquad \sigma = \mathrm{SiLU}

    The identity path keeps gradients alive at any depth, and c reaches every block, not only the first.
    A block has ``2 H^2 + 4 H`` parameters at width H, and ``2 H (condition + 1)`` for the modulation.

    Args:
        inputs: length of x.
        outputs: length of y.
        width: H, units of h.
        depth: number of residual blocks.
        condition: length of c; 0 for none.
        zero_init: whether the last layer starts at zero, so that y does.

    Reference:
        He et al. 2016, "Identity Mappings in Deep Residual Networks", Fig. 4e (pre-activation).

    Example:
        >>> ResidualMLP(2, 2, width=16, depth=3, condition=4)(torch.zeros(5, 2), torch.zeros(5, 4)).shape
        torch.Size([5, 2])
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        width: int = 256,
        depth: int = 3,
        condition: int = 0,
        zero_init: bool = False,
    ) -> None:
        super().__init__()
        self.inward = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(_ResidualBlock(width, condition) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.outward = zero_(nn.Linear(width, outputs), when=zero_init)

    def forward(
        self, x: Float[Tensor, "batch inputs"], c: Float[Tensor, "batch condition"] | None = None
    ) -> Float[Tensor, "batch outputs"]:
        h = self.inward(x)
        for block in self.blocks:
            h = block(h, c)
        return self.outward(F.silu(self.norm(h)))


class _ResidualBlock(nn.Module):
    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.modulate = Modulation(width, condition=condition)
        self.first = nn.Linear(width, width)
        self.second = nn.Linear(width, width)

    def forward(self, h: Tensor, c: Tensor | None) -> Tensor:
        return h + self.second(F.silu(self.first(self.modulate(self.norm(h), c))))
