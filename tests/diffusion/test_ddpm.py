"""DDPM: its bound against closed forms, against the KL divergences it sums, and beside the best network there is."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from pushforward.core.data import Condition
from pushforward.core.errors import InputError
from pushforward.core.fit_units import fit_units
from pushforward.core.modality import Image, Label, Points
from pushforward.core.noise import Noise
from pushforward.diffusion.ddpm import DDPM
from pushforward.diffusion.samplers import DiffusionSampler
from pushforward.diffusion.schedules import alpha, sigma
from pushforward.probability.targets import GaussianMixture
from tests.diffusion.exact import with_exact_network
from tests.helpers import train

ONE = GaussianMixture.of(weights=[0.3, 0.7], means=[[-1.0], [0.8]], stds=[0.2, 0.5])
SCHEDULES = ["log-snr", "cosine", "linear"]
VARIANCES = ["forward", "posterior"]


def disturbed(model: DDPM, scale: float = 0.2) -> DDPM:
    """In float64, away from the initial weights, under which the network is zero."""
    model = model.double()
    for seed, parameter in enumerate(model.parameters()):
        parameter.data += scale * Noise(seed, rows=len(parameter)).normal(*parameter.shape[1:]).double()
    return model.eval()


def gap(model: DDPM, target: GaussianMixture, *, rows: int = 4000, samples: int = 8) -> tuple[float, float]:
    """Mean of exact log-density minus bound on the same fresh points, and its standard error."""
    x = target.sample(Noise(99, rows=rows))
    apart = target.log_density(x) - model.log_prob(x, samples=samples, batch_size=rows)
    return apart.mean().item(), (apart.std() / math.sqrt(rows)).item()


# -- the bound ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("steps", [2, 7, 256])
def test_the_bound_of_a_standard_normal_is_exact(schedule: str, steps: int):
    """With v_hat = 0 and the forward variance the chain is that of N(0, I), for every x and without scatter."""
    model = DDPM(example=Points(dim=3), schedule=schedule, steps=steps, width=8).double()
    x = 2 * Noise(0, rows=20).normal(3).double()
    known = Normal(0.0, 1.0).log_prob(x).sum(1)
    # The weights are kept in float32.
    assert torch.allclose(model.log_likelihood(x, None, noise=Noise(1, rows=20)), known, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("variance", VARIANCES)
def test_the_bound_is_the_sum_of_its_divergences(schedule: str, variance: str):
    """Prior, every KL and the reconstruction, taken from torch's Gaussians instead of from weights."""
    model = disturbed(DDPM(example=Points(dim=2), schedule=schedule, variance=variance, steps=6, width=8))
    n = 40_000
    x = torch.tensor([[0.7, -1.2]]).double().expand(n, 2)
    a, s = alpha(model.gamma), sigma(model.gamma)
    total = kl_divergence(Normal(a[-1] * x, s[-1]), Normal(torch.zeros_like(x), 1.0)).sum(1)
    for t in range(6):
        z = a[t] * x + s[t] * Noise(t, rows=n).normal(2).double()
        with torch.no_grad():
            guess = a[t] * z - s[t] * model._velocity(z, model.gamma[t].expand(n), None)
        if t == 0:
            total = total - Normal(guess, s[0]).log_prob(x).sum(1)
            continue
        step, before = a[t] / a[t - 1], s[t - 1]
        added = s[t] ** 2 - (step * before) ** 2
        posterior = added * before**2 / s[t] ** 2

        def mean(of: Tensor, z: Tensor = z, t: int = t, added: Tensor = added) -> Tensor:
            return (a[t] / a[t - 1] * s[t - 1] ** 2 * z + a[t - 1] * added * of) / s[t] ** 2  # Ho et al. 2020, eq. 7

        width = (added if variance == "forward" else posterior).sqrt()
        total = total + kl_divergence(Normal(mean(x), posterior.sqrt()), Normal(mean(guess), width)).sum(1)
    with torch.no_grad():
        found = -model.log_likelihood(x, None, noise=Noise(50, rows=n))
    error = math.hypot(total.std().item(), found.std().item()) / math.sqrt(n)
    assert found.mean().item() == pytest.approx(total.mean().item(), abs=4 * error)
    assert error < 0.02 * total.mean().item(), "too scattered to tell"


def test_the_loss_is_minus_the_bound_in_expectation():
    model = disturbed(DDPM(example=Points(dim=2), width=8))
    n = 40_000
    x = Noise(0, rows=n).normal(2).double()
    with torch.no_grad():
        terms = model.terms(x, None, noise=Noise(1, rows=n))
        loss, score = model.loss(x, noise=Noise(1, rows=n)), model.log_likelihood(x, None, noise=Noise(2, rows=n))
    assert set(terms) == {"prior", "diffusion", "reconstruction"}
    assert torch.allclose(torch.stack(list(terms.values())).sum(0), loss)
    error = math.hypot(loss.std().item(), score.std().item()) / math.sqrt(n)
    assert (loss + score).mean().item() == pytest.approx(0, abs=4 * error)


def test_the_simple_loss_is_the_error_of_the_noise():
    model = disturbed(DDPM(example=Points(dim=2), width=8, steps=10, weighting="simple"))
    n = 20_000
    x = Noise(0, rows=n).normal(2).double()
    errors = torch.zeros(n).double()
    with torch.no_grad():
        for t in range(10):
            a, s, eps = alpha(model.gamma[t]), sigma(model.gamma[t]), Noise(t + 1, rows=n).normal(2).double()
            z = a * x + s * eps
            guess = s * z + a * model._velocity(z, model.gamma[t].expand(n), None)
            errors += (eps - guess).square().sum(1) / 10
        terms = model.terms(x, None, noise=Noise(30, rows=n))
    found = terms["diffusion"] + terms["reconstruction"]
    error = math.hypot(errors.std().item(), found.std().item()) / math.sqrt(n)
    assert found.mean().item() == pytest.approx(errors.mean().item(), abs=4 * error)


def test_the_weighting_of_the_loss_does_not_touch_the_score():
    models = [disturbed(DDPM(example=Points(dim=2), width=8, weighting=w)) for w in ("elbo", "simple")]
    models[1].load_state_dict(models[0].state_dict())
    x = Noise(0, rows=10).normal(2).double()
    assert torch.equal(models[0].log_prob(x), models[1].log_prob(x))


@pytest.mark.parametrize(("variance", "few", "many"), [("forward", 16, 64), ("posterior", 64, 256)])
def test_the_gap_of_the_best_network_falls_as_one_over_the_steps(variance: str, few: int, many: int):
    gaps = []
    for steps in (few, many):
        model = DDPM(example=Points(dim=1), steps=steps, variance=variance, width=8)
        found, error = gap(with_exact_network(model, ONE), ONE)
        print(f"{variance}, T = {steps}: exact denoiser {found:.4f} +- {error:.4f} nats below the exact log-likelihood")
        assert found > 4 * error
        gaps.append(found)
    # The smaller gap is known to a fifth, which is 0.15 of the order.
    assert math.log(gaps[0] / gaps[1]) / math.log(many / few) == pytest.approx(1, abs=0.2)


def test_a_trained_bound_is_below_and_near_the_exact_log_likelihood():
    """T = 256, log-snr, forward variance: all of them the defaults."""
    x, example = ONE.sample(Noise(0, rows=20_000)), Points(dim=1)
    torch.manual_seed(0)
    model = DDPM(example=example, units=fit_units(example, "real", x))
    best = with_exact_network(DDPM(example=example), ONE)
    train(model, x, steps=300)
    (found, error), (least, _) = gap(model, ONE), gap(best, ONE)
    print(f"gap to the exact log-likelihood: trained {found:.4f} +- {error:.4f}, exact denoiser {least:.4f} nats")
    assert 0 < found < 0.1
    assert found > 3 * error, "too scattered to tell"


def test_log_density_is_in_data_units():
    scores = []
    for scale in (1.0, 1000.0):
        x, example = scale * ONE.sample(Noise(0, rows=200)), Points(dim=1)
        model = DDPM(example=example, units=fit_units(example, "real", x), width=8).double()
        scores.append(model.log_prob(x))
    assert torch.allclose(scores[0] - scores[1], torch.full((200,), math.log(1000)).double(), atol=1e-6)


# -- samples and conditions -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def classes() -> DDPM:
    """Two classes, three standard deviations left and right, learned with a fifth of the conditions hidden."""
    c = torch.arange(2000) % 2
    x = torch.stack((6.0 * c - 3.0, 0.0 * c), dim=1).double() + Noise(0, rows=2000).normal(2)
    example = Points(dim=2)
    torch.manual_seed(0)
    model = DDPM(
        example=example,
        condition=Label(names=("left", "right")),
        units=fit_units(example, "real", x),
        width=64,
        steps=64,
    )
    return train(model, x, steps=200, condition=c)


def test_classes_are_learned(classes: DDPM):
    for code, mean in ((0, -3.0), (1, 3.0)):
        drawn = classes.sample(1000, condition=code, seed=0)
        assert drawn[:, 0].mean().item() == pytest.approx(mean, abs=0.4)  # of a standard deviation of 1


def test_guidance_of_one_changes_no_bit(classes: DDPM):
    plain = classes.sample(20, condition=1, seed=0)
    assert torch.equal(classes.sample(20, condition=1, seed=0, sampler=DiffusionSampler(guidance=1.0)), plain)


def test_guidance_of_zero_ignores_the_condition(classes: DDPM):
    ignored = classes.sample(20, condition=1, seed=0, sampler=DiffusionSampler(guidance=0.0))
    assert torch.allclose(ignored, classes.sample(20, seed=0), atol=1e-4)  # v - v is not quite 0 in float32


def test_guidance_mixes_the_predictions(classes: DDPM):
    """One step from the noisiest level to x, which is linear in v."""
    one = DiffusionSampler(method="ddim", steps=1)
    with_condition, without = (
        classes.sample(20, condition=1, seed=0, sampler=one),
        classes.sample(20, seed=0, sampler=one),
    )
    guided = classes.sample(20, condition=1, seed=0, sampler=DiffusionSampler(method="ddim", steps=1, guidance=3.0))
    assert torch.allclose(guided, without + 3 * (with_condition - without), atol=1e-4)
    assert not torch.allclose(guided, with_condition, atol=0.1)


def test_guidance_without_a_condition_is_refused(classes: DDPM):
    sampler = DiffusionSampler(guidance=2.0)
    with pytest.raises(InputError, match="guidance: got 2.0 for samples without condition"):
        classes.sample(3, seed=0, sampler=sampler)
    with pytest.raises(InputError, match="guidance: got 2.0 for samples without condition"):
        DDPM(example=Points(dim=2), width=8, steps=5).sample(3, seed=0, sampler=sampler)


def test_the_path_ends_in_the_sample():
    model = disturbed(DDPM(example=Points(dim=2), width=8, steps=9))
    for sampler, states in ((None, 10), (DiffusionSampler(method="ddim", steps=4), 5)):
        path = model.path(6, seed=3, sampler=sampler)
        assert path.shape == (states, 6, 2)
        assert torch.equal(path[-1], model.sample(6, seed=3, sampler=sampler))


def test_more_steps_than_the_model_has_are_refused():
    model = DDPM(example=Points(dim=2), width=8, steps=9)
    with pytest.raises(InputError, match="steps: got 10, this model has 9"):
        model.sample(2, seed=0, sampler=DiffusionSampler(steps=10))
    assert model.preview.steps == 9


@pytest.mark.parametrize("size", [(8, 8, 1), (7, 5, 3), (1, 4, 1), (1, 1, 2)])
def test_images_of_any_size(size: tuple[int, int, int]):
    height, width, channels = size
    example = Image(height=height, width=width, channels=channels, levels=16)
    model = DDPM(example=example, width=64, steps=4)
    x = model.sample(3, seed=0)
    assert x.shape == (3, channels, height, width) and x.dtype == torch.uint8
    assert torch.isfinite(model.log_prob(x)).all()
    assert model.density().kind == "bound" and model.density().measure == "mass"


def test_every_parameter_receives_a_gradient():
    model = disturbed(DDPM(example=Points(dim=3), condition=Label(names=(0, 1)), width=16))
    n = 64
    present = torch.arange(n) % 3 != 0
    given = Condition(torch.arange(n) % 2, present)
    model.loss(Noise(0, rows=n).normal(3).double(), given, noise=Noise(1, rows=n)).mean().backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert idle == []


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"steps": 1}, InputError, "steps: got 1, expected at least 2"),
        ({"width": 0}, InputError, "width: got 0, expected at least 1"),
        ({"depth": 0}, InputError, "depth: got 0, expected at least 1"),
        ({"schedule": "none"}, ValueError, "schedule: got 'none'"),
        ({"variance": "none"}, ValueError, "variance: got 'none'"),
    ],
)
def test_fields_out_of_range_are_refused(fields: dict, error: type, message: str):
    with pytest.raises(error, match=message):
        DDPM(example=Points(dim=2), **fields)
