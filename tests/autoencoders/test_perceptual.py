"""The distance in features: its formula, what the features learn, and that they do not learn from the distance."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from pushforward.autoencoders.perceptual import Features, turned
from pushforward.core.errors import InputError
from pushforward.core.noise import Noise


def ramps(n: int) -> Tensor:
    """Pictures that are bright above and dark below, under noise."""
    ramp = torch.linspace(1, -1, 8)[:, None].expand(8, 12)
    return ramp + 0.5 * torch.randn(n, 1, 8, 12)


def test_the_distance_is_between_directions_of_features_at_every_scale():
    torch.manual_seed(0)
    features = Features((1, 8, 12), 3).double()
    x, y = torch.rand(2, 4, 1, 8, 12).double()
    maps = zip(features.body.maps(x)[1::2], features.body.maps(y)[1::2], strict=True)
    cosines = [F.cosine_similarity(a, b, dim=1).mean((1, 2)) for a, b in maps]
    found = features.distance(x, y)
    assert torch.allclose(found, sum(2 - 2 * cosine for cosine in cosines), atol=1e-4)  # lengths are cut off at 1e-3
    assert torch.allclose(found, features.distance(y, x)) and (found > 0).all()
    assert (features.distance(x, x) == 0).all()


def test_the_features_are_constants_of_the_distance():
    features, y = Features((1, 8, 8), 3), torch.rand(2, 1, 8, 8, requires_grad=True)
    features.distance(torch.rand(2, 1, 8, 8), y).sum().backward()
    assert y.grad is not None and y.grad.abs().sum() > 0
    assert all(p.grad is None for p in features.parameters())


def test_without_classes_they_learn_which_way_is_up():
    torch.manual_seed(0)
    features = Features((1, 8, 12), 0)
    optimiser = torch.optim.Adam(features.parameters(), lr=3e-3)

    def loss(step: int, n: int) -> Tensor:
        return features.turn_loss(ramps(n), Noise(0, step, rows=n).uniform()).mean()

    assert loss(0, 64).item() == pytest.approx(math.log(4), abs=0.5)
    for step in range(40):
        optimiser.zero_grad()
        loss(step, 32).backward()
        optimiser.step()
    with torch.no_grad():
        assert loss(100, 128).item() < 0.2


def test_a_turn_is_the_quarter_of_a_uniform_number():
    x = torch.rand(4, 2, 5, 5)
    for k, (one, other) in enumerate(zip(x, turned(x, torch.arange(4)), strict=True)):
        assert torch.equal(torch.rot90(one, k, (1, 2)), other)
    features = Features((2, 5, 5), 0)
    uniform = torch.tensor([0.0, 0.26, 0.5, 0.999])
    logits = features.body(turned(x, torch.arange(4)))
    assert torch.allclose(features.turn_loss(x, uniform), -logits.log_softmax(1).diagonal(), atol=1e-6)


def test_a_label_that_is_not_known_teaches_nothing():
    features, x = Features((1, 8, 8), 3), torch.rand(4, 1, 8, 8)
    label, present = torch.tensor([2, 0, 1, 1]), torch.tensor([True, False, True, False])
    found = features.label_loss(x, label, present)
    expected = -features.body(x).log_softmax(1)[torch.arange(4), label]
    assert torch.allclose(found[present], expected[present]) and (found[~present] == 0).all()


def test_a_line_of_pixels_has_no_turns():
    with pytest.raises(InputError, match="perceptual: got pictures of 1 x 9 pixels without classes"):
        Features((1, 1, 9), 0)
    assert Features((1, 1, 9), 2).distance(torch.rand(2, 1, 1, 9), torch.rand(2, 1, 1, 9)).shape == (2,)
