"""Estimates by nearest neighbours: their bias where it is small, and where it is not."""

import math

import pytest
import torch

from pushforward.core.errors import InputError
from pushforward.probability.neighbours import (
    neighbour_cross_entropy,
    neighbour_divergence,
    neighbour_entropy,
    neighbour_information,
)


def normals(n: int, dim: int, seed: int) -> torch.Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed)).double()


def normal_entropy(dim: int) -> float:
    return 0.5 * dim * math.log(2 * math.pi * math.e)


def pairs(correlation: float, n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    x, noise = normals(n, 2, seed).T
    return x, correlation * x + math.sqrt(1 - correlation**2) * noise


def test_the_distances_on_a_line_by_hand():
    x = torch.tensor([0.0, 1.0, 3.0]).double()
    # k = 1: distances 1, 1 and 2; psi(3) - psi(1) = 3/2, the unit ball has length 2.
    expected = 1.5 + math.log(2) + math.log(2) / 3
    assert neighbour_entropy(x, k=1).value == pytest.approx(expected)
    # From x to the nearest of (0.5, 2): 1/2, 1/2, 1.
    assert neighbour_divergence(x, torch.tensor([0.5, 2.0]).double(), k=1).value == pytest.approx(-math.log(2))


def test_units_shift_an_entropy_and_leave_a_divergence_and_an_information():
    x, y = normals(500, 2, 0), normals(400, 2, 1) + 1
    assert neighbour_entropy(8 * x).value == pytest.approx(neighbour_entropy(x).value + 2 * math.log(8))
    assert neighbour_divergence(8 * x, 8 * y).value == pytest.approx(neighbour_divergence(x, y).value)
    a, b = pairs(0.7, 500, 0)
    assert neighbour_information(a, b).value == pytest.approx(neighbour_information(100 * b, a).value, abs=1e-9)


def test_the_cross_entropy_less_the_entropy_is_the_divergence():
    x, y = normals(1000, 2, 0), normals(1000, 2, 1) + 1
    gap = neighbour_cross_entropy(x, y).value - neighbour_entropy(x).value
    # ln m and psi(n) in the one, ln m / (n - 1) in the other: 1 / 2n apart.
    assert gap == pytest.approx(neighbour_divergence(x, y).value, abs=1e-3)


#: (estimate of a seed, truth, stated bias): what the mean over many seeds may be off by at 2,000 samples.
STATED = {
    "entropy, 1-D": (lambda s: neighbour_entropy(normals(2000, 1, s)), normal_entropy(1), 0.01),
    "entropy, 2-D": (lambda s: neighbour_entropy(normals(2000, 2, s)), normal_entropy(2), 0.02),
    "entropy, 5-D": (lambda s: neighbour_entropy(normals(2000, 5, s)), normal_entropy(5), 0.10),
    "divergence, 1-D": (lambda s: neighbour_divergence(normals(2000, 1, s) + 1, normals(2000, 1, 9999 - s)), 0.5, 0.02),
    "divergence, 5-D": (
        lambda s: neighbour_divergence(normals(2000, 5, s) + 5**-0.5, normals(2000, 5, 9999 - s)),
        0.5,
        0.10,
    ),
    "information, 0": (lambda s: neighbour_information(*pairs(0.0, 2000, s)), 0.0, 0.01),
    "information, 0.9": (lambda s: neighbour_information(*pairs(0.9, 2000, s)), -0.5 * math.log(0.19), 0.02),
}


def bias(name: str, seeds: int) -> tuple[float, float, float]:
    """Mean error over seeds, its standard error, and the mean standard error that the estimates claim."""
    estimate, truth, _ = STATED[name]
    found = [estimate(seed) for seed in range(seeds)]
    errors = torch.tensor([float(f) - truth for f in found])
    claimed = sum(f.standard_error for f in found) / seeds
    return float(errors.mean()), float(errors.std()) / math.sqrt(seeds), claimed


@pytest.mark.parametrize("name", STATED)
def test_one_estimate_is_within_the_bias_and_its_error(name: str):
    estimate, truth, stated = STATED[name]
    found = estimate(0)
    assert found.kind == "estimate" and "nearest neighbours" in found.method
    assert abs(found.value - truth) < stated + 4 * found.standard_error


@pytest.mark.slow
@pytest.mark.parametrize("name", STATED)
def test_the_bias_is_what_is_stated(name: str):
    mean, error, claimed = bias(name, 100)
    print(f"{name}: bias {mean:+.4f} +- {error:.4f}, standard error claimed {claimed:.4f}, seen {error * 10:.4f}")
    assert abs(mean) < STATED[name][2] + 3 * error
    assert 0.6 < claimed / (10 * error) < 1.7


def test_few_samples_do():
    assert math.isfinite(neighbour_entropy(normals(4, 1, 0)).value)
    with pytest.raises(InputError, match=r"x: got 3 sample\(s\), expected at least 4"):
        neighbour_entropy(normals(3, 1, 0))


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: neighbour_entropy(torch.ones(9)), "x: the 9 samples are identical"),
        (
            lambda: neighbour_entropy(torch.arange(20) // 5 + 0.5),
            "x: got 4 equal samples, where the density has no bound",
        ),
        (lambda: neighbour_entropy(torch.cat((normals(9, 1, 0), torch.ones(9, 1)), 1)), "x: entry 1 never varies"),
        (lambda: neighbour_divergence(normals(9, 1, 0), normals(9, 2, 0)), "y: got samples of 2 entries, expected 1"),
        (lambda: neighbour_divergence(normals(9, 1, 0), normals(9, 1, 0) * torch.nan), "y: got nan in sample 0"),
        (lambda: neighbour_information(normals(9, 1, 0), normals(8, 1, 0)), "y: got 8 samples for 9 of x"),
    ],
)
def test_what_has_no_density_is_refused(ask, message: str):
    with pytest.raises(InputError, match=f"^{message}"):
        ask()
