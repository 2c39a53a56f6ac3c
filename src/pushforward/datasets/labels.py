"""Names, numbers and categories as class labels."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pushforward.core.data import Rows
from pushforward.core.errors import InputError
from pushforward.core.modality import Label, Value

__all__ = ["Labels", "labelled", "plain", "read_labels"]

#: More classes than this and the column is no label: ImageNet has 1,000.
MAX_CLASSES = 1000

#: Codes of each example, and which are known.
Labels = tuple[Tensor, Tensor]


def plain(value: Any) -> Value:
    """A value of NumPy or pandas as one of Python: 1.0 in a whole column becomes 1.

    Example:
        >>> plain(np.int64(3)), plain(np.float32(2.0)), plain(np.str_("cat"))
        (3, 2, 'cat')
    """
    value = value.item() if isinstance(value, np.generic) else value
    return int(value) if isinstance(value, float) and value.is_integer() else value


def read_labels(values: Any, count: int, title: str = "label", names: Sequence[Value] = ()) -> tuple[Label, Labels]:
    """One class per example; None and NaN are examples whose class is not known.

    Args:
        values: numbers or strings.
        count: how many examples there are.
        title: what is labelled, for messages.
        names: the classes in the order of their codes; found and sorted if none are given.

    Raises:
        InputError: if there are not as many as examples, or too many classes.

    Example:
        >>> label, (codes, present) = read_labels(["dog", "cat", None], 3)
        >>> label.names, codes.tolist(), present.tolist()
        (('cat', 'dog'), [1, 0, 0], [True, True, False])
    """
    import pandas as pd

    try:
        array = values.detach().cpu().numpy() if isinstance(values, Tensor) else values
        column = pd.Series(np.asarray(array) if not isinstance(array, pd.Series) else array.to_numpy())
    except (ValueError, TypeError):
        raise InputError(f"{title}: got a {type(values).__name__} that is not flat, expected one class each") from None
    if len(column) != count:
        raise InputError(f"{title}: got {len(column)} of them for {count} examples, expected one each")
    known: Any = column[column.notna()]
    if known.empty:
        raise InputError(f"{title}: has no known class, expected at least one")
    distinct = [plain(value) for value in known.unique()]
    strange = next((value for value in distinct if not isinstance(value, Value)), None)
    if strange is not None:
        raise InputError(f"{title}: holds a {type(strange).__name__}, expected numbers or strings as classes")
    if not names:
        if len(distinct) > MAX_CLASSES or (len(distinct) == count and count > 1):
            raise InputError(
                f"{title}: holds {len(distinct):,} distinct values in {count:,} examples, "
                f"expected at most {MAX_CLASSES:,} classes, each in several examples"
            )
        names = sorted(set(distinct), key=lambda value: (isinstance(value, str), value))
    codes = {name: code for code, name in enumerate(names)}
    unknown = next((value for value in distinct if value not in codes), None)
    if unknown is not None:
        some = ", ".join(str(name) for name in list(names)[:20])
        raise InputError(f"{title}: holds the class {unknown!r}, expected one of {some}")
    row = [codes[plain(value)] if there else 0 for value, there in zip(column, column.notna(), strict=True)]
    present = torch.tensor(column.notna().to_numpy(dtype=bool, copy=True))
    return Label(names=tuple(names), title=title), (torch.tensor(row, dtype=torch.int64), present)


def labelled(x: Tensor, labels: Labels | None) -> Rows:
    """Examples in memory with their labels, if they have any."""
    return Rows(x) if labels is None else Rows(x, labels[0], labels[1])


def join_labels(
    given: dict[str, tuple[int, Any]], title: str = "label", names: Sequence[Value] = ()
) -> tuple[Label | None, dict[str, Labels]]:
    """Labels of several splits under one set of classes; a split without labels has none known.

    Args:
        given: for each split, how many examples it has and its labels or None.
        title: what is labelled.
        names: the classes in the order of their codes; found and sorted if none are given.

    Raises:
        InputError: as ``read_labels`` does.
    """
    if all(values is None for _, values in given.values()):
        return None, {}
    columns = []
    for count, values in given.values():
        flat = [None] * count if values is None else values
        column = np.asarray(flat.detach().cpu() if isinstance(flat, Tensor) else flat)
        if column.ndim != 1 or len(column) != count:
            raise InputError(f"{title}: got an array of shape {column.shape} for {count} examples, expected ({count},)")
        columns.append(column.astype(object))
    sizes = [count for count, _ in given.values()]
    label, (codes, present) = read_labels(np.concatenate(columns), sum(sizes), title, names)
    parts = zip(codes.split(sizes), present.split(sizes), strict=True)
    return label, dict(zip(given, parts, strict=True))
