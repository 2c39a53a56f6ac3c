"""Rows of a table: columns of numbers and of categories, cells that may be missing.

Storage is one float64 tensor (B, columns): a number as it is, a category as its code, a missing cell as NaN.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pushforward.core.errors import InputError
from pushforward.core.modality import Modality, Value

__all__ = ["Column", "Table"]


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a table.

    Args:
        name: its heading.
        categories: the values of a categorical column, empty for numbers. One category is a constant column.
        resolution: grid step of a column of numbers; 0.0 if it is continuous.
        missing: whether cells can be missing.
        whole: whether the user's column held whole numbers, and shall again.
    """

    name: str
    categories: tuple[Value, ...] = ()
    resolution: float = 0.0
    missing: bool = False
    whole: bool = False

    @property
    def numeric(self) -> bool:
        """Whether it holds numbers rather than categories."""
        return not self.categories

    def describe(self) -> str:
        """One phrase for people."""
        if self.numeric:
            kind = f"numbers in steps of {self.resolution:g}" if self.resolution else "continuous numbers"
        else:
            kind = "constant" if len(self.categories) == 1 else f"{len(self.categories)} categories"
        return f"{self.name}: {kind}{', some missing' if self.missing else ''}"


@dataclass(frozen=True, kw_only=True)
class Table(Modality):
    """Rows of columns of numbers and categories, any of which may have missing cells.

    Example:
        >>> import pandas as pd
        >>> table = Table(columns=(Column(name="age", resolution=1.0), Column(name="pet", categories=("cat", "dog"))))
        >>> table.pack(pd.DataFrame({"age": [3.0, 4.0], "pet": ["dog", "cat"]})).tolist()
        [[3.0, 1.0], [4.0, 0.0]]
    """

    columns: tuple[Column, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.columns),)

    @property
    def dtype(self) -> torch.dtype:
        return torch.float64

    @property
    def gridded(self) -> tuple[bool, bool]:
        cells = [not column.numeric or column.resolution > 0 for column in self.columns]
        return any(cells), all(cells)

    def describe(self) -> str:
        numbers = sum(column.numeric for column in self.columns)
        return f"table rows of {len(self.columns)} columns ({numbers} of numbers)"

    def check(self, storage: Tensor, name: str = "x") -> None:
        super().check(storage, name)
        if torch.isinf(storage).any():
            raise InputError(f"{name}: holds infinite numbers, expected finite or missing ones")
        for index, column in enumerate(self.columns):
            cells = storage[:, index]
            if not column.missing and torch.isnan(cells).any():
                raise InputError(f"{name}: column {column.name!r} has a missing cell, and had none in training")
            top = len(column.categories) - 1
            known = cells[~torch.isnan(cells)]
            if not column.numeric and known.numel() and ((known < 0) | (known > top) | (known % 1 != 0)).any():
                raise InputError(f"{name}: column {column.name!r} holds a code outside 0 to {top}")

    def pack(self, user: Any) -> Tensor:
        import pandas as pd

        user = user.set_axis([str(name).strip() for name in user.columns], axis=1)  # pandas counts unnamed columns
        absent = [column.name for column in self.columns if column.name not in user.columns]
        if absent:
            raise InputError(f"table: has no column {absent[0]!r}, expected {[column.name for column in self.columns]}")
        packed = []
        for column in self.columns:
            cells: Any = user[column.name]
            if column.numeric:
                numbers: Any = pd.to_numeric(cells, errors="coerce")
                strange = cells[numbers.isna() & cells.notna()]
                if len(strange):
                    raise InputError(f"column {column.name!r}: holds {strange.iloc[0]!r}, expected numbers")
                packed.append(numbers.to_numpy(dtype=np.float64, na_value=np.nan))
            else:
                codes = cells.map({value: code for code, value in enumerate(column.categories)})
                strange = cells[codes.isna() & cells.notna()]
                if len(strange):
                    some = ", ".join(repr(value) for value in column.categories[:8])
                    raise InputError(f"column {column.name!r}: holds {strange.iloc[0]!r}, expected one of {some}")
                packed.append(codes.to_numpy(dtype=np.float64, na_value=np.nan))
        storage = torch.from_numpy(np.stack(packed, axis=1)) if packed else torch.empty(len(user), 0).double()
        self.check(storage, "table")
        return storage

    def unpack(self, storage: Tensor) -> Any:
        import pandas as pd

        cells = storage.cpu().numpy()
        frame = {}
        for index, column in enumerate(self.columns):
            values = cells[:, index]
            if column.numeric:
                # Int64 is pandas' type for whole numbers of which some are missing.
                whole = "Int64" if np.isnan(values).any() else "int64"
                frame[column.name] = pd.array(values).astype(whole) if column.whole else values
            else:
                frame[column.name] = [None if np.isnan(v) else column.categories[int(v)] for v in values]
        return pd.DataFrame(frame)
