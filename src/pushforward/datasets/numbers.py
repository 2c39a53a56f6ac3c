"""Numbers as doubles on the grid they were recorded on."""

from collections.abc import Mapping

import numpy as np
import torch

from pushforward.core.errors import InputError
from pushforward.core.resolution import MAX_DECIMALS, find_resolution, snap
from pushforward.datasets.options import did_you_mean

__all__ = ["as_doubles", "resolve", "whole"]


def as_doubles(values: np.ndarray) -> np.ndarray:
    """Numbers as float64; decimals that a narrower type has blurred are made sharp again.

    The float32 nearest to 0.1 is 0.100000001490116 as a double, which lies on no decimal grid. If rounding to some
    number of decimals gives back every number of the column, those decimals are what was recorded. Only decimals at
    least sixteen times as coarse as the type's own spacing are tried, so that continuous numbers do not pass by chance.

    Example:
        >>> as_doubles(np.array([0.1, 2.3], dtype=np.float32)).tolist()
        [0.1, 2.3]
    """
    doubles = values.astype(np.float64)
    if values.dtype.kind != "f" or values.dtype.itemsize >= 8:
        return doubles
    finite = np.isfinite(doubles)
    if not finite.any():
        return doubles
    spacing = float(np.spacing(np.abs(values[finite]).max()))
    for decimals in range(MAX_DECIMALS + 1):
        if 10.0**-decimals < 16 * spacing:
            break
        rounded = np.round(doubles, decimals)
        if np.array_equal(rounded[finite].astype(values.dtype), values[finite]):
            return rounded
    return doubles


def resolve(
    name: str, values: np.ndarray, asked: Mapping[str, float] | None, known: list[str]
) -> tuple[np.ndarray, float]:
    """The numbers of a column and the step of their grid, as found or as asked for.

    Args:
        name: of the column.
        values: its numbers, NaN where missing.
        asked: the ``resolution`` argument: a step for some of the columns, 0 for "continuous".
        known: the names of all columns.

    Returns:
        The numbers, rounded to the step if one was asked for, and the step.

    Raises:
        InputError: if an unknown column or an impossible step is asked for.
    """
    asked = asked or {}
    check_steps(asked, known)
    if name not in asked:
        return values, find_resolution(values)
    step = float(asked[name])
    known_values = values[~np.isnan(values)]
    if step == 0.0 or known_values.size == 0:
        return values, step
    # The grid passes through a multiple of the step, so that 0.1 means tenths and not tenths from the smallest value.
    origin = float(np.round(known_values.min() / step) * step)
    return snap(torch.from_numpy(values), step, origin).numpy(), step


def check_steps(asked: Mapping[str, float], known: list[str]) -> None:
    """Raise ``InputError`` unless every step asked for is one, and for a column there is."""
    if not isinstance(asked, Mapping):
        raise InputError(
            f"resolution: got a {type(asked).__name__}, expected steps by name such as {{'{known[0]}': 0.1}}"
        )
    for name, step in asked.items():
        if name not in known:
            raise InputError(f"resolution: got the name {name!r}, {did_you_mean(str(name), known)}")
        if not isinstance(step, (int, float)) or isinstance(step, bool) or not 0 <= step < float("inf"):
            raise InputError(f"resolution: got {step!r} for {name!r}, expected a step above 0, or 0 for continuous")


def whole(values: np.ndarray) -> bool:
    """Whether every number that is there is whole.

    Example:
        >>> whole(np.array([1.0, np.nan, 3.0])), whole(np.array([0.5]))
        (True, False)
    """
    finite = values[np.isfinite(values)]
    return bool(np.all(finite == np.floor(finite)))
