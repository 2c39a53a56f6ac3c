"""The grid a column of numbers lies on, found from its decimals.

Recorded numbers are rounded: an age to a year, a price to a cent. A density may then put a spike of any height on a
recorded value, so its log-likelihood means nothing; the *mass* of the cell around the value is what was observed.
A column whose numbers are all multiples of a power of ten is therefore *gridded*, with a resolution, and scored as
a mass; only a column with more decimals than any instrument prints is continuous and has a density.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["find_resolution", "snap"]

#: More decimals than this and the column counts as continuous: a float32 carries about 7 digits, and recorded
#: tables with more than 6 decimals are computed numbers (ratios, logarithms), not readings of an instrument.
MAX_DECIMALS = 6


def find_resolution(values: np.ndarray) -> float:
    """The largest step of which all differences of ``values`` are multiples, or 0.0 for a continuous column.

    Only whole multiples of a power of ten down to 1e-6 count as a grid; NaNs (missing cells) are ignored.

    Args:
        values: numbers, any shape.

    Returns:
        The resolution in the units of the column: 0.5 for 1.0, 2.5, 3.0; 0.0 if there is none.

    Example:
        >>> find_resolution(np.array([17.0, 90.0, 38.0]))
        1.0
        >>> find_resolution(np.array([0.25, 1.75, 1.0, np.nan]))
        0.75
        >>> find_resolution(np.random.default_rng(0).normal(size=100))
        0.0
    """
    finite = np.asarray(values, dtype=np.float64).ravel()
    finite = np.unique(finite[np.isfinite(finite)])
    if finite.size == 0:
        return 0.0
    for decimals in range(MAX_DECIMALS + 1):
        scaled = finite * 10.0**decimals
        whole = np.round(scaled)
        if np.abs(whole).max() > 2.0**53:  # beyond this a double no longer tells neighbouring whole numbers apart
            return 0.0
        # A decimal such as 0.1 is off by a rounding of the double, never by more than a few units in the last place.
        if np.all(np.abs(scaled - whole) <= 4 * np.finfo(np.float64).eps * np.maximum(np.abs(scaled), 1.0)):
            steps = np.diff(whole).astype(np.int64)
            step = int(np.gcd.reduce(steps)) if steps.size else 1
            return float(step / 10.0**decimals)
    return 0.0


def snap(x: Float[Tensor, "*shape"], step: float, low: float) -> Float[Tensor, "*shape"]:
    """The nearest points of the grid low + k step (k whole), as the doubles their decimals would be read as.

    Example:
        >>> snap(torch.tensor([0.31], dtype=torch.float64), 0.1, 0.2).item()  # and not 0.30000000000000004
        0.3
    """
    power = 10.0 ** next((d for d in range(MAX_DECIMALS + 1) if _whole(step * 10**d) and _whole(low * 10**d)), 0)
    if not (_whole(step * power) and _whole(low * power)):
        return low + step * torch.round((x - low) / step)
    return (round(low * power) + round(step * power) * torch.round((x - low) / step)) / power


def _whole(number: float) -> bool:
    return abs(number - round(number)) <= 4 * np.finfo(np.float64).eps * max(abs(number), 1.0)
