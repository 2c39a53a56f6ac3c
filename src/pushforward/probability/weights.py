r"""Importance weights: how much they are worth, how far they can be trusted, and what they estimate.

A draw :math:`x_i \sim q` stands for a target p with the weight :math:`w_i = p(x_i) / q(x_i)`; all here are logarithms.

* *Effective sample size* :math:`\bigl(\sum_i w_i\bigr)^2 / \sum_i w_i^2`: n if all are equal, 1 if one has everything.
* *Estimates*: :math:`\hat Z = \frac1n \sum_i w_i` for the integral of p, unbiased;
  :math:`\hat\mu = \sum_i \bar w_i f(x_i)` with :math:`\bar w_i = w_i / \sum_j w_j`, consistent when p is known up to a
  factor only; its variance is about :math:`\sum_i \bar w_i^2 (f(x_i) - \hat\mu)^2`.
* *Pareto* :math:`\hat k`: the largest weights behave as draws of a generalised Pareto distribution
  :math:`F(z) = 1 - (1 + k z / \sigma)^{-1/k}`, which has moments below 1/k only. With :math:`k \ge 1/2` the weights
  have no variance and the effective sample size misleads; from about 0.7 on no feasible number of draws helps.
  *Smoothing* puts the quantiles of that distribution in place of the largest weights.

Reference:
    Owen 2013, "Monte Carlo theory, methods and examples", chapter 9; Vehtari, Simpson, Gelman, Yao and Gabry 2024,
    "Pareto Smoothed Importance Sampling", JMLR 25; Zhang and Stephens 2009, "A New and Efficient Estimation Method for
    the Generalized Pareto Distribution", Technometrics 51.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from pushforward.core.errors import InputError

__all__ = [
    "Estimate",
    "Smoothed",
    "check_log_weights",
    "effective_sample_size",
    "log_mean_weight",
    "monte_carlo_mean",
    "pareto_k",
    "pareto_smooth",
    "self_normalised_mean",
    "trustworthy_k",
    "unnormalised_mean",
]

#: A generalised Pareto distribution has two parameters: fewer excesses than this say nothing about them.
LEAST_TAIL = 5

#: Strength (in observations) and place of the prior on k, which steadies it when the tail is short (Vehtari et al.,
#: appendix C).
PRIOR_COUNT, PRIOR_K = 10.0, 0.5


class Estimate(NamedTuple):
    """A number with its standard error, both of one shape."""

    value: Tensor
    standard_error: Tensor


class Smoothed(NamedTuple):
    """Pareto-smoothed weights.

    Args:
        log_weights: normalised, so that the weights sum to 1.
        k: of the tail they had.
    """

    log_weights: Float[Tensor, "*batch n"]
    k: Float[Tensor, "*batch"]


def check_log_weights(log_weights: Float[Tensor, "*batch n"], name: str = "log_weights") -> None:
    """Raise ``InputError`` unless these are logarithms of weights that can be normalised.

    Raises:
        InputError: if they are no floating-point numbers along a last axis, one is NaN or +inf, or all are -inf.

    Example:
        >>> check_log_weights(torch.full((3,), -torch.inf))
        Traceback (most recent call last):
        ...
        pushforward.core.errors.InputError: log_weights: all are -inf, so every weight is zero, expected ...
    """
    if log_weights.ndim == 0 or log_weights.shape[-1] == 0 or not log_weights.is_floating_point():
        what = f"{log_weights.dtype} of shape {tuple(log_weights.shape)}"
        raise InputError(f"{name}: got {what}, expected floating-point numbers of shape (..., n) with n at least 1")
    if bool((bad := torch.isnan(log_weights) | (log_weights == torch.inf)).any()):
        first = bad.nonzero()[0].tolist()
        what = f"{float(log_weights[tuple(first)])} at {first}"
        raise InputError(f"{name}: got {what}, expected numbers below +inf: the densities must be finite where drawn")
    if bool((log_weights == -torch.inf).all(-1).any()):
        raise InputError(
            f"{name}: all are -inf, so every weight is zero, expected a proposal that covers the target's support"
        )


def effective_sample_size(log_weights: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch"]:
    r"""How many equally weighted draws have the same variance: :math:`(\sum_i w_i)^2 / \sum_i w_i^2`, from 1 to n.

    Args:
        log_weights: log w, up to a common constant; -inf for a weight of zero.

    Raises:
        InputError: as ``check_log_weights`` does.

    Reference:
        Kong 1992, "A Note on Importance Sampling using Standardized Weights".

    Example:
        >>> effective_sample_size(torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, -torch.inf]])).tolist()
        [3.0, 2.0]
    """
    check_log_weights(log_weights)
    return (2 * log_weights.logsumexp(-1) - (2 * log_weights).logsumexp(-1)).exp()


def monte_carlo_mean(values: Float[Tensor, "n *shape"]) -> Estimate:
    r"""The mean of independent draws, and its standard error :math:`s / \sqrt n`.

    Raises:
        InputError: if there are fewer than two draws, or one is not finite.

    Example:
        >>> mean, error = monte_carlo_mean(torch.tensor([1.0, 3.0]))
        >>> mean.item(), error.item()
        (2.0, 1.0)
    """
    _check_values(values, "values")
    return Estimate(values.mean(0), values.std(0) / math.sqrt(len(values)))


def log_mean_weight(log_weights: Float[Tensor, "*batch n"]) -> Estimate:
    r"""log of the mean weight, which is the log-integral of an unnormalised target drawn from a normalised proposal.

    :math:`\hat Z = \frac1n\sum_i w_i` is unbiased. The standard error is that of :math:`\hat Z` relative to
    :math:`\hat Z`, which is the one of its logarithm as long as it is small.

    Raises:
        InputError: as ``check_log_weights`` does, or for fewer than two weights.

    Example:
        >>> log_z, error = log_mean_weight(torch.tensor([1.0, 3.0]).log())
        >>> log_z.exp().item(), error.item()
        (2.0, 0.5)
    """
    check_log_weights(log_weights)
    n = log_weights.shape[-1]
    if n < 2:
        raise InputError("log_weights: got 1 weight, expected at least 2, for the standard error")
    log_mean = log_weights.logsumexp(-1) - math.log(n)
    relative = (log_weights - log_mean.unsqueeze(-1)).exp()  # w over its mean
    return Estimate(log_mean, relative.std(-1) / math.sqrt(n))


def unnormalised_mean(values: Float[Tensor, "n *shape"], log_weights: Float[Tensor, "n"]) -> Estimate:
    r"""The plain importance-sampling estimate :math:`\frac1n \sum_i w_i f(x_i)` of :math:`\int f(x)\,p(x)\,dx`.

    Unbiased; it wants weights with their constant, that is, normalised densities.

    Args:
        values: f(x).
        log_weights: log p(x) - log q(x).

    Raises:
        InputError: if the numbers of values and weights differ or are below two, or one is not usable.

    Example:
        >>> unnormalised_mean(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 1.0]).log()).value.item()
        2.0
    """
    _check_pair(values, log_weights)
    return monte_carlo_mean(_column(log_weights.exp(), values) * values)


def self_normalised_mean(values: Float[Tensor, "n *shape"], log_weights: Float[Tensor, "n"]) -> Estimate:
    r"""The self-normalised estimate :math:`\hat\mu = \sum_i \bar w_i f(x_i)` of :math:`E_p f(x)`.

    Its bias is of the order 1/n; its standard error is :math:`\bigl(\sum_i \bar w_i^2 (f(x_i) - \hat\mu)^2\bigr)^{1/2}`
    (Owen 2013, eq. 9.9). Both presume weights with a variance: look at ``pareto_k`` first.

    Args:
        values: f(x).
        log_weights: log p(x) - log q(x), up to a common constant.

    Raises:
        InputError: if the numbers of values and weights differ or are below two, or one is not usable.

    Example:
        >>> mean, error = self_normalised_mean(torch.tensor([0.0, 4.0]), torch.tensor([3.0, 1.0]).log())
        >>> mean.item(), error.item()  # sqrt((3/4)^2 (0 - 1)^2 + (1/4)^2 (4 - 1)^2)
        (1.0, 1.06066)
    """
    _check_pair(values, log_weights)
    share = _column(log_weights.softmax(0), values)
    mean = (share * values).sum(0)
    return Estimate(mean, (share * (values - mean)).square().sum(0).sqrt())


def pareto_k(log_weights: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch"]:
    r"""The shape :math:`\hat k` of the tail of the weights; ``pareto_smooth`` explains it.

    Example:
        Weights with the density :math:`2 w^{-3}`, at their quantiles: k = 1/2.

        >>> u = (torch.arange(20_000).double() + 0.5) / 20_000
        >>> round(pareto_k(-0.5 * (1 - u).log()).item(), 2)
        0.5
    """
    return pareto_smooth(log_weights).k


def trustworthy_k(n: int) -> float:
    r"""The largest :math:`\hat k` at which n draws still do: :math:`\min(1 - 1 / \log_{10} n, \; 0.7)`.

    Reference:
        Vehtari et al. 2024, section 3.2.4: the number of draws that a relative error asks for, solved for k.

    Example:
        >>> trustworthy_k(100), trustworthy_k(1_000_000)
        (0.5, 0.7)
    """
    return min(1 - 1 / math.log10(max(n, 2)), 0.7)


def pareto_smooth(log_weights: Float[Tensor, "*batch n"]) -> Smoothed:
    r"""Replace the M largest weights by quantiles of the generalised Pareto distribution fitted to them.

    .. math:: M = \lceil \min(n / 5, \; 3 \sqrt n) \rceil, \qquad
        w_{(n - M + j)} \leftarrow u + F^{-1}_{\hat k, \hat\sigma}\!\left(\frac{j - 1/2}{M}\right),

    u being the (M + 1)-th largest; none is left above the largest raw weight. :math:`\hat k` is +inf if fewer than five
    weights lie above u and are not equal to it, -inf if the largest weights are all equal: there is no tail.

    Args:
        log_weights: log w, up to a common constant.

    Raises:
        InputError: as ``check_log_weights`` does, or if there are fewer than 25 weights, too few to have a tail.

    Example:
        >>> smooth = pareto_smooth(torch.linspace(0, 5, 200).double())
        >>> smooth.log_weights.exp().sum().item()
        1.0
    """
    check_log_weights(log_weights)
    n = log_weights.shape[-1]
    if n < 5 * LEAST_TAIL:
        raise InputError(f"log_weights: got {n} weights, expected at least {5 * LEAST_TAIL}, for a tail to be seen")
    rows = [_smooth_row(row) for row in log_weights.reshape(-1, n)]
    smooth = torch.stack([row for row, _ in rows]).reshape(log_weights.shape)
    k = log_weights.new_tensor([k for _, k in rows]).reshape(log_weights.shape[:-1])
    return Smoothed(smooth - smooth.logsumexp(-1, keepdim=True), k)


def _smooth_row(log_weights: Float[Tensor, "n"]) -> tuple[Float[Tensor, "n"], float]:
    """Smoothed weights, the largest at most 1, and k."""
    n = len(log_weights)
    x = log_weights - log_weights.max()
    order = x.argsort()
    tail = order[n - math.ceil(min(n / 5, 3 * math.sqrt(n))) :]
    # Below the smallest normal number a weight is a rounding error, not a tail.
    cut = max(float(x[order[n - len(tail) - 1]]), math.log(torch.finfo(x.dtype).tiny))
    tail = tail[x[tail] > cut]
    if len(tail) < LEAST_TAIL:
        return x, -math.inf if cut == 0 else math.inf
    excess = x[tail].exp() - math.exp(cut)
    k, sigma = _fit_pareto(excess.double())
    middle = (torch.arange(len(tail), dtype=torch.float64, device=x.device) + 0.5) / len(tail)
    # F^{-1}(p) = sigma ((1 - p)^{-k} - 1) / k, which tends to an exponential's quantile as k tends to 0
    quantiles = -torch.log1p(-middle) * sigma if k == 0 else torch.expm1(-k * torch.log1p(-middle)) * sigma / k
    x = x.index_copy(0, tail, (quantiles + math.exp(cut)).log().to(x.dtype))
    return x.clamp(max=0), k


def _fit_pareto(excess: Float[Tensor, "m"]) -> tuple[float, float]:
    r"""k and sigma of excesses in increasing order, by the quasi-Bayesian estimate of Zhang and Stephens.

    With :math:`b = -k / \sigma` the likelihood is largest, for a given b, at
    :math:`k(b) = \frac1m \sum_i \log(1 - b z_i)`, where its logarithm is :math:`m (\log(-b / k) - k - 1)`. The estimate
    of b is its mean over a grid, weighted by this likelihood.
    """
    m = len(excess)
    size = 30 + int(math.sqrt(m))  # of the grid, as the authors propose
    quarter = excess[int(m / 4 + 0.5) - 1]
    steps = torch.arange(1, size + 1, dtype=excess.dtype, device=excess.device) - 0.5
    b = 1 / excess[-1] + (1 - (size / steps).sqrt()) / (3 * quarter)  # spread around the first quartile
    k = torch.log1p(-b[:, None] * excess).mean(1)
    share = (m * ((-b / k).log() - k - 1)).softmax(0)
    mean = float((b * share).sum())
    shape = float(torch.log1p(-mean * excess).mean())
    return (m * shape + PRIOR_COUNT * PRIOR_K) / (m + PRIOR_COUNT), -shape / mean


def _column(weights: Tensor, values: Tensor) -> Tensor:
    """Weights (n,) as (n, 1, ..., 1), to multiply values (n, *shape)."""
    return weights.view(-1, *[1] * (values.ndim - 1))


def _check_values(values: Tensor, name: str) -> None:
    if values.ndim == 0 or len(values) < 2 or not values.is_floating_point():
        what = f"{values.dtype} of shape {tuple(values.shape)}"
        raise InputError(f"{name}: got {what}, expected floating-point numbers of shape (n, ...), n at least 2")
    if not bool(torch.isfinite(values).all()):
        raise InputError(f"{name}: got a number that is not finite, expected a function that is finite where drawn")


def _check_pair(values: Tensor, log_weights: Tensor) -> None:
    check_log_weights(log_weights)
    _check_values(values, "values")
    if log_weights.ndim != 1 or len(values) != len(log_weights):
        shapes = f"{tuple(log_weights.shape)} for values of shape {tuple(values.shape)}"
        raise InputError(f"log_weights: got shape {shapes}, expected one weight for each value, ({len(values)},)")
