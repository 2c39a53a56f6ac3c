r"""Conditionals of mixtures of Gaussians in closed form.

For one component, with o the known and m the missing entries,

.. math:: x_m \mid x_o, k \sim N\bigl(\mu_m + \Sigma_{mo} \Sigma_{oo}^{-1} (x_o - \mu_o),\;
          \Sigma_{mm} - \Sigma_{mo} \Sigma_{oo}^{-1} \Sigma_{om}\bigr), \qquad
          P(k \mid x_o) \propto w_k\, N(x_o;\, \mu_o, \Sigma_{oo}).

Reference:
    Bishop 2006, "Pattern Recognition and Machine Learning", eq. 2.81 and 2.82.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pushforward.probability.baselines import Gaussian
from pushforward.probability.mixture import Mixture
from pushforward.probability.ppca import PPCA

__all__ = ["Parts", "draw_missing", "known_density", "parts_of"]


class Parts(NamedTuple):
    """A mixture of Gaussians: logarithms of the weights (K,), means (K, D), covariances (K, D, D), in 64 bits."""

    log_weights: Float[Tensor, "k"]
    means: Float[Tensor, "k dim"]
    covariances: Float[Tensor, "k dim dim"]


def parts_of(model: Gaussian | Mixture | PPCA) -> Parts:
    """The mixture that a model is in its own units, without condition.

    Example:
        >>> from pushforward.core.modality import Points
        >>> parts_of(Gaussian(example=Points(dim=1))).covariances.tolist()
        [[[1.0]]]
    """
    match model:
        case Gaussian():
            scale = model.scales[:1].double()
            return Parts(torch.zeros(1).double(), model.means[:1].double(), scale @ scale.mT)
        case PPCA():
            w, eye = model.maps[:1].double(), torch.eye(model.means.shape[1], dtype=torch.float64)
            covariance = w @ w.mT + model.variances[0].double() * eye
            return Parts(torch.zeros(1).double(), model.means[:1].double(), covariance)
        case Mixture():
            scales = model.scales.double()
            full = scales if scales.ndim == 3 else torch.diag_embed(scales)
            return Parts(model.weights[0].double().log(), model.means.double(), full @ full.mT)


def known_density(parts: Parts, x: Float[Tensor, "n dim"], known: Bool[Tensor, "dim"]) -> Float[Tensor, "n k"]:
    """log w_k + log N(x_o; mu_o, Sigma_oo) of every component."""
    rest = x[:, None, known] - parts.means[:, known]  # (n, K, o)
    root = torch.linalg.cholesky(parts.covariances[:, known][:, :, known])
    white = torch.linalg.solve_triangular(root, rest.permute(1, 2, 0), upper=False)  # (K, o, n)
    volume = root.diagonal(dim1=1, dim2=2).log().sum(1) + 0.5 * int(known.sum()) * math.log(2 * math.pi)
    return parts.log_weights - 0.5 * white.square().sum(1).T - volume


def draw_missing(
    parts: Parts,
    x: Float[Tensor, "n dim"],
    known: Bool[Tensor, "dim"],
    *,
    uniform: Float[Tensor, "n 1"],
    normal: Float[Tensor, "n dim"],
) -> Float[Tensor, "n dim"]:
    """x with the entries that are not known drawn given those that are, from the numbers that chance gave.

    Example:
        >>> covariance = torch.tensor([[[1.0, 0.8], [0.8, 1.0]]]).double()
        >>> one = Parts(torch.zeros(1).double(), torch.zeros(1, 2).double(), covariance)
        >>> zeros = torch.zeros(1, 2).double()  # no noise: the mean of the second entry given the first
        >>> draw_missing(one, zeros + 3, torch.tensor([True, False]), uniform=zeros[:, :1], normal=zeros).tolist()
        [[3.0, 2.4]]
    """
    below = known_density(parts, x, known).softmax(1).cumsum(1)
    chosen = torch.searchsorted(below, uniform, right=True)[:, 0].clamp(max=len(parts.means) - 1)
    filled = x.clone()
    for k in chosen.unique().tolist():
        rows = (chosen == k).nonzero()
        covariance, mean = parts.covariances[k], parts.means[k]
        across = covariance[~known][:, known]
        gain = torch.linalg.solve(covariance[known][:, known], across.T).T  # Sigma_mo Sigma_oo^{-1}
        left = covariance[~known][:, ~known] - gain @ across.T
        centre = mean[~known] + (x[rows, known] - mean[known]) @ gain.T
        # Rounding can leave a variance of nothing a little below it.
        values, vectors = torch.linalg.eigh(left)
        filled[rows, ~known] = centre + normal[rows, ~known] @ (vectors * values.clamp(min=0).sqrt()).T
    return filled
