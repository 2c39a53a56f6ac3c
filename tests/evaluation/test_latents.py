"""Walking through the latent space of models whose codes are known."""

import math

import pytest
import torch

from pushforward.autoencoders.vae import VAE
from pushforward.core.data import Rows
from pushforward.core.errors import InputError
from pushforward.core.modality import Label, Points
from pushforward.core.noise import Noise
from pushforward.evaluation.latents import (
    Codes,
    codes_of,
    decoded,
    interpolate,
    moved,
    nearest_codes,
    traverse,
    unit_range,
)
from pushforward.flows.realnvp import RealNVP
from tests.evaluation.codes import Echo, Mirror
from tests.small_data import digits, points

PLANE = Points(dim=2)


def test_codes_come_with_their_examples_and_classes():
    data = digits()
    model = Mirror(example=data.example)
    codes = codes_of(model, data.valid, rows=50, condition=data.condition)
    assert codes.z.shape == (50, 64) and codes.shape == (1, 8, 8)
    assert torch.equal(codes.labels, data.valid.spread(50).condition.value)
    assert codes.names == tuple(range(10))
    assert torch.equal(decoded(model, codes.z, codes.shape), codes.x)  # an image is its own code


def test_many_codes_are_encoded_and_decoded_in_parts():
    x = Noise(0, rows=600).normal(2).double()
    model = Mirror(example=PLANE)
    codes = codes_of(model, Rows(x), rows=600)
    assert torch.allclose(codes.z.double(), x, atol=1e-6)
    assert torch.allclose(decoded(model, codes.z, codes.shape), x, atol=1e-6)


def test_a_traversal_moves_one_unit():
    path = traverse(torch.tensor([1.0, 2.0, 3.0]), 1, [-1.0, 0.0, 1.0])
    assert torch.equal(path[:, 1], torch.tensor([-1.0, 0.0, 1.0]))
    assert (path[:, 0] == 1).all() and (path[:, 2] == 3).all()
    with pytest.raises(InputError, match="^unit: got 3, expected a whole number from 0 to 2"):
        traverse(torch.zeros(3), 3, [0.0])


def test_the_range_of_a_unit_is_that_of_the_prior_or_of_the_codes():
    z = torch.stack([torch.linspace(1, 3, 101), torch.linspace(-12, 12, 101)], 1)
    codes = Codes(z, torch.zeros(101, 2), None, (), (2,))
    assert unit_range(Mirror(example=PLANE), codes, 0) == pytest.approx((1.02, 2.98))  # the 1st and 99th percentile
    assert unit_range(Echo(example=PLANE, gain=(1.0, 1.0)), codes, 1) == (-3.0, 3.0)


@pytest.mark.parametrize("condition", [None, Label(names=("a", "b"))])
def test_a_unit_is_moved_as_far_as_codes_go_where_the_prior_is_not_the_standard_normal(condition):
    z = torch.linspace(-12, 12, 101)[:, None].expand(-1, 2)
    codes = Codes(z, torch.zeros(101, 2), None, (), (2,))
    torch.manual_seed(0)
    fields = {"example": PLANE, "condition": condition, "latent_dim": 2, "width": 4}
    learned = VAE(**fields, prior="mixture", prior_components=3)
    flow = RealNVP(example=PLANE, condition=condition, width=4)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    for model in (learned, VAE(**fields, prior="flow", flow=flow)):
        assert unit_range(model, codes, 0) == pytest.approx((-11.76, 11.76), abs=1e-5)
    assert unit_range(VAE(**fields), codes, 0) == (-3.0, 3.0)


def test_on_a_great_circle_the_length_is_kept():
    a, b = Noise(0, rows=2).normal(100).double()
    b = b * a.norm() / b.norm()
    path = interpolate(a, b, 9, "spherical")
    assert torch.allclose(path.norm(dim=1), a.norm().expand(9), rtol=1e-12)
    turns = torch.nn.functional.cosine_similarity(path[1:], path[:-1]).arccos()
    assert torch.allclose(turns, turns[0].expand(8), rtol=1e-6)  # at an even speed
    straight = interpolate(a, b, 9)
    assert straight[4].norm() < 0.8 * a.norm()  # the middle of the straight line is inside
    for one in (path, straight):
        assert torch.allclose(one[[0, -1]], torch.stack([a, b]), rtol=1e-12)


@pytest.mark.parametrize("b", [[2.0, 0.0], [-1.0, 0.0], [0.0, 0.0]])
def test_where_there_is_no_circle_the_line_is_taken(b):
    a, b = torch.tensor([1.0, 0.0]), torch.tensor(b)
    assert torch.allclose(interpolate(a, b, 5, "spherical"), interpolate(a, b, 5))


def test_moving_between_groups_adds_the_difference_of_their_means():
    data = points()
    model = Mirror(example=data.example)
    codes = codes_of(model, data.train, condition=data.condition)
    shift = codes.mean_of("b") - codes.mean_of("a")
    assert shift.tolist() == pytest.approx([3.0, -1.0], abs=0.25)  # as the data were made; 2 standard errors of 0.12
    z = codes.z[:4]
    assert torch.allclose(moved(z, codes, start="a", to="b"), z + shift)
    assert torch.equal(codes.mean_of("a"), codes.mean_of(0))
    with pytest.raises(InputError, match="^group: there are no examples of 'c', expected one of a, b"):
        codes.mean_of("c")


def test_without_classes_there_are_no_groups():
    codes = codes_of(Mirror(example=PLANE), Rows(torch.zeros(3, 2).double()))
    assert codes.labels is None
    with pytest.raises(InputError, match="none, as the data has no classes"):
        codes.mean_of(0)


def test_the_nearest_code_of_a_code_is_itself():
    codes = codes_of(Mirror(example=PLANE), points().valid)
    found = nearest_codes(codes.z[:5], codes, k=2)
    assert found.indices[:, 0].tolist() == list(range(5)) and (found.distances[:, 0] == 0).all()


def test_a_conditional_model_encodes_with_its_conditions():
    label = Label(names=("a", "b"))
    seen = []

    class Heard(Echo):
        def infer(self, x, condition):
            seen.append(condition.value.tolist())
            return x

    data = Rows(torch.zeros(3, 1).double(), torch.tensor([1, 0, 1]))
    codes = codes_of(Heard(example=Points(dim=1), condition=label), data)
    assert seen == [[1, 0, 1]] and codes.names == ("a", "b")


def test_what_cannot_be_used_is_refused():
    with pytest.raises(InputError, match="^split: it is empty"):
        codes_of(Mirror(example=PLANE), Rows(torch.zeros(0, 2)))
    with pytest.raises(InputError, match="^how: got 'curved', expected linear or spherical"):
        interpolate(torch.zeros(2), torch.ones(2), 3, "curved")
    with pytest.raises(InputError, match="^steps: got 0"):
        interpolate(torch.zeros(2), torch.ones(2), 0)
    assert math.isclose(float(interpolate(torch.zeros(2), torch.ones(2), 1).sum()), 0.0)
