"""Native units: every example comes back exactly, nothing is spread over cells, and intervals tile the line."""

import math

import numpy as np
import pytest
import torch
from torch.special import ndtr

from pushforward.core.column_units import Scores
from pushforward.core.fit_units import default_units, fit_units
from pushforward.core.modality import Image, Modality, Points
from pushforward.core.native_units import NativeCells, NativePoints
from pushforward.core.noise import Noise
from pushforward.core.table import Column, Table
from pushforward.core.text import Text
from pushforward.probability.column_likelihood import ColumnLikelihood

N = 300
RNG = np.random.default_rng(0)
GAPS = RNG.uniform(size=N) < 0.3
COLUMNS = (
    Column(name="real"),
    Column(name="age", resolution=1.0, whole=True),
    Column(name="spike", resolution=1.0, whole=True),
    Column(name="gappy", resolution=0.5, missing=True),
    Column(name="gappy real", missing=True),
    Column(name="word", categories=("a", "b", "c")),
    Column(name="gappy word", categories=("a", "b"), missing=True),
    Column(name="constant", categories=("k",)),
)
ROWS = torch.from_numpy(
    np.stack(
        [
            RNG.normal(3, 2, N),
            RNG.integers(17, 90, N) * 1.0,
            np.where(RNG.uniform(size=N) < 0.8, 0.0, RNG.integers(1, 3000, N)),
            np.where(GAPS, np.nan, RNG.integers(0, 9, N) / 2),
            np.where(GAPS, np.nan, RNG.normal(size=N)),
            RNG.integers(0, 3, N) * 1.0,
            np.where(GAPS, np.nan, RNG.integers(0, 2, N) * 1.0),
            np.zeros(N),
        ],
        axis=1,
    )
)
TABLE = Table(columns=COLUMNS)


def cells() -> NativeCells:
    units = fit_units(TABLE, "native", ROWS)
    assert isinstance(units, NativeCells)
    return units


def encode(units: NativeCells, x: torch.Tensor, dtype: torch.dtype = torch.float64) -> tuple:
    return units.encode(x, noise=Noise(0, rows=len(x)), dtype=dtype)


@pytest.mark.parametrize(
    ("example", "x"),
    [
        (Image(height=2, width=3, levels=17), torch.randint(0, 17, (5, 1, 2, 3), dtype=torch.uint8)),
        (Points(dim=2, resolution=(0.5, 0.0)), torch.tensor([[0.5, 0.1], [3.0, -2.0], [-1.5, 7.3]]).double()),
        (TABLE, ROWS),
        (Text(vocabulary=("a", "b"), length=4), torch.tensor([[0, 1, 2, 2], [1, 1, 0, 2]])),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_examples_come_back(example: Modality, x: torch.Tensor, dtype: torch.dtype):
    units = fit_units(example, "native", x)
    noise = Noise(0, rows=len(x))
    y, log_det = units.encode(x, noise=noise, dtype=dtype)
    assert units.exact
    assert tuple(y.shape[1:]) == units.shape
    assert log_det.shape == (len(x),)
    back = units.decode(y, noise=noise)
    assert back.dtype == x.dtype
    # Continuous numbers are rounded to the model's type; everything on a grid is the same.
    assert torch.allclose(back.double(), x.double(), rtol=0, atol=1e-5, equal_nan=True)


def test_points_without_data_stay_as_they_are():
    units = default_units(Points(dim=1, resolution=(1.0,)), "native")
    assert isinstance(units, NativePoints)
    y, log_det = units.encode(torch.tensor([[3.0]]).double(), noise=Noise(0, rows=1))
    assert (y.item(), log_det.item(), units.widths) == (3.0, 0.0, (1.0,))


def test_only_continuous_points_count_their_volume():
    x = torch.tensor([[0.0, 0.0], [2.0, 4.0]]).double()
    units = fit_units(Points(dim=2, resolution=(1.0, 0.0)), "native", x)
    assert encode_points(units, x) == pytest.approx(-math.log(2.0))  # the continuous entry has s = 2


def encode_points(units, x: torch.Tensor) -> float:
    return units.encode(x, noise=Noise(0, rows=len(x)), dtype=torch.float64)[1][0].item()


def test_entries_are_columns_then_marks():
    units = cells()
    y, _ = encode(units, ROWS)
    assert units.shape == (2, 10)
    assert torch.equal(torch.isnan(y[:, 0, 3]), torch.isnan(ROWS[:, 3]))
    assert torch.equal(y[:, 0, 8], torch.isnan(ROWS[:, 3]).double())
    assert torch.equal(y[:, 0, 6] == 2, torch.isnan(ROWS[:, 6])), "a missing category is its last code"


def test_intervals_tile_the_line_and_have_the_share_of_their_value():
    """The normal mass of an interval is the smoothed share of the value: four in five are 0."""
    units = cells()
    grid = ROWS[:1].repeat(5000, 1)
    grid[:, 2] = torch.arange(-1000.0, 4000.0)
    start, width = encode(units, grid)[0][:, :, 2].unbind(1)
    assert torch.allclose(start[1:], start[:-1] + width[:-1], atol=1e-9)
    shares = ndtr(start + width) - ndtr(start)
    share = (ROWS[:, 2] == 0).double().mean().item()
    assert shares[1000].item() == pytest.approx(share, abs=0.05)  # half a count is added to some 17 bins
    assert shares.sum().item() == pytest.approx(1, abs=1e-3)


def test_continuous_columns_count_their_change_of_variables():
    """The same slope as the normal scores of the space "real", which conformance holds to a Jacobian."""
    real = Table(columns=COLUMNS[:1])
    x = ROWS[:, :1]
    native = fit_units(real, "native", x).encode(x, noise=Noise(0, rows=N), dtype=torch.float64)
    scores = fit_units(real, "real", x)
    assert isinstance(scores, Scores)
    y, log_det = scores.encode(x, noise=Noise(0, rows=N), dtype=torch.float64)
    assert torch.allclose(native[0][:, 0], y)
    assert torch.all(native[0][:, 1] == 0)
    assert torch.allclose(native[1], log_det)


def test_values_far_beyond_the_training_rows_have_an_interval():
    units = cells()
    far = ROWS[:1].repeat(2, 1)
    far[0, 2], far[1, 2] = -1e6, 1e7
    y, _ = encode(units, far, torch.float32)
    assert torch.isfinite(y[:, :, 2]).all()


def test_any_numbers_decode_to_a_row_of_the_table():
    y = 20 * Noise(3, rows=64).normal(2, 10).double()
    TABLE.check(cells().decode(y, noise=Noise(0, rows=64)))


def test_a_cell_past_the_last_score_has_a_width_and_no_mass():
    """Without a width it would be a continuous number, with a density in place of a mass."""
    units = cells()
    far = ROWS[:2].clone()
    far[0, 1], far[1, 1] = 1e7, -1e7
    y, _ = encode(units, far, torch.float32)
    assert (y[:, 1, 1] > 0).all()
    likelihood = ColumnLikelihood(units=units)
    theta = torch.zeros(2, *likelihood.theta)
    theta[:, :, len(units.numbers) : 2 * len(units.numbers)] = 50.0  # as wide as a logistic can be
    each = likelihood.log_prob_each(y, theta)[:, 1]
    assert (each < -60).all() and each.isfinite().all()
