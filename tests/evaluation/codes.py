"""A latent-variable model whose every figure is known, and one that learns to ignore its code."""

import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

from pushforward.core.capabilities import HasCodebook, HasDensity, HasLatent, HasPosterior
from pushforward.core.model import model

__all__ = ["Echo", "Lens", "Levels", "Mirror"]


@model
class Echo(HasPosterior):
    """q(z | x) = N(gain x, deviation^2) for every entry: with x normal, I(x; z) is that of a Gaussian channel."""

    gain: tuple[float, ...] = (1.0,)  # One for every entry.
    deviation: float = 1.0  # Of the posterior.

    def build(self) -> None:
        self.gains = nn.Parameter(torch.tensor(self.gain))

    def terms(self, x, condition, *, noise):
        return {"kl": self.kl_each(x, condition, noise=noise).sum(1)}

    def draw(self, n, condition, *, noise, sampler):
        return noise.normal(*self.shape, like=self.gains)

    def infer(self, x, condition):
        return self.gains * x

    def generate(self, z, condition):
        return z / self.gains

    def sample_code(self, x, condition, *, noise):
        return self.gains * x + self.deviation * noise.normal(*self.shape, like=x)

    def log_posterior(self, z, x, condition):
        return Normal(self.gains * x, self.deviation).log_prob(z[:, None]).sum(2)

    def log_prior(self, z, condition=None):
        return Normal(0.0, 1.0).log_prob(z).sum(1)

    def kl_each(self, x, condition, *, noise):
        return kl_divergence(Normal(self.gains * x, self.deviation), Normal(0.0, 1.0))


@model
class Levels(HasCodebook):
    """Every entry becomes one of the codes, or all the same one."""

    codebook_size: int = 8  # Codes.
    stuck: bool = False  # Whether all that is seen becomes the first code.

    def build(self) -> None:
        self.scale = nn.Parameter(torch.ones(()))

    def terms(self, x, condition, *, noise):
        return {"nothing": self.scale * x.sum(1)}

    def draw(self, n, condition, *, noise, sampler):
        return noise.normal(*self.shape, like=self.scale)

    def infer(self, x, condition):
        return x

    def generate(self, z, condition):
        return z

    def indices(self, x, condition):
        cells = (torch.special.ndtr(x) * self.codebook_size).long().clamp(0, self.codebook_size - 1)
        return (0 * cells if self.stuck else cells)[:, :, None]


@model
class Lens(HasPosterior, HasDensity):
    """A linear VAE with a strong decoder: the code may only shift the mean, a free variance explains all the rest.

    x = a z + e, q(z | x) = N(b x, s^2): pushed by a large ``beta`` it learns a = b = 0, and ``ease`` takes beta back.
    """

    beta: float = 1.0  # Weight of the KL term.
    eased = 0

    def build(self) -> None:
        self.out = nn.Parameter(torch.full((2,), 0.3))
        self.into = nn.Parameter(torch.full((2,), 0.3))
        self.log_s, self.log_v = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(2))

    def ease(self, times):
        self.eased = times
        return "beta 1 from here on, and the KL term grows anew"

    def _q(self, x):
        return Normal((x * self.into).sum(1, keepdim=True), self.log_s.exp())

    def terms(self, x, condition, *, noise):
        q = self._q(x)
        z = q.mean + q.stddev * noise.normal(1, like=x)
        weight = min(1.0, self.progress / 0.2) if self.eased else self.beta
        return {
            "reconstruction": -Normal(z * self.out, self.log_v.exp()).log_prob(x).sum(1),
            "kl": weight * self.kl_each(x, condition, noise=noise).sum(1),
        }

    def log_likelihood(self, x, condition, *, noise):
        z = self.sample_code(x, condition, noise=noise)
        to = Normal(z * self.out, self.log_v.exp()).log_prob(x).sum(1)
        return to + self.log_prior(z) - self._q(x).log_prob(z).sum(1)

    def draw(self, n, condition, *, noise, sampler):
        z = noise.normal(1, like=self.out)
        return z * self.out + self.log_v.exp() * noise.normal(2, like=z)

    def infer(self, x, condition):
        return self._q(x).mean

    def generate(self, z, condition):
        return z * self.out

    def sample_code(self, x, condition, *, noise):
        q = self._q(x)
        return q.mean + q.stddev * noise.normal(1, like=x)

    def log_posterior(self, z, x, condition):
        return Normal(self._q(x).mean.T, self.log_s.exp()).log_prob(z)

    def log_prior(self, z, condition=None):
        return Normal(0.0, 1.0).log_prob(z).sum(1)

    def kl_each(self, x, condition, *, noise):
        return kl_divergence(self._q(x), Normal(0.0, 1.0))


@model
class Mirror(HasLatent):
    """The code is the example in model units; the decoder may round it to steps."""

    step: float = 0.0  # What decoded numbers are multiples of; 0 leaves them as they are.

    def build(self) -> None:
        self.scale = nn.Parameter(torch.ones(()))

    def terms(self, x, condition, *, noise):
        return {"nothing": self.scale * x.flatten(1).sum(1)}

    def draw(self, n, condition, *, noise, sampler):
        return noise.normal(*self.shape, like=self.scale)

    def infer(self, x, condition):
        return x

    def generate(self, z, condition):
        return (z / self.step).round() * self.step if self.step else z
