"""Times and positions as vectors a network can tell apart: sines and cosines, rotations, or a learned table."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

__all__ = ["LearnedPositions", "rotary", "rotate", "sinusoidal"]


def sinusoidal(t: Float[Tensor, "batch"], dim: int, *, max_frequency: float = 1000.0) -> Float[Tensor, "batch dim"]:
    r"""Sines and cosines of a scalar, at frequencies spaced geometrically from 1 to ``max_frequency``.

    .. math:: (\cos \omega_k t)_k, (\sin \omega_k t)_k, \qquad \omega_k = \omega_{\max}^{k / (K - 1)}, \quad 0 \le k < K

    For t in [0, 1] the slowest pair moves through one radian (so it orders all times) and with the default the
    fastest moves by one radian in a thousandth (so it tells a thousand diffusion steps apart).

    Args:
        t: the scalars, in [0, 1] for the default frequencies.
        dim: length of the vector; an odd one loses the last sine.
        max_frequency: the highest frequency, in radians per unit of t.

    Reference:
        Vaswani et al. 2017, "Attention Is All You Need", section 3.5, with t for the position.

    Example:
        >>> sinusoidal(torch.zeros(1), 4).tolist()
        [[1.0, 1.0, 0.0, 0.0]]
    """
    pairs = (dim + 1) // 2
    exponents = torch.linspace(0, 1, pairs, dtype=t.dtype, device=t.device)
    angles = t[:, None] * max_frequency**exponents
    return torch.cat((angles.cos(), angles.sin()), dim=-1)[:, :dim]


class LearnedPositions(nn.Module):
    """A learned vector added at every position, for sequences of one layout: pixels, columns of a table.

    Args:
        length: the largest number of positions.
        width: length of the vectors.

    Example:
        >>> LearnedPositions(10, 4)(torch.zeros(2, 1, 4), start=9).shape
        torch.Size([2, 1, 4])
    """

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(length, width))
        nn.init.normal_(self.table, std=0.02)  # small beside token embeddings, as in GPT-2 (Radford et al. 2019)

    def forward(self, x: Float[Tensor, "batch time width"], start: int = 0) -> Float[Tensor, "batch time width"]:
        """x with the vectors of positions ``start, start + 1, ...`` added."""
        return x + self.table[start : start + x.shape[-2]]


def rotary(
    positions: Int[Tensor, "time"], dim: int, *, dtype: torch.dtype, base: float = 10_000.0
) -> tuple[Float[Tensor, "time dim"], Float[Tensor, "time dim"]]:
    r"""Tables of the rotations that mark a position t: the cosines, and the sines with the sign :func:`rotate` needs.

    .. math:: \theta_{t,k} = t \, b^{-2k/d}, \qquad k = 0 \ldots d/2 - 1

    Args:
        positions: t.
        dim: d, even: the length of the queries and keys of one head.
        dtype: type of the tables; the angles are taken in float32 at least, since t can be large.
        base: b; the slowest pair turns once in about ``2 pi b`` positions.

    Reference:
        Su et al. 2021, "RoFormer: Enhanced Transformer with Rotary Position Embedding", eq. 15 and 34.
    """
    precise = torch.promote_types(dtype, torch.float32)
    angles = positions[:, None] * base ** -(torch.arange(0, dim, 2, dtype=precise, device=positions.device) / dim)
    cos, sin = angles.cos().to(dtype), angles.sin().to(dtype)
    return torch.cat((cos, cos), dim=-1), torch.cat((-sin, sin), dim=-1)


def rotate(
    x: Float[Tensor, "*batch time dim"], table: tuple[Float[Tensor, "time dim"], Float[Tensor, "time dim"]]
) -> Float[Tensor, "*batch time dim"]:
    r"""Turn the pairs :math:`(x_k, x_{k+d/2})` of every position by its angles.

    .. math:: (x_k, x_{k+d/2}) \leftarrow (x_k \cos\theta_k - x_{k+d/2} \sin\theta_k,\;
              x_{k+d/2} \cos\theta_k + x_k \sin\theta_k)

    The inner product of a rotated query and a rotated key then depends on their positions through the
    difference only.

    Example:
        >>> quarter_turn = torch.zeros(1, 2), torch.tensor([[-1.0, 1.0]])
        >>> rotate(torch.tensor([[1.0, 0.0]]), quarter_turn).tolist()
        [[0.0, 1.0]]
    """
    cos, sin = table
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, dims=-1), sin)
