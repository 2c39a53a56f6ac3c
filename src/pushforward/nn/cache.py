"""Generation one position at a time: what a transformer keeps of the positions it has seen, and one step onward.

A step is the formulas of :class:`~pushforward.nn.transformer.Block` once more, in the fewest operations: for a single
position, calling layers and looking up weights takes as long as the arithmetic. So weights are looked up once, when
the cache is made, matrices are applied to a flat (positions, width), and sums are fused into the products before them.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from pushforward.nn.attention import attend
from pushforward.nn.embedding import rotate

__all__ = ["Cache", "CachedBlock", "advance"]


class CachedBlock(NamedTuple):
    """What a step needs of one block: its weights, and room for keys and values, filled from the front."""

    norm1: tuple[Tensor, Tensor]  # scale and shift
    qkv: Float[Tensor, "width3 width"]
    out: Float[Tensor, "width width"]  # transposed, as are all that end a residual branch
    norm2: tuple[Tensor, Tensor]
    first: Float[Tensor, "hidden2 width"]
    second: Float[Tensor, "hidden width"]
    keys: Float[Tensor, "batch heads length dim"]
    values: Float[Tensor, "batch heads length dim"]


class Cache:
    """The blocks with the keys and values of all positions seen; its memory is taken at once.

    Args:
        blocks: one per layer.
        rotation: the rotary tables of all positions.

    Attributes:
        length: number of positions seen.
        capacity: number of positions there is room for.
    """

    def __init__(self, blocks: list[CachedBlock], rotation: tuple[Tensor, Tensor]) -> None:
        self.blocks, self.rotation = blocks, rotation
        self.length, self.capacity = 0, rotation[0].shape[0]


def advance(x: Float[Tensor, "batch new width"], cache: Cache) -> Float[Tensor, "batch new width"]:
    """What the last block gives at the next ``new`` positions; their keys and values are written into the cache.

    Raises:
        ValueError: if the cache has no room for them.
    """
    (batch, new, width), start = x.shape, cache.length
    end = start + new
    if end > cache.capacity:
        raise ValueError(f"x: got {new} positions, the cache has room for {cache.capacity - start} more")
    rotation = cache.rotation[0].narrow(0, start, new), cache.rotation[1].narrow(0, start, new)
    heads, norm = cache.blocks[0].keys.shape[1], (width,)
    h = x.reshape(batch * new, width)
    for norm1, qkv, out, norm2, first, second, keys, values in cache.blocks:
        mixed = F.linear(F.layer_norm(h, norm, *norm1), qkv).view(batch, new, 3 * heads, -1).transpose(1, 2)
        pair, value = mixed.split((2 * heads, heads), dim=1)
        query, key = rotate(pair, rotation).chunk(2, dim=1)
        keys.narrow(2, start, new).copy_(key)
        values.narrow(2, start, new).copy_(value)
        seen = attend(query, keys.narrow(2, 0, end), values.narrow(2, 0, end))
        h = torch.addmm(h, seen.transpose(1, 2).reshape(batch * new, width), out)
        gate, up = F.linear(F.layer_norm(h, norm, *norm2), first).chunk(2, dim=-1)
        h = torch.addmm(h, F.silu(gate) * up, second)
    cache.length = end
    return h.view(batch, new, width)
