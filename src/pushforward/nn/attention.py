"""Causal self-attention: every position looks back at the ones before it, and a cache keeps what it saw of them."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from pushforward.core.errors import InputError
from pushforward.nn.embedding import rotate

__all__ = ["KeyValues", "SelfAttention", "attend"]


def attend(
    query: Float[Tensor, "*batch new dim"],
    key: Float[Tensor, "*batch seen dim"],
    value: Float[Tensor, "*batch seen dim"],
) -> Float[Tensor, "*batch new dim"]:
    r"""Causal scaled dot-product attention of the last ``new`` of ``seen`` positions.

    .. math:: y_i = \sum_{j \le i} a_{ij} v_j, \qquad
              a_{ij} = \frac{\exp(q_i \cdot k_j / \sqrt d)}{\sum_{l \le i} \exp(q_i \cdot k_l / \sqrt d)}

    The fused kernel is used, which has no second derivative on every device; a caller who needs one wraps the call in
    ``torch.nn.attention.sdpa_kernel(SDPBackend.MATH)``.

    Reference:
        Vaswani et al. 2017, "Attention Is All You Need", eq. 1.

    Example:
        >>> value = torch.tensor([[1.0], [3.0]])
        >>> attend(torch.zeros(2, 1), torch.zeros(2, 1), value).tolist()  # even weights on what has been seen
        [[1.0], [2.0]]
    """
    new, seen = query.shape[-2], key.shape[-2]
    if new == 1:  # the newest position sees everything
        return F.scaled_dot_product_attention(query, key, value)
    if new == seen:
        return F.scaled_dot_product_attention(query, key, value, is_causal=True)
    mask = torch.ones(new, seen, dtype=torch.bool, device=query.device).tril(seen - new)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)


class KeyValues(NamedTuple):
    """Room for the keys and values of one layer at every position, filled from the front."""

    keys: Float[Tensor, "batch heads length dim"]
    values: Float[Tensor, "batch heads length dim"]

    def write(self, key: Tensor, value: Tensor, start: int) -> tuple[Tensor, Tensor]:
        """Write new keys and values at position ``start``; returns all up to and with them, as views."""
        new = key.shape[-2]
        self.keys.narrow(2, start, new).copy_(key)
        self.values.narrow(2, start, new).copy_(value)
        return self.keys.narrow(2, 0, start + new), self.values.narrow(2, 0, start + new)


class SelfAttention(nn.Module):
    r"""Multi-head causal self-attention with rotary positions.

    .. math:: (q, k, v) = W_{qkv}\, x, \qquad y = W_o \,\mathrm{concat}_h \,\mathrm{attend}(R q_h, R k_h, v_h)

    where R turns queries and keys by their positions (:func:`~pushforward.nn.embedding.rotate`).
    ``4 width^2`` parameters, no biases.

    Args:
        width: length of a position's vector.
        heads: number of heads; each works on ``width / heads`` numbers, an even count.

    Raises:
        InputError: if the width cannot be dealt out to the heads in pairs.

    Example:
        >>> SelfAttention(8, heads=2)(torch.zeros(3, 5, 8)).shape
        torch.Size([3, 5, 8])
    """

    def __init__(self, width: int, *, heads: int) -> None:
        super().__init__()
        if heads < 1 or width % (2 * heads):
            raise InputError(f"heads: got {heads} for a width of {width}, accepted is any that divides half the width")
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(
        self,
        x: Float[Tensor, "batch time width"],
        rotation: tuple[Tensor, Tensor] | None = None,
        memory: KeyValues | None = None,
        start: int = 0,
    ) -> Float[Tensor, "batch time width"]:
        """Attention of the positions in x to themselves and, with a memory, to the ``start`` positions before them.

        Args:
            x: one vector per position.
            rotation: the tables of :func:`~pushforward.nn.embedding.rotary` for these positions; None for no turn.
            memory: the layer's keys and values so far; those of x are written into it.
            start: number of positions in the memory.
        """
        batch, time, width = x.shape
        qkv = self.qkv(x).view(batch, time, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        pair, value = qkv[:2], qkv[2]
        query, key = (pair if rotation is None else rotate(pair, rotation)).unbind(0)
        if memory is not None:
            key, value = memory.write(key, value, start)
        return self.out(attend(query, key, value).transpose(1, 2).reshape(batch, time, width))
