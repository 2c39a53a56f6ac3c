"""Draws of missing cells against conditionals that are known."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from pushforward.autoencoders.vae import VAE
from pushforward.core.errors import InputError
from pushforward.core.fit_units import fit_units
from pushforward.core.modality import Points
from pushforward.core.table import Column, Table
from pushforward.probability.baselines import Gaussian
from pushforward.probability.mixture import Mixture
from pushforward.probability.ppca import PPCA
from pushforward.uses.imputation import impute
from tests.helpers import train

MEAN = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
COVARIANCE = torch.tensor([[2.0, 0.9, -0.4], [0.9, 1.0, 0.1], [-0.4, 0.1, 0.7]], dtype=torch.float64)


def with_moments(cls, **fields):
    """A model of three numbers with exactly these moments: units leave points as they are."""
    model = cls(example=Points(dim=3), **fields).double()
    model.means[:] = MEAN
    model.scales[:] = torch.linalg.cholesky(COVARIANCE)
    return model


def conditional(known: list[int], gaps: list[int], values: torch.Tensor):
    """Mean and covariance of the entries ``gaps`` given the others: Bishop 2006, eq. 2.81."""
    gain = COVARIANCE[gaps][:, known] @ COVARIANCE[known][:, known].inverse()
    mean = MEAN[gaps] + gain @ (values - MEAN[known])
    return mean, COVARIANCE[gaps][:, gaps] - gain @ COVARIANCE[known][:, gaps]


@pytest.mark.parametrize("cls", [Gaussian, Mixture])
@pytest.mark.parametrize("gaps", [[0], [1, 2], [0, 1, 2]])
def test_a_gaussian_has_its_conditional(cls, gaps):
    known = [i for i in range(3) if i not in gaps]
    x = torch.tensor([[3.0, -1.0, 0.2]], dtype=torch.float64)
    expected_mean, expected = conditional(known, gaps, x[0, known]) if known else (MEAN, COVARIANCE)
    x[:, gaps] = torch.nan
    n = 4000
    drawn = impute(with_moments(cls), x.expand(n, 3), seed=0)[0]
    assert torch.equal(drawn[:, known], x[:, known].expand(n, -1))
    # Four standard errors of a mean and of a covariance of n draws.
    error = 4 * expected.diagonal().sqrt() / n**0.5
    assert ((drawn[:, gaps].mean(0) - expected_mean).abs() < error).all()
    spread = 4 * (2 / n) ** 0.5 * expected.diagonal().max()
    torch.testing.assert_close(drawn[:, gaps].T.cov().reshape(expected.shape), expected, rtol=0, atol=float(spread))


def test_a_mixture_weighs_its_components_by_what_is_known():
    model = Mixture(example=Points(dim=2), components=2).double()
    model.means[:] = torch.tensor([[-4.0, -4.0], [4.0, 4.0]])
    model.weights[:] = torch.tensor([[0.25, 0.75]])
    x = torch.tensor([[0.1, torch.nan]], dtype=torch.float64).expand(4000, 2)
    # log-odds of the second component: ln 3 + 8 * 0.1
    share = 1 / (1 + np.exp(-(np.log(3) + 0.8)))
    found = float((impute(model, x, seed=1)[0, :, 1] > 0).double().mean())
    assert abs(found - share) < 4 * (share * (1 - share) / 4000) ** 0.5


def test_probabilistic_pca_is_the_gaussian_of_its_covariance():
    model = PPCA(example=Points(dim=2), latent_dim=1).double()
    model.maps[:] = torch.tensor([[[2.0], [1.0]]])
    x = torch.tensor([[3.0, torch.nan]], dtype=torch.float64).expand(4000, 2)
    found = impute(model, x, seed=0)[0, :, 1]
    # Covariance [[5, 2], [2, 2]]: mean 2/5 * 3, variance 2 - 4/5.
    assert abs(float(found.mean()) - 1.2) < 4 * (1.2 / 4000) ** 0.5
    assert abs(float(found.var()) - 1.2) < 4 * 1.2 * (2 / 4000) ** 0.5


@pytest.fixture(scope="module")
def pets():
    """A table of three columns that hang together, in which the second has gaps; with the shares of its cells."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 2, 4000)
    weight = rng.normal(4 + 16 * kind, 2.0).round()
    home = np.where(rng.random(4000) < 0.2 + 0.6 * kind, "house", "flat").astype(object)
    home[rng.random(4000) < 0.3] = None
    frame = pd.DataFrame({"kind": np.array(["cat", "dog"])[kind], "weight": weight, "home": home})
    example = Table(
        columns=(
            Column(name="kind", categories=("cat", "dog")),
            Column(name="weight", resolution=1.0, whole=True),
            Column(name="home", categories=("flat", "house"), missing=True),
        )
    )
    return example, example.pack(frame)


def test_a_table_is_filled_as_the_model_itself_would_fill_it(pets):
    """The rows that the model draws freely, of which only those with the known cells are kept, are the conditional."""
    example, x = pets
    model = Mixture(example=example, units=fit_units(example, "real", x), components=4).double()
    train(model, x, steps=1)
    n = 1000
    dogs = torch.tensor([[1.0, torch.nan, torch.nan]], dtype=torch.float64).expand(n, 3)
    filled = impute(model, dogs, seed=0)[0]
    assert (filled[:, 0] == 1).all() and (filled[:, 1] % 1 == 0).all()
    assert not filled.isnan().any()  # a home, missing in a third of the rows, is asked for
    free = model.sample(30_000, seed=1)
    kept = free[(free[:, 0] == 1) & ~free[:, 2].isnan()]
    assert len(kept) > 4000
    for column in (1, 2):
        error = float(kept[:, column].std()) * (1 / n + 1 / len(kept)) ** 0.5
        assert abs(float(filled[:, column].mean() - kept[:, column].mean())) < 4 * error
    heavy = torch.tensor([[torch.nan, 22.0, torch.nan]], dtype=torch.float64).expand(200, 3)
    assert float(impute(model, heavy, seed=0)[0, :, 0].mean()) > 0.9  # a dog


def test_a_row_is_filled_alike_in_any_company_and_differently_each_time(pets):
    example, x = pets
    model = Gaussian(example=example, units=fit_units(example, "real", x)).double()
    gaps = torch.where(torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) < 0.4, torch.nan, x)[:50]
    twice = impute(model, gaps, draws=2, seed=3)
    assert twice.shape == (2, 50, 3) and not torch.equal(twice[0], twice[1])
    torch.testing.assert_close(impute(model, gaps[:7], draws=2, seed=3), twice[:, :7])
    assert torch.equal(torch.where(gaps.isnan(), twice[0], gaps), twice[0])


@pytest.mark.parametrize("slope", [0.4, 0.1])
def test_a_chain_reaches_the_conditional_though_its_encoder_is_wrong(slope):
    """x = (z, z) + noise of variance 1/4, and q(z | x) = N(slope (x_1 + x_2), 1), which is no posterior of it."""
    vae = VAE(example=Points(dim=2), latent_dim=1, network="linear", variance="shared").double()
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.zero_()
        for network, weight in ((vae.encoder, slope), (vae.decoder, 1.0)):
            next(p for name, p in network.named_parameters() if name.endswith("weight")).fill_(weight)
        assert vae.decoder.log_v is not None
        # A variance is kept within limits: this undoes it.
        vae.decoder.log_v.fill_(0.5 * math.atanh(math.log(0.25) / 15))
    x = torch.tensor([[1.5, torch.nan]]).double().expand(3000, 2)
    found = impute(vae, x, seed=0, sweeps=60)[0]
    # Covariance [[5/4, 1], [1, 5/4]]: mean 4/5 * 1.5, variance 5/4 - 4/5.
    assert (found[:, 0] == 1.5).all()
    assert abs(float(found[:, 1].mean()) - 1.2) < 4 * (0.45 / 3000) ** 0.5
    assert abs(float(found[:, 1].var()) - 0.45) < 4 * 0.45 * (2 / 3000) ** 0.5


def test_a_vae_fills_a_table_as_it_would_itself(pets):
    example, x = pets
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vae = VAE(example=example, units=fit_units(example, "native", x), latent_dim=2, width=8, depth=1).double()
    with torch.no_grad():
        for parameter in vae.decoder.parameters():
            parameter.mul_(3)  # so that columns hang together without training
    n = 1000
    rows = torch.tensor([[1.0, torch.nan, torch.nan]], dtype=torch.float64).expand(n, 3)
    filled = impute(vae, rows, seed=0, sweeps=30)[0]
    assert (filled[:, 0] == 1).all() and (filled[:, 1] % 1 == 0).all() and not filled.isnan().any()
    free = vae.sample(40_000, seed=1)
    assert float((free[:, 2] * free[:, 0]).nanmean() - free[:, 2].nanmean() * free[:, 0].mean()) > 0.01  # they do
    kept = free[(free[:, 0] == 1) & ~free[:, 2].isnan()]
    for column in (1, 2):
        error = float(kept[:, column].std()) * (1 / n + 1 / len(kept)) ** 0.5
        assert abs(float(filled[:, column].mean() - kept[:, column].mean())) < 4 * error


def test_a_vae_fills_a_table_of_numbers_only_and_a_table_without_gaps_stays():
    table = Table(columns=(Column(name="a"), Column(name="b", resolution=1.0, missing=True)))
    x = torch.tensor([[0.5, 1.0], [1.5, torch.nan], [2.5, 3.0], [0.1, 2.0]]).double()
    for columns in (table, Table(columns=(Column(name="a"), Column(name="b")))):
        known = x.nan_to_num(2.0)
        vae = VAE(example=columns, units=fit_units(columns, "native", known), latent_dim=1, width=4, depth=1)
        filled = impute(vae, x, draws=3, sweeps=2, seed=0)
        assert filled.shape == (3, 4, 2) and not filled.isnan().any()
        assert torch.equal(filled[:, [0, 2, 3]], x[[0, 2, 3]].expand(3, -1, -1))
    assert impute(vae, x[:0], sweeps=1).shape == (1, 0, 2)


def test_what_cannot_be_filled():
    from pushforward.gans.gan import GAN

    with pytest.raises(InputError, match="GAN has no conditionals"):
        impute(GAN(example=Points(dim=2)), torch.zeros(1, 2).double())
    with pytest.raises(InputError, match="draws"):
        impute(with_moments(Gaussian), torch.zeros(1, 3).double(), draws=0)
    with pytest.raises(InputError, match="shapes"):
        impute(with_moments(Gaussian), torch.zeros(1, 2).double())
