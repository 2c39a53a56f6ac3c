r"""Augmentation: does a classifier get better with generated examples beside the real ones?

A classifier is trained twice for each seed, on the labelled examples :math:`(x_i, c_i)` and on these and as many drawn
:math:`(\tilde x_j, \tilde c_j)`, :math:`\tilde x \sim p(x \mid \tilde c)`; both are judged on the same test examples.
The seeds change what is drawn and whatever chance there is in the classifier, so their spread is that of the difference
:math:`\Delta`, and

.. math:: \bar\Delta \pm t_{0.975,\, S - 1}\, \frac{s_\Delta}{\sqrt S}

is its 95 % interval over seeds. It says nothing of other test examples: that would take another test split.

No model makes information: what it can add is what it knows of the *shape* of the data, such as that strokes bend. The
model must have seen nothing but the labelled examples (and examples without labels), never the test split.

Reference:
    Antoniou, Storkey and Edwards 2017, "Data augmentation generative adversarial networks", for the question.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pushforward.core.data import Data
from pushforward.core.errors import InputError, check_count
from pushforward.core.modality import Image, Label, Points
from pushforward.core.model import Model

__all__ = ["Augmented", "augmented_accuracy", "forest"]


class Augmented(NamedTuple):
    """Accuracies of each seed without and with generated examples, and the mean gain with its 95 % interval."""

    without: tuple[float, ...]
    augmented: tuple[float, ...]
    gain: float
    low: float
    high: float


def forest(seed: int) -> Any:
    """A random forest of scikit-learn, which needs no tuning and depends on a seed."""
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(200, random_state=seed)


def augmented_accuracy(
    model: Model,
    data: Data,
    *,
    added: int,
    seeds: int = 5,
    classifier: Callable[[int], Any] = forest,
) -> Augmented:
    """Test accuracy of a classifier trained with and without generated examples.

    Args:
        model: draws examples of a class; it has the condition of the data, and was trained on its training split.
        data: images or points with a label.
        added: generated examples, their classes in the shares of the training split.
        seeds: S, at least 2.
        classifier: makes one of a seed, with ``fit`` and ``score`` as scikit-learn has them.

    Raises:
        InputError: if the data has no label, or the model not its condition, or a number is too small.
    """
    check_count(added, "added")
    if not isinstance(seeds, int) or seeds < 2:
        raise InputError(f"seeds: got {seeds!r}, expected a whole number of at least 2: an interval needs a spread")
    if not isinstance(data.condition, Label) or not isinstance(data.example, (Image, Points)):
        raise InputError(f"data: got {data.example.describe()}, expected images or points with a label")
    if model.example != data.example or model.condition != data.condition:
        raise InputError("model: is not one of these examples given these classes, expected one fitted to this data")
    x, c = _labelled(data, "train")
    x_test, c_test = _labelled(data, "test")
    without, augmented = [], []
    for seed in range(seeds):
        chosen = torch.randint(len(c), (added,), generator=torch.Generator().manual_seed(seed))
        classes = torch.from_numpy(c)[chosen]
        drawn = _flat(model.sample(added, condition=classes, seed=seed))
        both = np.concatenate([x, drawn]), np.concatenate([c, classes.numpy()])
        without.append(float(classifier(seed).fit(x, c).score(x_test, c_test)))
        augmented.append(float(classifier(seed).fit(*both).score(x_test, c_test)))
    gains = np.subtract(augmented, without)
    reach = _t_quantile(seeds - 1) * float(gains.std(ddof=1)) / math.sqrt(seeds)
    gain = float(gains.mean())
    return Augmented(tuple(without), tuple(augmented), gain, gain - reach, gain + reach)


def _t_quantile(freedom: int) -> float:
    from scipy.stats import t

    return float(t.ppf(0.975, freedom))


def _labelled(data: Data, split: str) -> tuple[np.ndarray, np.ndarray]:
    """The examples of a split whose label is known, as vectors, and their labels."""
    rows = getattr(data, split)
    x, condition = rows[torch.arange(len(rows))]
    return _flat(x[condition.present]), condition.value[condition.present].numpy()


def _flat(x: Tensor) -> np.ndarray:
    return x.flatten(1).cpu().numpy()
