r"""How far draws of Markov chains can be trusted: R-hat, effective sample sizes, autocorrelation, tails.

**R-hat** compares M chains of N draws: with W the mean variance within a chain and B / N the variance of the chains'
means,

.. math:: \hat R = \sqrt{\frac{\frac{N-1}{N} W + \frac1N B}{W}},

1 if the chains agree. Chains are split in halves, so that a drift shows; values are replaced by normal scores of their
ranks, so that heavy tails do no harm; and the distances from the median are judged as well, so that chains of
different spread show (Vehtari et al. 2021).

**The effective sample size** is the number of independent draws whose mean has the same variance,

.. math:: S = \frac{MN}{-1 + 2 \sum_t P_t}, \qquad P_t = \hat\rho_{2t} + \hat\rho_{2t+1}, \qquad
          \hat\rho_t = 1 - \frac{W - \overline{\text{acov}}_t}{\widehat{\text{var}}^+},

summed while P is positive, and made to decrease (Geyer 1992). (Where a chain is too short for P to fall to zero, all of
it is summed; arviz leaves the last pair out, and its S is larger.) *Bulk* is of the normal scores, *tail* the smaller
one of the indicators of the 5 % and 95 % quantiles, *mean* of the values themselves: the one for the error of their
mean.

**Beware** of many short chains: a chain of a few draws has no autocorrelation to estimate, and S comes out near their
number whether or not they have forgotten where they began. ``nested_rhat`` is made for them.

Reference:
    Vehtari, Gelman, Simpson, Carpenter & Bürkner 2021, "Rank-normalization, folding, and localization";
    Margossian et al. 2024, "Nested R-hat".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, get_args

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from pushforward.core.errors import InputError
from pushforward.probability.weights import pareto_k

__all__ = ["Kind", "autocorrelation", "ess", "mean_error", "nested_rhat", "rhat", "tail_k"]

Kind = Literal["bulk", "tail", "mean"]

#: Numbers worked on at once: 32 MiB in float64.
BLOCK = 2**22


def autocorrelation(values: Float[Tensor, "chains draws *event"]) -> Float[Tensor, "chains draws *event"]:
    r"""The autocorrelation of every chain at lags 0 to draws - 1, by the FFT.

    .. math:: \rho_t = \frac{\sum_{i} (x_i - \bar x)(x_{i+t} - \bar x)}{\sum_i (x_i - \bar x)^2}

    A chain that never moves has NaN.

    Example:
        >>> autocorrelation(torch.tensor([[1.0, -1.0, 1.0, -1.0]]))
        tensor([[ 1.0000, -0.7500,  0.5000, -0.2500]], dtype=torch.float64)
    """
    covariance = _autocovariance(_three(values))
    return (covariance / covariance[:, :1]).reshape(values.shape)


def rhat(values: Shaped[Tensor, "chains draws *event"]) -> Float[Tensor, "*event"]:
    """Rank-normalised split R-hat, the larger one of location and spread; NaN where nothing varies.

    Raises:
        InputError: if there are fewer than 4 draws.

    Example:
        >>> x = torch.randn(4, 1000, generator=torch.Generator().manual_seed(0))
        >>> bool(rhat(x) < 1.01), bool(rhat(x + torch.arange(4.0)[:, None]) > 1.5)
        (True, True)
    """

    def both(x: Tensor) -> Tensor:
        halves = _split(x)
        folded = (halves - _quantile(halves.flatten(0, 1), 0.5)).abs()
        return torch.maximum(_plain_rhat(_normal_scores(halves)), _plain_rhat(_normal_scores(folded)))

    return _per_block(values, both)


def nested_rhat(values: Shaped[Tensor, "chains draws *event"], *, superchains: int) -> Float[Tensor, "*event"]:
    r"""R-hat for many short chains, of K groups (superchains) of M chains that began at the same point.

    .. math:: \hat R_\nu = \sqrt{1 + \frac{\hat B}{\hat W}}

    with B the variance of the K means, and W the mean over groups of the variance between the M means plus that within
    the chains. Near 1, the group's *starting point* no longer shows, and that is what convergence means; one draw per
    chain is enough to see it.

    Args:
        values: chains of one superchain lie next to each other.
        superchains: K, at least 2; the number of chains is a multiple of it.

    Raises:
        InputError: if the chains cannot be grouped so, or there are not enough of them.

    Example:
        >>> x = torch.randn(512, 5, generator=torch.Generator().manual_seed(0))
        >>> bool(nested_rhat(x, superchains=8) < 1.02)
        True
    """
    chains, draws = values.shape[:2]
    if superchains < 2 or chains % superchains or (chains == superchains and draws == 1):
        raise InputError(
            f"superchains: got {superchains} for {chains} chains of {draws} draws, expected a divisor of the number of "
            "chains, at least 2, with more than one draw in each group"
        )
    x = _three(values).reshape(superchains, chains // superchains, draws, -1)
    means = x.mean(2)
    between = means.mean(1).var(0)
    within_chains = x.var(2).mean(1) if draws > 1 else torch.zeros_like(means[:, 0])
    between_chains = means.var(1) if chains > superchains else torch.zeros_like(means[:, 0])
    within = (within_chains + between_chains).mean(0)
    return (1 + between / within).sqrt().reshape(values.shape[2:])


def ess(values: Shaped[Tensor, "chains draws *event"], kind: Kind = "bulk") -> Float[Tensor, "*event"]:
    """The effective sample size of all chains together; NaN where nothing varies.

    Args:
        values: the draws.
        kind: "bulk", "tail" or "mean".

    Raises:
        InputError: if there are fewer than 4 draws, or no such kind.

    Example:
        >>> x = torch.randn(4, 1000, generator=torch.Generator().manual_seed(0))
        >>> bool((ess(x) - 4000).abs() < 800)
        True
    """
    if kind not in get_args(Kind):
        raise InputError(f"kind: got {kind!r}, expected one of {', '.join(get_args(Kind))}")

    def one(x: Tensor) -> Tensor:
        halves = _split(x)
        if kind == "mean":
            return _plain_ess(halves)
        if kind == "bulk":
            return _plain_ess(_normal_scores(halves))
        pool = x.flatten(0, 1)
        quantiles = [_quantile(pool, q) for q in (0.05, 0.95)]
        return torch.minimum(*(_plain_ess((halves <= q).double()) for q in quantiles))

    return _per_block(values, one)


def mean_error(values: Shaped[Tensor, "chains draws *event"]) -> Float[Tensor, "*event"]:
    r"""The Monte Carlo standard error of the mean, :math:`\text{sd} / \sqrt{S_{mean}}`.

    Example:
        >>> x = torch.randn(4, 1000, generator=torch.Generator().manual_seed(0))
        >>> bool((mean_error(x) * 4000**0.5 - 1).abs() < 0.1)
        True
    """
    return values.double().flatten(0, 1).std(0) / ess(values, "mean").sqrt()


def tail_k(values: Shaped[Tensor, "chains draws *event"]) -> Float[Tensor, "*event"]:
    r"""The shape :math:`\hat k` of the tails: moments of order below 1 / k exist.

    That of a generalised Pareto distribution fitted to the largest distances from the median; from 1/2 on there is no
    variance, and no standard error that means anything; from 1 on no mean.

    Example:
        >>> u = torch.linspace(1e-4, 1 - 1e-4, 10_000).double()
        >>> bool(tail_k(torch.distributions.Normal(0.0, 1.0).icdf(u)[None]) < 0.3)
        True
        >>> bool(tail_k(torch.distributions.Cauchy(0.0, 1.0).icdf(u)[None]) > 0.8)
        True
    """
    pool = _three(values).flatten(0, 1)
    apart = (pool - pool.median(0).values).abs()
    return pareto_k(apart.T.log()).reshape(values.shape[2:])


# -- the parts, on (chains, draws, dim) in float64 ------------------------------------------------------------------


def _three(values: Tensor) -> Float[Tensor, "chains draws dim"]:
    if values.ndim < 2:
        raise InputError(f"values: got shape {tuple(values.shape)}, expected (chains, draws, ...)")
    return values.detach().double().reshape(*values.shape[:2], -1)


def _per_block(values: Tensor, statistic: Callable[[Tensor], Tensor]) -> Tensor:
    """A statistic of every coordinate, as many at once as fit."""
    if values.ndim < 2 or values.shape[0] < 1 or values.shape[1] < 4:
        raise InputError(f"values: got shape {tuple(values.shape)}, expected (chains, draws, ...) with 4 draws or more")
    flat = values.detach().reshape(*values.shape[:2], -1)
    width = max(1, BLOCK // (flat.shape[0] * flat.shape[1]))
    parts = (
        [statistic(block.double()) for block in flat.split(width, dim=2)] if flat.shape[2] else [flat[0, 0].double()]
    )
    constant = (flat == flat[:1, :1]).all(dim=1).all(dim=0)
    return torch.cat(parts).masked_fill(constant, math.nan).reshape(values.shape[2:])


def _split(x: Tensor) -> Tensor:
    """The halves of every chain as chains of their own; the middle draw of an odd number is left out."""
    half = x.shape[1] // 2
    return torch.cat([x[:, :half], x[:, -half:]])


def _normal_scores(x: Tensor) -> Tensor:
    """Normal quantiles of the ranks over all chains, ties sharing their mean rank (Blom 1958)."""
    pool = x.flatten(0, 1).T.contiguous()
    order = pool.sort(dim=1).values
    rank = (torch.searchsorted(order, pool) + torch.searchsorted(order, pool, right=True) + 1) / 2
    return torch.special.ndtri((rank - 0.375) / (pool.shape[1] + 0.25)).T.reshape(x.shape)


def _plain_rhat(x: Tensor) -> Tensor:
    draws = x.shape[1]
    within, means = x.var(1).mean(0), x.mean(1)
    between = means.var(0)
    return ((draws - 1) / draws + between / within).sqrt()


def _autocovariance(x: Tensor) -> Tensor:
    """Along draws, divided by their number at every lag (the biased estimate, whose error is the smaller)."""
    draws = x.shape[1]
    size = 2 ** math.ceil(math.log2(2 * draws))  # padded, or the end would be correlated with the beginning
    spectrum = torch.fft.rfft(x - x.mean(1, keepdim=True), n=size, dim=1)
    return torch.fft.irfft(spectrum.abs().square(), n=size, dim=1)[:, :draws] / draws


def _plain_ess(x: Tensor) -> Tensor:
    chains, draws = x.shape[:2]
    covariance = _autocovariance(x).mean(0)  # (lags, dim)
    within = covariance[0] * draws / (draws - 1)
    total = covariance[0] + (x.mean(1).var(0) if chains > 1 else 0.0)
    rho = 1 - (within - covariance) / total
    rho[0] = 1.0
    usable = max(1, (draws - 1) // 2)  # the last lag, of which there is one product, is left out
    pairs = rho[: 2 * usable].unflatten(0, (usable, 2)).sum(1)
    positive = (pairs > 0).cumprod(0).bool()
    positive[0] = True
    decreasing = pairs.cummin(0).values
    tau = -1 + 2 * (decreasing * positive).sum(0)
    # The sum is cut after an odd lag; the next even one, counted once, removes most of the bias that leaves.
    end = 2 * positive.sum(0)
    after = rho.gather(0, end[None].clamp(max=draws - 1))[0]
    tau = tau + after.clamp(min=0) * (end < draws)
    size = chains * draws
    # Antithetic chains can do better than independent draws, but not by more than can be seen.
    return size / tau.clamp(min=1 / math.log10(size))


def _quantile(pool: Tensor, q: float) -> Tensor:
    """Along the first axis, interpolated; torch.quantile refuses large inputs."""
    order = pool.sort(dim=0).values
    place = q * (len(pool) - 1)
    low = math.floor(place)
    high = min(low + 1, len(pool) - 1)
    return order[low] + (place - low) * (order[high] - order[low])
