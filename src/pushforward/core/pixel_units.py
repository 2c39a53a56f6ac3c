r"""Units of images: dequantised pixels, affine or through the logit, and pixels as codes.

A pixel of level :math:`k \in \{0, \dots, L-1\}` stands for the cell :math:`[k, k+1)`. With u uniform on [0, 1) the
dequantised value is :math:`v = (k + u)/L \in [0, 1)`, a volume factor of :math:`L` per pixel, so that

* affine: :math:`y = 2v - 1`, and :math:`\log|\mathrm{d}y/\mathrm{d}k| = \log(2/L)`;
* logit: :math:`s = \alpha + (1 - 2\alpha) v`, :math:`y = \log s - \log(1-s)`, and
  :math:`\log|\mathrm{d}y/\mathrm{d}k| = \log\frac{1-2\alpha}{L} - \log s - \log(1-s)` (Dinh et al. 2017, section 4.1).
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torch.nn.functional import logsigmoid

from pushforward.core.modality import Image
from pushforward.core.noise import Noise
from pushforward.core.units import Units

__all__ = ["PixelCodes", "Pixels"]

#: Distance kept from 0 and 1 before the logit; Dinh et al. 2017 take 0.05.
ALPHA = 0.05


@dataclass(frozen=True, kw_only=True)
class Pixels(Units):
    """Dequantised pixels as real numbers.

    Args:
        example: the images.
        scale: ``affine`` maps to [-1, 1); ``logit`` to the whole line.

    Example:
        >>> units = Pixels(example=Image(height=1, width=1, levels=2))
        >>> y, log_det = units.encode(torch.tensor([[[[1]]]], dtype=torch.uint8), noise=Noise(0, rows=1))
        >>> bool(0 <= y.item() < 1), round(log_det.item(), 6)
        (True, 0.0)
    """

    example: Image
    scale: Literal["affine", "logit"] = "affine"

    @property
    def shape(self) -> tuple[int, ...]:
        return self.example.shape

    @property
    def exact(self) -> bool:
        return False

    def encode(
        self, x: Int[Tensor, "batch c h w"], *, noise: Noise, dtype: torch.dtype = torch.float32
    ) -> tuple[Float[Tensor, "batch c h w"], Float[Tensor, "batch"]]:
        levels, entries = self.example.levels, math.prod(self.shape)
        y = x.to(dtype)
        y += noise.uniform(*self.shape, like=y)
        match self.scale:
            case "affine":
                y = y.div_(levels / 2).sub_(1)  # divided, so that the ends of cells come back exactly
                return y, y.new_full((len(x),), entries * math.log(2 / levels))
            case "logit":
                squeezed = ALPHA + (1 - 2 * ALPHA) * (y / levels)
                y = torch.logit(squeezed)
                # -log s - log(1 - s) = -log sigmoid(y) - log sigmoid(-y)
                slope = math.log((1 - 2 * ALPHA) / levels) - logsigmoid(y) - logsigmoid(-y)
                return y, slope.flatten(1).sum(1)
        raise ValueError(f"scale: got {self.scale!r}, expected 'affine' or 'logit'")

    def decode(self, y: Float[Tensor, "batch c h w"], *, noise: Noise) -> Int[Tensor, "batch c h w"]:
        v = (y + 1) / 2 if self.scale == "affine" else (torch.sigmoid(y) - ALPHA) / (1 - 2 * ALPHA)
        levels = self.example.levels
        return (v * levels).floor().clamp(0, levels - 1).to(torch.uint8)


@dataclass(frozen=True, kw_only=True)
class PixelCodes(Units):
    """Pixels as codes in reading order, the channels of one pixel side by side: exact, log_det = 0.

    Example:
        >>> units = PixelCodes(example=Image(height=1, width=2, levels=17))
        >>> units.encode(torch.tensor([[[[3, 16]]]], dtype=torch.uint8), noise=Noise(0, rows=1))[0].tolist()
        [[3, 16]]
    """

    example: Image

    @property
    def shape(self) -> tuple[int, ...]:
        return (math.prod(self.example.shape),)

    @property
    def sizes(self) -> tuple[int, ...]:
        return (self.example.levels,) * math.prod(self.example.shape)

    @property
    def exact(self) -> bool:
        return True

    def encode(
        self, x: Int[Tensor, "batch c h w"], *, noise: Noise, dtype: torch.dtype = torch.float32
    ) -> tuple[Int[Tensor, "batch codes"], Float[Tensor, "batch"]]:
        return x.permute(0, 2, 3, 1).flatten(1).long(), torch.zeros(len(x), dtype=dtype, device=x.device)

    def decode(self, y: Shaped[Tensor, "batch codes"], *, noise: Noise) -> Int[Tensor, "batch c h w"]:
        channels, height, width = self.example.shape
        return y.reshape(-1, height, width, channels).permute(0, 3, 1, 2).to(torch.uint8)
