r"""Importance sampling: draws of a proposal q, weighted so that they stand for a target p.

.. math:: \int f(x)\,p(x)\,dx = E_q\!\left[ f(x) \frac{p(x)}{q(x)} \right] \approx \frac1n \sum_i w_i f(x_i), \qquad
    w_i = \frac{p(x_i)}{q(x_i)}, \quad x_i \sim q

If p is known up to its integral Z only, the mean weight estimates Z and the normalised weights do the rest. The
variance is :math:`\mathrm{Var}_q[w f]/n`. Where the tails of q are lighter than those of :math:`|f| p` it can be
infinite, while the variance of the weights at hand, as of any sample, is finite. :math:`\hat k` is the warning.

*Sampling-importance-resampling* draws from the weighted points in proportion to their weights; the results have the
law of p as n grows.

Reference:
    Owen 2013, "Monte Carlo theory, methods and examples", chapter 9; Rubin 1987, for the resampling; Vehtari et al.
    2024, "Pareto Smoothed Importance Sampling", JMLR 25.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from pushforward.core.errors import InputError
from pushforward.probability.weights import (
    Estimate,
    check_log_weights,
    effective_sample_size,
    log_mean_weight,
    pareto_k,
    pareto_smooth,
    self_normalised_mean,
    trustworthy_k,
    unnormalised_mean,
)
from pushforward.sampling.checked import log_density_of, log_prob_of
from pushforward.sampling.direct import draws_of
from pushforward.sampling.resampling import Scheme, resample

__all__ = ["WeightedDraws", "importance_resample", "importance_sample"]

LogDensity = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class WeightedDraws:
    r"""Draws of a proposal and the logarithms of their weights for a target.

    Args:
        samples: x.
        log_weights: log p(x) - log q(x).

    Raises:
        InputError: if the numbers differ, the weights are all zero, or one is NaN or +inf.

    Example:
        >>> draws = WeightedDraws(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 3.0]).log())
        >>> draws.mean().value.item(), draws.effective_sample_size
        (0.75, 1.6)
    """

    samples: Float[Tensor, "n *event"]
    log_weights: Float[Tensor, "n"]

    def __post_init__(self) -> None:
        check_log_weights(self.log_weights)
        if self.log_weights.shape != self.samples.shape[:1]:
            shapes = f"{tuple(self.log_weights.shape)} for samples of shape {tuple(self.samples.shape)}"
            raise InputError(f"log_weights: got shape {shapes}, expected one for each sample")

    def mean(self, function: Callable[[Tensor], Tensor] | None = None) -> Estimate:
        """E_p f(x), self-normalised: p may be known up to a constant. None takes x itself."""
        return self_normalised_mean(self._values(function), self.log_weights)

    def integral(self, function: Callable[[Tensor], Tensor] | None = None) -> Estimate:
        r""":math:`\int f(x) p(x) dx`, unbiased, p taken as it is written. None takes x itself."""
        return unnormalised_mean(self._values(function), self.log_weights)

    def log_normaliser(self) -> Estimate:
        r""":math:`\log \int p(x) dx`; see ``log_mean_weight``."""
        return log_mean_weight(self.log_weights)

    @cached_property
    def effective_sample_size(self) -> float:
        """The number of equally weighted draws that say as much."""
        return float(effective_sample_size(self.log_weights))

    @cached_property
    def k(self) -> float:
        """The Pareto shape of the tail of the weights; at least 25 of them are needed."""
        return float(pareto_k(self.log_weights))

    def smoothed(self) -> WeightedDraws:
        """The same draws with Pareto-smoothed weights (which sum to 1: they no longer estimate the normaliser)."""
        return WeightedDraws(self.samples, pareto_smooth(self.log_weights).log_weights)

    def resampled(
        self, n: int | None = None, *, scheme: Scheme = "systematic", generator: torch.Generator | None = None
    ) -> Float[Tensor, "n *event"]:
        """n equally weighted draws, chosen in proportion to the weights; None takes as many as there are."""
        return self.samples[resample(self.log_weights, n, scheme=scheme, generator=generator)]

    def diagnosis(self) -> str:
        """One sentence: whether the weights can be trusted, and what to do if not."""
        n, limit = len(self.log_weights), trustworthy_k(len(self.log_weights))
        size = f"{n} draws are worth {self.effective_sample_size:.0f}"
        if self.k <= min(limit, 0.5):
            return f"{size}; the tail of the weights is light (k = {self.k:.2f})."
        if self.k <= limit:
            return f"{size}; the weights have no variance (k = {self.k:.2f}): use smoothed(), or a wider proposal."
        return (
            f"{size} by their own count, which cannot be trusted (k = {self.k:.2f} above {limit:.2f}): "
            "take a proposal with heavier tails, or a Markov chain."
        )

    def _values(self, function: Callable[[Tensor], Tensor] | None) -> Tensor:
        return self.samples if function is None else function(self.samples)


def importance_sample(
    log_target: LogDensity, proposal: Distribution, n: int, *, generator: torch.Generator | None = None
) -> WeightedDraws:
    """Draw n times from the proposal and weigh the draws.

    Args:
        log_target: log p of draws (n, *event) -> (n,), up to a constant; -inf outside of its support.
        proposal: q; its support covers that of p.
        n: how many.
        generator: None takes torch's default one.

    Raises:
        InputError: if the log-density is NaN, +inf or of another shape than (n,), the weights are all zero, or the
            proposal has a batch shape.

    Example:
        The integral of exp(-x^2 / 2), drawn from a wider Gaussian:

        >>> proposal = torch.distributions.Normal(0.0, 2.0)
        >>> draws = importance_sample(lambda x: -x**2 / 2, proposal, 20_000, generator=torch.Generator().manual_seed(0))
        >>> log_z, error = draws.log_normaliser()
        >>> abs(log_z.exp().item() - (2 * torch.pi) ** 0.5) < 4 * error.item() * log_z.exp().item()
        True
    """
    x = draws_of(proposal, n, generator=generator)
    log_q = log_prob_of(proposal, x)
    return WeightedDraws(x, log_density_of(log_target, x, name="log_target") - log_q)


def importance_resample(
    log_target: LogDensity,
    proposal: Distribution,
    n: int,
    *,
    pool: int | None = None,
    scheme: Scheme = "systematic",
    generator: torch.Generator | None = None,
) -> Float[Tensor, "n *event"]:
    """Sampling-importance-resampling: n draws, approximately from the target.

    Args:
        log_target: as in ``importance_sample``.
        proposal: as in ``importance_sample``.
        n: how many.
        pool: how many draws of the proposal to choose from; None takes 20 n, Rubin's rule of thumb. As
            the pool grows the law becomes that of the target, and the draws repeat less.
        scheme: of resampling.
        generator: None takes torch's default one.

    Raises:
        InputError: as ``importance_sample`` does.

    Example:
        >>> proposal = torch.distributions.Uniform(-1.0, 1.0)
        >>> importance_resample(lambda x: torch.where(x > 0, 0.0, -torch.inf), proposal, 100).min().item() > 0
        True
    """
    draws = importance_sample(log_target, proposal, 20 * n if pool is None else pool, generator=generator)
    return draws.resampled(n, scheme=scheme, generator=generator)
