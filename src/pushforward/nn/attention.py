"""Self-attention: every position looks back at itself and the ones before it, or at all of them."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from pushforward.core.errors import InputError
from pushforward.nn.embedding import rotate

__all__ = ["SelfAttention", "attend"]


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


class SelfAttention(nn.Module):
    r"""Multi-head self-attention with rotary positions, causal unless told otherwise.

    .. math:: (q, k, v) = W_{qkv}\, x, \qquad y = W_o \,\mathrm{concat}_h \,\mathrm{attend}(R q_h, R k_h, v_h)

    where R turns queries and keys by their positions (:func:`~pushforward.nn.embedding.rotate`).
    ``4 width^2`` parameters, no biases.

    Args:
        width: length of a position's vector.
        heads: number of heads; each works on ``width / heads`` numbers, an even count.
        causal: whether a position looks back only; False lets it look at all of them (an encoder).

    Raises:
        InputError: if the width cannot be dealt out to the heads in pairs.

    Example:
        >>> SelfAttention(8, heads=2)(torch.zeros(3, 5, 8)).shape
        torch.Size([3, 5, 8])
    """

    def __init__(self, width: int, *, heads: int, causal: bool = True) -> None:
        super().__init__()
        if heads < 1 or width % (2 * heads):
            raise InputError(f"heads: got {heads} for a width of {width}, accepted is any that divides half the width")
        self.heads, self.causal = heads, causal
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(
        self, x: Float[Tensor, "batch time width"], rotation: tuple[Tensor, Tensor] | None = None
    ) -> Float[Tensor, "batch time width"]:
        """The heads' answers at every position.

        Args:
            x: one vector per position.
            rotation: the tables of :func:`~pushforward.nn.embedding.rotary` for these positions; None for no turn.
        """
        batch, time, width = x.shape
        heads = self.qkv(x).view(batch, time, 3 * self.heads, -1).transpose(1, 2)
        pair, value = heads.split((2 * self.heads, self.heads), dim=1)
        query, key = (pair if rotation is None else rotate(pair, rotation)).chunk(2, dim=1)
        look = attend if self.causal else F.scaled_dot_product_attention
        return self.out(look(query, key, value).transpose(1, 2).reshape(batch, time, width))
