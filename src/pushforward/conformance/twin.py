r"""A twin: a model of the same class and fields on data so small that its density can be integrated.

Real numbers: points of three numbers, curved and of unequal scale, with

.. math:: x = m + s \odot (a,\; 0.7 a + 0.6 b + 0.3 (a^2 - 1),\; c - 0.5 b), \qquad a, b, c \sim N(0, 1).

Codes: images of 2 x 2 pixels in three levels, rows of three categories, or texts of four letters, of which every
outcome is listed. The twin is trained for a moment: a density that has learned something has parts that matter.
"""

import dataclasses
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pushforward.core.data import Batch, Condition
from pushforward.core.errors import InputError
from pushforward.core.fit_units import fit_units
from pushforward.core.modality import Image, Label, Modality, Points
from pushforward.core.model import Model
from pushforward.core.noise import Noise
from pushforward.core.stages import Stage
from pushforward.core.table import Column, Table
from pushforward.core.text import Text

__all__ = ["Twin", "has_defaults", "make_twin"]

#: Examples a twin learns from.
ROWS = 512

#: Steps of its training on points and on outcomes, and examples in each: a second or two. On points a VAE has come to
#: use its code (half the KL then makes a bound integrate to 2, after half as many steps to 1.07).
STEPS, FEW_STEPS, BATCH = 300, 100, 64

#: Standard deviations of points in model units, far from 1 and from a product of 1.
SCALES = (0.5, 0.7, 1.3)


@dataclass(frozen=True)
class Twin:
    """A small model of the same class.

    Args:
        model: trained for a moment.
        x: its training examples in storage form.
        outcomes: every example there can be, or None for points.
        says: what it is a model of.
    """

    model: Model
    x: Tensor
    outcomes: Tensor | None
    says: str

    @property
    def conditions(self) -> tuple[int | None, ...]:
        """Under which conditions its density is looked at: none, and the second class where there are classes."""
        return (None,) if self.model.condition is None else (None, 1)


def make_twin(model: Model, seed: int, *, defaults: bool = False, wider: bool = False) -> Twin:
    """A small model of the class of ``model``, trained for a moment.

    Args:
        model: whose class and fields are taken.
        seed: of its weights and data.
        defaults: whether to take the default fields of the class instead.
        wider: whether points are spread twice as wide.

    Raises:
        InputError: if the class takes none of the small data there are.
    """
    refusals = []
    condition = Label(names=("a", "b")) if isinstance(model.condition, Label) else None
    for example, x, outcomes in candidates(model, seed):
        labels = None if condition is None else torch.arange(len(x)) % 2
        if labels is not None and outcomes is None:
            x = x + labels[:, None]  # the classes differ
        try:
            # Units made for points of other scales: the model has to learn the scales itself.
            kept = {} if defaults else _fields(model)
            space = model.space_for(example, kept)
            units = fit_units(example, space, x if outcomes is not None else x / x.new_tensor(SCALES))
            torch.manual_seed(seed)
            cls: Any = type(model)
            small = cls(example=example, condition=condition, units=units, **kept)
            small.sample(2, seed=seed)
            if wider and outcomes is None:
                x = 2 * x
        except Exception as error:  # whatever keeps a class of somebody's from working on this data
            refusals.append(f"{type(error).__name__} on {example.describe()}: {error}")
            continue
        learn(small, x, labels, seed, steps=STEPS if outcomes is None else FEW_STEPS)
        return Twin(small.eval(), x, outcomes, example.describe())
    raise InputError(
        f"twin: no small {type(model).__name__} could be made ({refusals[0]}), expected one of points or codes"
    )


def candidates(model: Model, seed: int) -> Iterator[tuple[Modality, Tensor, Tensor | None]]:
    """Small data that may suit the class: its modality, examples, and all outcomes where they can be listed."""
    pixels = Image(height=2, width=2, levels=3)
    if model.space != "codes":
        yield Points(dim=3), curved(seed), None
        pixels = dataclasses.replace(pixels, levels=2)
    table = Table(
        columns=(
            Column(name="a", categories=("x", "y", "z")),
            Column(name="b", categories=("u", "v"), missing=True),
            Column(name="c", categories=("s", "t")),
        )
    )
    stream = isinstance(model.example, Text) and model.example.stream
    text = Text(vocabulary=("a", "b", "c"), length=4, stream=stream)
    same_kind_first = sorted((pixels, table, text), key=lambda example: type(example) is not type(model.example))
    for example in same_kind_first:
        outcomes = every_outcome(example)
        generator = torch.Generator().manual_seed(seed)
        weights = torch.randn(len(outcomes), generator=generator).exp()
        yield example, outcomes[torch.multinomial(weights, ROWS, replacement=True, generator=generator)], outcomes


def curved(seed: int) -> Tensor:
    """The toy points of the module's formula."""
    a, b, c = torch.randn(3, ROWS, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x = torch.stack([a, 0.7 * a + 0.6 * b + 0.3 * (a**2 - 1), c - 0.5 * b], dim=1)
    return x * x.new_tensor([2.0, 0.5, 1.0]) + x.new_tensor([1.0, -3.0, 0.0])


def every_outcome(example: Image | Table | Text) -> Tensor:
    """All examples of a small modality, in storage form.

    Example:
        >>> len(every_outcome(Image(height=1, width=2, levels=3)))
        9
    """
    match example:
        case Image():
            entries: list[list[float]] = [list(range(example.levels))] * (example.height * example.width)
        case Table():
            entries = [
                [*range(len(column.categories)), *([float("nan")] * column.missing)] for column in example.columns
            ]
        case Text():
            entries = [list(range(example.size))] * example.length
    every = torch.tensor(list(itertools.product(*entries)), dtype=torch.float64)
    if isinstance(example, Text) and example.end is not None:  # after an end there are only ends
        is_end = every == example.end
        every = every[(is_end[:, 1:] | ~is_end[:, :-1]).all(1)]
    return every.to(example.dtype).reshape(len(every), *example.shape)


def learn(model: Model, x: Tensor, labels: Tensor | None, seed: int, *, steps: int) -> None:
    """Train for a moment: closed forms are solved, phases descend in turn; a loss that is not finite ends it."""
    given = None if labels is None else Condition(labels, torch.ones(len(x), dtype=torch.bool))
    for stage in model.stages():
        if stage.solve is not None:
            y, _ = model.fitted.encode(x, noise=Noise(seed, 10**9, rows=len(x)), dtype=model.dtype)
            batch = Batch(y, given)
            for _ in stage.solve(batch, batch, noise=Noise(seed, 10**9 + 1, rows=len(x))):
                pass
        else:
            _descend(model.train(), stage, Batch(x, given), seed, steps)
    model.progress = 1.0


def _descend(model: Model, stage: Stage, data: Batch, seed: int, steps: int) -> None:
    order = torch.Generator().manual_seed(seed)
    optimisers = [torch.optim.Adam(list(p.parameters), lr=p.lr, betas=p.betas) for p in stage.phases]
    for step in range(steps):
        model.progress = step / steps
        for index, (phase, optimiser) in enumerate(zip(stage.phases, optimisers, strict=True)):
            rows = torch.randint(len(data.x), (BATCH,), generator=order)
            noise = Noise(seed, step * len(optimisers) + index + 1, rows=BATCH)
            y, _ = model.fitted.encode(data.x[rows], noise=noise, dtype=model.dtype)
            # Every third example without its condition, so that the null is learned too.
            given = data.condition and Condition(data.condition.value[rows], torch.arange(BATCH) % 3 != 0)
            loss = torch.stack(list(phase.terms(y, given, noise=noise).values())).sum(0).mean()
            if not torch.isfinite(loss) or not loss.requires_grad:
                return
            optimiser.zero_grad()
            loss.backward(inputs=list(phase.parameters))
            optimiser.step()
        model.after_step()


def has_defaults(model: Model) -> bool:
    """Whether every field of a model has the default of its class.

    Example:
        >>> from pushforward.probability.baselines import Gaussian
        >>> has_defaults(Gaussian(example=Points(dim=1), shrinkage=0.5))
        False
    """
    kept = _fields(model)
    return all(kept[f.name] == f.default for f in dataclasses.fields(model) if f.name in kept)


def _fields(model: Model) -> dict[str, Any]:
    kept = [f.name for f in dataclasses.fields(model) if f.init and f.name not in ("example", "condition", "units")]
    return {name: getattr(model, name) for name in kept}
