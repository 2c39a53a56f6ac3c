"""What the fields of a variational autoencoder accept, and which of them do not go with each other."""

import math
from collections.abc import Mapping
from typing import Any, Literal, get_args

from pushforward.autoencoders.networks import NetworkName, Variance
from pushforward.autoencoders.posteriors import PosteriorName
from pushforward.core.capabilities import HasDensity
from pushforward.core.errors import InputError
from pushforward.core.modality import Label, Modality, Points

__all__ = ["Absent", "Gradient", "Objective", "PriorName", "check_fields"]

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


def check_fields(fields: Mapping[str, Any], condition: Modality | None, *, gaussian: bool) -> None:
    """Raise ``InputError`` for a field out of range, or the first that does not go with another.

    Args:
        fields: of the model, by name.
        condition: its modality.
        gaussian: whether the likelihood is the Gaussian one.
    """
    for name, least in LEAST.items():
        if not fields[name] >= least:
            raise InputError(f"{name}: got {fields[name]}, expected at least {least}")
        if fields[name] == math.inf:
            raise InputError(f"{name}: got inf, expected a finite number")
    for name, accepted in CHOICES.items():
        if fields[name] not in (names := get_args(accepted)):
            *most, last = map(repr, names)
            raise InputError(f"{name}: got {fields[name]!r}, expected {', '.join(most)} or {last}")
    if fields["warm_up"] > 1:
        raise InputError(f"warm_up: got {fields['warm_up']}, expected a share from 0 to 1")
    for name, value, why, wrong in _conflicts(fields, condition, gaussian):
        if wrong:
            raise InputError(f"{name}: got {value!r}, {why}")


def _conflicts(
    fields: Mapping[str, Any], condition: Modality | None, gaussian: bool
) -> list[tuple[str, Any, str, bool]]:
    """(field, its value, why it is refused, whether it is) of everything that does not go together."""
    objective, posterior, prior, flow = (fields[name] for name in ("objective", "posterior", "prior", "flow"))
    variance, gradient, free_bits = fields["variance"], fields["gradient"], fields["free_bits"]
    exact = isinstance(flow, HasDensity) and flow.kind == "exact" and flow.example == Points(dim=fields["latent_dim"])
    diagonal = posterior == "diagonal"
    wants = f"prior='flow' needs a model of points of {fields['latent_dim']} numbers with an exact density"
    summed = isinstance(condition, Label) and objective in ("elbo", "iwae")
    return [
        (
            "variance",
            variance,
            "a likelihood that is not gaussian accepts 'network'",
            not gaussian and variance != "network",
        ),
        ("posterior", posterior, "prior='vamp' accepts 'diagonal'", prior == "vamp" and not diagonal),
        ("posterior", posterior, "objective='beta-tc' accepts 'diagonal'", objective == "beta-tc" and not diagonal),
        ("flow", type(flow).__name__, wants, prior == "flow" and not exact),
        ("flow", type(flow).__name__, "it is used with prior='flow'", prior != "flow" and flow is not None),
        ("gradient", gradient, "posterior='iaf' accepts 'plain'", gradient == "dreg" and posterior == "iaf"),
        (
            "gradient",
            gradient,
            "absent='marginal' accepts 'plain'",
            gradient == "dreg" and fields["absent"] == "marginal",
        ),
        ("gradient", gradient, "it is used with objective='iwae'", gradient != "auto" and objective != "iwae"),
        *(
            (name, fields[name], "objective='capacity' gives the KL no weight and accepts 1", True)
            for name in ("beta", "cycles")
            if objective == "capacity" and fields[name] != 1
        ),
        (
            "free_bits",
            free_bits,
            "objective='iwae' has no KL of its own and accepts 0",
            objective == "iwae" and free_bits > 0,
        ),
        (
            "absent",
            fields["absent"],
            "summing over labels needs a class label as condition, and elbo or iwae",
            fields["absent"] == "marginal" and not summed,
        ),
    ]
