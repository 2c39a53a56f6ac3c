r"""Native units: the data's own numbers on their own grid, for likelihoods that give every grid cell its mass.

Nothing is spread over cells, so log q(y) + log_det is the log-probability itself and not a bound: log_det is 0 for what
lies on a grid, and counts the change of variables of continuous numbers.

*Tables.* A number v of a column with distribution function F is known to lie in a cell [v - step/2, v + step/2). On the
axis of normal scores, :math:`\Phi^{-1}(F(v))` (``column_units.py``), the cell is an interval: wide for a value that
makes up much of the column, such as a zero, narrow for a rare one. An entry of y is therefore a pair, the start and the
width of its interval. Intervals of one column tile the whole line, so their masses under any density sum to one.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.special import ndtr, ndtri

from pushforward.core.column_units import FARTHEST, known_codes, on_grid
from pushforward.core.marginals import Marginal, Marginals
from pushforward.core.modality import Image, Points
from pushforward.core.noise import Noise
from pushforward.core.point_units import unstandardised
from pushforward.core.table import Table
from pushforward.core.units import Units

__all__ = ["NativeCells", "NativePixels", "NativePoints"]


@dataclass(frozen=True, kw_only=True)
class NativePixels(Units):
    """Pixels as their levels 0 .. L - 1.

    Example:
        >>> units = NativePixels(example=Image(height=1, width=2))
        >>> units.encode(torch.tensor([[[[0, 255]]]], dtype=torch.uint8), noise=Noise(0, rows=1))[0]
        tensor([[[[  0., 255.]]]])
    """

    example: Image

    @property
    def shape(self) -> tuple[int, ...]:
        return self.example.shape

    @property
    def exact(self) -> bool:
        return True

    def encode(
        self, x: Int[Tensor, "batch c h w"], *, noise: Noise, dtype: torch.dtype = torch.float32
    ) -> tuple[Float[Tensor, "batch c h w"], Float[Tensor, "batch"]]:
        return x.to(dtype), torch.zeros(len(x), dtype=dtype, device=x.device)

    def decode(self, y: Float[Tensor, "batch c h w"], *, noise: Noise) -> Int[Tensor, "batch c h w"]:
        return y.round().clamp(0, self.example.levels - 1).to(torch.uint8)


@dataclass(frozen=True, kw_only=True)
class NativePoints(Units):
    """Zero mean and unit variance per entry, gridded ones still on their grid.

    Args:
        example: the points.
        mean: one per entry.
        std: one per entry, positive.
        low: the smallest grid value seen, one per entry.
        high: the largest.
    """

    example: Points
    mean: tuple[float, ...]
    std: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.example.shape

    @property
    def exact(self) -> bool:
        return True

    @property
    def widths(self) -> tuple[float, ...]:
        """The grid step of every entry in model units, 0.0 for continuous ones."""
        return tuple(step / std for step, std in zip(self.example.steps, self.std, strict=True))

    @property
    def origins(self) -> tuple[float, ...]:
        """A grid point of every entry in model units."""
        return tuple((low - mean) / std for low, mean, std in zip(self.low, self.mean, self.std, strict=True))

    def encode(
        self, x: Float[Tensor, "batch dim"], *, noise: Noise, dtype: torch.dtype = torch.float32
    ) -> tuple[Float[Tensor, "batch dim"], Float[Tensor, "batch"]]:
        x = x.double()
        mean, std = x.new_tensor(self.mean), x.new_tensor(self.std)
        volume = -sum(math.log(s) for s, step in zip(self.std, self.example.steps, strict=True) if not step)
        return ((x - mean) / std).to(dtype), x.new_full((len(x),), volume).to(dtype)

    def decode(self, y: Float[Tensor, "batch dim"], *, noise: Noise) -> Float[Tensor, "batch dim"]:
        return unstandardised(y, self.example, self.mean, self.std, self.low, self.high)


@dataclass(frozen=True, kw_only=True)
class NativeCells(Units):
    """Cells of a table as intervals: entry (start, width) of y.

    Entries are the columns, then one "missing?" mark per column of numbers that can be missing. A category with code k
    is (k, 1), a missing one has the last code; a mark is (0, 1) or (1, 1); a number is its interval on the axis of
    normal scores, of width 0 if it is continuous, and NaN where it is missing. NaN in any entry means "not known" to a
    likelihood, which then sums over it.

    Args:
        example: the table.
        marginals: one per column.

    Example:
        >>> from pushforward.core.table import Column
        >>> table = Table(columns=(Column(name="pet", categories=("cat", "dog")),))
        >>> units = NativeCells(example=table, marginals=(Marginal(edges=(0.0, 1.0, 2.0), mass=(0.5, 0.5)),))
        >>> units.encode(torch.tensor([[1.0]]).double(), noise=Noise(0, rows=1))[0].tolist()  # start and width
        [[[1.0], [1.0]]]
    """

    missing_is_nan: ClassVar[bool] = True
    example: Table
    marginals: tuple[Marginal, ...]

    @cached_property
    def gappy(self) -> tuple[int, ...]:
        """The columns of numbers that can be missing, which have a mark."""
        return tuple(i for i, c in enumerate(self.example.columns) if c.numeric and c.missing)

    @cached_property
    def numbers(self) -> tuple[int, ...]:
        """The columns of numbers."""
        return tuple(i for i, c in enumerate(self.example.columns) if c.numeric)

    @cached_property
    def sizes_each(self) -> tuple[int, ...]:
        """Values that each entry can take: categories (and missing) of a column, 2 of a mark, 0 for numbers."""
        columns = tuple(0 if c.numeric else len(c.categories) + c.missing for c in self.example.columns)
        return (*columns, *[2] * len(self.gappy))

    @cached_property
    def _laws(self) -> Marginals:
        return Marginals([self.marginals[i] for i in self.numbers])

    @property
    def shape(self) -> tuple[int, ...]:
        return (2, len(self.sizes_each))

    @property
    def exact(self) -> bool:
        return True

    def encode(
        self, x: Float[Tensor, "batch columns"], *, noise: Noise, dtype: torch.dtype = torch.float32
    ) -> tuple[Float[Tensor, "batch 2 entries"], Float[Tensor, "batch"]]:
        cells = known_codes(x, self.example.columns)
        marks = torch.isnan(cells[list(self.gappy)]).double()
        start = torch.cat([cells, marks])
        width = torch.ones_like(start)
        slope = start.new_zeros(len(x))
        if self.numbers:
            at = list(self.numbers)
            start[at], width[at], slope = self.intervals(cells[at])
        return torch.stack([start.T, width.T], 1).to(dtype), slope.to(dtype)

    def intervals(self, values: Float[Tensor, "numbers batch"]) -> tuple[Tensor, Tensor, Tensor]:
        """Start and width of the interval of every number (columns of numbers first), and log_det of each row."""
        step = values.new_tensor([[m.step] for m in self._laws.marginals])
        absent = torch.isnan(values)
        known = torch.where(absent, step.new_tensor([[m.edges[0]] for m in self._laws.marginals]), values)
        low, high = self._score(known - step / 2), self._score(known + step / 2)
        log_density = self._laws.locate(known).log_density
        slope = torch.where(absent | (step > 0), 0.0, log_density + 0.5 * low**2 + 0.5 * math.log(2 * math.pi))
        missing = torch.where(absent, math.nan, 0.0)
        width = torch.where(step > 0, (high - low).clamp(min=NARROWEST), 0.0)  # a width of 0 is a continuous number
        return low + missing, width + missing, slope.sum(0)

    def values(self, scores: Float[Tensor, "numbers batch"]) -> Float[Tensor, "numbers batch"]:
        """The numbers, on their grid, in whose intervals these scores lie."""
        drawn = self._laws.quantile(ndtr(scores.double().clamp(-FARTHEST, FARTHEST)))
        columns = [self.example.columns[i] for i in self.numbers]
        rows = zip(drawn, columns, self._laws.marginals, strict=True)
        return torch.stack([on_grid(row, column, marginal, clip=True) for row, column, marginal in rows])

    def decode(self, y: Float[Tensor, "batch 2 entries"], *, noise: Noise) -> Float[Tensor, "batch columns"]:
        start, width = y.double().movedim(0, -1)
        x = start[: len(self.example.columns)].clone()
        for index, (column, size) in enumerate(zip(self.example.columns, self.sizes_each, strict=False)):
            if not column.numeric:
                code = x[index].round().clamp(0, size - 1)
                x[index] = torch.where(code == len(column.categories), math.nan, code)
        if self.numbers:
            at = list(self.numbers)
            centre = start[at] + width[at] / 2
            x[at] = self.values(torch.where(torch.isnan(centre), 0.0, centre))
        for mark, index in enumerate(self.gappy, start=len(self.example.columns)):
            x[index] = torch.where(start[mark].round() >= 1, math.nan, x[index])
        return x.T.contiguous()

    def _score(self, values: Tensor) -> Tensor:
        """Normal scores, from the nearer end, where 1 - F is not lost to rounding."""
        at = self._laws.locate(values)
        score = torch.where(at.below < 0.5, ndtri(at.below), -ndtri(at.above))
        # Values hundreds of tail scales away underflow to F = 0: they keep the last score that a double can tell.
        return score.clamp(-LAST, LAST)


#: The score of the smallest positive double: ndtri(5e-324) = -38.4.
LAST = 38.0

#: Width of a cell past the last score, where both ends are the same: no mass to speak of, and a float32 still.
NARROWEST = 1e-30
