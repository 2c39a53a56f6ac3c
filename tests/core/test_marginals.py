"""Marginals: mass one, a density that is the slope of the distribution function, and its inverse."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from pushforward.core.marginals import MAX_BINS, Marginals, fit_marginal
from pushforward.core.table import Column

RNG = np.random.default_rng(0)
CONTINUOUS = Column(name="x")
AGE = Column(name="x", resolution=1.0)
#: Columns of every kind, as (training cells, column).
KINDS = {
    "normal": (RNG.normal(size=500), CONTINUOUS),
    "tiny scale": (1e-9 * RNG.normal(size=500), CONTINUOUS),
    "heavy tail": (RNG.standard_cauchy(size=500), CONTINUOUS),
    "spike": (np.where(RNG.uniform(size=500) < 0.7, 0.0, RNG.normal(size=500)), CONTINUOUS),
    "one value": (np.full(50, 3.7), CONTINUOUS),
    "two rows": (np.array([0.25, 1.75]), CONTINUOUS),
    "age": (RNG.integers(17, 90, size=500).astype(float), Column(name="x", resolution=1.0)),
    "tenths": (RNG.integers(-30, 30, size=500) / 10, Column(name="x", resolution=0.1)),
    "wide grid": (np.round(np.exp(RNG.normal(8, 2, size=800))), Column(name="x", resolution=1.0)),
    "spiky grid": (np.where(RNG.uniform(size=800) < 0.9, 0.0, RNG.integers(0, 99999, 800)), AGE),
    "cents": (np.round(np.exp(RNG.normal(18, 0.2, size=900)), 2) // 0.1 / 10 + 0.01, Column(name="x", resolution=0.1)),
    "fine grid": (np.round(RNG.normal(size=800), 5), Column(name="x", resolution=1e-5)),
    "gappy": (np.where(RNG.uniform(size=300) < 0.3, np.nan, RNG.normal(size=300)), Column(name="x", missing=True)),
    "words": (RNG.integers(0, 4, size=300).astype(float), Column(name="x", categories=("a", "b", "c", "d"))),
}  # fmt: skip


@pytest.fixture(params=KINDS)
def law(request):
    cells, column = KINDS[request.param]
    return fit_marginal(cells, column), column


def probe(marginal, count: int = 400) -> torch.Tensor:
    """Values inside the bins and far into the tails, none at an edge."""
    edges = np.array(marginal.edges)
    inside = (edges[:-1] + np.diff(edges) * RNG.uniform(0.05, 0.95, size=(count, 1))).ravel()
    tails = marginal.scale * RNG.exponential(size=count) if marginal.tail else np.empty(0)
    return torch.from_numpy(np.concatenate([inside, edges[0] - tails, edges[-1] + tails]))[None]


def test_mass_is_one(law):
    marginal, column = law
    assert sum(marginal.mass) + 2 * marginal.tail == pytest.approx(1.0, abs=1e-12)
    assert min(marginal.mass) > 0 and (marginal.tail > 0) == column.numeric
    assert len(marginal.edges) == len(marginal.mass) + 1 and (np.diff(marginal.edges) > 0).all()
    assert marginal.tail or not column.numeric


def test_the_density_integrates_to_one(law):
    marginal, column = law

    def density(v: float) -> float:
        return float(Marginals([marginal]).locate(torch.tensor([[v]], dtype=torch.float64)).log_density.exp())

    edges = marginal.edges
    inside = sum(density((a + b) / 2) * (b - a) for a, b in zip(edges, edges[1:], strict=False))  # constant in a bin
    tails = 0.0
    if column.numeric:
        for end, sign in ((edges[0], -1), (edges[-1], 1)):
            # In units of the scale, from just beyond the edge; 60 scales out e^-60 is left.
            tails += quad(lambda t, end=end, sign=sign: density(end + sign * marginal.scale * (t + 1e-12)), 0, 60)[0]
    assert inside + tails * marginal.scale == pytest.approx(1.0, abs=1e-9)


def test_density_is_the_slope_of_the_distribution_function(law):
    marginal, _ = law
    laws, values = Marginals([marginal]), probe(marginal)
    at = laws.locate(values)
    assert torch.allclose(at.below + at.above, torch.ones_like(at.below), atol=1e-12)
    # One step of float64 in the value is not enough to see a slope: a thousandth of the bin (or scale) is.
    index = at.bin.clamp(0, len(marginal.mass) - 1)
    edges = torch.tensor(marginal.edges, dtype=torch.float64)
    outside = (at.bin < 0) | (at.bin >= len(marginal.mass))
    h = 1e-3 * torch.where(outside, marginal.scale, (edges[1:] - edges[:-1])[index])
    up, down = laws.locate(values + h), laws.locate(values - h)
    # From the nearer end, where differences are not lost to rounding.
    slope = torch.where(at.below < 0.5, up.below - down.below, down.above - up.above) / (2 * h)
    same = (up.bin == at.bin) & (down.bin == at.bin)
    # Within a bin the slope is exact, in a tail the error of the central difference is h²/(6 s²) of it = 2e-7; the
    # difference of values that are far from zero against the width of a bin is off by their rounding.
    grain = 2.0**-52 * values.abs() / h
    assert same.double().mean() > 0.9
    error = ((slope.log() - at.log_density).abs() - 1e-5 - 100 * grain)[same]
    assert (error < 0).all()


def test_quantile_is_the_inverse(law):
    marginal, _ = law
    laws, values = Marginals([marginal]), probe(marginal)
    at = laws.locate(values)
    # A value is known from F as well as F tells it: rounding of F over the density.
    slack = 1e-12 * values.abs() + 4e-16 / at.log_density.exp() + 1e-12 * marginal.scale
    upper = at.above < 1e-6  # from below, 1 - F has no digits left there
    error = (laws.quantile(at.below) - values).abs()
    assert (error <= slack)[~upper].all()


def test_draw_lands_in_its_bin(law):
    marginal, column = law
    laws = Marginals([marginal])
    bins = torch.arange(-1 if column.numeric else 0, len(marginal.mass) + column.numeric)[None]
    for u in (0.001, 0.5, 0.999):
        values = laws.draw(bins, torch.full(bins.shape, u, dtype=torch.float64))
        assert torch.equal(laws.locate(values).bin, bins)


def test_edges_never_cut_a_cell(law):
    marginal, column = law
    if column.numeric and column.resolution:
        offsets = (np.array(marginal.edges) - marginal.edges[0]) / column.resolution
        assert np.abs(offsets - offsets.round()).max() < 1e-6
        assert len(marginal.mass) <= 2 * MAX_BINS + 1


def test_jeffreys_counts():
    marginal = fit_marginal(np.array([0.0, 0.0, 1.0, np.nan]), Column(name="x", categories=("a", "b"), missing=True))
    assert marginal.mass == pytest.approx((2.5 / 5.5, 1.5 / 5.5, 1.5 / 5.5))
    gappy = fit_marginal(np.array([1.0, 2.0, np.nan]), Column(name="x", resolution=1.0, missing=True))
    assert gappy.missing == pytest.approx(1.5 / 4)


def test_several_columns_at_once_agree_with_each_alone():
    laws = [fit_marginal(*KINDS[name]) for name in ("normal", "age", "words")]
    values = torch.tensor([[0.3, -9.0], [44.2, 200.0], [1.5, 0.2]], dtype=torch.float64)
    together = Marginals(laws).locate(values)
    for row, law in enumerate(laws):
        alone = Marginals([law]).locate(values[row : row + 1])
        for name in ("bin", "log_density", "below", "above"):
            assert torch.equal(getattr(together, name)[row], getattr(alone, name)[0])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=60), st.floats(-1e13, 1e13))
def test_no_value_is_impossible(cells, value):
    marginal = fit_marginal(np.array(cells), CONTINUOUS)
    at = Marginals([marginal]).locate(torch.tensor([[value]], dtype=torch.float64))
    assert math.isfinite(at.log_density.item())
    assert sum(marginal.mass) + 2 * marginal.tail == pytest.approx(1.0, abs=1e-9)
