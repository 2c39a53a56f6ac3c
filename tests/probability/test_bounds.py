"""Learned bounds: below the truth but for chance, and not far below."""

import math

import pytest
import torch
from torch.distributions import Normal

from pushforward.core.errors import InputError
from pushforward.probability import information
from pushforward.probability.bounds import divergence_bound, information_bound, jensen_shannon_bound


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normals(n: int, dim: int, seed: int) -> torch.Tensor:
    return torch.randn(n, dim, generator=seeded(seed))


def correlated(rho: float, n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    x, noise = normals(n, 2, seed).T
    return x, rho * x + math.sqrt(1 - rho**2) * noise


HALVES = information.jensen_shannon(
    Normal(*torch.tensor([0.0, 1.0]).double()), Normal(*torch.tensor([1.0, 1.0]).double()), generator=seeded(0)
)

#: (bound of a seed and a number of samples, truth)
CASES = {
    "divergence, 1-D": (
        lambda s, n: divergence_bound(normals(n, 1, s) + 1, normals(n, 1, s + 999), generator=seeded(s)),
        0.5,
    ),
    "divergence, 5-D": (
        lambda s, n: divergence_bound(normals(n, 5, s) + 0.5, normals(n, 5, s + 999), generator=seeded(s)),
        0.625,
    ),
    "nothing": (lambda s, n: divergence_bound(normals(n, 2, s), normals(n, 2, s + 999), generator=seeded(s)), 0.0),
    "far apart": (
        lambda s, n: divergence_bound(normals(n, 1, s) + 6, normals(n, 1, s + 999), generator=seeded(s)),
        18.0,
    ),
    "information": (lambda s, n: information_bound(*correlated(0.8, n, s), generator=seeded(s)), -0.5 * math.log(0.36)),
    "jensen-shannon": (
        lambda s, n: jensen_shannon_bound(normals(n, 1, s) + 1, normals(n, 1, s + 999), generator=seeded(s)),
        HALVES.value,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_bound_is_below_the_truth(name: str):
    bound, truth = CASES[name]
    found = bound(0, 600)
    assert found.kind == "bound" and "held-out" in found.method
    assert found.value <= truth + 3 * found.standard_error
    if name not in ("nothing", "far apart"):
        assert found.value > 0.5 * truth


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_it_is_never_above_the_truth_by_more_than_three_errors(name: str):
    bound, truth = CASES[name]
    found = [bound(seed, 1000) for seed in range(40)]
    gaps = torch.tensor([(f.value - truth) / f.standard_error for f in found])
    mean = sum(f.value for f in found) / len(found)
    print(f"{name}: mean {mean:.4f} of {truth:.4f}, largest z {float(gaps.max()):+.2f}")
    assert gaps.max() < 3
    if name != "far apart":
        assert mean > 0.75 * truth - 0.02  # 500 samples to learn from


def test_more_than_the_samples_can_show_is_not_claimed():
    found = divergence_bound(normals(1000, 1, 0) + 20, normals(1000, 1, 1), generator=seeded(0))
    assert found.value < math.log(350 / 100) + 1 and found.standard_error < 0.2


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (
            lambda: divergence_bound(normals(39, 1, 0), normals(99, 1, 0)),
            r"x: got 39 sample\(s\), expected at least 40",
        ),
        (lambda: divergence_bound(normals(99, 1, 0), normals(99, 2, 0)), "y: got samples of 2 entries, expected 1"),
        (lambda: divergence_bound(torch.ones(50), normals(50, 1, 0)), "x: the 50 samples are identical"),
        (lambda: jensen_shannon_bound(normals(50, 1, 0), torch.full((50,), torch.nan)), "y: got nan in sample 0"),
        (lambda: information_bound(normals(50, 1, 0), normals(51, 1, 0)), "y: got 51 samples for 50 of x"),
        (lambda: information_bound(normals(50, 1, 0), torch.ones(50)), "y: the 50 samples are identical"),
    ],
)
def test_what_no_bound_is_learned_from_is_refused(ask, message: str):
    with pytest.raises(InputError, match=f"^{message}"):
        ask()
