r"""Oracles: distributions whose density, samples and best denoiser are known in closed form.

A mixture of K Gaussians in D dimensions,

.. math:: p(x) = \sum_k w_k \, N(x; m_k, \Sigma_k),

stays one when it is scaled and noised: :math:`z = \alpha x + \sigma\varepsilon`, :math:`\varepsilon \sim N(0, I)`, is

.. math:: p(z) = \sum_k w_k \, N(z; \alpha m_k, S_k), \qquad S_k = \alpha^2 \Sigma_k + \sigma^2 I,

and given z (and k) everything is Gaussian, so that the posterior mean, which is the best denoiser in squared error, is

.. math:: E[x \mid z] = \sum_k p(k \mid z) \left( m_k + \alpha \Sigma_k S_k^{-1} (z - \alpha m_k) \right).

Its marginals and conditionals are mixtures as well, and its score is
:math:`\nabla \log p(x) = -\sum_k p(k \mid x) \, \Sigma_k^{-1} (x - m_k)`.

A linear Gaussian model, :math:`z \sim N(m, P)`, :math:`x = A z + b + N(0, R)`, has the evidence and the posterior

.. math:: x \sim N(A m + b, \; S), \quad S = A P A^T + R, \qquad
    z \mid x \sim N\bigl(m + K (x - A m - b), \; P - K A P\bigr), \quad K = P A^T S^{-1} .

Reference:
    Bishop 2006, "Pattern Recognition and Machine Learning", equations 2.81-2.82 and 2.113-2.117.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import MultivariateNormal

from pushforward.core.errors import InputError
from pushforward.core.noise import Noise

__all__ = ["GaussianMixture", "LinearGaussianOracle"]


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    """A mixture of Gaussians with full covariances, all of it exact.

    Args:
        weights: w, positive, summing to 1.
        means: m.
        covariances: Sigma, symmetric and positive definite.

    Raises:
        InputError: if the shapes do not fit, the weights do not sum to 1, or a covariance is not positive definite.

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
            raise InputError(
                f"means: got {tuple(self.means.shape)} with weights {tuple(self.weights.shape)} and covariances "
                f"{tuple(self.covariances.shape)}, expected (k, dim) with (k,) and (k, dim, dim)"
            )
        total = float(self.weights.sum())
        if not bool((self.weights > 0).all()) or abs(total - 1) > 1e-6:  # what rounding leaves of a sum in float32
            raise InputError(f"weights: got {self.weights.tolist()}, expected positive numbers that sum to 1")
        _check_covariance(self.covariances, "covariances")

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

    def score(self, x: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        """The gradient of log p(x)."""
        pull = torch.linalg.solve(self.covariances, (x[:, None] - self.means).unsqueeze(-1)).squeeze(-1)
        return -torch.einsum("bk,bki->bi", self._joint(x).softmax(1), pull)

    def marginal(self, coordinates: Sequence[int]) -> GaussianMixture:
        """Of some coordinates: their means and the block of their covariances.

        Raises:
            InputError: if one is no coordinate, or is named twice.

        Example:
            >>> pair = GaussianMixture(torch.ones(1), torch.zeros(1, 2), torch.tensor([[[1.0, 0.5], [0.5, 4.0]]]))
            >>> pair.marginal([1]).covariance
            tensor([[4.]])
        """
        keep = self._coordinates(coordinates)
        return GaussianMixture(self.weights, self.means[:, keep], self.covariances[:, keep][:, :, keep])

    def conditional(self, coordinates: Sequence[int], values: Float[Tensor, "given"]) -> GaussianMixture:
        """Of the other coordinates, in their order, when these have the values.

        Within each component this is the regression on the given coordinates; the weights go by how well a component
        explains them.

        Raises:
            InputError: if one is no coordinate, is named twice, none is left, or the values are not as many.

        Example:
            >>> pair = GaussianMixture(torch.ones(1), torch.zeros(1, 2), torch.tensor([[[1.0, 0.5], [0.5, 4.0]]]))
            >>> given = pair.conditional([1], torch.tensor([2.0]))
            >>> given.mean, given.covariance  # 0.5 / 4 * 2 and 1 - 0.5^2 / 4
            (tensor([0.2500]), tensor([[0.9375]]))
        """
        given = self._coordinates(coordinates)
        rest = [i for i in range(self.means.shape[1]) if i not in given]
        if not rest or values.shape != (len(given),):
            raise InputError(
                f"values: got shape {tuple(values.shape)} for {len(given)} of {self.means.shape[1]} coordinates, "
                "expected one value each, and a coordinate left over"
            )
        across = self.covariances[:, rest][:, :, given]
        gain = torch.linalg.solve(self.covariances[:, given][:, :, given], across.mT).mT
        means = self.means[:, rest] + torch.einsum("kij,kj->ki", gain, values - self.means[:, given])
        covariances = self.covariances[:, rest][:, :, rest] - gain @ across.mT
        weights = self.marginal(given)._joint(values[None])[0].softmax(0)
        # A component that explains the values worse by more than the smallest number has weight 0: leave it out.
        alive = weights > 0
        return GaussianMixture(weights[alive], means[alive], 0.5 * (covariances + covariances.mT)[alive])

    def sample(self, noise: Noise) -> Float[Tensor, "rows dim"]:
        """As many draws as ``noise`` has rows."""
        k = torch.searchsorted(self.weights.cumsum(0), noise.uniform(like=self.weights), right=True)
        k = k.clamp(max=len(self.weights) - 1)  # the weights may sum to a rounding error less than 1
        root = torch.linalg.cholesky(self.covariances)[k]
        return self.means[k] + torch.einsum("bij,bj->bi", root, noise.normal(self.means.shape[1], like=self.means))

    def cdf(self, x: Float[Tensor, "batch 1"]) -> Float[Tensor, "batch"]:
        """P(X <= x), in one dimension only.

        Raises:
            InputError: in more dimensions than one.
        """
        if self.means.shape[1] != 1:
            raise InputError(f"cdf: got a mixture in {self.means.shape[1]} dimensions, expected 1")
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

    def _coordinates(self, coordinates: Sequence[int]) -> list[int]:
        dim = self.means.shape[1]
        if not coordinates or len(set(coordinates)) < len(coordinates) or not set(coordinates) <= set(range(dim)):
            raise InputError(f"coordinates: got {list(coordinates)}, expected different numbers from 0 to {dim - 1}")
        return list(coordinates)

    def _joint(self, x: Tensor) -> Float[Tensor, "batch k"]:
        """log w_k N(x; m_k, Sigma_k)."""
        root = torch.linalg.cholesky(self.covariances)
        apart = (x[:, None] - self.means).transpose(0, 1).transpose(1, 2)  # (k, dim, batch)
        whitened = torch.linalg.solve_triangular(root, apart, upper=False)
        volume = root.diagonal(dim1=-2, dim2=-1).log().sum(-1) + 0.5 * x.shape[1] * math.log(2 * math.pi)
        return (self.weights.log() - volume) - 0.5 * whitened.square().sum(1).T


@dataclass(frozen=True, eq=False)
class LinearGaussianOracle:
    """A latent Gaussian seen through a matrix and Gaussian noise, with everything about it known.

    Args:
        matrix: A.
        noise: R, the covariance of the noise, symmetric and positive definite.
        offset: b.
        prior_mean: m.
        prior_covariance: P, symmetric and positive definite.

    Raises:
        InputError: if the shapes do not fit, or a covariance is not positive definite.

    Example:
        A number seen twice, with noise as large as the prior: 2/3 of the way from 0 to the mean of what was seen.

        >>> model = LinearGaussianOracle(torch.ones(2, 1), torch.eye(2), torch.zeros(2), torch.zeros(1), torch.eye(1))
        >>> posterior = model.posterior(torch.tensor([[1.0, 2.0]]))
        >>> posterior.mean, posterior.covariance_matrix[0]
        (tensor([[1.]]), tensor([[0.3333]]))
    """

    matrix: Float[Tensor, "dim latent"]
    noise: Float[Tensor, "dim dim"]
    offset: Float[Tensor, "dim"]
    prior_mean: Float[Tensor, "latent"]
    prior_covariance: Float[Tensor, "latent latent"]

    def __post_init__(self) -> None:
        dim, latent = self.matrix.shape
        expected = {"noise": (dim, dim), "offset": (dim,), "prior_mean": (latent,), "prior_covariance": (latent,) * 2}
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                got = tuple(getattr(self, name).shape)
                raise InputError(f"{name}: got shape {got} with a matrix {(dim, latent)}, expected {shape}")
        _check_covariance(self.noise, "noise")
        _check_covariance(self.prior_covariance, "prior_covariance")

    @property
    def prior(self) -> MultivariateNormal:
        """p(z)."""
        return MultivariateNormal(self.prior_mean, self.prior_covariance)

    @property
    def evidence(self) -> MultivariateNormal:
        """p(x)."""
        covariance = self.matrix @ self.prior_covariance @ self.matrix.T + self.noise
        return MultivariateNormal(self.matrix @ self.prior_mean + self.offset, covariance)

    def likelihood(self, z: Float[Tensor, "batch latent"]) -> MultivariateNormal:
        """p(x | z)."""
        return MultivariateNormal(z @ self.matrix.T + self.offset, self.noise)

    def posterior(self, x: Float[Tensor, "batch dim"]) -> MultivariateNormal:
        """p(z | x) of every row; its covariance does not depend on x.

        The covariance is (I - K A) P (I - K A)^T + K R K^T, which rounding cannot make indefinite.
        """
        evidence = self.evidence
        gain = torch.linalg.solve(evidence.covariance_matrix, self.matrix @ self.prior_covariance).T
        left = torch.eye(len(self.prior_mean), dtype=gain.dtype, device=gain.device) - gain @ self.matrix
        covariance = left @ self.prior_covariance @ left.T + gain @ self.noise @ gain.T
        return MultivariateNormal(self.prior_mean + (x - evidence.mean) @ gain.T, 0.5 * (covariance + covariance.T))

    def sample(self, noise: Noise) -> tuple[Float[Tensor, "rows latent"], Float[Tensor, "rows dim"]]:
        """As many pairs (z, x) as ``noise`` has rows."""
        dim, latent = self.matrix.shape
        root, blur = torch.linalg.cholesky(self.prior_covariance), torch.linalg.cholesky(self.noise)
        z = self.prior_mean + noise.normal(latent, like=root) @ root.T
        return z, z @ self.matrix.T + self.offset + noise.normal(dim, like=root) @ blur.T


def _check_covariance(covariance: Float[Tensor, "*batch dim dim"], name: str) -> None:
    symmetric = torch.allclose(covariance, covariance.mT, rtol=1e-4, atol=1e-6)
    if not symmetric or bool(torch.linalg.cholesky_ex(covariance).info.any()):
        raise InputError(
            f"{name}: got a matrix that is not symmetric and positive definite, expected one that is; if it is "
            "singular, add a small multiple of the identity or leave out the coordinates that depend on others"
        )
