r"""Codes as features: fewer numbers in place of an example, and how well a classifier does on them.

A *probe* is a linear classifier, :math:`p(c \mid h) = \mathrm{softmax}(W h + b)`, on features h: the codes of a model,
the same number of principal components, and the numbers of the example themselves. It is simple on purpose: what it
finds lies open in the features. With few labels fewer features are an advantage, and a code learned without any label
from all examples is worth most.

A model that was given the class as its condition need not put it into the code: probe models without condition.

Reference:
    Alain and Bengio 2017, "Understanding intermediate layers using linear classifier probes".
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from pushforward.core.capabilities import HasLatent
from pushforward.core.data import Data
from pushforward.core.errors import InputError, check_count
from pushforward.core.modality import Image, Label, Points
from pushforward.evaluation.intervals import wilson

__all__ = ["Probed", "features", "probe"]

#: Examples encoded at a time.
ROWS = 1024


class Probed(NamedTuple):
    """Accuracy of a linear classifier on some features, with its 95 % interval over test examples."""

    name: str
    size: int
    accuracy: float
    low: float
    high: float


def features(model: HasLatent, x: Shaped[Tensor, "n *shape"]) -> Float[Tensor, "n code"]:
    """The codes of examples as flat vectors.

    Example:
        >>> from pushforward.probability.ppca import PPCA
        >>> features(PPCA(example=Points(dim=3), latent_dim=1), torch.zeros(5, 3).double()).shape
        torch.Size([5, 1])
    """
    codes = [model.encode(rows).flatten(1).cpu() for rows in x.split(ROWS)]
    return torch.cat(codes) if codes else torch.empty(0, 0)


def probe(model: HasLatent, data: Data, *, labels: int | None = None, seed: int = 0) -> list[Probed]:
    """Accuracy on the test split from codes, from as many principal components, and from the examples as they are.

    Args:
        model: encodes; nothing is learned but the linear classifiers (and the components, from all of the training
            split without labels, as the codes were).
        data: images or points with a label.
        labels: how many labelled training examples the classifiers see; None all of them.
        seed: which ones.

    Raises:
        InputError: if the data has no label, the model takes another kind, or there are not so many examples.
    """
    if not isinstance(data.condition, Label) or not isinstance(data.example, (Image, Points)):
        raise InputError(f"data: got {data.example.describe()}, expected images or points with a label")
    if model.example != data.example:
        raise InputError(f"model: encodes {model.example.describe()}, the data is {data.example.describe()}")
    if labels is not None:
        check_count(labels, "labels")
    x, c = _labelled(data, "train")
    x_test, c_test = _labelled(data, "test")
    if labels is not None and labels > len(x):
        raise InputError(f"labels: got {labels}, expected at most {len(x)}, as many as there are")
    seen = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[:labels]
    if len(c[seen].unique()) < 2:
        raise InputError(f"labels: the {len(seen)} chosen are all of one class, expected more of them")
    codes, codes_test = features(model, x), features(model, x_test)
    raw, raw_test = (part.double().flatten(1) for part in (x, x_test))
    few, few_test = _principal(raw, raw_test, codes.shape[1])
    kinds = {"codes": (codes, codes_test), "principal components": (few, few_test), "the examples": (raw, raw_test)}
    return [
        _accuracy(name, inputs[seen].numpy(), c[seen].numpy(), tests.numpy(), c_test.numpy())
        for name, (inputs, tests) in kinds.items()
    ]


def _labelled(data: Data, split: str) -> tuple[Tensor, Tensor]:
    """The examples of a split whose label is known, and their labels."""
    rows = getattr(data, split)
    x, condition = rows[torch.arange(len(rows))]
    return x[condition.present], condition.value[condition.present]


def _principal(x: Tensor, x_test: Tensor, size: int) -> tuple[Tensor, Tensor]:
    from sklearn.decomposition import PCA

    fitted = PCA(min(size, *x.shape), svd_solver="full").fit(x.numpy())
    return torch.from_numpy(fitted.transform(x.numpy())), torch.from_numpy(fitted.transform(x_test.numpy()))


def _accuracy(name: str, x: np.ndarray, c: np.ndarray, x_test: np.ndarray, c_test: np.ndarray) -> Probed:
    """Logistic regression on standardised features, its penalty left at one: the probe is no contest of tuning."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    # On standardised features a few hundred steps settle the digits; what is left then moves no decision.
    fitted = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, tol=1e-3)).fit(x, c)
    right = int((fitted.predict(x_test) == c_test).sum())
    low, high = wilson(right, len(c_test))
    return Probed(name, math.prod(x.shape[1:]), right / len(c_test), low, high)
