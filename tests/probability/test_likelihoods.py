"""Likelihoods: they sum to one, draws agree with probabilities, slopes stay finite, bits are those of cells."""

import math

import pytest
import torch
from scipy.stats import nbinom
from torch import Tensor
from torch.distributions import ContinuousBernoulli, Normal

from pushforward.core.errors import InputError
from pushforward.core.fit_units import default_units, fit_units
from pushforward.core.modality import Image, Points
from pushforward.core.noise import Noise
from pushforward.core.pixel_units import Pixels
from pushforward.core.text import Text
from pushforward.probability.count_likelihood import CountLikelihood
from pushforward.probability.entry_likelihoods import (
    BernoulliLikelihood,
    CategoricalLikelihood,
    ContinuousBernoulliLikelihood,
    GaussianLikelihood,
)
from pushforward.probability.likelihood import Likelihood
from pushforward.probability.likelihoods import likelihood_of, space_of
from pushforward.probability.logistic_likelihood import LevelLikelihood, NumberLikelihood

#: One entry each, its grid of values, and thetas from ordinary to far out.
DISCRETE = {
    "bernoulli": (BernoulliLikelihood(shape=(1,)), torch.arange(2.0)),
    "categorical": (CategoricalLikelihood(shape=(1,), size=5), torch.arange(5)),
    "levels": (LevelLikelihood(shape=(1,), levels=256), torch.arange(256.0)),
    "mixture of levels": (LevelLikelihood(shape=(1,), levels=17, components=3), torch.arange(17.0)),
    "numbers": (NumberLikelihood(width=(0.05,), origin=(0.0,)), torch.arange(-40_000, 40_000) * 0.05),
    "count": (CountLikelihood(mean_count=(3.0,), deviation=(1.0,)), torch.arange(3000.0) - 3.0),
}

CONTINUOUS = {
    "gaussian": (GaussianLikelihood(shape=(1,)), torch.linspace(-40, 40, 100_001)),
    "continuous bernoulli": (ContinuousBernoulliLikelihood(shape=(1,)), torch.linspace(-1, 1, 20_001)),
    "number": (NumberLikelihood(width=(0.0,), origin=(0.0,), components=2), torch.linspace(-60, 60, 100_001)),
}

ALL = {**DISCRETE, **CONTINUOUS}


def thetas(likelihood: Likelihood, scale: float, rows: int = 1) -> Tensor:
    return scale * Noise(7, rows=rows).normal(*likelihood.theta).double()


@pytest.mark.parametrize("name", DISCRETE)
@pytest.mark.parametrize("scale", [0.0, 1.0, 3.0])
def test_masses_sum_to_one(name: str, scale: float):
    likelihood, grid = DISCRETE[name]
    y = grid[:, None] if name == "categorical" else grid[:, None].double()
    masses = likelihood.log_prob(y, thetas(likelihood, scale).expand(len(y), *likelihood.theta)).exp()
    assert masses.sum().item() == pytest.approx(1, abs=1e-6)  # the grids reach 1e-7 into the tails


@pytest.mark.parametrize("name", CONTINUOUS)
@pytest.mark.parametrize("scale", [0.0, 1.0, 2.0])
def test_densities_integrate_to_one(name: str, scale: float):
    likelihood, grid = CONTINUOUS[name]
    y = grid.double()[:, None]
    density = likelihood.log_prob(y, thetas(likelihood, scale).expand(len(y), *likelihood.theta)).exp()
    assert torch.trapezoid(density, y[:, 0]).item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", DISCRETE)
def test_draws_have_the_masses(name: str):
    likelihood, grid = DISCRETE[name]
    n, theta = 20_000, thetas(likelihood, 0.7)
    drawn = likelihood.draw(theta.expand(n, *likelihood.theta), Noise(0, rows=n))[:, 0].double()
    grid = grid.double()
    y = grid[:, None].long() if name == "categorical" else grid[:, None]
    masses = likelihood.log_prob(y, theta.expand(len(y), *likelihood.theta)).exp()
    places = torch.searchsorted(grid, drawn - 1e-6)
    assert (grid[places] - drawn).abs().max() < 1e-5, "a draw is not on the grid"
    shares = torch.bincount(places, minlength=len(grid)) / n
    # Kolmogorov: 1.95 / sqrt(n) is passed by one sample in a thousand; grids are coarse, which only lowers it.
    assert (shares.cumsum(0) - masses.cumsum(0)).abs().max().item() < 1.95 / math.sqrt(n)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_draws_have_the_density(name: str):
    likelihood, grid = CONTINUOUS[name]
    n, theta = 20_000, thetas(likelihood, 1.0)
    drawn = likelihood.draw(theta.expand(n, *likelihood.theta), Noise(0, rows=n))[:, 0].double().sort().values
    y = grid.double()
    density = likelihood.log_prob(y[:, None], theta.expand(len(y), *likelihood.theta)).exp()
    below = torch.cumulative_trapezoid(density, y)
    at = below[(torch.searchsorted(y, drawn) - 1).clamp(0, len(below) - 1)]
    assert (at - torch.arange(n) / n).abs().max().item() < 1.95 / math.sqrt(n)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("scale", [1.0, 30.0, 1000.0])
def test_slopes_are_finite_however_far_out(name: str, scale: float):
    """In 32 bits, at both ends of the grid, with means and scales that no training should come to."""
    likelihood, grid = ALL[name]
    for value in (grid[0], grid[-1], grid[len(grid) // 2]):
        theta = thetas(likelihood, scale, rows=50).float().requires_grad_()
        y = value.expand(50, 1)
        score = likelihood.log_prob(y if name == "categorical" else y.float(), theta)
        score.sum().backward()
        assert torch.isfinite(score).all()
        assert theta.grad is not None
        assert torch.isfinite(theta.grad).all()


@pytest.mark.parametrize("value", [0.0, 128.0, 255.0])
def test_a_level_that_never_varies_costs_nothing(value: float):
    """The narrowest scale at the middle of its cell; and from a wrong certainty the slopes lead back."""
    likelihood = LevelLikelihood(shape=(1,), levels=256)
    y = torch.tensor([[value]])
    centre = likelihood.inputs(y)
    best = torch.stack([centre, torch.full_like(centre, -30.0)], 1)
    assert likelihood.log_prob(y, best).item() > -1e-3
    aside = -0.5 if value > 127 else 0.5
    wrong = (best.clone() + torch.tensor([[[aside], [20.0]]])).requires_grad_()
    likelihood.log_prob(y, wrong).sum().backward()
    assert wrong.grad is not None
    toward, wider = wrong.grad.flatten().tolist()
    assert toward * aside < 0
    assert wider > 1


def test_narrow_cells_are_their_density_times_their_width():
    """In 32 bits, where the difference of two distribution functions would be rounding."""
    width = 1e-7
    cell, point = NumberLikelihood(width=(width,), origin=(0.0,)), NumberLikelihood(width=(0.0,), origin=(0.0,))
    y, theta = torch.linspace(-3, 3, 13)[:, None], torch.zeros(13, 2, 1)
    assert torch.allclose(cell.log_prob(y, theta), point.log_prob(y, theta) + math.log(width), atol=1e-5)


def test_the_gaussian_is_torchs():
    likelihood = GaussianLikelihood(shape=(3,))
    theta = Noise(0, rows=4).normal(2, 3).double()
    y = Noise(1, rows=4).normal(3).double()
    known = Normal(theta[:, 0], (0.5 * 15 * torch.tanh(theta[:, 1] / 15)).exp()).log_prob(y)
    assert torch.allclose(likelihood.log_prob_each(y, theta), known)


def test_the_continuous_bernoulli_is_torchs():
    """Twice the width: ln 2 less. Torch takes another expansion around 0, good to 1e-6 there."""
    likelihood = ContinuousBernoulliLikelihood(shape=(1,))
    logit = torch.cat([torch.linspace(-20, 20, 41), torch.tensor([0.01, -0.04, 0.06, 1e-4])]).double()
    v = torch.rand(len(logit), 1, generator=torch.Generator().manual_seed(0)).double()
    known = ContinuousBernoulli(logits=logit[:, None])
    found = likelihood.log_prob_each(2 * v - 1, logit[:, None, None])
    assert torch.allclose(found, known.log_prob(v) - math.log(2), atol=1e-5)
    assert torch.allclose(likelihood.mean(logit[:, None, None]), 2 * known.mean - 1, atol=1e-4)


def test_counts_are_scipys_negative_binomial():
    likelihood = CountLikelihood(mean_count=(4.0,), deviation=(2.0,))
    k = torch.arange(200.0).double()
    theta = torch.tensor([[[0.3], [1.2]]]).double().expand(200, 2, 1)
    m, r = 4 * math.exp(15 * math.tanh(0.3 / 15)), math.exp(15 * math.tanh(1.2 / 15))
    known = torch.from_numpy(nbinom.logpmf(k.numpy(), r, r / (r + m)))
    assert torch.allclose(likelihood.log_prob((k[:, None] - 4) / 2, theta), known)
    assert (likelihood.mean(theta)[0].item() * 2 + 4) == pytest.approx(m)


@pytest.mark.parametrize("mean", [0.02, 5000.0])
def test_before_training_the_mean_count_is_that_of_the_data(mean: float):
    likelihood = CountLikelihood(mean_count=(mean,), deviation=(1.0,))
    assert (likelihood.mean(torch.zeros(1, 2, 1).double()).item() + mean) == pytest.approx(mean)


def test_negative_counts_are_impossible():
    likelihood = CountLikelihood(mean_count=(0.5,), deviation=(1.0,))
    assert likelihood.log_prob(torch.tensor([[-1.5]]), torch.zeros(1, 2, 1)).item() == -math.inf


def test_bits_of_pixels_are_those_of_cells():
    """Equal masses: 8 bits per dimension, whether as a mass of levels or as a density of dequantised pixels."""
    image = Image(height=2, width=2)
    x = torch.randint(0, 256, (6, 1, 2, 2), dtype=torch.uint8)
    native = default_units(image, "native")
    categorical = likelihood_of("categorical", image, native)
    y, log_det = native.encode(x, noise=Noise(0, rows=6))
    nats = categorical.log_prob(y, torch.zeros(6, *categorical.theta)) + log_det
    assert torch.allclose(-nats / 4 / math.log(2), torch.tensor(8.0))
    real = Pixels(example=image)
    flat = likelihood_of("continuous-bernoulli", image, real)
    y, log_det = real.encode(x, noise=Noise(0, rows=6))
    nats = flat.log_prob(y, torch.zeros(6, *flat.theta)) + log_det
    assert torch.allclose(-nats / 4 / math.log(2), torch.tensor(8.0), atol=1e-5)


@pytest.mark.parametrize("name", ["gaussian", "bernoulli", "continuous-bernoulli", "discretised-logistic", "count"])
def test_the_mean_is_that_of_draws(name: str):
    likelihood = {
        "gaussian": GaussianLikelihood(shape=(1,)),
        "bernoulli": BernoulliLikelihood(shape=(1,)),
        "continuous-bernoulli": ContinuousBernoulliLikelihood(shape=(1,)),
        "discretised-logistic": LevelLikelihood(shape=(1,), levels=64, components=2),
        "count": CountLikelihood(mean_count=(3.0,), deviation=(1.0,)),
    }[name]
    n = 20_000
    theta = (thetas(likelihood, 0.5) - (2.0 if name == "discretised-logistic" else 0.0)).expand(n, *likelihood.theta)
    if name == "discretised-logistic":  # scales and means small enough that no tail is cut off at the ends
        theta = theta * torch.tensor([[[1.0], [1.0], [0.05], [0.05], [1.0], [1.0]]])
    drawn = likelihood.draw(theta, Noise(0, rows=n))
    # Four standard errors; a level is off its mean by rounding, up to half.
    error = 4 * drawn.std().item() / math.sqrt(n) + (0.02 if name == "discretised-logistic" else 0.0)
    assert drawn.mean().item() == pytest.approx(likelihood.mean(theta)[0].item(), abs=error)


def test_what_an_encoder_reads_is_of_order_one():
    levels = LevelLikelihood(shape=(1,), levels=256)
    assert levels.inputs(torch.tensor([[0.0], [255.0]])).abs().max() < 1
    codes = CategoricalLikelihood(shape=(2,), size=3)
    assert codes.inputs(torch.tensor([[0, 2]])).tolist() == [[[1, 0], [0, 0], [0, 1]]]
    assert codes.input_shape == (3, 2)


@pytest.mark.parametrize(
    ("example", "name", "space"),
    [
        (Image(height=2, width=2, levels=2), "BernoulliLikelihood", "native"),
        (Image(height=2, width=2), "LevelLikelihood", "native"),
        (Text(length=4), "CategoricalLikelihood", "native"),
        (Points(dim=2), "GaussianLikelihood", "real"),
    ],
)
def test_auto_takes_what_suits_the_data(example: Image | Text | Points, name: str, space: str):
    assert space_of("auto", example) == space
    likelihood = likelihood_of("auto", example, default_units(example, space_of("auto", example)))
    assert type(likelihood).__name__ == name
    assert likelihood.space == space


def test_what_does_not_fit_is_said():
    points, picture = Points(dim=1), Image(height=2, width=2)
    native = default_units(points, "native")
    with pytest.raises(InputError, match="likelihood: got 'bernoulli' for images"):
        likelihood_of("bernoulli", picture, default_units(picture, "native"))
    with pytest.raises(InputError, match="expected whole numbers from 0 on"):
        likelihood_of("count", points, native)
    with pytest.raises(InputError, match="components: got 3, the gaussian likelihood accepts 1"):
        likelihood_of("gaussian", points, default_units(points, "real"), components=3)
    with pytest.raises(InputError, match="likelihood: got 'gauss', expected one of auto, gaussian"):
        likelihood_of("gauss", points, native)  # pyright: ignore[reportArgumentType]


def test_counts_from_points():
    x = torch.tensor([[0.0], [1.0], [5.0]]).double()
    example = Points(dim=1, resolution=(1.0,))
    units = fit_units(example, "native", x)
    counts = likelihood_of("count", example, units)
    drawn = counts.draw(torch.zeros(50, *counts.theta), Noise(0, rows=50))
    back = units.decode(drawn, noise=Noise(0, rows=50))
    assert set(back.flatten().tolist()) <= set(map(float, range(6)))
