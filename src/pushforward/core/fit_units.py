"""Which units a modality takes in each space, and their numbers, fitted on the training split."""

import numpy as np
import torch
from torch import Tensor

from pushforward.core.audio import Audio
from pushforward.core.column_units import Bins, Scores, columns_of
from pushforward.core.errors import InputError
from pushforward.core.marginals import Marginals, fit_marginal
from pushforward.core.modality import Image, Modality, Points
from pushforward.core.native_units import NativeCells, NativePixels, NativePoints
from pushforward.core.pixel_units import PixelCodes, Pixels
from pushforward.core.point_units import Standardise, Tokens
from pushforward.core.table import Table
from pushforward.core.text import Text
from pushforward.core.units import Space, Units
from pushforward.core.waveform_units import Waveforms

__all__ = ["default_units", "fit_units"]


def fit_units(example: Modality, space: Space, x: Tensor) -> Units:
    """Units of ``example`` in ``space``, fitted on training examples ``x`` in storage form.

    Args:
        example: what an example is.
        space: where the model lives.
        x: training examples (a hundred thousand tell the histograms as much as more would).

    Raises:
        InputError: if the modality has no form in that space (text as real numbers).

    Example:
        >>> fit_units(Points(dim=1), "real", torch.tensor([[0.0], [2.0]]).double()).mean
        (1.0,)
    """
    match example, space:
        case Points(), "real" | "logit":
            return _standardise(example, x.double())
        case Audio(), "real" | "logit":
            loudness = float(x.double().square().mean().sqrt())
            return Waveforms(example=example, scale=max(loudness, 1.0))
        case Table(), "real" | "logit":
            return Scores(example=example, marginals=_marginals(example, x))
        case Points(), "native":
            real = _standardise(example, x.double())
            return NativePoints(example=example, mean=real.mean, std=real.std, low=real.low, high=real.high)
        case Table(), "native":
            return NativeCells(example=example, marginals=_marginals(example, x))
        case ((Points() | Table()), "codes"):
            return Bins(example=example, marginals=_marginals(example, x))
        case _:
            return default_units(example, space)


def default_units(example: Modality, space: Space) -> Units:
    """Units that need no data: pixels, text codes, and points left as they are.

    Raises:
        InputError: if these units must be fitted, or do not exist.
    """
    match example, space:
        case Points(), "real" | "logit":
            zeros, ones = (0.0,) * example.dim, (1.0,) * example.dim
            # Without data the grid has no ends: far ones, still whole numbers a double holds exactly.
            ends = (2.0**31,) * example.dim
            return Standardise(example=example, mean=zeros, std=ones, low=tuple(-e for e in ends), high=ends)
        case Image(), "real":
            return Pixels(example=example, scale="affine")
        case Image(), "logit":
            return Pixels(example=example, scale="logit")
        case Audio(), "real" | "logit":
            return Waveforms(example=example)
        case Points(), "native":
            real = default_units(example, "real")
            assert isinstance(real, Standardise)
            return NativePoints(example=example, mean=real.mean, std=real.std, low=real.low, high=real.high)
        case Image(), "native":
            return NativePixels(example=example)
        case Image(), "codes":
            return PixelCodes(example=example)
        case Text(), "codes" | "native":
            return Tokens(example=example)
        case ((Points() | Table()), _):
            raise InputError(f"units: {example.describe()} need units fitted on data, got none (see fit_units)")
        case Audio(), _:
            raise InputError(f"data: this model works on codes and cannot take {example.describe()}")
        case _:
            raise InputError(f"data: this model works on real numbers and cannot take {example.describe()}")


def _standardise(example: Points, x: Tensor) -> Standardise:
    std = x.std(0, correction=0)
    return Standardise(
        example=example,
        mean=tuple(x.mean(0).tolist()),
        std=tuple(torch.where(std > 0, std, 1.0).tolist()),
        low=tuple(x.amin(0).tolist()),
        high=tuple(x.amax(0).tolist()),
    )


def _marginals(example: Table | Points, x: Tensor) -> tuple:
    cells = np.asarray(x.double())
    columns = columns_of(example)
    return Marginals([fit_marginal(cells[:, i], column) for i, column in enumerate(columns)]).marginals
