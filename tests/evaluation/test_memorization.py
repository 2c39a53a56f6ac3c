"""Memorisation: copies are found and named, fresh draws are not accused, the interval is honest."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from pushforward.evaluation.features import Features
from pushforward.evaluation.intervals import wilson
from pushforward.evaluation.memorization import closest_pairs, memorization, rank_interval
from pushforward.evaluation.score import Score

RAW = Features(name="raw (2)", embed=lambda x: x)


def draws(seed: int, n: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, 2)))


def both(train: Tensor, test: Tensor, samples: Tensor, features: Features = RAW) -> dict[str, Score]:
    return {score.name: score for score in memorization(train, test, samples, features)}


def test_copies_of_the_training_set_are_found():
    train, test = draws(0, 500), draws(1, 200)
    found = both(train, test, train[:200])
    assert found["copies"].value == 1.0
    assert found["copies"].low > 0.98
    assert found["copies"].ideal == 0.0
    assert found["copies"].details["held-out examples that equal a training example"] == 0.0
    assert found["nearest training example"].value == 1.0
    assert 0.99 < found["nearest training example"].low < 1.0 == found["nearest training example"].high


def test_a_copycat_who_blurs_is_found_by_nearness_alone():
    train, test = draws(0, 500), draws(1, 200)
    found = both(train, test, train[:200] + 1e-3 * draws(2, 200))
    assert found["copies"].value == 0.0
    assert found["nearest training example"].low > 0.9


def test_samples_far_from_the_data_are_below_a_half():
    found = both(draws(0, 500), draws(1, 200), draws(2, 200) + 5)
    assert found["nearest training example"].high < 0.1


def test_fresh_draws_cover_a_half_about_as_often_as_promised():
    train = draws(0, 300)
    covered = 0
    for seed in range(200):
        score = both(train, draws(2 * seed + 1, 100), draws(2 * seed + 2, 100))["nearest training example"]
        covered += score.low <= 0.5 <= score.high
    # Binomial(200, 0.95) is within three deviations of its mean (190 +- 9.2) all but 3 times in a thousand.
    assert 181 <= covered <= 199


def test_repeats_are_no_copying_where_the_data_repeat():
    rng = np.random.default_rng(0)
    train, test, samples = (torch.from_numpy(rng.integers(0, 4, (n, 2)).astype(np.float64)) for n in (30, 400, 400))
    found = both(train, test, samples)
    copies, near = found["copies"], found["nearest training example"]
    _, counts = train.unique(dim=0, return_counts=True)
    assert copies.ideal == pytest.approx(float(counts[counts > 1].sum() / 30))
    assert copies.ideal > 0.5
    assert copies.value == pytest.approx(copies.details["held-out examples that equal a training example"], abs=0.1)
    assert near.low <= 0.5 <= near.high  # ties count half


def test_all_alike_is_no_evidence():
    same = torch.zeros(20, 2).double()
    near = both(same, same, same)["nearest training example"]
    assert near.value == 0.5
    assert near.low < 0.5 < near.high


def test_a_missing_cell_equals_a_missing_cell_and_minus_zero_is_zero():
    train = torch.tensor([[math.nan, 0.0], [1.0, 2.0]]).double()
    samples = torch.tensor([[-math.nan, -0.0], [1.0, 3.0]]).double()
    known = Features(name="known", embed=lambda x: x.nan_to_num())
    assert both(train, samples, samples, known)["copies"].value == 0.5


def test_pictures_are_compared_pixel_by_pixel():
    rng = np.random.default_rng(0)
    train = torch.from_numpy(rng.integers(0, 17, (50, 1, 8, 8)).astype(np.uint8))
    samples = train[:20].clone()
    samples[10:, 0, 0, 0] += 1
    mean = Features(name="blind", embed=lambda x: x.float().mean((1, 2, 3))[:, None] * 0)
    found = both(train, train[20:40], samples, mean)
    assert found["copies"].value == 0.5
    assert "features" not in found["copies"].conditions
    assert found["nearest training example"].conditions == {"n": 20, "features": "blind", "split": "test"}


def test_as_many_examples_of_each_are_taken():
    found = both(draws(0, 50), draws(1, 40), draws(2, 25))
    assert [score.conditions["n"] for score in found.values()] == [25, 25]


def test_what_cannot_be_measured_is_missing_and_says_why():
    samples = draws(2, 20)
    samples[3] = math.nan
    found = both(draws(0, 50), draws(1, 20), samples)
    assert math.isnan(found["nearest training example"].value)
    assert found["nearest training example"].note == "a sample has no finite features"
    assert found["copies"].value == 0.0
    for train, test, drawn, which in (
        (draws(0, 0), draws(1, 5), draws(2, 5), "training"),
        (draws(0, 5), draws(1, 0), draws(2, 5), "held-out"),
        (draws(0, 5), draws(1, 5), draws(2, 0), "generated"),
    ):
        for score in memorization(train, test, drawn, RAW):
            assert math.isnan(score.value)
            assert score.note == f"there are no {which} examples"


def test_the_closest_pairs_are_the_closest():
    train, samples = draws(0, 300), draws(1, 100)
    samples[7], samples[60] = train[11], math.nan
    pairs = closest_pairs(train, samples, RAW, k=5)
    matrix = torch.cdist(samples, train).nan_to_num(math.inf).min(1)
    order = matrix.values.argsort()[:5]
    assert torch.equal(pairs.indices, order)
    assert pairs.indices[0] == 7
    assert torch.equal(pairs.samples, samples[order])
    assert torch.equal(pairs.train, train[matrix.indices[order]])
    # Features are float32.
    torch.testing.assert_close(pairs.distances, matrix.values[order], atol=1e-6, rtol=1e-5)
    assert pairs.distances[0] == 0
    assert len(closest_pairs(train, samples[60:61], RAW).samples) == 0
    assert len(closest_pairs(train, samples[:3], RAW).samples) == 3


def test_intervals_agree_with_published_numbers():
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3.
    for count, n, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)):
        assert wilson(count, n) == pytest.approx((low, high), abs=5e-5)
    assert wilson(29, 29) == pytest.approx((0.8830, 1.0), abs=5e-5)
    # With large n it is the normal interval of the Mann-Whitney statistic: variance (2n + 1) / (12 n^2) at 1/2.
    n = 10_000
    half = 1.96 * math.sqrt((2 * n + 1) / (12 * n**2))
    assert rank_interval(0.5, n, n) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-5)
    assert rank_interval(0.0, 50, 50)[0] == 0.0
    assert 0 < rank_interval(0.0, 50, 50)[1] < 0.1
