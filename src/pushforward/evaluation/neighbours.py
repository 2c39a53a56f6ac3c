r"""Exact nearest neighbours of points in :math:`\mathbb{R}^d`, in blocks of bounded memory.

A block of squared distances costs one matrix product,

.. math:: \|x - y\|^2 = \|x\|^2 + \|y\|^2 - 2\,x \cdot y ,

which is fast in float32 and loses digits where the distance is small beside the norms. So float32 only proposes: the
points are centred, every value that lies too near to a decision (which neighbour is the k-th, is a point inside a
ball) for float32 to make it is computed again in float64, and what is decided is the float64 answer.

Distances are compared after rounding to float32, the precision of the features: equal distances then are equal however
their sums were ordered, and a point on the edge of a ball is not inside it.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pushforward.core.errors import InputError

__all__ = ["Membership", "Nearest", "distances", "membership", "nearest", "radii"]

#: Rows of a block, 16 MiB in float32: products run at full speed, and few enough of them that handing work to threads
#: costs little.
BLOCK = 2048

#: Pairs of a block recomputed one by one; with more of them the product of the whole block in float64 costs less.
FEW = 2**15

#: Candidates kept beyond the k-th neighbour, so that a near tie with the next ones shows.
SPARE = 4


class Nearest(NamedTuple):
    """Neighbours, nearest first."""

    distances: Float[Tensor, "n k"]  # float64
    indices: Int[Tensor, "n k"]


class Membership(NamedTuple):
    """Which points lie inside which balls, counted from both sides."""

    points_per_ball: Int[Tensor, "n"]
    balls_per_point: Int[Tensor, "m"]


def radii(x: Float[Tensor, "n dim"], k: int) -> Float[Tensor, "n"]:
    """The distance of every point to its k-th nearest other point, in float64.

    Raises:
        InputError: if ``k`` is below 1, there are not more than ``k`` points, or one is not finite.

    Example:
        >>> radii(torch.tensor([[0.0], [1.0], [3.0]]), 1).tolist()
        [1.0, 1.0, 2.0]
    """
    _check(x, k, len(x) - 1)
    (points,) = _Points.of(x)
    best = _Best(len(x), min(k + SPARE, len(x) - 1))
    for rows in _slices(len(x)):
        for columns in _slices(len(x), rows.start):  # the other half is its mirror image
            block = points[rows].approximate(points[columns])
            if rows == columns:
                block.fill_diagonal_(math.inf)
            best.offer(rows, columns, block)
            if rows != columns:
                best.offer(columns, rows, block.T)
    return _settle(points, points, best, k, only_last=True).distances[:, k - 1]


def nearest(x: Float[Tensor, "n dim"], y: Float[Tensor, "m dim"], k: int = 1) -> Nearest:
    """The ``k`` nearest points of ``y`` to every point of ``x``.

    Raises:
        InputError: if ``k`` is not between 1 and the number of points of ``y``, or the points are not finite.

    Example:
        >>> found = nearest(torch.tensor([[0.0], [5.0]]), torch.tensor([[4.0], [1.0], [0.0]]))
        >>> found.distances.flatten().tolist(), found.indices.flatten().tolist()
        ([0.0, 1.0], [2, 0])
    """
    _check(x, k, len(y))
    _check(y, k, len(y))
    first, second = _Points.of(x, y)
    best = _Best(len(x), min(k + SPARE, len(y)))
    for rows, columns, block in _blocks(first, second):
        best.offer(rows, columns, block)
    return _settle(first, second, best, k, only_last=False)


def membership(
    x: Float[Tensor, "n dim"], y: Float[Tensor, "m dim"], x_radii: Float[Tensor, "n"], y_radii: Float[Tensor, "m"]
) -> tuple[Membership, Membership]:
    """Which points of ``y`` lie inside the open balls round ``x``, and which of ``x`` inside those round ``y``.

    Example:
        >>> x, y = torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [1.5]])
        >>> round_x, round_y = membership(x, y, torch.tensor([1.2, 1.2]), torch.tensor([0.1, 0.6]))
        >>> round_x.points_per_ball.tolist(), round_x.balls_per_point.tolist()
        ([1, 2], [2, 1])
        >>> round_y.points_per_ball.tolist(), round_y.balls_per_point.tolist()
        ([0, 1], [0, 1])
    """
    first, second = _Points.of(x, y)
    round_x, round_y = _none(len(x), len(y)), _none(len(y), len(x))
    for rows, columns, block in _blocks(first, second):
        _count(round_x, rows, columns, *_inside(first[rows], second[columns], block, x_radii[rows]))
        _count(round_y, columns, rows, *_inside(second[columns], first[rows], block.T, y_radii[columns]))
    return round_x, round_y


def distances(x: Float[Tensor, "n dim"], y: Float[Tensor, "m dim"]) -> Float[Tensor, "n m"]:
    """All distances, computed in float64 and rounded to float32: for sets small enough to keep the whole matrix.

    Example:
        >>> distances(torch.tensor([[0.0, 0.0], [3.0, 4.0]]), torch.tensor([[0.0, 0.0]])).tolist()
        [[0.0], [5.0]]
    """
    first, second = _Points.of(x, y)
    return torch.cat([first[rows].exact(second).float() for rows in _slices(len(x), step=_height(len(y)))])


@dataclass(frozen=True)
class _Points:
    """Points as they came, and centred and scaled for the fast product."""

    raw: Float[Tensor, "n dim"]
    centre: Float[Tensor, "dim"]  # float64
    scale: float
    rough: Float[Tensor, "n dim"]  # float32, (raw - centre) / scale
    norms: Float[Tensor, "n"]  # squared norms of ``rough``

    @staticmethod
    def of(*sets: Tensor) -> "list[_Points]":
        """All sets with the centre of the first: what is subtracted from all of them changes no distance."""
        centre = sets[0].mean(0, dtype=torch.float64)
        # The scaled numbers are at most 1, so that no square of them overflows float32.
        parts = [points[rows] for points in sets for rows in _slices(len(points))]
        scale = max(float((part.double() - centre).abs().max()) for part in parts) or 1.0
        made = []
        for raw in sets:
            rough = torch.cat([((raw[rows].double() - centre) / scale).float() for rows in _slices(len(raw))])
            made.append(_Points(raw, centre, scale, rough, rough.square().sum(1)))
        return made

    def __len__(self) -> int:
        return len(self.raw)

    def __getitem__(self, rows: slice | Tensor) -> "_Points":
        return _Points(self.raw[rows], self.centre, self.scale, self.rough[rows], self.norms[rows])

    def approximate(self, other: "_Points") -> Float[Tensor, "n m"]:
        """Squared distances in float32, in units of ``scale`` squared."""
        return torch.addmm(other.norms, self.rough, other.rough.T, alpha=-2).add_(self.norms[:, None])

    def tolerance(self, squares: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
        r"""How far an approximate square near ``squares`` may be from the truth.

        A sum of d rounded products errs by a share :func:`_rounding` of the norms, and
        :math:`\|y\| \le \|x\| + \|x - y\|`.
        """
        reach = self.norms + (self.norms.sqrt() + squares.clamp(min=0).sqrt()).square()
        # Beside an outlier of 1e15 times the rest, squares underflow: then nothing is certain.
        return (_rounding(self.raw.shape[1], torch.float32) * reach).clamp(min=1e-30)

    def pairs(self, other: "_Points", i: Int[Tensor, "pairs"], j: Int[Tensor, "pairs"]) -> Float[Tensor, "pairs"]:
        """Distances of single pairs in float64, from their differences: exact for close and for identical points."""
        parts = zip(i.split(BLOCK), j.split(BLOCK), strict=True)
        found = [(self.raw[a].double() - other.raw[b].double()).square().sum(1).sqrt() for a, b in parts]
        return torch.cat(found) if found else i.new_zeros(0, dtype=torch.float64)

    def exact(self, other: "_Points") -> Float[Tensor, "n m"]:
        """All distances in float64. Pairs so close that even its product loses digits are taken from differences.

        Where these are many, what lies within the rounding of the product counts as identical.
        """
        a, b = (points.raw.double() - self.centre for points in (self, other))
        norms = a.square().sum(1)[:, None] + b.square().sum(1)
        squares = norms.addmm(a, b.T, alpha=-2)
        # Below this share of the norms, less than the float32 precision of the result would be left.
        i, j = (squares < 2**-24 * norms).nonzero(as_tuple=True)
        if len(i) <= FEW * max(squares.numel() // BLOCK**2, 1):
            roots = squares.clamp_(min=0).sqrt_()
            roots[i, j] = self.pairs(other, i, j)
            return roots
        return squares.masked_fill_(squares < _rounding(a.shape[1], torch.float64) * norms, 0).sqrt_()


class _Best:
    """The smallest approximate squares of every row so far, ascending, and where they are."""

    def __init__(self, rows: int, size: int) -> None:
        self.values = torch.full((rows, size), math.inf)
        self.indices = torch.zeros(rows, size, dtype=torch.int64)

    def offer(self, rows: slice, columns: slice, block: Float[Tensor, "rows columns"]) -> None:
        size = self.values.shape[1]
        values, indices = block.topk(min(size, block.shape[1]), dim=1, largest=False)
        values = torch.cat([self.values[rows], values], dim=1)
        indices = torch.cat([self.indices[rows], indices + columns.start], dim=1)
        self.values[rows], order = values.topk(size, dim=1, largest=False)
        self.indices[rows] = indices.gather(1, order)


def _settle(first: _Points, second: _Points, best: _Best, k: int, *, only_last: bool) -> Nearest:
    """Decide in float64 among the candidates; where their list ends in a near tie, among all points.

    Args:
        first: whose neighbours are sought.
        second: among these.
        best: the candidates.
        k: how many.
        only_last: the k-th alone has to be right, and a point of ``first`` is no neighbour of itself.
    """
    last = best.values[:, k - 1]
    tolerance = first.tolerance(last)
    near = best.values <= (last + tolerance)[:, None]
    if only_last:
        near &= best.values >= (last - tolerance)[:, None]
    found = best.values.double().clamp(min=0).sqrt() * first.scale
    rows, places = near.nonzero(as_tuple=True)
    found[rows, places] = first.pairs(second, rows, best.indices[rows, places])
    found, order = found.sort(dim=1)
    found, indices = found[:, :k].contiguous(), best.indices.gather(1, order)[:, :k].contiguous()
    if best.values.shape[1] < len(second) - only_last:
        for rows in near[:, -1].nonzero().flatten().split(_height(len(second))):
            whole = first[rows].exact(second)
            if only_last:
                whole[torch.arange(len(rows)), rows] = math.inf
            indices[rows] = whole.topk(k, dim=1, largest=False).indices
            found[rows] = first.pairs(second, rows.repeat_interleave(k), indices[rows].flatten()).view(-1, k)
    return Nearest(found, indices)


def _inside(centres: _Points, points: _Points, block: Tensor, radii: Tensor) -> tuple[Tensor, Tensor]:
    """The pairs (ball, point) of a block where the point lies inside the ball."""
    limit = radii.float()
    squares = (radii / centres.scale).square().float()
    tolerance = centres.tolerance(squares)
    i, j = (block < (squares + tolerance)[:, None]).nonzero(as_tuple=True)
    unsure = block[i, j] > (squares - tolerance)[i]
    if int(unsure.sum()) > FEW:
        i, j = (centres.exact(points).float() < limit[:, None]).nonzero(as_tuple=True)
        return i, j
    inside = ~unsure
    inside[unsure] = centres.pairs(points, i[unsure], j[unsure]).float() < limit[i[unsure]]
    return i[inside], j[inside]


def _none(balls: int, points: int) -> Membership:
    return Membership(torch.zeros(balls, dtype=torch.int64), torch.zeros(points, dtype=torch.int64))


def _count(total: Membership, balls: slice, points: slice, i: Tensor, j: Tensor) -> None:
    for counts, where, found in ((total.points_per_ball, balls, i), (total.balls_per_point, points, j)):
        counts[where] += found.bincount(minlength=len(counts[where]))


def _blocks(first: _Points, second: _Points) -> Iterator[tuple[slice, slice, Tensor]]:
    for rows in _slices(len(first)):
        for columns in _slices(len(second)):
            yield rows, columns, first[rows].approximate(second[columns])


def _rounding(dim: int, precision: torch.dtype) -> float:
    """Relative error of a sum of so many rounded products; the 8 covers the few roundings beside it."""
    return torch.finfo(precision).eps * (8 + math.sqrt(dim))


def _slices(stop: int, start: int = 0, step: int | None = None) -> list[slice]:
    step = step or BLOCK
    return [slice(begin, min(begin + step, stop)) for begin in range(start, stop, step)]


def _height(width: int) -> int:
    """Rows of a float64 block of this width that take 128 MiB."""
    return max(2**24 // width, 1)


def _check(x: Tensor, k: int, most: int) -> None:
    if not 1 <= k <= most:
        raise InputError(f"k: got {k}, expected 1 to {most}, the number of neighbours that a point has here")
    if not bool(x.isfinite().all()):
        raise InputError("points: some values are infinite or not a number, expected finite numbers")
