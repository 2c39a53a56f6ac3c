"""Expectations from draws cover the closed form as often as their standard errors say."""

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal

from pushforward.core.errors import InputError
from pushforward.probability.distributions import UniformDisk
from pushforward.probability.monte_carlo import expectation, sample_covariance


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def covered(value: torch.Tensor, error: torch.Tensor, known: torch.Tensor) -> int:
    return int(((value - known).abs() < 1.96 * error).sum())


def test_intervals_of_an_expectation_cover_the_truth_in_366_to_392_of_400():
    # 400 repeats, each an expectation of its own stream: E cos x = exp(-1/2) for a standard normal.
    normal = Normal(torch.tensor(0.0, dtype=torch.float64), 1.0)
    found = [expectation(torch.cos, normal, 2_000, generator=generator(seed)) for seed in range(400)]
    value, error = (torch.stack(part) for part in zip(*found, strict=True))
    assert 366 <= covered(value, error, torch.tensor(-0.5).exp()) <= 392


def test_intervals_of_a_covariance_cover_the_truth_in_366_to_392_of_400():
    known = torch.tensor([[1.0, 0.6], [0.6, 2.0]], dtype=torch.float64)
    draws = MultivariateNormal(torch.zeros(2).double(), known)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found = [sample_covariance(draws.sample((2_000,))) for _ in range(400)]
    for i, j in [(0, 0), (0, 1), (1, 1)]:
        value, error = (torch.stack([part[i, j] for part in parts]) for parts in zip(*found, strict=True))
        assert 366 <= covered(value, error, known[i, j]) <= 392


def test_an_expectation_of_points_has_the_shape_of_the_function():
    disk = UniformDisk(radius=2.0)
    mean, error = expectation(
        lambda x: torch.stack([x.square().sum(-1), x[:, 0]], -1), disk, 5_000, generator=generator(1)
    )
    assert mean.shape == (2,)
    assert ((mean - torch.tensor([2.0, 0.0])).abs() < 4 * error).all()  # E r^2 = R^2 / 2


def test_the_covariance_is_torchs():
    x = torch.randn(50, 3, generator=generator(2), dtype=torch.float64)
    assert torch.allclose(sample_covariance(x).value, torch.cov(x.T))


BAD = {
    "batch": (lambda: expectation(torch.square, Normal(torch.zeros(2), 1.0), 10), "p: got a batch"),
    "count": (lambda: expectation(torch.square, Normal(0.0, 1.0), 0), "n: got 0"),
    "shape": (lambda: expectation(torch.sum, Normal(0.0, 1.0), 10), r"f: got shape \(\) for 10 draws"),
    "not finite": (lambda: expectation(torch.log, Normal(0.0, 1.0), 100), "not finite"),
    "one point": (lambda: sample_covariance(torch.zeros(1, 2)), "x: got .*at least 2"),
    "NaN": (lambda: sample_covariance(torch.tensor([[0.0], [torch.nan]])), "x: got a number that is not finite"),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_named(call, message: str):
    with pytest.raises(InputError, match=message):
        call()
