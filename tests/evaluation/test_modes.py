"""Mode coverage: a dropped class is named, equal distributions are not accused, chance levels are right."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from pushforward.datasets.load import load_data
from pushforward.evaluation.features import Features, choose_features
from pushforward.evaluation.modes import differs, modes, total_variation
from pushforward.evaluation.score import Score

#: Four far corners of a square, the class is the corner: a classifier that knows.
CORNERS = torch.tensor([[0.0, 0.0], [0.0, 9.0], [9.0, 0.0], [9.0, 9.0]]).double()


def corner(x: Tensor) -> Tensor:
    return torch.softmax(-torch.cdist(x.double(), CORNERS), 1).float()


KNOWING = Features(name="raw (2)", embed=lambda x: x, predict=corner, classes=("a", "b", "c", "d"), accuracy=1.0)
BLIND = Features(name="raw (2)", embed=lambda x: x)


def draws(seed: int, counts: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    labels = torch.arange(4).repeat_interleave(torch.tensor(counts))
    noise = torch.from_numpy(np.random.default_rng(seed).normal(size=(len(labels), 2)))
    return CORNERS[labels] + noise, labels


def named(scores: list[Score]) -> dict[str, Score]:
    return {score.name: score for score in scores}


def test_a_dropped_class_is_named():
    train, test, samples = draws(0, (250,) * 4)[0], draws(1, (100,) * 4)[0], draws(2, (134, 133, 133, 0))[0]
    scores, breakdown = modes(train, test, samples, KNOWING)
    found = named(scores)
    assert found["classes covered"].value == 0.75
    assert (found["classes covered"].low, found["classes covered"].high) == (0.75, 0.75)
    assert found["class shares (total variation)"].value == pytest.approx(0.25)
    assert found["class shares (total variation)"].conditions["features"] == "classifier (accuracy 1.000)"
    assert found["bins that differ"].low > 0.05  # those of the corner that is gone
    assert breakdown.title == "class"
    rows = {row["name"]: row for row in breakdown.rows}
    assert list(rows) == ["a", "b", "c", "d"]
    assert (rows["d"]["real share"], rows["d"]["sample share"], rows["d"]["differs"]) == (0.25, 0.0, True)
    assert rows["d"]["high"] < 0.01
    assert rows["a"]["low"] < 134 / 400 < rows["a"]["high"]


def test_a_class_of_which_a_tenth_is_left_is_covered():
    test = draws(1, (100,) * 4)[0]
    for kept, value in ((10, 1.0), (9, 0.75)):
        score = named(modes(test, test, draws(2, (130, 130, 140 - kept, kept))[0], KNOWING)[0])["classes covered"]
        assert score.value == value
        assert score.low <= value <= score.high
        assert (score.low, score.high) == (0.75, 1.0)  # ten of four hundred leave it open


def test_a_class_the_held_out_examples_lack_is_not_asked_for():
    test = draws(1, (200, 200, 0, 0))[0]
    score = named(modes(test, test, draws(2, (200, 200, 0, 0))[0], KNOWING)[0])["classes covered"]
    assert (score.value, score.details["classes"]) == (1.0, 2)


def test_equal_distributions_differ_as_chance_has_it():
    train = draws(0, (500,) * 4)[0]
    rng = np.random.default_rng(1)
    shares, bins = [], []
    for seed in range(40):
        a, b = (draws(seed + s, tuple(rng.multinomial(400, [0.25] * 4)))[0] for s in (100, 200))
        found = named(modes(train, a, b, KNOWING)[0])
        shares.append(found["class shares (total variation)"])
        bins.append(found["bins that differ"])
        assert found["classes covered"].value == 1.0
    # Half the sum of four |N(0, 2 p (1 - p) / n)|, p = 1/4: the mean of a half-normal is sqrt(2 / pi) deviations.
    chance = 0.5 * 4 * math.sqrt(2 * 0.25 * 0.75 / 400) * math.sqrt(2 / math.pi)
    assert np.mean([s.value for s in shares]) == pytest.approx(chance, rel=0.2)  # 40 draws, each with a spread of 0.5
    assert shares[0].details["of equal distributions, by chance"] == pytest.approx(chance, rel=0.1)
    assert sum(s.low <= chance <= s.high for s in shares) >= 35  # 38 expected, deviation 1.4
    # 40 x 20 tests at 5 %: 0.05, deviation 0.008.
    assert np.mean([s.value for s in bins]) == pytest.approx(0.05, abs=0.024)


def test_without_classes_there_are_clusters():
    train, test = draws(0, (250,) * 4)[0], draws(1, (100,) * 4)[0]
    scores, breakdown = modes(train, test, draws(2, (400, 0, 0, 0))[0], BLIND)
    assert [score.name for score in scores] == ["bins that differ"]
    assert scores[0].details["bins"] == 20  # 400 examples, 20 to a bin
    assert scores[0].value > 0.75
    assert breakdown.title == "cluster"
    real = [row["real share"] for row in breakdown.rows]
    assert real == sorted(real, reverse=True)
    assert sum(real) == pytest.approx(1)
    again = modes(train, test, draws(2, (400, 0, 0, 0))[0], BLIND)
    assert (again[0][0].value, again[1]) == (scores[0].value, breakdown)


def test_samples_that_were_asked_to_be_of_a_class_are_judged_by_it():
    (test, labels), (samples, asked) = draws(1, (50,) * 4), draws(2, (50,) * 4)
    asked = asked.clone()
    asked[:20] = 3  # asked for d, and got a
    scores, _ = modes(test, test, samples, KNOWING, labels=labels, asked=asked)
    score = named(scores)["class agreement"]
    assert score.value == 0.9
    assert score.low < 0.9 < score.high
    assert score.ideal == 1.0
    assert score.details["of held-out examples"] == 1.0
    assert "class agreement" not in named(modes(test, test, samples, KNOWING)[0])


def test_what_cannot_be_measured_is_missing_and_says_why():
    test, labels = draws(1, (50,) * 4)
    broken = test.clone()
    broken[0] = math.nan
    scores, breakdown = modes(test, test, broken, KNOWING, labels=labels, asked=labels)
    assert {score.name: score.note for score in scores} == {
        "bins that differ": "a sample has no finite features",
        "classes covered": "a sample has no class probabilities",
        "class shares (total variation)": "a sample has no class probabilities",
        "class agreement": "a sample has no class probabilities",
    }
    assert breakdown.rows == ()
    few, _ = modes(test, test[:30], test[:30], BLIND)
    assert few[0].note == "30 examples are too few for bins of 20"
    same, _ = modes(test[:1].repeat(200, 1), test, test, BLIND)
    assert same[0].note == "all training examples have the same features"
    none, _ = modes(test, test[:0], test[:0], KNOWING)
    assert all(math.isnan(score.value) for score in none)


def test_two_proportions():
    # p = 0.10, q = 0.13 of 1,000 each: z = 0.03 / sqrt(2 x 0.115 x 0.885 / 1000) = 2.10
    assert differs(np.array([100]), np.array([130]), 1000).tolist() == [True]
    assert differs(np.array([100]), np.array([127]), 1000).tolist() == [False]  # z = 1.90
    assert differs(np.array([0, 1000]), np.array([0, 1000]), 1000).tolist() == [False, False]
    assert total_variation(np.array([[0.2, 0.8], [1.0, 0.0]]), np.array([0.5, 0.5])).tolist() == pytest.approx(
        [0.3, 0.5]
    )


def test_digits_without_sevens():
    data = load_data("digits")
    features = choose_features(data)
    test, real = data.test.spread(len(data.test)), data.train.spread(1000)
    kept = real.x[real.condition.value != 7]
    scores, breakdown = modes(data.train.spread(2000).x, test.x, kept, features, labels=test.condition.value)
    assert named(scores)["classes covered"].value == 0.9
    row = breakdown.rows[7]
    assert (row["name"], row["differs"]) == ("7", True)
    assert row["sample share"] < 0.01
