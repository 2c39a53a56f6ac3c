r"""The negative binomial: counts 0, 1, 2, ... whose variance may exceed their mean.

.. math:: P(k) = \frac{\Gamma(k + r)}{k!\,\Gamma(r)} \Big(\frac{r}{r + m}\Big)^r \Big(\frac{m}{r + m}\Big)^k

has mean m and variance :math:`m + m^2/r`: the Poisson distribution as :math:`r \to \infty`. The decoder gives
:math:`\log m` and :math:`\log r`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from pushforward.core.errors import InputError
from pushforward.core.noise import Noise
from pushforward.core.units import Space
from pushforward.probability.likelihood import Likelihood

__all__ = ["CountLikelihood"]

#: log r stays within this, and log m within this of that of the data: from r = e^15 on it is a Poisson to rounding.
FARTHEST = 15.0


@dataclass(frozen=True, kw_only=True)
class CountLikelihood(Likelihood):
    """Standardised counts under a negative binomial: y = (k - m) / s in model units.

    Args:
        mean_count: m of each entry, from the units.
        deviation: s of each entry.

    Example:
        >>> counts = CountLikelihood(mean_count=(1.0,), deviation=(1.0,))
        >>> theta = torch.zeros(1, 2, 1)  # the mean of the data, 1, and r = 1: a geometric distribution
        >>> counts.log_prob(torch.tensor([[2.0]]), theta).exp()  # of the count 3: (1/2)^4
        tensor([0.0625])
    """

    space: ClassVar[Space] = "native"
    mean_count: tuple[float, ...]
    deviation: tuple[float, ...]

    @property
    def theta(self) -> tuple[int, ...]:
        return (2, len(self.mean_count))

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (len(self.mean_count),)

    def inputs(self, y: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        # Logarithms, because counts spread over powers of ten; relative to the mean, so that they are of order one.
        return self._counts(y).clamp(min=0).log1p() - y.new_tensor(self.mean_count).clamp(min=0).log1p()

    def log_prob_each(
        self, y: Float[Tensor, "batch dim"], theta: Float[Tensor, "batch 2 dim"]
    ) -> Float[Tensor, "batch dim"]:
        # Differences of log-gammas lose six digits at r = e^15: in doubles that leaves ten.
        k = self._counts(y).double()
        log_mean, log_r = self._parameters(theta.double())
        r, logit = log_r.exp(), log_mean - log_r
        counted = k.clamp(min=0)
        ways = torch.lgamma(counted + r) - torch.lgamma(counted + 1) - torch.lgamma(r)
        each = ways + r * logsigmoid(-logit) + counted * logsigmoid(logit)
        return torch.where(k < 0, -torch.inf, each).to(theta.dtype)

    def mean(self, theta: Float[Tensor, "batch 2 dim"]) -> Float[Tensor, "batch dim"]:
        return self._standardised(self._parameters(theta)[0].exp())

    def draw(self, theta: Float[Tensor, "batch 2 dim"], noise: Noise) -> Float[Tensor, "batch dim"]:
        from scipy.stats import nbinom

        log_mean, log_r = self._parameters(theta.double())
        # The middle of the step of a uniform, which is never 0 or 1, through the quantile function.
        u = noise.uniform(len(self.mean_count), like=log_r) + 2.0**-25
        success = torch.sigmoid(log_r - log_mean)
        counts = nbinom.ppf(*(t.cpu().numpy() for t in (u, log_r.exp(), success)))
        return self._standardised(torch.as_tensor(counts, dtype=theta.dtype, device=theta.device))

    def _parameters(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        # Before training the mean count is that of the data.
        log_mean, log_r = theta.unbind(1)
        start = theta.new_tensor(self.mean_count).clamp(min=1e-3).log()
        return start + FARTHEST * torch.tanh(log_mean / FARTHEST), FARTHEST * torch.tanh(log_r / FARTHEST)

    def _counts(self, y: Tensor) -> Tensor:
        return torch.round(y * y.new_tensor(self.deviation) + y.new_tensor(self.mean_count))

    def _standardised(self, counts: Tensor) -> Tensor:
        return (counts - counts.new_tensor(self.mean_count)) / counts.new_tensor(self.deviation)


def check_counts(steps: tuple[float, ...], low: tuple[float, ...]) -> None:
    """Raise ``InputError`` unless entries are whole numbers from 0 on."""
    for entry, (step, least) in enumerate(zip(steps, low, strict=True)):
        if not step or step % 1 or least < 0 or least % 1:
            what = f"steps of {step:g} from {least:g}" if step else "continuous numbers"
            raise InputError(f"likelihood: got 'count' for entry {entry} in {what}, expected whole numbers from 0 on")
