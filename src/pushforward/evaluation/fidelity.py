r"""How close generated features are to real ones, on tensors of features: real first, fake second.

* Fréchet distance (Heusel et al. 2017, https://arxiv.org/abs/1706.08500, eq. 6), between Gaussians of the same moments,
  :math:`\|\mu_1 - \mu_2\|^2 + \operatorname{tr}\bigl(\Sigma_1 + \Sigma_2 - 2 (\Sigma_1 \Sigma_2)^{1/2}\bigr)`;
* kernel distance (Bińkowski et al. 2018, https://arxiv.org/abs/1801.01401, section 4), the unbiased squared maximum
  mean discrepancy with :math:`k(x, y) = (x \cdot y / d + 1)^3`, over all pairs;
* precision and recall (Kynkäänniemi et al. 2019, https://arxiv.org/abs/1904.06991), density and coverage (Naeem et al.
  2020, https://arxiv.org/abs/2002.09797), from balls that reach to the k-th nearest neighbour;
* the Inception score (Salimans et al. 2016, https://arxiv.org/abs/1606.03498) of the class probabilities of any
  classifier.

The distances of n points are biased upwards by an amount that falls with n (the kernel distance is not): compare
values at equal n only. For many half-samples of the same points (a jackknife) keep the matrices of all pairs once, in
:class:`Distances` and :class:`Kernels`, and give the rows:

    Distances(real, fake).prdc(rows_real, rows_fake, k=5) -> Fidelity(precision, recall, density, coverage)
    Kernels(real, fake).distance(rows_real, rows_fake) -> float
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pushforward.core.errors import InputError
from pushforward.evaluation.neighbours import distances, membership, radii

__all__ = [
    "Distances",
    "Fidelity",
    "Kernels",
    "frechet_distance",
    "inception_score",
    "kernel_distance",
    "prdc",
]

#: Which points of a set: whole numbers, from torch or numpy.
Rows = Int[Tensor, "rows"] | np.ndarray | Sequence[int]

#: Rows of a block of kernel values: 16 MiB in float32.
BLOCK = 2048

#: Singular values of a larger matrix are the roots of the eigenvalues of its square, which come several times faster.
SMALL = 512


class Fidelity(NamedTuple):
    """Shares of points that lie inside the neighbourhoods of the other set; 1 is ideal, density can exceed it."""

    precision: float
    recall: float
    density: float
    coverage: float


def frechet_distance(real: Float[Tensor, "n dim"], fake: Float[Tensor, "m dim"]) -> float:
    r"""Fréchet distance (squared 2-Wasserstein distance) between the Gaussians of the two samples' moments.

    With any factors :math:`\Sigma_i = L_i L_i^\top` the trace of the root is the sum of the singular values of
    :math:`L_1^\top L_2`: real, never negative, and defined for fewer samples than features.

    Args:
        real: features, (n, dim), n at least 2.
        fake: features, (m, dim), m at least 2.

    Raises:
        InputError: if there are fewer than two points, the dimensions differ, or a number is not finite.

    Example:
        Moving a sample by (3, 4) leaves its covariance alone:

        >>> x = torch.tensor([[0.0, 1.0], [2.0, 0.0], [1.0, 5.0]])
        >>> frechet_distance(x, x + torch.tensor([3.0, 4.0]))
        25.0
    """
    _check(real, fake, least=2)
    real_mean, real_factor = _moments(real)
    fake_mean, fake_factor = _moments(fake)
    root = _nuclear_norm(real_factor.T @ fake_factor)
    traces = np.square(real_factor).sum() + np.square(fake_factor).sum()
    return max(float(np.square(real_mean - fake_mean).sum() + traces - 2 * root), 0.0)


def _moments(x: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Mean and a factor L of the covariance, L L^T = Σ, of shape (dim, min(n, dim)), in float64."""
    points = x.detach().cpu().double().numpy()
    mean = points.mean(axis=0)
    centred = (points - mean) / np.sqrt(len(points) - 1)
    if len(points) <= points.shape[1]:
        return mean, centred.T
    # numpy multiplies a matrix by its own transpose at half the cost
    covariance = centred.T @ centred
    try:
        return mean, np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:  # singular: constant or dependent features
        values, vectors = np.linalg.eigh(covariance)
        return mean, vectors * np.sqrt(values.clip(min=0))


def _nuclear_norm(matrix: np.ndarray) -> float:
    """The sum of the singular values; beyond ``SMALL`` each is exact to 1e-8 of the largest."""
    if min(matrix.shape) <= SMALL:
        return float(np.linalg.svd(matrix, compute_uv=False).sum())
    return float(np.sqrt(np.linalg.eigvalsh(matrix.T @ matrix).clip(min=0)).sum())


def kernel_distance(real: Float[Tensor, "n dim"], fake: Float[Tensor, "m dim"]) -> float:
    r"""Unbiased squared maximum mean discrepancy with the polynomial kernel, over all pairs.

    .. math:: \frac{1}{n(n-1)} \sum_{i \ne j} k(x_i, x_j) + \frac{1}{m(m-1)} \sum_{i \ne j} k(y_i, y_j)
        - \frac{2}{nm} \sum_{i, j} k(x_i, y_j), \qquad k(x, y) = \Bigl(\frac{x \cdot y}{d} + 1\Bigr)^3 .

    Kernels are taken in the precision of the features and summed in float64. The distance can be slightly negative.

    Raises:
        InputError: if there are fewer than two points, the dimensions differ, or a number is not finite.

    Example:
        >>> kernel_distance(torch.tensor([[0.0], [0.0]]), torch.tensor([[1.0], [1.0]]))
        7.0
    """
    _check(real, fake, least=2)
    n, m = len(real), len(fake)
    within = _within_sum(real) / (n * (n - 1)) + _within_sum(fake) / (m * (m - 1))
    between = sum(_total(_kernel(a, b)) for a in real.split(BLOCK) for b in fake.split(BLOCK))
    return within - 2 * between / (n * m)


def _kernel(x: Tensor, y: Tensor) -> Float[Tensor, "n m"]:
    """k(x, y) of every pair."""
    # numpy multiplies a matrix by its own transpose at half the cost
    products = x.detach().cpu().numpy() @ y.detach().cpu().numpy().T
    return torch.from_numpy(products).div_(x.shape[1]).add_(1).pow_(3)


def _total(block: Tensor) -> float:
    """The sum of a block, over its rows in float64: their own sums are short."""
    return float(block.sum(1).double().sum())


def _within_sum(x: Tensor) -> float:
    """Sum of k over all ordered pairs of two different points."""
    parts = x.split(BLOCK)
    total = 0.0
    for i, part in enumerate(parts):
        total += _total(_kernel(part, part).fill_diagonal_(0.0))
        total += sum(2 * _total(_kernel(part, other)) for other in parts[i + 1 :])
    return total


def prdc(real: Float[Tensor, "n dim"], fake: Float[Tensor, "m dim"], k: int = 5) -> Fidelity:
    r"""Precision, recall, density and coverage.

    With :math:`B(x)` the open ball round x that reaches to its k-th nearest other point of its own set,

    .. math::
        \text{precision} &= \tfrac1m \textstyle\sum_j 1[y_j \in \bigcup_i B(x_i)], &
        \text{recall} &= \tfrac1n \textstyle\sum_i 1[x_i \in \bigcup_j B(y_j)], \\
        \text{density} &= \tfrac1{km} \textstyle\sum_{ij} 1[y_j \in B(x_i)], &
        \text{coverage} &= \tfrac1n \textstyle\sum_i 1[\exists j: y_j \in B(x_i)].

    A point on the edge of a ball is outside of it, so that in a set with more than k copies of a point these balls are
    empty.

    Raises:
        InputError: if a set has not more than k points, the dimensions differ, or a number is not finite.

    Example:
        >>> line = torch.arange(10.0)[:, None]
        >>> prdc(line, line[:5] + 0.1, k=1)
        Fidelity(precision=1.0, recall=0.5, density=2.0, coverage=0.6)
    """
    _check(real, fake, least=k + 1)
    round_real, round_fake = membership(real, fake, radii(real, k), radii(fake, k))
    return Fidelity(
        precision=_share(round_real.balls_per_point > 0),
        recall=_share(round_fake.balls_per_point > 0),
        density=int(round_real.balls_per_point.sum()) / (k * len(fake)),
        coverage=_share(round_real.points_per_ball > 0),
    )


class Distances:
    """The three matrices of distances of two sets, for :func:`prdc` of many subsets of the same points.

    Memory: 4 bytes per pair, three matrices; 300 MB for two sets of 5,000.

    Example:
        >>> line = torch.arange(10.0)[:, None]
        >>> pairs = Distances(line, line + 0.1)
        >>> pairs.prdc(k=1) == prdc(line, line + 0.1, k=1)
        True
        >>> pairs.prdc(torch.arange(10), torch.arange(5), k=1) == prdc(line, line[:5] + 0.1, k=1)
        True
    """

    def __init__(self, real: Float[Tensor, "n dim"], fake: Float[Tensor, "m dim"]) -> None:
        _check(real, fake, least=2)
        self.real = distances(real, real).fill_diagonal_(torch.inf)  # no point is its own neighbour
        self.fake = distances(fake, fake).fill_diagonal_(torch.inf)
        self.between = distances(real, fake)

    def prdc(self, rows_real: Rows | None = None, rows_fake: Rows | None = None, k: int = 5) -> Fidelity:
        """:func:`prdc` of these rows of the two sets; None takes all."""
        real_radii, fake_radii = (
            _kth(_submatrix(pairs, rows, rows), k) for pairs, rows in ((self.real, rows_real), (self.fake, rows_fake))
        )
        between = _submatrix(self.between, rows_real, rows_fake)
        in_real = between < real_radii[:, None]
        return Fidelity(
            precision=_share(in_real.any(0)),
            recall=_share((between < fake_radii).any(1)),
            density=int(in_real.sum()) / (k * between.shape[1]),
            coverage=_share(in_real.any(1)),
        )


class Kernels:
    """The three matrices of kernel values of two sets, for :func:`kernel_distance` of many subsets.

    Memory: 8 bytes per pair, three matrices. A subset costs three products of a matrix with a vector of zeros and ones.

    Example:
        >>> x, y = torch.tensor([[0.0], [0.0], [9.0]]), torch.tensor([[1.0], [1.0], [9.0]])
        >>> Kernels(x, y).distance([0, 1], [0, 1])
        7.0
    """

    def __init__(self, real: Float[Tensor, "n dim"], fake: Float[Tensor, "m dim"]) -> None:
        _check(real, fake, least=2)
        real, fake = real.double(), fake.double()
        self.real = _kernel(real, real).fill_diagonal_(0.0)
        self.fake = _kernel(fake, fake).fill_diagonal_(0.0)
        self.between = _kernel(real, fake)

    def distance(self, rows_real: Rows | None = None, rows_fake: Rows | None = None) -> float:
        """:func:`kernel_distance` of these rows of the two sets, each named once; None takes all."""
        x, y = _chosen(len(self.real), rows_real), _chosen(len(self.fake), rows_fake)
        n, m = float(x.sum()), float(y.sum())
        if min(n, m) < 2:
            raise InputError(f"rows: got {n:g} and {m:g} points, expected at least 2 of each set")
        within = x @ (self.real @ x) / (n * (n - 1)) + y @ (self.fake @ y) / (m * (m - 1))
        return float(within - 2 * (x @ (self.between @ y)) / (n * m))


def inception_score(probabilities: Float[Tensor, "n classes"]) -> float:
    r"""Inception score :math:`\exp \mathbb{E}_x\, \mathrm{KL}\bigl(p(c \mid x) \,\|\, p(c)\bigr)`.

    It lies between 1 and the number of classes. :math:`p(c)` is the mean over the given examples, all of
    them at once (no splits).

    Args:
        probabilities: of the classes, one row per example; every row sums to 1.

    Raises:
        InputError: if the rows are not probabilities.

    Example:
        Two classes, told apart with certainty, each as often:

        >>> inception_score(torch.eye(2))
        2.0
    """
    p = probabilities.double()
    if p.ndim != 2 or len(p) == 0 or not bool(((p >= 0).all(1) & ((p.sum(1) - 1).abs() < 1e-4)).all()):
        raise InputError("probabilities: some rows are not distributions, expected numbers from 0 to 1 that sum to 1")
    marginal = p.mean(0)
    return float((torch.xlogy(p, p) - torch.xlogy(p, marginal)).sum(1).mean().exp())


def _share(true: Tensor) -> float:
    return float(true.double().mean())


def _kth(block: Tensor, k: int) -> Tensor:
    """The k-th smallest of every row; the infinite diagonal is never among them."""
    if not 1 <= k < len(block):
        raise InputError(f"k: got {k}, expected 1 to {len(block) - 1}, one less than the number of points")
    return block.topk(k, dim=1, largest=False).values[:, -1]


def _submatrix(matrix: Tensor, rows: Rows | None, columns: Rows | None) -> Tensor:
    for axis, chosen in enumerate((rows, columns)):
        if chosen is not None:
            matrix = matrix.index_select(axis, torch.as_tensor(chosen))
    return matrix


def _chosen(size: int, rows: Rows | None) -> Tensor:
    """1 for the rows that are taken, 0 for the others."""
    if rows is None:
        return torch.ones(size, dtype=torch.float64)
    return torch.zeros(size, dtype=torch.float64).index_fill_(0, torch.as_tensor(rows), 1.0)


def _check(real: Tensor, fake: Tensor, least: int) -> None:
    """Raise on features that no figure can be taken of."""
    for name, x in (("real", real), ("fake", fake)):
        if x.ndim != 2 or len(x) < least:
            raise InputError(f"{name}: got features of shape {tuple(x.shape)}, expected (n, dim) with n >= {least}")
        if not bool(x.isfinite().all()):
            raise InputError(f"{name}: some features are infinite or not a number, expected finite numbers")
    if real.shape[1] != fake.shape[1]:
        raise InputError(f"fake: got {fake.shape[1]} features, expected {real.shape[1]}, as many as real")
