r"""Densities given by an energy, :math:`p(x) = e^{-E(x)} / Z`, of which Z is not known to begin with.

Samplers, scores and ratios of densities need :math:`-E(x)` only. Where a normalised density is asked for, Z has to be
known, or is found by the trapezoid rule on a box, in up to three dimensions; the rule is checked against itself with
every second node, and against the mass at the faces of the box.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Self

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, constraints

from pushforward.core.errors import InputError, check_count

__all__ = ["EnergyBased"]

#: Nodes per axis (odd, so that every second one is a rule as well): the most that take well under a second.
NODES = {1: 4097, 2: 513, 3: 129}

#: How far the rule with half the nodes may be off, relative to Z. The error of the full rule is then far smaller.
TOLERANCE = 1e-3

#: The density on the faces of the box, relative to its largest: more than this and the box cuts mass off.
FACES = 1e-4


class EnergyBased(Distribution):
    r"""A density known up to its constant.

    Args:
        energy: E of points, (n, dim) -> (n,); it is called with a single batch axis.
        dim: number of dimensions.
        log_normalizer: log Z, if it is known.

    Raises:
        InputError: when used, if the energy is not a finite number or +inf for every point.

    Example:
        >>> double_well = EnergyBased(lambda x: (x[:, 0] ** 2 - 1) ** 2, dim=1)
        >>> double_well.log_unnormalized(torch.tensor([[1.0], [0.0]]))
        tensor([0., -1.])
        >>> double_well.log_prob(torch.zeros(1, 1))
        Traceback (most recent call last):
        ...
        pushforward.core.errors.InputError: log_normalizer: not known for this energy, expected ...
        >>> double_well.normalized([-3.0], [3.0]).log_prob(torch.tensor([[1.0]])).exp().item()
        0.50665
    """

    arg_constraints: ClassVar[Mapping[str, constraints.Constraint]] = {}

    def __init__(
        self,
        energy: Callable[[Tensor], Tensor],
        dim: int,
        *,
        log_normalizer: float | None = None,
        validate_args: bool | None = None,
    ) -> None:
        check_count(dim, "dim")
        if not callable(energy):
            raise InputError(f"energy: got {type(energy).__name__}, expected a function of points (n, {dim}) -> (n,)")
        self.energy, self.log_normalizer = energy, log_normalizer
        super().__init__(torch.Size(), torch.Size((dim,)), validate_args=validate_args)

    @property
    def support(self) -> constraints.Constraint:
        """Every point."""
        return constraints.real_vector

    def expand(self, batch_shape: torch.Size | Sequence[int], _instance: Self | None = None) -> Self:
        """A batch of the same density."""
        new = self.__new__(type(self)) if _instance is None else _instance
        new.energy, new.log_normalizer = self.energy, self.log_normalizer
        super(EnergyBased, new).__init__(torch.Size(batch_shape), self.event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def log_unnormalized(self, value: Float[Tensor, "*sample dim"]) -> Float[Tensor, "*sample"]:
        """-E(x), which is all that a Markov chain needs.

        Raises:
            InputError: if the energy is NaN or -inf, or has a wrong shape.
        """
        if self._validate_args:
            self._validate_sample(value)
        value = value.expand(torch.broadcast_shapes(value.shape, self._extended_shape()))
        rows = value.reshape(-1, value.shape[-1])
        energy = self.energy(rows)
        if not isinstance(energy, Tensor) or energy.shape != rows.shape[:1]:
            got = tuple(energy.shape) if isinstance(energy, Tensor) else type(energy).__name__
            raise InputError(f"energy: got {got} for points {tuple(rows.shape)}, expected ({len(rows)},)")
        if bool((wrong := energy.isnan() | (energy == -torch.inf)).any()):
            where = rows[wrong][0].tolist()
            raise InputError(
                f"energy: got {energy[wrong][0].item()} at {where}, expected a number, or +inf for no mass"
            )
        return -energy.reshape(value.shape[:-1])

    def log_prob(self, value: Float[Tensor, "*sample dim"]) -> Float[Tensor, "*sample"]:
        """-E(x) - log Z in nats.

        Raises:
            InputError: if Z is not known: a number that is off by an unknown constant is not a log-density.
        """
        if self.log_normalizer is None:
            raise InputError(
                "log_normalizer: not known for this energy, expected normalized(low, high) to be called, a known "
                "value, or log_unnormalized to be used, which is enough for a sampler"
            )
        return self.log_unnormalized(value) - self.log_normalizer

    def normalized(self, low: Sequence[float], high: Sequence[float]) -> EnergyBased:
        """The same density with Z found by quadrature on a box that holds all of its mass.

        Args:
            low: lower corner.
            high: upper corner.

        Raises:
            InputError: in more than three dimensions, or if the box cuts off mass or is too wide for the rule.
        """
        dim = self.event_shape[0]
        if dim not in NODES or len(low) != dim or len(high) != dim:
            raise InputError(f"low, high: got {len(low)} and {len(high)} numbers, expected {dim} each, 1 to 3 of them")
        if not all(-math.inf < a < b < math.inf for a, b in zip(low, high, strict=True)):
            raise InputError(f"low: got {list(low)}, expected finite numbers below high, which is {list(high)}")
        axes = [torch.linspace(a, b, NODES[dim], dtype=torch.float64) for a, b in zip(low, high, strict=True)]
        nodes = torch.cartesian_prod(*axes).reshape(-1, dim)
        log_p = EnergyBased(self.energy, dim).log_unnormalized(nodes).reshape([len(axis) for axis in axes])
        peak = log_p.max()
        if not bool(peak.isfinite()):
            raise InputError("low, high: the density is zero all over the box, expected a box that holds its mass")
        density = (log_p - peak).exp()
        faces = max(float(density.select(i, j).max()) for i in range(dim) for j in (0, -1))
        if faces > FACES:
            raise InputError(
                f"low, high: the density at a face of the box is {faces:.2g} of its largest, expected a wider box"
            )
        whole, half = _trapezoid(density, axes), _trapezoid(*_every_second(density, axes))
        if not abs(half - whole) <= TOLERANCE * whole:
            raise InputError("low, high: the density is too narrow for the nodes of the box, expected a smaller box")
        log_z = math.log(whole) + float(peak)
        new = EnergyBased(self.energy, dim, log_normalizer=log_z, validate_args=self._validate_args)
        return new.expand(self.batch_shape) if self.batch_shape else new


def _trapezoid(values: Tensor, axes: list[Tensor]) -> float:
    for axis in reversed(axes):
        values = torch.trapezoid(values, axis)
    return float(values)


def _every_second(values: Tensor, axes: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    return values[(slice(None, None, 2),) * len(axes)], [axis[::2] for axis in axes]
