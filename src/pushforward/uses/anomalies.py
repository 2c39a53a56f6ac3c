r"""Anomalies: examples that a model of the usual ones finds strange.

A score is higher the stranger an example is.

* ``likelihood``: :math:`-\log p(x)`, or minus a bound of it. It sees what is rare, and misses strange examples that are
  *simple*: a blank image is likelier than any digit.
* ``reconstruction``: :math:`\lVert x - d(e(x)) \rVert^2`. It sees what the code cannot hold, and misses what decodes
  well although it is strange.
* ``ratio``: :math:`\log p_0(x) - \log p(x)`, p_0 being a model of the *background*. It sees what is strange beyond what
  any image as simple as this one would be.

The background :math:`p_0` is another model (of perturbed data, or of all kinds of data), or, for images, the PNG
compressor: the bits of x in a file are a bound of its information, so the ratio is
:math:`-\log_2 p(x) - \text{bits}_{\mathrm{PNG}}(x)`, here in nats.

**The threshold.** Of n scores of usual examples let t be the k-th smallest, where
:math:`k = \lceil (n + 1)(1 - \alpha) \rceil`. A new usual example is as likely to take any
rank among n + 1, so its score exceeds t with probability at most :math:`\alpha`, whatever the distribution of scores: a
rate of false alarms that holds for every n.

Reference:
    Nalisnick et al. 2019, "Do deep generative models know what they don't know?"; Ren et al. 2019, "Likelihood ratios
    for out-of-distribution detection"; Serrà et al. 2020, "Input complexity and out-of-distribution detection with
    likelihood-based generative models"; Vovk, Gammerman and Shafer 2005, "Algorithmic learning in a random world",
    section 2.2, for the threshold; DeLong, DeLong and Clarke-Pearson 1988 for the interval of the AUROC.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from pushforward.core.capabilities import HasDensity, HasLatent
from pushforward.core.errors import InputError
from pushforward.core.modality import Image, Points
from pushforward.core.model import Model
from pushforward.evaluation.intervals import Z
from pushforward.uses.compression import picture_files_of
from pushforward.uses.denoising import has_bottleneck

__all__ = ["Auroc", "Score", "anomaly_scores", "auroc", "false_alarm_threshold", "usual_score"]

Score = Literal["likelihood", "reconstruction", "ratio"]

#: Importance samples of a bound: more hardly change the order of examples.
DRAWS = 16

#: Examples encoded and decoded at a time.
ROWS = 1024


def usual_score(model: Model) -> Score:
    """The score that a model can give: its likelihood where it has one, otherwise how badly it reconstructs.

    Raises:
        InputError: if it can do neither.
    """
    if isinstance(model, HasDensity):
        return "likelihood"
    if isinstance(model, HasLatent):
        return "reconstruction"
    raise InputError(f"model: {type(model).__name__} neither scores nor encodes, expected a model that does")


def anomaly_scores(
    model: Model,
    x: Shaped[Tensor, "batch *shape"],
    score: Score | None = None,
    *,
    background: HasDensity | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Float[Tensor, "batch"]:
    """How strange examples are to a model, in nats (or, of a reconstruction, squared units of the data).

    Args:
        model: of the usual examples.
        x: storage examples.
        score: which one; None takes the likelihood, or the reconstruction of a model without one.
        background: the model that ``ratio`` compares with; None is PNG, for images.
        draws: importance samples of a likelihood that is a bound.
        seed: of their noise.

    Raises:
        InputError: if the model cannot give this score, or the examples are not of its kind.

    Example:
        >>> from pushforward.probability.baselines import Gaussian
        >>> model = Gaussian(example=Points(dim=1))  # a standard normal before it is solved
        >>> x = torch.tensor([[0.0], [3.0]]).double()
        >>> anomaly_scores(model, x).diff()  # 3^2 / 2
        tensor([4.5000], dtype=torch.float64)
    """
    score = usual_score(model) if score is None else score
    match score:
        case "likelihood":
            return -_log_prob(model, x, draws, seed)
        case "reconstruction":
            if not isinstance(model, HasLatent) or not has_bottleneck(model):
                raise InputError(
                    f"score: {type(model).__name__} has no code to reconstruct from, expected an autoencoder"
                )
            return _error(model, x)
        case "ratio":
            return _background(model, x, background, draws, seed) - _log_prob(model, x, draws, seed)
        case _:
            raise InputError(f"score: got {score!r}, expected 'likelihood', 'reconstruction' or 'ratio'")


def false_alarm_threshold(usual: Float[Tensor, "n"], rate: float) -> float:
    """The score that a new usual example exceeds with probability ``rate`` at most.

    Args:
        usual: scores of usual examples that the model was not trained on.
        rate: alpha, above 0 and below 1.

    Raises:
        InputError: if the rate is none, or there are too few scores to promise it.

    Example:
        >>> false_alarm_threshold(torch.arange(1.0, 100.0), 0.1)  # the 90th of 99
        90.0
    """
    if not 0 < rate < 1:
        raise InputError(f"false_alarms: got {rate}, expected a number above 0 and below 1")
    # The tiny amount undoes the rounding of a product that is a whole number, such as 100 * 0.9.
    rank = math.ceil((len(usual) + 1) * (1 - rate) - 1e-9)
    if rank > len(usual):
        least = math.ceil(1 / rate - 1e-9) - 1
        raise InputError(
            f"false_alarms: got {rate}, which {len(usual)} validation examples cannot promise, "
            f"expected at least {least} of them or a higher rate"
        )
    return float(usual.sort().values[rank - 1])


class Auroc(NamedTuple):
    """The probability that a strange example scores higher than a usual one, with its 95 % interval."""

    value: float
    low: float
    high: float


def auroc(usual: Float[Tensor, "n"], strange: Float[Tensor, "m"]) -> Auroc:
    r"""Area under the ROC curve, :math:`P(s' > s) + \tfrac12 P(s' = s)`, and DeLong's interval.

    Each example's *placement*, the share of the other group it is above, has the area as its mean; the variance of the
    area is the sum of the two groups' variances of placements over their sizes.

    Raises:
        InputError: if a group has fewer than two examples.

    Example:
        >>> auroc(torch.tensor([1.0, 3.0]), torch.tensor([2.0, 4.0])).value  # three of four pairs
        0.75
    """
    if min(len(usual), len(strange)) < 2:
        raise InputError(f"scores: got {len(usual)} usual and {len(strange)} strange, expected at least two of each")
    low, high = np.sort(usual.numpy()), np.sort(strange.numpy())
    of_strange = (np.searchsorted(low, high) + np.searchsorted(low, high, side="right")) / (2 * len(low))
    of_usual = 1 - (np.searchsorted(high, low) + np.searchsorted(high, low, side="right")) / (2 * len(high))
    value = float(of_strange.mean())
    error = math.sqrt(of_strange.var(ddof=1) / len(high) + of_usual.var(ddof=1) / len(low))
    return Auroc(value, max(value - Z * error, 0.0), min(value + Z * error, 1.0))


def _log_prob(model: Model, x: Tensor, draws: int, seed: int) -> Tensor:
    """log p(x), or its importance bound."""
    if not isinstance(model, HasDensity):
        raise InputError(f"score: {type(model).__name__} has no likelihood, expected 'reconstruction' or a HasDensity")
    samples = 1 if model.density().kind == "exact" else draws
    return model.log_prob(x, samples=samples, seed=seed)


def _background(model: Model, x: Tensor, background: HasDensity | None, draws: int, seed: int) -> Tensor:
    """What a model of anything, or PNG, says about the examples, in nats."""
    if background is not None:
        if background.example != model.example:
            raise InputError(f"background: is of {background.example.describe()}, expected {model.example.describe()}")
        return _log_prob(background, x, draws, seed)
    if not isinstance(model.example, Image):
        raise InputError("background: got none, expected a model; PNG stands in for one for images only")
    model.example.check(x)
    bits = [8 * len(data) for data in picture_files_of(x, model.example)]
    return -math.log(2) * torch.tensor(bits, dtype=torch.float64)


def _error(model: HasLatent, x: Tensor) -> Tensor:
    """Squared distance of storage examples and their reconstructions, in units that are of order one."""
    if not isinstance(model.example, (Image, Points)):
        raise InputError(f"score: a distance is of images or points, not of {model.example.describe()}")
    parts = []
    for rows in x.split(ROWS):
        difference = rows.double() - model.decode(model.encode(rows)).cpu().double()
        parts.append(difference.flatten(1).square().sum(1))
    found = torch.cat(parts) if parts else torch.empty(0, dtype=torch.float64)
    return found / (model.example.levels - 1) ** 2 if isinstance(model.example, Image) else found
