r"""Priors p(z) of a latent-variable model: what a code is before there is an example.

* standard normal: :math:`N(0, I)`;
* mixture: :math:`\sum_k \pi_k N(z; \mu_k, s_k)` with everything learned;
* VampPrior: the same, whose parts are the posteriors of learned *pseudo-inputs*,
  :math:`\sum_k \pi_k\, q(z \mid u_k)`: a mixture of posteriors is what maximises the bound, and a few pseudo-inputs
  stand for all examples (Tomczak and Welling 2018, eq. 6 to 8);
* any model of points with an exact density, such as a flow, trained together with the rest.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pushforward.autoencoders.posteriors import log_normal_pairs, log_standard
from pushforward.core.capabilities import HasDensity
from pushforward.core.data import Condition
from pushforward.core.noise import Noise

__all__ = ["MixtureParameters", "ModelPrior", "NormalMixture", "Prior", "PseudoInputs", "StandardNormal"]


class Prior(ABC):
    """p(z), to draw from and to score with."""

    @abstractmethod
    def draw(self, noise: Noise) -> Float[Tensor, "rows latent"]:
        """One code for every row of the noise."""

    @abstractmethod
    def log_prob_each(self, z: Float[Tensor, "*draws latent"]) -> Float[Tensor, "*draws units"]:
        """log p(z) in independent parts: one for each unit, or a single one for all of them."""

    def log_prob(self, z: Float[Tensor, "*draws latent"]) -> Float[Tensor, "*draws"]:
        """log p(z) in nats."""
        return self.log_prob_each(z).sum(-1)


class StandardNormal(Prior):
    """N(0, I).

    Args:
        dim: length of z.
        like: whose type and device draws have.

    Example:
        >>> StandardNormal(2, torch.empty(0)).log_prob(torch.zeros(1, 2))  # -ln(2 pi)
        tensor([-1.8379])
    """

    def __init__(self, dim: int, like: Tensor) -> None:
        self.dim, self.like = dim, like

    def draw(self, noise: Noise) -> Float[Tensor, "rows latent"]:
        return noise.normal(self.dim, like=self.like)

    def log_prob_each(self, z: Float[Tensor, "*draws latent"]) -> Float[Tensor, "*draws latent"]:
        return log_standard(z)


class NormalMixture(Prior):
    """A mixture of Gaussians with diagonal covariances.

    Args:
        logits: of the weights, (K,).
        mean: of the parts, (K, D).
        log_variance: of the parts, (K, D).

    Example:
        >>> two = NormalMixture(torch.zeros(2), torch.tensor([[-1.0], [1.0]]), torch.zeros(2, 1))
        >>> two.log_prob(torch.zeros(1, 1))  # both parts have N(1; 0, 1): -(1 + ln 2 pi) / 2
        tensor([-1.4189])
    """

    def __init__(
        self, logits: Float[Tensor, "k"], mean: Float[Tensor, "k latent"], log_variance: Float[Tensor, "k latent"]
    ) -> None:
        self.log_weights = logits.log_softmax(0)
        self.mean, self.log_variance = mean, log_variance

    def draw(self, noise: Noise) -> Float[Tensor, "rows latent"]:
        below = self.log_weights.exp().cumsum(0)
        part = (below <= noise.uniform(1, like=below)).sum(1).clamp(max=len(below) - 1)
        return self.mean[part] + (0.5 * self.log_variance[part]).exp() * noise.normal(
            self.mean.shape[1], like=self.mean
        )

    def log_prob_each(self, z: Float[Tensor, "*draws latent"]) -> Float[Tensor, "*draws one"]:
        pairs = log_normal_pairs(z.reshape(-1, z.shape[-1]), self.mean, self.log_variance)
        return (pairs + self.log_weights).logsumexp(1).view(*z.shape[:-1], 1)


class ModelPrior(Prior):
    """A model of points that gives the exact density of a code.

    Args:
        model: in whose own units a code is.
        condition: of each code, where the model takes one.
    """

    def __init__(self, model: HasDensity, condition: Condition | None) -> None:
        self.model, self.condition = model, None if model.condition is None else condition

    def draw(self, noise: Noise) -> Float[Tensor, "rows latent"]:
        return self.model.draw(noise.rows, self.condition, noise=noise, sampler=None)

    def log_prob_each(self, z: Float[Tensor, "*draws latent"]) -> Float[Tensor, "*draws one"]:
        flat, given = z.reshape(-1, z.shape[-1]), self.condition
        if given is not None:  # the draws of one example have its condition
            times = len(flat) // max(len(given.present), 1)
            given = Condition(given.value.repeat(times, *[1] * (given.value.ndim - 1)), given.present.repeat(times))
        return self.model.log_likelihood(flat, given, noise=Noise(0, rows=len(flat))).view(*z.shape[:-1], 1)


class MixtureParameters(nn.Module):
    """What is learned of a Gaussian mixture; it starts as parts of half the width spread over a standard normal.

    Args:
        parts: K.
        dim: length of z.
    """

    def __init__(self, parts: int, dim: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(parts))
        # Means and parts together have variance 3/4 + 1/4: the scale of N(0, I), where the encoder starts.
        self.means = nn.Parameter(math.sqrt(0.75) * torch.randn(parts, dim))
        self.log_variances = nn.Parameter(torch.full((parts, dim), math.log(0.25)))

    def forward(self) -> NormalMixture:
        """The prior as it is now."""
        return NormalMixture(self.logits, self.means, self.log_variances)


class PseudoInputs(nn.Module):
    """Inputs of the encoder that are learned, with the weights of their posteriors in the prior.

    Args:
        count: K.
        shape: of an input.
    """

    def __init__(self, count: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(count))
        self.inputs = nn.Parameter(torch.randn(count, *shape))  # of order one, until training examples take their place

    @torch.no_grad()
    def start_(self, x: Float[Tensor, "n *units"], inputs: Callable[[Tensor], Tensor]) -> None:
        """Take evenly spaced examples, as the encoder reads them."""
        self.inputs.copy_(inputs(x[torch.linspace(0, len(x) - 1, len(self.inputs)).long()]))
