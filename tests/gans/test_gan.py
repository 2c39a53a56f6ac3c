"""GAN: its losses in closed form, and the modes it must cover."""

import math

import pytest
import torch
from torch import nn

import pushforward as pf
from pushforward.core.modality import Points
from pushforward.core.noise import Noise
from pushforward.datasets.toys import TOYS
from pushforward.gans.gan import GAN


def linear_gan(**fields) -> GAN:
    """A GAN whose critic is D(x) = a . x + b."""
    gan = GAN(example=Points(dim=2), width=8, **fields).double()
    gan.critic = nn.Linear(2, 1).double()
    gan.critic.forward = lambda x, c=None, layer=gan.critic: nn.functional.linear(x, layer.weight, layer.bias)
    return gan


def test_losses_of_a_linear_critic_are_the_formulas():
    gan = linear_gan(gamma=0.5, gamma_end=0.5)
    x = torch.randn(7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    terms = gan.critic_terms(x, None, noise=Noise(0, rows=7))
    fake = gan.draw(7, None, noise=Noise(0, rows=7), sampler=None)
    a, b = gan.critic.weight[0], gan.critic.bias
    real_odds, fake_odds = x @ a + b, fake @ a + b
    assert torch.allclose(terms["real"], torch.log1p(torch.exp(-real_odds)))
    assert torch.allclose(terms["fake"], torch.log1p(torch.exp(fake_odds)))
    # The gradient of a . x + b is a everywhere.
    assert torch.allclose(terms["r1"], (0.25 * a.square().sum()).expand(7))
    generator = gan.terms(x, None, noise=Noise(0, rows=7))["generator"]
    assert torch.allclose(generator, torch.log1p(torch.exp(-fake_odds)))


def test_penalty_falls_geometrically_with_progress():
    gan = linear_gan(gamma=1.0, gamma_end=0.01)
    x = torch.zeros(1, 2, dtype=torch.float64)
    sizes = []
    for gan.progress in (0.0, 0.5, 1.0):
        sizes.append(gan.critic_terms(x, None, noise=Noise(0, rows=1))["r1"].item())
    assert sizes[1] / sizes[0] == pytest.approx(0.1) and sizes[2] / sizes[0] == pytest.approx(0.01)


def test_spectral_normalisation_bounds_the_slope_of_the_critic():
    gan = GAN(example=Points(dim=2), regularize="spectral", width=32)
    x = torch.randn(256, 2, generator=torch.Generator().manual_seed(0)) * 3
    for _ in range(30):  # each pass in training mode improves the estimates of the largest singular values
        gan.critic_terms(x, None, noise=Noise(0, rows=256))
    gan.eval()
    x.requires_grad_(True)
    (slope,) = torch.autograd.grad(gan.critic(x).sum(), x)
    # Every layer and every leaky rectifier is 1-Lipschitz, so their composition is; 2 % for the power iteration.
    assert slope.norm(dim=1).max() <= 1.02


def test_generator_and_critic_share_no_parameter_and_leave_none_out():
    gan = GAN(example=Points(dim=2), width=8)
    critic, generator = (set(map(id, phase.parameters)) for phase in gan.stages()[0].phases)
    assert not critic & generator
    assert critic | generator == set(map(id, gan.parameters()))


def covered(x: torch.Tensor, modes: torch.Tensor, std: float) -> tuple[int, float]:
    """Modes that get at least a fifth of their share of the samples, and the share within 3 standard deviations."""
    distance, nearest = torch.cdist(x, modes).min(1)
    close = distance <= 3 * std
    counts = torch.bincount(nearest[close], minlength=len(modes))
    return int((counts >= 0.2 * len(x) / len(modes)).sum()), float(close.double().mean())


def fit_and_cover(name: str, steps: int, seed: int, folder) -> tuple[int, float]:
    settings = pf.Settings(steps=steps, batch_size=256, seed=seed, threads=1)
    run = pf.fit("gan", name, settings=settings, out=folder / f"{name}-{seed}", show=False)
    toy = TOYS[name]
    return covered(run.model.sample(10_000, seed=1), torch.as_tensor(toy.modes).double(), toy.std)


def test_a_short_fit_finds_every_mode_of_the_ring(tmp_path):
    # 600 steps find the modes; the share of good samples comes with the full length (below).
    modes, share = fit_and_cover("8gaussians", 600, 0, tmp_path)
    assert modes == 8 and share > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("name", "steps", "least"), [("8gaussians", 4000, 8), ("25grid", 15_000, 24)])
def test_modes_are_covered_on_every_seed(name, steps, least, seed, tmp_path):
    modes, share = fit_and_cover(name, steps, seed, tmp_path)
    print(f"gan {name} seed {seed}: {modes} modes covered, {100 * share:.1f} % within 3 standard deviations")
    assert modes >= least
    assert share >= 0.9


def test_log_ratio_of_two_gaussians():
    """With the generator held at N(0, 1), the critic comes to log N(x; 1, 1) - log N(x; 0, 1) = x - 1/2."""
    gan = linear_gan(regularize="none")
    gan._generate = lambda n, condition, noise: noise.normal(2, like=gan.critic.weight)
    optimizer = torch.optim.Adam(gan.critic.parameters(), lr=0.05)
    for step in range(400):
        noise = Noise(1, step, rows=512)
        x = noise.normal(2, like=gan.critic.weight) + torch.tensor([1.0, 0.0], dtype=torch.float64)
        loss = sum(term.mean() for term in gan.critic_terms(x, None, noise=noise).values())
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - step / 400)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    # The last hundred steps see 50,000 pairs: a logistic regression on them has standard errors of about 0.01.
    assert torch.allclose(gan.critic.weight[0], torch.tensor([1.0, 0.0]).double(), atol=0.06)
    assert gan.critic.bias.item() == pytest.approx(-0.5, abs=0.06)
    assert math.isfinite(loss.item())
