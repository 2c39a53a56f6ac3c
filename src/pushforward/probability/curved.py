r"""Three curved densities that are normalised and have exact draws and moments: a banana, a funnel and a ring.

They are the shapes that break samplers and models: a bend, a neck whose width varies by orders of magnitude, a hole.
Banana and funnel are images of a Gaussian under a triangular map, :math:`x = g(z)`; the ring is a circle blurred.

Reference:
    Banana: Haario, Saksman and Tamminen 1999, "Adaptive proposal distribution for random walk Metropolis algorithm".
    Funnel: Neal 2003, "Slice sampling", Annals of Statistics 31, section 8.
    Radius of the ring: Rice 1945, "Mathematical analysis of random noise".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import constraints

from pushforward.core.errors import InputError, check_count
from pushforward.probability.parametrised import Number, Parametrised, as_tensors

__all__ = ["Banana", "Funnel", "Ring"]

#: Entropy of N(0, 1), and the logarithm of 2 pi.
LOG_TWO_PI = math.log(2 * math.pi)
UNIT_ENTROPY = 0.5 * (1 + LOG_TWO_PI)


class Banana(Parametrised):
    r"""A Gaussian bent along a parabola.

    .. math:: x_1 \sim N(0, s^2), \qquad x_2 \mid x_1 \sim N(b\,x_1^2, \; w^2),

    which is :math:`x = (s z_1, \; b s^2 z_1^2 + w z_2)` with the constant Jacobian determinant s w. So

    .. math:: E\,x = (0, \; b s^2), \qquad \operatorname{Var} x = (s^2, \; w^2 + 2 b^2 s^4), \qquad
        H = \log (2 \pi e\, s\, w).

    Args:
        scale: s, (*batch).
        curvature: b, (*batch).
        width: w, (*batch).

    Raises:
        InputError: if the scale or the width is not positive.

    Example:
        >>> banana = Banana(scale=2.0, curvature=0.5)
        >>> banana.mean, banana.variance
        (tensor([0., 2.]), tensor([4., 9.]))
    """

    arg_constraints: ClassVar[Mapping[str, constraints.Constraint]] = {
        "scale": constraints.positive,
        "curvature": constraints.real,
        "width": constraints.positive,
    }
    has_rsample = True
    scale: Tensor
    curvature: Tensor
    width: Tensor

    def __init__(
        self, scale: Number = 1.0, curvature: Number = 1.0, width: Number = 1.0, *, validate_args: bool | None = None
    ) -> None:
        s, b, w = as_tensors(scale, curvature, width)
        super().__init__({"scale": s, "curvature": b, "width": w}, (2,), validate_args=validate_args)

    @property
    def support(self) -> constraints.Constraint:
        """Every point."""
        return constraints.real_vector

    @property
    def mean(self) -> Float[Tensor, "*batch 2"]:
        """(0, b s^2)."""
        return torch.stack([torch.zeros_like(self.scale), self.curvature * self.scale**2], -1)

    @property
    def variance(self) -> Float[Tensor, "*batch 2"]:
        """(s^2, w^2 + 2 b^2 s^4)."""
        return torch.stack([self.scale**2, self.width**2 + 2 * self.curvature**2 * self.scale**4], -1)

    def entropy(self) -> Float[Tensor, "*batch"]:
        """In nats."""
        return 2 * UNIT_ENTROPY + self.scale.log() + self.width.log()

    def log_prob(self, value: Float[Tensor, "*sample 2"]) -> Float[Tensor, "*sample"]:
        """log p(x) in nats."""
        if self._validate_args:
            self._validate_sample(value)
        first = value[..., 0] / self.scale
        second = (value[..., 1] - self.curvature * value[..., 0] ** 2) / self.width
        return -0.5 * (first**2 + second**2) - LOG_TWO_PI - self.scale.log() - self.width.log()

    def rsample(self, sample_shape: torch.Size | Sequence[int] = ()) -> Float[Tensor, "*sample 2"]:
        """Draws, differentiable in the parameters."""
        z = _normal(self._extended_shape(torch.Size(sample_shape)), self.scale)
        first = self.scale * z[..., 0]
        return torch.stack([first, self.curvature * first**2 + self.width * z[..., 1]], -1)


class Funnel(Parametrised):
    r"""Neal's funnel: the first coordinate is the log-variance of all others.

    .. math:: x_1 \sim N(0, s^2), \qquad x_i \mid x_1 \sim N(0, e^{x_1}), \quad i = 2, \dots, d,

    .. math:: E\,x = 0, \qquad \operatorname{Var} x_1 = s^2, \quad \operatorname{Var} x_i = e^{s^2/2}, \qquad
        H = \tfrac d2 \log (2 \pi e) + \log s .

    Args:
        scale: s, (*batch); 3 is Neal's.
        dim: d, at least 2; 10 is Neal's.

    Raises:
        InputError: if the scale is not positive or there are fewer than two dimensions.

    Example:
        >>> funnel = Funnel(scale=3.0, dim=10)
        >>> funnel.variance[:2]
        tensor([ 9.0000, 90.0171])
    """

    arg_constraints: ClassVar[Mapping[str, constraints.Constraint]] = {"scale": constraints.positive}
    has_rsample = True
    scale: Tensor

    def __init__(self, scale: Number = 3.0, dim: int = 10, *, validate_args: bool | None = None) -> None:
        check_count(dim, "dim")
        if dim == 1:
            raise InputError("dim: got 1, expected at least 2: a log-variance and what it is the variance of")
        super().__init__({"scale": as_tensors(scale)[0]}, (dim,), validate_args=validate_args)

    @property
    def support(self) -> constraints.Constraint:
        """Every point."""
        return constraints.real_vector

    @property
    def mean(self) -> Float[Tensor, "*batch dim"]:
        """Zero."""
        return self.scale.new_zeros(self._extended_shape())

    @property
    def variance(self) -> Float[Tensor, "*batch dim"]:
        """(s^2, exp(s^2 / 2), ...)."""
        rest = (self.scale**2 / 2).exp()[..., None].expand(*self.batch_shape, self.event_shape[0] - 1)
        return torch.cat([self.scale[..., None] ** 2, rest], -1)

    def entropy(self) -> Float[Tensor, "*batch"]:
        """In nats; the log-variance has mean 0 and drops out."""
        return self.event_shape[0] * UNIT_ENTROPY + self.scale.log()

    def log_prob(self, value: Float[Tensor, "*sample dim"]) -> Float[Tensor, "*sample"]:
        """log p(x) in nats."""
        if self._validate_args:
            self._validate_sample(value)
        v, rest = value[..., 0], value[..., 1:]
        d = self.event_shape[0]
        neck = -0.5 * (v / self.scale) ** 2 - self.scale.log()
        # (x e^{-v/2})^2 and not x^2 e^{-v}: the square of a small x would underflow before it is scaled up
        others = -0.5 * (rest * (-0.5 * v).exp()[..., None]).square().sum(-1) - 0.5 * (d - 1) * v
        return neck + others - 0.5 * d * LOG_TWO_PI

    def rsample(self, sample_shape: torch.Size | Sequence[int] = ()) -> Float[Tensor, "*sample dim"]:
        """Draws, differentiable in the scale."""
        z = _normal(self._extended_shape(torch.Size(sample_shape)), self.scale)
        v = self.scale[..., None] * z[..., :1]
        return torch.cat([v, (0.5 * v).exp() * z[..., 1:]], -1)


class Ring(Parametrised):
    r"""A circle of radius r in the plane, blurred by Gaussian noise of width w: :math:`x = c + r u + w \varepsilon`.

    The angle of u is uniform and integrates to a Bessel function, :math:`\rho = |x - c|`:

    .. math:: p(x) = \frac{1}{2 \pi w^2} \exp\Bigl(-\frac{\rho^2 + r^2}{2 w^2}\Bigr) I_0\Bigl(\frac{\rho r}{w^2}\Bigr),
        \qquad E\,x = c, \quad \operatorname{Cov} x = (r^2 / 2 + w^2) I .

    Args:
        center: c, (*batch, 2).
        radius: r, (*batch).
        width: w, (*batch).

    Raises:
        InputError: if the radius or the width is not positive, or the centre is no point of the plane.

    Example:
        >>> ring = Ring(radius=2.0, width=0.5)
        >>> ring.variance
        tensor([2.2500, 2.2500])
    """

    arg_constraints: ClassVar[Mapping[str, constraints.Constraint]] = {
        "center": constraints.real_vector,
        "radius": constraints.positive,
        "width": constraints.positive,
    }
    has_rsample = True
    center: Tensor
    radius: Tensor
    width: Tensor

    def __init__(
        self,
        center: Number = (0.0, 0.0),
        radius: Number = 1.0,
        width: Number = 0.1,
        *,
        validate_args: bool | None = None,
    ) -> None:
        c, r, w = as_tensors(center, radius, width)
        if c.ndim == 0 or c.shape[-1] != 2:
            raise InputError(f"center: got shape {tuple(c.shape)}, expected (..., 2)")
        super().__init__({"center": c, "radius": r, "width": w}, (2,), validate_args=validate_args)

    @property
    def support(self) -> constraints.Constraint:
        """Every point."""
        return constraints.real_vector

    @property
    def mean(self) -> Float[Tensor, "*batch 2"]:
        """The centre."""
        return self.center

    @property
    def variance(self) -> Float[Tensor, "*batch 2"]:
        """r^2 / 2 + w^2 for both coordinates."""
        return (self.radius**2 / 2 + self.width**2)[..., None].expand(self.center.shape)

    def entropy(self) -> Float[Tensor, "*batch"]:
        r"""In nats, by the trapezoid rule in the radius: :math:`-\int p \log p \; 2 \pi \rho \, d\rho`.

        The integrand is smooth and vanishes at both ends, 12 widths from the ring or at the centre.
        """
        low = (self.radius - 12 * self.width).clamp(min=0.0)
        high = self.radius + 12 * self.width
        # A step below a hundredth of a width makes the error of the rule, of second order at the centre, below 1e-5.
        t = torch.linspace(0, 1, 4097, dtype=low.dtype, device=low.device).view(-1, *[1] * low.ndim)
        rho = low + (high - low) * t
        log_p = self._log_density(rho)
        return torch.trapezoid(-log_p * log_p.exp() * 2 * math.pi * rho, rho, dim=0)

    def log_prob(self, value: Float[Tensor, "*sample 2"]) -> Float[Tensor, "*sample"]:
        """log p(x) in nats."""
        if self._validate_args:
            self._validate_sample(value)
        return self._log_density(torch.linalg.vector_norm(value - self.center, dim=-1))

    def rsample(self, sample_shape: torch.Size | Sequence[int] = ()) -> Float[Tensor, "*sample 2"]:
        """Draws, differentiable in the parameters."""
        shape = self._extended_shape(torch.Size(sample_shape))
        angle = 2 * math.pi * torch.rand(shape[:-1], dtype=self.radius.dtype, device=self.radius.device)
        circle = torch.stack([angle.cos(), angle.sin()], -1)
        return self.center + self.radius[..., None] * circle + self.width[..., None] * _normal(shape, self.radius)

    def _log_density(self, rho: Tensor) -> Tensor:
        """With i0e(t) = exp(-t) I_0(t), which neither overflows nor vanishes."""
        apart = (rho - self.radius) / self.width
        bessel = torch.special.i0e(rho * self.radius / self.width**2).log()
        return bessel - 0.5 * apart**2 - LOG_TWO_PI - 2 * self.width.log()


def _normal(shape: torch.Size, like: Tensor) -> Tensor:
    return torch.randn(shape, dtype=like.dtype, device=like.device)
