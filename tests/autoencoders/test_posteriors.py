"""Each posterior against torch.distributions, autograd and itself."""

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from pushforward.autoencoders.posteriors import (
    HIGHEST,
    LOWEST,
    Diagonal,
    Posterior,
    PosteriorHead,
    bounded,
    log_normal_pairs,
)
from pushforward.core.errors import InputError

NAMES = ("diagonal", "full", "iaf")


def posterior(name: str, dim: int = 3, rows: int = 4, *, shared: bool = False) -> Posterior:
    """One with nothing at zero."""
    torch.manual_seed(0)
    head = PosteriorHead(name, dim, shared=shared).double()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter += 0.2 * torch.randn_like(parameter) / (30 if shared else 1)
    return head(torch.randn(rows, head.outputs).double())


def covariance(q: Posterior) -> torch.Tensor:
    return q.scale @ q.scale.mT if hasattr(q, "scale") else torch.diag_embed(q.log_variance.exp())


@pytest.mark.parametrize("name", NAMES[:2])
def test_a_gaussian_is_that_of_torch(name: str):
    q = posterior(name)
    known = MultivariateNormal(q.mean, covariance(q))
    z = torch.randn(5, 4, 3).double()
    assert torch.allclose(q.log_prob(z), known.log_prob(z))
    assert torch.allclose(q.detached().log_prob(z), known.log_prob(z))
    standard = MultivariateNormal(torch.zeros(3).double(), torch.eye(3).double())
    assert torch.allclose(q.kl_each().sum(1), kl_divergence(known, standard))
    assert torch.allclose(q.log_variance.exp(), covariance(q).diagonal(dim1=-2, dim2=-1))


@pytest.mark.parametrize("name", NAMES)
def test_a_draw_is_scored_by_the_jacobian_of_its_noise(name: str):
    q = posterior(name)
    eps = torch.randn(4, 3).double()
    z, log_q = q.draw(eps)
    for row in range(4):

        def moved(e: torch.Tensor, row: int = row) -> torch.Tensor:
            return q.draw(torch.cat((eps[:row], e[None], eps[row + 1 :])))[0][row]

        jacobian = torch.autograd.functional.jacobian(moved, eps[row])
        known = Normal(0.0, 1.0).log_prob(eps[row]).sum() - torch.linalg.slogdet(jacobian)[1]
        assert torch.allclose(log_q[row].sum(), known)
    assert torch.allclose(q.log_prob(z), log_q.sum(1)), "the density of codes from anywhere is the same"


@pytest.mark.parametrize("name", NAMES)
def test_every_pair_is_scored_and_several_draws_at_once(name: str):
    q = posterior(name)
    z = torch.randn(20, 3).double()  # more than are worked on at a time
    pairs = q.log_prob_pairs(z)
    assert pairs.shape == (20, 4)
    assert torch.allclose(pairs[7], q.log_prob(z[7].expand(4, 3)))
    eps = torch.randn(2, 4, 3).double()
    both, log_q = q.draw(eps)
    assert torch.allclose(both[1], q.draw(eps[1])[0]) and torch.allclose(log_q[1], q.draw(eps[1])[1])


def test_the_flow_starts_at_its_gaussian_and_can_leave_it():
    torch.manual_seed(0)
    head = PosteriorHead("iaf", 2).double()
    h, eps = torch.randn(5, head.outputs).double(), torch.randn(5, 2).double()
    assert torch.equal(head(h).draw(eps)[0], head(h).base.draw(eps)[0])
    for name in NAMES:
        q, eps = posterior(name), torch.randn(4, 3).double()
        bend = q.draw(eps)[0] + q.draw(-eps)[0] - 2 * q.centre()  # zero for a map that is affine, as a Gaussian's is
        assert (bend.abs().max() > 0.1) == (name == "iaf")


@pytest.mark.parametrize("name", NAMES)
def test_a_shared_spread_is_a_parameter(name: str):
    head = PosteriorHead(name, 3, shared=True)
    assert head.outputs == 3
    q = posterior(name, shared=True)
    if name != "iaf":
        assert torch.allclose(covariance(q).expand(4, 3, 3)[0], covariance(q).expand(4, 3, 3)[3])


def test_no_gradient_flows_through_a_detached_one():
    for name in NAMES[:2]:
        torch.manual_seed(0)
        head = PosteriorHead(name, 2)
        h = torch.randn(3, head.outputs, requires_grad=True)
        z = torch.randn(3, 2, requires_grad=True)
        head(h).detached().log_prob(z).sum().backward()
        assert h.grad is None and z.grad is not None


def test_log_variances_are_bounded_and_units_in_between_are_left_alone():
    raw = torch.tensor([-1e9, -0.01, 0.0, 0.01, 1e9])
    assert torch.allclose(bounded(raw), torch.tensor([LOWEST, -0.01, 0.0, 0.01, HIGHEST]))
    assert Diagonal(torch.zeros(1, 1), torch.tensor([1e9])).draw(torch.ones(1, 1))[0].isfinite().all()


def test_matrix_products_of_densities_are_not_rounded_to_16_bits():
    torch.manual_seed(0)
    z, mean, log_variance = torch.randn(5, 3), torch.randn(4, 3), torch.full((4, 3), -8.0)
    full = PosteriorHead("full", 3)
    h, eps = torch.randn(4, full.outputs), torch.randn(4, 3)
    pairs, drawn = log_normal_pairs(z, mean, log_variance), full(h).draw(eps)[0]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(log_normal_pairs(z, mean, log_variance), pairs)
        assert torch.equal(full(h).draw(eps)[0], drawn)


def test_an_unknown_posterior_is_refused():
    with pytest.raises(InputError, match="posterior: got 'flow', expected 'diagonal', 'full' or 'iaf'"):
        PosteriorHead("flow", 2)
