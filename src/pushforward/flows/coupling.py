r"""The affine coupling, which makes a bijection of any network.

One part a of x is kept and tells how the other part b is scaled and shifted:

.. math:: b' = e^{s(a, c)} \odot b + t(a, c), \qquad b = e^{-s(a, c)} \odot (b' - t(a, c)), \qquad
          \log|\det| = \sum_i s_i(a, c)

(Dinh et al. 2017, "Density estimation using Real NVP", eq. 4-8). The Jacobian is triangular with :math:`e^s` on its
diagonal, and neither direction inverts the network. The log-scale is bounded softly,

.. math:: s = S \tanh(r / S), \qquad S = 2,

with r the network's output: a coupling stretches by at most :math:`e^2 \approx 7.4` either way, so that a chain of
eight stays within the range of float32 wherever a sample may stray, while s = r to third order near 0.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pushforward.flows.bijections import Bijection

__all__ = ["CheckerboardCoupling", "Coupling"]

#: S. Between 1 and 8 it changed the held-out likelihood of two moons and of a census table by no more than seeds do.
LARGEST_LOG_SCALE = 2.0


def scale_and_shift(output: Float[Tensor, "batch two_k *space"]) -> tuple[Tensor, Tensor]:
    """(s, t) from the output of a network: its first half bounded softly, its second half as it is."""
    raw, shift = output.chunk(2, dim=1)
    return LARGEST_LOG_SCALE * torch.tanh(raw / LARGEST_LOG_SCALE), shift


class Coupling(Bijection):
    """Keeps the first entries (or channels) and transforms the others; the two parts then change places.

    The exchange makes the next coupling transform what this one kept. With nothing kept, s and t depend on c alone.

    Args:
        kept: number of entries kept.
        network: ``(a, c) -> (B, 2 (dim - kept), ...)``; one that starts at zero makes an exchange and no more.

    Example:
        >>> from pushforward.nn.mlp import MLP
        >>> coupling = Coupling(1, MLP(1, 4, width=8, zero_init=True))
        >>> y, log_det = coupling(torch.tensor([[1.0, 2.0, 3.0]]))
        >>> y.tolist(), log_det.item()
        ([[2.0, 3.0, 1.0]], 0.0)
    """

    def __init__(self, kept: int, network: nn.Module) -> None:
        super().__init__()
        self.kept, self.network = kept, network

    def forward(self, x: Tensor, c: Tensor | None = None) -> tuple[Tensor, Tensor]:
        a, b = x[:, : self.kept], x[:, self.kept :]
        s, t = scale_and_shift(self.network(a, c))
        return torch.cat((torch.addcmul(t, b, s.exp()), a), dim=1), s.flatten(1).sum(1)

    def inverse(self, y: Tensor, c: Tensor | None = None) -> Tensor:
        b, a = y.split((y.shape[1] - self.kept, self.kept), dim=1)
        s, t = scale_and_shift(self.network(a, c))
        return torch.cat((a, (b - t) * (-s).exp()), dim=1)


class CheckerboardCoupling(Bijection):
    """Keeps the pixels of one colour of a checkerboard and transforms those of the other.

    For images whose sides are both odd; any other is squeezed first, where the checkerboard is a split of channels and
    the network works on a quarter (or half) of the pixels.

    Args:
        size: (H, W).
        parity: the colour kept: pixels with (row + column) % 2 == parity.
        network: ``(a, c) -> (B, 2 C, H, W)``, a being x with the pixels to transform set to 0.
    """

    mask: Tensor

    def __init__(self, size: tuple[int, int], parity: int, network: nn.Module) -> None:
        super().__init__()
        rows, columns = torch.arange(size[0])[:, None], torch.arange(size[1])
        self.register_buffer("mask", ((rows + columns) % 2 == parity).float(), persistent=False)
        self.network = network

    def forward(self, x: Tensor, c: Tensor | None = None) -> tuple[Tensor, Tensor]:
        s, t = self._affine(x, c)
        return torch.addcmul(t, x, s.exp()), s.flatten(1).sum(1)

    def inverse(self, y: Tensor, c: Tensor | None = None) -> Tensor:
        s, t = self._affine(y, c)
        return (y - t) * (-s).exp()

    def _affine(self, x: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
        """s and t, both 0 on what is kept (which x and y have in common)."""
        s, t = scale_and_shift(self.network(x * self.mask, c))
        return s * (1 - self.mask), t * (1 - self.mask)
