r"""A mixture of Gaussians as a distribution of torch: batches, gradients, validation.

.. math:: p(x) = \sum_k w_k \, N(x; m_k, \Sigma_k), \qquad E\,x = \sum_k w_k m_k, \qquad
    \operatorname{Cov} x = \sum_k w_k \bigl(\Sigma_k + (m_k - E x)(m_k - E x)^T\bigr).

``targets.GaussianMixture`` is the same density as an oracle (score, denoiser, marginals and conditionals), and
``mixture.Mixture`` is the model that learns one from data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal, constraints

from pushforward.core.errors import InputError
from pushforward.probability.parametrised import Number, Parametrised, as_tensors

__all__ = ["NormalMixture"]


class NormalMixture(Parametrised):
    """Gaussians with full covariances, mixed.

    It has no entropy in closed form (``pushforward.probability.information`` finds one) and no ``rsample``: which
    component a draw comes from does not depend smoothly on the weights.

    Args:
        weights: w, (*batch, k), at least 0, summing to 1.
        means: m, (*batch, k, d).
        covariances: Sigma, (*batch, k, d, d), symmetric and positive definite.

    Raises:
        InputError: if the shapes do not fit, the weights do not sum to 1, or a covariance is singular.

    Example:
        >>> mixture = NormalMixture([0.25, 0.75], torch.tensor([[-1.0], [1.0]]), 0.01 * torch.eye(1).expand(2, 1, 1))
        >>> mixture.mean, mixture.variance  # 0.75 between the components, 0.01 within
        (tensor([0.5000]), tensor([0.7600]))
        >>> NormalMixture([1.0], torch.zeros(1, 2), torch.ones(1, 2, 2))
        Traceback (most recent call last):
        ...
        pushforward.core.errors.InputError: covariances: got [[[1.0, 1.0], [1.0, 1.0]]], expected a symmetric ...
    """

    arg_constraints: ClassVar[Mapping[str, constraints.Constraint]] = {
        "weights": constraints.simplex,
        "means": constraints.independent(constraints.real, 2),
        "covariances": constraints.independent(constraints.positive_definite, 1),
    }
    weights: Tensor
    means: Tensor
    covariances: Tensor

    def __init__(
        self, weights: Number, means: Tensor, covariances: Tensor, *, validate_args: bool | None = None
    ) -> None:
        w, m, sigma = as_tensors(weights, means, covariances)
        k, d = m.shape[-2:] if m.ndim >= 2 else (-1, -1)
        if w.shape[-1:] != (k,) or sigma.shape[-3:] != (k, d, d):
            raise InputError(
                f"means: got {tuple(m.shape)} with weights {tuple(w.shape)} and covariances {tuple(sigma.shape)}, "
                "expected (..., k, d) with (..., k) and (..., k, d, d)"
            )
        super().__init__({"weights": w, "means": m, "covariances": sigma}, (d,), validate_args=validate_args)

    @property
    def support(self) -> constraints.Constraint:
        """Every point."""
        return constraints.real_vector

    @property
    def mean(self) -> Float[Tensor, "*batch d"]:
        """E x."""
        return (self.weights[..., None] * self.means).sum(-2)

    @property
    def covariance_matrix(self) -> Float[Tensor, "*batch d d"]:
        """Cov x: what lies within the components and what lies between them."""
        apart = self.means - self.mean[..., None, :]
        between = apart[..., :, None] * apart[..., None, :]
        return (self.weights[..., None, None] * (self.covariances + between)).sum(-3)

    @property
    def variance(self) -> Float[Tensor, "*batch d"]:
        """The diagonal of the covariance."""
        return self.covariance_matrix.diagonal(dim1=-2, dim2=-1)

    def log_prob(self, value: Float[Tensor, "*sample d"]) -> Float[Tensor, "*sample"]:
        """log p(x) in nats."""
        if self._validate_args:
            self._validate_sample(value)
        return self._parts().log_prob(value)

    def sample(self, sample_shape: torch.Size | Sequence[int] = ()) -> Float[Tensor, "*sample d"]:
        """Draws, without gradient."""
        return self._parts().sample(torch.Size(sample_shape))

    def _parts(self) -> MixtureSameFamily:
        normals = MultivariateNormal(self.means, self.covariances, validate_args=False)
        return MixtureSameFamily(Categorical(self.weights, validate_args=False), normals, validate_args=False)
