"""Noise taken off, against the filters that are known to be best."""

import math

import pytest
import torch

from pushforward.autoencoders.vae import VAE
from pushforward.core.errors import InputError
from pushforward.core.modality import Image, Points
from pushforward.core.table import Column, Table
from pushforward.flows.realnvp import RealNVP
from pushforward.probability.baselines import Gaussian, Independent
from pushforward.probability.mixture import Mixture
from pushforward.probability.ppca import PPCA
from pushforward.uses.denoising import denoise, psnr

COVARIANCE = torch.tensor([[2.0, 1.2], [1.2, 1.0]], dtype=torch.float64)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_a_gaussian_is_the_wiener_filter():
    model = Gaussian(example=Points(dim=2)).double()
    model.scales[:] = torch.linalg.cholesky(COVARIANCE)
    y = normal(50, 2)
    expected = y @ torch.linalg.inv(COVARIANCE + 0.25 * torch.eye(2)) @ COVARIANCE
    torch.testing.assert_close(denoise(model, y, deviation=0.5), expected)


def test_probabilistic_pca_denoises_as_it_reconstructs():
    """Its noise is the noise: decoding the mean code of y is E[W z | y], the Wiener filter of W W' in noise sigma^2."""
    model = PPCA(example=Points(dim=3), latent_dim=1).double()
    w = torch.tensor([[2.0], [1.0], [-1.0]], dtype=torch.float64)
    model.maps[:], model.variances[:] = w, 0.3
    y = normal(20, 3)
    signal = w @ w.T
    expected = y @ torch.linalg.inv(signal + 0.3 * torch.eye(3)) @ signal
    torch.testing.assert_close(denoise(model, y), expected)


def test_a_mixture_pulls_to_the_component_it_came_from():
    model = Mixture(example=Points(dim=1), components=2).double()
    model.means[:] = torch.tensor([[-5.0], [5.0]])
    model.scales[:] = 0.1
    found = denoise(model, torch.tensor([[-3.0], [0.0], [4.0]]).double(), deviation=1.0)
    # Means are +-5 and gains 0.01 / 1.01; in the middle both weigh a half.
    expected = torch.tensor([[-5 + 0.02 / 1.01], [0.0], [5 - 0.01 / 1.01]]).double()
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_a_vae_averages_what_its_codes_decode_to():
    """Written down: q(z | y) = N(y / 2, 1/2), the posterior of z ~ N(0, 1) and y = z + N(0, 1); the decoder gives z."""
    vae = VAE(example=Points(dim=1), latent_dim=1, network="linear", variance="shared").double()
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.zero_()
        for name, weight in (("encoder", 0.5), ("decoder", 1.0)):
            layers = [p for n, p in getattr(vae, name).named_parameters() if n.endswith("weight")]
            layers[0].fill_(weight)
    y = torch.tensor([[2.0]]).double()
    spread = vae.posterior_of(y, None).log_variance.exp().sqrt().item()
    for draws in (1, 400):
        found = denoise(vae, y, draws=draws, seed=3).item()
        assert abs(found - 1.0) < 4 * spread / math.sqrt(draws)
    assert found != 1.0  # an average of draws, not the decoded mean


def test_images_come_back_on_their_grid():
    image = Image(height=4, width=4, levels=17)
    model = Gaussian(example=image)
    model.scales[:] = 0.5 * torch.eye(16)
    noisy = torch.randint(0, 17, (6, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = denoise(model, noisy, deviation=8.5 * 0.5)  # as much noise as signal: half-way to the middle
    assert found.dtype == torch.uint8
    # A level k is drawn as anything from k to k + 1, half of that is half-way, and rounded down: within one level.
    assert ((found.double() - (noisy.double() + 8.5) / 2).abs() <= 1.0).all()


def test_psnr_by_hand():
    clean = torch.zeros(2, 1, 2, 2)
    restored = torch.stack([torch.full((1, 2, 2), 0.1), torch.tensor([[[0.2, 0.0], [0.0, 0.0]]])])
    torch.testing.assert_close(
        psnr(clean, restored, peak=1.0), torch.tensor([20.0, 20.0], dtype=torch.float64), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize(
    ("model", "arguments", "names"),
    [
        (lambda: RealNVP(example=Points(dim=2)), {}, "has no code"),
        (lambda: Gaussian(example=Points(dim=2)), {}, "has no code"),
        (lambda: Gaussian(example=Points(dim=2)), {"deviation": -1.0}, "positive"),
        (lambda: VAE(example=Points(dim=2)), {"deviation": 1.0}, "only a gaussian"),
        (lambda: VAE(example=Points(dim=2)), {"draws": 0}, "draws"),
        (lambda: VAE(example=Points(dim=3)), {}, "noisy"),
        (lambda: Independent(example=Image(height=2, width=2)), {}, "noisy"),
    ],
)
def test_what_cannot_be_denoised(model, arguments, names):
    with pytest.raises(InputError, match=names):
        denoise(model(), torch.zeros(2, 2).double(), **arguments)


def test_tables_have_no_such_noise():
    from pushforward.core.fit_units import fit_units

    table = Table(columns=(Column(name="a"),))
    x = torch.zeros(5, 1).double()
    with pytest.raises(InputError, match="images and points"):
        denoise(VAE(example=table, units=fit_units(table, "native", x)), x)
