"""check: every property of a model, the root of trouble first."""

from collections.abc import Callable
from typing import Any

import torch

from pushforward.conformance.behaves import (
    conditions_are_kept,
    every_parameter_learns,
    numbers_are_finite,
    randomness_is_an_argument,
    saved_is_the_same,
)
from pushforward.conformance.densities import bound_stays_below, density_integrates, samples_agree
from pushforward.conformance.independence import samples_stand_alone, scores_stand_alone
from pushforward.conformance.losses import loss_is_the_likelihood
from pushforward.conformance.maps import codes_come_back, model_counts_its_volume
from pushforward.conformance.properties import Property, Question, Report
from pushforward.conformance.subject import Subject, left_alone, seeded
from pushforward.conformance.units_hold import units_count_their_volume, units_round_trip
from pushforward.core.data import Data
from pushforward.core.errors import InputError
from pushforward.core.model import Model

__all__ = ["PROPERTIES", "check"]

#: In this order: a failure may bring those after it with it, seldom those before it.
PROPERTIES: dict[str, Callable[[Subject], Property]] = {
    "finite numbers, samples on the grid": numbers_are_finite,
    "units: round trip": units_round_trip,
    "units: log-determinant": units_count_their_volume,
    "determinism under a seed": randomness_is_an_argument,
    "every parameter receives gradient": every_parameter_learns,
    "samples do not depend on the batch": samples_stand_alone,
    "scores do not depend on the batch": scores_stand_alone,
    "conditions": conditions_are_kept,
    "save and load agree": saved_is_the_same,
    "code: round trip": codes_come_back,
    "log-determinant against autograd": model_counts_its_volume,
    "the density integrates to one": density_integrates,
    "the bound stays below the exact value": bound_stays_below,
    "samples agree with the density": samples_agree,
    "the loss is minus the log-likelihood": loss_is_the_likelihood,
}


def check(model: Model, *, data: Data | None = None, seed: int = 0) -> Report:
    """Test the properties every model must have.

    The model is not changed, and neither are the global random states. Where a model is too large for a proof, a small
    one of the same class and fields, trained for a moment, stands for it: a *twin*. Statistical tests fail a sound
    model with a probability of 1e-9 each.

    Args:
        model: new or trained, of this package or not.
        data: examples to try it on; None takes samples of the model itself.
        seed: of everything that is drawn.

    Raises:
        InputError: if an argument is none of these.

    Example:
        >>> from pushforward.core.modality import Points
        >>> from pushforward.probability.baselines import Gaussian
        >>> report = check(Gaussian(example=Points(dim=2)))
        >>> report.ok, [p.found for p in report.properties if p.name == "code: round trip"]
        (True, ['Gaussian has no code with a density'])
    """
    if not isinstance(model, Model):
        raise InputError(f"model: got {type(model).__name__}, expected a model such as run.model")
    if data is not None and not isinstance(data, Data):
        raise InputError(f"data: got {type(data).__name__}, expected what load_data returns, or None")
    if data is not None and data.example != model.example:
        raise InputError(f"data: is of {data.example.describe()}, the model of {model.example.describe()}")
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**31:
        raise InputError(f"seed: got {seed!r}, expected a whole number from 0 to 2**31 - 1")
    with left_alone(), torch.enable_grad():
        seeded(seed)
        subject = Subject(model, data, seed)
        answers = tuple(_asked(name, question, subject) for name, question in PROPERTIES.items())
    return Report(model=f"{subject.name} of {model.example.describe()}", seed=seed, properties=answers)


def _asked(name: str, question: Callable[[Subject], Property], subject: Subject) -> Property:
    """The answer; an exception of the model is one too."""
    try:
        return question(subject)
    except Exception as error:  # what a model of somebody's may raise cannot be listed
        last: Any = error.__traceback__
        while last.tb_next is not None:
            last = last.tb_next
        code = last.tb_frame.f_code
        return Question(
            name=name,
            tested="asked for what the contract promises",
            meaning="the model raises an error where the contract asks for a result",
            where=f"{code.co_filename}:{last.tb_lineno}, in {code.co_qualname}",
        ).fails(f"{type(error).__name__}: {error}")
