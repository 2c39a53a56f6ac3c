"""Units of points and texts: the counted volume, grids, and round trips."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pushforward.core.fit_units import default_units, fit_units
from pushforward.core.modality import Points
from pushforward.core.noise import Noise
from pushforward.core.point_units import Standardise, Tokens
from pushforward.core.text import Text

X = torch.randn(300, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) @ torch.diag(
    torch.tensor([1.0, 50.0, 1e-3], dtype=torch.float64)
) + torch.tensor([0.0, -7.0, 5.0], dtype=torch.float64)


def test_fitted_units_standardise():
    units = fit_units(Points(dim=3), "real", X)
    y, log_det = units.encode(X, noise=Noise(0, rows=300), dtype=torch.float64)
    assert units.exact and y.mean(0).abs().max() < 1e-12 and (y.std(0, correction=0) - 1).abs().max() < 1e-12
    assert torch.allclose(units.decode(y, noise=Noise(0, rows=300)), X, rtol=1e-12)
    jacobian = torch.autograd.functional.jacobian(
        lambda x: units.encode(x[None], noise=Noise(0, rows=1), dtype=torch.float64)[0][0], X[0]
    )
    assert log_det[0].item() == pytest.approx(torch.linalg.slogdet(jacobian)[1].item(), abs=1e-12)


def test_a_thousand_times_larger_is_ln_1000_less_dense():
    units, scaled = (fit_units(Points(dim=3), "real", k * X) for k in (1.0, 1000.0))

    def score(units: Standardise, x: torch.Tensor) -> torch.Tensor:
        y, log_det = units.encode(x, noise=Noise(0, rows=300), dtype=torch.float64)
        return -0.5 * y.square().sum(1) + log_det

    difference = score(units, X) - score(scaled, 1000 * X)
    assert torch.allclose(difference, torch.full((300,), 3 * math.log(1000)).double(), atol=1e-10)


def test_cells_of_a_grid_are_bounded_from_below():
    """N(m, s²) on a grid: the bound is below the exact mass of the cell, and near it where cells are small."""
    x = (torch.randn(500, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2).round(decimals=1)
    units = fit_units(Points(dim=1, resolution=(0.1,)), "real", x)
    mean, std = units.mean[0], units.std[0]
    draws = []
    for seed in range(100):
        y, log_det = units.encode(x, noise=Noise(seed, rows=500), dtype=torch.float64)
        draws.append((-0.5 * y**2 - 0.5 * math.log(2 * math.pi)).sum(1) + log_det)
    bound = torch.stack(draws).mean(0)
    ends = torch.distributions.Normal(mean, std)
    exact = (ends.cdf(x + 0.05) - ends.cdf(x - 0.05)).log()[:, 0]
    error = torch.stack(draws).std(0) / 10
    assert not units.exact and (bound <= exact + 5 * error).all()
    # The gap is half the variance of log q over the cell, (d/s)² z²/24 with d/s = 1/20: below 2e-3 at z = 4.
    assert (exact - bound).abs().max() < 2e-3 + 5 * error.max()


@settings(max_examples=50, deadline=None)
@given(
    st.integers(0, 4), st.integers(1, 9), st.lists(st.integers(-500, 500), min_size=2, max_size=30), st.integers(0, 9)
)
def test_gridded_entries_come_back_exactly(decimals, factor, numbers, seed):
    step = factor / 10.0**decimals
    x = torch.tensor([[float(f"{factor * n}e-{decimals}")] for n in numbers], dtype=torch.float64)
    units = fit_units(Points(dim=1, resolution=(step,)), "real", x)
    y, _ = units.encode(x, noise=Noise(seed, rows=len(x)), dtype=torch.float64)
    assert torch.equal(units.decode(y, noise=Noise(0, rows=len(x))), x)
    far = units.decode(torch.tensor([[-1e6], [1e6]]), noise=Noise(0, rows=2))
    assert far.flatten().tolist() == [x.min().item(), x.max().item()]


def test_default_units_leave_points_as_they_are():
    y, log_det = default_units(Points(dim=3), "real").encode(X, noise=Noise(0, rows=300), dtype=torch.float64)
    assert torch.equal(y, X) and not log_det.any()


def test_a_constant_entry_is_left_at_its_scale():
    units = fit_units(Points(dim=1), "real", torch.full((5, 1), 3.0).double())
    assert units.std == (1.0,) and units.mean == (3.0,)


def test_tokens_are_codes():
    text = Text(vocabulary=("a", "b"), length=3)
    units = default_units(text, "codes")
    x = text.pack(["ab", "b"])
    codes, log_det = units.encode(x, noise=Noise(0, rows=2))
    assert isinstance(units, Tokens) and units.sizes == (3, 3, 3) and units.exact
    assert torch.equal(codes, x) and not log_det.any() and torch.equal(units.decode(codes, noise=Noise(0, rows=2)), x)
