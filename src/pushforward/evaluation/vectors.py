r"""Storage examples as real vectors without any randomness: what features are made of.

Units (``core/units.py``) spread grid values over their cells because a likelihood needs it. A measurement must not
change from call to call, so here every cell is represented by its middle.

* pixels of level k among L: :math:`(k + \tfrac12)\,2/L - 1`, in the shape of the image;
* points: :math:`(x - m)/s` with the mean and deviation of the training points;
* rows of a table: a number as its normal score :math:`\Phi^{-1}(F(v))`, a category as one column of zeros and ones per
  value, and for every column with gaps one more that says whether the cell is missing (a missing number scores 0);
* waveforms: their spectrograms as images (1, frequencies, times): the power of windows of about 32 ms that overlap by
  half, in units of 40 decibels, 0 being 40 below full scale and -1 the least.

Two unrelated standard normals differ by 2 in mean square, and so do the columns of two different categories: numbers
and categories weigh alike in a distance.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot
from torch.special import ndtri

from pushforward.core.audio import LOUDEST, Audio
from pushforward.core.column_units import FARTHEST
from pushforward.core.errors import InputError
from pushforward.core.marginals import Marginal, Marginals, fit_marginal
from pushforward.core.modality import Image, Modality, Points
from pushforward.core.table import Table

__all__ = ["TableVectors", "Vectors", "fit_vectors"]

#: Storage examples (B, *storage) to float32 (B, *shape): (B, C, H, W) for images, (B, D) for all else.
Vectors = Callable[[Tensor], Tensor]


def fit_vectors(example: Modality, x: Tensor) -> Vectors:
    """The map from storage to real vectors, its statistics taken from training examples.

    Args:
        example: what an example is.
        x: training examples in storage form.

    Raises:
        InputError: if such examples have no form as real vectors (text).

    Example:
        >>> fit_vectors(Image(height=1, width=2, levels=2), torch.empty(0))(torch.tensor([[[[0, 1]]]])).tolist()
        [[[[-0.5, 0.5]]]]
    """
    match example:
        case Audio():
            # A power of two near 32 ms: long enough for the pitch of a voice, short enough for its syllables.
            return partial(_spectrogram, window=2 ** max(round(math.log2(0.032 * example.rate)), 4))
        case Image():
            return partial(_pixels, levels=example.levels)
        case Points():
            mean, deviation = x.double().mean(0), x.double().std(0, correction=0)
            return partial(_standardise, mean=mean, deviation=torch.where(deviation > 0, deviation, 1.0))
        case Table():
            cells = x.double().numpy()
            return TableVectors(example, tuple(fit_marginal(cells[:, i], c) for i, c in enumerate(example.columns)))
        case _:
            raise InputError(f"features: {example.describe()} are no real vectors, expected images, sound or numbers")


def _pixels(x: Int[Tensor, "batch c h w"], *, levels: int) -> Float[Tensor, "batch c h w"]:
    return (x.float() + 0.5) * (2 / levels) - 1


def _spectrogram(x: Int[Tensor, "batch time"], *, window: int) -> Float[Tensor, "batch 1 frequencies times"]:
    r""":math:`1 + \frac{10}{40} \log_{10} \max(|\mathrm{STFT}(x)|^2, 10^{-8})`, a full-scale tone having power 1."""
    hann = torch.hann_window(window)
    waves = torch.stft(x.float() / LOUDEST, window, window // 2, window=hann, pad_mode="constant", return_complex=True)
    power = (waves.abs() * (2 / hann.sum())) ** 2
    return (1 + 0.25 * power.clamp(min=1e-8).log10())[:, None]


def _standardise(x: Float[Tensor, "batch dim"], *, mean: Tensor, deviation: Tensor) -> Float[Tensor, "batch dim"]:
    return ((x.double() - mean) / deviation).float()


@dataclass(frozen=True)
class TableVectors:
    """Rows of a table as real vectors: numbers, gaps, categories, in this order.

    A cell that is missing where the table says none can be has no vector: NaN, for the caller to see.

    Args:
        example: the table.
        marginals: the distribution of each column.

    Example:
        >>> from pushforward.core.table import Column
        >>> pet = Table(columns=(Column(name="pet", categories=("cat", "dog"), missing=True),))
        >>> rows = torch.tensor([[0.0], [1.0], [torch.nan]]).double()
        >>> fit_vectors(pet, rows)(rows).tolist()
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """

    example: Table
    marginals: tuple[Marginal, ...]

    def __call__(self, x: Float[Tensor, "batch columns"]) -> Float[Tensor, "batch dim"]:
        columns = self.example.columns
        numbers = [i for i, column in enumerate(columns) if column.numeric]
        parts = [self._scores(x, numbers)] if numbers else []
        parts += [torch.isnan(x[:, i, None]).double() for i in numbers if columns[i].missing]
        for i, column in enumerate(columns):
            size = len(column.categories)
            if not column.numeric and size + column.missing > 1:  # a constant column tells nothing
                parts.append(_one_hot(x[:, i], size, missing=column.missing))
        return torch.cat(parts, 1).float() if parts else x.new_zeros(len(x), 0).float()

    def _scores(self, x: Float[Tensor, "batch columns"], numbers: list[int]) -> Float[Tensor, "batch numbers"]:
        cells = x[:, numbers].double().T
        absent = torch.isnan(cells)
        at = Marginals([self.marginals[i] for i in numbers]).locate(torch.where(absent, 0.0, cells))
        # Phi^{-1}(F) from the nearer end, where it is not lost to rounding.
        scores = torch.where(at.below < 0.5, ndtri(at.below), -ndtri(at.above)).clamp(-FARTHEST, FARTHEST)
        gap = cells.new_tensor([[0.0 if self.example.columns[i].missing else torch.nan] for i in numbers])
        return torch.where(absent, gap, scores).T


def _one_hot(codes: Float[Tensor, "batch"], size: int, *, missing: bool) -> Float[Tensor, "batch values"]:
    absent = torch.isnan(codes)
    known = torch.where(absent, float(size), codes).long().clamp(0, size)
    hot = one_hot(known, size + 1).double()
    return hot if missing else torch.where(absent[:, None], torch.nan, hot[:, :size])
