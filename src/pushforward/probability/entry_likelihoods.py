r"""Likelihoods with one simple distribution per entry: Gaussian, Bernoulli, continuous Bernoulli, categorical.

With :math:`\ell` the decoder's outputs for an entry y:

* Gaussian: :math:`\log N(y; \ell_1, e^{\ell_2})`;
* Bernoulli: :math:`y \ell - \log(1 + e^\ell)` for y in {0, 1};
* continuous Bernoulli: :math:`v \ell - \log(1 + e^\ell) + \log C(\ell)` for v in [0, 1], with
  :math:`C = \ell / \tanh(\ell / 2)`, without which it integrates to less than one (Loaiza-Ganem and Cunningham 2019);
* categorical: :math:`\ell_y - \log \sum_j e^{\ell_j}`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn.functional import one_hot, softplus

from pushforward.core.noise import Noise
from pushforward.core.units import Space
from pushforward.probability.likelihood import Likelihood

__all__ = ["BernoulliLikelihood", "CategoricalLikelihood", "ContinuousBernoulliLikelihood", "GaussianLikelihood"]

#: Log-variances stay within this. A dequantised 8-bit pixel that never varies has -12.2 in model units, so nothing that
#: data can ask for is out of reach, and a variance cannot run off to 0 or infinity in one bad step.
FARTHEST = 15.0

#: Below this size of the logit a continuous Bernoulli is taken by its expansion around 0: the next term, of fourth
#: order, is below 1e-7 of the result, the rounding of a float32.
FLAT = 0.05


@dataclass(frozen=True, kw_only=True)
class GaussianLikelihood(Likelihood):
    """Mean and log-variance of every entry; far log-variances are bent back so that they stay within 15 of 0.

    Args:
        shape: of an example.

    Example:
        >>> GaussianLikelihood(shape=(3,)).log_prob(torch.zeros(1, 3), torch.zeros(1, 2, 3))  # -3/2 ln(2 pi)
        tensor([-2.7568])
    """

    space: ClassVar[Space] = "real"
    shape: tuple[int, ...]

    @property
    def theta(self) -> tuple[int, ...]:
        return (2, *self.shape)

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.shape

    def inputs(self, y: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch *shape"]:
        return y

    def log_prob_each(
        self, y: Float[Tensor, "batch *shape"], theta: Float[Tensor, "batch 2 *shape"]
    ) -> Float[Tensor, "batch *shape"]:
        mean, log_variance = self._moments(theta)
        return -0.5 * ((y - mean) ** 2 * (-log_variance).exp() + log_variance + math.log(2 * math.pi))

    def mean(self, theta: Float[Tensor, "batch 2 *shape"]) -> Float[Tensor, "batch *shape"]:
        return theta[:, 0]

    def draw(self, theta: Float[Tensor, "batch 2 *shape"], noise: Noise) -> Float[Tensor, "batch *shape"]:
        mean, log_variance = self._moments(theta)
        return mean + (0.5 * log_variance).exp() * noise.normal(*self.shape, like=mean)

    def _moments(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        mean, raw = theta.unbind(1)
        return mean, FARTHEST * torch.tanh(raw / FARTHEST)


@dataclass(frozen=True, kw_only=True)
class BernoulliLikelihood(Likelihood):
    """The logit of every black-or-white entry.

    Args:
        shape: of an example.

    Example:
        >>> BernoulliLikelihood(shape=(2,)).log_prob(torch.tensor([[0.0, 1.0]]), torch.zeros(1, 1, 2))  # 2 ln(1/2)
        tensor([-1.3863])
    """

    space: ClassVar[Space] = "native"
    shape: tuple[int, ...]

    @property
    def theta(self) -> tuple[int, ...]:
        return (1, *self.shape)

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.shape

    def inputs(self, y: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch *shape"]:
        return 2 * y - 1

    def log_prob_each(
        self, y: Float[Tensor, "batch *shape"], theta: Float[Tensor, "batch 1 *shape"]
    ) -> Float[Tensor, "batch *shape"]:
        logit = theta[:, 0]
        return y * logit - softplus(logit)

    def mean(self, theta: Float[Tensor, "batch 1 *shape"]) -> Float[Tensor, "batch *shape"]:
        return theta[:, 0].sigmoid()

    def draw(self, theta: Float[Tensor, "batch 1 *shape"], noise: Noise) -> Float[Tensor, "batch *shape"]:
        logit = theta[:, 0]
        return (noise.uniform(*self.shape, like=logit) < logit.sigmoid()).to(logit.dtype)


@dataclass(frozen=True, kw_only=True)
class ContinuousBernoulliLikelihood(Likelihood):
    r"""A density :math:`p(v) \propto e^{\ell v}` on the intensities v in [0, 1], of dequantised pixels y = 2v - 1.

    Args:
        shape: of an example.

    Example:
        >>> flat = ContinuousBernoulliLikelihood(shape=(1,))  # at logit 0 it is uniform on [-1, 1]
        >>> round(flat.log_prob(torch.tensor([[0.3]]), torch.zeros(1, 1, 1)).item(), 4)
        -0.6931

    Reference:
        Loaiza-Ganem and Cunningham 2019, "The continuous Bernoulli: fixing a pervasive error in variational
        autoencoders", eq. 5 to 8.
    """

    space: ClassVar[Space] = "real"
    shape: tuple[int, ...]

    @property
    def theta(self) -> tuple[int, ...]:
        return (1, *self.shape)

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.shape

    def inputs(self, y: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch *shape"]:
        return y

    def log_prob_each(
        self, y: Float[Tensor, "batch *shape"], theta: Float[Tensor, "batch 1 *shape"]
    ) -> Float[Tensor, "batch *shape"]:
        logit = theta[:, 0]
        near, safe = _near_zero(logit)
        # log(l / tanh(l/2)) = log 2 + l^2/12 - ...; its exact form is 0/0 at 0.
        log_constant = torch.where(near, math.log(2) + logit**2 / 12, (safe / torch.tanh(safe / 2)).log())
        # Twice as wide an interval: -ln 2 from v to y.
        return (y + 1) / 2 * logit - softplus(logit) + log_constant - math.log(2)

    def mean(self, theta: Float[Tensor, "batch 1 *shape"]) -> Float[Tensor, "batch *shape"]:
        logit = theta[:, 0]
        near, safe = _near_zero(logit)
        # E[v] = 1 / (1 - e^-l) - 1 / l.
        return 2 * torch.where(near, 0.5 + logit / 12, -1 / torch.expm1(-safe) - 1 / safe) - 1

    def draw(self, theta: Float[Tensor, "batch 1 *shape"], noise: Noise) -> Float[Tensor, "batch *shape"]:
        # The quantile function for l < 0 is log(1 + u (e^l - 1)) / l; for l > 0 it is mirrored, to keep e^l small.
        # At 1e-4 it is u to within 1e-5, and dividing by less would be rounding.
        logit = theta[:, 0]
        size = logit.abs().clamp(min=1e-4)
        u = noise.uniform(*self.shape, like=logit)
        falling = torch.log1p(u * torch.expm1(-size)) / -size
        v = torch.where(logit > 0, 1 - falling, falling)
        return 2 * v - 1


@dataclass(frozen=True, kw_only=True)
class CategoricalLikelihood(Likelihood):
    """A logit for each value that an entry can take: codes of a text, or levels of a pixel.

    Args:
        shape: of an example.
        size: number of values.
        ordered: whether the values are levels of something: then an encoder reads numbers and the mean is a number;
            otherwise it reads them one-hot, (size, *shape), and the mean is the likeliest code.

    Example:
        >>> letters = CategoricalLikelihood(shape=(2,), size=4)
        >>> letters.log_prob(torch.tensor([[0, 3]]), torch.zeros(1, 4, 2))  # 2 ln(1/4)
        tensor([-2.7726])
    """

    space: ClassVar[Space] = "native"
    shape: tuple[int, ...]
    size: int
    ordered: bool = False

    @property
    def theta(self) -> tuple[int, ...]:
        return (self.size, *self.shape)

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.shape if self.ordered else self.theta

    def inputs(self, y: Shaped[Tensor, "batch *shape"]) -> Float[Tensor, "batch *inputs"]:
        if self.ordered:
            return (2 * y + 1) / self.size - 1
        return one_hot(y.long(), self.size).movedim(-1, 1).to(y.dtype if y.is_floating_point() else torch.float32)

    def log_prob_each(
        self, y: Shaped[Tensor, "batch *shape"], theta: Float[Tensor, "batch size *shape"]
    ) -> Float[Tensor, "batch *shape"]:
        return theta.log_softmax(1).gather(1, y.long()[:, None])[:, 0]

    def mean(self, theta: Float[Tensor, "batch size *shape"]) -> Shaped[Tensor, "batch *shape"]:
        if not self.ordered:
            return theta.argmax(1)
        levels = torch.arange(self.size, dtype=theta.dtype, device=theta.device)
        return theta.softmax(1).movedim(1, -1) @ levels

    def draw(self, theta: Float[Tensor, "batch size *shape"], noise: Noise) -> Shaped[Tensor, "batch *shape"]:
        codes = choose(theta, noise.uniform(*self.shape, like=theta))
        return codes.to(theta.dtype) if self.ordered else codes


def choose(logits: Float[Tensor, "batch size *shape"], uniform: Float[Tensor, "batch *shape"]) -> Tensor:
    """The code at which the distribution function of softmax(logits) passes a uniform number.

    Example:
        >>> choose(torch.tensor([[0.0, 0.0]]), torch.tensor([0.7]))  # [0, 1/2) is code 0
        tensor([1])
    """
    below = logits.softmax(1).cumsum(1)
    return (below <= uniform[:, None]).sum(1).clamp(max=logits.shape[1] - 1)


def _near_zero(logit: Tensor) -> tuple[Tensor, Tensor]:
    """Where the logit is near 0, and logits that are not, so that the other branch has finite gradients too."""
    near = logit.abs() < FLAT
    return near, torch.where(near, 1.0, logit)
