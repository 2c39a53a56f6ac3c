r"""The held-out figure of a model's own kind: a likelihood with its kind and measure, or a distance of samples.

Likelihoods are negative and per natural unit, so that lower is better everywhere:

* images: bits per dimension, :math:`-\log_2 P(x) / (C H W)`, always of the mass of whole levels;
* texts: nats per code, :math:`-\frac1T \sum_t \log P(x_t \mid x_{<t})`; a stream is scored in overlapping windows, so
  that every code but the first half window has at least half a window of context;
* points and tables: nats per example.

An autoencoder without a likelihood of x is measured by how well x comes back from its code, :math:`-\log p(x | z(x))`
in the same units, which says nothing of its samples and is no likelihood of the data.

Any other model without a likelihood is measured by the energy distance of its samples to the data (Székely & Rizzo
2013),

.. math:: E = 2\,\mathbb{E}\|x - y\| - \mathbb{E}\|x - x'\| - \mathbb{E}\|y - y'\| \ge 0,

in model units per square root of the dimension; it is 0 only for equal distributions.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from pushforward.core.capabilities import SCORING, Density, HasCompletion, HasDensity, HasLatent
from pushforward.core.data import Batch, Condition, Split, Windows
from pushforward.core.errors import InputError
from pushforward.core.fit_units import fit_units
from pushforward.core.modality import Image
from pushforward.core.model import Model
from pushforward.core.native_units import NativeCells
from pushforward.core.noise import Noise
from pushforward.core.text import Text

__all__ = ["Figure", "energy_distance", "measure"]

#: Held-out examples a validation looks at: their mean is known to a twentieth of the spread between examples,
#: and the same ones are taken every time.
ROWS = 512


@dataclass(frozen=True)
class Figure:
    """A held-out number and what it is.

    Args:
        value: lower is better.
        unit: "bits/dim", "nats/example", "nats/code" or "energy distance".
        kind: "exact", "bound", "estimate" of a likelihood, "reconstruction" or "samples".
        measure: "mass", "density", "mixed", or "" where it is no likelihood.
        error: standard error over held-out examples; for a distance of samples, its size between equal distributions.
        rows: how many examples were looked at.
    """

    value: float
    unit: str
    kind: str
    measure: str
    error: float
    rows: int

    def __str__(self) -> str:
        """For people: ``1.234 bits/dim (bound, mass)``."""
        how = self.kind if not self.measure else f"{self.kind}, {self.measure}"
        return f"{self.value:.4g} {self.unit} ({how})"


def measure(model: Model, split: Split, *, rows: int = ROWS, seed: int = 0) -> Figure:
    """The figure of ``model`` on at most ``rows`` examples of ``split``, with noise fixed by ``seed``.

    Raises:
        InputError: if the split is empty.
    """
    if len(split) == 0:
        raise InputError("data: the held-out split is empty, expected at least one example")
    if isinstance(model, HasCompletion) and isinstance(model, HasDensity) and isinstance(split, Windows):
        return _stream(model, model.density(), split, rows)
    batch = split.spread(rows)
    if not isinstance(model, HasDensity):
        return _reconstruction(model, batch, seed) or _samples(model, batch, seed)
    given = None if batch.condition is None or model.condition is None else batch.condition.value
    values, unit = _per_unit(model, batch, -model.log_prob(batch.x, given, seed=seed))
    density = model.density()
    return Figure(float(values.mean()), unit, density.kind, density.measure, _error(values), len(values))


def _per_unit(model: Model, batch: Batch, values: Tensor) -> tuple[Tensor, str]:
    """Nats per example as what is usual for the modality."""
    unit, scale = "nats/example", torch.ones(len(values), dtype=torch.float64)
    if isinstance(model.example, Image):
        unit, scale = "bits/dim", scale * math.prod(model.example.shape) * math.log(2)
    if isinstance(model.example, Text):
        end, length = model.example.end, batch.x.shape[1]
        codes = length if end is None else float(((batch.x != end).sum(1) + 1).double().mean())  # the end counts too
        unit, scale = "nats/code", scale * codes
    return values / scale, unit


def _reconstruction(model: Model, batch: Batch, seed: int) -> Figure | None:
    """How well examples come back from their codes, or None for a model without codes or such a term of its loss."""
    if not isinstance(model, HasLatent):
        return None
    parts = []
    with model.at_rest():
        for first in range(0, len(batch.x), 256):
            x = batch.x[first : first + 256].to(model.device)
            noise = Noise(seed, SCORING, rows=len(x), start=first)
            y, log_det = model.fitted.encode(x, noise=noise, dtype=model.dtype)
            given = None
            if batch.condition is not None and model.condition is not None:
                given = Condition(*(t[first : first + 256].to(model.device) for t in batch.condition))
            terms = model.terms(y, given, noise=noise)
            if "reconstruction" not in terms:
                return None
            parts.append((terms["reconstruction"] - log_det).double().cpu())
    values, unit = _per_unit(model, batch, torch.cat(parts))
    return Figure(float(values.mean()), unit, "reconstruction", "", _error(values), len(values))


def _stream(model: HasCompletion, density: Density, split: Windows, rows: int) -> Figure:
    """Windows that overlap by half, evenly spaced; each scores its second half, the first window all of itself."""
    length = split.length
    stride = max(length // 2, 1)
    starts = torch.arange(0, len(split), stride)
    count = min(rows, len(starts))
    starts = starts[torch.arange(count) * len(starts) // count]
    per_code = []
    with model.at_rest():
        for part in starts.split(64):
            each = model.log_likelihood_each(split[part].x.to(model.device), None)
            per_code += [
                row[(0 if int(start) == 0 else length - stride) :] for start, row in zip(part, each, strict=True)
            ]
    values = -torch.cat(per_code).double().cpu()
    # Neighbouring codes are dependent: the standard error is taken over windows.
    means = torch.stack([-row.double().mean().cpu() for row in per_code])
    return Figure(float(values.mean()), "nats/code", density.kind, density.measure, _error(means), len(values))


def _samples(model: Model, batch: Batch, seed: int) -> Figure:
    given = None if batch.condition is None or model.condition is None else batch.condition.value
    drawn = model.sample(len(batch.x), condition=given, seed=seed)
    codes = model.fitted.sizes or isinstance(model.fitted, NativeCells)
    units = fit_units(model.example, "real", batch.x) if codes else model.fitted
    real, fake = (
        units.encode(x.cpu(), noise=Noise(seed, 1 + i, rows=len(x)), dtype=torch.float32)[0].flatten(1)
        for i, x in enumerate((batch.x, drawn))
    )
    root = math.sqrt(real.shape[1])
    # Two samples of n from one distribution come out this far apart on average, before the bias is taken off:
    # (1/n + 1/n) E|x - x'|. A smaller difference between two models says nothing.
    chance = 2 / len(real) * float(torch.cdist(real, real).mean()) / root
    return Figure(energy_distance(real, fake) / root, "energy distance", "samples", "", chance, len(real))


def energy_distance(x: Float[Tensor, "n dim"], y: Float[Tensor, "m dim"]) -> float:
    """The unbiased estimate of the energy distance of two samples (it can be slightly negative).

    Example:
        >>> energy_distance(torch.tensor([[0.0], [0.0]]), torch.tensor([[1.0], [1.0]]))
        2.0
    """
    n, m = len(x), len(y)
    within_x = torch.cdist(x, x).sum() / max(n * (n - 1), 1)
    within_y = torch.cdist(y, y).sum() / max(m * (m - 1), 1)
    return float(2 * torch.cdist(x, y).mean() - within_x - within_y)


def _error(values: Tensor) -> float:
    return float(values.std() / math.sqrt(len(values))) if len(values) > 1 else 0.0
