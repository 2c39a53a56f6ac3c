r"""Expectations and covariances from independent draws, with their standard errors.

.. math:: E f(x) \approx \bar f = \frac1n \sum_i f(x_i), \qquad
    \operatorname{Cov}(x_j, x_k) \approx \frac{1}{n - 1} \sum_i (x_{ij} - \bar x_j)(x_{ik} - \bar x_k) .

Both are unbiased. Their errors fall as :math:`1 / \sqrt n`, in any dimension.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from pushforward.core.errors import InputError, check_count
from pushforward.probability.nats import draw_points
from pushforward.probability.weights import Estimate, monte_carlo_mean

__all__ = ["expectation", "sample_covariance"]


def expectation(
    f: Callable[[Tensor], Tensor], p: Distribution, n: int, *, generator: torch.Generator | None = None
) -> Estimate:
    r"""E f(x) for x ~ p, from n independent draws.

    Args:
        f: of draws (n, *event), to (n, *shape).
        p: one distribution, not a batch.
        n: how many draws, at least 2.
        generator: source of the draws.

    Raises:
        InputError: if p is a batch or has no sampler, or f gives no row for each draw or a number that is not finite.

    Example:
        >>> normal = torch.distributions.Normal(0.0, 1.0)
        >>> mean, error = expectation(torch.square, normal, 10_000, generator=torch.Generator().manual_seed(0))
        >>> bool((mean - 1).abs() < 4 * error), round(error.item(), 3)  # Var x^2 = 2
        (True, 0.014)
    """
    check_count(n, "n")
    values = f(draw_points(p, n, generator))
    if not isinstance(values, Tensor) or values.ndim == 0 or len(values) != n:
        got = f"shape {tuple(values.shape)}" if isinstance(values, Tensor) else type(values).__name__
        raise InputError(f"f: got {got} for {n} draws, expected one row for each")
    return monte_carlo_mean(values)


def sample_covariance(x: Float[Tensor, "n d"]) -> Estimate:
    r"""The covariance matrix of points, and the standard error of each entry.

    The error of entry (j, k) is :math:`s_{jk} / \sqrt n` with s the deviation of the products
    :math:`(x_{ij} - \bar x_j)(x_{ik} - \bar x_k)`.

    Raises:
        InputError: if there are fewer than two points, or a number is not finite.

    Example:
        >>> sample_covariance(torch.tensor([[0.0, 0.0], [2.0, 4.0]])).value
        tensor([[2., 4.],
                [4., 8.]])
    """
    if x.ndim != 2 or len(x) < 2 or not x.is_floating_point():
        raise InputError(
            f"x: got {x.dtype} of shape {tuple(x.shape)}, expected floating-point points (n, d), n at least 2"
        )
    if not bool(x.isfinite().all()):
        raise InputError("x: got a number that is not finite, expected finite points")
    n = len(x)
    apart = x - x.mean(0)
    products = apart[:, :, None] * apart[:, None, :]
    return Estimate(products.sum(0) / (n - 1), products.std(0) / math.sqrt(n))
