r"""Bijections: maps that know their inverse and the log-determinant of their Jacobian.

A flow is a chain of them, :math:`z = f_K \circ \dots \circ f_1(x)`, for which

.. math:: \log p(x) = \log p_z(z) + \sum_k \log \left| \det \frac{\partial f_k}{\partial x_k} \right|.

Every bijection is called as ``f(x, c)``, returns y and log|det dy/dx| in nats (one number per example), and starts as
the identity (or a mere reordering of entries). ``c`` is the embedded condition, None where there is none.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["Bijection", "Chain", "Diagonal", "Squeeze", "Triangular"]

#: Variance (in model units, of order one) below which a direction counts as constant: a standard deviation of 1e-3,
#: which float32 still resolves, and which costs a log-determinant of no more than 7 nats.
LEAST_VARIANCE = 1e-6


class Bijection(nn.Module, ABC):
    """A differentiable map with a differentiable inverse."""

    @abstractmethod
    def forward(
        self, x: Float[Tensor, "batch *inward"], c: Float[Tensor, "batch condition"] | None = None
    ) -> tuple[Float[Tensor, "batch *outward"], Float[Tensor, "batch"]]:
        """The image y of x, and log|det dy/dx|."""

    @abstractmethod
    def inverse(
        self, y: Float[Tensor, "batch *outward"], c: Float[Tensor, "batch condition"] | None = None
    ) -> Float[Tensor, "batch *inward"]:
        """The x whose image is y."""


class Chain(Bijection):
    """Bijections one after the other; the log-determinants add up.

    Example:
        >>> from math import log
        >>> double = Diagonal((3,))
        >>> _ = nn.init.constant_(double.log_scale, log(2))
        >>> y, log_det = Chain([double, double])(torch.ones(1, 3))
        >>> y.tolist(), round(log_det.item() / log(2), 4)
        ([[4.0, 4.0, 4.0]], 6.0)
    """

    def __init__(self, links: Iterable[Bijection]) -> None:
        super().__init__()
        self.links = nn.ModuleList(links)

    def forward(self, x: Tensor, c: Tensor | None = None) -> tuple[Tensor, Tensor]:
        total = x.new_zeros(len(x))
        for link in self.links:
            x, log_det = link(x, c)
            total = total + log_det
        return x, total

    def inverse(self, y: Tensor, c: Tensor | None = None) -> Tensor:
        for link in reversed(self.links):
            assert isinstance(link, Bijection)
            y = link.inverse(y, c)
        return y


class Diagonal(Bijection):
    r"""A scale and a shift for every entry.

    .. math:: y_i = e^{s_i} x_i + b_i, \qquad \log|\det| = \sum_i s_i

    Args:
        shape: of one example.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(shape))
        self.shift = nn.Parameter(torch.zeros(shape))

    def forward(self, x: Tensor, c: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return torch.addcmul(self.shift, x, self.log_scale.exp()), self.log_scale.sum().expand(len(x))

    def inverse(self, y: Tensor, c: Tensor | None = None) -> Tensor:
        return (y - self.shift) * (-self.log_scale).exp()

    @torch.no_grad()
    def whiten_(self, x: Float[Tensor, "batch *shape"]) -> None:
        """Become the map that gives every entry of these examples mean 0 and variance 1."""
        mean = x.mean(0, dtype=torch.float64)
        variance = (x - mean.to(x.dtype)).square().mean(0, dtype=torch.float64)
        std = variance.clamp(min=LEAST_VARIANCE).sqrt()
        self.log_scale.copy_(-std.log())
        self.shift.copy_(-mean / std)


class Triangular(Bijection):
    r"""An affine map with a lower triangular matrix, all that a Gaussian with full covariance asks for.

    .. math:: y = A x + b, \qquad A_{ij} = 0 \text{ for } j > i, \qquad A_{ii} = e^{s_i}, \qquad
              \log|\det| = \sum_i s_i

    If x has mean m and covariance :math:`\Sigma = L L^\top` (Cholesky), then :math:`A = L^{-1}, b = -L^{-1} m` gives y
    mean 0 and covariance I.

    Args:
        dim: length of x.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(dim))
        self.below = nn.Parameter(torch.zeros(dim, dim))  # of which only what lies below the diagonal counts
        self.shift = nn.Parameter(torch.zeros(dim))

    def matrix(self) -> Float[Tensor, "dim dim"]:
        """A."""
        return self.below.tril(-1) + torch.diag(self.log_scale.exp())

    def forward(self, x: Tensor, c: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return torch.addmm(self.shift, x, self.matrix().T), self.log_scale.sum().expand(len(x))

    def inverse(self, y: Tensor, c: Tensor | None = None) -> Tensor:
        return torch.linalg.solve_triangular(self.matrix(), (y - self.shift).T, upper=False).T

    @torch.no_grad()
    def whiten_(self, x: Float[Tensor, "batch dim"]) -> None:
        """Become the map that gives these examples mean 0 and covariance I: their maximum-likelihood Gaussian."""
        x = x.double()
        mean = x.mean(0)
        identity = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
        covariance = (x - mean).T @ (x - mean) / len(x)
        root = torch.linalg.cholesky(covariance + LEAST_VARIANCE * identity)
        matrix = torch.linalg.solve_triangular(root, identity, upper=False)
        self.log_scale.copy_(matrix.diagonal().log())
        self.below.copy_(matrix)
        self.shift.copy_(-matrix @ mean)


class Squeeze(Bijection):
    """Blocks of pixels become channels: (C, H, W) to (4C, H/2, W/2); a side that is odd is left as it is.

    The four pixels of a block are ordered so that the first half of the channels holds one colour of a checkerboard
    over the image and the second half the other. Volume is kept: log|det| = 0.

    Args:
        size: (H, W).

    Reference:
        Dinh et al. 2017, "Density estimation using Real NVP", section 3.6.

    Example:
        >>> Squeeze((2, 2))(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))[0].flatten().tolist()
        [1.0, 4.0, 2.0, 3.0]
        >>> Squeeze((6, 5))(torch.zeros(1, 3, 6, 5))[0].shape
        torch.Size([1, 6, 3, 5])
    """

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.tall, self.wide = (2 if side % 2 == 0 else 1 for side in size)
        #: Which pixel of a block comes where, and the other way round.
        self.order = [0, 3, 1, 2] if self.tall * self.wide == 4 else list(range(self.tall * self.wide))
        self.back = [self.order.index(pixel) for pixel in range(len(self.order))]

    def squeezed(self, shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """The shape (C, H, W) becomes."""
        channels, height, width = shape
        return channels * self.tall * self.wide, height // self.tall, width // self.wide

    def forward(self, x: Tensor, c: Tensor | None = None) -> tuple[Tensor, Tensor]:
        blocks = x.unflatten(3, (-1, self.wide)).unflatten(2, (-1, self.tall))  # (B, C, h, tall, w, wide)
        pixels = blocks.permute(0, 3, 5, 1, 2, 4).flatten(1, 2)  # (B, tall wide, C, h, w)
        return pixels[:, self.order].flatten(1, 2), x.new_zeros(len(x))

    def inverse(self, y: Tensor, c: Tensor | None = None) -> Tensor:
        pixels = y.unflatten(1, (len(self.order), -1))[:, self.back].unflatten(1, (self.tall, self.wide))
        return pixels.permute(0, 3, 4, 1, 5, 2).flatten(4, 5).flatten(2, 3)
