r"""The density of x = g(z) for a function g that the user writes, when z has a known density.

Mass is conserved: what lies in a small volume around z lies in its image. So, with the volume factor :math:`|J|` of
``jacobians``,

* one-to-one (Jacobian d x d): :math:`p(x) = p(z) / |\det J|`;
* many-to-one: the sum over all z with g(z) = x, the *branches*, :math:`p(x) = \sum_b p(z_b) / |\det J(z_b)|`;
* an embedding into more dimensions (area formula): a density per area of the surface, :math:`p(z) / \sqrt{\det J^T J}`;
* a projection onto fewer (co-area formula): the integral over the *fibre* of points that share an image,
  :math:`p(x) = \int_{g^{-1}(x)} p(z) / \sqrt{\det J J^T} \; d\mathcal{H}^{d-m}(z)`.

A fibre is given as a surface :math:`z = h(x, t)` of its own, so that the area formula supplies its measure,
:math:`d\mathcal{H} = \sqrt{\det (\partial_t h)^T (\partial_t h)} \, dt`.

Reference:
    Federer 1969, "Geometric Measure Theory", theorems 3.2.3 (area) and 3.2.11 (co-area).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from pushforward.core.errors import InputError, check_count
from pushforward.probability.jacobians import Map, apply_map, jacobian, log_volume
from pushforward.probability.nats import log_density

__all__ = ["Base", "Pushed", "branch_log_prob", "fibre_log_prob", "find_branches", "pushed_log_prob", "root_log_prob"]

#: The density of z: a distribution, or a log-density of points (n, d) -> (n,), or of numbers (n,) -> (n,).
Base = Distribution | Callable[[Tensor], Tensor]

#: Halvings of an interval: as many as float64 has bits, and a few for numbers much smaller than the interval.
HALVINGS = 80

#: Mass of z that the interval of a root search may miss, with an error of the rule for densities that jump.
MISSED = 1e-2

#: What the rule on a fibre may change by with half the nodes, relative to the largest density.
FIBRE_TOLERANCE = 1e-2


class Pushed(NamedTuple):
    """Images, and the log-density there."""

    x: Float[Tensor, "n *m"]
    log_prob: Float[Tensor, "n"]


def pushed_log_prob(base: Base, g: Map, z: Float[Tensor, "n *d"]) -> Pushed:
    r"""g(z) and its log-density, for a g that is one-to-one: into as many dimensions, or into more.

    Into more dimensions the density is one per area (length, ...) of the image.

    Args:
        base: density of z.
        g: map of one point.
        z: points.

    Raises:
        InputError: if g goes to fewer dimensions (``fibre_log_prob``), has a singular Jacobian, or has determinants of
            both signs and so is many-to-one (``branch_log_prob``).

    Example:
        >>> normal = torch.distributions.Normal(0.0, 1.0)
        >>> x, log_prob = pushed_log_prob(normal, torch.exp, torch.tensor([0.5]))
        >>> bool(torch.isclose(log_prob, torch.distributions.LogNormal(0.0, 1.0).log_prob(x)))
        True
    """
    j = jacobian(g, z)
    _, m, d = j.shape
    if m < d:
        raise InputError(f"g: got a map from {d} to {m} dimensions, expected at least as many; see fibre_log_prob")
    _check_rank(j, z)
    if m == d and len(sign := torch.linalg.slogdet(j).sign.unique()) > 1:
        raise InputError(
            f"g: the determinant of its Jacobian has the signs {sign.tolist()} at different z, expected one: "
            "g folds and is many-to-one; see branch_log_prob and root_log_prob"
        )
    return Pushed(apply_map(g, z), _log_base(base, z) - log_volume(j))


def branch_log_prob(base: Base, g: Map, x: Float[Tensor, "n *m"], branches: Sequence[Map]) -> Float[Tensor, "n"]:
    r"""log p(x) for a many-to-one g, the sum over its inverse branches; -inf where no branch leads to x.

    Args:
        base: density of z.
        g: map of one point, into as many dimensions or more.
        x: points to score.
        branches: inverses, x -> z for one point, NaN where a branch does not exist.

    Raises:
        InputError: if a branch is no inverse of g, two of them are the same, or g has a singular Jacobian at one.

    Example:
        The square of a standard normal is chi-square distributed with one degree of freedom.

        >>> normal = torch.distributions.Normal(0.0, 1.0)
        >>> log_prob = branch_log_prob(normal, torch.square, torch.tensor([2.0]), [torch.sqrt, lambda x: -x.sqrt()])
        >>> bool(torch.isclose(log_prob, torch.distributions.Chi2(1.0).log_prob(torch.tensor([2.0]))))
        True
    """
    if not branches:
        raise InputError("branches: got none, expected the inverses of g, one for each z that leads to an x")
    roots = torch.stack([apply_map(h, x, f"branches[{i}]") for i, h in enumerate(branches)])
    for i, z in enumerate(roots):
        there = _exists(z)
        _check_inverse(g, x[there], z[there], f"branches[{i}]")
        for k in range(i):
            both = there & _exists(roots[k])
            same = (z == roots[k]).reshape(len(x), -1).all(1) & both
            if bool(same.any()):
                raise InputError(
                    f"branches: got {k} and {i} equal at x = {x[same][0].tolist()}, expected different ones: "
                    "the mass of a point counts once"
                )
    return _sum_branches(base, g, roots)


def find_branches(g: Map, x: Float[Tensor, "n"], low: float, high: float, *, nodes: int = 1024) -> Float[Tensor, "k n"]:
    """All z between low and high with g(z) = x, in one dimension; NaN where a piece of g does not reach x.

    The zeros of the derivative cut the interval into pieces on which g is monotone, and each is bisected.

    Args:
        g: function of one number.
        x: values to reach.
        low: where the search begins.
        high: where it ends.
        nodes: places at which the derivative is looked at for changes of its sign; two changes between
            neighbours are overlooked.

    Raises:
        InputError: if the interval is empty or x are no numbers.

    Example:
        >>> find_branches(torch.square, torch.tensor([4.0, -1.0]), -3.0, 3.0)
        tensor([[-2.,  nan],
                [ 2.,  nan]])
    """
    check_count(nodes, "nodes")
    if not low < high:
        raise InputError(f"low: got {low}, expected less than high, which is {high}")
    if x.ndim != 1:
        raise InputError(f"x: got shape {tuple(x.shape)}, expected numbers (n,)")
    t = torch.linspace(low, high, nodes + 1, dtype=x.dtype, device=x.device)
    slope = jacobian(g, t)[:, 0, 0]
    # A zero of the slope that is met exactly is a knot itself, unless g only pauses there.
    turns = slope[:-1] * slope[1:] < 0
    knots = _bisect(lambda s: jacobian(g, s)[:, 0, 0], torch.zeros_like(t[:-1][turns]), t[:-1][turns], t[1:][turns])
    knots = torch.cat([t[:1], knots, t[1:-1][slope[1:-1] == 0], t[-1:]]).sort().values
    values = apply_map(g, knots)
    pieces = []
    for i in range(len(knots) - 1):
        a, b = values[i], values[i + 1]
        last = i == len(knots) - 2
        end = x == b if last else torch.zeros_like(x, dtype=torch.bool)
        reached = (x == a) | end | ((x - a) * (x - b) < 0)  # a knot belongs to the piece that it begins
        root = _bisect(lambda s: apply_map(g, s), x, knots[i].expand_as(x), knots[i + 1].expand_as(x))
        root = torch.where(x == a, knots[i], torch.where(x == b, knots[i + 1], root))
        root = torch.where(reached, root, torch.nan)
        if torch.is_grad_enabled() and bool(reached.any()):
            root = root.masked_scatter(reached, _attach(g, x[reached], root[reached]))
        pieces.append(root)
    return torch.stack(pieces)


def root_log_prob(
    base: Base, g: Map, x: Float[Tensor, "n"], low: float, high: float, *, nodes: int = 1024
) -> Float[Tensor, "n"]:
    r"""log p(x) in one dimension, with the branches found by ``find_branches``.

    Args:
        base: density of z.
        g: function of one number.
        x: values to score.
        low: lower end of an interval that holds the mass of z.
        high: its upper end.
        nodes: as in ``find_branches``.

    Raises:
        InputError: if the interval misses mass, or x is a value at which g turns: the density is infinite there.

    Example:
        >>> normal = torch.distributions.Normal(0.0, 1.0)
        >>> root_log_prob(normal, torch.square, torch.tensor([2.0]), -6.0, 6.0).exp()  # chi-square
        tensor([0.1038])
    """
    roots = find_branches(g, x, low, high, nodes=nodes)
    t = torch.linspace(low, high, nodes + 1, dtype=x.dtype, device=x.device)
    mass = float(torch.trapezoid(_log_base(base, t).exp(), t))
    if not abs(mass - 1) <= MISSED:
        raise InputError(
            f"low, high: z has a mass of {mass:.4g} from {low} to {high}, expected 1: take a wider interval"
        )
    return _sum_branches(base, g, roots)


def fibre_log_prob(
    base: Base,
    g: Map,
    x: Float[Tensor, "n *m"],
    fibre: Callable[[Tensor, Tensor], Tensor],
    axes: Sequence[Float[Tensor, "nodes"]],
) -> Float[Tensor, "n"]:
    r"""log p(x) for a g onto fewer dimensions: the integral over the points that share the image x.

    Args:
        base: density of z, of d coordinates.
        g: map of one point (d,) -> (m,) or to a number, m < d.
        x: points to score.
        fibre: h(x, t) with g(h(x, t)) = x for one x and one t of d - m coordinates, one-to-one in t.
        axes: values of each coordinate of t, increasing, an odd number of them, covering the mass on the fibre; the
            trapezoid rule on their product is compared with the one on every second value.

    Raises:
        InputError: if the dimensions do not fit, the fibre leaves x, g has a singular Jacobian on it, or the rule has
            not converged.

    Example:
        The length of a standard normal pair; its fibres are circles.

        >>> pair = torch.distributions.MultivariateNormal(torch.zeros(2), torch.eye(2))
        >>> circle = lambda r, t: r * torch.cat([t.cos(), t.sin()])
        >>> angles = torch.linspace(0, 2 * torch.pi, 101)
        >>> fibre_log_prob(pair, torch.linalg.vector_norm, torch.tensor([1.0]), circle, [angles]).exp()  # e^(-1/2)
        tensor([0.6065])
    """
    for i, axis in enumerate(axes):
        if axis.ndim != 1 or len(axis) < 3 or len(axis) % 2 == 0 or not bool((axis.diff() > 0).all()):
            raise InputError(f"axes[{i}]: got shape {tuple(axis.shape)}, expected an odd number of increasing values")
    t = torch.cartesian_prod(*axes).reshape(-1, len(axes)).to(x)
    x_all = x.repeat_interleave(len(t), 0)
    t_all = t.repeat(len(x), 1)
    z = torch.func.vmap(fibre)(x_all, t_all)
    tangents = torch.func.vmap(torch.func.jacrev(fibre, argnums=1))(x_all, t_all)
    j = jacobian(g, z)
    if z.ndim != 2 or j.shape[1] + len(axes) != z.shape[1]:
        raise InputError(
            f"fibre: got points of shape {tuple(z.shape[1:])} with {len(axes)} axes and a g to {j.shape[1]} "
            "dimensions, expected (d,) with d the sum of both"
        )
    _check_inverse(g, x_all, z, "fibre")
    _check_rank(j, z)
    log_terms = (_log_base(base, z) + log_volume(tangents) - log_volume(j)).reshape(len(x), *map(len, axes))
    whole, half = _integrate(log_terms, axes), _integrate(log_terms, axes, step=2)
    apart = (whole.exp() - half.exp()).abs().max() / whole.exp().max().clamp(min=torch.finfo(whole.dtype).tiny)
    if not float(apart) <= FIBRE_TOLERANCE:
        raise InputError(
            f"axes: half of the values change the density by {float(apart):.2g} of it, expected more values"
        )
    return whole


def _integrate(log_terms: Tensor, axes: Sequence[Tensor], step: int = 1) -> Tensor:
    """log of the integral over all axes but the first, by the trapezoid rule on every ``step``-th value."""
    for axis in reversed(axes):
        t = axis[::step].to(log_terms)
        gaps = t.diff()
        weights = 0.5 * (torch.nn.functional.pad(gaps, (1, 0)) + torch.nn.functional.pad(gaps, (0, 1)))
        log_terms = (log_terms[..., ::step] + weights.log()).logsumexp(-1)
    return log_terms


def _sum_branches(base: Base, g: Map, roots: Float[Tensor, "k n *d"]) -> Float[Tensor, "n"]:
    """log of the sum of p(z) / |J| over those that exist."""
    terms = [torch.full_like(roots[0].reshape(roots.shape[1], -1)[:, 0], -torch.inf)]
    for z in roots:
        if not bool((there := _exists(z)).any()):
            continue
        j = jacobian(g, z[there])
        if j.shape[1] < j.shape[2]:
            raise InputError(f"g: got a map from {j.shape[2]} to {j.shape[1]} dimensions; see fibre_log_prob")
        _check_rank(j, z[there])
        log_p = _log_base(base, z[there]) - log_volume(j)
        terms.append(log_p.new_full(there.shape, -torch.inf).index_put((there,), log_p))
    return torch.stack(terms).logsumexp(0)


def _exists(z: Float[Tensor, "n *d"]) -> Tensor:
    return ~z.isnan().reshape(len(z), -1).any(1)


def _attach(g: Map, x: Tensor, root: Tensor) -> Tensor:
    """The same root with its gradient: g(z) = x gives dz = (dx - dg) / g'(z), a Newton step of size zero."""
    slope = jacobian(g, root)[:, 0, 0].detach()
    step = (x - apply_map(g, root)) / torch.where(slope == 0, 1.0, slope)
    return root + (step - step.detach())


@torch.no_grad()
def _bisect(f: Callable[[Tensor], Tensor], target: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The place between low and high where a monotone f reaches the target, if it does."""
    if len(low) == 0:
        return low
    rising = f(high) >= f(low)
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        right = (f(middle) < target) == rising  # the root lies right of the middle
        low, high = torch.where(right, middle, low), torch.where(right, high, middle)
    return 0.5 * (low + high)


def _log_base(base: Base, z: Tensor) -> Float[Tensor, "n"]:
    log_p = log_density(base, z) if isinstance(base, Distribution) else base(z)
    if not isinstance(log_p, Tensor) or log_p.shape != z.shape[:1]:
        got = tuple(log_p.shape) if isinstance(log_p, Tensor) else type(log_p).__name__
        raise InputError(
            f"base: got log-densities of shape {got} for z of shape {tuple(z.shape)}, expected ({len(z)},); "
            "torch.distributions.Independent joins coordinates"
        )
    if bool(log_p.isnan().any()):
        raise InputError(f"base: its log-density is NaN at z = {z[log_p.isnan()][0].tolist()}, expected a number")
    return log_p


def _check_rank(j: Float[Tensor, "n m d"], z: Tensor) -> None:
    s = torch.linalg.svdvals(j.detach())
    singular = s[:, -1] <= s[:, 0] * torch.finfo(j.dtype).eps * max(j.shape[1:])
    if bool(singular.any()):
        raise InputError(
            f"g: its Jacobian is singular at z = {z[singular][0].tolist()}, expected full rank: g flattens volume "
            "there, and the image has no finite density"
        )


def _check_inverse(g: Map, x: Tensor, z: Tensor, name: str) -> None:
    if len(x) == 0:
        return
    image = apply_map(g, z)
    # Half of the digits: an inverse loses as many as its condition, and a wrong one is off by far more.
    tolerance = torch.finfo(x.dtype).eps ** 0.5
    if image.shape != x.shape:
        raise InputError(f"x: got shape {tuple(x.shape)}, expected that of g(z), {tuple(image.shape)}")
    off = ~torch.isclose(image, x, rtol=tolerance, atol=tolerance).reshape(len(x), -1).all(1)
    if bool(off.any()):
        at, there, back = (values[off][0].tolist() for values in (x, z, image))
        raise InputError(f"{name}: maps x = {at} to z = {there}, where g is {back}, expected a point with g(z) = x")
