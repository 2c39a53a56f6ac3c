r"""Rejection sampling: throw points evenly under an envelope, keep those that fall under the target.

With :math:`p(x) \le M q(x)` everywhere, draw :math:`x \sim q` and keep it with probability

.. math:: \frac{p(x)}{M q(x)} .

What is kept has exactly the law of p, normalised or not, since :math:`q(x) \cdot p(x) / (M q(x)) \propto p(x)`. The
share that is kept is :math:`Z / M` with :math:`Z = \int p`, so that counting estimates Z as well: if the n-th kept
point is proposal number N,

.. math:: \hat a = \frac{n - 1}{N - 1}, \qquad \widehat{\mathrm{Var}}[\hat a] = \frac{\hat a (1 - \hat a)}{N - 2},

and both are unbiased. The constant :math:`M = \sup_x p(x) / q(x)` is the whole difficulty: ``find_envelope`` searches
for it, and every proposal checks it again.

Reference:
    von Neumann 1951, "Various techniques used in connection with random digits"; Haldane 1945, "On a method of
    estimating frequencies", for the estimate and its variance.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from pushforward.core.errors import InputError, check_count
from pushforward.probability.weights import Estimate
from pushforward.sampling.checked import describe_point, log_density_of, log_prob_of
from pushforward.sampling.direct import draws_of

__all__ = ["Envelope", "Rejection", "find_envelope", "rejection_sample"]

LogDensity = Callable[[Tensor], Tensor]

#: The search: proposals looked at first; of these, how many are improved, by how many neighbours each, in how many
#: rounds, the neighbours' distance shrinking by a factor per round. 0.75**60 is 3e-8 of the proposal's width; at a
#: smooth maximum the error of the value is the square of that.
FIRST, KEPT, NEIGHBOURS, ROUNDS, SHRINK = 4096, 16, 64, 60, 0.75

#: Doublings of the distance from the centre at which the ratio is looked at, to see whether it has an upper bound.
DOUBLINGS = 20

#: Searches at most, each from the modes that the last one saw far away.
SEARCHES = 3

#: Added to the logarithm of a constant that was found: it covers what the search leaves, and costs a millionth.
MARGIN = 1e-6


class Envelope(NamedTuple):
    """Where the target stands highest over the proposal.

    Args:
        log_constant: log M, with a margin of a millionth.
        point: where p / q was found to be largest.
    """

    log_constant: float
    point: Float[Tensor, "*event"]


@dataclass(frozen=True)
class _Ratio:
    """log p - log q, -inf where q has no density: nothing is proposed there, and the target may be undefined."""

    log_target: LogDensity
    proposal: Distribution

    def __call__(self, x: Float[Tensor, "n *event"], *, strict: bool = True) -> Float[Tensor, "n"]:
        """``strict`` makes a value that is not usable an error; far from everything it is passed over."""
        log_q = log_prob_of(self.proposal, x)
        drawn = log_q > -torch.inf
        value = torch.full_like(log_q, -torch.inf)
        if strict:
            value[drawn] = log_density_of(self.log_target, x[drawn], name="log_target").to(value.dtype) - log_q[drawn]
            return value
        with torch.no_grad():
            value[drawn] = self.log_target(x[drawn]).to(value.dtype) - log_q[drawn]
        return torch.where(torch.isfinite(value), value, -torch.inf)


class Rejection(NamedTuple):
    """What rejection sampling gave.

    Args:
        samples: independent draws of the target.
        proposals: how many points it took, N.
        log_constant: log M of the envelope.
    """

    samples: Float[Tensor, "n *event"]
    proposals: int
    log_constant: float

    @property
    def acceptance(self) -> Estimate:
        """The share of proposals that are kept, unbiased, with its standard error (infinite for fewer than two)."""
        n, tries = len(self.samples), self.proposals
        if n < 2 or tries < 3:
            return Estimate(torch.tensor(n / tries), torch.tensor(math.inf))
        share = (n - 1) / (tries - 1)
        value = torch.tensor([share, math.sqrt(share * (1 - share) / (tries - 2))], dtype=torch.float64)
        return Estimate(value[0], value[1])

    @property
    def normaliser(self) -> Estimate:
        """Z, the integral of the target as it is written: M times the acceptance; q is normalised."""
        share, error = self.acceptance
        return Estimate(math.exp(self.log_constant) * share, math.exp(self.log_constant) * error)


def find_envelope(
    log_target: LogDensity, proposal: Distribution, *, generator: torch.Generator | None = None
) -> Envelope:
    r"""Search for :math:`\log M = \sup_x (\log p(x) - \log q(x))`.

    The best of many proposals are improved by ever smaller random steps, which needs no gradient and stands edges of
    the support. A maximum narrower than the gaps between 4,096 proposals can be missed; ``rejection_sample`` notices
    when it meets it.

    Args:
        log_target: log p of points (n, *event) -> (n,), up to a constant; -inf outside of its support.
        proposal: q, one distribution, continuous.
        generator: None takes torch's default one.

    Raises:
        InputError: if the target has no mass where the proposal draws, the ratio grows without bound, or a value of the
            log-density is not usable.

    Example:
        A normal under a Cauchy envelope: p/q is largest at x = 1 and -1, with M = sqrt(2 pi / e).

        >>> found = find_envelope(
        ...     torch.distributions.Normal(0.0, 1.0).log_prob, torch.distributions.Cauchy(0.0, 1.0)
        ... )
        >>> round(math.exp(found.log_constant), 3), round(found.point.abs().item(), 2)
        (1.52, 1.0)
    """
    ratio = _Ratio(log_target, proposal)
    first = draws_of(proposal, FIRST, generator=generator)
    values = ratio(first)
    if not bool((values > -torch.inf).any()):
        raise InputError(
            f"log_target: -inf at all {FIRST} points drawn from the proposal, expected a proposal that overlaps it"
        )
    centre = first.median(0).values
    width = (first - centre).abs().median(0).values.clamp(min=torch.finfo(first.dtype).tiny)
    best = values.topk(KEPT).indices
    points, values = first[best], values[best]
    for _ in range(SEARCHES):
        points, values = _climb(ratio, points, values, width, generator)
        top = int(values.argmax())
        far, heights = _look_far(ratio, centre, width, points[top])
        if float(heights.max()) <= float(values[top]) + MARGIN:
            break
        # A mode far away, from which the search goes on.
        best = heights.topk(KEPT).indices
        points, values = far[best], heights[best]
    top = int(values.argmax())
    return Envelope(float(values[top]) + MARGIN, points[top])


def rejection_sample(
    log_target: LogDensity,
    proposal: Distribution,
    n: int,
    *,
    log_constant: float | None = None,
    max_proposals: int = 50_000_000,
    generator: torch.Generator | None = None,
) -> Rejection:
    """n independent draws from the target.

    Args:
        log_target: log p of points (n, *event) -> (n,), up to a constant; -inf outside of its support.
        proposal: q, one distribution, with p <= M q everywhere. Mass of the target where q has no density is not seen.
        n: how many draws.
        log_constant: log M; None searches for it (``find_envelope``).
        max_proposals: how many points to try at most.
        generator: None takes torch's default one.

    Raises:
        InputError: if a proposal lies where the target is above the envelope (with the point and the constant that it
            needs), if the points run out, or as ``find_envelope`` does.

    Example:
        Points in the unit disk, from the square around it; the share that is kept is pi / 4.

        >>> square = torch.distributions.Independent(torch.distributions.Uniform(-torch.ones(2), torch.ones(2)), 1)
        >>> disk = rejection_sample(lambda x: torch.where(x.norm(dim=1) < 1, 0.0, -torch.inf), square, 10_000)
        >>> bool((disk.samples.norm(dim=1) < 1).all()), abs(disk.acceptance.value.item() - math.pi / 4) < 0.03
        (True, True)
    """
    check_count(n, "n")
    check_count(max_proposals, "max_proposals")
    log_m = (
        find_envelope(log_target, proposal, generator=generator).log_constant if log_constant is None else log_constant
    )
    if not math.isfinite(log_m):
        raise InputError(f"log_constant: got {log_m}, expected a finite number, the logarithm of the constant")
    kept: list[Tensor] = []
    accepted = tried = 0
    while accepted < n:
        if tried >= max_proposals:
            raise InputError(
                f"max_proposals: {accepted} of {tried} points were kept where {n} are wanted, expected a proposal "
                "closer to the target, a smaller constant, or more points"
            )
        # As many as should be enough by what was seen so far; at first, a guess.
        share = max(accepted, 1) / tried if tried else 0.25
        size = int(min(max(1.2 * (n - accepted) / share + 64, 256), 1_000_000, max_proposals - tried))
        x = draws_of(proposal, size, generator=generator)
        log_ratio = _below_envelope(log_target, proposal, x, log_m)
        u = torch.rand(size, generator=generator, dtype=torch.float64, device=x.device)
        hits = (torch.log1p(-u) < log_ratio).nonzero()[:, 0][: n - accepted]
        kept.append(x[hits])
        accepted += len(hits)
        tried += int(hits[-1]) + 1 if accepted == n else size  # up to the last that was needed
    return Rejection(torch.cat(kept), tried, log_m)


def _below_envelope(log_target: LogDensity, proposal: Distribution, x: Tensor, log_m: float) -> Float[Tensor, "n"]:
    """log p - log q - log M, checked to be at most 0."""
    log_p = log_density_of(log_target, x, name="log_target").double()
    log_q = log_prob_of(proposal, x).double()
    log_ratio = log_p - log_q - log_m
    # Rounding of the two logarithms and of their difference.
    slack = 8 * torch.finfo(x.dtype).eps * (log_p.abs() + log_q.abs() + abs(log_m) + 1)
    above = (log_p > -torch.inf) & (log_ratio > slack)
    if bool(above.any()):
        worst = int(torch.where(above, log_ratio, -torch.inf).argmax())
        needed = float(log_ratio[worst]) + log_m
        raise InputError(
            f"log_constant: got {log_m:.6g}, but the envelope is violated at x = {describe_point(x[worst])}, where it "
            f"needs {needed:.6g}, expected a constant at least as large, or a proposal with heavier tails"
        )
    return torch.where(log_p == -torch.inf, -torch.inf, log_ratio)


def _climb(
    ratio: _Ratio, points: Tensor, values: Tensor, width: Tensor, generator: torch.Generator | None
) -> tuple[Float[Tensor, "kept *event"], Float[Tensor, "kept"]]:
    """Improve each point by the best of its random neighbours, round by round closer."""
    for step in range(ROUNDS):
        shape = (KEPT, NEIGHBOURS, *points.shape[1:])
        jumps = torch.randn(shape, generator=generator, dtype=points.dtype, device=points.device)
        near = points[:, None] + jumps * width * SHRINK**step
        found, which = ratio(near.flatten(0, 1)).view(KEPT, NEIGHBOURS).max(1)
        better = found > values
        values = torch.where(better, found, values)
        chosen = near[torch.arange(KEPT, device=points.device), which]
        points = torch.where(better.view(-1, *[1] * (points.ndim - 1)), chosen, points)
    return points, values


def _look_far(ratio: _Ratio, centre: Tensor, width: Tensor, point: Tensor) -> tuple[Tensor, Tensor]:
    """Points on rays from the centre, through a point and along every axis both ways, and log p - log q there.

    Raises:
        InputError: if the highest of them are the farthest.
    """
    axes = torch.diag(width.reshape(-1)).reshape(-1, *width.shape)
    rays = torch.cat([(point - centre)[None], axes, -axes])
    far = torch.stack([centre + rays * 2.0**k for k in range(1, DOUBLINGS + 1)])
    values = ratio(far.flatten(0, 1), strict=False).view(far.shape[:2])
    last = int(values[-1].argmax())
    height = float(values[-1, last])
    if height > max(float(ratio(point[None])), float(values[:-1].max())) + MARGIN:
        raise InputError(
            f"proposal: the target over the proposal still grows far out (its logarithm is {height:.4g} "
            f"at x = {describe_point(far[-1, last])}), expected a proposal with tails as heavy as the target's"
        )
    return far.flatten(0, 1), values.flatten()
