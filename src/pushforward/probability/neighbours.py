r"""Information from samples alone, by the distances to nearest neighbours.

In a ball that holds k of n samples the density is about k / (n volume): with :math:`\rho_i` the distance from
:math:`x_i` to its k-th neighbour among the others, :math:`\nu_i` that to its k-th neighbour among m samples y, and
:math:`V` the volume of the unit ball in d dimensions,

.. math::

    \hat H(p) &= \psi(n) - \psi(k) + \ln V + \frac{d}{n} \sum_i \ln \rho_i \\
    \hat H(p, q) &= \ln m - \psi(k) + \ln V + \frac{d}{n} \sum_i \ln \nu_i \\
    \widehat{KL}(p \,\Vert\, q) &= \frac{d}{n} \sum_i \ln \frac{\nu_i}{\rho_i} + \ln \frac{m}{n - 1} \\
    \hat I(x; y) &= \psi(k) + \psi(n) - \frac{1}{n} \sum_i \bigl[ \psi(n_{x,i} + 1) + \psi(n_{y,i} + 1) \bigr],

in the last of which neighbours are those in the larger of the two distances, and :math:`n_x`, :math:`n_y` count samples
strictly within it along x and along y (Kraskov's first algorithm: of independent blocks the bias cancels).

All are *estimates*: they take the density as constant within each ball, and balls grow with the dimension. Measured
over 100 seeds on 2,000 standard normal samples, the bias is -0.005 nats for the entropy in one dimension, -0.012 in two
and -0.065 in five; of divergences of 0.5, -0.005 in one and -0.08 in five; of an information of 0.83, +0.01. Standard
errors take the terms as independent: they leave the bias out, and are up to a third too small.

Reference:
    Kozachenko and Leonenko 1987, "Sample Estimate of the Entropy of a Random Vector"; Wang, Kulkarni and Verdú 2009,
    "Divergence Estimation for Multidimensional Densities via k-Nearest-Neighbor Distances", eq. 14; Kraskov, Stögbauer
    and Grassberger 2004, "Estimating Mutual Information", eq. 8.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.spatial import KDTree
from scipy.special import digamma
from torch import Tensor

from pushforward.core.errors import InputError
from pushforward.probability.nats import Nats, as_points, mean_of

__all__ = ["neighbour_cross_entropy", "neighbour_divergence", "neighbour_entropy", "neighbour_information"]

#: The k-th neighbour: a small one has little bias and more variance; Kraskov et al. recommend 2 to 4.
NEIGHBOUR = 3


def neighbour_entropy(x: Tensor, *, k: int = NEIGHBOUR) -> Nats:
    """Differential entropy of what the samples x, (n, ...), come from (Kozachenko and Leonenko).

    Raises:
        InputError: if there are not more than k samples, one is not finite, or k + 1 of them are equal.

    Example:
        >>> x = torch.rand(2000, generator=torch.Generator().manual_seed(0))
        >>> found = neighbour_entropy(x)  # uniform on [0, 1): 0
        >>> abs(found.value) < 3 * found.standard_error
        True
    """
    points = _points(x, "x", least=k + 1)
    n, dim = points.shape
    terms = digamma(n) - digamma(k) + _log_unit_ball(dim) + dim * np.log(_distances(points, points, k, "x"))
    return mean_of(torch.from_numpy(terms), f"nearest neighbours (Kozachenko-Leonenko, k = {k})")


def neighbour_cross_entropy(x: Tensor, y: Tensor, *, k: int = NEIGHBOUR) -> Nats:
    """Minus E_p log q from samples x of p and y of q.

    Raises:
        InputError: as ``neighbour_divergence`` does.
    """
    p, q = _pair(x, y, k)
    dim = p.shape[1]
    terms = math.log(len(q)) - digamma(k) + _log_unit_ball(dim) + dim * np.log(_distances(p, q, k, "x, y"))
    return mean_of(torch.from_numpy(terms), f"nearest neighbours (k = {k})")


def neighbour_divergence(x: Tensor, y: Tensor, *, k: int = NEIGHBOUR) -> Nats:
    """KL(p || q) from samples x of p, (n, ...), and y of q, (m, ...).

    From samples alone nobody can tell that q has no mass somewhere: where supports differ the truth is infinite, and
    this number only large.

    Raises:
        InputError: if there are too few samples, the dimensions differ, one is not finite, or k + 1 of them are equal.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> x, y = torch.randn(2000, generator=generator), torch.randn(2000, generator=generator)
        >>> found = neighbour_divergence(x + 1, y)  # 1/2
        >>> abs(found.value - 0.5) < 3 * found.standard_error
        True
    """
    p, q = _pair(x, y, k)
    ratio = np.log(_distances(p, q, k, "x, y")) - np.log(_distances(p, p, k, "x"))
    terms = p.shape[1] * ratio + math.log(len(q) / (len(p) - 1))
    return mean_of(torch.from_numpy(terms), f"nearest neighbours (Wang-Kulkarni-Verdu, k = {k})")


def neighbour_information(x: Tensor, y: Tensor, *, k: int = NEIGHBOUR) -> Nats:
    """Mutual information of x and y from n pairs of them (Kraskov, Stögbauer and Grassberger).

    Each column is standardised first, which changes no information and makes distances along x and y comparable.

    Raises:
        InputError: if there are not as many x as y, not more than k, one is not finite, or k + 1 pairs are equal.

    Example:
        >>> x = torch.linspace(0, 1, 500)
        >>> neighbour_information(x, x.flip(0)).value > 3  # it is infinite
        True
    """
    first, second = _points(x, "x", least=k + 1), _points(y, "y", least=k + 1)
    if len(first) != len(second):
        raise InputError(f"y: got {len(second)} samples for {len(first)} of x, expected one for each")
    first, second = first / first.std(0), second / second.std(0)
    both = np.concatenate((first, second), axis=1)
    reach = _distances(both, both, k, "x, y", norm=np.inf)
    # Strictly within: the next smaller number, so that the k-th neighbour itself does not count, nor (-1) does i.
    n_x, n_y = (_within(block, np.nextafter(reach, 0)) for block in (first, second))
    terms = digamma(k) + digamma(len(first)) - digamma(n_x + 1) - digamma(n_y + 1)
    return mean_of(torch.from_numpy(terms), f"nearest neighbours (Kraskov-Stoegbauer-Grassberger, k = {k})")


def _distances(x: np.ndarray, y: np.ndarray, k: int, name: str, *, norm: float = 2.0) -> np.ndarray:
    """From each x to its k-th neighbour in y; where y is x, the sample itself is none."""
    own = int(y is x)
    found = np.asarray(KDTree(y).query(x, k=k + own, p=norm)[0]).reshape(len(x), -1)[:, -1]
    if (found == 0).any():
        raise InputError(
            f"{name}: got {k + 1} equal samples, where the density has no bound, expected continuous data, no repeats"
        )
    return found


def _within(x: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """How many other samples lie within reach of each, in the largest entry of the difference."""
    return KDTree(x).query_ball_point(x, reach, p=np.inf, return_length=True) - 1


def _points(x: Tensor, name: str, *, least: int) -> np.ndarray:
    points = as_points(x, name, least=least).double().cpu().numpy()
    if (points == points[0]).all():
        raise InputError(f"{name}: the {len(points)} samples are identical, expected samples of a density")
    if (flat := np.flatnonzero((points == points[0]).all(0))).size:
        raise InputError(f"{name}: entry {flat[0]} never varies, where there is no density, expected it to be left out")
    return points


def _pair(x: Tensor, y: Tensor, k: int) -> tuple[np.ndarray, np.ndarray]:
    p, q = _points(x, "x", least=k + 1), _points(y, "y", least=k)
    if p.shape[1] != q.shape[1]:
        raise InputError(f"y: got samples of {q.shape[1]} entries, expected {p.shape[1]} as in x")
    return p, q


def _log_unit_ball(dim: int) -> float:
    r"""The logarithm of :math:`\pi^{d/2} / \Gamma(d/2 + 1)`."""
    return 0.5 * dim * math.log(math.pi) - math.lgamma(0.5 * dim + 1)
