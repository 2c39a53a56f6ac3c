r"""The loss is minus the log-likelihood (or its one-draw bound): nats per example, summed over dimensions.

At the default fields of the class, for every example x,

.. math:: \mathbb{E} \sum_t \text{term}_t(x) = -\mathbb{E}\, \ell(x),

both means over the noise. If it fails, the cheapest change that mends it is looked for: one factor for the whole (1/D
says that the loss is averaged over the D entries), a factor for one term (a weight or hidden constant), a constant.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from pushforward.conformance.evidence import upper_tail
from pushforward.conformance.properties import Property, Question
from pushforward.conformance.subject import Subject
from pushforward.conformance.twin import has_defaults, make_twin
from pushforward.core.capabilities import HasDensity
from pushforward.core.data import Condition
from pushforward.core.errors import InputError
from pushforward.core.noise import Noise

__all__ = ["loss_is_the_likelihood"]

#: Examples, and draws of the noise for each: of a diffusion model one draw scatters by several nats.
EXAMPLES, DRAWS = 48, 256

#: How far examples are moved out from (and in to) their mean, so that the likelihood has a wide range.
STRETCH = (0.3, 3.0)

#: Agreement where there is no noise: sums of float32 in another order, relative.
ROUNDING = 1e-4

#: How near a factor must come to a value to be called by its name, relative.
NAMED = 0.05

#: Two explanations are as good if their misfits, which are chi-square numbers, differ by less.
AS_GOOD = 10.0


class _Sums(NamedTuple):
    """Means over the noise, one per example, and their errors."""

    terms: dict[str, Tensor]
    target: Tensor
    error: Tensor

    @property
    def total(self) -> Tensor:
        return torch.stack(list(self.terms.values())).sum(0)


def loss_is_the_likelihood(subject: Subject) -> Property:
    """E loss = -E log_likelihood."""
    asked = Question(
        name="the loss is minus the log-likelihood",
        tested=f"compared the mean loss with minus the mean log_likelihood over {DRAWS} draws of the noise at "
        f"{EXAMPLES} examples, at default fields",
        meaning="the loss is not minus the (bound on the) log-likelihood: training descends on something else",
        where=subject.where("terms"),
    )
    if not isinstance(subject.model, HasDensity):
        return asked.absent(f"{subject.name} has no density")
    if subject.model.kind == "estimate":
        return asked.absent(f"the likelihood of {subject.name} is an estimate, neither exact nor a bound")
    try:
        own = has_defaults(subject.model)
        twin = subject.twin if own else make_twin(subject.model, subject.seed, defaults=True)
    except InputError as error:
        return asked.absent(str(error))
    model = twin.model
    assert isinstance(model, HasDensity)
    x = twin.x[:EXAMPLES]
    if twin.outcomes is None:
        centre = twin.x.mean(0)
        x = centre + torch.linspace(*STRETCH, len(x)).double()[:, None] * (x - centre)
    found = _measure(subject, model, x)
    gap = found.total - found.target
    mean, error = float(gap.mean()), float(found.error.square().sum().sqrt()) / len(gap)
    rounding = ROUNDING * (1 + float(found.target.abs().max()))
    figures = f"mean loss {float(found.total.mean()):.5g}, minus mean log_likelihood {float(found.target.mean()):.5g} "
    figures += f"(difference {mean:.3g} ± {error:.2g}), on {twin.says}"
    if not bool(torch.isfinite(gap).all()):
        return asked.fails(f"not finite: {figures}")
    limit = rounding + upper_tail() * error
    each = bool((gap.abs() <= rounding + (upper_tail() + 1) * found.error).all())
    if abs(mean) <= limit and each:
        return asked.holds(figures)
    return asked.fails(figures, _cause(found, math.prod(model.shape)))


def _measure(subject: Subject, model: HasDensity, x: Tensor) -> _Sums:
    """Means over the noise in batches of all examples, one batch per handful of draws."""
    sizes = (DRAWS, len(x))
    rows = x.repeat(DRAWS, *[1] * (x.ndim - 1))
    y, _ = model.fitted.encode(rows, noise=Noise(subject.seed, 1, rows=len(rows)), dtype=model.dtype)
    y = y.view(*sizes, *y.shape[1:])[:1].expand(*sizes, *y.shape[1:]).reshape(y.shape)  # the same y in every draw
    given = subject.condition(len(x), model)
    if given is not None:
        given = Condition(given.value.repeat(DRAWS, *[1] * (given.value.ndim - 1)), given.present.repeat(DRAWS))
    with model.at_rest():
        terms = model.terms(y, given, noise=Noise(subject.seed, 2, rows=len(rows)))
        scored = model.log_likelihood(y, given, noise=Noise(subject.seed, 3, rows=len(rows)))
    parts = {name: term.detach().double().view(sizes) for name, term in terms.items()}
    likelihood = -scored.double().view(sizes)
    total = torch.stack(list(parts.values())).sum(0)
    error = ((total.var(0) + likelihood.var(0)) / DRAWS).sqrt()
    return _Sums({name: part.mean(0) for name, part in parts.items()}, likelihood.mean(0), error)


def _cause(found: _Sums, dim: int) -> str:
    """The cheapest change of the loss that makes it minus the log-likelihood, in words."""
    total, target = found.total, found.target
    weight = 1 / (found.error**2 + (ROUNDING * (1 + target.abs())) ** 2)
    changes: list[tuple[float, str]] = []

    def tried(rest: Tensor, part: Tensor, words: str) -> float:
        """Fit target = rest + factor * part by least squares; returns 1 / factor, what the part was multiplied by."""
        factor = float((weight * part * (target - rest)).sum() / (weight * part * part).sum().clamp(min=1e-30))
        misfit = float((weight * (target - rest - factor * part) ** 2).sum())
        times = 1 / factor if factor else math.inf
        changes.append((misfit, words.format(times=f"{times:.3g}", constant=f"{-factor:.3g}")))
        return times

    # From the simplest to the least: one that explains as much as the best, within noise, is taken.
    zero, one = torch.zeros_like(target), torch.ones_like(target)

    def by_entries(times: float) -> bool:
        return dim > 1 and abs(times * dim - 1) < NAMED

    whole = tried(zero, total, "the whole loss has a factor of {times}")
    if by_entries(whole):
        factor = f"1/{dim} of nats per example"
        changes[-1] = (changes[-1][0], f"the loss is averaged over the {dim} dimensions, not summed: it is {factor}")
    tried(total, one, "a hidden constant: {constant} nats are added to the loss, whatever the example")
    for name, term in found.terms.items() if len(found.terms) > 1 else ():
        times = tried(total - term, term, f"a hidden constant: the term {name!r} has a factor of {{times}}")
        if by_entries(times):
            words = f"the term {name!r} is averaged over the {dim} dimensions, not summed: it has a factor of 1/{dim}"
            changes[-1] = (changes[-1][0], words)
    if not by_entries(whole):
        changes.append(changes.pop(0))  # a factor of no known meaning comes last
    best = min(misfit for misfit, _ in changes)
    misfit, words = next((misfit, words) for misfit, words in changes if misfit <= best + AS_GOOD)
    if misfit > 10 * len(target):  # ten times what noise alone leaves
        return f"the loss is not minus the (bound on the) log-likelihood; nearest: {words}"
    return words
