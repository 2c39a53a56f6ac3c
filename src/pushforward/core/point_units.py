r"""Units of points and text: standardised numbers, and codes as they are.

Standardising a D-vector, :math:`y = (x - m)/s`, has :math:`\log|\det| = -\sum_d \log s_d`. An entry on a grid of step
:math:`\delta` is first spread over its cell, :math:`x + (u - 1/2)\,\delta`, whose volume adds :math:`\log\delta`.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pushforward.core.modality import Points
from pushforward.core.noise import Noise
from pushforward.core.resolution import snap
from pushforward.core.text import Text
from pushforward.core.units import Units

__all__ = ["Standardise", "Tokens"]


@dataclass(frozen=True, kw_only=True)
class Standardise(Units):
    """Zero mean and unit variance per entry, gridded entries dequantised.

    Args:
        example: the points.
        mean: m, one per entry.
        std: s, one per entry, positive.
        low: the smallest grid value seen, one per entry; samples of gridded entries are multiples of the step from it.
        high: the largest.

    Example:
        >>> units = Standardise(example=Points(dim=1), mean=(1.0,), std=(2.0,), low=(0.0,), high=(0.0,))
        >>> y, log_det = units.encode(torch.tensor([[5.0]]).double(), noise=Noise(0, rows=1))
        >>> y.item(), round(log_det.item(), 4)  # (5 - 1) / 2 and -ln 2
        (2.0, -0.6931)
    """

    example: Points
    mean: tuple[float, ...]
    std: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.example.shape

    @property
    def exact(self) -> bool:
        return not self.example.gridded[0]

    def encode(
        self, x: Float[Tensor, "batch dim"], *, noise: Noise, dtype: torch.dtype = torch.float32
    ) -> tuple[Float[Tensor, "batch dim"], Float[Tensor, "batch"]]:
        x = x.double()
        mean, std, steps = (x.new_tensor(numbers) for numbers in (self.mean, self.std, self.example.steps))
        if not self.exact:
            x = x + steps * (noise.uniform(self.example.dim, like=x) - 0.5)
        volume = sum(math.log(step) for step in self.example.steps if step) - sum(math.log(s) for s in self.std)
        return ((x - mean) / std).to(dtype), x.new_full((len(x),), volume).to(dtype)

    def decode(self, y: Float[Tensor, "batch dim"], *, noise: Noise) -> Float[Tensor, "batch dim"]:
        return unstandardised(y, self.example, self.mean, self.std, self.low, self.high)


@dataclass(frozen=True, kw_only=True)
class Tokens(Units):
    """The codes of a text, unchanged: exact, log_det = 0."""

    example: Text

    @property
    def shape(self) -> tuple[int, ...]:
        return self.example.shape

    @property
    def sizes(self) -> tuple[int, ...]:
        return (self.example.size,) * self.example.length

    @property
    def exact(self) -> bool:
        return True

    def encode(
        self, x: Int[Tensor, "batch codes"], *, noise: Noise, dtype: torch.dtype = torch.float32
    ) -> tuple[Int[Tensor, "batch codes"], Float[Tensor, "batch"]]:
        return x.long(), torch.zeros(len(x), dtype=dtype, device=x.device)

    def decode(self, y: Int[Tensor, "batch codes"], *, noise: Noise) -> Int[Tensor, "batch codes"]:
        return y.long()


def unstandardised(
    y: Float[Tensor, "batch dim"],
    example: Points,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    low: tuple[float, ...],
    high: tuple[float, ...],
) -> Float[Tensor, "batch dim"]:
    """m + s y, gridded entries at the nearest grid value between the lowest and the highest that were seen."""
    y = y.double()
    x = y.new_tensor(mean) + y.new_tensor(std) * y
    for entry, step in enumerate(example.steps):
        if step:
            x[:, entry] = snap(x[:, entry], step, low[entry]).clamp(low[entry], high[entry])
    return x
