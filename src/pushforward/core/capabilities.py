"""What some models can do beyond sampling: score, encode, show their path, go on.

What a model lacks cannot be called.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from pushforward.core.data import Condition
from pushforward.core.errors import InputError, check_count
from pushforward.core.model import Model
from pushforward.core.noise import Noise, fresh_seed

#: Steps of noise from here on are for scoring: samples have step 0 and training counts up from 1, and a model must not
#: be scored with the very noise its samples were made of.
SCORING = 2**40

__all__ = ["Density", "HasCodebook", "HasCompletion", "HasDensity", "HasLatent", "HasPath", "HasPosterior"]


@dataclass(frozen=True)
class Density:
    """What a reported log-likelihood is: never compare two of different kinds or measures without saying so.

    Args:
        kind: ``exact``; ``bound`` (a lower bound in expectation); ``estimate`` (neither).
        measure: ``mass`` of gridded or coded data; ``density`` of continuous data; ``mixed`` for rows with both.
    """

    kind: Literal["exact", "bound", "estimate"]
    measure: Literal["mass", "density", "mixed"]


class HasDensity(Model, ABC):
    """A model that scores examples."""

    #: What ``log_likelihood`` is, in model units.
    kind: ClassVar[Literal["exact", "bound", "estimate"]] = "exact"
    #: Whether exp(log_likelihood) is unbiased for the likelihood, so that averaging it over draws tightens the bound
    #: (Burda et al. 2016, theorem 1). If not, several draws are averaged as logarithms.
    unbiased: ClassVar[bool] = True

    @abstractmethod
    def log_likelihood(
        self, x: Shaped[Tensor, "batch *units"], condition: Condition | None, *, noise: Noise
    ) -> Float[Tensor, "batch"]:
        """log q(x | c) in nats and model units, or one draw of its bound."""

    def log_weights(
        self, x: Shaped[Tensor, "batch *units"], condition: Condition | None, *, samples: int, noise: Noise
    ) -> Float[Tensor, "samples batch"]:
        """Independent draws of ``log_likelihood`` of the same examples; a model may share work between them."""
        return torch.stack([self.log_likelihood(x, condition, noise=noise) for _ in range(samples)])

    def log_prob(
        self,
        x: Shaped[Tensor, "batch *shape"],
        condition: Tensor | int | None = None,
        *,
        samples: int = 1,
        seed: int = 0,
        batch_size: int = 256,
    ) -> Float[Tensor, "batch"]:
        r"""log p(x | c) in nats and data units; what kind of number it is, ``density`` says.

        With K = ``samples`` draws of the noise (dequantisation and latents) a bound becomes
        :math:`\log \frac{1}{K} \sum_k e^{\ell_k}` (Burda et al. 2016), never looser in expectation.

        Args:
            x: storage examples.
            condition: one for all, or one each; None scores under the unconditional model.
            samples: K.
            seed: of the noise, fixed so that a score is a number and not a draw.
            batch_size: how many at a time.

        Raises:
            InputError: if x or the condition is not of the model's modality, or a count is below 1.
        """
        check_count(samples, "samples")
        check_count(batch_size, "batch_size")
        self.example.check(x)
        given = self.given(condition, len(x))
        parts = []
        with self.at_rest():
            for first in range(0, len(x), batch_size):
                rows = x[first : first + batch_size].to(self.device)
                part = None if given is None else Condition(*(t[first : first + batch_size] for t in given))
                draws = self._draws(rows, part, samples=samples, seed=seed, start=first)
                mean = draws.logsumexp(0) - math.log(samples) if self.unbiased else draws.mean(0)
                parts.append(mean.cpu())
        return torch.cat(parts) if parts else torch.empty(0, dtype=torch.float64)

    def _draws(
        self, x: Shaped[Tensor, "batch *shape"], condition: Condition | None, *, samples: int, seed: int, start: int
    ) -> Float[Tensor, "samples batch"]:
        """Log-likelihoods of storage examples in data units; without dequantisation the model sees each just once."""
        if self.fitted.exact:
            noise = Noise(seed, step=SCORING, rows=len(x), start=start)
            y, log_det = self.fitted.encode(x, noise=noise, dtype=self.dtype)
            return self.log_weights(y, condition, samples=samples, noise=noise).double() + log_det.double()
        draws = []
        for k in range(samples):
            noise = Noise(seed, step=SCORING + k, rows=len(x), start=start)
            y, log_det = self.fitted.encode(x, noise=noise, dtype=self.dtype)
            draws.append((self.log_likelihood(y, condition, noise=noise) + log_det).double())
        return torch.stack(draws)

    def density(self) -> Density:
        """The kind and measure of what ``log_prob`` returns."""
        kind = "bound" if self.kind == "exact" and not self.fitted.exact else self.kind
        some, every = self.example.gridded
        return Density(kind, "mass" if every else "mixed" if some else "density")


class HasLatent(Model, ABC):
    """A model with a code z for every example."""

    @abstractmethod
    def infer(self, x: Shaped[Tensor, "batch *units"], condition: Condition | None) -> Float[Tensor, "batch *latent"]:
        """The code of x in model units (the mean of q(z | x, c) where that is a distribution)."""

    @abstractmethod
    def generate(
        self, z: Float[Tensor, "batch *latent"], condition: Condition | None
    ) -> Shaped[Tensor, "batch *units"]:
        """The example a code stands for, in model units (the mean of p(x | z, c) where that is a distribution)."""

    def encode(self, x: Shaped[Tensor, "batch *shape"], condition: Tensor | int | None = None) -> Tensor:
        """Codes of storage examples."""
        self.example.check(x)
        with self.at_rest():
            # The middle of the dequantisation cells would do too; a fixed seed keeps codes reproducible.
            y, _ = self.fitted.encode(x.to(self.device), noise=Noise(0, rows=len(x)), dtype=self.dtype)
            return self.infer(y, self.given(condition, len(x)))

    def decode(self, z: Float[Tensor, "batch *latent"], condition: Tensor | int | None = None) -> Tensor:
        """Storage examples of codes."""
        with self.at_rest():
            y = self.generate(z.to(self.device, self.dtype), self.given(condition, len(z)))
            return self.fitted.decode(y, noise=Noise(0, rows=len(z)))

    def ease(self, times: int) -> str:
        """Make the code easier to use: the loop asks for it where the code has collapsed and ``remedy="auto"``.

        ``progress`` starts anew with it. What else it changes must follow from ``times`` alone, so that a resumed run
        is the same, and must not be a field, so that the saved configuration stays what the user asked for.

        Args:
            times: how often it has been asked for in this run, from 1 on; each time may go further.

        Returns:
            What was changed, in words; "" for a model that knows no remedy.
        """
        return ""


class HasPosterior(HasLatent, ABC):
    """A latent-variable model with an approximate posterior q(z | x, c) and a prior p(z | c), in model units."""

    @abstractmethod
    def sample_code(
        self, x: Shaped[Tensor, "batch *units"], condition: Condition | None, *, noise: Noise
    ) -> Float[Tensor, "batch latent"]:
        """A draw from q(z | x, c) for every example."""

    @abstractmethod
    def log_posterior(
        self, z: Float[Tensor, "codes latent"], x: Shaped[Tensor, "batch *units"], condition: Condition | None
    ) -> Float[Tensor, "codes batch"]:
        """log q(z_m | x_b, c_b) of every code under the posterior of every example, in nats."""

    @abstractmethod
    def log_prior(self, z: Float[Tensor, "codes latent"], condition: Condition | None = None) -> Float[Tensor, "codes"]:
        """log p(z | c) in nats."""

    @abstractmethod
    def kl_each(
        self, x: Shaped[Tensor, "batch *units"], condition: Condition | None, *, noise: Noise
    ) -> Float[Tensor, "batch units"]:
        """Nats per latent unit that x costs: analytic where there is a formula, else at one draw of z."""


class HasCodebook(HasLatent, ABC):
    """A model whose codes are indices into codebooks."""

    #: How many codes each quantiser has.
    codebook_size: int

    @abstractmethod
    def indices(
        self, x: Shaped[Tensor, "batch *units"], condition: Condition | None
    ) -> Int[Tensor, "batch places quantisers"]:
        """The indices that stand for x, for every place of its code map and every quantiser."""


class HasPath(Model, ABC):
    """A model that makes an example in steps."""

    @abstractmethod
    def trajectory(
        self, n: int, condition: Condition | None, *, noise: Noise, sampler: Any | None
    ) -> Iterator[Shaped[Tensor, "n *units"]]:
        """The states from noise to sample, in model units; the last one is what ``draw`` returns."""

    def path(
        self, n: int, *, condition: Tensor | int | None = None, seed: int | None = None, sampler: Any | None = None
    ) -> Shaped[Tensor, "states n *shape"]:
        """The states from noise to sample, in storage form."""
        noise = Noise(fresh_seed() if seed is None else seed, rows=n)
        with self.at_rest():
            states = [y.clone() for y in self.trajectory(n, self.given(condition, n), noise=noise, sampler=sampler)]
            return torch.stack([self.fitted.decode(y, noise=noise.part(0, n)) for y in states])


class HasCompletion(Model, ABC):
    """A model of sequences, one code after another, that can go on from a beginning."""

    @abstractmethod
    def log_likelihood_each(
        self, x: Int[Tensor, "batch codes"], condition: Condition | None
    ) -> Float[Tensor, "batch codes"]:
        r"""log q(x_t | x_{<t}, c) of every code, in nats."""

    @abstractmethod
    def complete(
        self,
        prompt: Int[Tensor, "given"],
        n: int,
        *,
        length: int,
        condition: Tensor | int | None = None,
        seed: int | None = None,
        start: int = 0,
        sampler: Any | None = None,
    ) -> Int[Tensor, "n given+length"]:
        """n continuations of ``prompt`` by ``length`` codes each, prompt included, in storage form.

        Raises:
            InputError: if the prompt holds codes the model does not have.
        """


def require(model: Model, capability: type, verb: str) -> None:
    """Raise ``InputError`` unless the model has the capability that ``verb`` needs."""
    if not isinstance(model, capability):
        raise InputError(f"model: {type(model).__name__} cannot {verb}, expected a model with {capability.__name__}")
