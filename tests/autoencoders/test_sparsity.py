"""Sparse codes against what they are by definition."""

import pytest
import torch
from torch.distributions import Bernoulli, kl_divergence

from pushforward.autoencoders.sparsity import activate, divergence, keep_largest, penalty
from pushforward.core.errors import InputError


def test_top_k_keeps_the_k_largest_and_only_they_have_a_gradient():
    torch.manual_seed(0)
    h = torch.randn(50, 12, requires_grad=True)
    z = keep_largest(h, 3)
    assert ((z != 0).sum(1) == 3).all()
    assert torch.allclose(z.sum(1), h.sort(1, descending=True).values[:, :3].sum(1))
    (slope,) = torch.autograd.grad(z.sum(), h)
    assert torch.equal(slope, (z != 0).float())


def test_the_divergence_is_that_of_two_bernoullis():
    rates = torch.tensor([0.01, 0.05, 0.5, 0.99])
    known = kl_divergence(Bernoulli(torch.tensor(0.05)), Bernoulli(rates))
    assert torch.allclose(divergence(0.05, rates), known, atol=1e-5)


def test_rates_at_the_ends_cost_much_but_not_everything():
    assert torch.isfinite(divergence(0.05, torch.tensor([0.0, 1.0]))).all()


def test_codes_are_silent_rates_or_free():
    h = torch.tensor([[-2.0, 0.0, 3.0]])
    assert activate(h, "none") is h
    assert activate(h, "l1").tolist() == [[0.0, 0.0, 3.0]]
    assert torch.equal(activate(h, "kl"), 1 / (1 + (-h).exp()))
    assert activate(h, "top-k", active=1).tolist() == [[0.0, 0.0, 3.0]]


def test_penalties_are_per_example_but_for_rates():
    z = torch.tensor([[1.0, 0.5], [0.0, 0.25]])
    assert penalty(z, "l1").tolist() == [1.5, 0.25]
    assert penalty(z, "none").tolist() == [0.0, 0.0]
    assert torch.allclose(penalty(z, "kl", rate=0.4), divergence(0.4, torch.tensor([0.5, 0.375])).sum().expand(2))


def test_an_unknown_kind_is_refused():
    for function in (activate, penalty):
        with pytest.raises(InputError, match="sparsity: got 'l0', expected none"):
            function(torch.zeros(1, 1), "l0")
