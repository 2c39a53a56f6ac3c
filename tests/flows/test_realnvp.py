"""RealNVP against densities that are known, in 1, 2 and more dimensions, on tables and on images of any size."""

import math

import pytest
import torch

from pushforward.core.data import Condition
from pushforward.core.errors import InputError
from pushforward.core.fit_units import fit_units
from pushforward.core.modality import Image, Label, Points
from pushforward.core.noise import Noise
from pushforward.core.table import Column, Table
from pushforward.flows.realnvp import RealNVP
from pushforward.probability.targets import GaussianMixture
from tests.helpers import train

CORRELATED = GaussianMixture(
    torch.ones(1).double(),
    torch.tensor([[3.0, -100.0]]).double(),
    torch.tensor([[[4.0, 5.0], [5.0, 9.0]]]).double(),
)
MOONS = GaussianMixture.of(weights=[0.5, 0.25, 0.25], means=[[0.0, 1.0], [-1.0, 0.0], [1.0, 0.0]], stds=[0.2, 0.3, 0.3])


def fitted(target: GaussianMixture, *, steps: int, rows: int = 20_000, **fields: int) -> RealNVP:
    x, example = target.sample(Noise(0, rows=rows)), Points(dim=target.means.shape[1])
    torch.manual_seed(0)
    model = RealNVP(example=example, units=fit_units(example, "logit", x), **fields)
    train(model, x, steps=steps)
    return model


def test_a_full_covariance_gaussian_is_reached():
    model = fitted(CORRELATED, steps=150, layers=4, width=32)
    fresh = CORRELATED.sample(Noise(99, rows=50_000))
    gap = (model.log_prob(fresh, batch_size=10_000) - CORRELATED.log_density(fresh)).mean().item()
    print(f"mean of log p_model - log p_true: {gap:+.4f} nats")
    # Beyond 0 only by chance: the mean of a difference that varies by about 0.1 from point to point.
    assert -0.02 < gap < 0.002


def test_the_first_stage_alone_is_the_best_gaussian():
    model = fitted(CORRELATED, steps=0)
    fresh = CORRELATED.sample(Noise(99, rows=50_000))
    gap = (model.log_prob(fresh, batch_size=10_000) - CORRELATED.log_density(fresh)).mean().item()
    # Five estimated moments cost 5 / (2 n) nats, n = 20,000; ten times that is beyond chance.
    assert -10 * 5 / (2 * 20_000) < gap < 1e-4


def test_density_integrates_to_one_and_samples_agree_with_it():
    model = fitted(MOONS, steps=150, layers=6, width=32)
    side = torch.linspace(-6, 6, 301, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side)
    mass = model.log_prob(grid, batch_size=10_000).exp() * (side[1] - side[0]) ** 2
    assert mass.sum().item() == pytest.approx(1, abs=5e-3)  # couplings with ReLU kink, so quadrature is good to 1e-3

    n = 20_000
    x = model.sample(n, seed=1, batch_size=10_000)
    for event in (lambda p: p[:, 0] > 0, lambda p: p[:, 1] > 0.5, lambda p: p.norm(dim=1) < 1):
        share = mass[event(grid)].sum().item()
        # Four standard errors, and what the grid's edge cells are worth.
        assert event(x).double().mean().item() == pytest.approx(share, abs=4 * math.sqrt(0.25 / n) + 0.01)


def test_a_mixture_is_learned_better_than_a_gaussian_can():
    model = fitted(MOONS, steps=300, layers=6, width=64)
    fresh = MOONS.sample(Noise(99, rows=20_000))
    gap = (model.log_prob(fresh, batch_size=10_000) - MOONS.log_density(fresh)).mean().item()
    gaussian = -0.5 * torch.logdet(MOONS.covariance).item() - 1 - math.log(2 * math.pi)
    assert gap > 0.4 * (gaussian - MOONS.log_density(fresh).mean().item()), "less than 60 % of the way from a Gaussian"


def test_log_density_is_in_data_units():
    x = CORRELATED.sample(Noise(0, rows=500))
    scores = []
    for scale in (1.0, 1000.0):
        example = Points(dim=2)
        torch.manual_seed(0)
        model = RealNVP(example=example, units=fit_units(example, "logit", scale * x)).double()
        train(model, scale * x, steps=3)
        scores.append(model.log_prob(scale * x))
    assert torch.allclose(scores[0] - scores[1], torch.full((500,), 2 * math.log(1000)).double(), atol=1e-6)


def test_classes_have_their_own_densities():
    label, example = Label(names=("left", "right")), Points(dim=2)
    c = torch.arange(4000) % 2
    x = CORRELATED.sample(Noise(0, rows=4000)) + torch.stack((20.0 * c, 0 * c), dim=1)
    torch.manual_seed(0)
    model = RealNVP(example=example, condition=label, units=fit_units(example, "logit", x), layers=4, width=32)
    train(model, x, steps=200, condition=c)
    for code, mean in ((0, 3.0), (1, 23.0)):
        drawn = model.sample(2000, condition=code, seed=0)
        assert drawn[:, 0].mean().item() == pytest.approx(mean, abs=0.5)  # a quarter of the standard deviation
        right, wrong = (model.log_prob(x[c == code], condition=k).mean() for k in (code, 1 - code))
        assert right > wrong + 10  # ten standard deviations apart


@pytest.mark.parametrize("conditional", [False, True])
def test_one_dimension_is_affine(conditional: bool):
    example, label = Points(dim=1), Label(names=(0, 1)) if conditional else None
    model = RealNVP(example=example, condition=label).double()
    x, c = Noise(0, rows=300).normal(1).double(), torch.arange(300) % 2
    train(model, x, steps=2, batch=64, condition=c if conditional else None)
    given = Condition(c, torch.ones(300, dtype=torch.bool)) if conditional else None
    z, log_det = model.flow(x, model._embedded(given, 300))
    if conditional:
        z, x, log_det = z[c == 1], x[c == 1], log_det[c == 1]
    slope = (z[1:] - z[0]) / (x[1:] - x[0])
    assert torch.allclose(slope, log_det[0].exp().expand_as(slope), atol=1e-9)
    assert log_det[0] != 0


SIZES = [(8, 8, 1), (28, 28, 1), (7, 5, 3), (6, 5, 1), (5, 6, 2), (6, 6, 3), (2, 2, 1), (1, 4, 1), (1, 1, 1), (3, 1, 4)]


@pytest.mark.parametrize(("height", "width", "channels"), SIZES)
def test_images_of_any_size_have_a_true_density_and_codes(height: int, width: int, channels: int):
    example = Image(height=height, width=width, channels=channels, levels=16)
    model = RealNVP(example=example, width=16, layers=3).double()
    for seed, parameter in enumerate(model.parameters()):
        parameter.data += 0.1 * Noise(seed, rows=len(parameter)).normal(*parameter.shape[1:]).double()
    x = model.sample(3, seed=0)
    assert x.shape == (3, channels, height, width) and x.dtype == torch.uint8
    y = Noise(1, rows=2).normal(*example.shape).double()
    assert torch.allclose(model.generate(model.infer(y, None), None), y, rtol=0, atol=1e-10)
    if y[0].numel() <= 64:
        z, log_det = model.flow(y)
        jacobian = torch.autograd.functional.jacobian(lambda v: model.infer(v, None)[0].flatten(), y[:1])
        known = torch.linalg.slogdet(jacobian.view(y[0].numel(), -1)).logabsdet
        assert known.item() == pytest.approx(log_det[0].item(), abs=1e-9)


def test_every_pixel_depends_on_others_and_is_transformed():
    model = RealNVP(example=Image(height=8, width=8, levels=16), width=16, layers=4).double()
    for seed, parameter in enumerate(model.parameters()):
        parameter.data += 0.3 * Noise(seed, rows=len(parameter)).normal(*parameter.shape[1:]).double()
    y = Noise(1, rows=1).normal(1, 8, 8).double()
    jacobian = torch.autograd.functional.jacobian(lambda v: model.infer(v, None).flatten(), y).view(64, 64)
    assert ((jacobian != 0).sum(1) > 16).all()


def test_tables_are_scored_and_drawn():
    table = Table(
        columns=(Column(name="a"), Column(name="b", categories=("x", "y", "z")), Column(name="c", missing=True))
    )
    noise = Noise(0, rows=400)
    a, u = noise.normal().double(), noise.uniform()
    b = (u * 3).floor().double()
    c = torch.where(u < 0.1, math.nan, a + b)
    x = torch.stack((a, b, c), dim=1)
    model = RealNVP(example=table, units=fit_units(table, "logit", x), width=32, layers=4)
    before = model.log_prob(x).mean()
    train(model, x, steps=50, lr=3e-3)
    assert model.log_prob(x).mean() > before + 0.3  # c follows from a and b
    assert model.density().kind == "bound" and model.density().measure == "mixed"
    drawn = model.sample(50, seed=0)
    assert set(drawn[:, 1].tolist()) <= {0.0, 1.0, 2.0}


def test_loss_is_minus_the_log_likelihood():
    model = RealNVP(example=Points(dim=3), width=16).double()
    y = Noise(0, rows=10).normal(3).double()
    loss, score = model.loss(y, noise=Noise(1, rows=10)), model.log_likelihood(y, None, noise=Noise(2, rows=10))
    assert torch.equal(loss, -score)


def test_every_parameter_receives_a_gradient():
    model = RealNVP(example=Points(dim=5), condition=Label(names=(0, 1)), width=16).double()
    for seed, parameter in enumerate(model.parameters()):
        parameter.data += 0.1 * Noise(seed, rows=len(parameter)).normal(*parameter.shape[1:]).double()
    given = Condition(torch.tensor([0, 1, 0, 1]), torch.tensor([True, True, False, False]))
    model.loss(Noise(0, rows=4).normal(5).double(), given, noise=Noise(1, rows=4)).mean().backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert idle == []


@pytest.mark.parametrize("name", ["layers", "width", "depth"])
def test_sizes_below_one_are_refused(name: str):
    with pytest.raises(InputError, match=f"{name}: got 0, expected at least 1"):
        RealNVP(example=Points(dim=2), **{name: 0})
