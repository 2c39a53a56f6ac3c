r"""Mixture of Gaussians, fitted by expectation-maximisation.

.. math:: p(x \mid c) = \sum_{k=1}^{K} w_{ck}\, N(x;\, \mu_k, \Sigma_k)

The classes share the components and differ in the weights, of which row 0 (the null) is their mean over all training
examples: without class the model is the marginal distribution. The passes themselves are in ``em.py``.
"""

import math
from collections.abc import Generator, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pushforward.core.capabilities import HasDensity
from pushforward.core.data import Batch, Condition
from pushforward.core.errors import InputError
from pushforward.core.model import model
from pushforward.core.noise import Noise
from pushforward.core.stages import Stage
from pushforward.probability import em
from pushforward.probability.classes import class_rows, count_classes
from pushforward.probability.em import Examples, Parts

__all__ = ["Mixture"]

#: Numbers of components tried, each about 1.4 times the one before.
COMPONENTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)

#: Examples a component should have at least, on average, to be tried.
EXAMPLES_EACH = 10

#: The largest D for which "auto" takes full covariances: K D^2 / 2 numbers are too many to learn for most data beyond.
FULL_UP_TO = 64

#: Pseudo-examples per component while their number is chosen, and the ones tried after that.
PSEUDO, OTHER_PSEUDO = 0.1, (1.0, 0.01, 0.001)

#: Examples on which the choices are made; the chosen mixture is then fitted to all.
CHOOSING_ROWS = 4096

#: EM ends when a pass changes the log-likelihood by less than this, in nats per example and dimension: soon while
#: choices are made, which hang on larger differences, later for the final mixture; or after so many passes.
CHOOSING_GAIN, LEAST_GAIN, MOST_PASSES = 1e-4, 5e-5, 200


@model
class Mixture(HasDensity):
    """Mixture of Gaussians, the number of components chosen on validation; exact in model units.

    Raises:
        InputError: if ``components`` is negative or larger than the number of training examples it is started from (at
            most 4,096), or the condition is not a class label.

    Example:
        >>> from pushforward.core.modality import Points
        >>> model = Mixture(example=Points(dim=2), components=3)  # standard normals before it is solved
        >>> model.log_prob(torch.zeros(1, 2).double())  # -ln 2 pi
        tensor([-1.8379], dtype=torch.float64)
    """

    components: int = 0  # Number of Gaussians; 0 chooses it on validation, from 1 to 64.
    covariance: Literal["full", "diagonal", "auto"] = "auto"  # Of each Gaussian; auto: full up to 64 dimensions.

    def build(self) -> None:
        if self.components < 0:
            raise InputError(f"components: got {self.components}, expected a number from 1, or 0 to choose it")
        classes, count, dim = count_classes(self.condition), max(self.components, 1), math.prod(self.shape)
        self.weights = nn.Buffer(torch.full((1 + classes, count), 1 / count))
        self.means = nn.Buffer(torch.zeros(count, dim))
        self.scales = nn.Buffer(torch.eye(dim).repeat(count, 1, 1) if self._full else torch.ones(count, dim))

    @property
    def _full(self) -> bool:
        match self.covariance:
            case "full":
                return True
            case "diagonal":
                return False
            case "auto":
                return math.prod(self.shape) <= FULL_UP_TO
            case _:
                raise InputError(f"covariance: got {self.covariance!r}, expected 'full', 'diagonal' or 'auto'")

    def terms(
        self, x: Float[Tensor, "batch *units"], condition: Condition | None, *, noise: Noise
    ) -> dict[str, Float[Tensor, "batch"]]:
        return {"negative_log_likelihood": -self.log_likelihood(x, condition, noise=noise)}

    def log_likelihood(
        self, x: Float[Tensor, "batch *units"], condition: Condition | None, *, noise: Noise
    ) -> Float[Tensor, "batch"]:
        parts = Parts(self.weights.double().log(), self.means.double(), self.scales.double())
        return em.log_likelihood(_examples(Batch(x, condition)), parts)

    def draw(
        self, n: int, condition: Condition | None, *, noise: Noise, sampler: Any | None
    ) -> Float[Tensor, "n *units"]:
        weights = self.weights[class_rows(condition, n, device=self.device)].double()
        # The component k with F(k - 1) <= u < F(k); the last F may fall short of 1 by a rounding.
        u = noise.uniform(1, like=weights)
        k = torch.searchsorted(weights.cumsum(1), u, right=True).squeeze(1).clamp(max=len(self.means) - 1)
        normal, scales = noise.normal(self.means.shape[1], like=self.means), self.scales[k]
        spread = (scales @ normal[:, :, None]).squeeze(2) if self._full else scales * normal
        return (self.means[k] + spread).unflatten(1, self.shape)

    def stages(self) -> Sequence[Stage]:
        return [Stage(name="fit", solve=self.solve)]

    def solve(self, train: Batch, valid: Batch, *, noise: Noise) -> Iterator[float]:
        """EM; yields the nats per validation example after every pass. Interrupted, the model is the best so far.

        If the number of components is to be chosen, they grow until validation refuses two numbers in a row: a
        larger one has to gain more than a standard error. Then the number of pseudo-examples is chosen, and the mixture
        fitted to all examples.
        """
        few, held_out = _examples(train, most=CHOOSING_ROWS), _examples(valid, most=CHOOSING_ROWS)
        if self.components > len(few.x):
            raise InputError(f"components: got {self.components}, expected at most {len(few.x)}, one per example")
        best = yield from self._choose(few, held_out, noise.part(0, len(few.x)))
        for pseudo in OTHER_PSEUDO:
            found = yield from _climb(best.parts, few, held_out, pseudo=pseudo, least_gain=CHOOSING_GAIN)
            best = found if _beats(found, best) else best
            self._take(best)
        found = yield from _climb(best.parts, _examples(train), held_out, pseudo=best.pseudo, least_gain=LEAST_GAIN)
        self._take(found if _beats(found, best) else best)

    def _choose(self, examples: Examples, held_out: Examples, noise: Noise) -> Generator[float, None, "_Found"]:
        """The number of components, if it is not given, and a mixture of so many."""
        classes, best, refused = len(self.weights) - 1, None, 0
        for count in (self.components,) if self.components else COMPONENTS:
            if best is not None and (refused == 2 or count * EXAMPLES_EACH > len(examples.x)):
                break
            parts = em.start(examples, count, classes=classes, full=self._full, pseudo=PSEUDO, noise=noise)
            found = yield from _climb(parts, examples, held_out, pseudo=PSEUDO, least_gain=CHOOSING_GAIN)
            best, refused = (found, 0) if best is None or _beats(found, best, by_errors=1.0) else (best, refused + 1)
            self._take(best)
        assert best is not None
        return best

    def _take(self, found: "_Found") -> None:
        """Hold these parameters; the number of components becomes part of the configuration."""
        self.components = len(found.parts.means)
        log_weights, means, scales = found.parts
        weights, means, scales = (part.to(self.device, self.dtype) for part in (log_weights.exp(), means, scales))
        self.weights, self.means, self.scales = nn.Buffer(weights), nn.Buffer(means), nn.Buffer(scales)


class _Found(NamedTuple):
    parts: Parts
    pseudo: float
    log_p: Float[Tensor, "held_out"]


def _climb(
    parts: Parts, examples: Examples, held_out: Examples, *, pseudo: float, least_gain: float
) -> Generator[float, None, _Found]:
    """EM from some parameters on; yields the nats per held-out example after every pass."""
    variance, reached = em.average_variance(examples.x), math.inf
    log_p = em.log_likelihood(held_out, parts)
    for _ in range(MOST_PASSES):
        shares = em.expect(examples, parts)
        if abs(shares.log_likelihood - reached) < least_gain * examples.x.shape[1]:
            break
        reached = shares.log_likelihood
        parts = em.maximise(shares, pseudo=pseudo, variance=variance)
        log_p = em.log_likelihood(held_out, parts)
        yield -float(log_p.mean())
    return _Found(parts, pseudo, log_p)


def _beats(found: _Found, best: _Found, *, by_errors: float = 0.0) -> bool:
    """Whether validation prefers ``found`` by more than so many standard errors of the gain per example."""
    gain = found.log_p - best.log_p
    return float(gain.mean()) > by_errors * float(gain.std(correction=0)) / math.sqrt(len(gain))


def _examples(batch: Batch, *, most: int | None = None) -> Examples:
    """Vectors in float64 with their rows of the weights; at most so many, evenly spaced."""
    step = 1 if most is None else max(1, -(-len(batch.x) // most))
    rows = class_rows(batch.condition, len(batch.x), device=batch.x.device)
    return Examples(batch.x[::step].flatten(1).double(), rows[::step])
