r"""What the distributions of this room share: parameters that broadcast to one batch, and ``expand``.

The shape of every parameter is its batch shape followed by its event shape; how many axes the latter has is written
in the constraint of the parameter (``arg_constraints``), so that batching needs no code of its own in a distribution.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from pushforward.core.errors import InputError

__all__ = ["Number", "Parametrised", "as_tensors"]

#: What a parameter may be given as.
Number = Tensor | float | Sequence[float]


def as_tensors(*values: Number) -> tuple[Tensor, ...]:
    """Numbers and lists as tensors of the dtype and device of those that are tensors already.

    Example:
        >>> as_tensors(torch.zeros(2).double(), 1.0)[1].dtype
        torch.float64
    """
    given = [value for value in values if isinstance(value, Tensor)]
    floats = [value.dtype for value in given if value.is_floating_point()]
    dtype = torch.get_default_dtype()
    for i, found in enumerate(floats):
        dtype = found if i == 0 else torch.promote_types(dtype, found)
    device = given[0].device if given else None
    return tuple(torch.as_tensor(value, dtype=dtype, device=device) for value in values)


class Parametrised(Distribution, ABC):
    """A distribution made of its parameters and nothing else.

    As with all distributions of torch, ``sample`` and ``rsample`` draw from torch's default generator;
    ``pushforward.probability.nats.draw_points`` draws with one of yours.
    """

    def __init__(
        self, parameters: Mapping[str, Tensor], event_shape: tuple[int, ...], *, validate_args: bool | None
    ) -> None:
        events = {name: constraint.event_dim for name, constraint in self.arg_constraints.items()}
        shapes = {name: value.shape[: value.ndim - events[name]] for name, value in parameters.items()}
        try:
            batch_shape = torch.broadcast_shapes(*shapes.values())
        except RuntimeError:
            listed = ", ".join(f"{name} {tuple(shape)}" for name, shape in shapes.items())
            raise InputError(
                f"{', '.join(parameters)}: got batch shapes {listed}, expected shapes that broadcast"
            ) from None
        if self._validate_args if validate_args is None else validate_args:
            for name, value in parameters.items():
                self._check(name, value)
        for name, value in parameters.items():
            setattr(self, name, value.expand(batch_shape + value.shape[value.ndim - events[name] :]))
        super().__init__(batch_shape, torch.Size(event_shape), validate_args=validate_args)

    @property
    def parameters(self) -> dict[str, Tensor]:
        """The parameters by name."""
        return {name: getattr(self, name) for name in self.arg_constraints}

    def expand(self, batch_shape: torch.Size | Sequence[int], _instance: Self | None = None) -> Self:
        """The same distribution as a batch of this shape, without copying its parameters."""
        new = self.__new__(type(self)) if _instance is None else _instance
        batch_shape = torch.Size(batch_shape)
        for name, value in self.parameters.items():
            event = value.shape[value.ndim - self.arg_constraints[name].event_dim :]
            setattr(new, name, value.expand(batch_shape + event))
        super(Parametrised, new).__init__(batch_shape, self.event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def _check(self, name: str, value: Tensor) -> None:
        """One sentence in place of torch's message, which prints every value."""
        constraint = self.arg_constraints[name]
        valid = constraint.check(value) & _finite(value, constraint.event_dim)
        if not bool(valid.all()):
            wrong = value[~valid][0].tolist() if value.ndim > constraint.event_dim else value.tolist()
            raise InputError(f"{name}: got {wrong}, expected {_words(constraint)}")


def _finite(value: Tensor, event_dim: int) -> Tensor:
    return value.isfinite().flatten(value.ndim - event_dim).all(-1) if event_dim else value.isfinite()


def _words(constraint: constraints.Constraint) -> str:
    match getattr(constraint, "base_constraint", constraint):  # of ``constraints.independent``
        case constraints.positive:
            return "a positive finite number"
        case constraints.nonnegative:
            return "a finite number of at least 0"
        case constraints.simplex:
            return "numbers of at least 0 that sum to 1"
        case constraints.positive_definite:
            return (
                "a symmetric positive definite matrix; if it is singular, add a small multiple of the identity "
                "or leave out the coordinates that depend on others"
            )
        case _:
            return "finite numbers"
