"""What an example is conditioned on, as vectors a network takes; the absent condition is a learned vector too."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pushforward.core.data import Condition
from pushforward.core.errors import InputError
from pushforward.core.modality import Image, Label, Modality, Points
from pushforward.core.table import Table
from pushforward.core.text import Text
from pushforward.nn.backbones import encoder

__all__ = ["Conditioner", "ImageConditioner", "PrefixConditioner", "RowConditioner", "conditioner"]


def conditioner(modality: Modality, width: int) -> "Conditioner | RowConditioner | ImageConditioner":
    """The network that turns conditions of a modality into vectors: labels, points, rows of a table, or images.

    Called as ``(condition or None, batch) -> (batch, width)``.

    Raises:
        InputError: for any other modality.

    Example:
        >>> type(conditioner(Points(dim=3), 8)).__name__
        'RowConditioner'
    """
    match modality:
        case Label():
            return Conditioner(modality, width)
        case Points() | Table():
            return RowConditioner(modality, width)
        case Image():
            return ImageConditioner(modality, width)
        case _:
            accepted = "class labels, points, tables and images"
            raise InputError(f"condition: got {modality.describe()}, this model accepts {accepted}")


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


class RowConditioner(nn.Module):
    r"""Points or rows of a table to one vector, by a linear map of what their cells say.

    A number becomes :math:`\operatorname{asinh}((v - m) / s)`, linear near its mean and logarithmic far out, so that a
    long tail stays in reach; a category becomes one-hot. A missing cell says 0 everywhere, with one more entry that is
    1 where a cell is missing: so a row can be conditioned on its own known cells. Mean m and spread s are those of the
    training conditions once ``standardise_`` has seen them, and 0 and 1 before.

    Args:
        modality: what the condition is: ``Points`` or a ``Table``.
        width: length of the vector.

    Example:
        >>> rows = RowConditioner(Points(dim=2), 8)
        >>> condition = Condition(torch.tensor([[0.0, 1.0], [0.0, torch.nan]]).double(), torch.tensor([True, True]))
        >>> rows.features(condition.value)  # asinh(1) = 0.8814
        tensor([[0.0000, 0.0000, 0.8814, 0.0000],
                [0.0000, 0.0000, 0.0000, 1.0000]])
    """

    centre: Tensor
    spread: Tensor

    def __init__(self, modality: Points | Table, width: int) -> None:
        super().__init__()
        columns = modality.columns if isinstance(modality, Table) else ()
        self.sizes = [len(column.categories) for column in columns] or [0] * modality.shape[0]
        self.register_buffer("centre", torch.zeros(len(self.sizes)))
        self.register_buffer("spread", torch.ones(len(self.sizes)))
        self.linear = nn.Linear(sum(max(size, 1) + 1 for size in self.sizes), width)
        self.null = nn.Parameter(torch.randn(width))

    def standardise_(self, values: Float[Tensor, "batch columns"]) -> None:
        """Take mean and spread of every column from training conditions, missing cells left out."""
        known = ~values.isnan()
        count = known.sum(0).clamp(min=1)
        centre = values.nan_to_num().sum(0) / count
        spread = (((values - centre).nan_to_num() ** 2).sum(0) / count).sqrt()
        self.centre.copy_(centre)
        self.spread.copy_(torch.where(spread > 0, spread, 1.0))

    def features(self, values: Float[Tensor, "batch columns"]) -> Float[Tensor, "batch features"]:
        """What the cells say, in numbers of order one."""
        values = values.to(self.centre.dtype)
        missing = values.isnan()
        scaled = torch.asinh((values - self.centre) / self.spread).nan_to_num()
        parts = []
        for column, size in enumerate(self.sizes):
            codes = torch.arange(size, device=values.device)
            parts.append((values[:, column : column + 1] == codes) if size else scaled[:, column : column + 1])
            parts.append(missing[:, column : column + 1])
        return torch.cat([part.to(values.dtype) for part in parts], dim=1)

    def forward(self, condition: Condition | None, batch: int) -> Float[Tensor, "batch width"]:
        """The vectors of a condition, or ``batch`` times the null for None."""
        if condition is None:
            return self.null.expand(batch, -1)
        return torch.where(condition.present[:, None], self.linear(self.features(condition.value)), self.null)


class ImageConditioner(nn.Module):
    """An image to one vector, by a small convolutional network on intensities in [-1, 1].

    Args:
        modality: what the condition is: an ``Image``.
        width: length of the vector.

    Example:
        >>> ImageConditioner(Image(height=8, width=8), 16)(None, 2).shape
        torch.Size([2, 16])
    """

    #: Channels of the first convolution and residual blocks at each size: it has to say what the picture shows, in a
    #: vector, which costs a fraction of drawing one.
    channels, blocks = 16, 1

    def __init__(self, modality: Image, width: int) -> None:
        super().__init__()
        self.top = modality.levels - 1
        self.net = encoder(modality.shape, width, width=self.channels, depth=self.blocks, network="conv")
        self.null = nn.Parameter(torch.randn(width))

    def forward(self, condition: Condition | None, batch: int) -> Float[Tensor, "batch width"]:
        """The vectors of a condition, or ``batch`` times the null for None."""
        if condition is None:
            return self.null.expand(batch, -1)
        shown = self.net(2 * condition.value.to(self.null.dtype) / self.top - 1)
        return torch.where(condition.present[:, None], shown, self.null)


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
