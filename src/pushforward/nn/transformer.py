"""The decoder-only transformer between its embeddings: whole sequences for training, single steps for generation."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from pushforward.nn.attention import SelfAttention
from pushforward.nn.cache import Cache, CachedBlock, advance
from pushforward.nn.embedding import rotary

__all__ = ["Block", "Transformer"]


class Block(nn.Module):
    r"""One layer: attention mixes the positions, then a gated perceptron works on each; both are added to what came in.

    .. math:: h = x + \mathrm{attention}(\mathrm{norm}(x)), \qquad
              y = h + W_2 \,(\mathrm{SiLU}(G\, \mathrm{norm}(h)) \odot U\, \mathrm{norm}(h))

    G and U, kept as one matrix, are about 8/3 times as wide as x: so the three matrices hold the ``8 width^2`` weights
    of the usual two. With 4 of attention and the two norms, ``12 width^2 + 4 width`` parameters.

    Args:
        width: length of a position's vector.
        heads: attention heads.
        dropout: probability with which each entry of what is added is dropped in training.
        causal: as in :class:`~pushforward.nn.attention.SelfAttention`.

    Reference:
        Shazeer 2020, "GLU Variants Improve Transformer", eq. 6 (SwiGLU); Radford et al. 2019, "Language Models are
        Unsupervised Multitask Learners", section 2.3 (pre-norm).
    """

    def __init__(self, width: int, *, heads: int, dropout: float = 0.0, causal: bool = True) -> None:
        super().__init__()
        hidden = 8 * -(-width // 3)  # 8/3 of the width, in whole eights, which matrix kernels like
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads=heads, causal=causal)
        self.first = nn.Linear(width, 2 * hidden, bias=False)
        self.second = nn.Linear(hidden, width, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Float[Tensor, "batch time width"], rotation: tuple[Tensor, Tensor] | None = None
    ) -> Float[Tensor, "batch time width"]:
        """The rotation is that of :class:`~pushforward.nn.attention.SelfAttention`."""
        h = x + self.dropout(self.attention(self.norm1(x), rotation))
        gate, up = self.first(self.norm2(h)).chunk(2, dim=-1)
        return h + self.dropout(self.second(F.silu(gate) * up))


class Transformer(nn.Module):
    r"""A stack of blocks and a last norm; causal, as it is by default, output t is a function of inputs 1 ... t.

    Positions enter through rotations of queries and keys, so that attention depends on distances and a length not seen
    in training can follow. ``12 depth width^2`` parameters, but for the norms.

    Args:
        width: length of a position's vector.
        depth: number of blocks.
        heads: attention heads per block; must divide half the width.
        dropout: probability with which each entry a block adds is dropped in training.
        causal: whether output t is a function of inputs 1 ... t only; False is for whole sequences, without ``step``.

    Raises:
        InputError: if the heads do not fit the width.

    Reference:
        Vaswani et al. 2017, "Attention Is All You Need"; Su et al. 2021, "RoFormer" (rotary positions).

    Example:
        >>> transformer = Transformer(8, depth=2, heads=2)
        >>> x = torch.randn(1, 5, 8)
        >>> cache = transformer.cache(batch=1, length=5)
        >>> steps = [transformer.step(x[:, :3], cache), transformer.step(x[:, 3:], cache)]
        >>> torch.allclose(torch.cat(steps, dim=1), transformer(x), atol=1e-5)
        True
    """

    def __init__(self, width: int, *, depth: int, heads: int, dropout: float = 0.0, causal: bool = True) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, heads=heads, dropout=dropout, causal=causal) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.heads, self.head_dim = heads, width // heads
        with torch.no_grad():  # 2 depth independent terms are added up: their sum shall have the variance of one
            for name, weight in self.named_parameters():
                if name.endswith(("attention.out.weight", "second.weight")):
                    weight.mul_((2 * depth) ** -0.5)

    def forward(self, x: Float[Tensor, "batch time width"]) -> Float[Tensor, "batch time width"]:
        rotation = rotary(torch.arange(x.shape[1], device=x.device), self.head_dim, dtype=x.dtype)
        for block in self.blocks:
            x = block(x, rotation)
        return self.norm(x)

    def cache(self, batch: int, length: int) -> Cache:
        """An empty cache for ``batch`` sequences of up to ``length`` positions: ``2 depth batch length width`` numbers.

        Args:
            batch: number of sequences.
            length: most positions per sequence.
        """
        room = self.norm.weight.new_zeros(len(self.blocks), 2, batch, self.heads, length, self.head_dim)
        blocks = [_cached(block, keys, values) for block, (keys, values) in zip(self.blocks, room, strict=True)]
        return Cache(blocks, rotary(torch.arange(length, device=room.device), self.head_dim, dtype=room.dtype))

    @torch.no_grad()
    def step(self, x: Float[Tensor, "batch new width"], cache: Cache) -> Float[Tensor, "batch new width"]:
        """The outputs at the next positions, given all before them, which the cache then also holds.

        Without dropout and without gradients; inside ``torch.inference_mode()`` it is quicker still.

        Args:
            x: the inputs at positions ``cache.length, cache.length + 1, ...``.
            cache: from :meth:`cache`.

        Raises:
            ValueError: if the cache has no room for them.
        """
        return self.norm(advance(x, cache))


def _cached(block: nn.Module, keys: Tensor, values: Tensor) -> CachedBlock:
    weight = block.get_parameter
    return CachedBlock(
        norm1=(weight("norm1.weight"), weight("norm1.bias")),
        qkv=weight("attention.qkv.weight"),
        out=weight("attention.out.weight").t(),
        norm2=(weight("norm2.weight"), weight("norm2.bias")),
        first=weight("first.weight"),
        second=weight("second.weight").t(),
        keys=keys,
        values=values,
    )
