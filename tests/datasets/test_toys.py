"""Toys: their densities integrate to one and are those of the samples."""

import math

import numpy as np
import pytest
import torch

from pushforward.datasets import toys
from pushforward.datasets.options import Options
from pushforward.datasets.toys import TOYS, load_toy

#: All of the mass but for less than 1e-12 lies within.
LIMIT = 5.0
PLANE = [name for name, toy in TOYS.items() if toy.dim == 2]


def grid(spacing: float) -> torch.Tensor:
    side = torch.arange(-LIMIT + spacing / 2, LIMIT, spacing, dtype=torch.float64)
    return torch.cartesian_prod(side, side)


@pytest.mark.parametrize("name", sorted(set(PLANE) - {"checkerboard"}))
def test_density_integrates_to_one(name):
    # For a Gaussian of std s on a grid of spacing h = s/2 the sum is off by 2 exp(-2 (pi s / h)²) < 1e-30.
    spacing = 0.025 if name == "25grid" else 0.05
    total = TOYS[name].log_density(grid(spacing)).exp().sum().item() * spacing**2
    assert total == pytest.approx(1.0, abs=1e-9)


def test_checkerboard_integrates_to_one():
    # Cell centres are never on an edge of a field, and 0.02 divides its side: every field counts exactly.
    total = TOYS["checkerboard"].log_density(grid(0.02)).exp().sum().item() * 0.02**2
    assert total == pytest.approx(1.0, abs=1e-9)


def test_sombrero_integrates_to_one():
    side = torch.arange(-4 + 0.25, 4, 0.5, dtype=torch.float64)
    height = torch.arange(-3, 5, 0.04, dtype=torch.float64)
    total = TOYS["sombrero"].log_density(torch.cartesian_prod(side, side, height)).exp().sum() * 0.5**2 * 0.04
    assert total.item() == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("name", sorted(PLANE))
def test_samples_fall_where_the_density_says(name):
    """Counts in cells of side 0.5 against the integral of the density over them: a chi-squared test."""
    n, fine, cell = 20_000, 0.5 / 20 if name == "25grid" else 0.5 / 10, 0.5
    points = grid(fine)
    mass = TOYS[name].log_density(points).exp() * fine**2
    cells = round(2 * LIMIT / cell)

    def index(x: torch.Tensor) -> torch.Tensor:
        where = ((x + LIMIT) / cell).floor().long().clamp(0, cells - 1)
        return where[:, 0] * cells + where[:, 1]

    expected = n * torch.zeros(cells**2, dtype=torch.float64).index_add(0, index(points), mass)
    counts = torch.bincount(index(TOYS[name].sample(n, seed=1)), minlength=cells**2).double()
    often = expected >= 5  # where the chi-squared law holds
    statistic = ((counts - expected) ** 2 / expected)[often].sum().item()
    freedom = int(often.sum())
    assert abs(statistic - freedom) < 5 * math.sqrt(2 * freedom)  # five standard deviations of the law
    assert counts[~often].sum() < expected[~often].sum() + 5 * math.sqrt(float(expected[~often].sum()) + 1)


def test_sombrero_samples_lie_on_the_hat():
    x = TOYS["sombrero"].sample(20_000, seed=0)
    r = x[:, :2].norm(dim=1)
    off = (x[:, 2] - 3 * torch.sin(2 * r) / (2 * r)) / 0.1
    assert abs(off.mean().item()) < 5 / math.sqrt(20_000) and abs(off.var().item() - 1) < 5 * math.sqrt(2 / 20_000)
    assert x[:, :2].abs().max() <= 4 and abs(x[:, 0].var().item() - 16 / 3) < 0.15  # (2 * 4)² / 12, 3 standard errors


def test_quadrature_agrees_with_twice_the_nodes():
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(500, 2))) * 4
    for nodes, count in ((toys._moon_nodes, 256), (toys._spiral_nodes, 1024)):
        once, twice = (toys._blurred(x, *nodes(k * count), toys.BLUR) for k in (1, 2))
        assert (once - twice).abs().max() < 1e-6


def test_mixtures_show_their_modes():
    for name, count, std in (("8gaussians", 8, 0.1), ("25grid", 25, 0.05)):
        toy = TOYS[name]
        assert toy.modes.shape == (count, 2) and toy.std == std
        # At a mode far from the others the density is that of one Gaussian: 1 / (K 2 pi s²).
        at = toy.log_density(torch.from_numpy(toy.modes))
        assert torch.allclose(at, torch.tensor(-math.log(count * 2 * math.pi * std**2), dtype=torch.float64), atol=1e-6)
    assert np.allclose(np.linalg.norm(TOYS["8gaussians"].modes, axis=1), 2.0)
    assert sorted(set(TOYS["25grid"].modes.ravel())) == [-4, -2, 0, 2, 4]


def test_outside_is_impossible():
    assert TOYS["checkerboard"].log_density(torch.tensor([[0.5, -0.5], [9.0, 0.0]])).tolist() == [-math.inf, -math.inf]
    assert TOYS["sombrero"].log_density(torch.tensor([[5.0, 0.0, 0.0]])).item() == -math.inf


def test_load_toy_draws_apart_and_repeats():
    data, again, other = (load_toy("moons", Options(seed=seed)) for seed in (0, 0, 1))
    assert (len(data.train), len(data.valid), len(data.test)) == (10_000, 1_000, 1_000)
    assert not torch.isin(data.test.x, data.train.x).any()
    assert data.fingerprint == again.fingerprint != other.fingerprint
    assert torch.isfinite(data.log_density(data.test.x)).all()
