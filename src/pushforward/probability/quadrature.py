r"""Expectations of log-densities by quadrature, in one and two dimensions, that notices when it fails.

The whole line is mapped from a short interval by :math:`x = m + L \sinh t`, with m and L (the Cholesky factor of the
covariance) from a few draws: dense where the mass is, and :math:`10^8` standard deviations far at :math:`t = 19`,
which is enough for a Cauchy distribution. There the trapezoid rule converges faster than any power of the step for
smooth integrands,

.. math:: \int f(x)\, dx \approx \lvert L \rvert\, h^d \sum_{i} f(x_i) \prod_j \cosh t_{ij}.

Half lines and intervals come to the whole line by the transform that torch keeps for the support, whose derivative is
counted. The rule on every second node costs nothing more: the result stands only if the integral of the density is 1
on both, and the two results agree.

Reference:
    Trefethen and Weideman 2014, "The Exponentially Convergent Trapezoidal Rule", SIAM Review 56.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, biject_to

from pushforward.probability.nats import Nats, draw_points, log_density, support_of

__all__ = ["integrate"]

#: Nodes per axis, and where t ends: 10^8 standard deviations out on a line, 10^4 in the plane, where nodes are dear.
NODES, REACH = {1: 2**15 + 1, 2: 2**9 + 1}, {1: 19.0, 2: 10.0}

#: Draws that say where the mass lies: more only move the nodes a little.
PLACING = 1000

#: How far from 1 the density may integrate to, and the two rules may differ: far below the standard error of a
#: million draws, and within reach of float32.
TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-4}


def integrate(
    integrand: Callable[[Sequence[Tensor]], Tensor],
    densities: Sequence[Distribution],
    *,
    carriers: int = 1,
    generator: torch.Generator | None = None,
) -> Nats | None:
    r"""The integral of a function of log-densities, or None if the rule does not converge.

    Args:
        integrand: of the log-densities at the nodes, one tensor (n,) each; NaN counts as 0 (:math:`0 \ln 0`).
        densities: distributions of one event shape with 1 or 2 entries.
        carriers: how many of them, from the first on, carry the integrand: the nodes cover these, and these must
            integrate to 1 on them.
        generator: for the draws that place the nodes.

    Returns:
        The integral, or None: of more than two dimensions, discrete, on a support that torch has no transform for, or
        not converged.

    Example:
        >>> p = torch.distributions.Normal(torch.tensor(0.0).double(), 1.0)
        >>> integrate(lambda logs: -logs[0].exp() * logs[0], [p]).value  # the entropy, ln(2 pi e) / 2
        1.4189385
    """
    shape = densities[0].event_shape
    transform = _common_transform(densities[:carriers])
    if transform is None or math.prod(shape) not in NODES or any(p.event_shape != shape for p in densities):
        return None
    placing = torch.cat([draw_points(p, PLACING, generator) for p in densities[:carriers]])
    free = transform.inv(placing).reshape(len(placing), -1)
    if free.shape[1] != math.prod(shape) or free.dtype not in TOLERANCE or not bool(free.isfinite().all()):
        return None
    y, log_volume, coarse = _nodes(free)
    y = y.reshape(-1, *shape)
    x = transform(y)
    log_volume = log_volume + transform.log_abs_det_jacobian(y, x).reshape(len(x), -1).sum(1)
    # At the far ends of the line a bounded support is left by rounding, and the volume is infinite where p is 0.
    volume = log_volume.exp().nan_to_num(nan=0.0, posinf=0.0)
    logs = [log_density(p, x).nan_to_num(nan=-torch.inf, neginf=-torch.inf) for p in densities]
    rules = [
        _both((values * volume).nan_to_num(nan=0.0, posinf=torch.inf, neginf=-torch.inf), coarse, 2 ** free.shape[1])
        for values in (integrand(logs), *(log.exp() for log in logs[:carriers]))
    ]
    (fine, half), *masses = rules
    tolerance = TOLERANCE[free.dtype]
    if any(abs(mass - 1) > tolerance for pair in masses for mass in pair):
        return None
    if math.isinf(fine):
        return Nats(fine, 0.0, "quadrature; there is mass where the other has none", "exact")
    if not abs(fine - half) <= tolerance * max(1.0, abs(fine)):
        return None
    return Nats(fine, abs(fine - half), f"quadrature on {len(x)} nodes", "exact")


def _common_transform(carriers: Sequence[Distribution]) -> Any | None:
    """From the whole line (or plane) to the support, if all have the same and torch knows how to get there."""
    supports = [support_of(p) for p in carriers]
    if any(s is None or s.is_discrete or str(s) != str(supports[0]) for s in supports):
        return None
    try:
        return biject_to(supports[0])
    except NotImplementedError:
        return None


def _both(terms: Tensor, coarse: Tensor, ratio: int) -> tuple[float, float]:
    """The sum of all terms, and that of every second node along each axis, each for 2^d times the volume."""
    return float(terms.sum()), ratio * float(terms[coarse].sum())


def _nodes(placing: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Nodes around the points, the logarithm of the volume each stands for, and which of them are the coarser rule."""
    dim = placing.shape[1]
    t = torch.linspace(-REACH[dim], REACH[dim], NODES[dim], dtype=placing.dtype)
    h = 2 * REACH[dim] / (len(t) - 1)
    # The middle half of the draws sets the scale: heavy tails have a covariance that is all outliers.
    centre = placing.median(0).values
    apart = placing - centre
    near = apart[(apart.abs() / apart.abs().median(0).values.clamp(min=1e-30)).amax(1) < 5]
    covariance = near.T @ near / len(near)
    scale = torch.linalg.cholesky(covariance + 1e-12 * covariance.diagonal().mean() * torch.eye(dim, dtype=t.dtype))
    grid = torch.cartesian_prod(*[t] * dim).reshape(-1, dim)
    even = torch.cartesian_prod(*[torch.arange(len(t)) % 2 == 0] * dim).reshape(-1, dim).all(1)
    log_volume = scale.diagonal().log().sum() + dim * math.log(h) + grid.cosh().log().sum(1)
    return centre + grid.sinh() @ scale.T, log_volume, even
