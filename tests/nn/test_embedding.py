import math

import pytest
import torch

from pushforward.nn.embedding import LearnedPositions, rotary, rotate, sinusoidal


def test_sines_and_cosines_are_at_geometric_frequencies():
    t = 0.3
    features = sinusoidal(torch.tensor([t], dtype=torch.float64), 6, max_frequency=100.0)[0]
    frequencies = [1.0, 10.0, 100.0]
    expected = [math.cos(w * t) for w in frequencies] + [math.sin(w * t) for w in frequencies]
    assert features.tolist() == pytest.approx(expected, abs=1e-12)


def test_a_thousand_times_are_told_apart():
    features = sinusoidal(torch.arange(1001, dtype=torch.float64) / 1000, 64)
    gaps = torch.cdist(features, features) + 10 * torch.eye(1001)
    # The fastest pair moves one radian per step: neighbours are at least the chord of that apart, 2 sin(1/2) = 0.96.
    assert gaps.min() > 0.95


@pytest.mark.parametrize("dim", [1, 2, 7])
def test_any_length_will_do(dim: int):
    assert sinusoidal(torch.rand(4), dim).shape == (4, dim)


def test_rotations_are_products_of_complex_numbers():
    x, positions = torch.randn(2, 5, 6, dtype=torch.float64), torch.tensor([0, 1, 2, 7, 300])
    frequencies = 10_000.0 ** (-2 * torch.arange(3) / 6)
    turns = torch.polar(torch.ones(5, 3, dtype=torch.float64), (positions[:, None] * frequencies).double())
    expected = torch.complex(x[..., :3], x[..., 3:]) * turns
    rotated = rotate(x, rotary(positions, 6, dtype=torch.float64))
    # The frequencies above are float32, as are 300 times their rounding errors.
    assert torch.allclose(rotated, torch.cat((expected.real, expected.imag), dim=-1), atol=1e-4)


def test_inner_products_depend_on_distances_only():
    q, k = torch.randn(8, dtype=torch.float64), torch.randn(8, dtype=torch.float64)

    def product(i: int, j: int) -> float:
        tables = rotary(torch.tensor([i, j]), 8, dtype=torch.float64)
        turned = rotate(torch.stack((q, k)), tables)
        return float(turned[0] @ turned[1])

    assert product(3, 1) == pytest.approx(product(103, 101), abs=1e-10)
    assert abs(product(3, 1) - product(3, 2)) > 1e-3  # but on distances they do depend


def test_rotations_keep_lengths():
    x = torch.randn(4, 9, 10, dtype=torch.float64)
    turned = rotate(x, rotary(torch.arange(9), 10, dtype=torch.float64))
    assert torch.allclose(turned.norm(dim=-1), x.norm(dim=-1), rtol=1e-12)


def test_learned_positions_are_looked_up_from_the_start():
    positions = LearnedPositions(6, 3)
    whole = positions(torch.zeros(1, 6, 3))
    assert torch.equal(positions(torch.zeros(1, 2, 3), start=4), whole[:, 4:])
    assert torch.equal(whole[0], positions.table)
