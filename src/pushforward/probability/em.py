r"""Expectation-maximisation for mixtures of Gaussians whose weights may differ between classes.

.. math:: p(x_i) = \sum_{k=1}^{K} w_{c_i k}\, N(x_i;\, \mu_k, \Sigma_k)

*Expectation*: how much each component answers for each example.

.. math:: r_{ik} = \frac{w_{c_i k}\, N(x_i; \mu_k, \Sigma_k)}{\sum_j w_{c_i j}\, N(x_i; \mu_j, \Sigma_j)}, \qquad
          n_{ck} = \sum_{i : c_i = c} r_{ik}, \qquad n_k = \sum_i r_{ik}

*Maximisation*: the parameters these shares ask for.

.. math:: w_k = \frac{n_k}{n}, \qquad w_{ck} = \frac{n_{ck} + w_k}{n_c + 1}, \qquad
          \mu_k = \frac{1}{n_k} \sum_i r_{ik} x_i, \qquad
          \Sigma_k = \frac{\sum_i r_{ik} (x_i - \mu_k)(x_i - \mu_k)^\top + a v I}{n_k + a}

v being the average variance of the entries. The *a* pseudo-examples, spread like a sphere, keep a component with few
examples from collapsing on them, where the likelihood has no bound; the one pseudo-example of a class, shared out as
all examples are, gives classes without examples the weights of everything.

Everything is in float64: the densities of components far from an example are lost in float32.

Reference:
    Dempster, Laird and Rubin 1977, "Maximum Likelihood from Incomplete Data via the EM Algorithm"; Fraley and Raftery
    2007, "Bayesian Regularization for Normal Mixture Estimation and Model-Based Clustering", for the pseudo-examples;
    Arthur and Vassilvitskii 2007, "k-means++: The Advantages of Careful Seeding", for the start.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pushforward.core.noise import Noise

__all__ = ["Examples", "Parts", "Shares", "expect", "log_joint", "log_likelihood", "maximise", "start"]

#: Rows handled at a time: enough to keep a matrix product busy, a few tens of MiB for images.
CHUNK = 1024

#: Starts, of which the best after a few passes is kept: EM climbs to the nearest maximum, and starts differ in it.
STARTS, FIRST_PASSES = 4, 2


class Examples(NamedTuple):
    """Vectors and the row of the weights each belongs to: its class + 1, or 0 where that is not known."""

    x: Float[Tensor, "n dim"]
    rows: Int[Tensor, "n"]


class Parts(NamedTuple):
    """The parameters of a mixture.

    Args:
        log_weights: of every class; row 0 is the mean over classes.
        means: of the components.
        scales: their standard deviations, for diagonal covariances; or lower-triangular L, L L' being the covariance.
    """

    log_weights: Float[Tensor, "rows components"]
    means: Float[Tensor, "components dim"]
    scales: Float[Tensor, "components dim"] | Float[Tensor, "components dim dim"]


class Shares(NamedTuple):
    """What a maximisation needs to know of the examples."""

    counts: Float[Tensor, "rows components"]
    first: Float[Tensor, "components dim"]
    second: Float[Tensor, "components dim"] | Float[Tensor, "components dim dim"]
    log_likelihood: float


def log_joint(examples: Examples, parts: Parts) -> Float[Tensor, "n components"]:
    r"""The logarithm of :math:`w_{ck} N(x; \mu_k, \Sigma_k)`: the density of an example together with its component.

    Example:
        >>> one = torch.ones(1, 1, dtype=torch.float64)
        >>> point = Examples(one, torch.tensor([0]))
        >>> log_joint(point, Parts(0 * one, one, one)).item()  # -ln(2 pi) / 2
        -0.9189385
    """
    x, rows = examples
    log_weights, means, scales = parts
    dim = means.shape[1]
    if scales.ndim == 2:
        precisions = scales**-2
        # sum_d (x_d - mu_kd)^2 / s_kd^2, multiplied out into matrix products
        squares = x**2 @ precisions.T - 2 * x @ (means * precisions).T + (means**2 * precisions).sum(1)
        log_scale = scales.log().sum(1)
    else:
        eye = torch.eye(dim, dtype=x.dtype, device=x.device)
        whiten = torch.linalg.solve_triangular(scales, eye.expand_as(scales), upper=False)
        # L_k^{-1} (x - mu_k) for all k in one matrix product
        white = x @ whiten.flatten(0, 1).T - (whiten @ means[:, :, None]).flatten()
        squares = white.square_().unflatten(1, means.shape).sum(2)
        log_scale = scales.diagonal(dim1=1, dim2=2).log().sum(1)
    return log_weights[rows] - 0.5 * squares - log_scale - 0.5 * dim * math.log(2 * math.pi)


def log_likelihood(examples: Examples, parts: Parts) -> Float[Tensor, "n"]:
    """log p(x | c), the components summed out."""
    return torch.cat([log_joint(some, parts).logsumexp(1) for some in _chunks(examples)])


def expect(examples: Examples, parts: Parts) -> Shares:
    """How much of the examples falls to each component, and the log-likelihood per example on the way."""
    log_weights, means, scales = parts
    counts, first, second = torch.zeros_like(log_weights), torch.zeros_like(means), torch.zeros_like(scales)
    total = 0.0
    for some in _chunks(examples):
        joint = log_joint(some, parts)
        log_p = joint.logsumexp(1, keepdim=True)
        total += float(log_p.sum())
        r = (joint - log_p).exp()
        counts.index_add_(0, some.rows, r)
        first += r.T @ some.x
        if scales.ndim == 2:
            second += r.T @ some.x**2
        else:
            weighted = (r[:, :, None] * some.x[:, None, :]).flatten(1)
            second += (weighted.T @ some.x).view_as(second)
    return Shares(counts, first, second, total / len(examples.x))


def maximise(shares: Shares, *, pseudo: float, variance: float) -> Parts:
    """The parameters that suit the shares.

    Args:
        shares: of all examples.
        pseudo: a, how many pseudo-examples are added to every component.
        variance: v, theirs in every direction.
    """
    counts, first, second, _ = shares
    n_k = counts.sum(0)
    weights = n_k / n_k.sum()
    of_class = (counts[1:] + weights) / (counts[1:].sum(1, keepdim=True) + 1)
    # A component that answers for nothing moves to the origin, with the covariance of the pseudo-examples.
    means = first / n_k.clamp(min=torch.finfo(n_k.dtype).tiny)[:, None]
    if second.ndim == 2:
        # A difference of large numbers, which rounding can turn negative where nothing varies.
        scatter = (second - n_k[:, None] * means**2).clamp(min=0)
        scales = ((scatter + pseudo * variance) / (n_k + pseudo)[:, None]).sqrt()
    else:
        scatter = second - n_k[:, None, None] * means[:, :, None] * means[:, None, :]
        sphere = pseudo * variance * torch.eye(means.shape[1], dtype=means.dtype, device=means.device)
        scales = torch.linalg.cholesky((scatter + sphere) / (n_k + pseudo)[:, None, None])
    return Parts(torch.cat((weights[None], of_class)).log(), means, scales)


def start(examples: Examples, components: int, *, classes: int, full: bool, pseudo: float, noise: Noise) -> Parts:
    """The best of several starts after a few passes.

    Args:
        examples: to fit.
        components: K.
        classes: how many classes have weights of their own.
        full: whether covariances are full, or diagonal.
        pseudo: a.
        noise: one row per example.
    """
    variance, tried = average_variance(examples.x), []
    # With one component all starts lead to the same place.
    for _ in range(STARTS if components > 1 else 1):
        parts = _seed(examples.x, components, classes=classes, full=full, noise=noise)
        for _ in range(FIRST_PASSES):
            parts = maximise(expect(examples, parts), pseudo=pseudo, variance=variance)
        tried.append((float(log_likelihood(examples, parts).mean()), parts))
    return max(tried, key=lambda pair: pair[0])[1]


def average_variance(x: Float[Tensor, "n dim"]) -> float:
    """v, kept away from 0 for examples that are all the same."""
    return max(float(x.var(0, correction=0).mean()), 1e-12)


def _seed(x: Tensor, components: int, *, classes: int, full: bool, noise: Noise) -> Parts:
    """k-means++: each further centre is an example, drawn in proportion to its squared distance from the nearest."""
    nearest = x.new_ones(len(x))
    centres = []
    for _ in range(components):
        # Of independent exponential times E_i / d_i, the first comes from i with probability d_i / sum(d).
        race = -noise.uniform(like=x).log() / nearest
        centres.append(x[race.argmin()])
        distance = (x - centres[-1]).square().sum(1)
        nearest = distance if len(centres) == 1 else nearest.minimum(distance)
    means = torch.stack(centres)
    # The variance at which spheres around the centres are most likely.
    spread = nearest.mean().clamp(min=1e-12).div(x.shape[1]).sqrt()
    one = torch.eye(x.shape[1], dtype=x.dtype, device=x.device) if full else x.new_ones(x.shape[1])
    log_weights = x.new_full((1 + classes, components), -math.log(components))
    return Parts(log_weights, means, spread * one.expand(components, *one.shape))


def _chunks(examples: Examples) -> list[Examples]:
    return [Examples(*some) for some in zip(examples.x.split(CHUNK), examples.rows.split(CHUNK), strict=True)]
