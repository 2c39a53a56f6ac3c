import math

import pytest
import torch
from torch import distributions as D

from pushforward.core.errors import InputError
from pushforward.core.modality import Points
from pushforward.probability.baselines import Gaussian
from pushforward.sampling.target import Target, target_of
from tests.probability.solving import solved


def quadratic(x):
    return -0.5 * x.square().sum(1)


def test_value_and_gradient_count_batched_calls():
    target = Target(quadratic, 3)
    x = torch.randn(5, 3)
    value, gradient = target.value_and_grad(x)
    assert torch.equal(gradient, -x) and torch.equal(value, target.value(x))
    assert target.gradients == 1 and not value.requires_grad


@pytest.mark.parametrize(
    ("log_density", "bad"), [(torch.log, -2.0), (lambda x: -x.abs().log(), 0.0)], ids=["NaN", "infinity"]
)
def test_a_value_that_is_no_density_is_minus_infinity_and_counted(log_density, bad):
    target = Target(lambda x: log_density(x)[:, 0], 1)
    x = torch.tensor([[1.0], [bad]])
    value, gradient = target.value_and_grad(x)
    assert value.tolist() == [0.0, -math.inf]
    assert gradient[0].abs().item() == 1.0 and gradient[1].item() == 0.0
    assert target.value(x).tolist() == [0.0, -math.inf]
    assert target.invalid == 2  # once in each call


@pytest.mark.parametrize(
    "distribution",
    [
        D.Normal(torch.zeros(3), torch.tensor([1.0, 2.0, 3.0])),
        D.Gamma(torch.tensor(2.0), torch.tensor(3.0)),
        D.Beta(torch.tensor([2.0, 3.0]), torch.tensor(1.5)),
        D.Dirichlet(torch.tensor([1.0, 2.0, 3.0])),
        D.MultivariateNormal(torch.zeros(2), torch.tensor([[2.0, 0.5], [0.5, 1.0]])),
        D.LKJCholesky(3, 2.0),
        D.Uniform(torch.tensor(-1.0), torch.tensor(4.0)),
    ],
    ids=lambda d: type(d).__name__,
)
def test_a_distribution_in_unconstrained_coordinates(distribution):
    """Its density there is that of x times the volume of the map, and the map goes back and forth."""
    target = target_of(distribution)
    z = torch.randn(4, target.dim)
    x = target.to_user(z)
    assert bool(distribution.support.check(x).all())
    assert torch.allclose(target.from_user(x), z, atol=1e-3)
    transform = D.biject_to(distribution.support)
    inner = transform.inv(x)
    log_det = transform.log_abs_det_jacobian(inner, x).reshape(4, -1).sum(1)
    assert torch.allclose(target.value(z), distribution.log_prob(x).reshape(4, -1).sum(1) + log_det, atol=1e-4)


def test_the_volume_is_that_of_autograd():
    target = target_of(D.Dirichlet(torch.tensor([1.0, 2.0, 3.0]).double()))
    z = torch.randn(1, 2, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda z: target.to_user(z[None])[0, :2], z[0])  # 2 free entries
    wanted = D.Dirichlet(torch.tensor([1.0, 2.0, 3.0]).double()).log_prob(target.to_user(z))
    assert torch.allclose(target.value(z), wanted + jacobian.det().abs().log())


def test_a_distribution_keeps_its_validation_and_its_dtype():
    gamma = D.Gamma(torch.tensor(2.0).double(), torch.tensor(3.0).double())
    target = target_of(gamma)
    assert target.dtype == torch.float64
    assert bool(target.value(torch.tensor([[-1000.0]]).double()).isneginf())  # x rounds to 0, which is outside
    with pytest.raises(ValueError, match="support"):
        gamma.log_prob(torch.tensor(-1.0))


def test_a_model_is_sampled_in_model_units_and_decoded():
    x = torch.randn(200, 2, dtype=torch.float64) * torch.tensor([1.0, 50.0]) + 7
    model = solved(Gaussian, Points(dim=2), x, double=True)
    target = target_of(model)
    z = target.from_user(x[:5])
    assert torch.allclose(target.to_user(z), x[:5])
    apart = model.log_prob(x[:5]) - target.value(z)  # the log-determinant of the units, a constant
    assert torch.allclose(apart, apart[0]) and target.dtype == torch.float64
    assert target.value_and_grad(z)[1].shape == (5, 2)


def test_events_of_any_shape():
    start = torch.randn(6, 2, 3)
    target = target_of(lambda x: -x.square().sum((1, 2)), start=start)
    z = target.from_user(start)
    assert z.shape == (6, 6) and torch.equal(target.to_user(z), start)
    assert torch.equal(target.value(z), -start.square().sum((1, 2)))
    scalars = target_of(lambda x: -x.square(), start=torch.randn(6))
    assert scalars.dim == 1 and scalars.to_user(torch.zeros(2, 3, 1)).shape == (2, 3)


@pytest.mark.parametrize(
    ("log_prob", "message"),
    [
        (lambda x: x.square(), r"log_prob: got \(5, 3\).*expected real numbers of shape \(5,\).*torch.vmap"),
        (lambda x: -x.square().sum(), "got"),
        (lambda x: -x.square().sum(0), "log_prob: got"),
        (lambda x: 1.0, "log_prob: got float"),
        (lambda x: x.sum(1) * math.nan, "log_prob: got NaN at the start of 4 of 4 chains"),
        (lambda x: x.sum(1).abs() * math.inf, "log_prob: got infinity"),
        (lambda x: x.sum(1).abs() * -math.inf, "start: log_prob is -inf at 4 of 4 points.*start="),
        (lambda x: -x.detach().square().sum(1), 'no gradient with respect to x.*method="rwm"'),
        (lambda x: torch.ones(len(x), requires_grad=True).cumsum(0) * 0 - 1, "no gradient with respect to x"),
        (lambda x: -x.sum(1).clamp(max=0).abs().sqrt() * 0 - x.sub(x.detach()).sum(1).sqrt(), "gradient at the start"),
        (lambda x: x @ torch.zeros(7), "log_prob: failed on a torch.float32 tensor of 5 points.*RuntimeError"),
        (lambda x: -x.square().sum(1) - 10 * x.mean(), "log_prob: gave .* for one point in two batches"),
    ],
)
def test_a_log_density_that_cannot_be_sampled(log_prob, message):
    target = target_of(log_prob, start=torch.ones(4, 3))
    with pytest.raises(InputError, match=message):
        target.check(torch.tensor([[1.0, 2.0, 3.0]] * 3 + [[3.0, 3.0, 3.0]]), gradient=True)


def test_a_square_batch_does_not_hide_a_sum_over_the_wrong_dimension():
    """Four chains in four dimensions: the shape alone would not tell."""
    target = target_of(lambda x: -x.square().sum(0), start=torch.ones(4, 4))
    with pytest.raises(InputError, match="log_prob"):
        target.check(torch.ones(4, 4), gradient=True)


@pytest.mark.parametrize(
    ("log_prob", "message"),
    [
        ("normal", "log_prob: got str"),
        (D.Poisson(torch.tensor(3.0)), "support is discrete"),
        (quadratic, "dim: got None and no start"),
    ],
)
def test_what_is_no_target(log_prob, message):
    with pytest.raises(InputError, match=message):
        target_of(log_prob)


def test_only_a_density_that_is_exact_is_sampled():
    from pushforward.autoencoders.vae import VAE

    with pytest.raises(InputError, match="log_prob: VAE gives a bound"):
        target_of(VAE(example=Points(dim=2)))
