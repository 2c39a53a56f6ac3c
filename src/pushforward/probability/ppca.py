r"""Probabilistic principal component analysis: the linear Gaussian latent-variable model, solved in closed form.

.. math:: z \sim N(0, I_q), \qquad x \mid z \sim N(W z + \mu, \sigma^2 I_D)
          \quad\Longrightarrow\quad x \sim N(\mu,\; W W^\top + \sigma^2 I_D)

With the eigenvalues :math:`\lambda_1 \ge \dots \ge \lambda_D` and eigenvectors :math:`u_i` of the sample covariance,
the likelihood is largest at

.. math:: \sigma^2 = \frac{1}{D - q} \sum_{i > q} \lambda_i, \qquad
          W = (u_1, \dots, u_q)\, \mathrm{diag}(\lambda_i - \sigma^2)^{1/2},

where it is, per example,

.. math:: -\tfrac{1}{2} \Bigl( D \ln 2\pi + \sum_{i \le q} \ln \lambda_i + (D - q) \ln \sigma^2 + D \Bigr).

This is what a variational autoencoder with a linear decoder, one noise variance and a linear encoder can reach at best.

Reference:
    Tipping and Bishop 1999, "Probabilistic Principal Component Analysis", eq. 7 and 8.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from pushforward.core.errors import InputError

__all__ = ["PPCA", "fit_ppca"]


class PPCA(NamedTuple):
    r"""The maximum-likelihood solution, in float64.

    Args:
        mean: :math:`\mu`.
        weights: W, up to a rotation of the latent space.
        variance: :math:`\sigma^2`.
        log_likelihood: nats per training example.
    """

    mean: Float[Tensor, "dim"]
    weights: Float[Tensor, "dim latent"]
    variance: float
    log_likelihood: float

    @property
    def covariance(self) -> Float[Tensor, "dim dim"]:
        r"""Of x: :math:`W W^\top + \sigma^2 I`."""
        return self.weights @ self.weights.T + self.variance * torch.eye(len(self.mean), dtype=self.mean.dtype)


def fit_ppca(x: Float[Tensor, "n dim"], latent_dim: int) -> PPCA:
    """Probabilistic PCA of examples by maximum likelihood.

    Args:
        x: n examples of D numbers, in any units.
        latent_dim: q, from 0 to D - 1.

    Raises:
        InputError: if ``latent_dim`` is out of range, or the examples leave no variance beyond q directions, where the
            likelihood has no maximum.

    Example:
        >>> x = torch.tensor([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]])  # variances 2 and 1/2
        >>> solution = fit_ppca(x, latent_dim=1)
        >>> solution.variance, round((solution.weights.norm() ** 2).item(), 4)  # 1/2, and 2 - 1/2
        (0.5, 1.5)
    """
    n, dim = x.shape
    if not 0 <= latent_dim < dim:
        raise InputError(f"latent_dim: got {latent_dim}, expected 0 to {dim - 1}")
    x = x.double()
    mean = x.mean(0)
    values, vectors = torch.linalg.eigh((x - mean).T @ (x - mean) / n)
    values, vectors = values.flip(0), vectors.flip(1)  # largest first
    kept, variance = values[:latent_dim], float(values[latent_dim:].mean())
    if variance <= dim * torch.finfo(x.dtype).eps * float(values[0]):  # zero up to the rounding of eigenvalues
        raise InputError(f"x: {n} examples leave no variance beyond {latent_dim} directions, expected more examples")
    log_determinant = float(kept.log().sum()) + (dim - latent_dim) * math.log(variance)
    return PPCA(
        mean=mean,
        weights=vectors[:, :latent_dim] * (kept - variance).clamp(min=0).sqrt(),
        variance=variance,
        log_likelihood=-0.5 * (dim * math.log(2 * math.pi) + log_determinant + dim),
    )
