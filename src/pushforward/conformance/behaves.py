"""Behaviour: numbers that are finite, every parameter learned, randomness that is an argument, and files that agree."""

import copy
import random
from collections.abc import Callable
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from pushforward.conformance.properties import Property, Question
from pushforward.conformance.subject import Subject, left_alone, seeded
from pushforward.core.capabilities import HasDensity
from pushforward.core.data import Condition
from pushforward.core.errors import InputError
from pushforward.core.model import Model
from pushforward.core.noise import Noise

__all__ = [
    "conditions_are_kept",
    "every_parameter_learns",
    "numbers_are_finite",
    "randomness_is_an_argument",
    "saved_is_the_same",
]

#: Rows of a batch on which gradients are looked at: every class and every code of a few columns is among them.
GRADIENT_ROWS = 48

#: Samples that are compared.
DRAWS = 12


def numbers_are_finite(subject: Subject) -> Property:
    """Samples are examples on the grid; scores and losses are finite, one per example."""
    model, x = subject.model, subject.x
    asked = Question(
        name="finite numbers, samples on the grid",
        tested=f"drew {len(x)} samples, scored them, and took the terms of the loss",
        meaning="the model gives what is no example, or no number",
        where=subject.where("draw, terms, log_likelihood"),
    )
    drawn = x if subject.drawn else model.sample(2, seed=subject.seed, sampler=model.preview)
    try:
        model.example.check(drawn, "sample")
    except InputError as error:
        return asked.fails(
            str(error), "a sample is no example: it is not finite or not on the grid of the data", subject.where("draw")
        )
    for name, values in _numbers(subject).items():
        if values.shape != (len(x),):
            return asked.fails(
                f"{name} has shape {tuple(values.shape)}, expected ({len(x)},)",
                "a loss or score is not one number per example",
                subject.where(name),
            )
        if not torch.isfinite(values).all():
            count = int((~torch.isfinite(values)).sum())
            return asked.fails(f"{name} is not finite for {count} of {len(x)} examples", where=subject.where(name))
    try:
        subject.double.loss(subject.units(subject.double, x), subject.condition(len(x)), noise=Noise(0, rows=len(x)))
    except RuntimeError as error:
        return asked.fails(
            f"in 64 bits: {error}", "a tensor is made in a fixed type; make it like another", subject.where("terms")
        )
    return asked.holds(f"{len(drawn)} samples are examples; scores and losses are finite, one per example")


def _numbers(subject: Subject) -> dict[str, Tensor]:
    model, x = subject.model, subject.x
    given = subject.condition(len(x))
    y = subject.units(model, x)
    found = {}
    with model.at_rest():
        found["terms"] = model.loss(y, given, noise=Noise(subject.seed, rows=len(x)))
    if isinstance(model, HasDensity):
        found["log_likelihood"] = model.log_prob(x, seed=subject.seed)
    return found


def every_parameter_learns(subject: Subject) -> Property:
    """Every parameter is in a phase of a stage and gets a gradient there."""
    model = subject.nudged
    asked = Question(
        name="every parameter receives gradient",
        tested=f"took the gradient of every phase on {GRADIENT_ROWS} examples, parameters moved off their start",
        meaning="an unused parameter: the loss does not depend on it, so it is never learned and is saved for nothing",
        where=subject.where("build, stages, terms"),
    )
    named = {name: p for name, p in model.named_parameters() if p.requires_grad and p.numel()}
    phases = [phase for stage in model.stages() for phase in stage.phases]
    if not named or not phases:
        return asked.absent("the model has a closed form and no parameter is learned by gradient")
    x = subject.x[torch.arange(GRADIENT_ROWS) % len(subject.x)]
    given, y = subject.condition(GRADIENT_ROWS), subject.units(model, x)
    reached: dict[int, bool] = {}
    for phase in phases:
        parameters = [p for p in phase.parameters if p.requires_grad]
        model.progress = 0.5  # in the middle of any warm-up
        loss = torch.stack(list(phase.terms(y, given, noise=Noise(subject.seed, rows=len(y))).values())).sum()
        grads = torch.autograd.grad(loss, parameters, allow_unused=True)
        for parameter, grad in zip(parameters, grads, strict=True):
            reached[id(parameter)] = reached.get(id(parameter), False) or (grad is not None and bool((grad != 0).any()))
    model.progress = 1.0
    outside = [name for name, p in named.items() if id(p) not in reached]
    if outside:
        return asked.fails(
            f"{_some(outside)} in no phase of any stage",
            "an unused parameter: no phase trains it",
            subject.where("stages"),
        )
    unused = [name for name, p in named.items() if not reached[id(p)]]
    if unused:
        return asked.fails(f"{_some(unused)} no gradient ({len(unused)} of {len(named)} parameters)")
    return asked.holds(f"all {len(named)} parameters do, over {len(phases)} phase(s)")


def _some(names: list[str]) -> str:
    return f"{', '.join(names[:3])}{' and others' if len(names) > 3 else ''}: {'have' if len(names) > 1 else 'has'}"


def randomness_is_an_argument(subject: Subject) -> Property:
    """The same seed gives the same numbers, another seed others; the global random state is neither read nor moved."""
    model, which = subject.sampled()
    asked = Question(
        name="determinism under a seed",
        tested=f"drew {DRAWS} samples of {which} twice with one seed and once with another, global states changed",
        meaning="the sampler ignores its generator: it draws from a global random state (torch.randn and the like)",
        where=f"{type(model).__name__}.draw",
    )
    quick = model.preview

    def draw(seed: int) -> Tensor:
        return model.sample(DRAWS, seed=seed, sampler=quick)

    first, again, states = _under_two_worlds(lambda: draw(subject.seed))
    if not _equal(first, again):
        return asked.fails(f"one seed gave two sets of samples, {_share(first, again)} of the entries differ")
    if states:
        return asked.fails(
            f"sampling moved the global random state of {states}",
            "the sampler draws from a global random state beside its generator",
        )
    if not _heeds_seeds(model, subject.seed) and not _twin_heeds_seeds(subject):
        return asked.fails(
            f"seeds {subject.seed} and {subject.seed + 1} gave the same {DRAWS} samples",
            "the sampler ignores its generator: it gives a constant, or has a seed of its own",
        )
    for name, score in _scores(subject):
        first, again, states = _under_two_worlds(score)
        if not _equal(first, again) or states:
            found = f"moved the global random state of {states}" if states else "changed with the global random state"
            return asked.fails(
                f"{name} {found}",
                "a loss or score draws from a global random state, not from its noise",
                subject.where(name),
            )
    return asked.holds("one seed, one set of samples, scores and losses; another seed, others; global states untouched")


def _scores(subject: Subject) -> list[tuple[str, Callable[[], Tensor]]]:
    model, x = subject.model, subject.x
    y, given = subject.units(model, x), subject.condition(len(x))

    def loss() -> Tensor:
        with model.at_rest():
            return model.loss(y, given, noise=Noise(subject.seed, rows=len(x)))

    scores = [("terms", loss)]
    if isinstance(model, HasDensity):
        scores.append(("log_likelihood", lambda: model.log_prob(x, seed=subject.seed)))
    return scores


def _under_two_worlds(function: Callable[[], Tensor]) -> tuple[Tensor, Tensor, str]:
    """The result under two global random states, and which of them it moved."""
    with left_alone():
        seeded(1)
        before = _states()
        one = function()
        moved = [name for name, state in _states().items() if state != before[name]]
        seeded(2)
        two = function()
    return one, two, ", ".join(moved)


def _states() -> dict[str, bytes | str]:
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": repr([np.asarray(part).tobytes() for part in np.random.get_state()]),
        "Python": repr(random.getstate()),
    }


def _heeds_seeds(model: Model, seed: int) -> bool:
    """Whether two seeds differ in model units: what units add (a place within a bin) says nothing of the model."""
    one, other = (_drawn(model, model.given(None, DRAWS), each) for each in (seed, seed + 1))
    return not _equal(one, other)


def _twin_heeds_seeds(subject: Subject) -> bool:
    """The same of the twin: a model may have learned that there is one example only, its class has not."""
    try:
        return _heeds_seeds(subject.twin.model, subject.seed)
    except InputError:
        return False


def _equal(one: Tensor, two: Tensor) -> bool:
    return torch.equal(one.double().nan_to_num(-1e9), two.double().nan_to_num(-1e9))


def _share(one: Tensor, two: Tensor) -> str:
    return f"{float((one.double().nan_to_num(-1e9) != two.double().nan_to_num(-1e9)).double().mean()):.0%}"


def saved_is_the_same(subject: Subject) -> Property:
    """What is saved and loaded draws and scores the same, bit by bit."""
    model, which = subject.sampled()
    asked = Question(
        name="save and load agree",
        tested=f"saved {which}, loaded it, and compared samples and scores bit by bit",
        meaning="something the model depends on is neither a field nor a parameter nor a buffer, so it is not saved",
        where=subject.where("build"),
    )
    with TemporaryDirectory() as folder:
        try:
            model.save_pretrained(folder)
            again = type(model).from_pretrained(folder)
        except InputError as error:
            return asked.fails(
                str(error),
                "the model cannot be saved and loaded: its class is not to be imported by "
                "name, or a field is no plain number, text or dataclass",
            )
    draws = [m.sample(DRAWS, seed=subject.seed, sampler=m.preview) for m in (model, again)]
    if not _equal(*draws):
        return asked.fails(f"{_share(*draws)} of the entries of samples differ")
    if isinstance(model, HasDensity) and isinstance(again, HasDensity):
        scores = [m.log_prob(draws[0], seed=subject.seed) for m in (model, again)]
        if not _equal(*scores):
            return asked.fails(f"scores differ by up to {float((scores[0] - scores[1]).abs().max()):.3g} nats")
        return asked.holds(f"{DRAWS} samples and their scores are the same")
    return asked.holds(f"{DRAWS} samples are the same")


def conditions_are_kept(subject: Subject) -> Property:
    """A sample takes its own condition; an absent one works; a wrong one is refused in one sentence."""
    model, which = subject.sampled()
    asked = Question(
        name="conditions",
        tested=f"drew samples of {which} with conditions mixed, alone and absent, and with wrong ones",
        meaning="an example gets the condition of another, or a wrong condition is taken without a word",
        where=subject.where("draw, given"),
    )
    wrong = [torch.zeros(5, dtype=torch.int64), torch.zeros(4, 9, 9)]
    if model.condition is None:
        wrong = [torch.zeros(4, dtype=torch.int64)]
    for value in wrong:
        try:
            model.sample(4, condition=value, seed=subject.seed, sampler=model.preview)
        except InputError:
            continue
        return asked.fails(
            f"4 samples with a condition of shape {tuple(value.shape)} were drawn without a word",
            "a wrong condition is not refused",
            subject.where("given"),
        )
    if model.condition is None:
        return asked.holds("the model has none and refuses one")
    value = subject.condition(6, model)
    assert isinstance(value, Condition)
    double = copy.deepcopy(model).double()
    mixed = _drawn(double, value, subject.seed)
    agree = []
    for row in range(6):
        alone = Condition(value.value[row : row + 1].expand_as(value.value), value.present[row : row + 1].expand(6))
        agree.append(torch.allclose(_drawn(double, alone, subject.seed)[row], mixed[row], rtol=1e-6, atol=1e-6))
    if not all(agree):
        return asked.fails(f"{agree.count(False)} of 6 samples change with the conditions of the others")
    return asked.holds("each sample has its own condition or none; wrong ones are refused")


def _drawn(model: Model, condition: Condition | None, seed: int) -> Tensor:
    n = DRAWS if condition is None else len(condition.present)
    with model.at_rest():
        return model.draw(n, condition, noise=Noise(seed, rows=n), sampler=model.preview).double()
