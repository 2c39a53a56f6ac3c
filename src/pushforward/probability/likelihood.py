"""The contract of likelihoods: p(x | theta), where theta is what a decoder says about one example."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from jaxtyping import Float, Shaped
from torch import Tensor

from pushforward.core.noise import Noise
from pushforward.core.units import Space

__all__ = ["Likelihood"]


class Likelihood(ABC):
    """A distribution of examples with independent entries, whose parameters a decoder gives.

    It has no parameters of its own. An example y is in the model units of ``space``; ``theta`` is the shape of the
    decoder's output for one example, ``input_shape`` that of ``inputs(y)``, which an encoder reads.
    """

    #: The units it is a density (or a mass) in.
    space: ClassVar[Space]

    @property
    @abstractmethod
    def theta(self) -> tuple[int, ...]:
        """Shape of the decoder's output for one example: (k, *shape), or (1, total) for a table."""

    @property
    @abstractmethod
    def input_shape(self) -> tuple[int, ...]:
        """Shape of what an encoder reads for one example."""

    @abstractmethod
    def inputs(self, y: Shaped[Tensor, "batch *units"]) -> Float[Tensor, "batch *inputs"]:
        """y as numbers of order one, for an encoder."""

    @abstractmethod
    def log_prob_each(
        self, y: Shaped[Tensor, "batch *units"], theta: Float[Tensor, "batch *theta"]
    ) -> Float[Tensor, "batch *entries"]:
        """Nats of every entry given theta; 0 for an entry that is missing."""

    def log_prob(
        self, y: Shaped[Tensor, "batch *units"], theta: Float[Tensor, "batch *theta"]
    ) -> Float[Tensor, "batch"]:
        """log p(y | theta), the sum over entries, which are independent given theta."""
        return self.log_prob_each(y, theta).flatten(1).sum(1)

    @abstractmethod
    def mean(self, theta: Float[Tensor, "batch *theta"]) -> Shaped[Tensor, "batch *units"]:
        """The best single answer, in model units: the mean of numbers, the likeliest of categories."""

    @abstractmethod
    def draw(self, theta: Float[Tensor, "batch *theta"], noise: Noise) -> Shaped[Tensor, "batch *units"]:
        """A draw from p(y | theta); ``noise`` has as many rows as theta."""
