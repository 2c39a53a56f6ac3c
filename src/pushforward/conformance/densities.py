"""Densities: they integrate to one, bounds stay below, and samples are what the density says."""

import math

import torch
from scipy import stats
from torch import Tensor

from pushforward.conformance.evidence import LEVEL, Evidence, collect, upper_tail
from pushforward.conformance.properties import Property, Question
from pushforward.conformance.subject import Subject
from pushforward.conformance.twin import make_twin
from pushforward.core.capabilities import HasDensity
from pushforward.core.errors import InputError

__all__ = ["bound_stays_below", "density_integrates", "samples_agree"]

#: A systematic error of a sound estimate (quadrature, the correction of a bound in logarithms), relative.
SYSTEMATIC = 0.01

#: Expected samples per cell from which a count is taken for normal; smaller cells are put together.
LEAST_EXPECTED = 20.0

#: A log-density is named for a factor or constant it has when the figures agree within this, in nats.
NAMED = 0.1


def evidence_of(subject: Subject) -> list[tuple[str, Evidence]]:
    """What was found of the twin, per condition; collected once.

    Raises:
        InputError: if the model has no density or no twin.
    """
    if not isinstance(subject.model, HasDensity):
        raise InputError(f"{subject.name} has no density")
    if subject.model.kind == "estimate":
        raise InputError(f"the likelihood of {subject.name} is an estimate, neither exact nor a bound")
    if subject.evidence is None:
        twin = subject.twin
        subject.evidence = [
            ("" if c is None else ", given class b", collect(twin, c, subject.seed)) for c in twin.conditions
        ]
    return subject.evidence


def density_integrates(subject: Subject) -> Property:
    """The integral of an exact density is one."""
    asked = Question(
        name="the density integrates to one",
        tested="integrated exp(log_prob) of a small trained model of the class by importance sampling, or summed it "
        "over all outcomes",
        meaning="log_prob is no log-density",
        where=subject.where("log_likelihood"),
    )
    try:
        evidence = evidence_of(subject)
    except InputError as error:
        return asked.absent(str(error))
    if evidence[0][1].kind != "exact":
        return asked.absent("the likelihood is a bound; see the next property")
    found = []
    for given, each in evidence:
        total, error = each.total
        found.append(f"{total:.4f} ± {error:.4f}{given}")
        if not abs(total - 1) <= SYSTEMATIC + upper_tail() * error:
            return asked.fails(f"the integral is {found[-1]}, on {subject.twin.says}", _why_not_one(subject, each))
    return asked.holds(f"the integral is {'; '.join(found)}, on {subject.twin.says}")


def _why_not_one(subject: Subject, each: Evidence) -> str:
    total = each.total[0]
    if abs(each.powered) < NAMED:
        return "the log-likelihood is averaged over the dimensions, not summed: times D it integrates to one"
    if not total > 0 or not math.isfinite(total):
        return "log_prob is not finite where the model's samples are"
    log_total, volume = math.log(total), each.log_det
    other = _another(subject)
    if other is not None and abs(volume - other.log_det) > 5 * NAMED and other.total[0] > 0:
        # The log-integral of densities of unlike volume: how much of the volume is in it?
        slope = (log_total - math.log(other.total[0])) / (volume - other.log_det)
        if abs(slope - 2) < NAMED:
            return "the log-determinant has the wrong sign: the log-integral grows by twice the log-volume of the model"
        if abs(slope - 1) < NAMED:
            return "the log-determinant is left out: the log-integral grows with the log-volume of the model"
        if abs(slope) < NAMED:
            return f"a constant of {log_total:.3g} nats is added to the log-likelihood, whatever the model has learned"
    return (
        f"log_prob is too {'large' if total > 1 else 'small'} by {abs(log_total):.3g} nats on average: a "
        "log-determinant of the wrong sign or left out, or a missing constant"
    )


def _another(subject: Subject) -> Evidence | None:
    """Evidence from a twin of wider data, whose density has another volume."""
    try:
        twin = make_twin(subject.model, subject.seed, wider=True)
        return None if twin.outcomes is not None else collect(twin, None, subject.seed)
    except (InputError, ArithmeticError, RuntimeError):
        return None


def bound_stays_below(subject: Subject) -> Property:
    """A bound is below the exact log-density: its exponential integrates to at most one."""
    asked = Question(
        name="the bound stays below the exact value",
        tested="integrated the exponential of the bound of a small trained model of the class: of a bound below the "
        "exact log-density it is at most one",
        meaning="the bound is above the exact value: a part of it is missing, too small, or of the wrong sign (the KL "
        "to the prior, a constant, a log-determinant), so the model seems better than it is",
        where=subject.where("log_likelihood"),
    )
    try:
        evidence = evidence_of(subject)
    except InputError as error:
        return asked.absent(str(error))
    if evidence[0][1].kind == "exact":
        return asked.absent("the likelihood is exact")
    found = []
    for given, each in evidence:
        total, error = each.total
        found.append(f"{total:.4f} ± {error:.4f}{given}")
        if not total <= 1 + SYSTEMATIC + upper_tail() * error:
            return asked.fails(f"it integrates to {found[-1]}, on {subject.twin.says}")
    return asked.holds(f"it integrates to {'; '.join(found)}, on {subject.twin.says}")


def samples_agree(subject: Subject) -> Property:
    """Samples fall into cells as often as the density says (at least as often, of a bound in logarithms)."""
    asked = Question(
        name="samples agree with the density",
        tested="counted samples of a small trained model in cells whose mass its density gives",
        meaning="samples are not drawn from the distribution that is scored",
        where=subject.where("draw, log_likelihood"),
    )
    try:
        evidence = evidence_of(subject)
    except InputError as error:
        return asked.absent(str(error))
    found = []
    for given, each in evidence:
        chance, cells = _chance(each)
        figures = f"p = {chance:.2g} over {cells} cells{given}"
        if chance < LEVEL:
            said, expected, error = each.score
            figures += (
                f"; mean log_prob of samples {said:.3f} where the density itself has {expected:.3f} ± {error:.3f}"
            )
            return asked.fails(f"{figures}, on {subject.twin.says}", _why_unlike(each), subject.where("draw"))
        found.append(figures)
    return asked.holds(f"{'; '.join(found)}, on {subject.twin.says}")


def _why_unlike(each: Evidence) -> str:
    said, expected, error = each.score
    if said > expected + upper_tail() * error or each.spread < 0.9:
        return (
            "samples are more typical than the density: means (or most likely values) are returned instead of "
            "draws, the noise of p(x | z) is left out, or a temperature below 1 is the default"
        )
    if said < expected - upper_tail() * error:
        return (
            "samples are wider than the density: they go where it says nothing is, with too much noise or from "
            "another base distribution"
        )
    if each.kind == "unbiased":
        return (
            "samples are not drawn from the distribution that is scored, or exp(log_prob) is not p(x) on average, as "
            "the class says (unbiased)"
        )
    return "samples are not drawn from the distribution that is scored"


def _chance(each: Evidence) -> tuple[float, int]:
    """The probability of a disagreement as large, and the number of cells."""
    n = float(each.counts.sum())
    mass, covariance, share = _pooled(each, n)
    cells = len(mass)
    gap = share - mass
    expected = (mass / mass.sum().clamp(min=1e-12)).clamp(min=1 / n)  # the scatter of counts if the density is right
    noise = (torch.diag(expected) - torch.outer(expected, expected)) / n
    if each.kind == "logarithmic":  # a bound may leave mass out anywhere, but claim none that is not there
        error = (noise.diagonal() + covariance.diagonal()).clamp(min=0).sqrt()
        z = ((-gap - SYSTEMATIC * mass) / error).max()
        return min(1.0, cells * float(stats.norm.sf(float(z)))), cells
    joint = noise + covariance + torch.diag((SYSTEMATIC * mass) ** 2 / 4 + 1e-12)
    if each.kind == "exact":
        joint = joint + ROUND * torch.outer(mass, mass)
    statistic = float(gap @ torch.linalg.solve(joint, gap))
    return float(stats.chi2.sf(statistic, cells)), cells


#: Variance of the total that a sound density may have for systematic reasons: a percent, squared.
ROUND = SYSTEMATIC**2


def _pooled(each: Evidence, n: float) -> tuple[Tensor, Tensor, Tensor]:
    """Cells of little mass put together in one."""
    large = torch.minimum(each.mass, each.mass.new_tensor(1.0)) * n >= LEAST_EXPECTED
    index = torch.where(large, large.long().cumsum(0) - 1, int(large.sum()))
    merge = torch.nn.functional.one_hot(index).double()
    return each.mass @ merge, merge.T @ each.covariance @ merge, each.share @ merge
