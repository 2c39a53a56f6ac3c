"""What the fields of a variational autoencoder accept, which choices use them, and which do not go with each other."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from pushforward.autoencoders.networks import NetworkName, Variance
from pushforward.autoencoders.posteriors import PosteriorName
from pushforward.core.capabilities import HasDensity
from pushforward.core.errors import InputError
from pushforward.core.modality import Label, Points
from pushforward.core.model import Model

__all__ = ["Absent", "Gradient", "Objective", "PriorName", "check_fields", "has_effect"]

PriorName = Literal["normal", "mixture", "vamp", "flow"]
Objective = Literal["elbo", "iwae", "beta-tc", "mmd", "capacity"]
Gradient = Literal["auto", "dreg", "plain"]
Absent = Literal["null", "marginal"]

CHOICES = {
    "network": NetworkName,
    "variance": Variance,
    "prior": PriorName,
    "posterior": PosteriorName,
    "objective": Objective,
    "gradient": Gradient,
    "absent": Absent,
}

LEAST = {
    "latent_dim": 1,
    "width": 1,
    "depth": 0,
    "prior_components": 1,
    "samples": 1,
    "beta": 0,
    "gamma": 0,
    "capacity": 0,
    "warm_up": 0,
    "cycles": 1,
    "free_bits": 0,
}


#: The objectives in which the KL term has a weight, and those in which it is a term of its own.
WEIGHTED, OF_ITS_OWN = ("elbo", "iwae", "beta-tc", "mmd"), ("elbo", "beta-tc", "mmd", "capacity")

#: Fields that not every model uses: which choice decides, and the values of it that do.
USED_BY: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "prior_components": ("prior", ("mixture", "vamp")),
    "flow": ("prior", ("flow",)),
    "gradient": ("objective", ("iwae",)),
    "beta": ("objective", WEIGHTED),
    "warm_up": ("objective", WEIGHTED),
    "cycles": ("objective", WEIGHTED),
    "free_bits": ("objective", OF_ITS_OWN),
    "gamma": ("objective", ("mmd", "capacity")),
    "capacity": ("objective", ("capacity",)),
}


def check_fields(model: Model, *, gaussian: bool) -> None:
    """Raise ``InputError`` for a field out of range, one that nothing uses, or the first that conflicts with another.

    Args:
        model: a VAE.
        gaussian: whether the likelihood is the Gaussian one.
    """
    fields = {field.name: getattr(model, field.name) for field in dataclasses.fields(model)}
    _check_ranges(fields)
    for field in dataclasses.fields(model):
        made = field.default_factory
        usual = field.default if made is dataclasses.MISSING else made()
        if not has_effect(model, field.name) and fields[field.name] != usual:
            choice, values = USED_BY[field.name]
            got = _shown(fields[field.name])
            raise InputError(f"{field.name}: got {got}, which only {choice}={_either(values)} uses")
    for name, why, wrong in _conflicts(model, fields, gaussian):
        if wrong:
            raise InputError(f"{name}: got {_shown(fields[name])}, {why}")


def has_effect(model: Model, field: str) -> bool:
    """Whether a field has an effect, the model's choices being what they are; of a model without the choice, True.

    Example:
        >>> from types import SimpleNamespace
        >>> capacity: Any = SimpleNamespace(objective="capacity")
        >>> has_effect(capacity, "beta"), has_effect(capacity, "gamma"), has_effect(capacity, "prior_components")
        (False, True, True)
    """
    choice, values = USED_BY.get(field, ("", ()))
    chosen = getattr(model, choice, None) if choice else None
    return chosen is None or chosen in values


def _check_ranges(fields: Mapping[str, Any]) -> None:
    for name, least in LEAST.items():
        if not fields[name] >= least:
            raise InputError(f"{name}: got {fields[name]}, expected at least {least}")
        if fields[name] == math.inf:
            raise InputError(f"{name}: got inf, expected a finite number")
    for name, accepted in CHOICES.items():
        if fields[name] not in (names := get_args(accepted)):
            raise InputError(f"{name}: got {fields[name]!r}, expected {_either(names)}")
    if fields["warm_up"] > 1:
        raise InputError(f"warm_up: got {fields['warm_up']}, expected a share from 0 to 1")


def _conflicts(model: Model, fields: Mapping[str, Any], gaussian: bool) -> list[tuple[str, str, bool]]:
    """(field, why its value is refused, whether it is) of everything that does not go together."""
    objective, posterior, prior, flow = (fields[name] for name in ("objective", "posterior", "prior", "flow"))
    gradient, absent = fields["gradient"], fields["absent"]
    exact = isinstance(flow, HasDensity) and flow.kind == "exact" and flow.example == Points(dim=fields["latent_dim"])
    alike = not isinstance(flow, Model) or flow.condition in (None, model.condition)
    learns = not isinstance(flow, Model) or any(stage.phases for stage in flow.stages())
    summed = isinstance(model.condition, Label) and objective in ("elbo", "iwae")
    return [
        (
            "variance",
            "a likelihood that is not gaussian accepts 'network'",
            not gaussian and fields["variance"] != "network",
        ),
        ("posterior", "prior='vamp' accepts 'diagonal'", prior == "vamp" and posterior != "diagonal"),
        ("posterior", "objective='beta-tc' accepts 'diagonal'", objective == "beta-tc" and posterior != "diagonal"),
        (
            "flow",
            f"prior='flow' needs a model of points of {fields['latent_dim']} numbers with an exact density",
            prior == "flow" and not exact,
        ),
        ("flow", "which was made for another condition than this model, expected one for the same or none", not alike),
        ("flow", "which is fitted in closed form, expected a model that learns step by step", not learns),
        ("gradient", "posterior='iaf' accepts 'plain'", gradient == "dreg" and posterior == "iaf"),
        ("gradient", "absent='marginal' accepts 'plain'", gradient == "dreg" and absent == "marginal"),
        (
            "absent",
            "summing over labels needs a class label as condition, and elbo or iwae",
            absent == "marginal" and not summed,
        ),
    ]


def _shown(value: Any) -> str:
    """A value in one line: a model by its name."""
    return type(value).__name__ if isinstance(value, Model) else repr(value)


def _either(names: Sequence[str]) -> str:
    *most, last = map(repr, names)
    return f"{', '.join(most)} or {last}" if most else last
