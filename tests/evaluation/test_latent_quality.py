"""Smoothness, completeness and probes where they are known."""

import math

import pytest
import torch

from pushforward.core.data import Rows
from pushforward.core.errors import InputError
from pushforward.core.modality import Points
from pushforward.core.noise import Noise
from pushforward.evaluation.latent_quality import completeness, linear_probe, smoothness
from pushforward.evaluation.latents import Codes, codes_of
from tests.evaluation.codes import Mirror

NORMAL = Rows(Noise(0, rows=800).normal(2).double())


def mirror(step=0.0) -> Mirror:
    return Mirror(example=Points(dim=2), step=step)


def test_a_linear_decoder_is_smooth_and_a_jump_is_not():
    codes = codes_of(mirror(), NORMAL)
    assert smoothness(mirror(), codes, steps=16) == pytest.approx(1.0, abs=1e-4)  # codes are float32
    line = Mirror(example=Points(dim=1), step=4.0)
    once = Codes(torch.tensor([[0.0], [3.0]]), torch.zeros(2, 1), None, (), (1,))
    assert smoothness(line, once, steps=16) == pytest.approx(1 / 16)  # the border at 2 is all that is crossed
    twice = Codes(torch.tensor([[-3.0], [3.0]]), torch.zeros(2, 1), None, (), (1,))
    assert smoothness(line, twice, steps=16) == pytest.approx(2 / 16)
    assert math.isnan(smoothness(line, Codes(once.z / 3, once.x, None, (), (1,))))


def test_codes_drawn_from_the_data_are_complete_and_those_from_afar_are_holes():
    codes = codes_of(mirror(), NORMAL)
    again = Noise(9, rows=400).normal(2)
    # New draws from the distribution of the data: nearly all lie within the third neighbour of some example.
    assert completeness(mirror(), codes, NORMAL, z=again) > 0.95
    assert completeness(mirror(), codes, NORMAL) > 0.95
    assert completeness(mirror(), codes, NORMAL, z=again + 20) == 0.0
    half = torch.cat([again, again + 20])
    assert completeness(mirror(), codes, NORMAL, z=half) == pytest.approx(0.49, abs=0.02)


def test_two_clouds_have_a_hole_between_them():
    x = Noise(3, rows=800).normal(2).double() + 10 * (torch.arange(800) % 2)[:, None]
    codes = codes_of(mirror(), Rows(x))
    # A normal distribution fitted to two clouds 14 apart has much of its mass between and beyond them.
    assert completeness(mirror(), codes, Rows(x)) < 0.7


def test_a_probe_tells_what_lies_on_two_sides_of_a_plane_and_no_more():
    z, held = Noise(0, rows=400).normal(3), Noise(1, rows=400).normal(3)
    side = [(codes[:, 0] > 0).long() for codes in (z, held)]
    assert linear_probe(z, side[0], held, side[1]) > 0.95
    parity = [(codes[:, :2].prod(1) > 0).long() for codes in (z, held)]
    assert linear_probe(z, parity[0], held, parity[1]) < 0.65  # opposite quarters: chance is 0.5, error 0.025


def test_what_cannot_be_used_is_refused():
    codes = codes_of(mirror(), NORMAL)
    z = codes.z
    with pytest.raises(InputError, match="^labels: all are equal"):
        linear_probe(z, torch.zeros(800).long(), z, torch.zeros(800).long())
    with pytest.raises(InputError, match="^labels: got 3 and 800, expected 800 and 800"):
        linear_probe(z, torch.arange(3), z, torch.zeros(800).long())
    with pytest.raises(InputError, match="^codes: got 1, expected at least 2"):
        smoothness(mirror(), codes_of(mirror(), NORMAL, rows=1))
