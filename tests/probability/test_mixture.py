"""The mixture against mixtures that are known."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal

from pushforward.core.capabilities import Density
from pushforward.core.data import Batch
from pushforward.core.errors import InputError
from pushforward.core.fit_units import fit_units
from pushforward.core.modality import Image, Label, Points
from pushforward.core.noise import Noise
from pushforward.probability.mixture import Mixture
from pushforward.probability.targets import GaussianMixture
from tests.probability.solving import solved

THREE = GaussianMixture(
    torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64),
    torch.tensor([[0.0, 300.0], [-1.0, -150.0], [2.0, 0.0]]).double(),
    torch.tensor(
        [[[1.0, 60.0], [60.0, 5000.0]], [[0.1, 0.0], [0.0, 2000.0]], [[0.3, -20.0], [-20.0, 4000.0]]]
    ).double(),
)
PLANE = Points(dim=2)
LABEL = Label(names=("left", "right", "never seen"))


def draws(n: int, seed: int = 0) -> torch.Tensor:
    return THREE.sample(Noise(seed, rows=n))


def test_a_mixture_of_three_is_found():
    model = solved(Mixture, PLANE, draws(20_000), draws(2_500, seed=1))
    fresh = draws(50_000, seed=2)
    gap = (model.log_prob(fresh, batch_size=10_000) - THREE.log_density(fresh)).mean().item()
    print(f"{model.components} components, mean of log p_model - log p_true: {gap:+.5f} nats")
    assert model.components == 3
    # 17 parameters estimated from 20,000 examples cost 17 / (2 * 20,000) = 0.0004 nats; above 0 only by chance.
    assert -0.002 < gap < 0.0005
    assert model.density() == Density("exact", "density")


def test_one_component_is_the_gaussian():
    x = draws(1000)
    model = solved(Mixture, PLANE, x, components=1, double=True)
    exact = MultivariateNormal(x.mean(0), torch.cov(x.T, correction=0)).log_prob(x)
    # At most one pseudo-example in a thousand changes variances by a thousandth.
    assert torch.allclose(model.log_prob(x), exact, atol=0.01)


def test_full_covariances_up_to_64_dimensions():
    x = draws(500)
    assert solved(Mixture, PLANE, x, components=2).scales.shape == (2, 2, 2)
    assert solved(Mixture, PLANE, x, components=2, covariance="diagonal").scales.shape == (2, 2)
    assert Mixture(example=Image(height=8, width=8)).scales.ndim == 3
    assert Mixture(example=Image(height=8, width=9)).scales.ndim == 2


def test_the_diagonal_one_is_found_as_well():
    target = GaussianMixture.of(weights=[0.4, 0.6], means=[[0.0, 4.0], [3.0, -1.0]], stds=[0.5, 1.0])
    x, held_out, fresh = (target.sample(Noise(seed, rows=n)) for seed, n in ((0, 10_000), (1, 1000), (2, 10_000)))
    model = solved(Mixture, PLANE, x, held_out, covariance="diagonal")
    gap = (model.log_prob(fresh) - target.log_density(fresh)).mean().item()
    assert model.components == 2
    assert gap == pytest.approx(0, abs=0.002)


def test_noise_alone_is_one_component():
    x, held_out = (Noise(seed, rows=2000).normal(2).double() for seed in (0, 1))
    assert solved(Mixture, PLANE, x, held_out).components == 1


def test_samples_agree_with_the_density():
    model = solved(Mixture, PLANE, draws(20_000), draws(2_000, seed=1), components=3)
    drawn = model.sample(20_000, seed=0, batch_size=5000)
    # E[log p] over samples of p, against the same mean over the truth it was fitted to; 4 standard errors of 20,000.
    scores = model.log_prob(drawn, batch_size=5000)
    known = THREE.log_density(draws(20_000, seed=5))
    assert (scores.mean() - known.mean()).abs() < 4 * math.sqrt(2) * known.std() / math.sqrt(20_000)
    std = THREE.covariance.diagonal().sqrt()
    assert ((drawn.mean(0) - THREE.mean).abs() < 4 * math.sqrt(2) * std / math.sqrt(20_000)).all()


def test_classes_share_components_and_the_null_is_their_marginal():
    x, held_out = draws(6000), draws(1000, seed=1)
    c, d = (torch.where(y[:, 1] > 100, 1, 0) for y in (x, held_out))  # the first component, by and large
    model = solved(Mixture, PLANE, x, held_out, labels=(c, d), condition=LABEL, components=3, double=True)
    share = c.double().mean()
    joint = torch.stack([model.log_prob(held_out, 0) + (1 - share).log(), model.log_prob(held_out, 1) + share.log()])
    # But for the pseudo-example of each class, which moves a weight by less than 1 in 1,000.
    assert torch.allclose(model.log_prob(held_out), joint.logsumexp(0), atol=0.05)
    assert torch.allclose(model.log_prob(held_out, 2), model.log_prob(held_out)), (
        "a class without examples is everything"
    )
    # 8 % of class 1 belong to the third component, of which all but 6 % lie below 100: 92.5 %, and 4 standard errors.
    drawn = model.sample(4000, condition=1, seed=0)
    assert (drawn[:, 1] > 100).double().mean().item() == pytest.approx(0.925, abs=0.02)


def test_images_with_pixels_that_never_vary():
    x = torch.zeros(300, 1, 9, 9, dtype=torch.uint8)
    x[::2, :, 2:4] = 200
    x[1::2, :, 6:8] = 100
    image = Image(height=9, width=9)
    model = solved(Mixture, image, x, components=2)
    assert model.density() == Density("bound", "mass")
    assert model.log_prob(x).isfinite().all()
    middle = model.sample(100, seed=0)[:, 0, 2:4].double().mean((1, 2))
    assert ((middle - 200).abs() < 5).sum() + (middle < 5).sum() == 100, "two kinds of pictures, and none between"


def test_a_thousandfold_column_has_a_density_a_thousand_times_lower():
    x = draws(500)
    one, thousand = (solved(Mixture, PLANE, scale * x, components=3) for scale in (1.0, 1000.0))
    drop = one.log_prob(x) - thousand.log_prob(1000 * x)
    assert torch.allclose(drop, torch.full((500,), 2 * math.log(1000)).double(), atol=1e-3)


def test_the_chosen_number_is_saved(tmp_path):
    x = draws(500)
    model = solved(Mixture, PLANE, x, condition=LABEL, labels=(torch.arange(500) % 2,) * 2)
    assert model.components > 1
    model.save_pretrained(tmp_path)
    again = Mixture.from_pretrained(tmp_path)
    assert again.components == model.components
    assert torch.equal(again.log_prob(x, 1), model.log_prob(x, 1))
    assert torch.equal(again.sample(10, seed=3), model.sample(10, seed=3))


def test_interrupted_it_is_the_best_so_far():
    x = draws(2000)
    model = Mixture(example=PLANE, units=fit_units(PLANE, "real", x))
    y, _ = model.fitted.encode(x, noise=Noise(0, rows=len(x)))
    figures = model.solve(Batch(y), Batch(y), noise=Noise(1, rows=len(x)))
    first = next(figures)
    while model.components < 3:
        next(figures)
    figures.close()
    assert -model.log_likelihood(y, None, noise=Noise(2, rows=len(x))).mean().item() < first - 0.1
    assert model.sample(5, seed=0).shape == (5, 2)


def test_a_sample_does_not_depend_on_its_batch():
    model = solved(Mixture, PLANE, draws(500), components=3)
    whole = model.sample(10, seed=0)
    assert torch.allclose(model.sample(10, seed=0, batch_size=3), whole, rtol=1e-5)
    assert torch.allclose(model.sample(4, seed=0, start=6), whole[6:], rtol=1e-5)


def test_what_a_mixture_cannot_be_is_refused():
    with pytest.raises(InputError, match="components: got -1"):
        Mixture(example=PLANE, components=-1)
    with pytest.raises(InputError, match="covariance: got 'tied', expected 'full', 'diagonal' or 'auto'"):
        Mixture(example=PLANE, covariance="tied")
    with pytest.raises(InputError, match="components: got 51, expected at most 50"):
        solved(Mixture, PLANE, draws(50), components=51)
    with pytest.raises(InputError, match="accepts class labels"):
        Mixture(example=PLANE, condition=Points(dim=1))
