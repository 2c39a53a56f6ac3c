"""Tiny GPTs of every kind of example, with predictions far from uniform."""

import torch

from pushforward.core.fit_units import fit_units
from pushforward.core.modality import Image, Label, Modality, Points
from pushforward.core.table import Column, Table
from pushforward.core.text import Text
from pushforward.transformers.gpt import GPT

STREAM = Text(vocabulary=("a", "b", "c"), length=5, stream=True)
TEXTS = Text(vocabulary=("a", "b"), length=5)
IMAGE = Image(height=2, width=2, channels=1, levels=3)
TABLE = Table(
    columns=(
        Column(name="pet", categories=("cat", "dog", "owl")),
        Column(name="age", resolution=1.0, missing=True),
        Column(name="city", categories=("Rome", "Oslo", "Bonn", "Wien"), missing=True),
    )
)
POINTS = Points(dim=2)

ROWS = {
    TABLE: torch.tensor([[0.0, 1.0, 0.0], [1.0, 3.0, 1.0], [2.0, torch.nan, torch.nan]]).double(),
    POINTS: torch.tensor([[0.0, 1.5], [0.25, -1.0], [2.0, 0.1], [0.7, 0.3]]).double(),
}
EXAMPLES: dict[str, Modality] = {"stream": STREAM, "texts": TEXTS, "image": IMAGE, "table": TABLE, "points": POINTS}
LABEL = Label(names=("x", "y"))


def tiny(example: Modality, condition: Modality | None = None, *, seed: int = 0) -> GPT:
    """A double-precision model of width 8 whose probabilities spread over some orders of magnitude."""
    torch.manual_seed(seed)
    units = fit_units(example, "codes", ROWS[example]) if example in ROWS else None
    model = GPT(example=example, condition=condition, units=units, width=8, depth=2, heads=2)
    with torch.no_grad():
        model.vocabulary.head.weight.mul_(20)  # from a standard deviation of 0.02 to 0.4
    return model.double().eval()
