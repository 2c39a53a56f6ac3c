"""The closed form against the density it claims to maximise."""

import pytest
import torch
from torch.distributions import MultivariateNormal

from pushforward.core.errors import InputError
from pushforward.core.noise import Noise
from pushforward.probability.ppca import fit_ppca


def examples(n: int = 400, dim: int = 6) -> torch.Tensor:
    mix = Noise(1, rows=dim).normal(dim).double()
    return Noise(0, rows=n).normal(dim).double() @ mix + torch.arange(dim)


@pytest.mark.parametrize("latent_dim", [0, 2, 5])
def test_its_log_likelihood_is_that_of_its_gaussian(latent_dim: int):
    x = examples()
    solution = fit_ppca(x, latent_dim)
    exact = MultivariateNormal(solution.mean, solution.covariance).log_prob(x).mean().item()
    assert solution.log_likelihood == pytest.approx(exact, abs=1e-9)


def test_with_all_directions_but_one_it_is_the_maximum_likelihood_gaussian():
    x = examples()
    assert torch.allclose(fit_ppca(x, 5).covariance, torch.cov(x.T, correction=0), atol=1e-9)


def test_nothing_near_it_is_more_likely():
    x = examples()
    solution = fit_ppca(x, 2)
    for seed in range(20):
        moved = solution._replace(
            weights=solution.weights + 0.05 * Noise(seed, rows=6).normal(2).double(),
            variance=solution.variance * (1.1 if seed % 2 else 0.9),
        )
        assert MultivariateNormal(moved.mean, moved.covariance).log_prob(x).mean() < solution.log_likelihood


@pytest.mark.parametrize("latent_dim", [-1, 6])
def test_a_latent_dim_out_of_range_is_refused(latent_dim: int):
    with pytest.raises(InputError, match=f"latent_dim: got {latent_dim}, expected 0 to 5"):
        fit_ppca(examples(), latent_dim)


def test_too_few_examples_are_refused():
    with pytest.raises(InputError, match="x: 3 examples leave no variance beyond 3 directions"):
        fit_ppca(examples(n=3), 3)
