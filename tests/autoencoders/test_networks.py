"""Networks that compute in 16 bits under likelihoods that compute in 32."""

import pytest
import torch

from pushforward.autoencoders.autoencoder import Autoencoder
from pushforward.autoencoders.hvae import HVAE
from pushforward.autoencoders.networks import Observation, sizes
from pushforward.autoencoders.vae import VAE
from pushforward.autoencoders.vqvae import VQVAE
from pushforward.core.fit_units import fit_units
from pushforward.core.modality import Image, Modality, Points
from pushforward.core.model import Model
from pushforward.core.noise import Noise
from pushforward.core.table import Column, Table
from pushforward.probability.likelihoods import likelihood_of

TABLE = Table(columns=(Column(name="age", resolution=1.0, missing=True), Column(name="pet", categories=("cat", "dog"))))


@pytest.mark.parametrize(
    ("example", "fields"),
    [
        (TABLE, {}),
        (Image(height=4, width=4), {"likelihood": "categorical"}),
        (Image(height=4, width=4), {"prior": "mixture"}),
        (Image(height=4, width=4), {"prior": "vamp", "prior_components": 3}),
        (Image(height=4, width=4, levels=2), {"posterior": "iaf"}),
        (Points(dim=2), {"posterior": "full", "objective": "iwae", "samples": 3}),
    ],
    ids=str,
)
def test_densities_are_in_full_precision_whatever_a_network_computes_in(example: Modality, fields: dict):
    n = 64
    x = torch.stack((torch.arange(n) % 60.0, torch.arange(n) % 2), 1).double()
    x[::5, 0] = torch.nan
    if isinstance(example, Image):
        x = (Noise(0, rows=n).uniform(*example.shape) * example.levels).to(torch.uint8)
    elif isinstance(example, Points):
        x = Noise(0, rows=n).normal(2).double()
    torch.manual_seed(0)
    model = VAE(example=example, units=fit_units(example, VAE.space_for(example, fields), x), width=32, **fields)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    y, _ = model.fitted.encode(x, noise=Noise(0, rows=n))
    exact = model.loss(y, noise=Noise(1, rows=n))
    with torch.autocast("cpu", torch.bfloat16):
        rough = model.loss(y, noise=Noise(1, rows=n))
    rough.mean().backward()
    assert rough.dtype == torch.float32
    # What a network says is off by a part in 500 here and there; what is done with it adds nothing in one direction.
    assert (rough - exact).mean().abs().item() < 3e-4 * exact.mean().abs().item() + 0.01


@pytest.mark.parametrize("cls", [Autoencoder, HVAE, VQVAE])
def test_tables_can_be_learned_in_16_bits(cls: type[Model]):
    x = torch.stack((torch.arange(30) % 7.0, torch.arange(30) % 2), 1).double()
    torch.manual_seed(0)
    model = cls(example=TABLE, units=fit_units(TABLE, cls.space_for(TABLE, {}), x))
    y, _ = model.fitted.encode(x, noise=Noise(0, rows=30))
    with torch.autocast("cpu", torch.bfloat16):
        loss = model.loss(y, noise=Noise(1, rows=30))
    loss.mean().backward()
    assert loss.dtype == torch.float32 and loss.isfinite().all()


def test_an_observation_gives_all_parameters_or_has_its_own():
    likelihood = likelihood_of("gaussian", Points(dim=3), fit_units(Points(dim=3), "real", torch.randn(9, 3)))
    choices = sizes((3,), network="mlp", width=4, depth=1, condition=0)
    z = torch.randn(5, 2)
    for variance, count in (("network", 0), ("shared", 1), ("dimension", 3)):
        decoder = Observation(2, likelihood, variance, choices)
        assert decoder(z).shape == (5, 2, 3)
        assert (0 if decoder.log_v is None else decoder.log_v.numel()) == count
