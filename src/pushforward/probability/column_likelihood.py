r"""One likelihood per column of a table: categories, numbers on a grid, continuous numbers, missing cells.

.. math:: \log p(x \mid \theta) = \sum_{\text{categories}} \log \mathrm{softmax}(\theta_j)_{x_j}
          + \sum_{\text{marks}} \log P(\text{missing}_j \mid \theta)
          + \sum_{\text{numbers present}} \log P(I_j \mid \theta)

A number is the interval :math:`I_j` of its cell on the axis of normal scores (``core/native_units.py``), whose mass a
logistic mixture gives. Whatever the column looks like, it is standard normal on that axis: a heavy tail is drawn in,
and a value that makes up much of the column, as the zero of a sparse one does, is a wide interval.
A missing number has no second sum: its value is integrated out, and that it is missing is the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import one_hot

from pushforward.core.native_units import NativeCells
from pushforward.core.noise import Noise
from pushforward.core.units import Space
from pushforward.probability.entry_likelihoods import choose
from pushforward.probability.likelihood import Likelihood
from pushforward.probability.logistic_likelihood import log_logistic, logistic_draw, mixture_parameters

__all__ = ["ColumnLikelihood"]


@dataclass(frozen=True, kw_only=True)
class ColumnLikelihood(Likelihood):
    """Softmax of categories and marks, logistic mixtures of numbers.

    ``theta`` is one row: the mixtures of all numbers, then the logits of each category and mark in turn.

    Args:
        units: of the table.
        components: of the mixture of each number.

    Example:
        >>> from pushforward.core.marginals import Marginal
        >>> from pushforward.core.table import Column, Table
        >>> table = Table(columns=(Column(name="pet", categories=("cat", "dog")),))
        >>> units = NativeCells(example=table, marginals=(Marginal(edges=(0.0, 1.0, 2.0), mass=(0.5, 0.5)),))
        >>> pets = ColumnLikelihood(units=units)
        >>> pets.log_prob(torch.tensor([[[1.0], [1.0]]]), torch.zeros(1, 1, 2))  # ln(1/2)
        tensor([-0.6931])
    """

    space: ClassVar[Space] = "native"
    units: NativeCells
    components: int = 1

    @property
    def theta(self) -> tuple[int, ...]:
        return (1, self._numbers_end + sum(size for _, size in self._choices))

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (len(self.units.numbers) + sum(1 if self._is_mark(i) else size for i, size in self._choices),)

    @cached_property
    def _choices(self) -> list[tuple[int, int]]:
        """(entry, number of values) of what is chosen among values; what has one value says nothing."""
        return [(i, size) for i, size in enumerate(self.units.sizes_each) if size > 1]

    @property
    def _each(self) -> int:
        """Numbers of theta for one number of the table."""
        return 2 if self.components == 1 else 3 * self.components

    @property
    def _numbers_end(self) -> int:
        return self._each * len(self.units.numbers)

    def _is_mark(self, entry: int) -> bool:
        return entry >= len(self.units.example.columns)

    def _split(self, theta: Float[Tensor, "batch 1 total"]) -> tuple[Tensor, list[Tensor]]:
        """The parameters of the mixtures, (batch, each, numbers), and the logits of every choice."""
        numbers, *logits = theta[:, 0].split([self._numbers_end, *(size for _, size in self._choices)], dim=1)
        return numbers.unflatten(1, (self._each, len(self.units.numbers))), logits

    # -- the contract -----------------------------------------------------------------------------------------------

    def inputs(self, y: Float[Tensor, "batch 2 entries"]) -> Float[Tensor, "batch inputs"]:
        """The middle of the interval of numbers, 0 where unknown; one-hot categories; 1 for every unknown number."""
        numbers = list(self.units.numbers)
        parts = [(y[:, 0, numbers] + y[:, 1, numbers] / 2).nan_to_num(0.0)]
        for entry, size in self._choices:
            if self._is_mark(entry):
                column = self.units.gappy[entry - len(self.units.example.columns)]
                parts.append(torch.isnan(y[:, 0, column : column + 1]).to(y.dtype))
            else:
                code = y[:, 0, entry]
                known = ~torch.isnan(code)
                parts.append(one_hot(code.nan_to_num(0.0).long(), size).to(y.dtype) * known[:, None])
        return torch.cat(parts, 1)

    def log_prob_each(
        self, y: Float[Tensor, "batch 2 entries"], theta: Float[Tensor, "batch 1 total"]
    ) -> Float[Tensor, "batch entries"]:
        mixtures, logits = self._split(theta)
        each = theta.new_zeros(len(y), y.shape[2])
        if self.units.numbers:
            numbers = list(self.units.numbers)
            start, width = y[:, :, numbers].unbind(1)
            known = ~torch.isnan(start)
            start, width = torch.where(known, start, 0.0), torch.where(known, width, 1.0)
            each[:, numbers] = torch.where(known, log_logistic(start, width, mixtures, self.components), 0.0)
        if self._choices:
            entries = [entry for entry, _ in self._choices]
            codes = y[:, 0, entries]
            known = ~torch.isnan(codes)
            chosen = torch.where(known, codes, 0.0).long().split(1, dim=1)
            pairs = zip(logits, chosen, strict=True)
            found = torch.cat([logit.log_softmax(1).gather(1, code) for logit, code in pairs], 1)
            each[:, entries] = torch.where(known, found, 0.0)
        return each

    def mean(self, theta: Float[Tensor, "batch 1 total"]) -> Float[Tensor, "batch 2 entries"]:
        """The number at the mean score, which is nearer to a median than to a mean; the likeliest of categories."""
        mixtures, logits = self._split(theta)
        weight, mean, _ = mixture_parameters(mixtures, self.components)
        return self._example((weight.exp() * mean).sum(1), [logit.argmax(1) for logit in logits])

    def present(self, theta: Float[Tensor, "batch 1 total"]) -> Float[Tensor, "batch 1 total"]:
        """theta of the same cells given that none of them is missing: the logits of "missing" become minus infinity."""
        sizes = torch.tensor([size for _, size in self._choices], dtype=torch.int64)
        ends = self._numbers_end + sizes.cumsum(0) - 1
        columns = self.units.example.columns
        gaps = [self._is_mark(i) or columns[i].missing for i, _ in self._choices]  # "missing" is the last value of each
        barred = torch.zeros(theta.shape[2], dtype=torch.bool, device=theta.device)
        barred[ends[torch.tensor(gaps, dtype=torch.bool)]] = True
        return theta.masked_fill(barred, -torch.inf)

    def draw(self, theta: Float[Tensor, "batch 1 total"], noise: Noise) -> Float[Tensor, "batch 2 entries"]:
        mixtures, logits = self._split(theta)
        scores = logistic_draw(mixtures, self.components, noise)
        uniform = noise.uniform(len(self._choices), like=theta)
        codes = [choose(logit, u) for logit, u in zip(logits, uniform.unbind(1), strict=True)]
        return self._example(scores, codes)

    def _example(
        self, scores: Float[Tensor, "batch numbers"], codes: list[Int[Tensor, "batch"]]
    ) -> Float[Tensor, "batch 2 entries"]:
        """Scores as the intervals they lie in, codes as they are, and no value where a mark says missing."""
        y = scores.new_zeros(len(scores), 2, len(self.units.sizes_each))
        y[:, 1] = 1.0
        if self.units.numbers:
            start, width, _ = self.units.intervals(self.units.values(scores.T))
            y[:, :, list(self.units.numbers)] = torch.stack([start.T, width.T], 1).to(y.dtype)
        for (entry, _), code in zip(self._choices, codes, strict=True):
            y[:, 0, entry] = code.to(y.dtype)
        for mark, column in enumerate(self.units.gappy, start=len(self.units.example.columns)):
            y[:, :, column] = torch.where(y[:, 0, mark, None] >= 1, torch.nan, y[:, :, column])
        return y
