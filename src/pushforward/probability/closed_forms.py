r"""Amounts of information in closed form, and as finite sums.

Entropies and divergences of named families are those of ``torch.distributions``. Gaussians add the mutual information
of two blocks of entries,

.. math:: I(x; y) = \tfrac{1}{2} \ln \frac{\lvert \Sigma_x \rvert \, \lvert \Sigma_y \rvert}{\lvert \Sigma \rvert},

and distributions over finitely many values the sums :math:`\sum_v p(v) \ln p(v)`, and so on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, MultivariateNormal, kl_divergence

from pushforward.core.errors import InputError
from pushforward.probability.nats import Nats, log_density

__all__ = ["finite_sum", "gaussian_information", "known_divergence", "known_entropy"]


def known_entropy(p: Distribution) -> Nats | None:
    """The entropy that torch knows, or None.

    Example:
        >>> known_entropy(torch.distributions.Uniform(0.0, 2.0)).bits
        1.0
    """
    try:
        return Nats(float(p.entropy()), 0.0, "closed form", "exact")
    except NotImplementedError:
        return None


def known_divergence(p: Distribution, q: Distribution) -> Nats | None:
    """The divergence that torch knows of this pair, or None.

    Example:
        >>> from torch.distributions import Exponential, Normal
        >>> known_divergence(Normal(0.0, 1.0), Normal(1.0, 1.0)).value
        0.5
        >>> known_divergence(Normal(0.0, 1.0), Exponential(1.0))
        Nats(value=inf, standard_error=0.0, method='closed form; p has mass where q has none', kind='exact')
    """
    try:
        value = float(kl_divergence(p, q))
    except NotImplementedError:
        return None
    why = "; p has mass where q has none" if math.isinf(value) else ""
    return Nats(value, 0.0, f"closed form{why}", "exact")


def finite_sum(summand: Callable[[Sequence[Tensor]], Tensor], densities: Sequence[Distribution]) -> Nats | None:
    """The sum of a function of log-probabilities over the values of the first distribution, or None if not finite.

    Example:
        >>> fair, loaded = (torch.distributions.Bernoulli(torch.tensor(p)) for p in (0.5, 0.75))
        >>> finite_sum(lambda logs: logs[0].exp() * (logs[0] - logs[1]), [fair, loaded]).value  # ln(4/3) / 2
        0.14384
    """
    try:
        values = densities[0].enumerate_support()
    except NotImplementedError:
        return None
    logs = [log_density(p, values) for p in densities]
    total = float(summand(logs).nan_to_num(nan=0.0, posinf=torch.inf, neginf=-torch.inf).sum())
    why = "; there is mass where the other has none" if math.isinf(total) else ""
    return Nats(total, 0.0, f"sum over {len(values)} values{why}", "exact")


def gaussian_information(covariance: Float[Tensor, "dim dim"], first: int) -> Nats:
    """Mutual information of the first so many entries of a Gaussian vector and the others.

    Raises:
        InputError: if the covariance is not positive definite, or one of the blocks is empty.

    Example:
        >>> gaussian_information(torch.tensor([[1.0, 0.6], [0.6, 1.0]]), 1).value  # -ln(1 - 0.36) / 2
        0.22314
    """
    dim = len(covariance)
    if not 0 < first < dim:
        raise InputError(f"first: got {first}, expected 1 to {dim - 1}: both blocks need an entry")
    blocks = covariance[:first, :first], covariance[first:, first:], covariance
    roots = [torch.linalg.cholesky_ex(block) for block in blocks]
    if any(int(root.info) for root in roots):
        raise InputError(
            "covariance: got a singular one, where the information is infinite, expected a positive definite"
        )
    x, y, both = (float(root.L.diagonal().log().sum()) for root in roots)
    return Nats(x + y - both, 0.0, "closed form", "exact")


def covariance_of(p: Distribution) -> Float[Tensor, "dim dim"] | None:
    """Of a Gaussian vector, or None for any other distribution."""
    return p.covariance_matrix if isinstance(p, MultivariateNormal) else None
