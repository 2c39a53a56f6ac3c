"""A class as the row of a table of parameters; row 0 is the null: examples whose class is not known."""

import torch
from jaxtyping import Int
from torch import Tensor

from pushforward.core.data import Condition
from pushforward.core.errors import InputError
from pushforward.core.modality import Label, Modality

__all__ = ["class_rows", "count_classes"]


def count_classes(condition: Modality | None) -> int:
    """How many classes a condition can name, 0 without a condition.

    Raises:
        InputError: if the condition is not a class label; a table has no row for every picture or text.

    Example:
        >>> count_classes(Label(names=("cat", "dog")))
        2
    """
    match condition:
        case None:
            return 0
        case Label():
            return condition.size
        case _:
            raise InputError(f"condition: got {condition.describe()}, this model accepts class labels")


def class_rows(condition: Condition | None, n: int, *, device: torch.device) -> Int[Tensor, "n"]:
    """The row of each example: 1 + its class, or 0 where the class is not known.

    Example:
        >>> condition = Condition(torch.tensor([4, 4]), torch.tensor([True, False]))
        >>> class_rows(condition, 2, device=torch.device("cpu")).tolist()
        [5, 0]
    """
    if condition is None:
        return torch.zeros(n, dtype=torch.int64, device=device)
    return torch.where(condition.present, condition.value + 1, 0)
