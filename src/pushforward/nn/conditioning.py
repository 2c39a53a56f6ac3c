"""What an example is conditioned on, as vectors a network takes; the absent condition is a learned vector too."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pushforward.core.data import Condition
from pushforward.core.errors import InputError
from pushforward.core.modality import Label, Modality
from pushforward.core.text import Text

__all__ = ["Conditioner", "PrefixConditioner"]


class Conditioner(nn.Module):
    """A class label to one vector: row k of a table for class k, one more row where there is no condition.

    ``(size + 1) width`` parameters. Dropping the condition of some training examples trains the last row, the null that
    guidance needs.

    Args:
        modality: what the condition is: a ``Label``.
        width: length of the vector.

    Raises:
        InputError: for a modality other than ``Label``.

    Reference:
        Ho and Salimans 2022, "Classifier-Free Diffusion Guidance", algorithm 1 (the null).

    Example:
        >>> conditioner = Conditioner(Label(names=("cat", "dog")), 8)
        >>> condition = Condition(torch.tensor([0, 1]), torch.tensor([True, False]))
        >>> bool((conditioner(condition, 2)[1] == conditioner(None, 2)[1]).all())
        True
    """

    def __init__(self, modality: Modality, width: int) -> None:
        super().__init__()
        if not isinstance(modality, Label):
            raise InputError(f"condition: got {modality.describe()}, this model accepts class labels")
        self.null = modality.size
        self.table = nn.Embedding(modality.size + 1, width)

    def forward(self, condition: Condition | None, batch: int) -> Float[Tensor, "batch width"]:
        """The vectors of a condition, or ``batch`` times the null for None."""
        if condition is None:
            return self.table.weight[self.null].expand(batch, -1)
        return self.table(torch.where(condition.present, condition.value, self.null))


class PrefixConditioner(nn.Module):
    """A label or a text to a sequence of vectors that a transformer reads before the example.

    A label gives P = 1 vector, a text one per code, P = its length; where the condition is absent, all P are one
    learned null vector. ``(size + 1) width`` parameters.

    Args:
        modality: what the condition is: a ``Label`` or a ``Text``.
        width: length of a vector.

    Raises:
        InputError: for any other modality.

    Example:
        >>> PrefixConditioner(Text(length=5), 8)(None, 2).shape
        torch.Size([2, 5, 8])
    """

    def __init__(self, modality: Modality, width: int) -> None:
        super().__init__()
        if not isinstance(modality, Label | Text):
            raise InputError(f"condition: got {modality.describe()}, this model accepts class labels and texts")
        self.null, self.length = modality.size, modality.length if isinstance(modality, Text) else 1
        self.table = nn.Embedding(modality.size + 1, width)

    def forward(self, condition: Condition | None, batch: int) -> Float[Tensor, "batch prefix width"]:
        """The vectors of a condition, or ``batch`` times the null for None."""
        if condition is None:
            return self.table.weight[self.null].expand(batch, self.length, -1)
        codes = condition.value.view(len(condition.value), self.length)
        return self.table(torch.where(condition.present[:, None], codes, self.null))
