r"""Units: what is encoded comes back, and the log-determinant is the one of the map.

*Real units* are a map :math:`y(v)` of the continuous entries of x and of the noise they are given, of which as many
entries as y has are in use. With J the Jacobian of y in those, by finite differences in 64 bits,

.. math:: \text{log\_det} = \log|\det J| - \sum_{\text{normal } v} \log \varphi(v)

(uniform noise has density 1 and adds nothing; ``core/units.py``).

*Codes* keep what lies within a bin: ``log_det`` is a sum of :math:`\log f(x_j \mid \text{bin}_j)`, each of which
integrates to one over its bin. Moving one column at a time, with :math:`I_j = \int e^{\text{log\_det}} \mathrm{d}x_j`
over the bin of column j of m, therefore :math:`\sum_j \log I_j = (m - 1)\, \text{log\_det}`.
"""

import dataclasses
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from pushforward.conformance.properties import Property, Question
from pushforward.conformance.subject import Subject
from pushforward.core.column_units import columns_of
from pushforward.core.modality import Image, Points
from pushforward.core.noise import Noise
from pushforward.core.table import Column, Table
from pushforward.core.units import Units

__all__ = ["units_count_their_volume", "units_round_trip"]

#: Entries beyond which the Jacobian is taken for smaller images in the same units.
MOST_ENTRIES = 256

#: Examples the Jacobian is taken at. One may lie on the edge of a bin, where the map has a kink: three agree.
EXAMPLES, ENOUGH = 4, 3

#: Grid values of a bin to either side beyond which it counts as a tail, and points of the midpoint rule in a bin.
MOST_CELLS, POINTS = 2000, 64

#: Step of the differences: rounding then costs 1e-16 / 1e-6 = 1e-10 of a derivative of order one.
STEP = 1e-6

#: Agreement asked for, per entry in nats: differences of the logit are good to about 1e-7.
TOLERANCE = 1e-5


def units_round_trip(subject: Subject) -> Property:
    """decode(encode(x)) = x, to rounding for continuous entries and exactly on a grid."""
    units, x = subject.model.fitted, subject.x
    asked = Question(
        name="units: round trip",
        tested=f"encoded and decoded {len(x)} examples in 64 bits",
        meaning="what the model learns is not the data, or its samples are turned into other examples than it drew",
        where=f"{type(units).__name__}.encode, {type(units).__name__}.decode",
    )
    noise = Noise(subject.seed, rows=len(x))
    y, log_det = units.encode(x, noise=noise, dtype=torch.float64)
    if tuple(y.shape[1:]) != units.shape or log_det.shape != (len(x),):
        return asked.fails(f"shapes {tuple(y.shape)} and {tuple(log_det.shape)}, expected (B, *{units.shape}) and (B,)")
    again = units.decode(y, noise=noise.part(0, len(x)))
    if units.sizes and x.is_floating_point():  # a bin forgets where in it a number was: what must agree is the bin
        x, again = y, units.encode(again, noise=noise.part(0, len(x)), dtype=torch.float64)[0]
    if again.shape != x.shape or again.dtype != x.dtype:
        return asked.fails(f"{tuple(again.shape)} of {again.dtype} came back for {tuple(x.shape)} of {x.dtype}")
    same = torch.isclose(again.double(), x.double(), rtol=1e-6, atol=1e-6, equal_nan=True)
    if bool(same.all()):
        return asked.holds(f"all {same.numel():,} entries came back")
    return asked.fails(f"{int((~same).sum()):,} of {same.numel():,} entries came back changed")


def units_count_their_volume(subject: Subject) -> Property:
    """The log-determinant of the units is that of their map."""
    units = _small(subject.model.fitted)
    name = type(units).__name__
    asked = Question(
        name="units: log-determinant",
        tested="compared log_det with the Jacobian of encode by finite differences, noise included"
        if not units.sizes
        else "integrated exp(log_det) over the bins of single columns",
        meaning="log_prob is not in data units, so no two models with different units can be compared",
        where=f"{name}.encode",
    )
    if math.prod(units.shape) == 0:
        return asked.absent("no entry varies")
    found = list(_code_volumes(units, subject.seed) if units.sizes else _real_volumes(units, subject.seed))
    if not found:
        return asked.absent("the map is not one of numbers and noise to as many numbers")
    errors = sorted(abs(said - true) for said, true in found)
    bound = TOLERANCE * max(1, math.prod(units.shape))
    said, true = max(found, key=lambda pair: -abs(pair[0] - pair[1]))  # the pair that agrees best
    figures = f"log_det {said:.6g} where the map has {true:.6g} nats"
    agreeing = sum(error <= bound for error in errors)
    if agreeing * EXAMPLES >= ENOUGH * len(found):
        return asked.holds(f"{figures} (agreement within {bound:.0e} at {agreeing} of {len(found)} examples)")
    if all(abs(said) <= bound for said, _ in found):
        meaning = "the log-determinant of the units is left out: log_prob is in model units, not in data units"
    elif all(abs(said + true) <= bound for said, true in found):
        meaning = "the log-determinant of the units has the wrong sign"
    else:
        meaning = "the log-determinant of the units is not that of their map"
    return asked.fails(figures, f"{meaning}; {asked.meaning}")


def _small(units: Units) -> Units:
    """The same units for a smaller image, where the image is large."""
    if isinstance(units.example, Image) and math.prod(units.example.shape) > MOST_ENTRIES:
        crop = dataclasses.replace(units.example, height=2, width=2)
        changed: object = dataclasses.replace(units, example=crop) if dataclasses.is_dataclass(units) else units
        assert isinstance(changed, Units)
        return changed
    return units


class _Fixed(Noise):
    """One row of noise, away from the ends of its range, repeated for all rows and moved by ``shift``."""

    def __init__(self, seed: int, rows: int, shift: Tensor | None = None) -> None:
        super().__init__(seed, rows=rows)
        self.shift, self.values, self.laws = shift, [], []
        self._one = Noise(seed, rows=1)

    def uniform(self, *event: int, like: Tensor | None = None) -> Tensor:
        return self._moved(0.2 + 0.6 * self._one.uniform(*event).double(), "uniform", like)

    def normal(self, *event: int, like: Tensor | None = None) -> Tensor:
        return self._moved(self._one.normal(*event).double(), "normal", like)

    def _moved(self, base: Tensor, law: str, like: Tensor | None) -> Tensor:
        size, before = base.numel(), len(self.laws)
        self.values += base.flatten().tolist()
        self.laws += [law] * size
        rows = base.expand(self.rows, *base.shape[1:]).clone()
        if self.shift is not None:
            rows += self.shift[:, before : before + size].reshape(rows.shape)
        return rows if like is None else rows.to(like)


def _real_volumes(units: Units, seed: int) -> Iterator[tuple[float, float]]:
    """Pairs of the log_det that was said and that of the Jacobian."""
    source = Noise(seed, 1, rows=EXAMPLES)
    x = units.decode(0.8 * source.normal(*units.shape).double(), noise=source)
    free = _continuous(units)
    for row, example in enumerate(x):
        probe = _Fixed(seed + row, 1)
        _, log_det = units.encode(example[None], noise=probe, dtype=torch.float64)
        moving = [int(i) for i in free if not torch.isnan(example.flatten()[i])] if free else []
        inputs = len(probe.laws)
        total = inputs + len(moving)
        steps = torch.cat([STEP * torch.eye(total).double(), -STEP * torch.eye(total).double()])
        rows = example.repeat(2 * total, *[1] * example.ndim)
        sizes = [max(1.0, abs(float(example.flatten()[entry]))) for entry in moving]
        for index, (entry, size) in enumerate(zip(moving, sizes, strict=True)):
            rows.view(2 * total, -1)[:, entry] += steps[:, inputs + index] * size
        noise = _Fixed(seed + row, 2 * total, steps[:, :inputs])
        y = units.encode(rows, noise=noise, dtype=torch.float64)[0].flatten(1)
        slopes = (y[:total] - y[total:]) / (2 * STEP)
        slopes[inputs:] /= slopes.new_tensor(sizes)[:, None] if sizes else 1.0
        active = (slopes.abs() > 1e-9).any(1)
        if int(active.sum()) != y.shape[1]:
            continue
        log_normal = sum(
            -0.5 * value**2 - 0.5 * math.log(2 * math.pi)
            for value, law, used in zip(probe.values, probe.laws, active[:inputs].tolist(), strict=True)
            if used and law == "normal"
        )
        yield float(log_det), float(torch.linalg.slogdet(slopes[active]).logabsdet) - log_normal


def _continuous(units: Units) -> list[int]:
    """The entries of an example that are numbers without a grid."""
    example = units.example
    if not isinstance(example, Points | Table):
        return []
    return [i for i, column in enumerate(columns_of(example)) if column.numeric and not column.resolution]


def _code_volumes(units: Units, seed: int) -> Iterator[tuple[float, float]]:
    """Pairs of log_det and m log_det - sum of log I_j: equal, if every f integrates to one over its bin."""
    sizes = torch.tensor(units.sizes)
    source = Noise(seed, 1, rows=2 * EXAMPLES)
    # Codes from the middle: the first and last ones of a column of numbers are tails without end.
    codes = (sizes * (0.25 + 0.5 * source.uniform(len(sizes)))).long().clamp(min=1).minimum(sizes - 1)
    x = units.decode(codes, noise=source)
    for row in range(len(x)):
        log_det = float(_log_det(units, x[row : row + 1]))
        if not isinstance(units.example, Points | Table):
            yield log_det, 0.0
            continue
        integrals = [_log_integral(units, x[row], j, c.resolution) for j, c in _numbers(units, x[row])]
        finite = [integral for integral in integrals if integral is not None]
        if len(finite) == len(integrals):
            yield log_det, len(finite) * log_det - sum(finite)


def _numbers(units: Units, example: Tensor) -> list[tuple[int, Column]]:
    columns = columns_of(units.example) if isinstance(units.example, Points | Table) else ()
    return [(j, c) for j, c in enumerate(columns) if c.numeric and not torch.isnan(example[j])]


def _log_det(units: Units, x: Tensor) -> Tensor:
    return units.encode(x, noise=Noise(0, rows=len(x)), dtype=torch.float64)[1]


def _log_integral(units: Units, example: Tensor, column: int, step: float) -> float | None:
    """log of the integral of exp(log_det) over the bin of one column (a sum over its grid), None in a tail."""

    def rows(values: Tensor) -> Tensor:
        x = example.repeat(len(values), 1)
        x[:, column] = values
        return x

    def same(values: Tensor) -> Tensor:
        codes = units.encode(rows(values), noise=Noise(0, rows=len(values)), dtype=torch.float64)[0]
        return (codes == code).all(1)

    at = example[column]
    code = units.encode(example[None], noise=Noise(0, rows=1), dtype=torch.float64)[0]
    if step:
        cells = at + step * torch.arange(-MOST_CELLS, MOST_CELLS + 1).double()
        inside = same(cells)
        if bool(inside[0]) or bool(inside[-1]):
            return None
        return float(_log_det(units, rows(cells[inside])).logsumexp(0))
    ends = []
    for side in (-1.0, 1.0):
        reach = 1e-9 * 2.0 ** torch.arange(60).double()
        out = ~same(at + side * reach)
        if not bool(out.any()):
            return None
        first = int(out.long().argmax())
        low, high = reach[max(first - 1, 0)], reach[first]
        for _ in range(4):  # a hundredfold narrower each time
            grid = low + (high - low) * torch.linspace(0, 1, 101).double()
            first = max(int((~same(at + side * grid)).long().argmax()), 1)
            low, high = grid[first - 1], grid[first]
        ends.append(float(at + side * low))
    middles = ends[0] + (ends[1] - ends[0]) * (torch.arange(POINTS).double() + 0.5) / POINTS
    return float(_log_det(units, rows(middles)).logsumexp(0)) + math.log((ends[1] - ends[0]) / POINTS)
