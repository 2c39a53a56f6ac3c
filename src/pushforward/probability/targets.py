r"""Oracles: distributions whose density, samples and best denoiser are known in closed form.

A mixture of K Gaussians in D dimensions,

.. math:: p(x) = \sum_k w_k \, N(x; m_k, \Sigma_k),

stays one when it is scaled and noised: :math:`z = \alpha x + \sigma\varepsilon`, :math:`\varepsilon \sim N(0, I)`, is

.. math:: p(z) = \sum_k w_k \, N(z; \alpha m_k, S_k), \qquad S_k = \alpha^2 \Sigma_k + \sigma^2 I,

and given z (and k) everything is Gaussian, so that the posterior mean, which is the best denoiser in squared error, is

.. math:: E[x \mid z] = \sum_k p(k \mid z) \left( m_k + \alpha \Sigma_k S_k^{-1} (z - \alpha m_k) \right).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from pushforward.core.noise import Noise

__all__ = ["GaussianMixture"]


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    """A mixture of Gaussians with full covariances, all of it exact.

    Args:
        weights: w, positive, summing to 1.
        means: m.
        covariances: Sigma, symmetric and positive definite.

    Raises:
        ValueError: if the shapes do not fit, the weights do not sum to 1, or a covariance is not positive definite.

    Example:
        >>> two = GaussianMixture.of(weights=[0.5, 0.5], means=[[-1.0], [1.0]], stds=[0.1, 0.1])
        >>> z = torch.zeros(1, 1).double()
        >>> two.denoise(z, 1.0, 1.0).item()  # halfway between the modes, neither is favoured
        0.0
        >>> round(two.noised(1.0, 2.0).covariance.item(), 2)  # 1 between the modes, 0.01 within, 4 of noise
        5.01
    """

    weights: Float[Tensor, "k"]
    means: Float[Tensor, "k dim"]
    covariances: Float[Tensor, "k dim dim"]

    def __post_init__(self) -> None:
        k, dim = self.means.shape
        if self.weights.shape != (k,) or self.covariances.shape != (k, dim, dim):
            raise ValueError(
                f"means: got {tuple(self.means.shape)} with weights {tuple(self.weights.shape)} and covariances "
                f"{tuple(self.covariances.shape)}, expected (k, dim) with (k,) and (k, dim, dim)"
            )
        total = float(self.weights.sum())
        if not bool((self.weights > 0).all()) or abs(total - 1) > 1e-6:  # what rounding leaves of a sum in float32
            raise ValueError(f"weights: got {self.weights.tolist()}, expected positive numbers that sum to 1")
        if bool(torch.linalg.cholesky_ex(self.covariances).info.any()):
            raise ValueError("covariances: got one that is not positive definite")

    @classmethod
    def of(
        cls, *, weights: Sequence[float], means: Sequence[Sequence[float]], stds: Sequence[float]
    ) -> GaussianMixture:
        """Round components, in float64: component k has covariance ``stds[k]**2`` times the identity."""
        centres = torch.tensor(means, dtype=torch.float64)
        spread = torch.tensor(stds, dtype=torch.float64) ** 2
        return cls(
            torch.tensor(weights, dtype=torch.float64),
            centres,
            spread[:, None, None] * torch.eye(centres.shape[1], dtype=torch.float64),
        )

    @property
    def mean(self) -> Float[Tensor, "dim"]:
        """E[x]."""
        return self.weights @ self.means

    @property
    def covariance(self) -> Float[Tensor, "dim dim"]:
        """Cov[x]: what lies within the components and what lies between them."""
        apart = self.means - self.mean
        return torch.einsum("k,kij->ij", self.weights, self.covariances + apart[:, :, None] * apart[:, None, :])

    def log_density(self, x: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch"]:
        """log p(x) in nats."""
        return self._joint(x).logsumexp(1)

    def sample(self, noise: Noise) -> Float[Tensor, "rows dim"]:
        """As many draws as ``noise`` has rows."""
        k = torch.searchsorted(self.weights.cumsum(0), noise.uniform(like=self.weights), right=True)
        k = k.clamp(max=len(self.weights) - 1)  # the weights may sum to a rounding error less than 1
        root = torch.linalg.cholesky(self.covariances)[k]
        return self.means[k] + torch.einsum("bij,bj->bi", root, noise.normal(self.means.shape[1], like=self.means))

    def cdf(self, x: Float[Tensor, "batch 1"]) -> Float[Tensor, "batch"]:
        """P(X <= x), in one dimension only.

        Raises:
            ValueError: in more dimensions than one.
        """
        if self.means.shape[1] != 1:
            raise ValueError(f"cdf: got a mixture in {self.means.shape[1]} dimensions, expected 1")
        return torch.special.ndtr((x - self.means[:, 0]) / self.covariances[:, 0, 0].sqrt()) @ self.weights

    def noised(self, alpha: float, sigma: float) -> GaussianMixture:
        """The mixture of z = alpha x + sigma eps."""
        identity = torch.eye(self.means.shape[1], dtype=self.means.dtype, device=self.means.device)
        return GaussianMixture(self.weights, alpha * self.means, alpha**2 * self.covariances + sigma**2 * identity)

    def denoise(self, z: Float[Tensor, "batch dim"], alpha: float, sigma: float) -> Float[Tensor, "batch dim"]:
        """E[x | z], the mean of x given z = alpha x + sigma eps."""
        blurred = self.noised(alpha, sigma)
        share = blurred._joint(z).softmax(1)
        gain = torch.linalg.solve(blurred.covariances, alpha * self.covariances)  # S^-1 alpha Sigma, both symmetric
        towards = torch.einsum("bki,kij->bkj", z[:, None] - blurred.means, gain)
        return torch.einsum("bk,bki->bi", share, self.means + towards)

    def _joint(self, x: Tensor) -> Float[Tensor, "batch k"]:
        """log w_k N(x; m_k, Sigma_k)."""
        root = torch.linalg.cholesky(self.covariances)
        apart = (x[:, None] - self.means).transpose(0, 1).transpose(1, 2)  # (k, dim, batch)
        whitened = torch.linalg.solve_triangular(root, apart, upper=False)
        volume = root.diagonal(dim1=-2, dim2=-1).log().sum(-1) + 0.5 * x.shape[1] * math.log(2 * math.pi)
        return (self.weights.log() - volume) - 0.5 * whitened.square().sum(1).T
