r"""The distribution of one column, as a histogram with tails: what turns mixed tables into normal scores or codes.

The bins :math:`[e_j, e_{j+1})` have mass :math:`p_j` spread evenly; beyond the outermost edges of a column of numbers
lie exponential tails of mass :math:`\epsilon` and scale s, so that no held-out value has probability zero:

.. math:: f(v) = p_j / (e_{j+1} - e_j), \qquad f(v) = \tfrac{\epsilon}{s}\, e^{-(v - e_K)/s} \;\; (v \ge e_K).

A category with code k owns the bin [k, k + 1). A grid value v owns the cell [v - step/2, v + step/2), and every edge is
a cell boundary, so that cells are never cut.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pushforward.core.table import Column

__all__ = ["Located", "Marginal", "Marginals", "fit_marginal"]

#: Bins per column of numbers at most: enough to follow a density closely, few enough to be one token each.
MAX_BINS = 256


@dataclass(frozen=True, kw_only=True)
class Marginal:
    """A histogram with exponential tails.

    Args:
        edges: e_0 < ... < e_K.
        mass: p_0 .. p_{K-1}; with the two tails they sum to 1.
        tail: mass beyond each end (0.0 for categories).
        scale: s, in the units of the column.
        step: grid step, 0.0 for a continuous column, 1.0 for codes.
        missing: share of missing cells (smoothed); 0.0 where none can be missing.
    """

    edges: tuple[float, ...]
    mass: tuple[float, ...]
    tail: float = 0.0
    scale: float = 1.0
    step: float = 0.0
    missing: float = 0.0


def fit_marginal(values: np.ndarray, column: Column) -> Marginal:
    """The histogram of a column of training cells (NaN = missing).

    Counts are smoothed by 1/2 per bin (Jeffreys' prior for a multinomial), so no bin is impossible. Numbers get one bin
    per grid cell if they fit in 256, else about as many equal-mass bins as the square root of the number of cells.

    Example:
        >>> m = fit_marginal(np.array([0.0, 0.0, 1.0]), Column(name="a", categories=("x", "y")))
        >>> [round(p, 3) for p in m.mass]  # (2 + 1/2) / 4 and (1 + 1/2) / 4
        [0.625, 0.375]
    """
    known = values[~np.isnan(values)]
    absent = (len(values) - len(known) + 0.5) / (len(values) + 1.0) if column.missing else 0.0
    if not column.numeric:
        # A missing category is one more code, so that a category is one number, missing or not.
        codes = np.where(np.isnan(values), len(column.categories), values).astype(np.int64)
        size = len(column.categories) + column.missing
        counts = np.bincount(codes, minlength=size) + 0.5
        mass = counts / counts.sum()
        return Marginal(edges=_floats(np.arange(size + 1)), mass=_floats(mass), step=1.0)
    edges = _number_edges(np.sort(known), column.resolution)
    counts = np.histogram(known, edges)[0] + 0.5
    tail = float(0.5 / (counts.sum() + 1.0))
    mass = counts / counts.sum() * (1 - 2 * tail)
    # Of equal numbers the computed deviation is a rounding error and no scale.
    spread = float(known.std()) if known.size and known.min() < known.max() else 0.0
    return Marginal(
        edges=_floats(edges),
        mass=_floats(mass),
        tail=tail,
        scale=max(spread, column.resolution) or 1.0,
        step=column.resolution,
        missing=absent,
    )


def _number_edges(ordered: np.ndarray, step: float) -> np.ndarray:
    if ordered.size == 0:
        return np.array([-0.5, 0.5])
    low, high = ordered[0], ordered[-1]
    if step and (high - low) / step < MAX_BINS:
        return low + step * (np.arange(round((high - low) / step) + 2) - 0.5)
    bins = int(np.clip(math.sqrt(ordered.size), 4, MAX_BINS))
    knots = np.unique(ordered[np.linspace(0, ordered.size - 1, bins + 1).round().astype(int)])
    if step:  # both sides of the cell of every quantile: a value that makes up much of the column keeps its own bin
        return np.unique(np.concatenate([knots - step / 2, knots + step / 2]).round(9))
    if knots.size == 1:  # one value only, repeated: give it a bin a millionth of its size wide
        width = max(abs(knots[0]), 1.0) * 1e-6
        return np.array([knots[0] - width, knots[0] + width])
    return knots


@dataclass(frozen=True)
class Located:
    """Where values fall: the bin (-1 and K are the tails), the log-density there, and F and 1 - F."""

    bin: Int[Tensor, "columns batch"]
    log_density: Float[Tensor, "columns batch"]
    below: Float[Tensor, "columns batch"]
    above: Float[Tensor, "columns batch"]


class Marginals:
    """Several marginals at once: one row per column, padded to the widest, so that no Python loop runs over columns."""

    def __init__(self, marginals: Sequence[Marginal]) -> None:
        self.marginals = tuple(marginals)

    @cached_property
    def _padded(self) -> dict[str, Tensor]:
        widest = max(len(m.mass) for m in self.marginals)
        rows = {"edges": [], "mass": [], "cdf": []}
        for m in self.marginals:
            pad = widest - len(m.mass)
            rows["edges"].append([*m.edges, *[math.inf] * pad])
            rows["mass"].append([*m.mass, *[0.0] * pad])
            below = np.concatenate([[m.tail], m.tail + np.cumsum(m.mass)])
            rows["cdf"].append([*below, *[1.0] * pad])
        table = {name: torch.tensor(np.array(row), dtype=torch.float64) for name, row in rows.items()}
        for name, numbers in (("tail", "tail"), ("scale", "scale"), ("step", "step")):
            table[name] = torch.tensor([[getattr(m, numbers)] for m in self.marginals], dtype=torch.float64)
        table["bins"] = torch.tensor([[len(m.mass)] for m in self.marginals])
        return table

    def locate(self, values: Float[Tensor, "columns batch"]) -> Located:
        """Bins, log-densities and distribution functions of values (columns first)."""
        t = {name: tensor.to(values.device) for name, tensor in self._padded.items()}
        where = torch.searchsorted(t["edges"], values.contiguous(), right=True) - 1
        last = t["bins"] - 1
        inside = where.clamp(min=0).minimum(last)
        start, mass = t["edges"].gather(1, inside), t["mass"].gather(1, inside)
        width = t["edges"].gather(1, inside + 1) - start
        share = ((values - start) / width).clamp(0, 1)
        below = t["cdf"].gather(1, inside) + mass * share
        above = 1 - below
        log_density = mass.log() - width.log()

        low, high = t["edges"][:, :1], t["edges"].gather(1, t["bins"])
        under, over = where < 0, where > last
        reach = torch.where(under, low - values, values - high) / t["scale"]
        beyond = t["tail"] * torch.exp(-reach)
        log_tail = t["tail"].log() - t["scale"].log() - reach
        return Located(
            bin=torch.where(under, -1, torch.where(over, last + 1, inside)),
            log_density=torch.where(under | over, log_tail, log_density),
            below=torch.where(under, beyond, torch.where(over, 1 - beyond, below)),
            above=torch.where(over, beyond, torch.where(under, 1 - beyond, above)),
        )

    def quantile(self, below: Float[Tensor, "columns batch"]) -> Float[Tensor, "columns batch"]:
        """The values v with F(v) = below, for 0 < below < 1."""
        t = {name: tensor.to(below.device) for name, tensor in self._padded.items()}
        last = t["bins"] - 1
        inside = (torch.searchsorted(t["cdf"], below.contiguous(), right=True) - 1).clamp(min=0).minimum(last)
        return self._within(t, inside, below)

    def draw(self, bin: Int[Tensor, "columns batch"], uniform: Float[Tensor, "columns batch"]) -> Tensor:
        """Values drawn from given bins (-1 and K are the tails) with uniform numbers in [0, 1)."""
        t = {name: tensor.to(bin.device) for name, tensor in self._padded.items()}
        last = t["bins"] - 1
        inside = bin.clamp(min=0).minimum(last)
        below = t["cdf"].gather(1, inside) + t["mass"].gather(1, inside) * uniform
        below = torch.where(bin < 0, t["tail"] * (1 - uniform), below)
        return self._within(t, inside, torch.where(bin > last, 1 - t["tail"] * (1 - uniform), below), bin)

    @staticmethod
    def _within(t: dict[str, Tensor], inside: Tensor, below: Tensor, bin: Tensor | None = None) -> Tensor:
        start = t["edges"].gather(1, inside)
        width = t["edges"].gather(1, inside + 1) - start
        share = ((below - t["cdf"].gather(1, inside)) / t["mass"].gather(1, inside)).clamp(0, 1)
        value = start + width * share
        low, high = t["edges"][:, :1], t["edges"].gather(1, t["bins"])
        under = below < t["tail"] if bin is None else bin < 0
        over = (1 - below) < t["tail"] if bin is None else bin >= t["bins"]
        value = torch.where(under, low + t["scale"] * (below / t["tail"]).log(), value)
        return torch.where(over, high - t["scale"] * ((1 - below) / t["tail"]).log(), value)


def _floats(numbers: np.ndarray) -> tuple[float, ...]:
    return tuple(float(number) for number in numbers)
