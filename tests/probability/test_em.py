"""Expectation and maximisation, by hand and by what every pass must do."""

import math

import pytest
import torch

from pushforward.core.noise import Noise
from pushforward.probability.em import (
    Examples,
    Parts,
    average_variance,
    expect,
    log_joint,
    log_likelihood,
    maximise,
    start,
)
from pushforward.probability.targets import GaussianMixture

TWO = GaussianMixture.of(weights=[0.25, 0.75], means=[[-5.0, 0.0], [5.0, 1.0]], stds=[1.0, 0.5])


def unlabelled(x: torch.Tensor) -> Examples:
    return Examples(x, torch.zeros(len(x), dtype=torch.int64))


def begin(examples: Examples, components: int, *, full: bool = True, pseudo: float = 0.1, classes: int = 0) -> Parts:
    noise = Noise(0, rows=len(examples.x))
    return start(examples, components, classes=classes, full=full, pseudo=pseudo, noise=noise)


@pytest.mark.parametrize("full", [True, False])
def test_the_joint_density_is_that_of_the_oracle(full: bool):
    stds = torch.tensor([[1.0, 1.0], [0.5, 0.5]]).double()
    parts = Parts(TWO.weights.log()[None], TWO.means, torch.diag_embed(stds) if full else stds)
    x = TWO.sample(Noise(0, rows=3000))
    assert torch.allclose(log_joint(unlabelled(x), parts).logsumexp(1), TWO.log_density(x), atol=1e-9)
    # More rows than are handled at a time.
    assert torch.allclose(log_likelihood(unlabelled(x), parts), TWO.log_density(x), atol=1e-9)


@pytest.mark.parametrize("full", [True, False])
def test_components_far_apart_get_the_moments_of_their_examples(full: bool):
    x = TWO.sample(Noise(0, rows=2000))
    parts = begin(unlabelled(x), 2, full=full)
    for _ in range(5):
        parts = maximise(expect(unlabelled(x), parts), pseudo=0.0, variance=1.0)
    for left in (True, False):
        own = x[(x[:, 0] < 0) == left]
        k = int((parts.means[0, 0] < 0) != left)
        assert torch.allclose(parts.means[k], own.mean(0), atol=1e-6)
        assert parts.log_weights[0, k].exp().item() == pytest.approx(len(own) / 2000, abs=1e-6)
        known = torch.cov(own.T, correction=0)
        found = parts.scales[k] @ parts.scales[k].T if full else parts.scales[k].square().diag()
        assert torch.allclose(found, known if full else known.diagonal().diag(), atol=1e-5)


@pytest.mark.parametrize("full", [True, False])
def test_no_pass_loses_likelihood(full: bool):
    x = GaussianMixture.of(weights=[0.3, 0.3, 0.4], means=[[0.0], [1.0], [2.0]], stds=[0.4, 0.6, 0.5]).sample(
        Noise(0, rows=500)
    )
    examples = unlabelled(x)
    parts, reached = begin(examples, 3, full=full), []
    for _ in range(50):
        shares = expect(examples, parts)
        reached.append(shares.log_likelihood)
        parts = maximise(shares, pseudo=0.0, variance=1.0)
    gains = torch.tensor(reached).diff()
    assert gains.min() > -1e-12 and gains.sum() > 1e-3


def test_pseudo_examples_keep_a_component_from_collapsing():
    x = torch.zeros(50, 2, dtype=torch.float64)
    x[25:] = 1.0
    for full in (True, False):
        parts = begin(unlabelled(x), 2, full=full, pseudo=0.1)
        scale = parts.scales[0] if not full else parts.scales[0].diagonal()
        # No scatter of its own: (0 + a v) / (n_k + a) with a = 0.1, v = 1/4 and n_k = 25.
        assert torch.allclose(scale**2, torch.tensor(0.1 * 0.25 / 25.1).double())


@pytest.mark.parametrize("same", [True, False])
def test_more_components_than_different_examples(same: bool):
    x = torch.ones(8, 2, dtype=torch.float64) if same else torch.arange(3.0).double().repeat(4)[:, None].repeat(1, 2)
    parts = begin(unlabelled(x), 6)
    for _ in range(20):
        parts = maximise(expect(unlabelled(x), parts), pseudo=0.1, variance=average_variance(x))
    assert log_likelihood(unlabelled(x), parts).isfinite().all()


def test_classes_differ_in_weights_alone():
    x = TWO.sample(Noise(0, rows=3000))
    rows = torch.where(x[:, 0] < 0, 1, 2)  # class 0 on the left, class 1 on the right, class 2 never
    examples = Examples(x, rows)
    parts = begin(examples, 2, classes=3)
    left = int(parts.means[1, 0] < 0)
    weights, n = parts.log_weights.exp(), rows.bincount(minlength=4)
    share = n[1].item() / 3000
    assert weights[0, left].item() == pytest.approx(share, abs=1e-6)
    assert weights[1, left].item() == pytest.approx((n[1].item() + share) / (n[1].item() + 1), abs=1e-6)
    assert weights[2, left].item() == pytest.approx(share / (n[2].item() + 1), abs=1e-6)
    assert torch.allclose(weights[3], weights[0])
    assert torch.allclose(weights.sum(1), torch.ones(4).double())


def test_a_start_takes_every_mode_of_a_ring():
    angles = torch.arange(8) * (2 * math.pi / 8)
    ring = GaussianMixture.of(
        weights=[1 / 8] * 8, means=torch.stack((angles.cos(), angles.sin()), 1).mul(5).tolist(), stds=[0.2] * 8
    )
    x = ring.sample(Noise(0, rows=2000))
    centres = begin(unlabelled(x), 8).means
    nearest = torch.cdist(ring.means, centres).amin(1)
    assert (nearest < 0.2).all()
