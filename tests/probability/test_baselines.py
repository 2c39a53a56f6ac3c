"""The baselines against the formulas they are: torch's multivariate normal, and counts."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal

from pushforward.core.capabilities import Density
from pushforward.core.errors import InputError
from pushforward.core.modality import Image, Label, Points
from pushforward.core.noise import Noise
from pushforward.core.table import Column, Table
from pushforward.core.text import Text
from pushforward.probability.baselines import Gaussian, Independent
from tests.probability.solving import solved

MEAN = torch.tensor([3.0, -100.0, 0.5], dtype=torch.float64)
ROOT = torch.tensor([[2.0, 0.0, 0.0], [1.0, 0.5, 0.0], [-3.0, 2.0, 9.0]], dtype=torch.float64)
LABEL = Label(names=("a", "b", "never seen"))


def points(n: int, seed: int = 0) -> torch.Tensor:
    return MEAN + Noise(seed, rows=n).normal(3).double() @ ROOT.T


def classes(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Class 0 as above, class 1 rounder and elsewhere, class 2 without examples."""
    c = torch.arange(n) % 2
    other = 10 + Noise(seed + 100, rows=n).normal(3).double()
    return torch.where((c == 0)[:, None], points(n, seed), other), c


# --- Gaussian --------------------------------------------------------------------------------------------------------


def test_without_shrinkage_it_is_the_maximum_likelihood_gaussian():
    x = points(500)
    model = solved(Gaussian, Points(dim=3), x, shrinkage=0.0, double=True)
    exact = MultivariateNormal(x.mean(0), torch.cov(x.T, correction=0)).log_prob(x)
    assert torch.allclose(model.log_prob(x), exact, atol=1e-9)
    assert model.density() == Density("exact", "density")


def test_float32_loses_nothing_that_counts():
    x = points(500)
    model = solved(Gaussian, Points(dim=3), x, shrinkage=0.0)
    exact = MultivariateNormal(x.mean(0), torch.cov(x.T, correction=0)).log_prob(x)
    assert torch.allclose(model.log_prob(x), exact, atol=1e-3)


def test_validation_asks_for_shrinkage_only_where_it_helps():
    fresh = points(5000, seed=9)
    chosen = solved(Gaussian, Points(dim=3), points(5000), points(5000, seed=1), double=True)
    truth = MultivariateNormal(MEAN, scale_tril=ROOT).log_prob(fresh).mean()
    # Nine parameters estimated from 5,000 examples cost 9 / (2 * 5000) nats, give or take as much again.
    assert truth - 0.003 < chosen.log_prob(fresh).mean() < truth

    few, held_out = (Noise(seed, rows=n).normal(50).double() for seed, n in ((1, 40), (2, 2000)))
    shrunk = solved(Gaussian, Points(dim=50), few, held_out)  # 40 examples: the covariance has no inverse
    assert (
        shrunk.log_prob(Noise(3, rows=2000).normal(50).double()).mean() > -50 * 0.5 * math.log(2 * math.pi * math.e) - 5
    )


def test_pixels_that_never_vary_have_a_density():
    image = Image(height=3, width=3, levels=17)
    x = torch.full((3400, 1, 3, 3), 5, dtype=torch.uint8)
    x[:, 0, 1, 1] = torch.arange(3400) % 17
    model = solved(Gaussian, image, x)
    assert model.density() == Density("bound", "mass")
    # The best a Gaussian can do for a uniform cell: 1/2 ln(2 pi e / 12) = 0.1765 nats each, and ln 17 more once.
    assert -model.log_prob(x).mean().item() == pytest.approx(9 * 0.1765 + math.log(17), abs=0.05)
    drawn = model.sample(4000, seed=0)[:, 0, 0, 0]
    # It leaves the cell beyond sqrt(3) standard deviations: 8.3 %; four standard errors of 4,000 draws.
    assert (drawn != 5).double().mean().item() == pytest.approx(0.083, abs=0.02)


def test_every_class_has_its_own_gaussian_and_the_null_is_the_pooled_one():
    (x, c), (held_out, d), (fresh, e) = (classes(4000, seed) for seed in (0, 1, 2))
    model = solved(Gaussian, Points(dim=3), x, held_out, labels=(c, d), condition=LABEL, double=True)
    truth = torch.where(
        e == 0,
        MultivariateNormal(MEAN, scale_tril=ROOT).log_prob(fresh),
        MultivariateNormal(torch.full((3,), 10.0).double(), torch.eye(3).double()).log_prob(fresh),
    )
    assert (model.log_prob(fresh, e) - truth).mean().item() == pytest.approx(0, abs=0.01)
    pooled = solved(Gaussian, Points(dim=3), x, held_out, double=True)
    assert torch.allclose(model.log_prob(fresh), pooled.log_prob(fresh), atol=1e-12)
    never = model.log_prob(fresh, 2)
    assert torch.allclose(never, pooled.log_prob(fresh), atol=1e-9), "a class without examples is everything"
    assert model.sample(2000, condition=1, seed=0).mean().item() == pytest.approx(10, abs=4 / math.sqrt(6000) + 0.05)


def test_a_class_of_few_examples_leans_on_the_others():
    """Three examples in three dimensions: alone they have a flat covariance, of no density at all."""
    (x, c), (held_out, d) = classes(1000, 0), classes(1000, 1)
    kept = (c == 0) | (torch.arange(1000) < 6)
    model = solved(Gaussian, Points(dim=3), x[kept], held_out, labels=(c[kept], d), condition=LABEL)
    of_class = held_out[d == 1]
    assert model.log_prob(of_class, 1).mean() > model.log_prob(of_class).mean()


def test_samples_have_the_moments_of_the_examples():
    x = points(2000)
    drawn = solved(Gaussian, Points(dim=3), x, shrinkage=0.0).sample(20_000, seed=0, batch_size=5000)
    std = x.std(0)
    # Four standard errors of n = 20,000 draws: std / sqrt(n) of a mean, at most sqrt(2 / n) std std of a covariance.
    assert ((drawn.mean(0) - x.mean(0)).abs() < 4 * std / math.sqrt(20_000)).all()
    limit = 4 * math.sqrt(2 / 20_000) * std[:, None] * std
    assert ((torch.cov(drawn.T) - torch.cov(x.T, correction=0)).abs() < limit).all()


@pytest.mark.parametrize("kind", [Gaussian, Independent])
def test_a_thousandfold_column_has_a_density_a_thousand_times_lower(kind: type):
    x = points(300)
    one, thousand = (solved(kind, Points(dim=3), scale * x) for scale in (1.0, 1000.0))
    drop = one.log_prob(x) - thousand.log_prob(1000 * x)
    assert torch.allclose(drop, torch.full((300,), 3 * math.log(1000)).double(), atol=1e-3)


@pytest.mark.parametrize("kind", [Gaussian, Independent])
def test_saved_and_loaded_it_is_the_same(kind: type, tmp_path):
    x, c = classes(300, 0)
    model = solved(kind, Points(dim=3), x, labels=(c, c), condition=LABEL)
    model.save_pretrained(tmp_path)
    again = kind.from_pretrained(tmp_path)
    assert torch.equal(again.log_prob(x, c), model.log_prob(x, c))
    assert torch.equal(again.sample(10, seed=3), model.sample(10, seed=3))


@pytest.mark.parametrize("kind", [Gaussian, Independent])
def test_a_sample_does_not_depend_on_its_batch(kind: type):
    x, c = classes(300, 0)
    model = solved(kind, Points(dim=3), x, labels=(c, c), condition=LABEL)
    given = torch.arange(10) % 3
    whole, parts = (model.sample(10, condition=given, seed=0, batch_size=size) for size in (10, 3))
    assert torch.allclose(whole, parts, rtol=1e-5)
    assert torch.allclose(model.sample(4, condition=given[6:], seed=0, start=6), whole[6:], rtol=1e-5)


def test_what_a_gaussian_cannot_be_is_refused():
    with pytest.raises(InputError, match="shrinkage: got 2"):
        Gaussian(example=Points(dim=2), shrinkage=2.0)
    with pytest.raises(InputError, match="expected at most 1.3e.08"):
        Gaussian(example=Image(height=64, width=64, channels=3))
    with pytest.raises(InputError, match="accepts class labels"):
        Gaussian(example=Points(dim=2), condition=Points(dim=1))
    line = points(100)[:, :1].repeat(1, 2)
    with pytest.raises(InputError, match="shrinkage: 0.0 leaves no inverse covariance"):
        solved(Gaussian, Points(dim=2), line, shrinkage=0.0)
    assert solved(Gaussian, Points(dim=2), line).log_prob(line).isfinite().all()


# --- Independent -----------------------------------------------------------------------------------------------------


def test_masses_of_images_match_counts_and_sum_to_one():
    image = Image(height=1, width=2, levels=4)
    x = torch.tensor([[0, 3], [0, 3], [1, 3]], dtype=torch.uint8).view(3, 1, 1, 2)
    model = solved(Independent, image, x)
    every = torch.cartesian_prod(torch.arange(4), torch.arange(4)).to(torch.uint8).view(16, 1, 1, 2)
    mass = model.log_prob(every).exp()
    assert mass.sum().item() == pytest.approx(1, abs=1e-6)
    # Of 3 examples and 4 levels: (2 + 1/2)/5 and (3 + 1/2)/5.
    assert mass[3].item() == pytest.approx(0.5 * 0.7, abs=1e-6)
    assert model.density() == Density("exact", "mass")


def test_masses_of_tables_sum_to_one_with_missing_cells():
    columns = (
        Column(name="pet", categories=("cat", "dog", "eel")),
        Column(name="home", categories=(0, 1), missing=True),
    )
    x = torch.tensor([[0, 1], [0, math.nan], [2, 0], [2, 0]], dtype=torch.float64)
    model = solved(Independent, Table(columns=columns), x)
    every = torch.tensor([[a, b] for a in range(3) for b in (0, 1, math.nan)], dtype=torch.float64)
    mass = model.log_prob(every).exp()
    assert mass.sum().item() == pytest.approx(1, abs=1e-6)
    assert mass[2].item() == pytest.approx((2 + 0.5) / 5.5 * (1 + 0.5) / 5.5, abs=1e-6)


def test_densities_of_points_integrate_to_one():
    x = points(400)[:, :1]
    model = solved(Independent, Points(dim=1), x)
    grid = torch.linspace(-80, 80, 400_001, dtype=torch.float64)[:, None]  # 40 standard deviations of exponential tails
    total = model.log_prob(grid, batch_size=100_000).exp().sum().item() * (160 / 400_000)
    assert total == pytest.approx(1, abs=2e-3)  # a histogram summed on a grid: off by half a step at each of 20 edges
    assert model.density() == Density("exact", "density")


def test_texts_are_scored_letter_by_letter():
    text = Text(vocabulary=("a", "b"), length=2, stream=True)
    x = torch.tensor([[0, 1], [0, 0]])
    assert solved(Independent, text, x).log_prob(x)[0].exp().item() == pytest.approx(2.5 / 3 * 1.5 / 3, abs=1e-6)


def test_tables_of_a_class_are_smoothed_toward_those_of_all():
    image, label = Image(height=1, width=1, levels=4), Label(names=("a", "b", "never seen"))
    x = torch.tensor([0, 0, 0, 1], dtype=torch.uint8).view(4, 1, 1, 1)
    c = torch.tensor([0, 0, 1, 1])
    model = solved(Independent, image, x, labels=(c, c), condition=label)
    one = x[3:]
    pooled = (1 + 0.5) / (4 + 2)
    assert model.log_prob(one).exp().item() == pytest.approx(pooled, abs=1e-6)
    assert model.log_prob(one, 0).exp().item() == pytest.approx((0 + 2 * pooled) / (2 + 2), abs=1e-6)
    assert model.log_prob(one, 1).exp().item() == pytest.approx((1 + 2 * pooled) / (2 + 2), abs=1e-6)
    assert model.log_prob(one, 2).exp().item() == pytest.approx(pooled, abs=1e-6)


def test_drawn_codes_have_their_probabilities():
    image = Image(height=1, width=1, levels=3)
    x = torch.tensor([0, 0, 0, 2, 2], dtype=torch.uint8).view(5, 1, 1, 1)
    drawn = solved(Independent, image, x).sample(20_000, seed=0, batch_size=5000).flatten().long()
    shares = drawn.bincount(minlength=3) / 20_000
    known = torch.tensor([3.5, 0.5, 2.5]) / 6.5
    assert torch.allclose(shares, known, atol=4 * math.sqrt(0.25 / 20_000))  # four standard errors
