"""Every metric at once: names, conditions, known answers, and inputs that have none."""

import json
import math

import numpy as np
import pytest
import torch

from pushforward.core.errors import InputError
from pushforward.evaluation.fidelity import frechet_distance, inception_score, kernel_distance, prdc
from pushforward.evaluation.intervals import paired_halves, share_interval
from pushforward.evaluation.sample_scores import CLASSIFIER_SPLITS, METRICS, sample_scores
from pushforward.evaluation.two_sample import accuracy, maximum_mean_discrepancy, sliced_wasserstein

NEIGHBOURS = ("precision", "recall", "density", "coverage")


def normal(n, dim, seed):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, dim))).float()


def scores(real, fake, **rest):
    return {score.name: score for score in sample_scores(real, fake, features="raw", **rest)}


@pytest.fixture(scope="module", autouse=True)
def few_fits():
    """Two splits for the classifiers: what these tests ask does not depend on how well a width is known."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CLASSIFIER_SPLITS, "linear", 2)
        patch.setitem(CLASSIFIER_SPLITS, "trees", 2)
        yield


@pytest.fixture(scope="module")
def apart(few_fits):
    """Two Gaussians in three dimensions, and what is found."""
    x, y = normal(60, 3, 0), normal(60, 3, 1) + 0.7
    p = torch.softmax(y, 1)
    return x, y, p, scores(x, y, split="validation", real_probabilities=torch.softmax(x, 1), fake_probabilities=p)


def test_values_are_those_of_the_metrics(apart):
    x, y, p, found = apart
    assert list(found) == list(METRICS)
    expected = {
        "two-sample accuracy (linear)": accuracy(x, y, "linear").accuracy,
        "two-sample accuracy (trees)": accuracy(x, y, "trees").accuracy,
        "maximum mean discrepancy": maximum_mean_discrepancy(x, y),
        "sliced Wasserstein distance": sliced_wasserstein(x, y),
        "Frechet distance": frechet_distance(x, y),
        "kernel distance": kernel_distance(x, y),
        "Inception-type score": inception_score(p),
        **dict(zip(NEIGHBOURS, prdc(x, y, k=5), strict=True)),
    }
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value, rel=1e-4), name


def test_scores_say_what_they_are(apart):
    _, _, _, found = apart
    for name, score in found.items():
        assert score.low < score.value < score.high or score.value in (0.0, 1.0), name
        assert score.conditions == {"n": 60, "features": "raw", "split": "validation"}
        assert score.ideal == METRICS[name]
        assert "paired halves" in score.details["interval"]
        json.dumps(score.to_json(), allow_nan=False)
    assert found["Inception-type score"].details["of the held-out examples"] > 1


def test_the_seed_alone_decides(apart):
    x, y, p, found = apart
    torch.manual_seed(5)
    np.random.seed(5)
    again = scores(x, y, split="validation", real_probabilities=torch.softmax(x, 1), fake_probabilities=p)
    assert again == found


@pytest.mark.parametrize(("kind", "splits"), [("linear", 20), ("trees", 8)])
def test_one_distribution_is_not_told_apart(kind, splits):
    """Of five intervals at most one misses 1/2 (two would, one time in fifty)."""
    held = 0
    for seed in range(5):
        x, y = normal(40, 2, 2 * seed), normal(40, 2, 2 * seed + 1)

        def told(i, j, x=x, y=y):
            return accuracy(x[i], y[j], kind).accuracy

        (halves,) = paired_halves(told, 40, splits=splits)
        low, high = share_interval(halves, 80)
        held += low <= 0.5 <= high
    assert held >= 4


def test_copies_of_the_held_out_examples_score_perfectly():
    x = normal(40, 2, 0)
    found = scores(x, x.flip(0))
    for name in ("two-sample accuracy (linear)", "two-sample accuracy (trees)"):
        assert found[name].value == 0.5 and found[name].low < 0.5 < found[name].high
    for name in ("precision", "recall", "coverage"):
        assert found[name].value == 1.0 and found[name].low > 0.8
    assert found["Frechet distance"].value == pytest.approx(0, abs=1e-9)


def test_samples_that_are_not_numbers_have_no_scores():
    x, y = normal(30, 2, 0), normal(30, 2, 1)
    y[3, 1] = math.nan
    y[4, 0] = math.inf
    for score in scores(x, y).values():
        assert math.isnan(score.value)
        assert score.note == "2 of the 30 samples have features that are not finite numbers"
    assert "held-out" in scores(y, x)["recall"].note


def test_too_few_examples_have_no_scores():
    found = scores(normal(11, 2, 0), normal(11, 2, 1))
    assert all(math.isnan(s.value) and "11 examples are too few" in s.note for s in found.values())
    assert math.isfinite(scores(normal(12, 2, 0), normal(12, 2, 1))["coverage"].low)


def test_a_collapsed_model_is_measured_where_that_has_a_meaning():
    found = scores(normal(40, 2, 0), torch.full((40, 2), 5.0))
    assert found["two-sample accuracy (trees)"].value > 0.9
    assert found["Frechet distance"].value == pytest.approx(52, rel=0.15)  # 2 x 5^2 and the trace of the covariance
    for name in NEIGHBOURS:
        assert math.isnan(found[name].value)
        assert "every one of the samples has 5 copies" in found[name].note


def test_held_out_examples_that_are_all_alike():
    found = scores(torch.zeros(40, 2), normal(40, 2, 0))
    assert math.isnan(found["maximum mean discrepancy"].value)
    assert "identical" in found["maximum mean discrepancy"].note
    assert "held-out" in found["coverage"].note
    assert math.isfinite(found["energy distance"].low)


def test_fewer_examples_than_features_is_noted():
    found = scores(normal(14, 20, 0), normal(14, 20, 1))
    assert "singular" in found["Frechet distance"].note
    assert math.isfinite(found["Frechet distance"].high)


def test_without_a_classifier_there_is_no_inception_score(apart):
    x, y, p, _ = apart
    assert "classifier" in scores(x[:12], y[:12])["Inception-type score"].note
    wrong = torch.full((12, 3), math.nan)
    assert "not finite" in scores(x[:12], y[:12], fake_probabilities=wrong)["Inception-type score"].note


def test_shapes_must_agree():
    with pytest.raises(InputError, match="expected one shape"):
        sample_scores(normal(20, 2, 0), normal(19, 2, 0), features="raw")
