r"""Adaptive rejection sampling: for a log-concave density on a line, the envelope builds itself.

A concave :math:`h = \log p` lies below each of its tangents. Tangents at :math:`x_1 < \dots < x_K` meet at

.. math:: z_i = \frac{h_{i+1} - h_i - x_{i+1} h'_{i+1} + x_i h'_i}{h'_i - h'_{i+1}},

and the exponential of the lowest of them is an envelope :math:`e^{u(x)}`. Between two meeting points it is exponential,
so that its integral and its inverse CDF have closed forms. A draw x of it is kept with probability
:math:`e^{h(x) - u(x)}`; if it is not, its tangent joins the hull, which fits better from then on.

Points are drawn many at a time. What breaks the sandwich *chords <= h <= hull* anywhere shows that h is not concave,
and is an error.

Reference:
    Gilks and Wild 1992, "Adaptive Rejection Sampling for Gibbs Sampling", Applied Statistics 41.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from pushforward.core.errors import InputError, check_count

__all__ = ["adaptive_rejection_sample"]

LogDensity = Callable[[Tensor], Tensor]

#: The hull learns until this share of its draws is kept; what is refused falls as the square of the tangents' number,
#: so that 10 to 20 do.
GOOD = 0.99

#: Tangents that no log-concave density needs, unless it is too far or too narrow to be found from ``start``.
TANGENTS = 500

#: Points drawn at a time, at most.
MOST = 1_000_000

#: Steps outwards, each twice the last, in search of where the log-density falls.
DOUBLINGS = 100


@dataclass(frozen=True, eq=False)
class _Hull:
    """Tangents of h at increasing x, within [lower, upper]."""

    x: Float[Tensor, "k"]
    h: Float[Tensor, "k"]
    slope: Float[Tensor, "k"]
    lower: float
    upper: float

    @classmethod
    def at(cls, log_density: LogDensity, x: Tensor, lower: float, upper: float) -> _Hull:
        x = x.unique()
        h, slope = _value_and_slope(log_density, x)
        return cls(x, h, slope, lower, upper)._checked()

    def joined(self, x: Tensor, h: Tensor, slope: Tensor) -> _Hull:
        """With further tangents."""
        x, h, slope = (torch.cat(pair) for pair in ((self.x, x), (self.h, h), (self.slope, slope)))
        order = x.argsort()
        x, h, slope = x[order], h[order], slope[order]
        new = torch.cat([x.new_ones(1, dtype=torch.bool), x[1:] > x[:-1]])
        return _Hull(x[new], h[new], slope[new], self.lower, self.upper)._checked()

    def _checked(self) -> _Hull:
        """The slopes of a concave function fall."""
        rise = self.slope[1:] - self.slope[:-1]
        slack = _slack(self.slope[1:], self.slope[:-1])
        if bool((rise > slack).any()):
            _complain(float(self.x[1:][int((rise - slack).argmax())]))
        return self

    def edges(self) -> Float[Tensor, "k+1"]:
        """lower, where tangents meet, upper."""
        (xa, xb), (ha, hb), (da, db) = ((t[:-1], t[1:]) for t in (self.x, self.h, self.slope))
        # From the left point, in differences, so that neighbours close to each other lose little to rounding.
        step = (hb - ha - (xb - xa) * db) / (da - db)
        parallel = (da - db) <= _slack(da, db)
        meet = torch.where(parallel, (xa + xb) / 2, xa + step).clamp(min=xa, max=xb)
        ends = self.x.new_tensor([self.lower, self.upper])
        return torch.cat([ends[:1], meet, ends[1:]])

    def pieces(self, x: Tensor) -> Tensor:
        """The number of the tangent that is lowest at x."""
        return torch.searchsorted(self.edges()[1:-1].contiguous(), x)

    def upper_bound(self, x: Tensor) -> Tensor:
        """The lowest tangent at x."""
        piece = self.pieces(x)
        return self.h[piece] + self.slope[piece] * (x - self.x[piece])

    def chords(self, x: Tensor) -> Tensor:
        """The chord between the neighbours of x; -inf outside of them."""
        right = torch.searchsorted(self.x, x).clamp(1, len(self.x) - 1)
        left = right - 1
        share = (x - self.x[left]) / (self.x[right] - self.x[left])
        chord = torch.lerp(self.h[left], self.h[right], share)
        return torch.where((share < 0) | (share > 1), -torch.inf, chord)

    def draw(self, n: int, generator: torch.Generator | None) -> Float[Tensor, "n"]:
        """n points with density proportional to exp(upper_bound)."""
        edges = self.edges()
        left, right = edges[:-1], edges[1:]
        # The larger end of each piece and the steepness away from it; a flat one has no larger end.
        down = self.slope <= 0
        anchor = torch.where(down, left, right)
        top = self.h + self.slope * (anchor - self.x)
        rate, width = self.slope.abs(), right - left
        # int_0^w exp(-r t) dt = -expm1(-r w) / r, which is w where r w vanishes
        flat = rate * width < 1e-12
        mass = torch.where(flat, width, -torch.expm1(-rate * width) / rate)
        log_mass = torch.where(width > 0, top + mass.log(), -torch.inf)
        cumulative = log_mass.softmax(0).cumsum(0)
        u = torch.rand(2, n, generator=generator, dtype=self.x.dtype, device=self.x.device)
        piece = torch.searchsorted(cumulative, u[0] * cumulative[-1], right=True).clamp(max=len(self.x) - 1)
        r, w = rate[piece], width[piece]
        along = torch.where(flat[piece], u[1] * w, -torch.log1p(u[1] * torch.expm1(-r * w)) / r)
        return torch.where(down[piece], left[piece] + along, right[piece] - along)


def adaptive_rejection_sample(
    log_density: LogDensity,
    n: int,
    *,
    start: float = 0.0,
    lower: float = -math.inf,
    upper: float = math.inf,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "n"]:
    """n independent draws from a log-concave density on a line, in float64.

    Args:
        log_density: log p of points (n,) -> (n,), up to a constant, differentiable by autograd inside of the bounds.
        n: how many draws.
        start: a point in the support, from which the first tangents are sought.
        lower: where the support begins.
        upper: where it ends.
        generator: None takes torch's default one.

    Raises:
        InputError: if the density is not log-concave (with a place where that shows), does not fall towards an infinite
            end, is not finite or not differentiable where it is looked at, or ``start`` is not between the bounds.

    Example:
        >>> x = adaptive_rejection_sample(lambda x: -x.cosh(), 1000, generator=torch.Generator().manual_seed(0))
        >>> bool(x.mean().abs() < 0.1)
        True
        >>> adaptive_rejection_sample(lambda x: -torch.log1p(x**2), 1000)  # a Cauchy density has heavy tails
        Traceback (most recent call last):
        ...
        pushforward.core.errors.InputError: log_density: not log-concave near x = ...
    """
    check_count(n, "n")
    if not lower < start < upper:
        raise InputError(f"start: got {start}, expected a number between lower = {lower} and upper = {upper}")
    hull = _first_hull(log_density, start, lower, upper)
    kept: list[Tensor] = []
    missing, learned = n, False
    while missing:
        # Few while there is much to learn, which makes the hull fit; never more than fit in little memory.
        size = min(missing + 16, MOST if learned else 64)
        x = hull.draw(size, generator)
        h, slope = _value_and_slope(log_density, x)
        bound = hull.upper_bound(x)
        _check_sandwich(x, h, bound, hull.chords(x))
        u = torch.rand(size, generator=generator, dtype=x.dtype, device=x.device)
        accepted = torch.log1p(-u) <= h - bound
        kept.append(x[accepted][:missing])
        missing -= len(kept[-1])
        learned = float(accepted.double().mean()) >= GOOD
        if missing and not learned:
            if len(hull.x) > TANGENTS:
                raise InputError(f"start: got {start}, expected a place closer to where the density is largest")
            hull = _learn(hull, x[~accepted], h[~accepted], slope[~accepted])
    return torch.cat(kept)


def _learn(hull: _Hull, x: Tensor, h: Tensor, slope: Tensor) -> _Hull:
    """The hull with the tangent at one refused point of each piece: many that lie close together teach no more."""
    piece = hull.pieces(x)
    order = piece.argsort(stable=True)
    piece = piece[order]
    first = order[torch.cat([piece.new_ones(1, dtype=torch.bool), piece[1:] > piece[:-1]])]
    return hull.joined(x[first], h[first], slope[first])


def _first_hull(log_density: LogDensity, start: float, lower: float, upper: float) -> _Hull:
    """Tangents that rise at the left end and fall at the right one, where the ends are infinite."""
    points = [start]
    for sign, end in ((-1.0, lower), (1.0, upper)):
        if math.isfinite(end):
            points += [start + share * (end - start) for share in (0.5, 0.9)]
            continue
        for power in range(DOUBLINGS):
            x = start + sign * 2.0 ** (power - 3)
            points.append(x)
            if sign * float(_value_and_slope(log_density, torch.tensor([x], dtype=torch.float64))[1]) < 0:
                break
        else:
            where = "lower" if sign < 0 else "upper"
            raise InputError(f"{where}: the log-density does not fall towards {end}, expected a finite {where} bound")
    return _Hull.at(log_density, torch.tensor(points, dtype=torch.float64), lower, upper)


def _value_and_slope(log_density: LogDensity, x: Float[Tensor, "n"]) -> tuple[Tensor, Tensor]:
    """h and h' by autograd, checked."""
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        h = log_density(leaf)
        if not isinstance(h, Tensor) or h.shape != x.shape:
            shape = tuple(h.shape) if isinstance(h, Tensor) else type(h).__name__
            raise InputError(f"log_density: got {shape} for {len(x)} points, expected one number each, ({len(x)},)")
        if not h.requires_grad:
            raise InputError("log_density: got no gradient, expected a function of torch operations on its argument")
        (slope,) = torch.autograd.grad(h.sum(), leaf)
        h = h.detach()
    bad = ~(torch.isfinite(h) & torch.isfinite(slope))
    if bool(bad.any()):
        i = int(bad.nonzero()[0])
        raise InputError(
            f"log_density: got {float(h[i])} with slope {float(slope[i])} at x = {float(x[i]):.4g}, expected finite "
            "numbers between lower and upper: set these to the ends of the support"
        )
    return h, slope


def _check_sandwich(x: Tensor, h: Tensor, bound: Tensor, chord: Tensor) -> None:
    for excess, scale in ((h - bound, bound), (chord - h, chord)):
        outside = torch.isfinite(scale) & (excess > _slack(h, scale))
        if bool(outside.any()):
            _complain(float(x[int(torch.where(outside, excess, -torch.inf).argmax())]))


def _slack(a: Tensor, b: Tensor) -> Tensor:
    """What rounding does to values, or slopes, of this size: a density that is wrong by 1e-9 of itself passes."""
    return 1e-9 * (1 + a.abs() + b.abs())


def _complain(x: float) -> None:
    raise InputError(
        f"log_density: not log-concave near x = {x:.4g}, expected slopes that fall: take rejection_sample with an "
        "envelope, or a Markov chain"
    )
