r"""Units of tables: normal scores for models of real vectors, bins for models of codes.

*Normal scores.* A value v of a column with distribution function F becomes :math:`y = \Phi^{-1}(F(v))`, so every column
is standard normal on its own and a model has only the dependence left to learn (a Gaussian model of the scores is the
Gaussian copula). The change of variables counts

.. math:: \log\left|\frac{\mathrm{d}y}{\mathrm{d}v}\right| = \log f(v) - \log\varphi(y).

Categories and grid values are first spread uniformly over their cell (a bound, see ``units.py``). A missing number is a
second entry, "present or missing", itself the score of a two-valued code; the value entry is then filled with a draw
from N(0, 1), whose own log-density is subtracted: a bound again, by the same inequality.

*Bins.* A value is the code of its histogram bin and, given the bin, spread evenly (or as the tail says):
:math:`\log p(v) = \log P(\text{bin}) + \log f(v \mid \text{bin})`, exact, the second term being log_det.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.special import ndtr, ndtri

from pushforward.core.marginals import Located, Marginal, Marginals
from pushforward.core.modality import Points
from pushforward.core.noise import Noise
from pushforward.core.resolution import snap
from pushforward.core.table import Column, Table
from pushforward.core.units import Units

__all__ = ["Bins", "Scores"]

#: Scores are kept within this: N(0, 1) puts 1e-9 beyond it, and doubles still resolve 1 - F there.
FARTHEST = 6.0


def columns_of(example: Table | Points) -> tuple[Column, ...]:
    """The columns of a table, or the entries of a point as columns of numbers."""
    if isinstance(example, Table):
        return example.columns
    return tuple(Column(name=f"x{index}", resolution=step) for index, step in enumerate(example.steps))


def _constant(marginal: Marginal) -> bool:
    """Whether there is nothing to learn: a single category, never missing."""
    return len(marginal.mass) == 1 and marginal.tail == 0.0


def known_codes(x: Tensor, columns: tuple[Column, ...]) -> Tensor:
    """Cells, columns first, in doubles; a missing category becomes its last code, a missing number stays NaN."""
    cells = x.double().T
    last = cells.new_tensor([[len(c.categories) if not c.numeric else math.nan] for c in columns])
    return torch.where(torch.isnan(cells), last, cells)


@dataclass(frozen=True, kw_only=True)
class Scores(Units):
    """Normal scores of the columns of a table.

    Entries in model units: one per column, then one "missing?" entry per column of numbers that can be missing;
    constant columns have none.

    Args:
        example: the table.
        marginals: one per column.
    """

    example: Table
    marginals: tuple[Marginal, ...]

    @cached_property
    def _varying(self) -> list[int]:
        return [i for i, m in enumerate(self.marginals) if not _constant(m)]

    @cached_property
    def _gappy(self) -> list[int]:
        return [i for i, c in enumerate(self.example.columns) if c.numeric and c.missing]

    @cached_property
    def _laws(self) -> Marginals:
        flags = [
            Marginal(edges=(0.0, 1.0, 2.0), mass=(1 - share, share), step=1.0)
            for share in (self.marginals[i].missing for i in self._gappy)
        ]
        return Marginals([*(self.marginals[i] for i in self._varying), *flags])

    @property
    def columns(self) -> tuple[int, ...]:
        """The column whose value each of the first entries holds; the entries after them are "missing?"."""
        return tuple(self._varying)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self._varying) + len(self._gappy),)

    @property
    def exact(self) -> bool:
        return not self.example.gridded[0] and not self._gappy

    def encode(
        self, x: Float[Tensor, "batch columns"], *, noise: Noise, dtype: torch.dtype = torch.float32
    ) -> tuple[Float[Tensor, "batch dim"], Float[Tensor, "batch"]]:
        cells = known_codes(x, self.example.columns)
        flags = torch.isnan(cells[self._gappy]).double()
        values = torch.cat([cells[self._varying], flags])
        numeric = [self.example.columns[i].numeric for i in self._varying] + [False] * len(self._gappy)
        step = values.new_tensor([[m.step] for m in self._laws.marginals])
        # A code k owns [k, k + 1), a grid value v owns [v - step/2, v + step/2).
        shift = values.new_tensor([[0.5 if number else 0.0] for number in numeric])
        spread = noise.uniform(*self.shape, like=values).T
        absent = torch.isnan(values)
        at = self._laws.locate(torch.where(absent, 0.0, values) + step * (spread - shift))
        # Phi^{-1}(F) from the nearer end, where it is not lost to rounding.
        y = torch.where(at.below < 0.5, ndtri(at.below), -ndtri(at.above)).clamp(-FARTHEST, FARTHEST)
        log_normal = -0.5 * y**2 - 0.5 * math.log(2 * math.pi)
        volume = torch.where(step > 0, step, 1.0).log()
        slope = at.log_density + volume - log_normal
        filled = noise.normal(*self.shape, like=values).T
        y = torch.where(absent, filled, y)
        slope = torch.where(absent, 0.5 * filled**2 + 0.5 * math.log(2 * math.pi), slope)
        return y.T.contiguous().to(dtype), slope.sum(0).to(dtype)

    def decode(self, y: Float[Tensor, "batch dim"], *, noise: Noise) -> Float[Tensor, "batch columns"]:
        y = y.double().clamp(-FARTHEST, FARTHEST)
        values = self._laws.quantile(ndtr(y.T))
        x = values.new_zeros(len(self.example.columns), len(y))
        for row, index in enumerate(self._varying):
            x[index] = on_grid(values[row], self.example.columns[index], self.marginals[index], clip=True)
        for row, index in enumerate(self._gappy, start=len(self._varying)):
            x[index] = torch.where(values[row] >= 1.0, math.nan, x[index])
        return x.T.contiguous()


@dataclass(frozen=True, kw_only=True)
class Bins(Units):
    """Columns (of a table, or entries of points) as codes of histogram bins.

    Codes of a column of numbers: 0 the lower tail, 1 .. K the bins, K + 1 the upper tail, K + 2 missing. Codes of a
    column of categories: the categories, then missing. Constant columns have no code.
    """

    example: Table | Points
    marginals: tuple[Marginal, ...]

    @cached_property
    def _varying(self) -> list[int]:
        return [i for i, m in enumerate(self.marginals) if not _constant(m)]

    @cached_property
    def _laws(self) -> Marginals:
        return Marginals([self.marginals[i] for i in self._varying])

    @cached_property
    def _columns(self) -> tuple[Column, ...]:
        return columns_of(self.example)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self._varying),)

    @property
    def sizes(self) -> tuple[int, ...]:
        columns = [self._columns[i] for i in self._varying]
        return tuple(
            len(m.mass) + (2 + c.missing if c.numeric else 0)
            for m, c in zip(self._laws.marginals, columns, strict=True)
        )

    @property
    def exact(self) -> bool:
        return True

    def encode(
        self, x: Float[Tensor, "batch columns"], *, noise: Noise, dtype: torch.dtype = torch.float32
    ) -> tuple[Int[Tensor, "batch codes"], Float[Tensor, "batch"]]:
        values = known_codes(x, self._columns)[self._varying]
        absent = torch.isnan(values)
        at = self._laws.locate(torch.where(absent, 0.0, values))
        numeric = torch.tensor([[self._columns[i].numeric] for i in self._varying], device=x.device)
        bins = at.bin.new_tensor([[len(m.mass)] for m in self._laws.marginals])
        codes = torch.where(numeric, torch.where(absent, bins + 2, at.bin + 1), at.bin)
        given = torch.where(absent | ~numeric, 0.0, self._within(values, at))
        return codes.T.contiguous(), given.sum(0).to(dtype)

    def _within(self, values: Tensor, at: Located) -> Tensor:
        """log f(v | bin), a density for continuous columns and the mass of the cell for gridded ones."""
        laws = self._laws.marginals
        mass = values.new_tensor([[*m.mass, *[1.0] * (max(self.sizes) - len(m.mass))] for m in laws])
        tail, scale, step = (values.new_tensor([[getattr(m, n)] for m in laws]) for n in ("tail", "scale", "step"))
        bins = at.bin.new_tensor([[len(m.mass)] for m in laws])
        inside = (at.bin >= 0) & (at.bin < bins)
        share = torch.where(inside, mass.gather(1, at.bin.clamp(min=0).minimum(bins - 1)), tail).log()
        density = at.log_density - share
        # In a tail the cell k steps out has mass (1 - e^{-step/s}) e^{-k step/s}; its centre is half a step further in.
        geometric = torch.log(-torch.expm1(-step / scale)) + (density + scale.log()) + step / (2 * scale)
        cell = torch.where(inside, density + step.log(), geometric)
        return torch.where(step > 0, cell, density)

    def decode(self, y: Int[Tensor, "batch codes"], *, noise: Noise) -> Float[Tensor, "batch columns"]:
        codes = y.T
        numeric = torch.tensor([[self._columns[i].numeric] for i in self._varying], device=y.device)
        bins = codes.new_tensor([[len(m.mass)] for m in self._laws.marginals])
        uniform = noise.uniform(*self.shape, like=torch.empty(0, dtype=torch.float64, device=y.device)).T
        values = self._laws.draw(torch.where(numeric, codes - 1, codes), uniform)
        x = values.new_zeros(len(self.marginals), len(y))
        for row, index in enumerate(self._varying):
            column, marginal = self._columns[index], self.marginals[index]
            x[index] = on_grid(values[row], column, marginal, clip=False)
            if column.numeric:
                x[index] = torch.where(codes[row] == bins[row] + 2, math.nan, x[index])
        return x.T.contiguous()


def on_grid(values: Tensor, column: Column, marginal: Marginal, *, clip: bool) -> Tensor:
    """A drawn value as the grid value or code whose cell it fell into."""
    if not column.numeric:
        codes = values.floor().clamp(0, len(marginal.mass) - 1)
        return torch.where(codes == len(column.categories), math.nan, codes)
    if not column.resolution:
        return values
    low, high = marginal.edges[0] + marginal.step / 2, marginal.edges[-1] - marginal.step / 2
    snapped = snap(values, column.resolution, low)
    return snapped.clamp(low, high) if clip else snapped
