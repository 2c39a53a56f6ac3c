"""The decoder-only transformer between its embeddings: whole sequences for training, single steps for generation."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from pushforward.nn.attention import KeyValues, SelfAttention
from pushforward.nn.embedding import rotary

__all__ = ["Cache", "Transformer"]


class Cache:
    """What a transformer keeps of the positions it has seen; all of its memory is taken at once.

    Args:
        layers: room for keys and values, one per block.
        rotation: the rotary tables of all positions.

    Attributes:
        length: number of positions seen.
        capacity: number of positions there is room for.
    """

    def __init__(self, layers: list[KeyValues], rotation: tuple[Tensor, Tensor]) -> None:
        self.layers, self.rotation = layers, rotation
        self.length, self.capacity = 0, rotation[0].shape[0]


class Block(nn.Module):
    r"""One layer: attention mixes the positions, then a perceptron works on each; both are added to what came in.

    .. math:: h = x + \mathrm{attention}(\mathrm{norm}(x)), \qquad
              y = h + W_2 \,\mathrm{GELU}(W_1\, \mathrm{norm}(h))

    ``12 width^2 + 4 width`` parameters: 4 of attention, 8 of the perceptron (four times as wide inside), two norms.

    Reference:
        Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.3 (pre-norm).
    """

    def __init__(self, width: int, *, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads=heads)
        self.first = nn.Linear(width, 4 * width, bias=False)
        self.second = nn.Linear(4 * width, width, bias=False)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()

    def forward(
        self,
        x: Float[Tensor, "batch time width"],
        rotation: tuple[Tensor, Tensor] | None = None,
        memory: KeyValues | None = None,
        start: int = 0,
    ) -> Float[Tensor, "batch time width"]:
        """The arguments are those of :meth:`SelfAttention.forward <pushforward.nn.attention.SelfAttention>`."""
        h = x + self.dropout(self.attention(self.norm1(x), rotation, memory, start))
        return h + self.dropout(self.second(F.gelu(self.first(self.norm2(h)))))


class Transformer(nn.Module):
    r"""A stack of causal blocks and a last norm: output t is a function of inputs 1 ... t.

    Positions enter through rotations of queries and keys, so any length can follow training at another.
    ``12 depth width^2`` parameters, but for the norms.

    Args:
        width: length of a position's vector.
        depth: number of blocks.
        heads: attention heads per block; must divide half the width.
        dropout: probability with which each entry a block adds is dropped in training.

    Raises:
        InputError: if the heads do not fit the width.

    Reference:
        Vaswani et al. 2017, "Attention Is All You Need"; pre-norm blocks as in GPT-2 (Radford et al. 2019);
        rotary positions of Su et al. 2021.

    Example:
        >>> transformer = Transformer(8, depth=2, heads=2)
        >>> x = torch.randn(1, 5, 8)
        >>> cache = transformer.cache(batch=1, length=5)
        >>> steps = [transformer.step(x[:, :3], cache), transformer.step(x[:, 3:], cache)]
        >>> torch.allclose(torch.cat(steps, dim=1), transformer(x), atol=1e-5)
        True
    """

    def __init__(self, width: int, *, depth: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, heads=heads, dropout=dropout) for _ in range(depth))
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

    def cache(
        self, batch: int, length: int, *, device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> Cache:
        """An empty cache for ``batch`` sequences of up to ``length`` positions: ``2 depth batch length width`` numbers.

        Args:
            batch: number of sequences.
            length: most positions per sequence.
            device: where it lies; by default, with the weights.
            dtype: its type; by default, that of the weights.
        """
        weight = self.norm.weight
        device, dtype = device or weight.device, dtype or weight.dtype
        shape = (batch, self.heads, length, self.head_dim)
        layers = [
            KeyValues(torch.zeros(shape, device=device, dtype=dtype), torch.zeros(shape, device=device, dtype=dtype))
            for _ in self.blocks
        ]
        return Cache(layers, rotary(torch.arange(length, device=device), self.head_dim, dtype=dtype))

    @torch.no_grad()
    def step(self, x: Float[Tensor, "batch new width"], cache: Cache) -> Float[Tensor, "batch new width"]:
        """The outputs at the next positions, given all before them; appends these to the cache.

        No gradient is kept. A caller in ``torch.inference_mode()`` saves the bookkeeping of autograd as well.

        Args:
            x: the inputs at positions ``cache.length, cache.length + 1, ...``.
            cache: from :meth:`cache`.

        Raises:
            ValueError: if the cache has no room for them.
        """
        start, new = cache.length, x.shape[1]
        if start + new > cache.capacity:
            raise ValueError(f"x: got {new} positions, the cache has room for {cache.capacity - start} more")
        cos, sin = cache.rotation
        rotation = cos.narrow(0, start, new), sin.narrow(0, start, new)
        for block, memory in zip(self.blocks, cache.layers, strict=True):
            x = block(x, rotation, memory, start)
        cache.length = start + new
        return self.norm(x)
