r"""Units: storage numbers as the numbers a model learns, with the log-determinant counted.

A model gives a log-density :math:`\log q(y)` in its own units; what a person wants is :math:`\log p(x)` in data units.
Every map from storage to model units therefore returns, with ``y``, the log-volume term ``log_det`` for which

.. math:: \log p(x) \;=\; \log q(y) + \text{log\_det}        \quad\text{(continuous x, change of variables)}

.. math:: \log P(x) \;\ge\; \mathbb{E}_{u}\,[\log q(y(x, u)) + \text{log\_det}]  \quad\text{(x on a grid, dequantised)}

In the second line u is uniform in the cell of x, and Jensen's inequality makes a *bound* of what is the mass of the
cell (Theis et al. 2016, "A note on the evaluation of generative models", section 3.1).

A model says which *space* it lives in: ``real`` (float vectors or images of order one), ``logit`` (the same, but
pixels are unbounded: for maps with full support, such as flows), ``codes`` (whole numbers, one token each) or
``native`` (the storage numbers on their grid, as floats: for models whose likelihood is a mass of grid values).
"""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from pushforward.core.modality import Modality
from pushforward.core.noise import Noise

__all__ = ["Space", "Units"]

Space = Literal["real", "logit", "codes", "native"]


class Units(ABC):
    """A map between storage and model units. Concrete units are frozen dataclasses of plain numbers (saved as JSON)."""

    #: What is mapped: each kind of units narrows it to the modality it serves.
    example: Modality
    #: Whether NaN in model units stands for a missing cell; everywhere else it is a fault.
    missing_is_nan: ClassVar[bool] = False

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Shape of one example in model units."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """For codes: how many values each entry can take. Empty for real units."""
        return ()

    @property
    @abstractmethod
    def exact(self) -> bool:
        """Whether log q(y) + log_det is the log-probability itself; False when noise was added (a bound)."""

    @abstractmethod
    def encode(
        self, x: Shaped[Tensor, "batch *shape"], *, noise: Noise, dtype: torch.dtype = torch.float32
    ) -> tuple[Shaped[Tensor, "batch *units"], Float[Tensor, "batch"]]:
        """Storage to model units.

        Args:
            x: storage examples.
            noise: for dequantisation; must have as many rows as x.
            dtype: of real model units; codes are int64.

        Returns:
            y in model units and log_det (nats, one per example).
        """

    @abstractmethod
    def decode(self, y: Shaped[Tensor, "batch *units"], *, noise: Noise) -> Shaped[Tensor, "batch *shape"]:
        """Model units to storage, on the data's grid (rounded and clipped to what an example can be)."""
