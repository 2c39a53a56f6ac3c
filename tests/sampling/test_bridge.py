import math

import pytest
import torch
from torch.distributions import MultivariateNormal, StudentT

from pushforward.core.errors import InputError
from pushforward.sampling.bridge import Bridge, StudentReference, Walk
from pushforward.sampling.preconditioning import Preconditioner
from pushforward.sampling.target import Target

MEAN = torch.tensor([1.0, -2.0], dtype=torch.float64)
ROOT = torch.tensor([[2.0, 0.0], [1.0, 0.5]], dtype=torch.float64)


def test_its_density_is_that_of_torch():
    x = torch.randn(20, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    normal = StudentReference(MEAN, ROOT, dof=math.inf)
    assert torch.allclose(normal.log_prob(x), MultivariateNormal(MEAN, scale_tril=ROOT).log_prob(x))
    one = StudentReference(MEAN[:1], ROOT[:1, :1], dof=4.0)
    assert torch.allclose(one.log_prob(x[:, :1]), StudentT(4.0, MEAN[0], ROOT[0, 0]).log_prob(x[:, 0]))


@pytest.mark.parametrize("dof", [5.0, math.inf])
def test_its_gradient_is_that_of_its_density(dof):
    reference = StudentReference(MEAN, ROOT, dof=dof)
    x = torch.randn(20, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    (gradient,) = torch.autograd.grad(reference.log_prob(x).sum(), x)
    assert torch.allclose(reference.gradient(x.detach()), gradient)


@pytest.mark.parametrize("dof", [5.0, math.inf])
def test_its_draws_have_its_covariance(dof):
    x = StudentReference(MEAN, ROOT, dof=dof).draw(200_000, generator=torch.Generator().manual_seed(0))
    stretch = 1.0 if dof == math.inf else dof / (dof - 2)
    # The fourth moment of a Student t with 5 degrees of freedom is 9, so a variance has a relative error of 2/sqrt(n).
    assert torch.allclose(torch.cov(x.T), stretch * ROOT @ ROOT.T, rtol=0.04, atol=0.04)
    assert torch.allclose(x.mean(0), MEAN, atol=0.05)


def test_around_weighted_points():
    x = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 2.0], [100.0, 100.0]], dtype=torch.float64)
    found = StudentReference.around(x, torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0]), widen=3.0)
    assert torch.allclose(found.location, torch.ones(2, dtype=torch.float64))
    assert torch.allclose(found.factor, 3 * torch.eye(2, dtype=torch.float64), atol=1e-5)


@pytest.mark.parametrize("move", ["rwm", "hmc"])
@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_moves_leave_every_temperature_as_it_is(move, beta):
    """Between two normals everything is normal: precision and mean are mixed by beta."""
    reference = StudentReference.round(2, 3.0, dof=math.inf, dtype=torch.float64)
    target = Target(lambda x: -0.5 * (x - 1).square().sum(1), 2, dtype=torch.float64)
    bridge = Bridge(target, reference, move)
    precision = (1 - beta) / 9 + beta
    mean, n = beta / precision, 40_000
    generator = torch.Generator().manual_seed(0)
    x = mean + torch.randn(n, 2, generator=generator, dtype=torch.float64) / math.sqrt(precision)
    at = bridge.place(x)
    walk = Walk(Preconditioner(torch.tensor([2.0, 0.5], dtype=torch.float64)), 0.8)
    for _ in range(3):
        at, _ = bridge.move(at, beta, walk, generator, adapt=False)
    z = (at.x - mean) * math.sqrt(precision)
    assert z.mean(0).abs().max() < 4 / math.sqrt(n)
    assert (z.square().mean(0) - 1).abs().max() < 4 * math.sqrt(2 / n)
    assert (at.x != x).any(1).double().mean() > 0.3
    assert torch.allclose(at.log_target, target.value(at.x)) and torch.allclose(
        at.log_reference, reference.log_prob(at.x)
    )


def test_what_is_not_accepted():
    with pytest.raises(InputError, match="factor"):
        StudentReference(torch.zeros(2), torch.zeros(2, 2))
    with pytest.raises(InputError, match="dof"):
        StudentReference.round(2, 1.0, dof=2.5)
    with pytest.raises(InputError, match="move: got 'nuts'"):
        Bridge(Target(lambda x: x.sum(1), 2), StudentReference.round(2, 1.0), "nuts")
