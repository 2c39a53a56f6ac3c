r"""MCLMC: microcanonical Langevin Monte Carlo, which never rejects.

Each step follows the isokinetic dynamics of ``isokinetic`` for a time :math:`\epsilon` and then turns the direction a
little at random, so that it is forgotten over a length L:

.. math:: u \leftarrow \frac{u + \nu \xi}{|u + \nu \xi|}, \qquad \xi \sim N(0, I), \qquad
    \nu = \sqrt{\frac{e^{2\epsilon / L} - 1}{d}}.

There is no Metropolis test, so a finite step leaves a *bias*, which is held small: its size follows the variance of the
energy error per dimension. Warm-up finds

1. :math:`\epsilon`, so that this variance is ``energy_variance`` (the error grows as :math:`\epsilon^3`);
2. the preconditioner, with :math:`L = \sqrt d`, the width of a standard normal;
3. L = 0.4 :math:`\epsilon\tau`, with :math:`\tau` the autocorrelation time of the positions in steps.

Draws are some steps apart, about a quarter of L. Where no bias is wanted at all, ``mams`` takes the same dynamics with
a test.

Reference:
    Robnik, De Luca, Silverstein and Seljak 2023, "Microcanonical Hamiltonian Monte Carlo"; Robnik and Seljak 2024,
    "Fluctuation without dissipation: Microcanonical Langevin Monte Carlo".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pushforward.core.errors import InputError, check_count
from pushforward.sampling.adaptation import variance_windows
from pushforward.sampling.isokinetic import Particles, check_dimension, minimal_norm, random_directions
from pushforward.sampling.method import Chains, Method, Recorder, Report, silent
from pushforward.sampling.preconditioning import Metric, Preconditioner, check_metric, preconditioner
from pushforward.sampling.target import Target
from pushforward.sampling.trajectory import half_accepted_step
from pushforward.sampling.tuned import DIVERGENCE

__all__ = ["MCLMC", "autocorrelation_time"]

#: L over the distance in which positions decorrelate (Robnik and Seljak 2024, section 5).
LENGTH = 0.4

#: Share of warm-up after which the preconditioner is final and only the length is learnt.
LAST = 0.7

#: Draws per L: closer ones repeat each other, wider ones waste what was computed.
DRAWS_PER_LENGTH = 4

#: How fast the step size follows the energy error, and its memory (the last 50 steps of warm-up or so).
GAIN, MEMORY = 0.3, 0.96

#: Most positions that are kept of warm-up to learn from.
MOST_POSITIONS = 50_000


@dataclass(frozen=True)
class MCLMC(Method):
    """Unadjusted microcanonical Langevin sampler: two gradients a step, no rejections, a small bias.

    Args:
        energy_variance: the variance of the energy error of a step, per dimension: the bias is bought with it.
        metric: what is learnt of the covariance: "diagonal", "dense" (all of it), or "auto": dense where there are
            enough positions (10 per dimension) and at most 512 dimensions.
        thinning: steps from one draw to the next; None takes as many as fit into a quarter of L.

    Raises:
        InputError: if a setting is out of range, or in one dimension.

    Example:
        >>> target = Target(lambda x: -0.5 * (x / torch.tensor([1.0, 9.0])).square().sum(1), dim=2)
        >>> start = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
        >>> chains = MCLMC().run(target, start, warmup=50, draws=20, generator=torch.Generator().manual_seed(0))
        >>> chains.positions.shape
        torch.Size([64, 20, 2])
    """

    energy_variance: float = 1e-4
    metric: Metric = "auto"
    thinning: int | None = None

    def __post_init__(self) -> None:
        check_metric(self.metric)
        if not self.energy_variance > 0:
            raise InputError(f"energy_variance: got {self.energy_variance!r}, expected a number above 0")
        if self.thinning is not None:
            check_count(self.thinning, "thinning")

    def run(
        self,
        target: Target,
        start: Float[Tensor, "chains dim"],
        *,
        warmup: int,
        draws: int,
        generator: torch.Generator | None,
        report: Report = silent,
    ) -> Chains:
        check_dimension(target.dim, "mclmc")
        now = Particles(start, random_directions(start, generator), *target.value_and_grad(start))
        tuned = _Tuned(target, now, warmup, self.energy_variance, self.metric)
        for i in range(warmup):
            now, error, lost = _step(target, now, tuned.metric, tuned.step_size, tuned.length, generator)
            tuned.learn(now.x, error, lost)
            report(i + 1, warmup + draws)
        step, length = tuned.finish(), tuned.length
        thinning = self.thinning or max(1, round(length / step / DRAWS_PER_LENGTH))
        recorder = Recorder(target, start, warmup=warmup, draws=draws, report=report)
        with recorder.interruptible():
            for _ in recorder.iterations():
                ever = torch.zeros(len(start), dtype=torch.bool, device=start.device)
                for _ in range(thinning):
                    now, _, lost = _step(target, now, tuned.metric, step, length, generator)
                    ever |= lost
                recorder.add(now.x, now.log_density, torch.ones_like(now.log_density), ever)
        found = {"step_size": step, "decoherence_length": length, "thinning": float(thinning)}
        return recorder.chains({**found, "scale": tuned.metric.scale})


class _Tuned:
    """What warm-up knows."""

    def __init__(self, target: Target, now: Particles, warmup: int, variance: float, metric: Metric) -> None:
        self.metric = Preconditioner.identity(now.x)
        self.length = math.sqrt(target.dim)
        first = half_accepted_step(lambda step: minimal_norm(target, now, self.metric, step)[1], 0.5 * self.length)
        self._log_step = math.log(first)
        self._average, self._weight = 0.0, 0.0
        self._variance = variance
        self._kind: Metric = metric
        self._last = int(LAST * warmup)
        self._first, self._ends = variance_windows(self._last)
        self._warmup, self._done = warmup, 0
        self._positions: list[Tensor] = []

    @property
    def step_size(self) -> float:
        """For the next step of warm-up."""
        return math.exp(self._log_step)

    def finish(self) -> float:
        """The step size to keep."""
        return math.exp(self._average / self._weight) if self._weight else self.step_size

    def learn(self, x: Tensor, error: Tensor, lost: Bool[Tensor, "chains"]) -> None:
        """From the energy errors of one step."""
        self._done += 1
        variance = error.square() / x.shape[1]
        # A mean that no single chain can own: each counts for at most a hundred times what is wanted.
        variance = float(variance.clamp(max=100 * self._variance).masked_fill(lost, 100 * self._variance).mean())
        # Where the error is far below, it need not grow as the cube of the step: go no faster than a doubling.
        change = -math.log((variance + 1e-30) / self._variance) / 6
        self._log_step += GAIN * min(max(change, -2.0), 2.0)
        self._average = MEMORY * self._average + (1 - MEMORY) * self._log_step
        self._weight = MEMORY * self._weight + (1 - MEMORY)
        if self._done > self._first:
            self._positions.append(x)
        if self._done in self._ends or self._done == self._last:
            self._renew()
        elif self._done == self._warmup:
            self._lengthen()

    def _renew(self) -> None:
        if self._done in self._ends:
            every = math.ceil(len(self._positions) * len(self._positions[0]) / MOST_POSITIONS)
            before, self.metric = self.metric, preconditioner(torch.cat(self._positions[::every]), self._kind)
            self._log_step = math.log(self.finish() / self.metric.size_against(before))
            self._average, self._weight = 0.0, 0.0
        self._positions = []

    def _lengthen(self) -> None:
        """From the autocorrelation of the last positions."""
        if len(self._positions) < 10:  # too few to see any decay
            return
        z = torch.stack([self.metric.whiten(x) for x in self._positions], 1)
        tau = autocorrelation_time(z)
        self.length = LENGTH * self.finish() * float(1 / (1 / tau).mean())
        self._positions = []


def autocorrelation_time(x: Float[Tensor, "chains draws dim"]) -> Float[Tensor, "dim"]:
    r"""The integrated autocorrelation time :math:`1 + 2\sum_t \rho_t` of every coordinate, pooled over the chains.

    The sum ends where :math:`\rho_t` first falls below 0.05, at the latest at half of the draws. The mean and variance
    are those of all chains together, so that even runs shorter than :math:`\tau` show it, if there are many.

    Example:
        >>> x = torch.randn(500, 40, 1, generator=torch.Generator().manual_seed(0))
        >>> autocorrelation_time(x).round()
        tensor([1.])
    """
    n = x.shape[1]
    apart = x - x.mean((0, 1))
    spectrum = torch.fft.rfft(apart, n=2 * n, dim=1).abs().square().mean(0)
    counts = torch.arange(n, 0, -1, dtype=x.dtype, device=x.device)[:, None]
    covariance = torch.fft.irfft(spectrum, n=2 * n, dim=0)[:n] / counts
    rho = covariance / covariance[0].clamp_min(torch.finfo(x.dtype).tiny)
    alive = (rho > 0.05).cumprod(0)
    alive[(n + 1) // 2 :] = 0
    return (2 * (rho * alive).sum(0) - 1).clamp_min(1.0)


def _step(
    target: Target,
    now: Particles,
    metric: Preconditioner,
    step: float,
    length: float,
    generator: torch.Generator | None,
) -> tuple[Particles, Tensor, Bool[Tensor, "chains"]]:
    """One step, its energy error, and which chains lost their path and stayed where they were."""
    after, error = minimal_norm(target, now, metric, step)
    lost = ~(error.abs() < DIVERGENCE)
    dim = now.x.shape[1]
    nu = math.sqrt(math.expm1(2 * step / length) / dim)
    xi = torch.randn(now.x.shape, generator=generator, dtype=now.x.dtype, device=now.x.device)
    u = torch.add(after.u, xi, alpha=nu)
    if bool(lost.any()):
        rows = lost[:, None]
        u = torch.where(rows, xi, u)
        after = Particles(
            torch.where(rows, now.x, after.x),
            u,
            torch.where(lost, now.log_density, after.log_density),
            torch.where(rows, now.gradient, after.gradient),
        )
    return after._replace(u=u / u.norm(dim=1, keepdim=True)), error, lost
