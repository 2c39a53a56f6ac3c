"""Closed forms fitted to storage examples, as the loop does it: units on the training split, whole splits encoded."""

import torch
from torch import Tensor

from pushforward.core.data import Batch, Condition
from pushforward.core.fit_units import fit_units
from pushforward.core.modality import Modality
from pushforward.core.model import Model
from pushforward.core.noise import Noise


def solved(
    kind: type[Model],
    example: Modality,
    train: Tensor,
    valid: Tensor | None = None,
    *,
    labels: tuple[Tensor, Tensor] | None = None,
    condition: Modality | None = None,
    double: bool = False,
    **fields: object,
) -> Model:
    """A solved model; without a validation split the training split stands in; ``labels`` are those of both."""
    model = kind(example=example, condition=condition, units=fit_units(example, kind.space, train), **fields)
    model = model.double() if double else model
    splits = []
    for number, x in enumerate((train, train if valid is None else valid)):
        y, _ = model.fitted.encode(x, noise=Noise(number, rows=len(x)), dtype=model.dtype)
        given = None if labels is None else Condition(labels[number], torch.ones(len(x), dtype=torch.bool))
        splits.append(Batch(y, given))
    (stage,) = model.stages()
    figures = list(stage.solve(*splits, noise=Noise(2, rows=len(train))))
    assert all(torch.isfinite(torch.tensor(figures)))
    return model.eval()
