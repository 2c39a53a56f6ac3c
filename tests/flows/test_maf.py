"""MAF against densities that are known, its inverse, and who sees whom in its Jacobian."""

import math

import pytest
import torch
from torch import Tensor

from pushforward.core.data import Condition
from pushforward.core.errors import InputError
from pushforward.core.fit_units import fit_units
from pushforward.core.modality import Image, Label, Points
from pushforward.core.noise import Noise
from pushforward.flows.maf import MAF
from pushforward.probability.targets import GaussianMixture
from tests.helpers import train

GAUSSIAN = GaussianMixture(
    torch.ones(1).double(),
    torch.tensor([[3.0, -100.0, 0.0]]).double(),
    torch.tensor([[[4.0, 5.0, 1.0], [5.0, 9.0, 0.0], [1.0, 0.0, 2.0]]]).double(),
)


def banana(noise: Noise) -> Tensor:
    """x_1 = 2 e_1 and x_2 = x_1^2 / 2 + e_2 with standard normal e: the map from e has the determinant 2."""
    e = noise.normal(2).double()
    return torch.stack((2 * e[:, 0], 2 * e[:, 0] ** 2 + e[:, 1]), dim=1)


def fitted(x: Tensor, *, steps: int, condition: Tensor | None = None) -> MAF:
    example, label = Points(dim=x.shape[1]), None if condition is None else Label(names=("left", "right"))
    torch.manual_seed(0)
    units = fit_units(example, "logit", x)
    model = MAF(example=example, condition=label, units=units, blocks=3, width=32)
    train(model, x, steps=steps, condition=condition)
    return model


def shaken(model: MAF) -> MAF:
    """In 64 bits and off the identity it starts at."""
    for seed, parameter in enumerate(model.double().parameters()):
        parameter.data += 0.2 * Noise(seed, rows=len(parameter)).normal(*parameter.shape[1:]).double()
    return model


def test_a_gaussian_in_three_dimensions_is_reached():
    model, fresh = fitted(GAUSSIAN.sample(Noise(0, rows=20_000)), steps=150), GAUSSIAN.sample(Noise(99, rows=50_000))
    gap = (model.log_prob(fresh, batch_size=10_000) - GAUSSIAN.log_density(fresh)).mean().item()
    print(f"Gaussian: mean of log p_model - log p_true: {gap:+.4f} nats")
    # Beyond 0 only by chance: the mean of a difference that varies by about 0.1 from point to point.
    assert -0.02 < gap < 0.002


def test_a_banana_is_reached():
    model, e = fitted(banana(Noise(0, rows=20_000)), steps=600), Noise(99, rows=50_000).normal(2).double()
    fresh = banana(Noise(99, rows=50_000))
    truth = -0.5 * e.square().sum(1) - math.log(2 * math.pi) - math.log(2)
    gap = (model.log_prob(fresh, batch_size=10_000) - truth).mean().item()
    print(f"banana: mean of log p_model - log p_true: {gap:+.4f} nats")
    assert -0.02 < gap < 0.005  # the best Gaussian is 1.1 nats away


@pytest.mark.parametrize("example", [Points(dim=1), Points(dim=5), Image(height=3, width=2, channels=2, levels=16)])
@pytest.mark.parametrize("conditional", [False, True])
def test_the_inverse_and_the_determinant_are_exact(example: Points | Image, conditional: bool):
    model = shaken(MAF(example=example, condition=Label(names=(0, 1)) if conditional else None, blocks=2, width=16))
    given = Condition(torch.tensor([0, 1, 1]), torch.tensor([True, True, False])) if conditional else None
    x = Noise(1, rows=3).normal(*example.shape).double()
    z = model.infer(x, given)
    assert torch.allclose(model.generate(z, given), x, rtol=0, atol=1e-10)  # in 64 bits: rounding, amplified
    if not conditional:
        jacobian = torch.autograd.functional.jacobian(lambda v: model.infer(v, None).flatten(), x[:1])
        volume = torch.linalg.slogdet(jacobian.view(z[0].numel(), -1)).logabsdet
        score = -0.5 * z[0].square().sum() - 0.5 * z[0].numel() * math.log(2 * math.pi) + volume
        assert model.log_likelihood(x[:1], None, noise=Noise(0, rows=1)).item() == pytest.approx(score.item(), abs=1e-9)


def test_jacobians_are_triangular_in_alternating_order():
    model, x = shaken(MAF(example=Points(dim=4), blocks=2, width=32)), Noise(1, rows=1).normal(4).double()
    lower = torch.ones(4, 4).tril().bool()
    for block, sees in zip(list(model.flow.links)[1:], (lower, lower.T), strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda v, f=block: f(v)[0][0], x)[:, 0]
        assert torch.equal(jacobian != 0, sees)  # no entry too many, and none that is blind


def test_classes_have_their_own_densities():
    c = torch.arange(4000) % 2
    x = GAUSSIAN.sample(Noise(0, rows=4000)) + 20.0 * c[:, None]
    model = fitted(x, steps=150, condition=c)
    for code, mean in ((0, 3.0), (1, 23.0)):
        drawn = model.sample(2000, condition=code, seed=0)
        assert drawn[:, 0].mean().item() == pytest.approx(mean, abs=0.5)  # a quarter of the standard deviation
        right, wrong = (model.log_prob(x[c == code], condition=k).mean() for k in (code, 1 - code))
        assert right > wrong + 10  # ten standard deviations apart


def test_an_absent_condition_is_the_null_whatever_its_value():
    model = shaken(MAF(example=Points(dim=1), condition=Label(names=(0, 1)), blocks=1, width=8))
    x, values = torch.zeros(3, 1).double(), torch.tensor([0, 1, 1])
    score = model.log_likelihood(x, Condition(values, torch.tensor([False, False, True])), noise=Noise(0, rows=3))
    assert score[0] == score[1] == model.log_likelihood(x[:1], None, noise=Noise(0, rows=1))
    assert score[1] != score[2]


@pytest.mark.parametrize("name", ["blocks", "width", "depth"])
def test_sizes_below_one_are_refused(name: str):
    with pytest.raises(InputError, match=f"{name}: got 0, expected at least 1"):
        MAF(example=Points(dim=2), **{name: 0})
