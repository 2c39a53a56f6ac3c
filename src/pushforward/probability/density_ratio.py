r"""The ratio of two densities from samples of both, and what it is good for.

.. math:: r(x) = \frac{p(x)}{q(x)}

* *Importance weights*: :math:`E_p f = E_q\, r f`: samples of q stand for p. If only the inputs of a task are
  distributed otherwise than in training (covariate shift), weighting the training losses by r repairs it; how many
  samples the weights leave, ``Ratio.effective_sample_size`` says.
* *Divergence*: :math:`KL(p \Vert q) = E_p \ln r`.
* *A two-sample test*: if p = q, nothing can be learned, and shuffling the sides changes nothing.

Four ways to learn it: a probabilistic *classifier* (``critic.py``); *KLIEP* and *uLSIF*, sums of bumps
(``kernel_ratios.py``); and *telescoping*: where p and q are so far apart that any classifier is always right, the
ratio is a product over waypoints :math:`p_k` between them, each factor of which is easy,

.. math:: \ln r = \sum_{k=1}^{K} \ln \frac{p_k}{p_{k-1}}, \qquad
          x_k = \sqrt{1 - (k/K)^2}\; x_q + \frac{k}{K}\, x_p.

Whatever the way, it is *cross-fitted*: the samples are cut into three, each part is scored by what was learned from the
others, and these scores, of all samples and of none that was learned from, calibrate the ratio (Platt's scaling) and
estimate the divergence. The ratio returned is the geometric mean of the three.

Reference:
    Sugiyama, Suzuki and Kanamori 2012, "Density Ratio Estimation in Machine Learning"; Rhodes, Xu and Gutmann 2020,
    "Telescoping Density-Ratio Estimation"; Lopez-Paz and Oquab 2017, "Revisiting Classifier Two-Sample Tests".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from pushforward.core.errors import InputError, check_count
from pushforward.probability.critic import platt_scaling, train_critic
from pushforward.probability.kernel_ratios import fit_kliep, fit_ulsif
from pushforward.probability.nats import Nats, as_points, mean_of, split_rows
from pushforward.probability.weights import check_log_weights, effective_sample_size

__all__ = ["Ratio", "RatioMethod", "TwoSampleTest", "fit_ratio", "two_sample_test"]

RatioMethod = Literal["classifier", "kliep", "ulsif", "telescoping"]

#: Parts of the cross-fitting, and the least samples of a side: each part then has seven to calibrate with.
FOLDS, LEAST = 3, 20

#: The share of the samples to learn from that stops the training of a classifier.
HELD_OUT = 0.2

#: Waypoints of the telescope; Rhodes et al. use 4 to 10 in tens of dimensions.
BRIDGES = 4

LogRatio = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Ratio:
    """A learned ratio p / q.

    Args:
        parts: log-ratios learned on parts of the samples, in standardised units.
        mean: of the samples of both sides.
        std: theirs.
        alpha: the slope of the calibration; 1 if it changed nothing.
        beta: its offset.
        kl: the divergence of p from q, from samples that were not learned from. Its standard error is that of the
            mean, not of the learning.
        method: how it was learned.
    """

    parts: tuple[LogRatio, ...]
    mean: Float[Tensor, "dim"]
    std: Float[Tensor, "dim"]
    alpha: float
    beta: float
    kl: Nats
    method: RatioMethod

    def log_ratio(self, x: Float[Tensor, "n *shape"]) -> Float[Tensor, "n"]:
        """ln p(x) / q(x).

        Raises:
            InputError: if x is not finite, or has not the shape that was learned.
        """
        points = as_points(x, "x", least=1)
        if points.shape[1] != len(self.mean):
            raise InputError(f"x: got samples of {points.shape[1]} entries, expected {len(self.mean)}")
        z = (points - self.mean) / self.std
        return self.alpha * torch.stack([part(z) for part in self.parts]).mean(0) + self.beta

    def weights(self, x: Float[Tensor, "n *shape"]) -> Float[Tensor, "n"]:
        """Importance weights of samples of q that are to stand for p, with mean 1.

        Raises:
            InputError: if they are all zero: no sample of q is where p is.
        """
        log_weights = self.log_ratio(x)
        check_log_weights(log_weights)
        return log_weights.softmax(0) * len(x)

    def effective_sample_size(self, x: Float[Tensor, "n *shape"]) -> float:
        """How many samples of p the weighted samples x of q are worth."""
        return float(effective_sample_size(self.log_ratio(x)))


def fit_ratio(
    p: Float[Tensor, "n *shape"],
    q: Float[Tensor, "m *shape"],
    *,
    method: RatioMethod = "classifier",
    generator: torch.Generator | None = None,
) -> Ratio:
    """Learn p / q from samples of both.

    Args:
        p: samples of the numerator, at least 20.
        q: of the denominator.
        method: how.
        generator: for splits, initial weights and centres; None takes torch's default one.

    Raises:
        InputError: if there are fewer than 20 samples of a side, one is not finite, the shapes differ, the samples are
            all identical, or there is no such method.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> p, q = torch.randn(600, generator=generator) + 1, torch.randn(600, generator=generator)
        >>> ratio = fit_ratio(p, q, method="ulsif", generator=generator)
        >>> 0.3 < ratio.kl.value < 0.7  # 1/2
        True
        >>> ratio.effective_sample_size(q) < 600
        True
    """
    if method not in get_args(RatioMethod):
        raise InputError(f"method: got {method!r}, expected one of {', '.join(get_args(RatioMethod))}")
    p, q, mean, std = _standardised(p, q)
    parts, scores = [], (p.new_empty(len(p)), q.new_empty(len(q)))
    folds = [split_rows(len(x), (1 / FOLDS,) * FOLDS, generator) for x in (p, q)]
    for left_out in range(FOLDS):
        of_p, of_q = (torch.cat([*rows[:left_out], *rows[left_out + 1 :]]) for rows in folds)
        part = _learn(p[of_p], q[of_q], method, generator)
        for x, rows, score in zip((p, q), folds, scores, strict=True):
            score[rows[left_out]] = part(x[rows[left_out]])
        parts.append(part)
    alpha, beta = platt_scaling(*scores)
    kl = mean_of(alpha * scores[0] + beta, f"density ratio ({method})")
    return Ratio(tuple(parts), mean, std, alpha, beta, kl, method)


def _learn(p: Tensor, q: Tensor, method: RatioMethod, generator: torch.Generator | None) -> LogRatio:
    """A log-ratio from standardised samples."""
    match method:
        case "classifier":
            return _classifier(p, q, generator)
        case "kliep":
            return fit_kliep(p, q, generator=generator)
        case "ulsif":
            return fit_ulsif(p, q, generator=generator)
        case "telescoping":
            return _telescope(p, q, generator)
        case _:
            raise InputError(f"method: got {method!r}, expected one of {', '.join(get_args(RatioMethod))}")


def _classifier(p: Tensor, q: Tensor, generator: torch.Generator | None) -> LogRatio:
    sides = []
    for x in (p, q):
        train, held_out = split_rows(len(x), (1 - HELD_OUT, HELD_OUT), generator)
        sides.append((x[train], x[held_out]))
    (p_train, p_held_out), (q_train, q_held_out) = sides
    return train_critic((p_train, q_train), (p_held_out, q_held_out), generator=generator)


def _telescope(p: Tensor, q: Tensor, generator: torch.Generator | None) -> LogRatio:
    """The sum of the log-ratios of neighbouring waypoints, between samples paired at random."""
    n = min(len(p), len(q))
    x_p, x_q = (x[torch.randperm(len(x), generator=generator)[:n]] for x in (p, q))
    points = [math.sqrt(1 - (k / BRIDGES) ** 2) * x_q + k / BRIDGES * x_p for k in range(BRIDGES + 1)]
    bridges = [_classifier(after, before, generator) for before, after in zip(points[:-1], points[1:], strict=True)]
    return lambda x: torch.stack([bridge(x) for bridge in bridges]).sum(0)


class TwoSampleTest(NamedTuple):
    """Whether two samples come from one distribution.

    Args:
        statistic: the mean log-ratio over p minus that over q, on samples that were not learned from; about 0 if p = q.
        p_value: the share of shuffles of the sides in which it is as large; uniform if p = q.
    """

    statistic: float
    p_value: float


def two_sample_test(
    p: Float[Tensor, "n *shape"],
    q: Float[Tensor, "m *shape"],
    *,
    method: RatioMethod = "classifier",
    shuffles: int = 999,
    generator: torch.Generator | None = None,
) -> TwoSampleTest:
    """Learn the log-ratio from one half of the samples, and see on the other half whether it tells the sides apart.

    The test is exact: if p = q, its p-value is at most a with a probability of at most a, however well or badly the
    ratio was learned.

    Args:
        p: samples of the one, at least 20.
        q: of the other.
        method: how the ratio is learned.
        shuffles: of the sides of the second half; the p-value is at least 1 / (shuffles + 1).
        generator: for splits, learning and shuffles.

    Raises:
        InputError: as ``fit_ratio`` does.

    Example:
        >>> x = torch.linspace(-1, 1, 200)
        >>> two_sample_test(x, x + 1, method="ulsif", generator=torch.Generator().manual_seed(0)).p_value
        0.001
    """
    check_count(shuffles, "shuffles")
    p, q, _, _ = _standardised(p, q)
    (p_train, p_test), (q_train, q_test) = (split_rows(len(x), (0.5, 0.5), generator) for x in (p, q))
    log_ratio = _learn(p[p_train], q[q_train], method, generator)
    scores = torch.cat((log_ratio(p[p_test]), log_ratio(q[q_test]))).double()
    n = len(p_test)
    # Both means follow from the sum over one side: the total stays.
    statistic = float(scores[:n].mean() - scores[n:].mean())
    shuffled = torch.stack(
        [scores[torch.randperm(len(scores), generator=generator)[:n]].sum() for _ in range(shuffles)]
    )
    gaps = shuffled / n - (scores.sum() - shuffled) / (len(scores) - n)
    rounding = 1e-12 * float(scores.abs().max())
    return TwoSampleTest(statistic, (1 + int((gaps >= statistic - rounding).sum())) / (shuffles + 1))


def _standardised(p: Tensor, q: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Both samples in units of their common mean and standard deviation, which are returned too."""
    p, q = as_points(p, "p", least=LEAST), as_points(q, "q", least=LEAST)
    if p.shape[1] != q.shape[1]:
        raise InputError(f"q: got samples of {q.shape[1]} entries, expected {p.shape[1]} as in p")
    both = torch.cat((p, q.to(p)))
    for x, name in ((p, "p"), (q, "q")):
        if bool((x == x[0]).all()):
            raise InputError(f"{name}: the {len(x)} samples are identical, expected samples of a density")
    mean, std = both.mean(0), both.std(0)
    std = torch.where(std > 0, std, 1.0)
    return (p - mean) / std, (q.to(p) - mean) / std, mean, std
