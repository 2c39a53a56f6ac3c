"""The importance bound and its two gradients, total correlation and MMD, where they are known."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal

from pushforward.autoencoders.objectives import (
    importance_bound,
    kl_per_unit,
    maximum_mean_discrepancy,
    total_correlation,
)
from pushforward.autoencoders.posteriors import Diagonal
from pushforward.autoencoders.priors import NormalMixture, StandardNormal

#: x | z ~ N(z, 1), z ~ N(0, 1): p(x) = N(0, 2), the posterior is N(x / 2, 1 / 2).
X = 1.3


def gradients(k: int, n: int, gradient: str, power: float = 1.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(the bound, its gradients by encoder and decoder) of n independent estimates with k draws each, an encoder that
    is wrong and a decoder with a parameter (x | z has mean z + t)."""
    generator = torch.Generator().manual_seed(k)
    phi = torch.tensor([0.2, -0.3]).double().expand(n, 2).clone().requires_grad_()
    t = torch.full((n,), 0.1).double().requires_grad_()
    q = Diagonal(phi[:, :1], phi[:, 1:])
    z, log_q = q.draw(torch.randn(k, n, 1, generator=generator).double())
    scored = q.detached().log_prob(z) if gradient == "dreg" else log_q.sum(-1)
    observed, prior = (-0.5 * (square**2 + math.log(2 * math.pi)) for square in (X - z[..., 0] - t, z[..., 0]))
    bound = importance_bound(observed + power * (prior - scored), z, gradient, power=power)
    bound.sum().backward()
    return bound.detach(), phi.grad, t.grad


def test_the_bound_grows_with_its_samples_to_the_likelihood():
    exact = -0.5 * math.log(2 * math.pi * 2) - (X - 0.1) ** 2 / 4
    bounds = [gradients(k, 4000, "plain")[0] for k in (1, 2, 5, 20, 100)]
    means = [bound.mean().item() for bound in bounds]
    assert means == sorted(means)
    # Four standard errors, and half the relative variance of a mean of 100 weights (below 1 each).
    assert means[-1] == pytest.approx(exact, abs=4 * bounds[-1].std().item() / math.sqrt(4000) + 0.5 / 100)
    assert means[0] < exact - 0.1


@pytest.mark.parametrize("k", [1, 8, 64])
def test_the_doubly_reparameterised_gradient_is_unbiased_and_less_noisy(k: int):
    """Against the plain one on as many draws: the same mean within four standard errors."""
    n = 20_000
    (plain_bound, plain, by_t), (bound, doubly, doubly_t) = (gradients(k, n, name) for name in ("plain", "dreg"))
    assert torch.allclose(plain_bound, bound), "the value is the same"
    assert torch.allclose(by_t, doubly_t), "so is the gradient of the decoder"
    error = ((plain.var(0) + doubly.var(0)) / n).sqrt()
    assert ((plain.mean(0) - doubly.mean(0)).abs() < 4 * error).all()
    assert (doubly.var(0) < plain.var(0)).all()
    if k == 64:  # the signal to noise of the plain one falls as 1 / sqrt(k), of the other it grows (Tucker et al. 2019)
        ratio = [(grad.mean(0) / grad.std(0)).abs() for grad in (plain, doubly)]
        assert (ratio[1] > 5 * ratio[0]).all()


@pytest.mark.parametrize("power", [0.3, 2.0])
def test_the_doubly_reparameterised_gradient_is_unbiased_whatever_the_weight_of_the_kl_term(power: float):
    """A standard error is 0.004 at most; without the power the gradient would be off by 0.03 to 0.4."""
    n = 100_000
    plain, doubly = (gradients(4, n, name, power)[1] for name in ("plain", "dreg"))
    error = ((plain.var(0) + doubly.var(0)) / n).sqrt()
    print(f"power {power}: {plain.mean(0)} and {doubly.mean(0)}, standard error {error}")
    assert ((plain.mean(0) - doubly.mean(0)).abs() < 4 * error).all()


def test_total_correlation_is_that_of_a_gaussian():
    """Codes of means with correlation r: -1/2 ln(1 - r^2), and 0 without."""
    for correlation in (0.0, 0.6):
        wanted = torch.tensor([[1.0, correlation], [correlation, 1.0]]).double()
        torch.manual_seed(0)
        # q(z | x) adds variance 1/4 to each unit, so the means have that much less.
        mean = MultivariateNormal(torch.zeros(2).double(), wanted - 0.25 * torch.eye(2)).sample((1500,))
        q = Diagonal(mean, torch.full((2,), math.log(0.25)).double())
        found = total_correlation(q.draw(torch.randn(1500, 2).double())[0], q)
        exact = -0.5 * math.log(1 - correlation**2)
        # Four standard errors; kernels of 1,500 examples leave a bias of a few thousandths.
        assert found.mean().item() == pytest.approx(exact, abs=4 * found.std().item() / math.sqrt(1500) + 0.01)


def test_total_correlation_of_few_examples_is_the_written_sum():
    q = Diagonal(torch.randn(3, 2).double(), torch.randn(3, 2).double())
    z = torch.randn(3, 2).double()
    for row, found in zip(z, total_correlation(z, q), strict=True):
        each = torch.distributions.Normal(q.mean, (0.5 * q.log_variance).exp()).log_prob(row).exp()
        known = each.prod(1).mean().log() - each.mean(0).log().sum()
        assert torch.allclose(found, known)


def test_mmd_is_zero_for_equal_samples_and_grows_with_the_distance():
    torch.manual_seed(0)
    x, y = torch.randn(500, 4).double(), torch.randn(500, 4).double()
    assert maximum_mean_discrepancy(x, x).item() == pytest.approx(0, abs=1e-15)
    near, far = (maximum_mean_discrepancy(x, y + shift).item() for shift in (0.0, 1.0))
    assert 0 < near < 2 / 500, "two samples of one distribution: the diagonals, 1 / n each"
    assert far > 20 * near
    assert maximum_mean_discrepancy(x, 0.5 * y).item() > 10 * near, "the same mean, another width"


def test_the_kl_is_in_closed_form_or_agrees_with_it_on_average():
    q = Diagonal(torch.tensor([[0.5, -1.0]]).double(), torch.tensor([[-1.0, 0.3]]).double())
    z, log_q = q.draw(torch.randn(50_000, 1, 2).double())
    closed = kl_per_unit(q, StandardNormal(2, z), z, log_q)
    assert torch.equal(closed, q.kl_each())
    same = NormalMixture(torch.zeros(1).double(), torch.zeros(1, 2).double(), torch.zeros(1, 2).double())
    drawn = kl_per_unit(q, same, z, log_q)
    assert drawn.shape == (1, 1)
    assert drawn.item() == pytest.approx(closed.sum().item(), abs=0.03)  # four errors: the log-ratio scatters by 1.5
