"""Direct draws: their moments and distributions, and that nothing global is touched."""

import pytest
import torch
from scipy import stats

from pushforward.core.errors import InputError
from pushforward.probability.drawing import drawing_from
from pushforward.sampling.direct import directions, draws_of, gaussian, gumbel_max, normal_pairs


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_pairs_are_independent_normals():
    z = normal_pairs(20_000, generator=seeded())
    # The chance of a smaller p-value is 1e-3 for a right sampler; the seed is fixed.
    for values in (z[:, 0], z[:, 1], (z[:, 0] + z[:, 1]) / 2**0.5):
        assert stats.kstest(values.numpy(), "norm").pvalue > 1e-3
    # The correlation of the squares has a standard error of 1/sqrt(20,000) = 0.007.
    assert abs(float(torch.corrcoef((z**2).T)[0, 1])) < 0.035
    assert normal_pairs(3, dtype=torch.float32).dtype == torch.float32


def test_a_gaussian_has_its_mean_and_covariance():
    mean = torch.tensor([1.0, -2.0], dtype=torch.float64)
    covariance = torch.tensor([[2.0, 1.2], [1.2, 1.0]], dtype=torch.float64)
    x = gaussian(mean, covariance, 50_000, generator=seeded())
    # Five standard errors: of a mean at most 5 sqrt(2 / 50,000) = 0.032, of a covariance 5 sqrt(8 / 50,000) = 0.063.
    assert torch.allclose(x.mean(0), mean, atol=0.032)
    assert torch.allclose(torch.cov(x.T), covariance, atol=0.063)


@pytest.mark.parametrize(
    ("covariance", "message"),
    [
        ([[1.0, 1.0], [1.0, 1.0]], "singular"),
        ([[1.0, 2.0], [2.0, 1.0]], "negative eigenvalue"),
        ([[1.0, 0.5], [0.0, 1.0]], "not symmetric"),
        ([[1.0, float("nan")], [float("nan"), 1.0]], "not finite"),
        ([[1.0]], "shapes"),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_gaussian_has_such_a_covariance(covariance: list[list[float]], message: str, dtype: torch.dtype):
    with pytest.raises(InputError, match=f"covariance.*{message}"):
        gaussian(torch.zeros(2, dtype=dtype), torch.tensor(covariance, dtype=dtype), 3)


def test_a_covariance_of_very_different_scales_is_not_singular():
    covariance = torch.diag(torch.tensor([1e-12, 1e12], dtype=torch.float64))
    x = gaussian(torch.zeros(2, dtype=torch.float64), covariance, 10_000, generator=seeded())
    # The standard error of a standard deviation is 1/sqrt(20,000) of it.
    assert (x.std(0) / torch.tensor([1e-6, 1e6])).tolist() == pytest.approx([1.0, 1.0], abs=0.04)


def test_directions_are_uniform_on_the_sphere():
    x = directions(20_000, 3, generator=seeded())
    assert torch.allclose(x.norm(dim=1), torch.ones(20_000, dtype=torch.float64))
    # On the sphere in three dimensions every coordinate is uniform on [-1, 1] (Archimedes).
    for i in range(3):
        assert stats.kstest(x[:, i].numpy(), stats.uniform(-1, 2).cdf).pvalue > 1e-3


def test_gumbel_maxima_have_the_frequencies_of_the_weights():
    w = torch.tensor([[1.0, 2.0, 7.0], [0.0, 1.0, 1.0]])
    indices = gumbel_max(w.log(), 40_000, generator=seeded())
    for row, weights in zip(indices, w, strict=True):
        share = row.bincount(minlength=3) / 40_000
        # Five standard errors of a frequency are at most 5 * 0.5 / 200 = 0.0125.
        assert torch.allclose(share, weights / weights.sum(), atol=0.0125)
    with pytest.raises(InputError, match="all are -inf"):
        gumbel_max(torch.full((2,), -torch.inf), 1)


def test_a_generator_of_ones_own_leaves_the_default_one_alone():
    state = torch.get_rng_state()
    law = torch.distributions.Gamma(2.0, 1.0)
    a, b = draws_of(law, 10, generator=seeded(1)), draws_of(law, 10, generator=seeded(1))
    assert torch.equal(a, b)
    assert torch.equal(state, torch.get_rng_state())
    generator = seeded(1)
    assert not torch.equal(draws_of(law, 10, generator=generator), draws_of(law, 10, generator=generator))


def test_the_default_generator_comes_back_after_an_error():
    state = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="planned"), drawing_from(seeded()):
        torch.rand(3)
        raise RuntimeError("planned")
    assert torch.equal(state, torch.get_rng_state())


def test_what_is_no_distribution_is_refused():
    with pytest.raises(InputError, match="distribution: got function"):
        draws_of(lambda n: torch.zeros(n), 3)
    with pytest.raises(InputError, match="n: got 0"):
        draws_of(torch.distributions.Normal(0.0, 1.0), 0)
