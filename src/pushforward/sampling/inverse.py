r"""Inverse-transform sampling: :math:`x = F^{-1}(u)` of a uniform u has the distribution function F.

.. math:: P(F^{-1}(U) \le x) = P(U \le F(x)) = F(x), \qquad F^{-1}(u) = \inf\{x : F(x) \ge u\}

Three ways to the quantile function :math:`F^{-1}`:

* *analytic*: a formula, such as :math:`-\log(1 - u) / \lambda` of an exponential;
* *numeric*: ``invert_cdf`` brackets every x and closes in by Newton steps :math:`x - (F(x) - u) / p(x)`, taking the
  middle of the bracket whenever such a step would leave it or there is no density to take it with;
* *tabulated*: F at some x, and between them straight lines (a density of steps) or monotone cubics (a continuous one),
  ``TabulatedCDF``; its table can come from a density alone, by quadrature.

Reference:
    Devroye 1986, "Non-Uniform Random Variate Generation", chapter II; Fritsch and Carlson 1980, "Monotone Piecewise
    Cubic Interpolation".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, get_args

import torch
from jaxtyping import Float
from scipy.interpolate import PchipInterpolator
from torch import Tensor

from pushforward.core.errors import InputError, check_count
from pushforward.sampling.checked import log_density_of

__all__ = ["Interpolation", "TabulatedCDF", "inverse_transform", "invert_cdf", "tabulate_cdf"]

Function = Callable[[Tensor], Tensor]
Interpolation = Literal["linear", "pchip"]

#: Halvings at most; 1100 take any bracket of float64 numbers down to neighbours, and 60 are usual.
HALVINGS = 1100


def inverse_transform(
    quantile: Function, n: int, *, dtype: torch.dtype = torch.float64, generator: torch.Generator | None = None
) -> Float[Tensor, "n"]:
    r"""n independent draws :math:`F^{-1}(u)`, u uniform on (0, 1), the ends left out.

    Args:
        quantile: :math:`F^{-1}` of a tensor of numbers in (0, 1).
        n: how many.
        dtype: of u.
        generator: None takes torch's default one.

    Raises:
        InputError: if n is below 1, or a draw is NaN, or there is not one for each u.

    Example:
        >>> x = inverse_transform(lambda u: -torch.log1p(-u), 10_000, generator=torch.Generator().manual_seed(0))
        >>> round(x.mean().item(), 1)  # of an exponential with rate 1
        1.0
    """
    check_count(n, "n")
    u = torch.rand(n, generator=generator, dtype=dtype)
    u = u.clamp(torch.finfo(dtype).tiny, 1 - torch.finfo(dtype).eps / 2)
    x = quantile(u)
    if not isinstance(x, Tensor) or x.shape != u.shape:
        shape = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise InputError(f"quantile: got {shape} for {n} numbers, expected one each, ({n},)")
    if bool(torch.isnan(x).any()):
        raise InputError(
            f"quantile: got NaN at u = {float(u[torch.isnan(x)][0]):.4g}, expected a number for all of (0, 1)"
        )
    return x


def invert_cdf(
    cdf: Function,
    u: Float[Tensor, "*shape"],
    *,
    density: Function | None = None,
    lower: float = -math.inf,
    upper: float = math.inf,
) -> Float[Tensor, "*shape"]:
    r"""The smallest x with :math:`F(x) \ge u`, for every u at once, as closely as the digits of F say.

    Args:
        cdf: F, of a tensor of any shape, elementwise and never falling.
        u: in (0, 1).
        density: F', for fewer steps (about 20 in place of 60); None halves brackets only.
        lower: where the support begins.
        upper: where it ends.

    Raises:
        InputError: if F falls somewhere between the points it is asked at, is NaN or outside of [0, 1], does not reach
            u, or a number u lies outside of (0, 1).

    Example:
        >>> u = torch.tensor([0.025, 0.5, 0.975], dtype=torch.float64)
        >>> invert_cdf(torch.special.ndtr, u).tolist()
        [-1.959964, 0.0, 1.959964]
    """
    if not bool(((u > 0) & (u < 1)).all()):
        raise InputError("u: got a number outside of (0, 1) or NaN, expected probabilities between 0 and 1")
    if not lower < upper:
        raise InputError(f"lower, upper: got {lower} and {upper}, expected lower < upper")
    flat = u.flatten()
    low, high = _bracket(cdf, flat, lower, upper)
    return _close_in(cdf, density, flat, low, high).view(u.shape)


class TabulatedCDF:
    """A distribution function known at some points, and its quantile function.

    Args:
        x: increasing.
        cdf: F(x), not falling, from 0 to 1.
        interpolation: of F between them; "linear" gives a density of steps, "pchip" (monotone cubics) a continuous one.

    Raises:
        InputError: if x does not increase, F falls or does not go from 0 to 1, or the shapes differ.

    Example:
        >>> table = TabulatedCDF(torch.tensor([0.0, 1.0, 3.0]), torch.tensor([0.0, 0.5, 1.0]), interpolation="linear")
        >>> table.quantile(torch.tensor([0.25, 0.75])).tolist()
        [0.5, 2.0]
    """

    def __init__(
        self, x: Float[Tensor, "k"], cdf: Float[Tensor, "k"], *, interpolation: Interpolation = "pchip"
    ) -> None:
        _check_table(x, cdf)
        self.x, self.values = x.double().contiguous(), cdf.double().contiguous()
        match interpolation:
            case "linear":
                slope = self.values.diff() / self.x.diff()
                zero = torch.zeros_like(slope)
                self._cubics = torch.stack([zero, zero, slope, self.values[:-1]])
            case "pchip":
                cubics = PchipInterpolator(self.x.cpu().numpy(), self.values.cpu().numpy()).c
                self._cubics = torch.from_numpy(cubics).to(x.device)
            case _:
                raise InputError(
                    f"interpolation: got {interpolation!r}, expected one of {', '.join(get_args(Interpolation))}"
                )

    def cdf(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """F(x), 0 before the table and 1 after it."""
        cell, along = self._cell(x)
        a, b, c, d = self._cubics[:, cell]
        return (((a * along + b) * along + c) * along + d).clamp(0, 1)

    def density(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """F'(x), 0 outside of the table."""
        cell, along = self._cell(x)
        a, b, c, _ = self._cubics[:, cell]
        slope = ((3 * a * along + 2 * b) * along + c).clamp(min=0)
        return torch.where((x < self.x[0]) | (x > self.x[-1]), 0.0, slope)

    def quantile(self, u: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The smallest x with F(x) >= u; it can be given to ``inverse_transform``."""
        flat = u.double().flatten()
        right = torch.searchsorted(self.values, flat).clamp(1, len(self.x) - 1)
        x = _close_in(self.cdf, self.density, flat, self.x[right - 1], self.x[right])
        return x.view(u.shape).to(u.dtype)

    def _cell(self, x: Tensor) -> tuple[Tensor, Tensor]:
        inner = x.double().clamp(self.x[0], self.x[-1])
        cell = (torch.searchsorted(self.x, inner.contiguous(), right=True) - 1).clamp(0, len(self.x) - 2)
        return cell, inner - self.x[cell]


def tabulate_cdf(
    log_density: Function,
    lower: float,
    upper: float,
    *,
    points: int = 1001,
    interpolation: Interpolation = "pchip",
) -> TabulatedCDF:
    r"""The distribution function of an unnormalised density on [lower, upper], by Simpson's rule in every cell.

    .. math:: F(x_{i+1}) - F(x_i) \propto \frac{h}{6} \bigl( p(x_i) + 4 p(x_i + h/2) + p(x_{i+1}) \bigr)

    Args:
        log_density: log p of points (n,) -> (n,), up to a constant.
        lower: a finite end; mass beyond it is cut off.
        upper: the other.
        points: of the table, at equal distances.
        interpolation: see ``TabulatedCDF``.

    Raises:
        InputError: if the ends are not finite and in order, the density is NaN, +inf or of another shape, or has no
            mass between them.

    Example:
        >>> table = tabulate_cdf(lambda x: -x**2 / 2, -10.0, 10.0)
        >>> table.quantile(torch.tensor([0.975], dtype=torch.float64)).item()
        1.959964
    """
    check_count(points, "points")
    if not (math.isfinite(lower) and math.isfinite(upper) and lower < upper and points > 1):
        raise InputError(
            f"lower, upper, points: got {lower}, {upper}, {points}, expected finite lower < upper and 2 points or more"
        )
    x = torch.linspace(lower, upper, 2 * points - 1, dtype=torch.float64)
    log_p = log_density_of(log_density, x, name="log_density")
    if not bool((log_p > -torch.inf).any()):
        raise InputError(f"log_density: -inf at all points of [{lower}, {upper}], expected bounds around its mass")
    p = (log_p - log_p.max()).exp()
    mass = p[:-1:2] + 4 * p[1::2] + p[2::2]
    cumulative = torch.cat([mass.new_zeros(1), mass.cumsum(0)])
    return TabulatedCDF(x[::2], cumulative / cumulative[-1], interpolation=interpolation)


def _bracket(cdf: Function, u: Tensor, lower: float, upper: float) -> tuple[Tensor, Tensor]:
    """For every u, low and high with F(low) < u <= F(high)."""
    inner = min(max(0.0, lower), upper)
    # At a finite lower end F may jump, and the end itself is the quantile: nothing is asked of it.
    low = torch.full_like(u, lower) if math.isfinite(lower) else _reach(cdf, u, inner, -1.0)
    return low, _reach(cdf, u, inner, 1.0, upper)


def _reach(cdf: Function, u: Tensor, inner: float, sign: float, bound: float = math.inf) -> Tensor:
    """Doubling the distance from ``inner``, the first end beyond which u lies; a finite bound is the end itself."""
    bounded = math.isfinite(bound)
    end = torch.full_like(u, bound if bounded else inner + sign)
    largest = torch.finfo(u.dtype).max / 4
    power = 0
    while True:
        value = _evaluate(cdf, end)
        beyond = value < u if sign < 0 else value >= u
        if bool(beyond.all()):
            return end
        power += 1
        further = inner + sign * 2.0**power
        if bounded or abs(further) > largest:
            i = int((~beyond).nonzero()[0])
            raise InputError(
                f"cdf: got F({float(end[i]):.4g}) = {float(value[i]):.6g} on the way to u = {float(u[i]):.6g}, "
                "expected F to go from 0 to 1 between lower and upper"
            )
        end = torch.where(beyond, end, further)


def _close_in(cdf: Function, density: Function | None, u: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Newton steps inside of brackets that shrink, until neighbouring numbers, or neighbouring F, hold each x."""
    below, above = _evaluate(cdf, low), _evaluate(cdf, high)
    eps = torch.finfo(u.dtype).eps
    least = eps**2 * (high - low)  # where x is 0, all numbers near it are neighbours
    x, before = low + (high - low) / 2, high - low
    for step in range(HALVINGS):
        value = _evaluate(cdf, x)
        _check_order(torch.stack([low, x, high]), torch.stack([below, value, above]))
        left = value < u
        low, below = torch.where(left, x, low), torch.where(left, value, below)
        high, above = torch.where(left, high, x), torch.where(left, above, value)
        width, digits = high - low, eps * torch.maximum(low.abs(), high.abs()) + least
        if bool(((width <= 2 * digits) | (above - below <= 2 * eps * above)).all()):
            break
        nearest = low + width / 2
        if density is not None:
            # From the end that is closer to u, a step that ends just short of the root or just past it (by what
            # rounding of F moves it), on the side of the other end: the bracket shrinks from both sides.
            base, value = (torch.where(above - u < u - below, *ends) for ends in ((high, low), (above, below)))
            slope = density(base)
            rounding = digits + eps * value / slope
            newton = base - (value - u) / slope
            newton = newton + torch.where(newton - low > high - newton, -rounding, rounding)
            # A bracket that was not halved by a Newton step is halved by the next: the worst case stays logarithmic.
            usable = (newton > low) & (newton < high) & ((width < before / 2) | (step % 2 == 0))
            nearest = torch.where(usable, newton, nearest)
        x, before = nearest, width
    return high


def _evaluate(cdf: Function, x: Tensor) -> Tensor:
    with torch.no_grad():
        value = cdf(x)
    if not isinstance(value, Tensor) or value.shape != x.shape:
        shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise InputError(f"cdf: got {shape} for {tuple(x.shape)} numbers, expected one each")
    # Sums and quadratures pass 0 and 1 by rounding.
    bad = ~((value > -1e-6) & (value < 1 + 1e-6))
    if bool(bad.any()):
        raise InputError(
            f"cdf: got {float(value[bad][0]):.6g} at x = {float(x[bad][0]):.4g}, expected probabilities from 0 to 1"
        )
    return value.to(x.dtype)


def _check_order(x: Float[Tensor, "3 n"], values: Float[Tensor, "3 n"]) -> None:
    fall = values[:-1] - values[1:]
    # More than the rounding of a sum of some terms.
    worst = int(fall.argmax())
    if float(fall.max()) > 64 * torch.finfo(values.dtype).eps:
        i, j = divmod(worst, fall.shape[1])
        raise InputError(
            f"cdf: not monotone, F({float(x[i, j]):.6g}) = {float(values[i, j]):.6g} is above "
            f"F({float(x[i + 1, j]):.6g}) = {float(values[i + 1, j]):.6g}, expected a function that never falls"
        )


def _check_table(x: Tensor, cdf: Tensor) -> None:
    if x.ndim != 1 or x.shape != cdf.shape or len(x) < 2:
        raise InputError(f"x, cdf: got shapes {tuple(x.shape)} and {tuple(cdf.shape)}, expected one (k,), k at least 2")
    if not (bool(torch.isfinite(x).all()) and bool((x.diff() > 0).all())):
        raise InputError("x: got numbers that do not increase or are not finite, expected increasing ones")
    fall = cdf.diff()
    if not bool((fall >= 0).all()):
        i = int((~(fall >= 0)).nonzero()[0])
        raise InputError(
            f"cdf: not monotone, {float(cdf[i]):.6g} at x = {float(x[i]):.6g} is followed by {float(cdf[i + 1]):.6g}, "
            "expected numbers that never fall"
        )
    if abs(float(cdf[0])) > 1e-6 or abs(float(cdf[-1]) - 1) > 1e-6:  # what rounding leaves of a sum in float32
        raise InputError(f"cdf: goes from {float(cdf[0]):.6g} to {float(cdf[-1]):.6g}, expected from 0 to 1")
