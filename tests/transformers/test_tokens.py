import math

import pytest
import torch

from pushforward.core.errors import InputError
from pushforward.core.noise import Noise
from pushforward.transformers.tokens import TokenSampler, choose, truncate

#: Probabilities of four codes, the most probable neither first nor last.
MASS = torch.tensor([[0.1, 0.4, 0.2, 0.3]], dtype=torch.float64)


def after(**choices: float) -> list[float]:
    """The probabilities a sampler draws with."""
    return truncate(MASS.log(), TokenSampler(**choices)).softmax(-1)[0].tolist()


def test_the_default_leaves_the_model_as_it_is():
    assert torch.equal(truncate(MASS.log(), TokenSampler()), MASS.log())


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_temperature_is_a_power_of_the_probabilities(temperature: float):
    powered = MASS[0] ** (1 / temperature)
    assert after(temperature=temperature) == pytest.approx((powered / powered.sum()).tolist(), abs=1e-12)


def test_a_temperature_near_zero_takes_the_most_probable_code():
    assert after(temperature=1e-300) == [0, 1, 0, 0]


@pytest.mark.parametrize(
    ("k", "expected"),
    [(1, [0, 1, 0, 0]), (2, [0, 4 / 7, 0, 3 / 7]), (3, [0, 4 / 9, 2 / 9, 3 / 9]), (9, [0.1, 0.4, 0.2, 0.3])],
)
def test_top_k_keeps_the_k_most_probable(k: int, expected: list[float]):
    assert after(top_k=k) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("p", "expected"),
    [(1e-9, [0, 1, 0, 0]), (0.39, [0, 1, 0, 0]), (0.41, [0, 4 / 7, 0, 3 / 7]), (0.89, [0, 4 / 9, 2 / 9, 3 / 9])],
)
def test_top_p_keeps_the_fewest_that_hold_the_mass(p: float, expected: list[float]):
    assert after(top_p=p) == pytest.approx(expected, abs=1e-12)


def test_top_p_is_taken_of_what_top_k_and_temperature_left():
    # Squared and cut to two codes: 16/25 and 9/25, so that the first alone holds 0.6.
    assert after(temperature=0.5, top_k=2, top_p=0.6) == [0, 1, 0, 0]


def test_equal_probabilities_are_cut_to_as_many_as_asked():
    kept = truncate(torch.zeros(1, 5), TokenSampler(top_k=2)).isfinite().sum()
    assert kept == 2


@pytest.mark.parametrize(
    ("choices", "name"),
    [
        ({"temperature": 0.0}, "temperature"),
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": math.inf}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"top_k": -1}, "top_k"),
        ({"top_k": 1.5}, "top_k"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.1}, "top_p"),
        ({"top_p": math.nan}, "top_p"),
    ],
)
def test_a_number_out_of_range_is_named(choices: dict, name: str):
    with pytest.raises(InputError, match=f"^{name}: got"):
        TokenSampler(**choices)


def test_a_code_is_the_inverse_of_the_distribution_function():
    uniform = torch.tensor([0.0, 0.0999, 0.1001, 0.4999, 0.5001, 0.6999, 0.7001, 1 - 2**-24], dtype=torch.float64)
    assert choose(MASS.log().expand(8, 4), uniform).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_the_shares_of_many_draws_are_the_probabilities():
    n = 100_000
    uniform = Noise(0, rows=n).uniform(1).double()[:, 0]
    shares = choose(MASS.log().expand(n, 4), uniform).bincount(minlength=4) / n
    # Four standard deviations of a share, sqrt(p (1 - p) / n) <= 0.0016.
    assert torch.allclose(shares.double(), MASS[0], rtol=0, atol=0.0064)


@pytest.mark.parametrize("size", [3, 256, 50_000])
def test_the_largest_uniform_draws_a_possible_code(size: int):
    logits = torch.full((1, size), -math.inf)
    logits[0, : size - 1] = Noise(1, rows=1).normal(size - 1)
    last = torch.tensor([1 - 2**-24], dtype=torch.float64)
    assert logits[0, choose(logits, last)].isfinite().all()
