"""A model under test, and the world around it."""

import random

import numpy as np
import torch

from pushforward.conformance.subject import Subject, left_alone, nudged, seeded
from pushforward.core.modality import Points
from pushforward.flows.realnvp import RealNVP
from pushforward.zoo import create
from tests.small_data import small


def test_the_subject_is_a_copy_and_its_examples_are_those_of_the_data():
    data = small("points")
    model = create("gaussian", data)
    subject = Subject(model, data, 0)
    assert subject.model is not model and subject.model.means.data_ptr() != model.means.data_ptr()
    assert torch.equal(subject.x, data.test.spread(24).x) and not subject.drawn
    assert Subject(model, None, 0).drawn and len(Subject(model, None, 0).x) == 24


def test_conditions_take_turns_and_some_are_absent():
    given = Subject(create("gaussian", small("points")), None, 0).condition(6)
    assert given.value.tolist() == [0, 1, 0, 1, 0, 1] and given.present.tolist() == [False, True, True] * 2


def test_nudging_moves_every_parameter_of_a_copy():
    model = RealNVP(example=Points(dim=3), width=8, layers=2)
    before = [parameter.clone() for parameter in model.parameters()]
    moved = nudged(model, 0)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(not torch.equal(a, b) for a, b in zip(before, moved.parameters(), strict=True))


def test_random_states_are_put_back():
    seeded(3)
    expected = torch.rand(1), np.random.rand(), random.random()
    seeded(3)
    with left_alone():
        seeded(4)
    assert (torch.rand(1), np.random.rand(), random.random()) == expected
