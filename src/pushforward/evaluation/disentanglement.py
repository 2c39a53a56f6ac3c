r"""Does each unit of a code stand for one factor of variation? Three answers, for data whose factors are known.

With codes :math:`z_i`, factors :math:`v_k` and everything measured on held-out examples:

* **MIG**, mutual information gap (Chen et al. 2018, eq. 6): how much more the best unit knows of a factor than the
  second best,

  .. math:: \frac1K \sum_k \frac{I(z_{i(k)}; v_k) - \max_{i \ne i(k)} I(z_i; v_k)}{H(v_k)} ;

* **DCI** (Eastwood and Williams 2018): from importances :math:`R_{ik}` of unit i for predicting factor k,
  *disentanglement*, one minus the entropy of a row (a unit serves one factor); *completeness*, one minus the entropy of
  a column (a factor is served by one unit); *informativeness*, how well the factors can be told at all;
* **SAP**, separated attribute predictability (Kumar et al. 2018, section 3): as MIG with the squared correlation
  in place of the information, for factors that have an order.

All are 1 for a code that is the factors themselves, in any order and scale, and 0 for one that has nothing to do with
them. They say nothing where factors are unknown, and no objective reaches them without help from the data (Locatello
et al. 2019).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pushforward.core.errors import InputError

__all__ = ["DCI", "disentanglement_scores", "factor_importance", "mutual_information_gap", "sap"]

#: Bins of a unit, of equal width, when its information is counted (Locatello et al. 2019).
BINS = 20

#: Trees of a forest. Each sees all units at every split, so that the best one is taken and not its stand-in.
TREES = 20


@dataclass(frozen=True)
class DCI:
    """Disentanglement, completeness and informativeness, each from 0 to 1.

    Args:
        disentanglement: whether a unit serves one factor.
        completeness: whether a factor is served by one unit.
        informativeness: held-out accuracy of the prediction of the factors, above what the commonest value gives:
            0 for chance, 1 for no errors.
        importance: R, one row per unit and one column per factor; every column sums to 1.
    """

    disentanglement: float
    completeness: float
    informativeness: float
    importance: Float[Tensor, "latent factors"]


def mutual_information_gap(z: Float[Tensor, "n latent"], factors: Int[Tensor, "n factors"]) -> float:
    """MIG of codes: factors as whole numbers.

    Raises:
        InputError: if there are fewer than two units, or codes and factors are not of equal number.

    Example:
        >>> factors = torch.cartesian_prod(torch.arange(3), torch.arange(4))
        >>> mutual_information_gap(factors.float(), factors)
        1.0
    """
    _check(z, factors)
    cells = torch.stack([_binned(unit) for unit in z.T])
    gaps = []
    for factor in factors.T:
        entropy = _entropy(factor)
        shared = torch.tensor([_entropy(unit) + entropy - _joint_entropy(unit, factor) for unit in cells])
        best, second = shared.topk(2).values
        gaps.append(float((best - second) / max(entropy, 1e-12)))
    return float(np.mean(gaps))


def sap(z: Float[Tensor, "n latent"], factors: Float[Tensor, "n factors"]) -> float:
    """SAP of codes: the gap between the two largest squared correlations with a factor, averaged over factors.

    Raises:
        InputError: if there are fewer than two units, or codes and factors are not of equal number.

    Example:
        >>> factors = torch.cartesian_prod(torch.arange(3.0), torch.arange(4.0))
        >>> round(sap(2 * factors - 1, factors), 6)
        1.0
    """
    _check(z, factors)
    units, known = _standard(z), _standard(factors)
    squares = (units.T @ known / len(z)).square()
    best, second = squares.topk(2, dim=0).values
    return float((best - second).mean())


def disentanglement_scores(z: Float[Tensor, "n latent"], factors: Int[Tensor, "n factors"], *, seed: int = 0) -> DCI:
    """DCI of codes, from random forests: fitted on two thirds of the examples, judged on the rest.

    Raises:
        InputError: if there are fewer than two units or factors, or codes and factors are not of equal number.
    """
    _check(z, factors)
    if factors.shape[1] < 2:
        raise InputError(f"factors: got {factors.shape[1]} of them, expected at least 2")
    importance, told = factor_importance(z, factors, seed=seed)
    rows = importance / importance.sum(1, keepdim=True).clamp(min=1e-12)
    columns = importance / importance.sum(0).clamp(min=1e-12)
    weight = importance.sum(1) / importance.sum().clamp(min=1e-12)
    units, count = importance.shape
    disentangled = 1 - torch.special.entr(rows).sum(1) / np.log(count)
    complete = 1 - torch.special.entr(columns).sum(0) / np.log(units)
    return DCI(float((weight * disentangled).sum()), float(complete.mean()), told, importance)


def factor_importance(
    z: Float[Tensor, "n latent"], factors: Int[Tensor, "n factors"], *, seed: int = 0
) -> tuple[Float[Tensor, "latent factors"], float]:
    """The importance of every unit for telling every factor, and how well that is done beyond chance."""
    from sklearn.ensemble import RandomForestClassifier

    order = np.random.default_rng(seed).permutation(len(z))
    fit, held = order[len(z) // 3 :], order[: len(z) // 3]
    every_unit: Any = {"max_features": None}
    codes, importance, told = z.double().numpy(), [], []
    for factor in factors.numpy().T:
        forest = RandomForestClassifier(TREES, min_samples_leaf=2, random_state=seed, n_jobs=1, **every_unit)
        forest.fit(codes[fit], factor[fit])
        importance.append(forest.feature_importances_)
        chance = np.unique(factor[held], return_counts=True)[1].max() / len(held)
        right = float((forest.predict(codes[held]) == factor[held]).mean())
        told.append(max((right - chance) / max(1 - chance, 1e-12), 0.0))
    return torch.tensor(np.stack(importance, axis=1)), float(np.mean(told))


def _check(z: Tensor, factors: Tensor) -> None:
    if z.ndim != 2 or z.shape[1] < 2:
        raise InputError(f"z: got shape {tuple(z.shape)}, expected rows of at least 2 units")
    if factors.ndim != 2 or len(factors) != len(z):
        raise InputError(f"factors: got shape {tuple(factors.shape)}, expected {len(z)} rows, one per code")


def _binned(unit: Float[Tensor, "n"]) -> Int[Tensor, "n"]:
    low, high = unit.min(), unit.max()
    scaled = (unit - low) / (high - low).clamp(min=torch.finfo(unit.dtype).tiny)
    return (scaled * BINS).long().clamp(max=BINS - 1)


def _entropy(cells: Int[Tensor, "n"]) -> float:
    share = cells.unique(return_counts=True)[1].double() / len(cells)
    return float(torch.special.entr(share).sum())


def _joint_entropy(a: Int[Tensor, "n"], b: Int[Tensor, "n"]) -> float:
    return _entropy(a * (int(b.max()) + 1 - min(int(b.min()), 0)) + b)


def _standard(x: Tensor) -> Tensor:
    centred = x.double() - x.double().mean(0)
    return centred / centred.std(0, correction=0).clamp(min=1e-12)
