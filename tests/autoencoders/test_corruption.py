"""Corruption does what it says: its shares and moments are known."""

import math

import pytest
import torch

from pushforward.autoencoders.corruption import check_corruption, corrupt
from pushforward.core.errors import InputError
from pushforward.core.noise import Noise

N = 40_000


def spoiled(kind: str, level: float, value: float = 0.5) -> torch.Tensor:
    return corrupt(torch.full((N // 100, 100), value), kind, level, noise=Noise(0, rows=N // 100))


def share_allowed(p: float) -> float:
    """Four standard errors of a share among N."""
    return 4 * math.sqrt(p * (1 - p) / N)


def test_gaussian_noise_has_its_deviation():
    off = spoiled("gaussian", 0.3) - 0.5
    assert abs(off.mean()) < 4 * 0.3 / math.sqrt(N)
    assert abs(off.std() - 0.3) < 4 * 0.3 / math.sqrt(2 * N)


def test_masking_silences_its_share_and_leaves_the_rest():
    x = spoiled("masking", 0.25)
    assert set(x.unique().tolist()) == {0.0, 0.5}
    assert abs((x == 0).double().mean() - 0.25) < share_allowed(0.25)


def test_salt_and_pepper_are_even_and_the_rest_is_left():
    x = spoiled("salt-and-pepper", 0.3)
    assert set(x.unique().tolist()) == {-1.0, 0.5, 1.0}
    for end in (-1, 1):
        assert abs((x == end).double().mean() - 0.15) < share_allowed(0.15)


def test_none_is_the_input_itself():
    x = torch.randn(3, 4)
    assert corrupt(x, "none", 0.3, noise=Noise(0, rows=3)) is x


def test_a_row_is_spoiled_alike_whatever_the_batch():
    x = torch.randn(8, 5)
    whole = corrupt(x, "gaussian", 0.3, noise=Noise(0, rows=8))
    assert torch.equal(corrupt(x[3:5], "gaussian", 0.3, noise=Noise(0, rows=2, start=3)), whole[3:5])


@pytest.mark.parametrize(
    ("kind", "level", "message"),
    [
        ("blur", 0.3, "corruption: got 'blur', expected none, gaussian"),
        ("masking", 1.5, "corruption_level: got 1.5 for masking, expected more than 0 and at most 1"),
        ("gaussian", 0.0, "corruption_level: got 0.0 for gaussian"),
    ],
)
def test_what_cannot_be_is_refused(kind, level: float, message: str):
    with pytest.raises(InputError, match=message):
        check_corruption(kind, level)
