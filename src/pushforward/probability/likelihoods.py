"""Likelihoods by name: which p(x | theta) goes with which data, and in which units."""

from __future__ import annotations

from typing import Literal, get_args

from pushforward.core.errors import InputError, check_count
from pushforward.core.modality import Image, Modality, Points
from pushforward.core.native_units import NativeCells, NativePoints
from pushforward.core.table import Table
from pushforward.core.text import Text
from pushforward.core.units import Space, Units
from pushforward.probability.column_likelihood import ColumnLikelihood
from pushforward.probability.count_likelihood import CountLikelihood, check_counts
from pushforward.probability.entry_likelihoods import (
    BernoulliLikelihood,
    CategoricalLikelihood,
    ContinuousBernoulliLikelihood,
    GaussianLikelihood,
)
from pushforward.probability.likelihood import Likelihood
from pushforward.probability.logistic_likelihood import LevelLikelihood, NumberLikelihood

__all__ = ["Likelihood", "LikelihoodName", "likelihood_of", "space_of"]

LikelihoodName = Literal[
    "auto",
    "gaussian",
    "bernoulli",
    "continuous-bernoulli",
    "discretised-logistic",
    "categorical",
    "count",
    "columns",
]

#: The likelihoods that are mixtures when ``components`` says so.
MIXTURES = ("discretised-logistic", "columns")


def resolved(name: LikelihoodName, example: Modality) -> LikelihoodName:
    """What "auto" stands for.

    Raises:
        InputError: for a name that does not exist.
    """
    if name not in get_args(LikelihoodName):
        raise InputError(f"likelihood: got {name!r}, expected one of {', '.join(get_args(LikelihoodName))}")
    if name != "auto":
        return name
    match example:
        case Image(levels=2):
            return "bernoulli"
        case Image():
            return "discretised-logistic"
        case Table():
            return "columns"
        case Text():
            return "categorical"
        case _:
            return "gaussian"


def space_of(name: LikelihoodName, example: Modality) -> Space:
    """The space of the likelihood of that name.

    Example:
        >>> space_of("auto", Points(dim=2)), space_of("auto", Image(height=8, width=8))
        ('real', 'native')
    """
    return "real" if resolved(name, example) in ("gaussian", "continuous-bernoulli") else "native"


def likelihood_of(name: LikelihoodName, example: Modality, units: Units, *, components: int = 1) -> Likelihood:
    """The likelihood of that name for examples in these units.

    Args:
        name: which; "auto" is bernoulli for images of two levels, discretised-logistic for other images, columns for
            tables, categorical for texts, gaussian for everything else.
        example: what an example is.
        units: of the space that ``space_of`` gives.
        components: of the logistic mixture, for discretised-logistic and columns.

    Raises:
        InputError: if the likelihood does not go with the examples, or is no mixture and should be one.

    Example:
        >>> from pushforward.core.fit_units import default_units
        >>> digits = Image(height=8, width=8, levels=17)
        >>> likelihood_of("auto", digits, default_units(digits, "native"), components=5).theta
        (15, 1, 8, 8)
    """
    chosen = resolved(name, example)
    check_count(components, "components")
    if components > 1 and chosen not in MIXTURES:
        raise InputError(f"components: got {components}, the {chosen} likelihood accepts 1")
    match chosen, example, units:
        case "gaussian", _, _ if not isinstance(example, Text):
            return GaussianLikelihood(shape=units.shape)
        case "bernoulli", Image(levels=2), _:
            return BernoulliLikelihood(shape=units.shape)
        case "continuous-bernoulli", Image(), _:
            return ContinuousBernoulliLikelihood(shape=units.shape)
        case "discretised-logistic", Image(), _:
            return LevelLikelihood(shape=units.shape, levels=example.levels, components=components)
        case "discretised-logistic", Points(), NativePoints():
            return NumberLikelihood(width=units.widths, origin=units.origins, components=components)
        case "categorical", Image(), _:
            return CategoricalLikelihood(shape=units.shape, size=example.levels, ordered=True)
        case "categorical", Text(), _:
            return CategoricalLikelihood(shape=units.shape, size=example.size)
        case "count", Points(), NativePoints():
            check_counts(example.steps, units.low)
            return CountLikelihood(mean_count=units.mean, deviation=units.std)
        case "columns", Table(), NativeCells():
            return ColumnLikelihood(units=units, components=components)
        case _:
            raise InputError(f"likelihood: got {chosen!r} for {example.describe()}, expected {_fitting(example)}")


def _fitting(example: Modality) -> str:
    """The likelihoods that go with a modality, for an error."""
    match example:
        case Image():
            two = "bernoulli, " if example.levels == 2 else ""
            return f"{two}gaussian, continuous-bernoulli, discretised-logistic or categorical"
        case Table():
            return "columns or gaussian"
        case Text():
            return "categorical"
        case Points():
            return "gaussian, discretised-logistic, or count for whole numbers from 0 on"
        case _:
            return "gaussian"
