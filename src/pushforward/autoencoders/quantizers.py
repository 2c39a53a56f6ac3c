"""Quantisers by name, with the number of codes that was asked for, or as near to it as their kind can have."""

import math
from functools import partial
from typing import Literal

from pushforward.autoencoders.codebook import Codebook
from pushforward.autoencoders.composite import Product, Residual
from pushforward.autoencoders.lookup_free import FiniteScalar, LookupFree, even_levels
from pushforward.autoencoders.quantizer import Pass, Quantizer
from pushforward.core.errors import InputError

__all__ = ["QuantizerName", "code_counts", "quantizer_of"]

QuantizerName = Literal["codebook", "residual", "product", "fsq", "lfq"]


def code_counts(name: QuantizerName, *, codes: int, levels: int) -> tuple[int, int]:
    """(number of codes, indices of one vector) of the quantiser of that name.

    Raises:
        InputError: for an unknown name, or a number out of range.

    Example:
        >>> code_counts("residual", codes=512, levels=3), code_counts("lfq", codes=1000, levels=3)
        ((512, 3), (512, 1))
    """
    if codes < 2:
        raise InputError(f"codes: got {codes}, expected at least 2")
    if levels < 1:
        raise InputError(f"levels: got {levels}, expected at least 1")
    match name:
        case "codebook":
            return codes, 1
        case "residual" | "product":
            return codes, levels
        case "fsq":
            return math.prod(even_levels(codes)), 1
        case "lfq":
            return 2 ** (codes.bit_length() - 1), 1
        case _:
            raise InputError(f"quantizer: got {name!r}, expected 'codebook', 'residual', 'product', 'fsq' or 'lfq'")


def quantizer_of(
    name: QuantizerName,
    *,
    codes: int,
    dim: int,
    levels: int = 2,
    update: Literal["ema", "gradient"] = "ema",
    gradient: Pass = "straight-through",
    cosine: bool = False,
    commitment: float = 0.25,
    start: Literal["k-means", "normal"] = "k-means",
    revive: bool = True,
) -> Quantizer:
    """A quantiser.

    Args:
        name: one codebook, several ("residual", "product"), or a grid without a codebook ("fsq", "lfq").
        codes: of each codebook; a grid has as many or a few less: the product of some whole numbers, a power of two.
        dim: length of a vector of codebooks; a grid has a length of its own.
        levels: codebooks of "residual" and "product".
        update: of codebooks, as are the rest; see ``codebook.py``.
        gradient: how it passes.
        cosine: whether angles are compared.
        commitment: weight of the distance of a vector from its code.
        start: where codebooks begin.
        revive: whether dead codes are moved.

    Raises:
        InputError: for an unknown name, or a number out of range.

    Example:
        >>> quantizer = quantizer_of("fsq", codes=512, dim=16)
        >>> quantizer.size, quantizer.dim
        (512, 3)
    """
    codebook = partial(
        Codebook,
        codes,
        update=update,
        gradient=gradient,
        cosine=cosine,
        commitment=commitment,
        start=start,
        revive=revive,
    )
    size, _ = code_counts(name, codes=codes, levels=levels)
    match name:
        case "codebook":
            return codebook(dim)
        case "residual":
            return Residual([codebook(dim) for _ in range(levels)], gradient=gradient)
        case "product":
            if dim % levels:
                raise InputError(f"levels: got {levels} groups of vectors of length {dim}, expected a divisor of it")
            return Product([codebook(dim // levels) for _ in range(levels)])
        case "fsq":
            return FiniteScalar(even_levels(codes))
        case "lfq":
            return LookupFree(size.bit_length() - 1, commitment=commitment)
