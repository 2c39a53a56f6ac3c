r"""Parallel tempering: chains at many temperatures that trade places.

On the bridge :math:`\log\pi_\beta = (1-\beta)\log r + \beta\log\pi` from a wide Student t, r, to the target lie K
temperatures :math:`0 = \beta_1 < \dots < \beta_K = 1`. The hottest chain is drawn afresh every time; the others move
by short Hamiltonian trajectories, all temperatures and all chains in one batch; and then neighbours swap with
probability

.. math:: \min\left(1, e^{(\beta_{k+1} - \beta_k)(\ell(x_k) - \ell(x_{k+1}))}\right), \qquad \ell = \log\pi - \log r,

even pairs and odd pairs in turns, which carries a point down the ladder in O(K) rounds, not O(K^2). What is found hot
arrives cold, and so a chain visits modes between which it could never walk.

Warm-up spaces the ladder so that all neighbours reject alike (the cumulated rejection is a function of :math:`\beta`
that is cut into equal parts), tunes step size and scale of every temperature, and widens r to cover what the cold
chains have found, but never narrows it.

Reference:
    Syed, Bouchard-Côté, Deligiannidis and Doucet 2022, "Non-reversible parallel tempering: a scalable highly parallel
    MCMC scheme".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from pushforward.core.errors import InputError, check_count
from pushforward.sampling.adaptation import variance_windows
from pushforward.sampling.bridge import StudentReference
from pushforward.sampling.hamiltonian import check_settings
from pushforward.sampling.method import Chains, Method, Recorder, Report, silent
from pushforward.sampling.target import Target
from pushforward.sampling.trajectory import van_der_corput

__all__ = ["ParallelTempering", "even_ladder"]

#: How fast step sizes follow acceptance: in some 20 iterations by a factor of e at the most.
GAIN = 0.1

#: How much wider than what the cold chains have found the reference is held.
WIDEN = 1.5


@dataclass(frozen=True)
class ParallelTempering(Method):
    """Chains at several temperatures; the draws are those at the target's.

    Args:
        temperatures: K, hottest and coldest included. Where neighbours seldom swap ("swap_rejection" of the settings
            near 1) it takes more.
        spread: width of the hottest distribution, around the mean of the start: no mode further away than a few times
            this is found.
        leaps: most leapfrog steps of a trajectory; their number is jittered.
        target_acceptance: of the trajectories.

    Raises:
        InputError: if a setting is out of range.

    Example:
        >>> two = Target(lambda x: torch.logaddexp(-0.5 * (x[:, 0] - 8) ** 2, -0.5 * (x[:, 0] + 8) ** 2), dim=1)
        >>> start = torch.full((8, 1), 8.0)
        >>> generator = torch.Generator().manual_seed(0)
        >>> chains = ParallelTempering().run(two, start, warmup=50, draws=50, generator=generator)
        >>> bool(((chains.positions < 0).float().mean() - 0.5).abs() < 0.2)  # all began at +8
        True
    """

    temperatures: int = 8
    spread: float = 10.0
    leaps: int = 10
    target_acceptance: float = 0.75

    def __post_init__(self) -> None:
        check_settings(self.target_acceptance, None)
        check_count(self.leaps, "leaps")
        if not isinstance(self.temperatures, int) or self.temperatures < 2:
            raise InputError(f"temperatures: got {self.temperatures!r}, expected a whole number of at least 2")
        if not self.spread > 0:
            raise InputError(f"spread: got {self.spread!r}, expected a number above 0")

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
        ladder = _Ladder(self, target, start, warmup, generator)
        for i in range(warmup):
            ladder.iterate(i, adapt=True)
            report(i + 1, warmup + draws)
        recorder = Recorder(target, start, warmup=warmup, draws=draws, report=report)
        ladder.forget_rejections()
        with recorder.interruptible():
            for i in recorder.iterations():
                acceptance = ladder.iterate(i, adapt=False)
                recorder.add(ladder.x[-1], ladder.log_target[-1], acceptance)
        return recorder.chains(
            {
                "betas": ladder.betas.squeeze(-1),
                "step_size": ladder.steps[:, 0, 0],
                "swap_rejection": ladder.rejections,
                "scale": ladder.scale[-1, 0],
            }
        )


class _Ladder:
    """The state: tensors of shape (temperatures, chains, ...)."""

    def __init__(
        self, method: ParallelTempering, target: Target, start: Tensor, warmup: int, generator: torch.Generator | None
    ) -> None:
        self.method, self.target, self.generator = method, target, generator
        k, (n, dim) = method.temperatures, start.shape
        width = torch.full_like(start[0], method.spread)
        self.reference = StudentReference(start.mean(0), torch.diag(width))
        # Geometric at first: most of the way is hot.
        hot = torch.logspace(-3, 0, k - 1, dtype=start.dtype)[:-1]
        self.betas = torch.cat([start.new_zeros(1), hot, start.new_ones(1)])[:, None]
        self.x = torch.cat([start.expand(k - 1, n, dim).new_empty(1, n, dim), start.expand(k - 1, n, dim)])
        self.x[0] = self.reference.draw(n, generator=generator)
        self._evaluate()
        self.steps = start.new_full((k, 1, 1), 0.5 * dim**-0.25)
        # Hot distributions are as wide as the reference, the cold one as the start, the others in between.
        cold = start.std(0).clamp_min(0.1 * method.spread) if n > 1 else width
        self.scale = (width * (cold / width) ** self.betas).reshape(k, 1, dim)
        self._first, self._ends = variance_windows(warmup)
        self._pool: list[Tensor] = []
        self._cold: list[Tensor] = []
        self.forget_rejections()

    @property
    def rejections(self) -> Tensor:
        """The mean rejection of every pair of neighbours so far."""
        return self._rejected / self._tried.clamp_min(1)

    def forget_rejections(self) -> None:
        """Count anew."""
        self._rejected = torch.zeros(self.method.temperatures - 1, dtype=self.betas.dtype)
        self._tried = torch.zeros_like(self._rejected)

    def iterate(self, i: int, *, adapt: bool) -> Tensor:
        """Trajectories, then swaps; gives the acceptance of the cold chains."""
        acceptance = self._leap(max(1, math.ceil(self.method.leaps * van_der_corput(i))))
        self._refresh_hottest()
        self._swap(i % 2)
        if adapt:
            change = GAIN * (acceptance.mean(1) - self.method.target_acceptance)
            self.steps = self.steps * change.exp()[:, None, None]
            self._learn(i + 1)
        return acceptance[-1]

    def _evaluate(self) -> None:
        flat = self.x.flatten(0, 1)
        value, gradient = self.target.value_and_grad(flat)
        shape = self.x.shape[:2]
        self.log_target, self.log_reference = value.view(shape), self.reference.log_prob(flat).view(shape)
        self.gradient = gradient.view(self.x.shape)

    def _force(self, x: Tensor, gradient: Tensor) -> Tensor:
        pull = self.reference.gradient(x.flatten(0, 1)).view(x.shape)
        return self.scale * (self.betas[:, :, None] * gradient + (1 - self.betas[:, :, None]) * pull)

    def _mixed(self) -> Tensor:
        # The target may be zero where only the reference counts, and 0 * -inf is no number.
        cold = torch.where(self.betas > 0, self.betas * self.log_target, 0.0)
        return cold + (1 - self.betas) * self.log_reference

    def _leap(self, count: int) -> Tensor:
        before = (self.x, self.log_target, self.log_reference, self.gradient)
        p = torch.randn(self.x.shape, generator=self.generator, dtype=self.x.dtype)
        energy = 0.5 * p.square().sum(2) - self._mixed()
        x, gradient, value = self.x, self.gradient, self.log_target
        p = p + 0.5 * self.steps * self._force(x, gradient)
        for i in range(count):
            x = x + self.steps * self.scale * p
            value, gradient = self.target.value_and_grad(x.flatten(0, 1))
            gradient = gradient.view(x.shape)
            p = p + (1.0 if i < count - 1 else 0.5) * self.steps * self._force(x, gradient)
        self.x, self.gradient, self.log_target = x, gradient, value.view(x.shape[:2])
        self.log_reference = self.reference.log_prob(x.flatten(0, 1)).view(x.shape[:2])
        error = (0.5 * p.square().sum(2) - self._mixed() - energy).nan_to_num(math.inf, posinf=math.inf)
        acceptance = torch.exp(-error.clamp_min(0.0))
        taken = torch.rand(acceptance.shape, generator=self.generator, dtype=x.dtype) < acceptance
        rows = taken[:, :, None]
        self.x, self.gradient = torch.where(rows, self.x, before[0]), torch.where(rows, self.gradient, before[3])
        self.log_target = torch.where(taken, self.log_target, before[1])
        self.log_reference = torch.where(taken, self.log_reference, before[2])
        return acceptance

    def _refresh_hottest(self) -> None:
        x = self.reference.draw(self.x.shape[1], generator=self.generator)
        value, gradient = self.target.value_and_grad(x)
        self.x, self.gradient = self.x.clone(), self.gradient.clone()
        self.log_target, self.log_reference = self.log_target.clone(), self.log_reference.clone()
        self.x[0], self.gradient[0], self.log_target[0] = x, gradient, value
        self.log_reference[0] = self.reference.log_prob(x)

    def _swap(self, parity: int) -> None:
        k, n = self.log_target.shape
        low = torch.arange(parity, k - 1, 2)
        if len(low) == 0:  # two temperatures have no odd pair
            return
        ratio = self.log_target - self.log_reference
        accept = ((self.betas[low + 1] - self.betas[low]) * (ratio[low] - ratio[low + 1])).nan_to_num(-math.inf)
        probability = accept.clamp(max=0).exp()
        self._rejected[low] += 1 - probability.mean(1)
        self._tried[low] += 1
        taken = torch.rand(probability.shape, generator=self.generator, dtype=probability.dtype) < probability
        order = torch.arange(k)[:, None].expand(k, n).clone()
        order[low], order[low + 1] = (low[:, None] + taken.long()), (low[:, None] + 1 - taken.long())
        rows = order[:, :, None].expand_as(self.x)
        self.x, self.gradient = self.x.gather(0, rows), self.gradient.gather(0, rows)
        self.log_target, self.log_reference = self.log_target.gather(0, order), self.log_reference.gather(0, order)

    def _learn(self, done: int) -> None:
        if not self._first < done <= (self._ends[-1] if self._ends else 0):
            return
        self._pool.append(self.x)
        self._cold.append(self.x[-1])
        if done not in self._ends:
            return
        pooled = torch.cat(self._pool, 1)
        if pooled.shape[1] > 1:
            before, self.scale = self.scale, pooled.std(1, keepdim=True).clamp_min(1e-6)
            self.steps = self.steps * (before / self.scale).log().mean(2, keepdim=True).exp()
        self._widen(torch.cat(self._cold))
        if bool((self._tried > 0).all()):
            self.betas = even_ladder(self.betas[:, 0], self.rejections)[:, None]
        self._pool, self._cold = [], []
        self.forget_rejections()

    def _widen(self, cold: Tensor) -> None:
        reach = WIDEN * (cold - self.reference.location).square().mean(0).sqrt()
        width = torch.maximum(self.reference.factor.diagonal(), reach)
        self.reference = StudentReference(self.reference.location, torch.diag(width))
        self.log_reference = self.reference.log_prob(self.x.flatten(0, 1)).view(self.x.shape[:2])


def even_ladder(betas: Float[Tensor, "k"], rejections: Float[Tensor, "pairs"]) -> Float[Tensor, "k"]:
    """Temperatures between which the rejections would be equal.

    Args:
        betas: rising from 0 to 1.
        rejections: of neighbours.

    Example:
        The first pair rejects three times as often, so it comes closer:

        >>> even_ladder(torch.tensor([0.0, 0.5, 1.0]), torch.tensor([0.6, 0.2]))
        tensor([0.0000, 0.3336, 1.0000])
    """
    # A thousandth keeps the barrier rising where nothing is rejected.
    barrier = torch.cat([rejections.new_zeros(1), (rejections + 1e-3).cumsum(0)]).double()
    wanted = torch.linspace(0, float(barrier[-1]), len(betas), dtype=torch.float64)
    right = torch.searchsorted(barrier, wanted).clamp(1, len(betas) - 1)
    share = (wanted - barrier[right - 1]) / (barrier[right] - barrier[right - 1])
    inside = betas.double()[right - 1] + share * (betas.double()[right] - betas.double()[right - 1])
    inside[0], inside[-1] = 0.0, 1.0
    return inside.to(betas.dtype)
