r"""Imputation: draws of what is missing in an example, given what is there.

.. math:: x_m \sim p(x_m \mid x_o)

Draws and not best guesses, so that a table filled several times over shows how sure its cells are, and statistics of it
keep their spread (Rubin 1987, multiple imputation).

* *Gaussian, mixture, probabilistic PCA*: the conditional is a mixture of Gaussians (``conditionals.py``). Known cells
  on a grid stand for an interval of model units: some dequantisations of it are drawn, and one is kept with the
  probability the model gives it.
* *VAE*: the integral over codes has no closed form; a Markov chain over codes and missing cells (``code_chain.py``) has
  the conditional as its limit.

A cell is asked for its value: that it could have been missing in its column is set aside.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from pushforward.autoencoders.vae import VAE
from pushforward.core.column_units import Scores
from pushforward.core.errors import InputError, check_count
from pushforward.core.modality import Modality
from pushforward.core.model import Model
from pushforward.core.native_units import NativeCells
from pushforward.core.noise import Noise, fresh_seed
from pushforward.core.table import Table
from pushforward.core.units import Units
from pushforward.probability.baselines import Gaussian
from pushforward.probability.mixture import Mixture
from pushforward.probability.ppca import PPCA
from pushforward.uses.code_chain import CodeChain
from pushforward.uses.conditionals import Parts, draw_missing, known_density, parts_of

__all__ = ["SWEEPS", "impute", "with_gaps"]

#: Steps of a chain before what it holds is taken: on a table of the tests it had come to rest after 10.
SWEEPS = 50

#: Times a cell that comes out as "missing" is drawn again before it is left at what it was.
AGAIN = 100

#: Dequantisations of the known cells of which one is kept.
CANDIDATES = 16

#: Examples worked on at a time.
ROWS = 4096


def impute(
    model: Model,
    x: Shaped[Tensor, "batch *shape"],
    missing: Bool[Tensor, "batch *shape"] | None = None,
    *,
    draws: int = 1,
    sweeps: int = SWEEPS,
    seed: int | None = None,
) -> Shaped[Tensor, "draws batch *shape"]:
    """Examples with their missing cells drawn from the model, given the known ones, which stay as they are.

    Args:
        model: a gaussian, mixture, ppca or vae; one with a condition is taken without it.
        x: storage examples; what stands in a missing cell does not matter.
        missing: True for a missing cell; None takes those that are NaN.
        draws: fillings of every example.
        sweeps: steps of the chain of a VAE.
        seed: which draws; None takes fresh ones.

    Raises:
        InputError: if the model has no conditionals, or shapes differ.

    Example:
        >>> from pushforward.core.modality import Points
        >>> model = Gaussian(example=Points(dim=2))  # a standard normal before it is solved
        >>> impute(model, torch.tensor([[3.0, torch.nan]]).double(), seed=0)[0, 0, 0].item()
        3.0
    """
    check_count(draws, "draws")
    check_count(sweeps, "sweeps")
    missing = torch.isnan(x) if missing is None else missing
    if missing.shape != x.shape or tuple(x.shape[1:]) != model.example.shape:
        expected = f"(B, *{model.example.shape}) for both"
        raise InputError(f"x: got shapes {tuple(x.shape)} and {tuple(missing.shape)}, expected {expected}")
    if not isinstance(model, (VAE, Gaussian, Mixture, PPCA)):
        expected = "a gaussian, mixture, ppca or vae"
        raise InputError(f"model: {type(model).__name__} has no conditionals, expected {expected}")
    # Something that can stand in a gap: units have no form for one in a column that never had any.
    known, seed = torch.where(missing, torch.zeros_like(x), x), fresh_seed() if seed is None else seed
    # The fillings of an example are neighbours, so that its noise does not depend on what other examples there are.
    rows, gaps, parts = known.repeat_interleave(draws, 0), missing.repeat_interleave(draws, 0), []
    with model.at_rest():
        for first in range(0, len(rows), ROWS):
            lot, steps = slice(first, first + ROWS), Steps(seed, first)
            if isinstance(model, VAE):
                parts.append(_by_chain(model, rows[lot], gaps[lot], steps, sweeps))
            else:
                parts.append(_by_conditionals(model, rows[lot], gaps[lot], steps))
    filled = torch.where(gaps, torch.cat(parts), rows) if parts else rows
    return filled.unflatten(0, (len(x), draws)).transpose(0, 1)


def with_gaps(example: Modality, frame: Any) -> Float[Tensor, "rows columns"]:
    """Rows of a table as storage, in which any cell may be missing; a column that is not there is missing throughout.

    Raises:
        InputError: if the examples are no rows of a table, no column is there, or a cell holds something foreign.

    Example:
        >>> import pandas as pd
        >>> from pushforward.core.table import Column
        >>> table = Table(columns=(Column(name="age"), Column(name="pet", categories=("cat", "dog"))))
        >>> with_gaps(table, pd.DataFrame({"pet": ["dog", None]}))
        tensor([[nan, 1.],
                [nan, nan]], dtype=torch.float64)
    """
    if not isinstance(example, Table):
        raise InputError(f"given: is a table with empty cells, but this model makes {example.describe()}")
    frame = frame.set_axis([str(name).strip() for name in frame.columns], axis=1)
    known = [column.name for column in example.columns if column.name in frame.columns]
    if not known or len(frame) == 0:
        names = [column.name for column in example.columns]
        raise InputError(f"given: has {len(frame)} rows and none or only foreign columns, expected some of {names}")
    relaxed = Table(columns=tuple(dataclasses.replace(column, missing=True) for column in example.columns))
    return relaxed.pack(frame.assign(**{c.name: None for c in example.columns if c.name not in known}))


class Steps:
    """Noise for the rows from ``first`` on, new at every call: what row i gets does not depend on the other rows."""

    def __init__(self, seed: int, first: int) -> None:
        self.seed, self.first, self.step = seed, first, 0

    def noise(self, rows: int) -> Noise:
        """The next one."""
        self.step += 1
        return Noise(self.seed, self.step, rows=rows, start=self.first)


def entries_of(units: Units, missing: Bool[Tensor, "batch *shape"]) -> Bool[Tensor, "batch *units"]:
    """Which entries of model units hold the value of a missing cell; whether it is missing is another entry.

    Raises:
        InputError: if single cells cannot be told apart in these units.
    """
    match units:
        case Scores():
            values = missing[:, list(units.columns)]
            return torch.cat([values, missing.new_zeros(len(missing), units.shape[0] - values.shape[1])], 1)
        case NativeCells():
            marks = missing.new_zeros(len(missing), len(units.gappy))
            return torch.cat([missing, marks], 1)[:, None].expand(-1, 2, -1)
        case _ if units.shape == tuple(missing.shape[1:]):
            return missing
        case _:
            raise InputError(f"model: works on {units.example.describe()} in a form without single cells")


def _by_conditionals(model: Gaussian | Mixture | PPCA, x: Tensor, missing: Tensor, steps: Steps) -> Tensor:
    """Missing cells drawn from the closed form; a row that comes out with a gap is drawn again."""
    units, parts, found = model.fitted, parts_of(model), x.clone()
    todo = missing.flatten(1).any(1)
    for _ in range(AGAIN):
        if not todo.any():
            break
        candidates = 1 if units.exact else CANDIDATES
        ys = [units.encode(x, noise=steps.noise(len(x)), dtype=torch.float64)[0] for _ in range(candidates)]
        y, noise = torch.stack(ys).flatten(2), steps.noise(len(x))
        choice, uniform, normal = noise.uniform(1, like=y), noise.uniform(1, like=y), noise.normal(y.shape[2], like=y)
        entries = entries_of(units, missing).flatten(1)
        filled = y[0].clone()
        for gaps in entries[todo].unique(dim=0):
            rows = todo & (entries == gaps).all(1)
            kept = _kept(parts, y[:, rows], ~gaps, choice[rows], copula=isinstance(units, Scores))
            filled[rows] = draw_missing(parts, kept, ~gaps, uniform=uniform[rows], normal=normal[rows])
        found[todo] = units.decode(filled.unflatten(1, units.shape), noise=noise)[todo]
        todo = (found.isnan() & missing).flatten(1).any(1)
    return found


def _kept(
    parts: Parts,
    y: Float[Tensor, "candidates n dim"],
    known: Bool[Tensor, "dim"],
    uniform: Float[Tensor, "n 1"],
    *,
    copula: bool,
) -> Float[Tensor, "n dim"]:
    """One dequantisation of each row, with the probability the model gives its known entries.

    On the axis of normal scores they were drawn with density proportional to phi, in the cell: that is divided out.
    """
    log_weight = torch.stack([known_density(parts, candidate, known).logsumexp(1) for candidate in y], 1)
    if copula:
        log_weight = log_weight + 0.5 * y[:, :, known].square().sum(2).T
    below = log_weight.softmax(1).cumsum(1)
    chosen = torch.searchsorted(below, uniform, right=True)[:, 0].clamp(max=len(y) - 1)
    return y[chosen, torch.arange(y.shape[1])]


def _by_chain(model: VAE, x: Tensor, missing: Tensor, steps: Steps, sweeps: int) -> Tensor:
    """Missing cells at the end of a chain through the codes of a VAE."""
    units, n = model.fitted, len(x)
    y, _ = units.encode(x, noise=steps.noise(n), dtype=model.dtype)
    chain = CodeChain(model, y, entries_of(units, missing), steps.noise)
    for _ in range(sweeps):
        chain.alone()
        chain.together()
    for _ in range(AGAIN):  # to real units a gap is a category like others, and a rounding away from any
        absent = (found := units.decode(chain.y, noise=steps.noise(n))).isnan() & missing
        if not absent.any():
            break
        chain.fill(entries_of(units, absent))
    return found
