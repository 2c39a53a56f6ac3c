"""The oracles themselves, held to scipy, to quadrature and to Tweedie's formula."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from pushforward.core.errors import InputError
from pushforward.core.noise import Noise
from pushforward.probability.joint import Joint
from pushforward.probability.targets import GaussianMixture, LinearGaussianOracle

ONE = GaussianMixture.of(weights=[0.3, 0.7], means=[[-1.0], [0.8]], stds=[0.2, 0.5])
TWO = GaussianMixture(
    torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64),
    torch.tensor([[0.0, 1.0], [-1.0, -0.5], [2.0, 0.0]]).double(),
    torch.tensor([[[1.0, 0.6], [0.6, 0.5]], [[0.1, 0.0], [0.0, 0.2]], [[0.3, -0.2], [-0.2, 0.4]]]).double(),
)


def test_log_density_is_scipys():
    x = TWO.sample(Noise(0, rows=50))
    parts = zip(TWO.weights, TWO.means, TWO.covariances, strict=True)
    known = sum(float(w) * stats.multivariate_normal(m, s).pdf(x) for w, m, s in parts)
    assert torch.allclose(TWO.log_density(x), torch.from_numpy(np.log(known)), atol=1e-12)


def test_samples_have_the_moments_of_the_mixture():
    x = TWO.sample(Noise(1, rows=200_000))
    # Four standard errors of a mean of 200,000 draws of variance below 2.
    assert (x.mean(0) - TWO.mean).abs().max() < 4 * math.sqrt(2 / 200_000)
    assert (torch.cov(x.T) - TWO.covariance).abs().max() < 0.02


def test_samples_follow_the_distribution_function():
    x = ONE.sample(Noise(2, rows=50_000))
    # Kolmogorov-Smirnov: 1.95 / sqrt(n) is passed by chance once in a thousand seeds.
    found = stats.kstest(x[:, 0].numpy(), lambda v: ONE.cdf(torch.from_numpy(v)[:, None]).numpy()).statistic
    assert found < 1.95 / math.sqrt(50_000)


def test_the_distribution_function_is_the_integral_of_the_density():
    x = torch.linspace(-12, 1.3, 200_001, dtype=torch.float64)[:, None]
    assert torch.trapezoid(ONE.log_density(x).exp(), x[:, 0]).item() == pytest.approx(ONE.cdf(x[-1:]).item(), abs=1e-8)
    with pytest.raises(ValueError, match="2 dimensions, expected 1"):
        TWO.cdf(torch.zeros(1, 2).double())


@pytest.mark.parametrize(("alpha", "sigma"), [(1.0, 0.05), (0.8, 0.6), (0.05, 1.0)])
def test_the_denoiser_obeys_tweedies_formula(alpha: float, sigma: float):
    z = TWO.noised(alpha, sigma).sample(Noise(3, rows=40)).requires_grad_()
    (score,) = torch.autograd.grad(TWO.noised(alpha, sigma).log_density(z).sum(), z)
    # E[x | z] = (z + sigma^2 grad log p(z)) / alpha
    assert torch.allclose(TWO.denoise(z, alpha, sigma), (z + sigma**2 * score) / alpha, atol=1e-9)


def test_the_denoiser_is_the_posterior_mean_by_quadrature():
    x = torch.linspace(-6, 6, 40_001, dtype=torch.float64)[:, None]
    z, alpha, sigma = 0.3, 0.7, 0.4
    posterior = (ONE.log_density(x) - 0.5 * ((z - alpha * x[:, 0]) / sigma) ** 2).exp()
    known = (torch.trapezoid(posterior * x[:, 0], x[:, 0]) / torch.trapezoid(posterior, x[:, 0])).item()
    assert ONE.denoise(torch.tensor([[z]], dtype=torch.float64), alpha, sigma).item() == pytest.approx(known, abs=1e-9)


@pytest.mark.parametrize(
    ("weights", "covariances", "message"),
    [
        ([0.5, 0.6], [[[1.0]], [[1.0]]], "sum to 1"),
        ([0.5, 0.5], [[[1.0]], [[-1.0]]], "positive definite"),
        ([0.5, 0.5], [[[1.0]]], "expected"),
    ],
)
def test_what_is_no_mixture_is_refused(weights: list, covariances: list, message: str):
    with pytest.raises(ValueError, match=message):
        GaussianMixture(torch.tensor(weights), torch.zeros(2, 1), torch.tensor(covariances))


def test_the_score_is_the_gradient():
    x = TWO.sample(Noise(5, rows=30)).requires_grad_()
    (known,) = torch.autograd.grad(TWO.log_density(x).sum(), x)
    assert torch.allclose(TWO.score(x.detach()), known, atol=1e-10)


def test_marginal_and_conditional_of_a_mixture_are_those_of_its_grid():
    grid = torch.linspace(-8, 8, 641, dtype=torch.float64)
    joint = Joint.of(TWO.log_density, {"x": grid, "y": grid})
    assert torch.allclose(TWO.marginal([1]).log_density(grid[:, None]).exp(), joint.marginal("y").density, atol=1e-8)
    given = TWO.conditional([1], torch.tensor([0.5], dtype=torch.float64))
    assert torch.allclose(given.log_density(grid[:, None]).exp(), joint.conditional({"y": 0.5}).density, atol=1e-8)


def test_marginals_keep_the_order_that_is_asked_for():
    assert torch.equal(TWO.marginal([1, 0]).means, TWO.means[:, [1, 0]])
    assert torch.equal(TWO.marginal([1, 0]).covariances, TWO.covariances.transpose(1, 2).flip(1, 2))


LINEAR = LinearGaussianOracle(
    matrix=torch.tensor([[1.0, 0.5], [-0.3, 2.0], [0.0, 1.0]]).double(),
    noise=torch.tensor([[0.5, 0.1, 0.0], [0.1, 0.3, 0.0], [0.0, 0.0, 1.0]]).double(),
    offset=torch.tensor([1.0, 0.0, -1.0]).double(),
    prior_mean=torch.tensor([0.2, -0.4]).double(),
    prior_covariance=torch.tensor([[1.0, 0.3], [0.3, 0.6]]).double(),
)


def test_bayes_rule_of_the_linear_model():
    # log p(x | z) + log p(z) - log p(z | x) is log p(x), whatever z.
    z, x = LINEAR.sample(Noise(6, rows=20))
    joint = LINEAR.likelihood(z).log_prob(x) + LINEAR.prior.log_prob(z)
    assert torch.allclose(joint - LINEAR.posterior(x).log_prob(z), LINEAR.evidence.log_prob(x), atol=1e-10)


def test_samples_of_the_linear_model_have_the_moments_of_the_evidence():
    _, x = LINEAR.sample(Noise(7, rows=100_000))
    error = LINEAR.evidence.variance.sqrt() / math.sqrt(len(x))
    assert ((x.mean(0) - LINEAR.evidence.mean).abs() < 4 * error).all()
    assert torch.allclose(torch.cov(x.T), LINEAR.evidence.covariance_matrix, atol=0.05)  # 2.7 is the largest entry


SINGULAR = torch.ones(2, 2).double()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: GaussianMixture(torch.ones(1), torch.zeros(1, 2), SINGULAR[None]), "covariances: .*if it is singular"),
        (
            lambda: LinearGaussianOracle(torch.eye(2), SINGULAR, torch.zeros(2), torch.zeros(2), torch.eye(2)),
            "noise: .*add a small multiple of the identity",
        ),
        (
            lambda: LinearGaussianOracle(torch.eye(2), torch.eye(2), torch.zeros(2), torch.zeros(2), SINGULAR),
            "prior_covariance: ",
        ),
        (
            lambda: LinearGaussianOracle(torch.eye(2), torch.eye(2), torch.zeros(3), torch.zeros(2), torch.eye(2)),
            r"offset: got shape \(3,\)",
        ),
        (lambda: TWO.marginal([0, 0]), "coordinates: got .0, 0., expected different numbers from 0 to 1"),
        (lambda: TWO.conditional([0, 1], torch.zeros(2).double()), "a coordinate left over"),
        (lambda: TWO.conditional([0], torch.zeros(2).double()), r"values: got shape \(2,\)"),
    ],
)
def test_bad_input_is_named(call, message: str):
    with pytest.raises(InputError, match=message):
        call()
