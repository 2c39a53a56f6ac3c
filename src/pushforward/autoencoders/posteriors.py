r"""Approximate posteriors q(z | x, c) of a batch: what an encoder's output says about the code.

Each one turns standard normal noise into a code, which keeps a draw differentiable, and scores it, unit by unit:

* diagonal: :math:`z = \mu + \sqrt{s} \odot \epsilon` (Kingma and Welling 2014);
* full: :math:`z = \mu + L \epsilon` with L lower triangular: any Gaussian;
* inverse autoregressive flow: :math:`z_0 = \mu + \sqrt{s} \odot \epsilon` and T times
  :math:`z_t = e^{a_t} \odot z_{t-1} + m_t`, where :math:`a_t` and :math:`m_t` see the units of :math:`z_{t-1}` before
  their own, and the example (Kingma et al. 2016, eq. 9 to 11).

Of a Gaussian the chain rule gives the nats of a unit: :math:`\log q(z) = \sum_j \log q(z_j \mid z_{<j})`; of a flow,
whose steps go through the units in different orders, only their sum has a meaning. Draws stand before the batch: K of
them have shape (K, B, D). Densities are computed in float32 at least, whatever a network computes in.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pushforward.core.errors import InputError
from pushforward.nn.made import MADE

__all__ = ["Diagonal", "Flow", "Full", "Posterior", "PosteriorHead", "PosteriorName", "bounded", "widened"]

PosteriorName = Literal["diagonal", "full", "iaf"]

#: A log-variance of its own has ten nats to travel, and Adam moves a parameter by about the learning rate a step, 2e-3:
#: as this multiple of the parameter it gets there in a few hundred steps.
STRIDE = 30.0

#: Steps of the flow: with two, every unit is among the last in one of them. Each has one hidden layer of WIDTH units
#: and knows CONTEXT numbers about the example.
STEPS, WIDTH, CONTEXT = 2, 128, 64

#: Log-variances of z stay above this: e^-15 is finer than any example needs, and no bad step makes a variance 0.
LOWEST = -15.0

#: And below this, e^2 times what a standard normal prior has. Without it the network may extrapolate to a variance of
#: e^10 for one unusual example in ten thousand, whose bound of -50,000 nats is then 5 nats on the mean.
HIGHEST = 2.0

#: A step of the flow stretches a unit by at most e^2 either way, so that codes from anywhere can be taken back.
LARGEST_LOG_SCALE = 2.0


def bounded(raw: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """A log-variance kept within its limits: the identity near 0, flat far out, and smooth."""
    limit = torch.where(raw < 0, -LOWEST, HIGHEST)
    return limit * torch.tanh(raw / limit)


def widened(t: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """What a network computed in 16 bits as float32: a log-density is a small difference of large numbers.

    Example:
        >>> widened(torch.zeros(1, dtype=torch.bfloat16)).dtype, widened(torch.zeros(1).double()).dtype
        (torch.float32, torch.float64)
    """
    return t.float() if t.dtype in (torch.bfloat16, torch.float16) else t


def log_standard(eps: Float[Tensor, "*draws latent"]) -> Float[Tensor, "*draws latent"]:
    """log N(eps; 0, 1) of every entry."""
    return -0.5 * (eps**2 + math.log(2 * math.pi))


class Posterior(ABC):
    """q(z | x, c) for each example of a batch.

    Args:
        mean: of z, (B, D); for a flow, of what it starts from.
    """

    mean: Float[Tensor, "batch latent"]

    @abstractmethod
    def draw(
        self, eps: Float[Tensor, "*draws batch latent"]
    ) -> tuple[Float[Tensor, "*draws batch latent"], Float[Tensor, "*draws batch latent"]]:
        """The code that standard normal noise becomes, and log q of its units, whose sum is log q(z | x, c)."""

    @abstractmethod
    def log_prob(self, z: Float[Tensor, "*draws batch latent"]) -> Float[Tensor, "*draws batch"]:
        """log q(z | x, c) of codes from anywhere."""

    def centre(self) -> Float[Tensor, "batch latent"]:
        """The one code that stands for the example: the mean of a Gaussian."""
        return self.mean

    @abstractmethod
    def detached(self) -> Posterior:
        """The same distribution, through whose parameters no gradient flows."""

    def kl_each(self) -> Float[Tensor, "batch latent"] | None:
        """KL(q || N(0, I)) in nats per unit where it is known in closed form."""
        return None

    def log_prob_pairs(self, z: Float[Tensor, "m latent"]) -> Float[Tensor, "m batch"]:
        """log q(z_m | x_b) for every pair, a few z at a time to save memory."""
        return torch.cat([self.log_prob(part[:, None].expand(-1, len(self.mean), -1)) for part in z.split(16)])


class Diagonal(Posterior):
    """A Gaussian with independent units.

    Args:
        mean: (B, D).
        spread: raw log-variances, (B, D) or (D,) for all examples.

    Example:
        >>> q = Diagonal(torch.zeros(1, 2), torch.zeros(2))
        >>> q.log_prob(torch.zeros(1, 2))  # -ln(2 pi)
        tensor([-1.8379])
    """

    def __init__(self, mean: Float[Tensor, "batch latent"], spread: Float[Tensor, "*batch latent"]) -> None:
        self.mean, self.log_variance = mean, bounded(spread)

    def draw(self, eps: Tensor) -> tuple[Tensor, Tensor]:
        z = torch.addcmul(self.mean, (0.5 * self.log_variance).exp(), eps)
        return z, log_standard(eps) - 0.5 * self.log_variance

    def log_prob(self, z: Tensor) -> Tensor:
        squares = (z - self.mean) ** 2 * (-self.log_variance).exp() + self.log_variance
        return -0.5 * squares.sum(-1) - 0.5 * z.shape[-1] * math.log(2 * math.pi)

    def detached(self) -> Diagonal:
        other = Diagonal.__new__(Diagonal)
        other.mean, other.log_variance = self.mean.detach(), self.log_variance.detach()
        return other

    def kl_each(self) -> Tensor:
        r""":math:`\tfrac12 (\mu_j^2 + s_j - \ln s_j - 1)` (Kingma and Welling 2014, appendix B)."""
        return 0.5 * (self.mean**2 + self.log_variance.exp() - self.log_variance - 1)

    def log_prob_pairs(self, z: Float[Tensor, "m latent"]) -> Float[Tensor, "m batch"]:
        return log_normal_pairs(z, self.mean, self.log_variance.expand_as(self.mean))


class Full(Posterior):
    """A Gaussian with any covariance L L^T.

    Args:
        mean: (B, D).
        spread: raw entries of L, (B, D (D + 1) / 2) or one row for all examples: D log-variances, of which half is the
            logarithm of the diagonal, then what stands below it.

    Example:
        >>> q = Full(torch.zeros(1, 2), torch.tensor([0.0, 0.0, 2.0]))
        >>> q.scale.tolist(), q.log_variance.exp().tolist()  # z_2 = eps_2 + 2 eps_1 has variance 5
        ([[1.0, 0.0], [2.0, 1.0]], [1.0, 5.0])
    """

    def __init__(self, mean: Float[Tensor, "batch latent"], spread: Float[Tensor, "*batch entries"]) -> None:
        dim = mean.shape[-1]
        log_diagonal = 0.5 * bounded(spread[..., :dim])
        rows, columns = torch.tril_indices(dim, dim, offset=-1, device=mean.device)
        below = spread.new_zeros(*spread.shape[:-1], dim, dim)
        below[..., rows, columns] = spread[..., dim:]
        self._set(mean, below + torch.diag_embed(log_diagonal.exp()), log_diagonal)

    def _set(self, mean: Tensor, scale: Tensor, log_diagonal: Tensor) -> None:
        self.mean, self.scale, self.log_diagonal = mean, scale, log_diagonal

    @property
    def log_variance(self) -> Float[Tensor, "*batch latent"]:
        """Of each unit by itself: the diagonal of L L^T."""
        return (self.scale**2).sum(-1).log()

    def draw(self, eps: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(eps.device.type, enabled=False):  # which multiplies matrices in 16 bits
            z = self.mean + (self.scale @ eps[..., None])[..., 0]
        return z, log_standard(eps) - self.log_diagonal

    def log_prob(self, z: Tensor) -> Tensor:
        rest = (z - self.mean)[..., None]
        eps = torch.linalg.solve_triangular(self.scale.expand(*rest.shape[:-2], -1, -1), rest, upper=False)[..., 0]
        return (log_standard(eps) - self.log_diagonal).sum(-1)

    def detached(self) -> Full:
        other = Full.__new__(Full)
        other._set(self.mean.detach(), self.scale.detach(), self.log_diagonal.detach())
        return other

    def kl_each(self) -> Tensor:
        r"""Of unit j given those before it, :math:`\tfrac12 (\mu_j^2 + \sum_k L_{jk}^2 - 1) - \ln L_{jj}`."""
        return 0.5 * (self.mean**2 + (self.scale**2).sum(-1) - 1) - self.log_diagonal


class Flow(Posterior):
    """An inverse autoregressive flow on a diagonal Gaussian: quick to draw from, one unit at a time to score.

    Args:
        mean: of the Gaussian, (B, D).
        spread: (B, D + H) or one row for all: its raw log-variances, then what the steps know of the example.
        steps: networks (z, h) -> (a, m), in alternating order of the units.
    """

    def __init__(
        self, mean: Float[Tensor, "batch latent"], spread: Float[Tensor, "*batch entries"], steps: Sequence[MADE]
    ) -> None:
        dim = mean.shape[-1]
        self.mean, self.base, self.steps = mean, Diagonal(mean, spread[..., :dim]), steps
        self.context = spread[..., dim:].expand(len(mean), -1)

    def centre(self) -> Float[Tensor, "batch latent"]:
        """The code that no noise gives, as the mean has no closed form."""
        return self.draw(torch.zeros_like(self.mean))[0]

    def draw(self, eps: Tensor) -> tuple[Tensor, Tensor]:
        z, log_q = self.base.draw(eps)
        for step in self.steps:
            stretch, shift = self._moved(step, z)
            z, log_q = torch.addcmul(shift, stretch.exp(), z), log_q - stretch
        return z, log_q

    def log_prob(self, z: Tensor) -> Tensor:
        log_q: Tensor | float = 0.0
        for step in reversed(self.steps):
            y, z = z, torch.zeros_like(z)
            for unit in step.order:  # each needs those before it, which are right by then
                stretch, shift = self._moved(step, z)
                found = (y - shift) * (-stretch).exp()
                z = torch.cat((z[..., :unit], found[..., unit : unit + 1], z[..., unit + 1 :]), -1)
            log_q = log_q - self._moved(step, z)[0].sum(-1)
        return self.base.log_prob(z) + log_q

    def detached(self) -> Flow:
        raise TypeError("a flow through whose parameters no gradient flows has no quick density; use gradient='plain'")

    def _moved(self, step: MADE, z: Tensor) -> tuple[Tensor, Tensor]:
        """(a, m) of a step."""
        context = self.context.expand(*z.shape[:-1], -1)
        said = widened(step(z.flatten(0, -2), context.flatten(0, -2)))
        raw, shift = said.view(*z.shape[:-1], -1).chunk(2, -1)
        return LARGEST_LOG_SCALE * torch.tanh(raw / LARGEST_LOG_SCALE), shift


class PosteriorHead(nn.Module):
    """An encoder's output as a posterior.

    Args:
        name: which.
        dim: D, length of z.
        shared: whether the encoder gives the mean alone and the spread is a parameter, the same for all examples: so
            it is in the exact posterior of a linear Gaussian model.

    Raises:
        InputError: for an unknown name.

    Example:
        >>> head = PosteriorHead("full", 3)
        >>> head.outputs, head(torch.zeros(5, 9)).mean.shape
        (9, torch.Size([5, 3]))
    """

    def __init__(self, name: PosteriorName, dim: int, *, shared: bool = False) -> None:
        super().__init__()
        match name:
            case "diagonal":
                entries = dim
            case "full":
                entries = dim * (dim + 1) // 2
            case "iaf":
                entries = dim + CONTEXT
            case _:
                raise InputError(f"posterior: got {name!r}, expected 'diagonal', 'full' or 'iaf'")
        self.name, self.dim, self.entries = name, dim, entries
        self.outputs = dim if shared else dim + entries
        self.spread = nn.Parameter(torch.zeros(entries)) if shared else None
        places = torch.arange(1, dim + 1)
        turns = [places if step % 2 == 0 else places.flip(0) for step in range(STEPS if name == "iaf" else 0)]
        self.steps = nn.ModuleList(MADE(turn, width=WIDTH, depth=1, condition=CONTEXT) for turn in turns)

    def forward(self, h: Float[Tensor, "batch outputs"]) -> Posterior:
        """q(z | x, c) of a batch, from what the encoder says about it."""
        h = widened(h)
        if self.spread is None:
            mean, spread = h.split((self.dim, self.entries), dim=1)
        else:
            mean, spread = h, torch.cat((STRIDE * self.spread[: self.dim], self.spread[self.dim :]))
        match self.name:
            case "diagonal":
                return Diagonal(mean, spread)
            case "full":
                return Full(mean, spread)
            case _:
                return Flow(mean, spread, [step for step in self.steps if isinstance(step, MADE)])


def log_normal_pairs(
    z: Float[Tensor, "m latent"], mean: Float[Tensor, "b latent"], log_variance: Float[Tensor, "b latent"]
) -> Float[Tensor, "m b"]:
    r"""log N(z_m; mean_b, exp(log_variance_b)) for every pair, by three matrix products.

    .. math:: -\tfrac12 \sum_j \left( z_j^2 / s_j - 2 z_j \mu_j / s_j + \mu_j^2 / s_j + \ln 2 \pi s_j \right)
    """
    precision = (-log_variance).exp()
    constant = (mean**2 * precision + log_variance).sum(1) + z.shape[1] * math.log(2 * math.pi)
    with torch.autocast(z.device.type, enabled=False):  # in 16 bits little is left of a difference of large products
        return -0.5 * (z**2 @ precision.T - 2 * z @ (mean * precision).T + constant)
