"""Ways to spoil what an encoder reads, so that it must learn what examples are like to make up for it."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from pushforward.core.errors import InputError
from pushforward.core.noise import Noise

__all__ = ["Corruption", "check_corruption", "corrupt"]

Corruption = Literal["none", "gaussian", "masking", "salt-and-pepper"]


def check_corruption(kind: Corruption, level: float) -> None:
    """Raise ``InputError`` for an unknown kind or a level it cannot have."""
    match kind:
        case "none":
            return
        case "gaussian":
            most = float("inf")
        case "masking" | "salt-and-pepper":
            most = 1.0
        case _:
            raise InputError(f"corruption: got {kind!r}, expected none, gaussian, masking or salt-and-pepper")
    if not 0 < level <= most:
        raise InputError(f"corruption_level: got {level} for {kind}, expected more than 0 and at most {most:g}")


def corrupt(
    x: Float[Tensor, "batch *shape"], kind: Corruption, level: float, *, noise: Noise
) -> Float[Tensor, "batch *shape"]:
    r"""A draw from q(x' | x), independently for every number of x, which are of order one.

    * ``gaussian``: :math:`x' = x + a\,\epsilon`, :math:`\epsilon \sim N(0, 1)`;
    * ``masking``: x' is 0 with probability a, otherwise x;
    * ``salt-and-pepper``: x' is -1 or 1 with probability a/2 each (black or white, in pictures), otherwise x.

    Args:
        x: what an encoder reads.
        kind: of the corruption.
        level: a; a standard deviation, or the share of numbers that are lost.
        noise: as many rows as x.

    Reference:
        Vincent et al. 2010, "Stacked Denoising Autoencoders", section 3.3.

    Example:
        >>> corrupt(torch.full((1, 8), 5.0), "salt-and-pepper", 1.0, noise=Noise(0, rows=1)).abs().tolist()
        [[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]]
    """
    match kind:
        case "none":
            return x
        case "gaussian":
            return x + level * noise.normal(*x.shape[1:], like=x)
        case "masking":
            return torch.where(noise.uniform(*x.shape[1:], like=x) < level, 0.0, x)
        case "salt-and-pepper":
            u = noise.uniform(*x.shape[1:], like=x)
            ends = torch.where(u < level / 2, -1.0, 1.0).to(x.dtype)
            return torch.where(u < level, ends, x)
        case _:
            raise InputError(f"corruption: got {kind!r}, expected none, gaussian, masking or salt-and-pepper")
