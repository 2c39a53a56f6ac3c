r"""Several codebooks for one vector: one after another on what is left, or side by side on parts of it.

* *Residual*: level l quantises what the levels before it have left over,

  .. math:: r_1 = z, \qquad r_{l+1} = r_l - e^{(l)}_{k_l}, \qquad q(z) = \sum_l e^{(l)}_{k_l};

  K codes at each of L levels stand for K^L vectors at the cost of L searches.
* *Product*: the entries of z are cut into L groups of equal length, each with a codebook of its own.

Reference:
    Zeghidour et al. 2021, "SoundStream", section III-C; Jégou et al. 2011, "Product Quantization for Nearest Neighbor
    Search", section II-B.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pushforward.autoencoders.codebook import Codebook
from pushforward.autoencoders.quantizer import Pass, Quantized, Quantizer, passed
from pushforward.core.errors import InputError

__all__ = ["Product", "Residual"]


class Residual(Quantizer):
    """Codebooks one after another, each on what those before it have left.

    Args:
        levels: the codebooks, all of one size and length, none of them by cosine (a remainder has no place on the
            sphere).
        gradient: how it passes.

    Raises:
        InputError: if the codebooks do not go together.

    Example:
        >>> residual = Residual([Codebook(8, 3), Codebook(8, 3)]).eval()
        >>> found = residual(torch.randn(5, 3))
        >>> found.indices.shape, bool(torch.allclose(residual.vectors(found.indices), found.vectors))
        (torch.Size([5, 2]), True)
    """

    def __init__(self, levels: list[Codebook], *, gradient: Pass = "straight-through") -> None:
        super().__init__()
        check_alike(levels)
        if any(level.cosine for level in levels):
            raise InputError("cosine: got True for a residual quantiser, expected False")
        self.levels = nn.ModuleList(levels)
        self.size, self.dim, self.count = levels[0].size, levels[0].dim, len(levels)
        self.gradient: Pass = gradient

    def forward(self, z: Float[Tensor, "n dim"]) -> Quantized:
        q, indices, losses = torch.zeros_like(z), [], []
        for level in self.levels:
            found = codebook_of(level).assign(z - q)  # the codes so far are constants: the gradient goes to z
            q = q + found.vectors
            indices.append(found.indices)
            losses.append(found.loss)
        return Quantized(passed(z, q, self.gradient), torch.cat(indices, 1), torch.stack(losses).sum(0))

    def vectors(self, indices: Int[Tensor, "n count"]) -> Float[Tensor, "n dim"]:
        parts = [codebook_of(level).vectors(indices[:, i : i + 1]) for i, level in enumerate(self.levels)]
        return torch.stack(parts).sum(0)

    def learn(self) -> None:
        for level in self.levels:
            codebook_of(level).learn()


class Product(Quantizer):
    """Codebooks side by side, each for a group of the entries.

    Args:
        groups: the codebooks, all of one size and length; each passes its own gradient.

    Raises:
        InputError: if the codebooks do not go together.

    Example:
        >>> product = Product([Codebook(8, 3), Codebook(8, 3)]).eval()
        >>> product.dim, product.vectors(torch.tensor([[1, 7]])).shape
        (6, torch.Size([1, 6]))
    """

    def __init__(self, groups: list[Codebook]) -> None:
        super().__init__()
        check_alike(groups)
        self.groups = nn.ModuleList(groups)
        self.size, self.dim, self.count = groups[0].size, sum(group.dim for group in groups), len(groups)

    def forward(self, z: Float[Tensor, "n dim"]) -> Quantized:
        found = [group(part) for group, part in zip(self.groups, z.chunk(self.count, 1), strict=True)]
        vectors, indices = (torch.cat(parts, 1) for parts in list(zip(*found, strict=True))[:2])
        return Quantized(vectors, indices, torch.stack([each.loss for each in found]).sum(0))

    def vectors(self, indices: Int[Tensor, "n count"]) -> Float[Tensor, "n dim"]:
        parts = [codebook_of(group).vectors(indices[:, i : i + 1]) for i, group in enumerate(self.groups)]
        return torch.cat(parts, 1)

    def learn(self) -> None:
        for group in self.groups:
            codebook_of(group).learn()


def check_alike(codebooks: list[Codebook]) -> None:
    """Raise ``InputError`` unless there are codebooks, all of one size and length."""
    shapes = sorted({(each.size, each.dim) for each in codebooks})
    if len(shapes) != 1:
        raise InputError(f"codebooks: got sizes and lengths {shapes}, expected at least one codebook, all alike")


def codebook_of(module: nn.Module) -> Codebook:
    """The codebook that a module of the list is."""
    assert isinstance(module, Codebook)
    return module
