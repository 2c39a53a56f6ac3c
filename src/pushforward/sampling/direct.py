r"""Direct sampling: a formula that turns uniform or normal numbers into independent draws.

* Box and Muller: :math:`r = \sqrt{-2 \log u_1}`, :math:`\theta = 2\pi u_2`; :math:`(r\cos\theta, r\sin\theta)` are two
  independent N(0, 1), because :math:`r^2/2` of a point of a round Gaussian in the plane is exponential and its angle
  uniform.
* A Gaussian: :math:`x = \mu + L z` with :math:`L L^\top = \Sigma`, as :math:`\mathrm{Cov}[Lz] = L L^\top`.
* A direction: :math:`z / \|z\|`, as the density of z has no preferred one.
* One of K: :math:`\arg\max_k (\log w_k + G_k)` with Gumbel :math:`G_k = -\log(-\log u_k)` is k with probability
  :math:`w_k / \sum_j w_j`.

``draws_of`` draws from any ``torch.distributions`` object with a generator of one's own.

Reference:
    Box and Muller 1958, "A Note on the Generation of Random Normal Deviates"; Muller 1959 (directions); Maddison,
    Tarlow and Minka 2014, "A* Sampling", for the Gumbel-max trick.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.distributions import Distribution

from pushforward.core.errors import InputError, check_count
from pushforward.probability.drawing import drawing_from
from pushforward.probability.weights import check_log_weights

__all__ = ["directions", "draws_of", "gaussian", "gumbel_max", "normal_pairs"]


def draws_of(
    distribution: Distribution, n: int, *, generator: torch.Generator | None = None
) -> Float[Tensor, "n *shape"]:
    """n independent draws, of shape (n, *batch_shape, *event_shape), without gradients.

    Raises:
        InputError: if n is below 1 or this is no distribution.

    Example:
        >>> draws_of(torch.distributions.Normal(torch.zeros(3), 1.0), 5).shape
        torch.Size([5, 3])
    """
    check_count(n, "n")
    if not isinstance(distribution, Distribution):
        raise InputError(f"distribution: got {type(distribution).__name__}, expected a torch.distributions object")
    with drawing_from(generator), torch.no_grad():
        return distribution.sample(torch.Size((n,)))


def normal_pairs(
    n: int, *, dtype: torch.dtype = torch.float64, generator: torch.Generator | None = None
) -> Float[Tensor, "n 2"]:
    """n pairs of independent standard normal numbers, by Box and Muller.

    Raises:
        InputError: if n is below 1.

    Example:
        >>> normal_pairs(1000, generator=torch.Generator().manual_seed(0)).shape
        torch.Size([1000, 2])
    """
    check_count(n, "n")
    u = torch.rand(2, n, generator=generator, dtype=dtype)
    radius = torch.sqrt(-2 * torch.log1p(-u[0]))  # 1 - u is in (0, 1]: its logarithm is finite
    angle = 2 * math.pi * u[1]
    return torch.stack((radius * angle.cos(), radius * angle.sin()), dim=1)


def gaussian(
    mean: Float[Tensor, "dim"],
    covariance: Float[Tensor, "dim dim"],
    n: int,
    *,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "n dim"]:
    r"""n draws of :math:`N(\mu, \Sigma)`.

    Raises:
        InputError: if the shapes do not fit, the covariance is not symmetric or not positive definite, or n is below 1.

    Example:
        >>> gaussian(torch.zeros(2), torch.ones(2, 2), 10)
        Traceback (most recent call last):
        ...
        pushforward.core.errors.InputError: covariance: got a singular matrix or one with a negative eigenvalue, ...
    """
    check_count(n, "n")
    if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
        shapes = f"{tuple(mean.shape)} and {tuple(covariance.shape)}"
        raise InputError(f"mean, covariance: got shapes {shapes}, expected (dim,) and (dim, dim)")
    if not torch.allclose(covariance, covariance.T):
        raise InputError("covariance: got a matrix that is not symmetric (or not finite), expected a symmetric one")
    root, failed = torch.linalg.cholesky_ex(covariance)
    # Rounding can leave a pivot of a singular matrix just above 0.
    scale = covariance.diagonal().clamp(min=0).sqrt()
    if bool(failed) or bool((root.diagonal() <= 10 * math.sqrt(torch.finfo(root.dtype).eps) * scale).any()):
        raise InputError(
            "covariance: got a singular matrix or one with a negative eigenvalue, expected a positive definite one: "
            "drop the coordinates that are functions of the others, or add a small multiple of the identity"
        )
    z = torch.randn(n, len(mean), generator=generator, dtype=mean.dtype, device=mean.device)
    return mean + z @ root.T


def directions(
    n: int, dim: int, *, dtype: torch.dtype = torch.float64, generator: torch.Generator | None = None
) -> Float[Tensor, "n dim"]:
    """n points uniform on the unit sphere in ``dim`` dimensions.

    Raises:
        InputError: if n or dim is below 1.

    Example:
        >>> directions(4, 3).norm(dim=1).tolist()
        [1.0, 1.0, 1.0, 1.0]
    """
    check_count(n, "n")
    check_count(dim, "dim")
    z = torch.randn(n, dim, generator=generator, dtype=dtype)
    return z / z.norm(dim=1, keepdim=True)


def gumbel_max(
    log_weights: Float[Tensor, "*batch k"], n: int, *, generator: torch.Generator | None = None
) -> Int[Tensor, "*batch n"]:
    """n independent draws of an index, in proportion to weights that need not be normalised.

    Raises:
        InputError: if the weights of a row are all zero, one is NaN or +inf, or n is below 1.

    Example:
        >>> gumbel_max(torch.tensor([-torch.inf, 7.0]), 3).tolist()
        [1, 1, 1]
    """
    check_log_weights(log_weights)
    check_count(n, "n")
    shape = (*log_weights.shape[:-1], n, log_weights.shape[-1])
    u = torch.rand(shape, generator=generator, dtype=torch.float64, device=log_weights.device)
    return (log_weights.unsqueeze(-2) - torch.log(-torch.log1p(-u))).argmax(-1)
