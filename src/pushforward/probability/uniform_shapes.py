r"""Uniform distributions on a disk, a ball and an annulus (a spherical shell) in d dimensions.

The volume between the radii a and b is

.. math:: V = c_d \, (b^d - a^d), \qquad c_d = \pi^{d/2} / \Gamma(d/2 + 1),

the density is 1 / V inside, and the entropy log V. A draw is a direction, uniform on the sphere, times a radius, whose
distribution function is the share of the volume within it and is inverted in closed form:

.. math:: F(r) = \frac{r^d - a^d}{b^d - a^d}, \qquad r = \bigl(a^d + u\,(b^d - a^d)\bigr)^{1/d}, \qquad u \sim U(0, 1).

(With r = b u the points would crowd at the centre: a ring of width dr has a volume proportional to :math:`r^{d-1}`.)

Reference:
    Devroye 1986, "Non-Uniform Random Variate Generation", chapter V.4.
"""

from __future__ import annotations

import math
from abc import ABC
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.distributions import Transform, biject_to, constraints, transform_to

from pushforward.core.errors import InputError
from pushforward.probability.parametrised import Number, Parametrised, as_tensors

__all__ = ["BallTransform", "UniformAnnulus", "UniformBall", "UniformDisk"]


class _Ball(constraints.Constraint):
    """Points whose distance from ``center`` lies between ``inner`` and ``outer``, up to rounding.

    Args:
        center: (*batch, d).
        outer: (*batch).
        inner: (*batch), or None for 0.

    Example:
        >>> _Ball(torch.zeros(2), torch.tensor(1.0)).check(torch.tensor([[0.6, 0.8], [0.8, 0.8]]))
        tensor([ True, False])
    """

    event_dim = 1
    is_discrete = False

    def __init__(self, center: Tensor, outer: Tensor, inner: Tensor | None = None) -> None:
        self.center, self.outer, self.inner = center, outer, inner

    def check(self, value: Float[Tensor, "*batch d"]) -> Bool[Tensor, "*batch"]:
        """Whether points are inside."""
        distance = torch.linalg.vector_norm(value - self.center, dim=-1)
        # A point on the sphere is moved by a few units of rounding when the centre is added to it.
        slack = 8 * torch.finfo(distance.dtype).eps * (self.outer + torch.linalg.vector_norm(self.center, dim=-1))
        inside = distance <= self.outer + slack
        return inside if self.inner is None else inside & (distance >= self.inner - slack)


class BallTransform(Transform):
    r"""All of :math:`\mathbb{R}^d` onto an open ball: :math:`x = c + r \, y / \sqrt{1 + |y|^2}`.

    The Jacobian stretches by :math:`(1 + |y|^2)^{-1/2}` along the sphere (d - 1 directions) and by
    :math:`(1 + |y|^2)^{-3/2}` along the radius, so that

    .. math:: \log |\det J| = d \log r - \tfrac{d + 2}{2} \log (1 + |y|^2) .

    Samplers and quadrature for unconstrained points find it through ``biject_to(UniformDisk(...).support)``.

    Example:
        >>> onto = BallTransform(torch.zeros(2), torch.tensor(2.0))
        >>> y = torch.tensor([3.0, 4.0])
        >>> torch.allclose(onto.inv(onto(y)), y)
        True
    """

    domain = constraints.real_vector
    bijective = True

    def __init__(self, center: Tensor, radius: Tensor) -> None:
        super().__init__()
        self.center, self.radius = center, radius
        self.codomain = _Ball(center, radius)

    def _call(self, x: Tensor) -> Tensor:
        return self.center + self.radius[..., None] * x / (1 + x.square().sum(-1, keepdim=True)).sqrt()

    def _inverse(self, y: Tensor) -> Tensor:
        unit = (y - self.center) / self.radius[..., None]
        # Rounding may put a point on the sphere, which is infinitely far away.
        left = (1 - unit.square().sum(-1, keepdim=True)).clamp(min=torch.finfo(y.dtype).eps)
        return unit / left.sqrt()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        d = x.shape[-1]
        return d * self.radius.log() - (d + 2) / 2 * torch.log1p(x.square().sum(-1))


@biject_to.register(_Ball)
@transform_to.register(_Ball)
def _onto_ball(constraint: _Ball) -> Transform:
    """An annulus has a hole, so that no smooth one-to-one map onto it exists."""
    if constraint.inner is not None:
        raise NotImplementedError("there is no one-to-one transform of R^d onto an annulus")
    return BallTransform(constraint.center, constraint.outer)


class _UniformShell(Parametrised, ABC):
    """Uniform between two radii, which the final classes name."""

    has_rsample = True
    center: Tensor

    def _outer(self) -> Tensor:
        return self.parameters["radius"]

    def _inner(self) -> Tensor | None:
        return None

    @property
    def support(self) -> constraints.Constraint:
        """The shape itself."""
        return _Ball(self.center, self._outer(), self._inner())

    @property
    def mean(self) -> Float[Tensor, "*batch d"]:
        """The centre."""
        return self.center

    @property
    def variance(self) -> Float[Tensor, "*batch d"]:
        r"""Of every coordinate: :math:`E r^2 / d = \frac{1}{d + 2} \frac{b^{d+2} - a^{d+2}}{b^d - a^d}`."""
        d = self.event_shape[0]
        each = self._powers(d + 2) / self._powers(d) / (d + 2)
        return each[..., None].expand(self.center.shape)

    def entropy(self) -> Float[Tensor, "*batch"]:
        """log V in nats."""
        d = self.event_shape[0]
        return d / 2 * math.log(math.pi) - math.lgamma(d / 2 + 1) + self._powers(d).log()

    def log_prob(self, value: Float[Tensor, "*sample d"]) -> Float[Tensor, "*sample"]:
        """-log V inside; outside an error, or -inf under ``validate_args=False``."""
        if self._validate_args:
            self._validate_sample(value)
        inside = self.support.check(value)
        return torch.where(inside, -self.entropy(), -torch.inf)

    def rsample(self, sample_shape: torch.Size | Sequence[int] = ()) -> Float[Tensor, "*sample d"]:
        """A direction times a radius; differentiable in the centre and the radii."""
        d = self.event_shape[0]
        shape = self._extended_shape(torch.Size(sample_shape))
        normal = torch.randn(shape, dtype=self.center.dtype, device=self.center.device)
        direction = normal / torch.linalg.vector_norm(normal, dim=-1, keepdim=True)
        u = torch.rand(shape[:-1], dtype=self.center.dtype, device=self.center.device)
        inner = self._inner()
        smallest = torch.zeros_like(self._outer()) if inner is None else inner.pow(d)
        radius = (smallest + u * self._powers(d)).pow(1 / d)
        return self.center + radius[..., None] * direction

    def _powers(self, d: int) -> Tensor:
        """b^d - a^d."""
        inner = self._inner()
        return self._outer().pow(d) - (0 if inner is None else inner.pow(d))


class UniformDisk(_UniformShell):
    r"""Uniform on the disk :math:`|x - c| \le r` in the plane.

    Args:
        center: c, (*batch, 2).
        radius: r, (*batch).

    Raises:
        InputError: if the centre is no point of the plane, or the radius is not positive.

    Example:
        >>> disk = UniformDisk([0.0, 0.0], 2.0)
        >>> disk.log_prob(torch.tensor([1.0, 1.0])).exp().item()  # 1 / (4 pi)
        0.0795775
        >>> disk.variance  # r^2 / 4
        tensor([1., 1.])
        >>> UniformDisk([0.0, 0.0], -1.0)
        Traceback (most recent call last):
        ...
        pushforward.core.errors.InputError: radius: got -1.0, expected a positive finite number
    """

    arg_constraints: ClassVar[Mapping[str, constraints.Constraint]] = {
        "center": constraints.real_vector,
        "radius": constraints.positive,
    }
    radius: Tensor

    def __init__(self, center: Number = (0.0, 0.0), radius: Number = 1.0, *, validate_args: bool | None = None) -> None:
        place, size = as_tensors(center, radius)
        _check_center(place, 2)
        super().__init__({"center": place, "radius": size}, (2,), validate_args=validate_args)


class UniformBall(_UniformShell):
    r"""Uniform on the ball :math:`|x - c| \le r` in as many dimensions as the centre has.

    Args:
        center: c, (*batch, d).
        radius: r, (*batch).

    Raises:
        InputError: if the centre has no axis of coordinates, or the radius is not positive.

    Example:
        >>> UniformBall(torch.zeros(3), 1.0).entropy().exp().item()  # 4 pi / 3
        4.18879
    """

    arg_constraints: ClassVar[Mapping[str, constraints.Constraint]] = {
        "center": constraints.real_vector,
        "radius": constraints.positive,
    }
    radius: Tensor

    def __init__(self, center: Number, radius: Number = 1.0, *, validate_args: bool | None = None) -> None:
        place, size = as_tensors(center, radius)
        _check_center(place, None)
        super().__init__({"center": place, "radius": size}, (place.shape[-1],), validate_args=validate_args)


class UniformAnnulus(_UniformShell):
    r"""Uniform between two radii, :math:`a \le |x - c| \le b`: a spherical shell in more than two dimensions.

    Args:
        center: c, (*batch, d).
        inner: a, (*batch), at least 0.
        outer: b, (*batch), above a.

    Raises:
        InputError: if the centre has no axis of coordinates, or the radii are not in order.

    Example:
        >>> UniformAnnulus([0.0, 0.0], 1.0, 2.0).entropy().exp().item()  # 3 pi
        9.42478
    """

    arg_constraints: ClassVar[Mapping[str, constraints.Constraint]] = {
        "center": constraints.real_vector,
        "inner": constraints.nonnegative,
        "outer": constraints.positive,
    }
    inner: Tensor
    outer: Tensor

    def __init__(
        self,
        center: Number = (0.0, 0.0),
        inner: Number = 0.5,
        outer: Number = 1.0,
        *,
        validate_args: bool | None = None,
    ) -> None:
        place, low, high = as_tensors(center, inner, outer)
        _check_center(place, None)
        super().__init__(
            {"center": place, "inner": low, "outer": high}, (place.shape[-1],), validate_args=validate_args
        )
        if self._validate_args and not bool((self.inner < self.outer).all()):
            raise InputError(f"inner: got {low.tolist()}, expected less than outer, which is {high.tolist()}")

    def _outer(self) -> Tensor:
        return self.outer

    def _inner(self) -> Tensor | None:
        return self.inner


def _check_center(center: Tensor, dim: int | None) -> None:
    if center.ndim == 0 or center.shape[-1] == 0 or dim not in (None, center.shape[-1]):
        wanted = "d" if dim is None else dim
        raise InputError(f"center: got shape {tuple(center.shape)}, expected (..., {wanted})")
