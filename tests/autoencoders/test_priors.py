"""Priors against torch.distributions, and their draws against their densities."""

import math

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from pushforward.autoencoders.priors import MixtureParameters, ModelPrior, NormalMixture, StandardNormal
from pushforward.autoencoders.vae import VAE
from pushforward.core.data import Batch, Condition
from pushforward.core.modality import Image, Label, Points
from pushforward.core.noise import Noise
from pushforward.flows.maf import MAF
from pushforward.flows.realnvp import RealNVP


def mixture() -> NormalMixture:
    torch.manual_seed(0)
    return NormalMixture(*(t.double() for t in (torch.randn(4), 2 * torch.randn(4, 3), 0.5 * torch.randn(4, 3))))


def test_a_mixture_is_that_of_torch():
    prior = mixture()
    parts = Independent(Normal(prior.mean, (0.5 * prior.log_variance).exp()), 1)
    known = MixtureSameFamily(Categorical(logits=prior.log_weights), parts)
    z = 3 * torch.randn(5, 2, 3).double()
    assert torch.allclose(prior.log_prob(z), known.log_prob(z))
    assert prior.log_prob_each(z).shape == (5, 2, 1), "its units are not independent"
    draws = prior.draw(Noise(0, rows=20_000))
    # Four standard errors.
    assert ((draws.mean(0) - known.mean).abs() < 4 * known.stddev / math.sqrt(20_000)).all()
    assert ((draws.var(0) / known.variance - 1).abs() < 0.06).all()


def test_the_standard_normal_is_that_of_torch_unit_by_unit():
    z = torch.randn(5, 3)
    prior = StandardNormal(3, z)
    assert torch.allclose(prior.log_prob_each(z), Normal(0.0, 1.0).log_prob(z))
    assert torch.equal(prior.draw(Noise(0, rows=4)), Noise(0, rows=4).normal(3))


def test_a_learned_mixture_starts_at_the_scale_of_a_standard_normal():
    torch.manual_seed(0)
    draws = MixtureParameters(100, 2)().draw(Noise(0, rows=20_000))
    # The variance of 100 drawn means is known to a relative sqrt(2/100): 0.14, three quarters of the whole.
    assert ((draws.var(0) - 1).abs() < 0.35).all()


def test_the_vampprior_is_the_mixture_of_the_posteriors_of_its_inputs():
    torch.manual_seed(0)
    vae = VAE(example=Image(height=4, width=4, levels=2), prior="vamp", prior_components=5, latent_dim=3, width=8)
    x = (torch.rand(20, 1, 4, 4) < 0.5).float()
    list(vae.start(Batch(x), Batch(x), noise=Noise(0, rows=20)))
    assert torch.equal(vae.pseudo.inputs[-1], 2 * x[-1] - 1), "training examples, as the encoder reads them"
    z = torch.randn(7, 3)
    parts = vae.log_posterior(z, x[torch.linspace(0, 19, 5).long()], None)
    known = parts.logsumexp(1) - math.log(5)
    assert torch.allclose(vae.log_prior(z), known, atol=1e-5)


@pytest.mark.parametrize("cls", [MAF, RealNVP])
def test_a_flow_is_a_prior(cls: type):
    torch.manual_seed(0)
    flow = cls(example=Points(dim=2), width=8)
    z = torch.randn(3, 5, 2)
    prior = ModelPrior(flow, None)
    assert torch.allclose(prior.log_prob(z), Normal(0.0, 1.0).log_prob(z).sum(-1), atol=1e-5), "before it is trained"
    vae = VAE(example=Points(dim=3), latent_dim=2, width=8, prior="flow", flow=flow)
    vae.loss(torch.randn(6, 3), noise=Noise(0, rows=6)).mean().backward()
    assert all(p.grad is not None for p in flow.parameters()), "it learns with the rest"
    assert vae.sample(3, seed=0).shape == (3, 3)


def test_a_flow_with_a_condition_is_a_prior_given_it():
    label = Label(names=("a", "b"))
    torch.manual_seed(0)
    flow = MAF(example=Points(dim=2), condition=label, width=8)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    given = Condition(torch.tensor([0, 1, 1]), torch.tensor([True, True, False]))
    prior = ModelPrior(flow, given)
    z = torch.randn(4, 3, 2)
    known = torch.stack([flow.log_likelihood(each, given, noise=Noise(0, rows=3)) for each in z])
    assert torch.allclose(prior.log_prob(z), known, atol=1e-5)
