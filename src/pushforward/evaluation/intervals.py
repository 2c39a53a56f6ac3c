r"""95 % intervals for the expectation of a metric of two samples *at this n*, from paired halves.

A metric of n real and n fake examples is biased by an amount that depends on n, so a bootstrap, whose samples repeat
examples, is centred on another number; nearest neighbours, which the copies of a point become, suffer most. Here no
example is ever repeated. The real and the fake examples are each split at random into two halves S and S', and

.. math:: V = \frac1R \sum_{r=1}^R \Bigl(\frac{\theta(S_r) - \theta(S'_r)}{2}\Bigr)^2 ,
    \qquad E = \operatorname{Var}_r \frac{\theta(S_r) + \theta(S'_r)}{2} .

S and S' share nothing, so they are independent, and V is without bias the variance of the mean of the metric in two
separate samples of n/2: the variance of disjoint blocks (Politis, Romano & Wolf 1999), averaged over R ways to make
them. Take a metric that is a sum over examples and over pairs of them, of variances A and B (Hoeffding decomposition).
V then estimates A + 2B, E estimates B, and V - E, which is minus the covariance of the halves, exactly A + B (Wang &
Lindsay 2014, Statistica Sinica 24, "Variance estimation of a general U-statistic"). Where single examples decide, V is
right; where pairs do, as in two samples of one distribution, it errs to the wide side, by at most the root of 2.
``benchmarks/interval_coverage.py`` measures how often the intervals hold. V - E alone was too short in trials: the
estimates that come out low also have a low estimated variance.

That is what the last step mends, as Wilson (1927, JASA 22) did for shares: the variance is taken not at the estimate
but at the candidate. With :math:`V(\theta) = V + s(\theta - \hat\theta)` the candidates within q standard errors are

.. math:: \{\theta : (\hat\theta - \theta)^2 \le q^2 V(\theta)\}
    = \hat\theta + \frac{q^2 s}{2} \pm \sqrt{\Bigl(\frac{q^2 s}{2}\Bigr)^2 + q^2 V} ,

q being the quantile of Student's t with R degrees of freedom: V is a mean of R squares whose expectation under the
splits is known to be 0. The slope s is 0 for means, (1 - 2p)/n for a share and A/θ for a squared distance, whose
variance from single examples is proportional to it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.stats import t as student

__all__ = [
    "Halves",
    "Interval",
    "Z",
    "distance_interval",
    "mean_interval",
    "paired_halves",
    "score_interval",
    "share_interval",
    "wilson",
]

#: Half-width of 95 % of a normal distribution, in standard deviations.
Z = 1.959964

#: Random splits: the estimated standard error is then itself known to a tenth.
SPLITS = 50


class Interval(NamedTuple):
    """Lower and upper end."""

    low: float
    high: float


@dataclass(frozen=True)
class Halves:
    """A metric on all examples and what its values on halves say.

    Args:
        value: on all examples.
        half: mean of the values on halves: twice as biased.
        variance: V, for the value.
        interaction: E, the part of V that comes from pairs of examples.
        splits: R.
    """

    value: float
    half: float
    variance: float
    interaction: float
    splits: int

    @property
    def quantile(self) -> float:
        """97.5 % of Student's t."""
        return float(student.ppf(0.975, self.splits))


#: A metric, or several, of the rows of the real and of the fake sample.
Statistic = Callable[[np.ndarray, np.ndarray], float | tuple[float, ...]]


def paired_halves(statistic: Statistic, n: int, *, splits: int = SPLITS, seed: int = 0) -> list[Halves]:
    """A metric (or several at once) on all of n real and n fake examples and on ``2 * splits`` halves of them.

    Args:
        statistic: of the chosen rows of the two samples.
        n: rows of each; of an odd number one is left out of every split.
        splits: R, at least 2.
        seed: of the splits.

    Returns:
        One ``Halves`` per number that ``statistic`` returns.

    Example:
        The standard error of a mean, without a formula for it:

        >>> x = np.arange(100.0)
        >>> (mean,) = paired_halves(lambda real, fake: x[real].mean(), 100, splits=1000)
        >>> mean.value, round(mean.variance), round(x.var() / 100)
        (49.5, 9, 8)
    """
    rng = np.random.default_rng(seed)
    whole = np.atleast_1d(statistic(np.arange(n), np.arange(n)))
    m = n // 2
    first, second = [], []
    for _ in range(splits):
        real, fake = rng.permutation(n), rng.permutation(n)
        first.append(np.atleast_1d(statistic(real[:m], fake[:m])))
        second.append(np.atleast_1d(statistic(real[m : 2 * m], fake[m : 2 * m])))
    a, b = np.array(first), np.array(second)
    # An odd n leaves one out: the halves together are 2m examples, and a variance falls as 1/n.
    odd = np.square(a - b).mean(0) / 4 * (2 * m / n)
    even = ((a + b) / 2).var(0, ddof=1) * (2 * m / n)
    middle = (a + b).mean(0) / 2
    return [Halves(float(whole[i]), float(middle[i]), float(odd[i]), float(even[i]), splits) for i in range(len(whole))]


def score_interval(value: float, variance: float, slope: float, quantile: float) -> Interval:
    """Every candidate within ``quantile`` standard errors, its variance being that at the candidate.

    Example:
        Slope 0 is the plain interval; Wilson's for 5 of 10 has variance p(1-p)/n and slope (1-2p)/n:

        >>> score_interval(3.0, 4.0, 0.0, 2.0)
        Interval(low=-1.0, high=7.0)
    """
    shift = quantile**2 * slope / 2
    reach = math.sqrt(shift**2 + quantile**2 * variance)
    return Interval(value + shift - reach, value + shift + reach)


def mean_interval(halves: Halves) -> Interval:
    """For what behaves as a mean of examples: value ± q √V."""
    return score_interval(halves.value, halves.variance, 0.0, halves.quantile)


def distance_interval(halves: Halves, *, root: bool = False) -> Interval:
    """For distances.

    A squared distance is a signal, with variance A proportional to it, and noise of pairs, whose size does not depend
    on it. The signal is the value without its bias, 2 value - half (the bias of a half is twice that of the whole); it
    is not taken for smaller than the standard error, which is as small as can be told from nothing.

    Args:
        halves: of the distance.
        root: the distance is not a square but the root of one, and never near 0 at finite n: s = V/θ.
    """
    deviation = math.sqrt(halves.variance)
    if root:
        slope = halves.variance / halves.value if halves.value > 0 else 0.0
    else:
        single = max(halves.variance - 2 * halves.interaction, 0.0)
        slope = single / max(2 * halves.value - halves.half, deviation) if single > 0 else 0.0
    return score_interval(halves.value, halves.variance, slope, halves.quantile)


def share_interval(halves: Halves, n: int) -> Interval:
    """For the share of n examples that have a property, which may depend on the other examples.

    Wilson's interval for an effective number of examples n/f. The design effect f is how much larger V is than the
    variance p(1 - p)/n of independent examples, both taken at the halves' own share p; it is at least 1, since examples
    that share neighbours or a classifier agree more often than independent ones.

    Example:
        Independent examples:

        >>> interval = share_interval(Halves(0.9, 0.9, 0.0009, 0.0, 10**6), 100)
        >>> round(interval.low, 4), round(interval.high, 4)
        (0.8256, 0.9448)
    """
    # Where every half says 0 or 1 nothing is known of the dependence; half an example keeps the ratio finite.
    independent = max(halves.half * (1 - halves.half), 0.5 / n) / n
    effect = max(halves.variance / independent, 1.0)
    p, q2, size = halves.value, halves.quantile**2, n / effect
    centre = (p + q2 / (2 * size)) / (1 + q2 / size)
    reach = math.sqrt(q2 * p * (1 - p) / size + (q2 / (2 * size)) ** 2) / (1 + q2 / size)
    return Interval(max(centre - reach, 0.0), min(centre + reach, 1.0))


def wilson(count: int, n: int) -> tuple[float, float]:
    r"""The 95 % interval of a share: all :math:`\pi` with :math:`|\hat p - \pi| \le z \sqrt{\pi (1 - \pi) / n}`.

    Reference:
        Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference".

    Example:
        >>> [round(end, 3) for end in wilson(0, 100)]
        [0.0, 0.037]
    """
    share, z = count / n, Z**2 / n
    centre, half = share + z / 2, math.sqrt(z * share * (1 - share) + z**2 / 4)
    return max((centre - half) / (1 + z), 0.0), min((centre + half) / (1 + z), 1.0)
