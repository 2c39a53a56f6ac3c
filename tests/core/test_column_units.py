"""Units of tables: masses that sum to one, slopes that are slopes, bounds that stay below, rows that come back."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pushforward.core.column_units import FARTHEST, Bins, Scores
from pushforward.core.fit_units import fit_units
from pushforward.core.modality import Points
from pushforward.core.noise import Noise
from pushforward.core.table import Column, Table

N = 400
RNG = np.random.default_rng(0)


def _gaps(values: np.ndarray, share: float = 0.3) -> np.ndarray:
    return np.where(RNG.uniform(size=len(values)) < share, np.nan, values)


#: Training cells of every kind of column.
CELLS = {
    "real": (RNG.normal(3, 2, size=N), Column(name="real")),
    "skew": (np.exp(RNG.normal(size=N)), Column(name="skew")),
    "age": (RNG.integers(17, 90, size=N) * 1.0, Column(name="age", resolution=1.0, whole=True)),
    "half": (RNG.integers(0, 9, size=N) / 2, Column(name="half", resolution=0.5)),
    "income": (np.round(np.exp(RNG.normal(6, 1, size=N))), Column(name="income", resolution=1.0, whole=True)),
    "spike": (np.where(RNG.uniform(size=N) < 0.8, 0.0, RNG.integers(0, 3000, N)), Column(name="spike", resolution=1.0)),
    "gappy": (_gaps(RNG.integers(0, 9, size=N) * 1.0), Column(name="gappy", resolution=1.0, missing=True)),
    "gappy real": (_gaps(RNG.normal(size=N)), Column(name="gappy real", missing=True)),
    "word": (RNG.integers(0, 4, size=N) * 1.0, Column(name="word", categories=("a", "b", "c", "d"))),
    "gappy word": (_gaps(RNG.integers(0, 2, size=N) * 1.0), Column(name="gappy word", categories=(0, 1), missing=True)),
    "constant": (np.zeros(N), Column(name="constant", categories=("k",))),
    "gappy constant": (_gaps(np.zeros(N)), Column(name="gappy constant", categories=("k",), missing=True)),
}
NUMBERS = [name for name, (_, column) in CELLS.items() if column.numeric]
GRIDDED = [name for name in NUMBERS if CELLS[name][1].resolution]


def make(space: str, *names: str, scale: float = 1.0) -> tuple[Table, Tensor, Scores | Bins]:
    example = Table(columns=tuple(CELLS[name][1] for name in names))
    x = torch.from_numpy(scale * np.stack([CELLS[name][0] for name in names], axis=1))
    return example, x, fit_units(example, space, x)


def log_independent(units: Bins, x: Tensor) -> Tensor:
    """Exact log-probability of rows when columns are independent and each has its marginal."""
    codes, log_det = units.encode(x, noise=Noise(0, rows=len(x)), dtype=torch.float64)
    total = log_det.clone()
    for row, index in enumerate(units._varying):
        m, column = units.marginals[index], units.example.columns[index]
        if column.numeric:
            known = torch.tensor([m.tail, *m.mass, m.tail], dtype=torch.float64) * (1 - m.missing)
            mass = torch.cat([known, torch.tensor([m.missing], dtype=torch.float64)])
        else:
            mass = torch.tensor(m.mass, dtype=torch.float64)
        total += mass.log()[codes[:, row]]
    return total


def log_normal(units: Scores, x: Tensor, seed: int = 0) -> Tensor:
    """One draw of the bound when scores are independent and N(0, 1), which is the same model."""
    y, log_det = units.encode(x, noise=Noise(seed, rows=len(x)), dtype=torch.float64)
    return (-0.5 * y**2 - 0.5 * math.log(2 * math.pi)).sum(1) + log_det


def every_value(name: str) -> Tensor:
    """All values a gridded or categorical column can take, 40 tail scales out, where e^-40 is left."""
    _, column = CELLS[name]
    if not column.numeric:
        values = np.arange(len(column.categories)) * 1.0
    else:
        marginal = make("codes", name)[2].marginals[0]
        reach = math.ceil(40 * marginal.scale / column.resolution)
        first = marginal.edges[0] + column.resolution / 2
        cells = round((marginal.edges[-1] - marginal.edges[0]) / column.resolution)
        values = first + column.resolution * np.arange(-reach, cells + reach)
    return torch.from_numpy(np.append(values, np.nan) if column.missing else values)[:, None]


@pytest.mark.parametrize("name", [*GRIDDED, "word", "gappy word", "gappy constant"])
def test_bins_masses_sum_to_one(name):
    _, _, units = make("codes", name)
    assert log_independent(units, every_value(name)).exp().sum().item() == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("name", ["real", "skew", "gappy real"])
def test_bins_densities_integrate_to_one(name):
    _, _, units = make("codes", name)
    marginal = units.marginals[0]
    edges = np.array(marginal.edges)
    # Constant within a bin; in the tails the midpoint rule at 1/1000 of the scale is off by 4e-8 of their 2e-3.
    tail = marginal.scale * (np.arange(40_000) + 0.5) / 1000
    at = np.concatenate([(edges[1:] + edges[:-1]) / 2, edges[0] - tail, edges[-1] + tail])
    width = np.concatenate([np.diff(edges), np.full(80_000, marginal.scale / 1000)])
    total = (log_independent(units, torch.from_numpy(at)[:, None]).exp() * torch.from_numpy(width)).sum().item()
    assert total + marginal.missing == pytest.approx(1.0, abs=1e-8)


def test_bins_of_a_row_multiply():
    _, x, units = make("codes", *CELLS)
    alone = sum(
        log_independent(make("codes", name)[2], x[:, i : i + 1]) for i, name in enumerate(CELLS) if name != "constant"
    )
    assert torch.allclose(log_independent(units, x), alone, atol=1e-9)


@pytest.mark.parametrize("name", NUMBERS)
def test_bins_codes_come_back(name):
    """Any code becomes a value in its own bin, on the grid."""
    example, _, units = make("codes", name)
    codes = torch.arange(units.sizes[0]).repeat(20)[:, None]
    x = units.decode(codes, noise=Noise(1, rows=len(codes)))
    assert torch.equal(units.encode(x, noise=Noise(0, rows=len(x)))[0], codes)
    step, known = example.columns[0].resolution, x[~torch.isnan(x)]
    if step:
        assert ((known / step) % 1).abs().max() < 1e-9
    assert torch.isnan(x).any() == example.columns[0].missing
    example.check(x)


def test_bins_rows_come_back_where_a_bin_is_a_cell():
    names = ["age", "half", "gappy", "word", "gappy word", "constant", "gappy constant"]
    _, x, units = make("codes", *names)
    codes, log_det = units.encode(x, noise=Noise(0, rows=N))
    assert units.shape == (6,) and codes.dtype == torch.int64 and (codes < torch.tensor(units.sizes)).all()
    assert units.exact and log_det.abs().max() < 1e-12  # a cell is a code: nothing is left to say
    assert torch.equal(units.decode(codes, noise=Noise(3, rows=N)).nan_to_num(-9), x.nan_to_num(-9))


def test_bins_of_points():
    x = torch.from_numpy(np.stack([RNG.normal(size=N), RNG.integers(0, 5, N) / 10], axis=1))
    units = fit_units(Points(dim=2, resolution=(0.0, 0.1)), "codes", x)
    codes, _ = units.encode(x, noise=Noise(0, rows=N))
    back = units.decode(codes, noise=Noise(0, rows=N))
    assert torch.equal(back[:, 1], x[:, 1]) and not torch.equal(back[:, 0], x[:, 0])


@pytest.mark.parametrize("names", [["real"], ["skew"], ["real", "skew"], ["gappy real", "real"]])
def test_scores_log_det_is_that_of_the_map(names):
    """The map is diagonal: the log-determinant is the sum of the logarithms of the slopes, found by differences."""
    _, x, units = make("real", *names)
    x = x[~torch.isnan(x).any(1)]
    noise = Noise(0, rows=len(x))
    y, log_det = units.encode(x, noise=noise, dtype=torch.float64)
    assert units.exact == (names[0] != "gappy real")
    slopes, clean = torch.zeros(len(x), dtype=torch.float64), torch.ones(len(x), dtype=torch.bool)
    for column in range(x.shape[1]):
        h = torch.zeros_like(x)
        h[:, column] = 1e-7
        up, down = (units.encode(x + sign * h, noise=Noise(0, rows=len(x)), dtype=torch.float64)[0] for sign in (1, -1))
        slopes += ((up - down)[:, column] / 2e-7).log()
        # Next to an edge the density jumps, and the two sides have different slopes.
        clean &= ((up - y)[:, column] - (y - down)[:, column]).abs() < 1e-5 * (up - down)[:, column]
    if len(names) == 2 and names[0] == "gappy real":
        # The entry "not missing" of the first column adds the mass of its cell: log(1 - share) - log N(score).
        flag = y[:, 2]
        log_mass = math.log(1 - units.marginals[0].missing)
        slopes += log_mass + 0.5 * flag**2 + 0.5 * math.log(2 * math.pi)
    assert clean.double().mean() > 0.8
    assert torch.allclose(log_det[clean], slopes[clean], atol=1e-5)


@pytest.mark.parametrize("name", [name for name in CELLS if name != "constant"])
def test_scores_under_the_normal_are_the_marginals(name):
    """N(0, 1) scores and independent bins are one model: within the range of the data the bound is tight."""
    _, x, units = make("real", name)
    exact = log_independent(make("codes", name)[2], x)
    bound = log_normal(units, x)
    # Scores are clamped at 6, which changes nothing within the range of 400 rows.
    assert units.encode(x, noise=Noise(0, rows=N), dtype=torch.float64)[0].abs().max() < FARTHEST
    assert torch.allclose(bound, exact, atol=1e-8)


@pytest.mark.parametrize("name", ["age", "half", "gappy", "word", "gappy word"])
def test_scores_bound_stays_below_the_exact_mass(name):
    """In the tails too, on average over the noise (Jensen); and it sums to no more than one."""
    values = every_value(name)
    exact = log_independent(make("codes", name)[2], values)
    units = make("real", name)[2]
    draws = torch.stack([log_normal(units, values, seed) for seed in range(200)])
    error = draws.std(0) / math.sqrt(200)
    assert (draws.mean(0) <= exact + 5 * error + 1e-8).all()
    assert draws.mean(0).exp().sum().item() <= 1 + 5 * (error * draws.mean(0).exp()).sum().item() + 1e-8


@pytest.mark.parametrize("names", [["age"], ["income", "word"], list(CELLS)])
def test_scores_come_back(names):
    example, x, units = make("real", *names)
    y, _ = units.encode(x, noise=Noise(0, rows=N), dtype=torch.float64)
    assert y.shape == (N, *units.shape)
    back = units.decode(y, noise=Noise(1, rows=N))
    for index, column in enumerate(example.columns):
        if column.numeric and not column.resolution:
            assert torch.allclose(back[:, index], x[:, index], rtol=1e-9, atol=1e-9, equal_nan=True)
        else:
            assert torch.equal(back[:, index].nan_to_num(-9), x[:, index].nan_to_num(-9))
    example.check(units.decode(torch.randn(N, *units.shape, generator=torch.Generator().manual_seed(0)) * 9,
                               noise=Noise(1, rows=N)))  # fmt: skip


def test_scores_of_training_cells_are_standard_normal():
    _, x, units = make("real", "real", "income", "gappy", "word")
    y, _ = units.encode(x, noise=Noise(0, rows=N), dtype=torch.float64)
    # Each column on its own is N(0, 1): five standard errors of 400 rows.
    assert y.mean(0).abs().max() < 5 / math.sqrt(N) and (y.var(0) - 1).abs().max() < 5 * math.sqrt(2 / N)


@pytest.mark.parametrize("space", ["real", "codes"])
def test_a_thousand_times_larger_is_ln_1000_less_dense(space):
    names = ["real", "skew", "gappy real"]
    (_, x, units), (_, large, scaled) = make(space, *names), make(space, *names, scale=1000.0)
    score = log_normal if space == "real" else log_independent
    there = (~torch.isnan(x)).sum(1).double()
    assert torch.allclose(score(units, x) - score(scaled, large), there * math.log(1000), atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.none() | st.floats(-1e6, 1e6), st.integers(-3, 3), st.none() | st.integers(0, 2)),
        min_size=2,
        max_size=30,
    ),
    st.sampled_from(["real", "codes"]),
)
def test_any_table_has_finite_units(rows, space):
    x = torch.tensor([[math.nan if v is None else v for v in row] for row in rows], dtype=torch.float64)
    columns = (
        Column(name="a", missing=True),
        Column(name="b", resolution=1.0),
        Column(name="c", categories=(0, 1, 2), missing=True),
    )
    units = fit_units(Table(columns=columns), space, x)
    y, log_det = units.encode(x, noise=Noise(0, rows=len(x)), dtype=torch.float64)
    assert torch.isfinite(y).all() and torch.isfinite(log_det).all()
    back = units.decode(y, noise=Noise(1, rows=len(x)))
    assert torch.equal(back[:, 1:].nan_to_num(-9), x[:, 1:].nan_to_num(-9))
    assert torch.equal(torch.isnan(back), torch.isnan(x))
