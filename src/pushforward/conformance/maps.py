r"""Maps between example and code that are bijections: the inverse, and the log-determinant of the Jacobian.

A model with an exact likelihood and as many numbers in its code as in an example says, with z = f(x) its code,

.. math:: \log p(x) = \log N(z; 0, I) + \log\left|\det \frac{\partial f}{\partial x}\right|,
          \qquad f^{-1}(f(x)) = x,

if the codes of its samples are standard normal (which is looked at first). The Jacobian is taken by autograd in 64
bits, with the parameters moved a little off their values so that nothing is zero by initialisation.
"""

import math
from typing import Any

import torch
from torch import Tensor

from pushforward.conformance.properties import Property, Question
from pushforward.conformance.subject import Subject, nudged
from pushforward.core.capabilities import HasDensity, HasLatent
from pushforward.core.data import Condition
from pushforward.core.errors import InputError
from pushforward.core.noise import Noise

__all__ = ["codes_come_back", "model_counts_its_volume"]

#: Entries beyond which the twin takes the model's place: the Jacobian is one backward pass per entry.
MOST_ENTRIES = 64

#: Examples at which the Jacobian is taken, and samples whose codes are looked at.
EXAMPLES, SAMPLES = 4, 512

#: Agreement of the log-determinants in nats, and of the round trip relative to the size of x.
TOLERANCE = 1e-5

#: Standard errors by which mean and variance of codes may be off: of a normal, beyond it once in 1e9.
ERRORS = 6.1


def _bijective(subject: Subject, most: int | None) -> tuple[Any, Tensor, Condition | None, str]:
    """A moved copy of the model, examples in model units, conditions, and what it is a copy of.

    Raises:
        InputError: if the code is no bijection of the example.
    """
    model, which = subject.nudged, f"the model, of {math.prod(subject.model.shape)} entries"
    if not (isinstance(model, HasDensity) and isinstance(model, HasLatent)):
        raise InputError(f"{subject.name} has no code with a density")
    x = subject.x
    if most is not None and math.prod(model.shape) > most:
        model, x = nudged(subject.twin.model, subject.seed).double(), subject.twin.x[:24]
        which = f"a small {subject.name} of {subject.twin.says}"
    y, given = subject.units(model, x), subject.condition(len(x), model)
    assert isinstance(model, HasDensity) and isinstance(model, HasLatent)
    with model.at_rest():
        z = model.infer(y, given)
    if model.kind != "exact" or z.shape.numel() != y.shape.numel() or not y.is_floating_point():
        raise InputError(f"the code of {subject.name} is no bijection of the example")
    return model, y, given, which


def codes_come_back(subject: Subject) -> Property:
    """generate(infer(x)) = x."""
    asked = Question(
        name="code: round trip",
        tested="took examples to their codes and back, in 64 bits",
        meaning="generate is not the inverse of infer, so samples are not of the density that is scored",
        where=subject.where("infer, generate"),
    )
    try:
        model, y, given, which = _bijective(subject, None)
    except InputError as error:
        return asked.absent(str(error))
    with model.at_rest():
        again = model.generate(model.infer(y, given), given)
    gap = float((again - y).abs().max() / (1 + y.abs().max()))
    found = f"the largest difference is {gap:.2g} of the size of x, over {len(y)} examples of {which}"
    return asked.holds(found) if gap < TOLERANCE else asked.fails(found)


def model_counts_its_volume(subject: Subject) -> Property:
    """log p(x) = log N(infer(x)) + log|det d infer / dx|, the determinant by autograd."""
    asked = Question(
        name="log-determinant against autograd",
        tested=f"compared log_likelihood with log N(infer(x)) + log|det J|, J by autograd, at {EXAMPLES} examples",
        meaning="the log-determinant is not that of the map",
        where=subject.where("log_likelihood"),
    )
    try:
        model, y, given, which = _bijective(subject, MOST_ENTRIES)
    except InputError as error:
        return asked.absent(str(error))
    if (odd := _strange_codes(model, subject.seed)) is not None:
        return asked.absent(f"the codes of samples are not standard normal ({odd}), so the base is not known")
    said, base, volume = [], [], []
    for row in range(min(EXAMPLES, len(y))):
        one = None if given is None else Condition(given.value[row : row + 1], given.present[row : row + 1])
        example = y[row : row + 1]
        # The bound method and its one condition, as a function of the example alone.
        jacobian = torch.autograd.functional.jacobian(lambda v, c=one: model.infer(v, c).flatten(), example)
        assert isinstance(jacobian, Tensor)
        volume.append(float(torch.linalg.slogdet(jacobian.reshape(example.numel(), -1)).logabsdet))
        with model.at_rest():
            z = model.infer(example, one)
            said.append(float(model.log_likelihood(example, one, noise=Noise(0, rows=1))))
        base.append(float((-0.5 * z**2 - 0.5 * math.log(2 * math.pi)).sum()))
    return _judged(asked, torch.tensor([said, base, volume], dtype=torch.float64), which)


def _judged(asked: Question, numbers: Tensor, which: str) -> Property:
    said, base, volume = numbers
    bound = TOLERANCE * (1 + numbers.abs().max())

    def agree(other: Tensor) -> bool:
        return bool(((said - other).abs() <= bound).all())

    worst = int((said - base - volume).abs().argmax())
    found = (
        f"log_likelihood - log N(z) = {float(said[worst] - base[worst]):.6g}, log|det J| = {float(volume[worst]):.6g}"
    )
    found += f" nats, on {which}"
    if agree(base + volume):
        return asked.holds(found)
    if agree(base - volume):
        return asked.fails(found, "the log-determinant has the wrong sign")
    if agree(base):
        return asked.fails(found, "the log-determinant is left out")
    off = said - base - volume
    if bool(((off - off.mean()).abs() <= bound).all()):
        return asked.fails(found, f"a constant of {float(off.mean()):.6g} nats is added to the log-likelihood")
    return asked.fails(found)


def _strange_codes(model: Any, seed: int) -> str | None:
    """What is not standard normal about the codes of samples, if anything."""
    with model.at_rest():
        drawn = model.draw(SAMPLES, model.given(None, SAMPLES), noise=Noise(seed, rows=SAMPLES), sampler=None)
        z = model.infer(drawn, model.given(None, SAMPLES)).flatten()
    mean, variance = float(z.mean()), float(z.var())
    if abs(mean) > ERRORS / math.sqrt(len(z)) or abs(variance - 1) > ERRORS * math.sqrt(2 / len(z)):
        return f"mean {mean:.3g}, variance {variance:.3g}"
    return None
