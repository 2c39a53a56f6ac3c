r"""Density ratios as sums of Gaussian bumps: KLIEP and uLSIF.

.. math:: r(x) = \sum_{l=1}^{b} \alpha_l\, \varphi_l(x), \qquad \varphi_l(x) = e^{-\lVert x - c_l \rVert^2 / 2 s^2},
          \qquad \alpha_l \ge 0,

with centres c drawn from the samples of p, where the ratio is large.

*KLIEP* makes r q as close to p as it can in :math:`KL(p \,\Vert\, r q)`: it maximises :math:`E_p \ln r` with
:math:`E_q r = 1`. With :math:`\psi_l = \varphi_l / E_q \varphi_l` and weights :math:`w` that sum to 1 this is the
likelihood of a mixture of known components, :math:`r = \sum_l w_l \psi_l`, which the EM algorithm climbs:

.. math:: w_l \leftarrow \frac{1}{n} \sum_i \frac{w_l \psi_l(x_i)}{\sum_j w_j \psi_j(x_i)}.

*uLSIF* is nearest in squares, :math:`\tfrac12 E_q (r - p/q)^2 = \tfrac12 E_q r^2 - E_p r + const`: with
:math:`H = E_q \varphi \varphi^\top` and :math:`h = E_p \varphi` a linear system, whose negative solutions become 0:

.. math:: \alpha = \max\bigl(0,\, (H + \lambda I)^{-1} h\bigr).

The width s (and the ridge :math:`\lambda`) are chosen by cross-validation of the same objective. Both are for few
dimensions: a sum of bumps cannot fill a space of ten.

Reference:
    Sugiyama et al. 2008, "Direct Importance Estimation for Covariate Shift Adaptation" (KLIEP); Kanamori, Hido and
    Sugiyama 2009, "A Least-squares Approach to Direct Importance Estimation" (uLSIF).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Bumps", "fit_kliep", "fit_ulsif"]

#: Bumps; more gain little (Kanamori et al. use 100).
CENTRES = 100

#: Widths tried, in median distances of a sample of p to the centres.
WIDTHS = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0)

#: Ridges tried, against the numbers of H, which are averages of products of bumps between 0 and 1.
RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)

#: Folds of the cross-validation.
FOLDS = 5

#: Passes of EM while the width is chosen, and for the one chosen.
CHOOSING_PASSES, PASSES = 30, 300


class Bumps(NamedTuple):
    """A ratio as a sum of bumps; called, it is the logarithm at (n, dim) points.

    Args:
        centres: c.
        width: s.
        weights: alpha.
        least: what the ratio is at least: below one over the number of samples they cannot tell it from 0.
    """

    centres: Float[Tensor, "bumps dim"]
    width: float
    weights: Float[Tensor, "bumps"]
    least: float

    def __call__(self, x: Float[Tensor, "n dim"]) -> Float[Tensor, "n"]:
        return (_bumps(x, self.centres, self.width) @ self.weights).clamp(min=self.least).log()


def fit_kliep(p: Float[Tensor, "n dim"], q: Float[Tensor, "m dim"], *, generator: torch.Generator | None) -> Bumps:
    """The ratio p / q by the Kullback-Leibler importance estimation procedure.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> p, q = (torch.randn(1000, 1, generator=generator) for _ in range(2))
        >>> log_ratio = fit_kliep(p + 1, q, generator=generator)
        >>> (log_ratio(torch.ones(1, 1)) - log_ratio(torch.zeros(1, 1))).item() > 0.7  # x - 1/2, so 1
        True
    """
    centres, scale = _centres(p, generator)
    folds = torch.randperm(len(p), generator=generator) % FOLDS
    best, kept = -math.inf, WIDTHS[-1]
    for width in WIDTHS:
        psi = _normalised(p, q, centres, width * scale)
        gains = []
        for fold in range(FOLDS):
            weights = _climb(psi[folds != fold], CHOOSING_PASSES)
            gains.append(float((psi[folds == fold] @ weights).clamp(min=1 / len(p)).log().mean()))
        if sum(gains) > best:
            best, kept = sum(gains), width
    width = kept * scale
    of_q = _bumps(q, centres, width).mean(0)
    weights = _climb(_normalised(p, q, centres, width), PASSES)
    return Bumps(centres, width, weights / of_q.clamp(min=torch.finfo(of_q.dtype).tiny), 1 / len(p))


def fit_ulsif(p: Float[Tensor, "n dim"], q: Float[Tensor, "m dim"], *, generator: torch.Generator | None) -> Bumps:
    """The ratio p / q by unconstrained least-squares importance fitting.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> p, q = (torch.randn(1000, 1, generator=generator) for _ in range(2))
        >>> log_ratio = fit_ulsif(p + 1, q, generator=generator)
        >>> (log_ratio(torch.ones(1, 1)) - log_ratio(torch.zeros(1, 1))).item() > 0.7  # x - 1/2, so 1
        True
    """
    centres, scale = _centres(p, generator)
    best, kept = math.inf, (WIDTHS[-1], RIDGES[-1])
    for width in WIDTHS:
        of_p = _bumps(p, centres, width * scale).chunk(FOLDS)
        of_q = _bumps(q, centres, width * scale).chunk(FOLDS)
        h_fold, big_h_fold = torch.stack([x.mean(0) for x in of_p]), torch.stack([x.T @ x / len(x) for x in of_q])
        h = (h_fold.sum(0) - h_fold) / (FOLDS - 1)  # of the other folds
        big_h = (big_h_fold.sum(0) - big_h_fold) / (FOLDS - 1)
        for ridge in RIDGES:
            alpha = _solve(big_h, h, ridge)
            loss = 0.5 * torch.einsum("fa,fab,fb->f", alpha, big_h_fold, alpha) - (h_fold * alpha).sum(1)
            if float(loss.mean()) < best:
                best, kept = float(loss.mean()), (width, ridge)
    width, ridge = kept
    of_q = _bumps(q, centres, width * scale)
    h = _bumps(p, centres, width * scale).mean(0)
    return Bumps(centres, width * scale, _solve(of_q.T @ of_q / len(q), h, ridge), 1 / len(p))


def _solve(big_h: Float[Tensor, "*f b b"], h: Float[Tensor, "*f b"], ridge: float) -> Float[Tensor, "*f b"]:
    return torch.linalg.solve(big_h + ridge * torch.eye(h.shape[-1]).to(big_h), h).clamp(min=0)


def _climb(psi: Float[Tensor, "n b"], passes: int) -> Float[Tensor, "b"]:
    """Weights of known components by EM."""
    weights = psi.new_full((psi.shape[1],), 1 / psi.shape[1])
    tiny = torch.finfo(psi.dtype).tiny
    for _ in range(passes):
        weights = weights * (psi / (psi @ weights).clamp(min=tiny)[:, None]).mean(0)
        weights = weights / weights.sum().clamp(min=tiny)
    return weights


def _normalised(p: Tensor, q: Tensor, centres: Tensor, width: float) -> Float[Tensor, "n b"]:
    r""":math:`\psi` at the samples of p; a bump that no sample of q feels is left out."""
    of_q = _bumps(q, centres, width).mean(0)
    # Less than one sample of q within the bump: what it divides by is chance.
    known = of_q * len(q) > 1
    return torch.where(known, _bumps(p, centres, width) / of_q.clamp(min=1 / len(q)), 0.0)


def _bumps(x: Tensor, centres: Tensor, width: float) -> Float[Tensor, "n b"]:
    return (torch.cdist(x, centres) / width).square().mul(-0.5).exp()


def _centres(p: Tensor, generator: torch.Generator | None) -> tuple[Tensor, float]:
    """Some samples of p, and the median distance to them."""
    centres = p[torch.randperm(len(p), generator=generator)[:CENTRES]]
    return centres, float(torch.cdist(p[:1000], centres).median())
