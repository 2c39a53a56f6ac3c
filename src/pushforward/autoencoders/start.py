"""Before the first step: the scales of a condition, taken from training examples, and where the model then stands."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pushforward.core.data import Batch, Condition
from pushforward.core.noise import Noise
from pushforward.nn.conditioning import RowConditioner

__all__ = ["has_scales", "mean_over", "pieces", "take_scales_"]

#: Examples that a whole split is worked on at a time: as many as a network sees in an update or two.
ROWS = 256


def has_scales(embed: nn.Module | None) -> bool:
    """Whether what embeds a condition reads numbers, whose scales it has to learn from data."""
    return isinstance(embed, RowConditioner)


def take_scales_(embed: nn.Module | None, train: Batch) -> None:
    """Standardise the numbers of a condition by those of the training examples that have one."""
    if isinstance(embed, RowConditioner) and train.condition is not None:
        embed.standardise_(train.condition.value[train.condition.present])


def pieces(batch: Batch) -> list[Batch]:
    """A batch a few hundred examples at a time; an empty one is a single piece.

    Example:
        >>> [len(part.x) for part in pieces(Batch(torch.zeros(300, 2)))]
        [256, 44]
    """
    x, condition = batch
    given = [None] * len(x.split(ROWS)) if condition is None else _of(condition)
    return [Batch(part, own) for part, own in zip(x.split(ROWS), given, strict=True)]


def mean_over(figure: Callable[[Batch, Noise], Float[Tensor, "rows"]], batch: Batch, noise: Noise) -> Float[Tensor, ""]:
    """The mean over a split of a figure that each example has by itself, in pieces to save memory.

    Args:
        figure: of every example of a piece, given the noise of these examples.
        batch: the split.
        noise: whose first rows are those of the split.

    Example:
        >>> mean_over(lambda part, noise: part.x[:, 0], Batch(torch.arange(600.0)[:, None]), Noise(0, rows=600))
        tensor(299.5000, dtype=torch.float64)
    """
    found, first = [], 0
    for part in pieces(batch):
        found.append(figure(part, noise.part(first, len(part.x))))
        first += len(part.x)
    return torch.cat(found).double().mean()


def _of(condition: Condition) -> list[Condition]:
    return [Condition(*part) for part in zip(*(t.split(ROWS) for t in condition), strict=True)]
