r"""Units of waveforms: samples of 16 bits as numbers of order one.

A sample k stands for the cell :math:`[k - \tfrac12, k + \tfrac12)`. With u uniform on [0, 1) and s the root mean square
of the training samples,

.. math:: y = (k + u - \tfrac12) / s, \qquad \log\Bigl|\frac{\mathrm{d}y}{\mathrm{d}k}\Bigr| = -\log s,

so that :math:`\log q(y) - T \log s` is a bound on the mass of the T samples.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pushforward.core.audio import LOUDEST, Audio
from pushforward.core.noise import Noise
from pushforward.core.units import Units

__all__ = ["Waveforms"]


@dataclass(frozen=True, kw_only=True)
class Waveforms(Units):
    """Dequantised samples in units of their root mean square, as an image of one row: (1, 1, T).

    One row, so that the networks for images are networks for waveforms, their convolutions sliding along time.

    Args:
        example: the waveforms.
        scale: s, positive. Speech has about a tenth of full scale, which is what is taken without data.

    Example:
        >>> units = Waveforms(example=Audio(length=1, rate=1), scale=100.0)
        >>> y, log_det = units.encode(torch.tensor([[200]], dtype=torch.int16), noise=Noise(0, rows=1))
        >>> y.shape, abs(y.item() - 2) <= 0.005, round(log_det.item(), 4)  # -ln 100
        (torch.Size([1, 1, 1, 1]), True, -4.6052)
    """

    example: Audio
    scale: float = 0.1 * LOUDEST

    @property
    def shape(self) -> tuple[int, ...]:
        return (1, 1, self.example.length)

    @property
    def exact(self) -> bool:
        return False

    def encode(
        self, x: Int[Tensor, "batch time"], *, noise: Noise, dtype: torch.dtype = torch.float32
    ) -> tuple[Float[Tensor, "batch 1 1 time"], Float[Tensor, "batch"]]:
        y = x.to(dtype)
        y = (y + noise.uniform(self.example.length, like=y) - 0.5) / self.scale
        return y[:, None, None], y.new_full((len(x),), -self.example.length * math.log(self.scale))

    def decode(self, y: Float[Tensor, "batch 1 1 time"], *, noise: Noise) -> Int[Tensor, "batch time"]:
        # floor(v + 1/2): a dequantised sample comes back to the cell it came from
        samples = (y.double() * self.scale + 0.5).floor()
        return samples.clamp(-LOUDEST - 1, LOUDEST).to(torch.int16).flatten(1)
