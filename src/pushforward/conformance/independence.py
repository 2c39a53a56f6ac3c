"""Independence: what is drawn or scored of an example is its own, whatever else is in the batch."""

import copy
from collections.abc import Callable
from contextlib import suppress

import torch
from torch import Tensor

from pushforward.conformance.properties import Property, Question
from pushforward.conformance.subject import Subject
from pushforward.core.capabilities import HasDensity
from pushforward.core.data import Condition
from pushforward.core.errors import InputError
from pushforward.core.model import Model
from pushforward.core.noise import Noise
from pushforward.core.stages import Terms

__all__ = ["samples_stand_alone", "scores_stand_alone"]

#: (y, condition, global index of the first row) -> one number per example.
Score = Callable[[Tensor, Condition | None, int], Tensor]

#: Samples compared, in one batch and in batches of 5 and 7.
DRAWS, FIRST = 12, 5

#: Relative agreement asked for in 64 bits: sums in another order differ by 1e-14 or so, a chain of steps by more.
TOLERANCE = 1e-6

#: Batches in which an example stands with copies of itself.
COPIES = (1, 2, 4)


def samples_stand_alone(subject: Subject) -> Property:
    """Sample i of a seed is the same whatever n, start and batch size."""
    model, which = subject.sampled()
    model = copy.deepcopy(model).double()
    asked = Question(
        name="samples do not depend on the batch",
        tested=f"drew {DRAWS} samples of {which} at once and in batches of {FIRST} and {DRAWS - FIRST}, in 64 bits",
        meaning="sample i depends on the batch it is drawn in: the sampler uses n, statistics of its batch, or noise "
        "that is not addressed by rows",
        where=f"{type(model).__name__}.draw",
    )

    def draw(n: int, start: int) -> Tensor:
        with model.at_rest():
            return model.draw(
                n, model.given(None, n), noise=Noise(subject.seed, rows=n, start=start), sampler=model.preview
            ).double()

    whole, parts = draw(DRAWS, 0), torch.cat([draw(FIRST, 0), draw(DRAWS - FIRST, FIRST)])
    differing = _differing(whole, parts)
    if not differing:
        return asked.holds(f"all {DRAWS} samples are the same")
    same_again = not _differing(draw(FIRST, FIRST), draw(FIRST, 0))
    also = "; the first index of a batch makes no difference, so batches repeat each other" if same_again else ""
    return asked.fails(f"{differing} of {DRAWS} samples differ{also}")


def _differing(one: Tensor, two: Tensor) -> int:
    one, two = one.reshape(len(one), -1), two.reshape(len(two), -1)
    size = float(one.abs().mean()) + 1e-12
    return int(((one - two).abs() > TOLERANCE * size).any(1).sum())


def scores_stand_alone(subject: Subject) -> Property:
    """The terms of the loss and the log-likelihood of an example are the same alone and in a batch."""
    asked = Question(
        name="scores do not depend on the batch",
        tested=f"scored {len(subject.x)} examples alone and together, and beside copies of themselves, in 64 bits",
        meaning="an example's loss or score takes in the rest of its batch",
        where=subject.where("terms, log_likelihood"),
    )
    tried = [(subject.nudged, subject.x)]
    if isinstance(subject.model, HasDensity):
        with suppress(InputError):  # a closed form that is not solved yet has nothing in it
            tried.append((copy.deepcopy(subject.twin.model).double(), subject.twin.x[: len(subject.x)]))
    for model, x in tried:
        y, given = subject.units(model, x), subject.condition(len(x), model)
        if (fault := _dependent(model, y, given)) is not None:
            where, found, meaning = fault
            return asked.fails(found, meaning, subject.where(where))
    coupled = " (the loss couples the batch by its own word)" if subject.model.couples_batch else ""
    return asked.holds(f"the scores of {len(subject.x)} examples are their own{coupled}")


def _dependent(model: Model, y: Tensor, given: Condition | None) -> tuple[str, str, str] | None:
    """The first method whose numbers change with the batch, by how much, and why."""
    for where, score in _scores(model).items():
        if where != "log_likelihood" and model.couples_batch:
            continue
        whole = score(y, given, 0)
        alone = torch.cat([score(y[i : i + 1], _rows(given, i), i) for i in range(len(y))])
        gap = (whole - alone).abs()
        changed = gap > TOLERANCE * (1 + alone.abs())
        if bool(changed.any()):
            found = f"{where}: {int(changed.sum())} of {len(y)} examples change, by up to {float(gap.max()):.4g} nats"
            return where, found, _cause(score, y, given)
    return None


def _scores(model: Model) -> dict[str, Score]:
    """Named functions (y, condition, first row) -> one number per example."""

    def of(terms: Terms) -> Score:
        def score(y: Tensor, condition: Condition | None, start: int) -> Tensor:
            with model.at_rest(), torch.enable_grad():
                parts = terms(y, condition, noise=Noise(0, rows=len(y), start=start)).values()
                return torch.stack(list(parts)).sum(0).detach().double()

        return score

    found = {}
    if isinstance(model, HasDensity):
        scored = model

        def likelihood(y: Tensor, condition: Condition | None, *, noise: Noise) -> dict[str, Tensor]:
            return {"log_likelihood": scored.log_likelihood(y, condition, noise=noise)}

        found["log_likelihood"] = of(likelihood)
    for stage in model.stages():
        for phase in stage.phases:
            found[getattr(phase.terms, "__name__", "terms")] = of(phase.terms)
    return found or {"terms": of(model.terms)}


def _rows(condition: Condition | None, row: int, copies: int = 1) -> Condition | None:
    if condition is None:
        return None
    index = torch.full((copies,), row)
    return Condition(condition.value[index], condition.present[index])


def _cause(score: Score, y: Tensor, given: Condition | None) -> str:
    """What copies of an example do to its score: a sum over the batch grows with them, an average does not."""
    # The first row of the noise is the same for any number of copies; the others have noise of their own.
    one, two, four = (float(score(y[:1].expand(c, *y.shape[1:]), _rows(given, 0, c), 0)[0]) for c in COPIES)
    size = TOLERANCE * (1 + abs(one))
    if abs(two - one) <= size and abs(four - one) <= size:
        return "statistics of the batch (a mean, a normalisation) enter the score of each example"
    if abs((four - two) - 2 * (two - one)) <= 0.2 * abs(four - two) or abs(four - two) > 1.5 * abs(two - one):
        return (
            "something is summed over the batch (a log-determinant, most often) instead of over the dimensions of "
            "each example: the score grows with the number of examples beside it"
        )
    return "something is averaged over the batch and added to every example"
