"""What is done before the first step: scales of conditions, and the figure of a split in pieces."""

import math
from typing import Any

import pytest
import torch

from pushforward.autoencoders.autoencoder import Autoencoder
from pushforward.autoencoders.hvae import HVAE
from pushforward.autoencoders.start import ROWS, has_scales, mean_over, pieces, take_scales_
from pushforward.autoencoders.vae import VAE
from pushforward.core.data import Batch, Condition
from pushforward.core.modality import Label, Points
from pushforward.core.noise import Noise
from pushforward.core.table import Column, Table
from pushforward.nn.conditioning import conditioner

PLANE = Points(dim=2)
TABLE = Table(columns=(Column(name="age"), Column(name="town", categories=("here", "there"))))


def given(n: int) -> Batch:
    """Examples, each with a number of its own as condition; the last one has none."""
    present = torch.arange(n) < n - 1
    return Batch(torch.randn(n, 2), Condition(1000.0 * torch.arange(n)[:, None].double(), present))


@pytest.mark.parametrize("cls", [Autoencoder, VAE, HVAE])
def test_numbers_of_a_condition_are_heard_in_their_own_scale(cls: Any):
    torch.manual_seed(0)
    model = cls(example=PLANE, condition=Points(dim=1), latent_dim=1, width=2)
    batch = given(4)
    first = model.stages()[0]
    assert first.name == "start"
    (figure,) = first.solve(batch, batch, noise=Noise(0, rows=4))
    assert math.isfinite(figure)
    assert model.embed.centre.item() == 1000 and model.embed.spread.item() == pytest.approx((2 / 3) ** 0.5 * 1000)


def test_rows_of_a_table_are_standardised_and_a_label_needs_no_start():
    rows = Autoencoder(example=PLANE, condition=TABLE, latent_dim=1, width=2)
    value = torch.tensor([[20.0, 0.0], [60.0, 1.0]]).double()
    batch = Batch(torch.randn(2, 2), Condition(value, torch.tensor([True, True])))
    list(rows.stages()[0].solve(batch, batch, noise=Noise(0, rows=2)))
    assert rows.embed.centre[0].item() == 40 and rows.embed.spread[0].item() == 20
    for condition in (None, Label(names=("a", "b"))):
        stages = Autoencoder(example=PLANE, condition=condition, latent_dim=1, width=2).stages()
        assert [stage.name for stage in stages] == ["fit", "codes"]


def test_the_start_of_an_autoencoder_shows_its_reconstruction():
    torch.manual_seed(0)
    model = Autoencoder(example=PLANE, condition=Points(dim=1), latent_dim=1, width=2)
    batch = given(5)
    (figure,) = model.stages()[0].solve(batch, batch, noise=Noise(0, rows=5))
    with torch.no_grad():
        known = model.terms(*batch, noise=Noise(0, rows=5))["reconstruction"].mean()
    assert figure == pytest.approx(known.item(), rel=1e-6)


@pytest.mark.parametrize("cls", [VAE, HVAE])
def test_a_split_is_scored_in_pieces_and_the_figure_stays_the_same(cls: Any, monkeypatch):
    torch.manual_seed(0)
    model = cls(example=PLANE, condition=Points(dim=1), latent_dim=2, width=4).double()
    batch = given(2 * ROWS + 37)
    batch = Batch(batch.x.double(), batch.condition)
    sizes, whole = [], cls.log_likelihood

    def counted(self, x, condition, *, noise):
        sizes.append(len(x))
        return whole(self, x, condition, noise=noise)

    monkeypatch.setattr(cls, "log_likelihood", counted)
    (figure,) = model.stages()[0].solve(batch, batch, noise=Noise(3, rows=1000))
    assert sizes == [ROWS, ROWS, 37]
    with torch.no_grad():
        known = -whole(model, *batch, noise=Noise(3, rows=len(batch.x))).mean()
    assert figure == pytest.approx(known.item(), rel=1e-12), "the noise of a row does not depend on its piece"


def test_pieces_put_together_are_the_whole():
    batch = given(ROWS + 1)
    parts = pieces(batch)
    assert [len(part.x) for part in parts] == [ROWS, 1]
    assert torch.equal(torch.cat([part.x for part in parts]), batch.x)
    assert all(torch.equal(torch.cat([p.condition[i] for p in parts]), batch.condition[i]) for i in (0, 1))
    (empty,) = pieces(Batch(batch.x[:0], None))
    assert empty.x.shape == (0, 2)
    noise = Noise(1, rows=ROWS + 1)
    found = mean_over(lambda part, own: own.normal(1)[:, 0], batch, noise)
    assert found.item() == pytest.approx(noise.normal(1).double().mean().item(), rel=1e-12)


def test_without_any_condition_scales_stay_as_they_are():
    embed = conditioner(Points(dim=1), 4)
    nobody = Condition(torch.ones(3, 1).double(), torch.zeros(3, dtype=torch.bool))
    take_scales_(embed, Batch(torch.zeros(3, 2), nobody))
    assert has_scales(embed) and embed.centre.item() == 0 and embed.spread.item() == 1
