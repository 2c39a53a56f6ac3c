r"""Warm-up: the step size by dual averaging, the scale of every coordinate from the variance pooled over chains.

**Step size** (Hoffman & Gelman 2014, JMLR 15, section 3.2, after Nesterov 2009). With the acceptance
:math:`\alpha_t` of iteration t and the one that is wanted, :math:`\delta`,

.. math:: \bar H_t = \left(1 - \tfrac{1}{t + t_0}\right) \bar H_{t-1} + \tfrac{1}{t + t_0} (\delta - \alpha_t), \qquad
          \log \epsilon_t = \mu - \tfrac{\sqrt t}{\gamma} \bar H_t, \qquad
          \log \bar\epsilon_t = t^{-\kappa} \log\epsilon_t + (1 - t^{-\kappa}) \log\bar\epsilon_{t-1}.

**Scale**. In :math:`x_i / s_i`, with :math:`s_i` the standard deviation of coordinate i, all coordinates are equally
wide, which is what a single step size suits. The variance of a window of iterations is pooled over the chains, which
also sees what the chains do not agree on yet; windows double, so that what the start left behind is forgotten.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["DualAveraging", "Pooled", "PooledCovariance", "PooledVariance", "WarmUp", "variance_windows"]

#: t_0 and kappa of Hoffman & Gelman (2014), section 3.2.1. Their gamma of 0.05 answers to the noise of one chain; with
#: the acceptance averaged over many, it makes the step size swing (up to 0.25 too much acceptance after 50 iterations).
SHRINKAGE, STABILIZATION, FORGETTING = 0.2, 10.0, 0.75

#: Larger steps are cheaper: towards this multiple of the guess they are tried first.
BOLDNESS = 3.0

#: Draws' worth of belief that all coordinates are equally wide (Stan's choice, reference manual 15.2).
PRIOR_DRAWS = 5.0

#: Shares of warm-up: the first while only the step size is learnt and the chains find the bulk, the first window of
#: variances, and the last while again only the step size is (75, 25 and 50 of 1,000 iterations in Stan).
FIRST, WINDOW, LAST = 0.075, 0.025, 0.05

#: Iterations in which a step size settles: the last part of warm-up has as many, or a quarter of a short one.
SETTLE = 50


class DualAveraging:
    r"""The step size at which the mean acceptance is :math:`\delta`.

    Args:
        step_size: a first guess, larger than 0.
        acceptance: delta.

    Example:
        >>> steps = DualAveraging(0.1, acceptance=0.8)
        >>> for _ in range(200):
        ...     steps.update(math.exp(-steps.step_size))  # an acceptance of 0.8 is at -log 0.8 = 0.223
        >>> round(steps.average, 2)
        0.23
    """

    def __init__(self, step_size: float, *, acceptance: float) -> None:
        self.acceptance = acceptance
        self.restart(step_size)

    def restart(self, step_size: float) -> None:
        """Forget all but a guess."""
        #: The step size to take next.
        self.step_size = step_size
        #: The one to keep.
        self.average = step_size
        self._centre = math.log(BOLDNESS * step_size)
        self._error = 0.0
        self._count = 0

    def update(self, acceptance: float) -> None:
        """Learn from the mean acceptance of one iteration; NaN counts as 0."""
        acceptance = acceptance if acceptance == acceptance else 0.0
        self._count += 1
        weight = 1 / (self._count + STABILIZATION)
        self._error += weight * (self.acceptance - acceptance - self._error)
        log_step = self._centre - math.sqrt(self._count) / SHRINKAGE * self._error
        forget = self._count**-FORGETTING
        log_average = forget * log_step + (1 - forget) * math.log(self.average)
        # Between the smallest and largest steps that mean anything in float32.
        self.step_size, self.average = (math.exp(min(max(log, -30.0), 30.0)) for log in (log_step, log_average))


class Pooled(ABC):
    """Moments of all chains and iterations seen, and the scale they suggest."""

    @abstractmethod
    def reset(self) -> None:
        """Forget everything."""

    @abstractmethod
    def update(self, x: Float[Tensor, "chains dim"]) -> None:
        """See one draw of every chain."""

    @abstractmethod
    def scale(self, before: Tensor) -> Tensor:
        """What to measure steps in from now on, given what was used so far."""


class PooledVariance(Pooled):
    r"""Mean and variance of every coordinate over all chains and iterations seen (Chan, Golub & LeVeque 1979).

    Example:
        >>> pooled = PooledVariance()
        >>> pooled.update(torch.tensor([[0.0], [2.0]]))
        >>> pooled.update(torch.tensor([[4.0], [6.0]]))
        >>> pooled.mean.item(), round(pooled.variance.item(), 4)
        (3.0, 6.6667)
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.count = 0
        self.mean, self._squares = torch.zeros(()), torch.zeros(())

    def update(self, x: Float[Tensor, "chains dim"]) -> None:
        n, count = len(x), self.count + len(x)
        mean = x.mean(0)
        apart = mean - self.mean
        self._squares = self._squares + (x - mean).square().sum(0) + apart.square() * (self.count * n / count)
        self.mean = self.mean + apart * (n / count)
        self.count = count

    @property
    def variance(self) -> Float[Tensor, "dim"]:
        """The unbiased variance; needs two points."""
        return self._squares / (self.count - 1)

    def scale(self, before: Float[Tensor, "dim"]) -> Float[Tensor, "dim"]:
        """Standard deviations, drawn towards their geometric mean by as much as few draws deserve.

        That mean, unlike a constant, is in the units of the problem. A coordinate that has not moved keeps its scale.
        """
        if self.count < 2:
            return before
        variance = self.variance
        variance = torch.where((variance > 0) & variance.isfinite(), variance, before.square())
        log_variance = variance.log()
        shrunk = (self.count * log_variance + PRIOR_DRAWS * log_variance.mean()) / (self.count + PRIOR_DRAWS)
        return (0.5 * shrunk).exp()


class PooledCovariance(Pooled):
    r"""Covariance over all chains and iterations seen; its scale is a triangular root L with :math:`L L^\top = \Sigma`.

    Example:
        >>> pooled = PooledCovariance()
        >>> pooled.update(torch.tensor([[0.0, 0.0], [2.0, 2.0]]).repeat(1000, 1))
        >>> pooled.scale(torch.eye(2))  # both of variance 1, and nearly one line
        tensor([[1.0..., 0.0000],
                [0.99..., 0.0...]])
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.count = 0
        self._mean, self._products = torch.zeros(()), torch.zeros(())

    def update(self, x: Float[Tensor, "chains dim"]) -> None:
        """Join the positions of one iteration to those before: the mean and the centred products of both together."""
        n, count = len(x), self.count + len(x)
        mean = x.mean(0)
        apart = mean - self._mean
        within = (x - mean).T @ (x - mean)
        self._products = (
            self._products + within + torch.outer(apart.expand(x.shape[1]), apart) * (self.count * n / count)
        )
        self._mean = self._mean + apart * (n / count)
        self.count = count

    def scale(self, before: Float[Tensor, "dim dim"]) -> Float[Tensor, "dim dim"]:
        """The root of the covariance, its correlations weakened as if d + 5 more draws had shown none."""
        if self.count < 2:
            return before
        covariance = self._products / (self.count - 1)
        variance = covariance.diagonal()
        prior = len(variance) + PRIOR_DRAWS
        shrunk = covariance * (self.count / (self.count + prior)) + variance.diag() * (prior / (self.count + prior))
        root, failed = torch.linalg.cholesky_ex(shrunk)
        return before if bool(failed) or not bool(root.isfinite().all()) else root


def variance_windows(warmup: int) -> tuple[int, list[int]]:
    """Where in warm-up variances are learnt: after which iteration, and the ends of the windows, each twice as long.

    Example:
        >>> variance_windows(1000)
        (75, [100, 150, 250, 450, 950])
        >>> variance_windows(3)  # too few to learn a scale from
        (3, [])
    """
    if warmup < 20:  # less than one draw in the first window
        return warmup, []
    first = round(FIRST * warmup)
    last = warmup - max(round(LAST * warmup), min(SETTLE, warmup // 4))
    length, end, ends = max(1, round(WINDOW * warmup)), first, []
    while end < last:
        # A window that would leave less than twice its length goes on to the end.
        end = end + length if end + 3 * length <= last else last
        ends.append(end)
        length *= 2
    return first, ends


class WarmUp:
    """Step size and scale of a method with one step size for all chains; tell it every iteration of warm-up.

    Args:
        start: positions of the chains.
        step_size: a first guess, for coordinates divided by ``scale``.
        acceptance: the mean acceptance to reach.
        warmup: how many iterations there will be; 0 leaves everything as it is.
        pooled: what learns the scale; None takes the standard deviation of every coordinate.

    Example:
        >>> tuned = WarmUp(torch.zeros(8, 2), step_size=1.0, acceptance=0.8, warmup=100)
        >>> for _ in range(100):
        ...     changed = tuned.learn(torch.randn(8, 2) * torch.tensor([1.0, 10.0]), math.exp(-tuned.step_size))
        >>> tuned.step_size < 0.4, bool(tuned.scale[1] > 5 * tuned.scale[0])
        (True, True)
    """

    def __init__(
        self, start: Tensor, *, step_size: float, acceptance: float, warmup: int, pooled: Pooled | None = None
    ) -> None:
        self.pooled = PooledVariance() if pooled is None else pooled
        ones = torch.ones_like(start[0])
        #: The standard deviations of the coordinates (or a root of their covariance), as far as they are known.
        self.scale = ones.diag() if isinstance(pooled, PooledCovariance) else ones
        self.steps = DualAveraging(step_size, acceptance=acceptance)
        self._first, self._ends = variance_windows(warmup)
        self._warmup, self._done = warmup, 0

    @property
    def step_size(self) -> float:
        """The one to use now: the latest guess in warm-up, the average of the last window after it."""
        return self.steps.step_size if self._done < self._warmup else self.steps.average

    def learn(self, x: Float[Tensor, "chains dim"], acceptance: float) -> bool:
        """Learn from one iteration; says whether the scale has changed with it.

        Args:
            x: where the chains are.
            acceptance: mean over the chains.
        """
        self.steps.update(acceptance)
        self._done += 1
        if not self._first < self._done <= (self._ends[-1] if self._ends else 0):
            return False
        self.pooled.update(x)
        if self._done not in self._ends:
            return False
        before, self.scale = self.scale, self.pooled.scale(self.scale)
        self.pooled.reset()
        # The step is in units of the scale: the same step in the user's units is a good first guess.
        before, after = (s if s.ndim == 1 else s.diagonal() for s in (before, self.scale))
        self.steps.restart(self.steps.average * float((before / after).log().mean().exp()))
        return True
