"""Transformers for sequences (C, T): one that reads a sequence into a vector, one that writes a vector as one."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pushforward.nn.transformer import Transformer

__all__ = ["SequenceDecoder", "SequenceEncoder"]

#: Numbers a head works on: 64 in Vaswani et al. 2017; half of it leaves narrow networks several heads.
HEAD = 32

# Positions start with entries of order one, unlike in a language model: the mean over positions forgets their order
# but for these vectors, and a decoder has nothing else to tell its positions apart.


class SequenceEncoder(nn.Module):
    r"""A transformer that sees the whole sequence; the mean of its outputs becomes the result.

    .. math:: y = B \,\frac{1}{T} \sum_t \mathrm{Transformer}(A (x_t, c) + p_t)

    Args:
        shape: (C, T) of x, or (T,) for one channel.
        outputs: length of the result.
        width: length of a position's vector, even.
        depth: blocks.
        condition: length of c, which every position reads as well; 0 for none.

    Example:
        >>> SequenceEncoder((3, 7), 4, width=8, depth=1)(torch.zeros(2, 3, 7)).shape
        torch.Size([2, 4])
    """

    def __init__(self, shape: tuple[int, ...], outputs: int, *, width: int, depth: int, condition: int = 0) -> None:
        super().__init__()
        self.inward = nn.Linear(math.prod(shape[:-1]) + condition, width)
        self.positions = nn.Parameter(torch.randn(shape[-1], width))
        self.net = Transformer(width, depth=depth, heads=_heads(width), causal=False)
        self.head = nn.Linear(width, outputs)

    def forward(
        self, x: Float[Tensor, "batch *shape"], c: Float[Tensor, "batch condition"] | None = None
    ) -> Float[Tensor, "batch outputs"]:
        steps = x.reshape(len(x), -1, x.shape[-1]).transpose(1, 2)
        if c is not None:
            steps = torch.cat((steps, c[:, None].expand(-1, steps.shape[1], -1)), dim=2)
        return self.head(self.net(self.inward(steps) + self.positions).mean(1))


class SequenceDecoder(nn.Module):
    r"""A transformer that reads z and c at every position and writes all positions at once.

    .. math:: y_t = B \,\mathrm{Transformer}(A (z, c) + p_t)

    Given z the positions are independent, as in :class:`~pushforward.nn.recurrent.RecurrentDecoder`.

    Args:
        inputs: length of z.
        shape: (C, T) of the sequence, or (T,) for one channel.
        parameters: numbers per entry of the result.
        width: length of a position's vector, even.
        depth: blocks.
        condition: length of c; 0 for none.

    Example:
        >>> SequenceDecoder(4, (7,), parameters=5, width=8, depth=1)(torch.zeros(2, 4)).shape
        torch.Size([2, 5, 7])
    """

    def __init__(
        self, inputs: int, shape: tuple[int, ...], *, parameters: int, width: int, depth: int, condition: int = 0
    ) -> None:
        super().__init__()
        self.shape = (parameters, *shape)
        self.positions = nn.Parameter(torch.randn(shape[-1], width))
        self.inward = nn.Linear(inputs + condition, width)
        self.net = Transformer(width, depth=depth, heads=_heads(width), causal=False)
        self.head = nn.Linear(width, parameters * math.prod(shape[:-1]))

    def forward(
        self, z: Float[Tensor, "batch inputs"], c: Float[Tensor, "batch condition"] | None = None
    ) -> Float[Tensor, "batch parameters *shape"]:
        told = self.inward(z if c is None else torch.cat((z, c), dim=1))
        steps = self.net(told[:, None] + self.positions)
        return self.head(steps).transpose(1, 2).reshape(len(z), *self.shape)


def _heads(width: int) -> int:
    """The most heads of at least 32 numbers that the width can be dealt out to in pairs."""
    return next(heads for heads in range(max(width // HEAD, 1), 0, -1) if width % (2 * heads) == 0 or heads == 1)
