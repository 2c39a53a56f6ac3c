r"""Do two samples come from one distribution? Real first, fake second, as many of the one as of the other.

* Classifier two-sample test (Lopez-Paz & Oquab 2017, https://arxiv.org/abs/1610.06545): the accuracy of a classifier
  that tells held-out real from held-out fake examples; 1/2 if they cannot be told apart.
* Maximum mean discrepancy (Gretton et al. 2012, JMLR 13, eq. 3) and energy distance (Székely & Rizzo 2013), both
  unbiased estimates of :math:`\mathbb{E}\,k(x, x') + \mathbb{E}\,k(y, y') - 2\,\mathbb{E}\,k(x, y)`,
  with Gaussian kernels and with :math:`k(x, y) = -\|x - y\|`.
* Sliced Wasserstein distance (Bonneel et al. 2015): the 2-Wasserstein distance on a line, where sorting solves it,
  in quadratic mean over random directions.
"""

import math
from collections import defaultdict
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from pushforward.core.errors import InputError
from pushforward.evaluation.fidelity import Distances

__all__ = [
    "Classifier",
    "Discrepancy",
    "Told",
    "accuracy",
    "energy_discrepancy",
    "gaussian_discrepancy",
    "maximum_mean_discrepancy",
    "project",
    "sliced_wasserstein",
    "sorted_distance",
]

Classifier = Literal["linear", "trees"]

#: Every example is scored by a classifier that saw the other four fifths.
FOLDS = 5

#: Bandwidths of the Gaussian kernels in median distances: differences smaller and larger than the typical distance
#: are seen as well as those of its size.
SCALES = (0.5, 1.0, 2.0)

#: Directions of the sliced distance: the error of their mean square is then below a tenth of it in any dimension,
#: and it is the same for all who use the same seed.
DIRECTIONS = 128

#: Small trees on 32 bins: what a few hundred to a few thousand examples support, in 50 ms a fit. Without early stopping
#: nothing about them is random.
TREES: dict[str, Any] = {
    "max_iter": 30,
    "learning_rate": 0.15,
    "max_leaf_nodes": 8,
    "max_bins": 32,
    "early_stopping": False,
    "random_state": 0,
}

Points = Float[np.ndarray, "n dim"]


class Told(NamedTuple):
    """What a classifier two-sample test found."""

    accuracy: float
    correct: Bool[np.ndarray, "n 2"]  # whether real example i, and fake example i, were told right


def accuracy(
    real: Float[Tensor, "n dim"], fake: Float[Tensor, "n dim"], kind: Classifier = "linear", seed: int = 0
) -> Told:
    """Accuracy of a classifier at telling real from fake, every example scored once by one that has not seen it.

    The folds hold as many real as fake examples. A real and a fake example that are equal share a fold: apart, each
    would teach the wrong answer for the other, and the accuracy of perfect samples would fall below one half.
    (Repeats within one sample stay apart: that the fakes repeat themselves is a difference worth finding.)

    Args:
        real: features, (n, dim), n at least 5.
        fake: features, (n, dim).
        kind: "linear" is logistic regression on standardised features; "trees" gradient-boosted trees.
        seed: of the folds.

    Raises:
        InputError: if the shapes differ, there are fewer than 5 points, or ``kind`` is no such classifier.

    Example:
        >>> x = torch.linspace(-1, 1, 20)[:, None]
        >>> accuracy(x, x + 5).accuracy, accuracy(x, x.clone()).accuracy
        (1.0, 0.5)
    """
    _check(real, fake, least=FOLDS)
    if kind not in get_args(Classifier):
        raise InputError(f"kind: got {kind!r}, expected one of {', '.join(get_args(Classifier))}")
    x, y = (points.detach().cpu().double().numpy() + 0.0 for points in (real, fake))  # + 0.0: -0.0 equals 0.0
    rng = np.random.default_rng(seed)
    partner = _partners(x, y, rng)
    folds = rng.permutation(len(x)) % FOLDS
    correct = np.zeros((len(x), 2), dtype=bool)
    for fold in range(FOLDS):
        seen, unseen = folds != fold, folds == fold
        train = np.concatenate([x[seen], y[partner[seen]]])
        test = np.concatenate([x[unseen], y[partner[unseen]]])
        says_fake = _classify(train, np.repeat([False, True], seen.sum()), test, kind)
        is_real, is_fake = np.split(says_fake, 2)
        correct[unseen, 0] = ~is_real
        correct[partner[unseen], 1] = is_fake
    return Told(float(correct.mean()), correct)


def _partners(x: Points, y: Points, rng: np.random.Generator) -> Int[np.ndarray, "n"]:
    """For every real example a fake one of its own: an equal one where there is one, else any."""
    waiting: dict[bytes, list[int]] = defaultdict(list)
    for i in rng.permutation(len(x)):
        waiting[x[i].tobytes()].append(int(i))
    partner = np.full(len(x), -1)
    free = []
    for j in rng.permutation(len(y)):
        equal = waiting.get(y[j].tobytes())
        if equal:
            partner[equal.pop()] = j
        else:
            free.append(j)
    partner[partner < 0] = free
    return partner


def _classify(train: Points, is_fake: np.ndarray, test: Points, kind: Classifier) -> Bool[np.ndarray, "m"]:
    match kind:
        case "linear":
            mean, deviation = train.mean(0), train.std(0)
            deviation = np.where(deviation > 0, deviation, 1.0)
            # A normal prior of deviation 0.3 on a weight per standard deviation: it tames 64 features of 180 examples
            # and leaves a difference that is easily seen alone.
            model = LogisticRegression(C=0.1, max_iter=1000)
            return model.fit((train - mean) / deviation, is_fake).predict((test - mean) / deviation)
        case "trees":
            model = HistGradientBoostingClassifier(**TREES)
            return model.fit(train, is_fake).predict(test)
        case _:
            raise InputError(f"kind: got {kind!r}, expected one of {', '.join(get_args(Classifier))}")


class Discrepancy:
    """Mean kernel within real and within fake minus twice that between them, for many subsets of the same points.

    Args:
        real: kernel values of all pairs of real points, (n, n); the diagonal is set to 0 in place.
        fake: of all pairs of fake points, (m, m); the same.
        between: of all real with all fake points, (n, m).

    Example:
        >>> zeros = torch.zeros(2, 2)
        >>> Discrepancy(zeros, zeros.clone(), -torch.ones(2, 2))()
        2.0
    """

    def __init__(self, real: Float[Tensor, "n n"], fake: Float[Tensor, "m m"], between: Float[Tensor, "n m"]) -> None:
        self.real, self.fake = (pairs.fill_diagonal_(0.0).double() for pairs in (real, fake))
        self.between = between.double()

    def __call__(self, real: np.ndarray | None = None, fake: np.ndarray | None = None) -> float:
        """Of these rows of the two samples, each named once and at least 2 of each; None takes all."""
        x, y = (_chosen(len(pairs), rows) for pairs, rows in ((self.real, real), (self.fake, fake)))
        n, m = float(x.sum()), float(y.sum())
        within = x @ (self.real @ x) / (n * (n - 1)) + y @ (self.fake @ y) / (m * (m - 1))
        return float(within - 2 * (x @ (self.between @ y)) / (n * m))


def _chosen(size: int, rows: np.ndarray | None) -> Float[Tensor, "size"]:
    """1 for the rows that are taken, 0 for the others."""
    if rows is None:
        return torch.ones(size, dtype=torch.float64)
    return torch.zeros(size, dtype=torch.float64).index_fill_(0, torch.as_tensor(rows), 1.0)


def gaussian_discrepancy(pairs: Distances) -> Discrepancy:
    r"""With the mean of Gaussian kernels :math:`\exp(-\|x - y\|^2 / 2 (s\sigma)^2)` over three scales s.

    :math:`\sigma` is the median distance of two real examples: samples do not choose the ruler that measures them.

    Raises:
        InputError: if half of the pairs of real examples are at distance 0.
    """
    n = len(pairs.real)
    median = float(pairs.real[tuple(torch.triu_indices(n, n, 1))].median())
    if median == 0:
        raise InputError("real: half of the pairs are at distance 0, expected examples that differ")

    def kernel(distances: Tensor) -> Tensor:
        squares = (distances.double() / median).square()
        return torch.stack([torch.exp(squares / (-2 * s**2)) for s in SCALES]).mean(0)

    return Discrepancy(kernel(pairs.real), kernel(pairs.fake), kernel(pairs.between))


def energy_discrepancy(pairs: Distances) -> Discrepancy:
    """With minus the distance: calling it gives the unbiased energy distance.

    Example:
        >>> energy_discrepancy(Distances(torch.zeros(2, 1), torch.ones(2, 1)))()
        2.0
    """
    return Discrepancy(-pairs.real, -pairs.fake, -pairs.between)


def maximum_mean_discrepancy(real: Float[Tensor, "n dim"], fake: Float[Tensor, "m dim"]) -> float:
    """Unbiased squared maximum mean discrepancy with Gaussian kernels; it can be slightly negative.

    Raises:
        InputError: if there are fewer than two points, the dimensions differ, a number is not finite, or half of the
            pairs of real examples are at distance 0.

    Example:
        Points so far away that only the kernels within count, exp(-1/2), exp(-2) and exp(-1/8) of each sample:

        >>> x = torch.tensor([[0.0], [1.0]])
        >>> maximum_mean_discrepancy(x, x + 1e6)
        1.08290
    """
    return gaussian_discrepancy(Distances(real, fake))()


def sliced_wasserstein(
    real: Float[Tensor, "n dim"], fake: Float[Tensor, "n dim"], *, directions: int = DIRECTIONS, seed: int = 0
) -> float:
    r"""Sliced 2-Wasserstein distance, in the units of the features.

    .. math:: \Bigl(\frac1{L} \sum_{l=1}^{L} \frac1n \sum_{i=1}^n
        \bigl((\omega_l \cdot x)_{(i)} - (\omega_l \cdot y)_{(i)}\bigr)^2\Bigr)^{1/2}, \qquad \|\omega_l\| = 1

    with the i-th smallest against the i-th smallest. A shift by :math:`\delta` gives :math:`\|\delta\| / \sqrt d`.

    Args:
        real: (n, dim).
        fake: (n, dim).
        directions: L.
        seed: of the directions.

    Raises:
        InputError: if the shapes differ or there is no point.

    Example:
        >>> x = torch.tensor([[0.0], [1.0], [5.0]])
        >>> sliced_wasserstein(x, x.flip(0) + 3)
        3.0
    """
    _check(real, fake, least=1)
    return sorted_distance(project(real, directions, seed), project(fake, directions, seed))


def sorted_distance(x: Float[Tensor, "n directions"], y: Float[Tensor, "n directions"]) -> float:
    """The same of points that are projected already: every column is sorted, smallest against smallest.

    Example:
        >>> sorted_distance(torch.tensor([[0.0], [1.0]]), torch.tensor([[4.0], [3.0]]))
        3.0
    """
    return math.sqrt((x.sort(0).values - y.sort(0).values).square().mean())


def project(x: Float[Tensor, "n dim"], directions: int = DIRECTIONS, seed: int = 0) -> Float[Tensor, "n directions"]:
    """Coordinates of points along random directions, uniform on the sphere and fixed by ``seed``.

    Example:
        >>> project(torch.ones(3, 1)).abs().unique().tolist()
        [1.0]
    """
    omega = np.random.default_rng(seed).standard_normal((x.shape[1], directions))
    return x.detach().cpu().double() @ torch.from_numpy(omega / np.linalg.norm(omega, axis=0))


def _check(real: Tensor, fake: Tensor, least: int) -> None:
    if real.shape != fake.shape or real.ndim != 2 or len(real) < least:
        shapes = f"{tuple(real.shape)} and {tuple(fake.shape)}"
        raise InputError(f"real, fake: got features of shapes {shapes}, expected one shape (n, dim), n >= {least}")
