r"""The mass of cells, from the density and from samples: what is compared when a density is put to the test.

*Points.* Proposals x are drawn from a mixture g that covers samples and data, and weighed by :math:`p(x)/g(x)`, so that
the mean weight of those in cell c is its mass :math:`\int_c p`. The cells are boxes between quantiles along principal
axes. Of a bound, :math:`\mathbb{E}\, e^{\ell} = p` (unbiased), or :math:`e^{\mathbb{E} \ell} \le p`.

*Outcomes.* Where every example can be listed, each is a cell, and its mass is read off.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from pushforward.conformance.twin import Twin
from pushforward.core.capabilities import HasDensity

__all__ = ["Evidence", "Kind", "collect", "upper_tail"]

#: Of a likelihood: exact; a bound whose exponential has the right mean; a bound in logarithms.
Kind = Literal["exact", "unbiased", "logarithmic"]

#: Probability with which a sound model fails one statistical test. A check makes at most ten, so 2,000 checks (ten
#: models, four kinds of data, fifty seeds) alarm once in 10,000 even if the normal approximation is off fivefold.
LEVEL = 1e-9

#: Samples, and fewer of models that draw in many steps (those with a preview).
SAMPLES, FEW_SAMPLES = 4000, 800

#: Proposals and draws of the noise for each: an exact density needs one; of an unbiased bound a few tame its tails; of
#: a bound in logarithms many are averaged.
BUDGET: dict[Kind, tuple[int, int]] = {
    "exact": (20_000, 1),
    "unbiased": (4_000, 8),
    "logarithmic": (1_500, 16),
}

#: Pieces along each axis: 27 boxes with about 150 of 4,000 samples each.
PIECES = 3

#: Samples, and data, around which proposals are drawn.
CENTRES = 100

#: A log-weight is cut here: sums of squares of what is a fault anyway stay finite.
LARGEST = 100.0

#: Share of the proposals that are spread wide, to find what the samples miss, and by how much wider than the data.
WIDE, WIDER = 0.3, 1.5

#: Error of a mass that was read off without any noise: sums of float32 logarithms.
ROUNDING = 1e-4


@dataclass(frozen=True)
class Evidence:
    """Masses of cells twice.

    Args:
        kind: of the likelihood.
        mass: by the density, one per cell; they cover everything.
        covariance: of these estimates.
        counts: of samples per cell.
        score: mean log-density of the samples, what the density itself would give, and the error of the difference.
        spread: of the samples, as a share of the spread the density has (a ratio of standard deviations).
        log_det: half the log-determinant of the covariance of the samples (points only).
        powered: log of the integral of p^D, D the entries of an example: 0 if a density was averaged over them.
    """

    kind: Kind
    mass: Tensor
    covariance: Tensor
    counts: Tensor
    score: tuple[float, float, float]
    spread: float
    log_det: float
    powered: float

    @property
    def total(self) -> tuple[float, float]:
        """The integral, and its standard error."""
        return float(self.mass.sum()), math.sqrt(max(float(self.covariance.sum()), 0.0)) + ROUNDING

    @property
    def share(self) -> Tensor:
        """Of samples, per cell."""
        return self.counts / self.counts.sum()


def upper_tail(level: float = LEVEL) -> float:
    """The normal deviate that is exceeded with this probability.

    Example:
        >>> round(upper_tail(), 2)
        6.0
    """
    return float(stats.norm.isf(level))


def collect(twin: Twin, condition: int | None, seed: int) -> Evidence:
    """Weigh proposals and count samples of a twin under one condition."""
    model = twin.model
    assert isinstance(model, HasDensity)
    kind = _kind(model)
    n = SAMPLES if model.preview is None else FEW_SAMPLES
    drawn = model.sample(n, condition=condition, seed=seed, batch_size=1000)
    if twin.outcomes is None:
        return _points(model, kind, twin.x, drawn, condition, seed)
    return _listed(model, kind, twin.outcomes, drawn, condition, seed)


def _kind(model: HasDensity) -> Kind:
    if model.density().kind == "exact":
        return "exact"
    return "unbiased" if model.unbiased else "logarithmic"


def _log_weights(
    model: HasDensity, kind: Kind, x: Tensor, draws: int, condition: int | None, seed: int
) -> tuple[Tensor, Tensor]:
    """log p(x), and the mean of log_prob over its noise."""
    each = torch.stack([model.log_prob(x, condition, seed=1000 * seed + k, batch_size=4096) for k in range(draws)])
    mean = each.mean(0)
    if kind != "logarithmic":
        return each.logsumexp(0) - math.log(draws), mean
    # exp of an average of noisy logarithms is too large by half their variance.
    return mean - each.var(0) / (2 * draws), mean


def _points(model: HasDensity, kind: Kind, x: Tensor, drawn: Tensor, condition: int | None, seed: int) -> Evidence:
    count, draws = BUDGET[kind]
    few, counted = drawn[:CENTRES], drawn[CENTRES:]  # what proposals are made of is not what is counted
    proposals, log_g = _proposed(few, x, count, seed)
    log_p, mean_log = _log_weights(model, kind, proposals, draws, condition, seed)
    weights = (log_p - log_g).nan_to_num(-math.inf).clamp(max=LARGEST).exp()
    if not float(weights.sum()) > 0:
        raise ArithmeticError("log_prob is minus infinity or no number wherever data or samples are")
    box = _boxes(proposals, weights)
    cells = PIECES ** x.shape[1]
    inside = torch.nn.functional.one_hot(box(proposals), cells).double()
    parts = inside * weights[:, None]
    centre = (weights[:, None] * proposals).sum(0) / weights.sum()
    spread = ((weights[:, None] * (proposals - centre) ** 2).sum(0) / weights.sum()).sqrt()
    scored = model.log_prob(counted[:500], condition, seed=seed)
    return Evidence(
        kind=kind,
        mass=parts.mean(0),
        covariance=torch.cov(parts.T) / count,
        counts=box(counted).bincount(minlength=cells).double(),
        score=_scored(scored, mean_log, weights),
        spread=float((counted.std(0) / spread).log().mean().exp()),
        log_det=0.5 * float(torch.linalg.slogdet(torch.cov(counted.T)).logabsdet),
        powered=float((x.shape[1] * log_p - log_g).logsumexp(0)) - math.log(count),
    )


def _scored(scored: Tensor, of_proposals: Tensor, weights: Tensor) -> tuple[float, float, float]:
    """Mean log-density of samples, that under the density (self-normalised), and the error of their difference."""
    expected = float((weights * of_proposals).nansum() / weights.sum())
    share = weights / weights.sum()
    error = math.sqrt(float(scored.var()) / len(scored) + float((share**2 * (of_proposals - expected) ** 2).nansum()))
    return float(scored.mean()), expected, error


def _proposed(samples: Tensor, data: Tensor, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draws from a mixture of small normals at samples and a wide Student t around the data, and their log-density."""
    rng = np.random.default_rng(seed)
    centres = torch.cat([samples, data[:CENTRES]]).numpy()
    dim = centres.shape[1]
    pooled = torch.cat([samples, data]).numpy()
    scale = np.cov(pooled.T)
    narrow = np.cov(data.numpy().T) * 0.25  # half the spread of the data: smooth, and not too wide
    student: Any = stats.multivariate_t  # whose stub takes its frozen form for a number
    wide = student(pooled.mean(0), WIDER**2 * scale, df=3)
    picked = rng.integers(0, len(centres), count)
    x = centres[picked] + rng.normal(size=(count, dim)) @ np.linalg.cholesky(narrow).T
    far = rng.random(count) < WIDE
    x[far] = np.asarray(wide.rvs(int(far.sum()), random_state=rng)).reshape(-1, dim)
    root = np.linalg.cholesky(narrow)
    log_det = np.log(np.diag(root)).sum() + 0.5 * dim * math.log(2 * math.pi)
    white = torch.from_numpy(np.linalg.solve(root, np.concatenate([x, centres]).T).T)
    distance = torch.cdist(white[:count], white[count:]) ** 2
    log_narrow = (-0.5 * distance).logsumexp(1) - math.log(len(centres)) - log_det
    log_wide = torch.from_numpy(np.asarray(wide.logpdf(x)))
    both = torch.stack([log_narrow + math.log(1 - WIDE), log_wide + math.log(WIDE)])
    return torch.from_numpy(x), both.logsumexp(0)


def _boxes(x: Tensor, weights: Tensor) -> Callable[[Tensor], Tensor]:
    """A function from points to the box they are in, between weighted quantiles along the principal axes."""
    share = weights / weights.sum()
    centre = (share[:, None] * x).sum(0)
    axes = torch.linalg.eigh((share[:, None] * (x - centre)).T @ (x - centre)).eigenvectors
    turned = (x - centre) @ axes
    levels = torch.arange(1, PIECES).double() / PIECES
    cuts = []
    for axis in turned.T:
        order = axis.argsort()
        at = torch.searchsorted(share[order].cumsum(0), levels).clamp(max=len(x) - 1)
        cuts.append(axis[order][at])

    def box(points: Tensor) -> Tensor:
        turned = (points.double() - centre) @ axes
        index = torch.zeros(len(points), dtype=torch.int64)
        for j, cut in enumerate(cuts):
            index = index * PIECES + torch.bucketize(turned[:, j].contiguous(), cut)
        return index

    return box


def _listed(
    model: HasDensity, kind: Kind, outcomes: Tensor, drawn: Tensor, condition: int | None, seed: int
) -> Evidence:
    """Every outcome is a cell."""
    repeats = 1 if kind == "exact" else 64
    log_p = torch.stack(
        [model.log_prob(outcomes, condition, seed=1000 * seed + k, batch_size=4096) for k in range(repeats)]
    )
    each = log_p.exp()
    mass = each.mean(0) if kind != "logarithmic" else (log_p.mean(0) - log_p.var(0) / (2 * repeats)).exp()
    noise = each.var(0) / repeats if repeats > 1 else torch.zeros(len(outcomes)).double()
    keys = {_key(row): index for index, row in enumerate(outcomes)}
    found = torch.tensor([keys.get(_key(row), len(outcomes)) for row in drawn])
    counts = found.bincount(minlength=len(outcomes)).double()
    known = found[found < len(outcomes)]
    mean_log = log_p.mean(0)
    expected = float((mass * mean_log).nansum() / mass.sum())
    scored = mean_log[known]
    entries = math.prod(model.shape)
    return Evidence(
        # What a model of real numbers draws beyond the ends of the grid is moved to them: samples may exceed the mass.
        kind=kind if kind == "exact" else "logarithmic",
        mass=torch.cat([mass, mass.new_zeros(len(counts) - len(mass))]),
        covariance=torch.diag(torch.cat([noise, mass.new_zeros(len(counts) - len(mass))])),
        counts=counts,
        score=(float(scored.mean()), expected, float(scored.std()) / math.sqrt(max(len(scored), 1))),
        spread=1.0,
        log_det=0.0,
        powered=float((entries * log_p.mean(0)).logsumexp(0)),
    )


def _key(row: Tensor) -> tuple:
    return tuple(row.double().nan_to_num(-1).flatten().tolist())
