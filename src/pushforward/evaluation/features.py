"""Features that suit the data: the vectors in which samples and held-out examples are compared.

| data | features |
|---|---|
| images with labels | all maps of a small classifier of these labels, averaged over the image, and its last layer |
| images without | the principal components of their pixels, 64 at most |
| sound | its spectrogram (``vectors.py``), which is an image |
| points | themselves, standardised |
| tables | normal scores of numbers, one column per category and per gap; principal components beyond 64 columns |
| texts | counts of character n-grams, weighted (TF-IDF), in the 64 strongest directions |

The first are standardised and brought to their 64 strongest directions (``classifier.py`` says what is in them).
All are fitted on the training split. Distances in different features are different quantities: the name of the features
is part of the conditions of every score.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from pushforward.core.audio import Audio
from pushforward.core.data import Data
from pushforward.core.errors import InputError
from pushforward.core.modality import Image, Value
from pushforward.core.table import Table
from pushforward.core.text import Text
from pushforward.evaluation.classifier import WIDTH, TrainedClassifier, obstacle, train_classifier
from pushforward.evaluation.inception import load_inception
from pushforward.evaluation.vectors import Vectors, fit_vectors

__all__ = ["Features", "Wish", "choose_features", "fit_ngrams", "fit_pca", "in_blocks"]

Wish = Literal["auto", "classifier", "pca", "raw", "inception"]

#: Training examples that statistics are fitted on: more would not move the first 64 principal components.
FITTED = 20_000

#: Entries of these at most, 160 MB in doubles: of large images there are fewer, but never less than a thousand.
ENTRIES = 20_000_000

#: Examples turned into features at a time.
BLOCK = 512

#: Buckets that n-grams are hashed into: a few times the distinct ones of up to 3 characters in ordinary text.
BUCKETS = 2**15


@dataclass(frozen=True, kw_only=True)
class Features:
    """A map from storage examples to vectors, and where there is a classifier, to class probabilities.

    Args:
        name: what the vectors are and how many numbers they have: "PCA (50 of 784)".
        embed: storage examples (B, ...) to vectors (B, D).
        predict: storage examples to class probabilities (B, K), or None.
        classes: the user's names of these K classes; empty where they are not the user's (Inception).
        accuracy: of ``predict`` on the validation split; NaN where there are no classes of the user's.

    Example:
        >>> features = Features(name="raw (2)", embed=lambda x: 2 * x)
        >>> features(torch.ones(1, 2).double())
        tensor([[2., 2.]])
    """

    name: str
    embed: Callable[[Tensor], Tensor]
    predict: Callable[[Tensor], Tensor] | None = None
    classes: tuple[Value, ...] = ()
    accuracy: float = math.nan

    def __call__(self, storage: Shaped[Tensor, "n *shape"]) -> Float[Tensor, "n dim"]:
        """The features in float32."""
        with torch.no_grad():
            return self.embed(storage.cpu()).flatten(1).float()

    def probabilities(self, storage: Shaped[Tensor, "n *shape"]) -> Float[Tensor, "n classes"] | None:
        """Class probabilities in float32, or None where there is no classifier."""
        if self.predict is None:
            return None
        with torch.no_grad():
            return self.predict(storage.cpu()).float()


def in_blocks(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The same map of rows to rows, applied to 512 at a time: memory does not grow with their number.

    Example:
        >>> in_blocks(lambda x: x[:1])(torch.zeros(1025, 2)).shape
        torch.Size([3, 2])
    """
    return lambda x: torch.cat([function(part) for part in x.split(BLOCK)])


def choose_features(
    data: Data, *, wish: Wish = "auto", seed: int = 0, cache: Path | None = None, weights: Path | None = None
) -> Features:
    """The features that suit some data, or the ones wished for, fitted on the training split.

    Args:
        data: what is to be compared.
        wish: "auto" is the table above; "classifier", "pca" and "raw" are for images, points and tables; "inception" is
            the network of the published FID and Inception score, for images.
        seed: of the classifier and of randomised decompositions.
        cache: a folder to keep the classifier in.
        weights: the file of Inception's weights; found by itself where torch-fidelity keeps it.

    Raises:
        InputError: if the wish cannot be met, saying why.
    """
    if wish not in ("auto", "classifier", "pca", "raw", "inception"):
        raise InputError(f"features: got {wish!r}, expected auto, classifier, pca, raw or inception")
    if wish == "inception":
        if not isinstance(data.example, Image):
            raise InputError(f"features: inception is for images, got {data.example.describe()}")
        embed, predict = load_inception(data.example, weights)
        return Features(name="Inception (2048)", embed=in_blocks(embed), predict=in_blocks(predict))
    if isinstance(data.example, Text):
        if wish != "auto":
            raise InputError(f"features: {wish} is not for texts, expected auto")
        return fit_ngrams(data.example, data.train.spread(FITTED // 4).x, seed=seed)
    train = data.train.spread(min(FITTED, max(ENTRIES // math.prod(data.example.shape), 1_000))).x
    vectors = fit_vectors(data.example, train)
    judge, reason = _judge(data, vectors, wish, seed, cache)
    if judge is None:
        return _plain(data, vectors, train, wish, seed, reason)
    if wish == "classifier" or (wish == "auto" and isinstance(data.example, Image | Audio)):
        chosen = _seen(judge, train, isinstance(data.example, Image | Audio), seed)
    else:
        chosen = _plain(data, vectors, train, wish, seed)
    predict = in_blocks(judge.probabilities)
    return replace(chosen, predict=predict, classes=judge.classes, accuracy=judge.accuracy)


def _judge(
    data: Data, vectors: Vectors, wish: Wish, seed: int, cache: Path | None
) -> tuple[TrainedClassifier | None, str]:
    """The classifier, or None and why there is none although there are labels."""
    if reason := obstacle(data):
        if wish == "classifier":
            raise InputError(f"features: a classifier cannot be trained on {data.name} ({reason}), expected auto")
        return None, "" if reason == "no labels" else reason
    judge = train_classifier(data, vectors, seed=seed, cache=cache)
    if judge.accuracy <= judge.majority and wish != "classifier":  # it learned nothing, and judges nothing
        return None, f"a classifier reached only {judge.accuracy:.2f}"
    return judge, ""


def _seen(judge: TrainedClassifier, train: Tensor, image: bool, seed: int) -> Features:
    """What the classifier sees: of an image all maps, since its last layer keeps only what tells the classes apart."""
    accuracy = f"accuracy {judge.accuracy:.3f}"
    if not image:
        return Features(name=f"classifier ({WIDTH}, {accuracy})", embed=in_blocks(judge.features))
    whole = in_blocks(judge.activations)(train)
    mean, spread = whole.mean(0), whole.std(0).clamp(min=1e-6)
    strongest = fit_pca(lambda x: (judge.activations(x) - mean) / spread, train, seed=seed)
    return replace(strongest, name=strongest.name.replace("PCA (", "classifier (").replace(")", f", {accuracy})"))


def _plain(data: Data, vectors: Vectors, train: Tensor, wish: Wish, seed: int, reason: str = "") -> Features:
    """Vectors or their principal components; ``reason`` is why an image is not seen through a classifier."""
    dim = math.prod(vectors(train[:1]).shape[1:])
    wide = isinstance(data.example, Image | Audio) or (isinstance(data.example, Table) and dim > WIDTH)
    if wish == "pca" or (wish == "auto" and wide):
        why = reason if isinstance(data.example, Image | Audio) else ""
        return fit_pca(vectors, train, seed=seed, reason=why)
    return Features(name=f"raw ({dim})", embed=in_blocks(vectors))


def fit_pca(
    vectors: Callable[[Tensor], Tensor],
    train: Shaped[Tensor, "n *shape"],
    *,
    most: int = WIDTH,
    seed: int = 0,
    reason: str = "",
) -> Features:
    r"""Principal components: :math:`h = V^\top (y - m)`, V the eigenvectors of the largest eigenvalues of cov(y).

    Directions in which the training examples do not vary are left out.

    Args:
        vectors: storage to y.
        train: what m and V are fitted on.
        most: how many components at most.
        seed: of the randomised solver that is used for wide vectors.
        reason: why these features were taken, for the name.

    Example:
        >>> fit_pca(lambda x: x, torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]])).name
        'PCA (1 of 2)'
    """
    from sklearn.decomposition import PCA

    y = torch.cat([vectors(part).flatten(1) for part in train.split(BLOCK)]).double().numpy()
    mean = y.mean(0)
    count = min(most, *y.shape)
    varies = bool(np.ptp(y, axis=0).max(initial=0.0) > 0)
    if varies:
        fitted: Any = PCA(count, random_state=seed).fit(y)
        # Below this an eigenvalue is rounding of the largest.
        kept = fitted.explained_variance_ > 1e-10 * fitted.explained_variance_[0]
        basis = fitted.components_[kept].T
    else:
        basis = np.eye(y.shape[1])[:, :1]  # all examples are equal: one coordinate says whether a sample is, too
    shift, turn = torch.from_numpy(mean), torch.from_numpy(np.ascontiguousarray(basis))
    name = f"PCA ({turn.shape[1]} of {y.shape[1]}{f'; {reason}' if reason else ''})"
    return Features(name=name, embed=in_blocks(lambda x: (vectors(x).flatten(1).double() - shift) @ turn))


def fit_ngrams(example: Text, train: Shaped[Tensor, "n length"], *, seed: int = 0) -> Features:
    r"""Counts of character n-grams (n = 1, 2, 3), weighted and projected: latent semantic analysis.

    With :math:`t_g` the count of n-gram g in a text and :math:`d_g` the number of training texts that have it,

    .. math:: w_g = t_g \left(1 + \ln\frac{1 + N}{1 + d_g}\right), \qquad h = V^\top \frac{w}{\|w\|}

    with V the right singular vectors of the training matrix. n-grams are hashed into 32,768 buckets.

    Args:
        example: the texts.
        train: what the weights and V are fitted on.
        seed: of the randomised singular value decomposition.

    Reference:
        Deerwester et al. 1990, "Indexing by Latent Semantic Analysis".
    """
    from sklearn.feature_extraction import FeatureHasher
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.utils.extmath import randomized_svd

    hashing = FeatureHasher(BUCKETS, input_type="string", alternate_sign=False)

    def count(x: Tensor) -> Any:
        return hashing.transform(_ngrams(text) for text in example.unpack(x))

    counts = count(train)
    weighting = TfidfTransformer().fit(counts)
    _, strength, right = randomized_svd(weighting.transform(counts), min(WIDTH, len(train)), random_state=seed)
    basis = right[strength > 1e-6 * max(strength.max(initial=0.0), 1e-6)].T  # what is left is rounding
    basis = basis if basis.shape[1] else right[:1].T

    def embed(x: Tensor) -> Tensor:
        if not len(x):  # the hashing of no texts is an error
            return torch.zeros(0, basis.shape[1])
        return torch.from_numpy(weighting.transform(count(x)) @ basis)

    return Features(name=f"n-grams ({basis.shape[1]})", embed=in_blocks(embed))


def _ngrams(text: str) -> list[str]:
    """All substrings of 1, 2 and 3 characters, white space as it is."""
    return [text[i : i + n] for n in (1, 2, 3) for i in range(len(text) - n + 1)]
