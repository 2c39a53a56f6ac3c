r"""A Markov chain over the codes and the missing entries of examples, whose limit is p(z, x_m | x_o) of a VAE.

Two steps take turns, and both leave that distribution as it is.

*Together* (Metropolis-within-Gibbs): the encoder reads the example as it is filled now and proposes a code,

.. math:: z' \sim q(z \mid x_o, x_m), \qquad
    \min\Bigl(1, \frac{p(x_o, x_m \mid z')\,p(z')}{p(x_o, x_m \mid z)\,p(z)}
    \cdot \frac{q(z \mid x_o, x_m)}{q(z' \mid x_o, x_m)}\Bigr)

being the probability that it is accepted. Accepting always (pseudo-Gibbs, Rezende et al. 2014) would be right only if q
were exact. Where the missing entries almost tell the code, this step hardly moves: each holds the other.

*Alone*: entries are independent given z, so the missing ones can be summed over, and what is left is a chain over z
with the known entries,

.. math:: z' \sim r = \tfrac12 p(z) + \tfrac12 q(z \mid x_o), \qquad
    \min\Bigl(1, \frac{p(x_o \mid z')\,p(z') / r(z')}{p(x_o \mid z)\,p(z) / r(z)}\Bigr),

where q reads only what is known (if the likelihood has inputs for "unknown"; otherwise r = p). The prior in r keeps the
ratio below :math:`2\,p(x_o \mid z)`, so that the chain cannot be stuck where q never goes.

After either step :math:`x_m \sim p(x_m \mid z)`, given that it has a value.

Reference:
    Mattei and Frellsen 2018, "Leveraging the exact likelihood of deep latent variable models", section 3.2 and
    algorithm 1; Rezende, Mohamed and Wierstra 2014, "Stochastic backpropagation", appendix F; Liu 1994, "The collapsed
    Gibbs sampler in Bayesian computations".
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from pushforward.autoencoders.vae import VAE
from pushforward.core.noise import Noise
from pushforward.probability.column_likelihood import ColumnLikelihood

__all__ = ["CodeChain"]


class CodeChain:
    """One chain for each example.

    Args:
        model: the VAE, taken without condition.
        y: examples in model units; what stands in a missing entry does not matter.
        missing: True for an entry to be drawn.
        noise: gives fresh noise for so many rows.
    """

    def __init__(
        self,
        model: VAE,
        y: Shaped[Tensor, "batch *units"],
        missing: Bool[Tensor, "batch *units"],
        noise: Callable[[int], Noise],
    ) -> None:
        self.model, self.y, self.missing, self.noise = model, y, missing, noise
        self.nobody = model.given(None, len(y))
        columns = isinstance(model.observed, ColumnLikelihood)  # an entry of y is a pair there, of the likelihood one
        self.gaps = missing[:, 0] if columns else missing
        self.guess = model.posterior_of(y.masked_fill(missing, math.nan), self.nobody) if columns else None
        self.z = noise(len(y)).normal(model.latent_dim, like=y)
        self.fill(missing)

    def fill(self, entries: Bool[Tensor, "batch *units"]) -> None:
        """Draw these entries anew from p(x | z), given that they have a value."""
        drawn = self.model.observed.draw(self._theta(self.z, present=True), self.noise(len(self.y)))
        self.y = torch.where(entries, drawn.to(self.y.dtype), self.y)

    def together(self) -> None:
        """A step that reads the example as it is filled."""
        noise, q = self.noise(len(self.y)), self.model.posterior_of(self.y, self.nobody)
        z, log_q = q.draw(noise.normal(self.model.latent_dim, like=self.y))
        gain = self._log_joint(z) - self._log_joint(self.z) + q.log_prob(self.z) - log_q.sum(-1)
        self._accept(z, gain, noise)

    def alone(self) -> None:
        """A step that reads the known entries only."""
        noise = self.noise(len(self.y))
        z = self.model.prior_now().draw(noise)
        if self.guess is not None:
            guessed, _ = self.guess.draw(noise.normal(self.model.latent_dim, like=self.y))
            z = torch.where(noise.uniform(1, like=z) < 0.5, guessed, z)
        self._accept(z, self._log_weight(z) - self._log_weight(self.z), noise)

    def _accept(self, z: Tensor, gain: Float[Tensor, "batch"], noise: Noise) -> None:
        accepted = noise.uniform(1, like=z).log() < gain[:, None]
        self.z = torch.where(accepted, z, self.z)
        self.fill(self.missing)

    def _theta(self, z: Tensor, *, present: bool = False) -> Tensor:
        theta = self.model.decode_theta(z, self.nobody)
        observed = self.model.observed
        return observed.present(theta) if present and isinstance(observed, ColumnLikelihood) else theta

    def _log_joint(self, z: Tensor) -> Float[Tensor, "batch"]:
        """log p(x_o, x_m, z)."""
        return self.model.observed.log_prob(self.y, self._theta(z)) + self.model.log_prior(z, self.nobody)

    def _log_weight(self, z: Tensor) -> Float[Tensor, "batch"]:
        """log p(x_o | z) p(z) / r(z): of the joint, what the missing entries do not account for."""
        of_missing = self.model.observed.log_prob_each(self.y, self._theta(z, present=True))
        log_known = self._log_joint(z) - torch.where(self.gaps, of_missing, 0.0).flatten(1).sum(1)
        log_p = self.model.log_prior(z, self.nobody)
        if self.guess is None:
            return log_known - log_p
        return log_known - torch.logaddexp(log_p, self.guess.log_prob(z)) + math.log(2)
