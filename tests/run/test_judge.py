"""``evaluate``: every measurement that applies, honest about what does not."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch

import pushforward as pf
from pushforward.core.errors import InputError
from pushforward.evaluation.scorecard import scorecard_from_json
from pushforward.run.judge import evaluate, score_examples
from pushforward.run.verbs import fit
from tests.small_data import points, table, text


@pytest.fixture(scope="module")
def gaussian(tmp_path_factory):
    """A Gaussian fitted to points, and what it was fitted to."""
    data = points(2000)
    return fit("gaussian", data, out=tmp_path_factory.mktemp("runs") / "gaussian", show=False), data


@pytest.fixture(scope="module")
def card(gaussian):
    run, data = gaussian
    return evaluate(run, data, n=150, show=False)


def test_the_likelihood_is_the_mean_of_the_test_split(gaussian, card):
    run, data = gaussian
    batch = data.test.spread(150)
    by_hand = -run.model.log_prob(batch.x, batch.condition.value).mean().item()
    score = card.score("negative log-likelihood")
    assert score.value == pytest.approx(by_hand, rel=1e-9)
    assert score.low < by_hand < score.high
    assert (score.conditions["kind"], score.conditions["measure"], score.conditions["n"]) == ("exact", "density", 150)


def test_every_sample_metric_stands_beside_its_floor_and_its_baselines(card):
    for name in ("two-sample accuracy (linear)", "Frechet distance", "coverage", "energy distance"):
        score = card.score(name)
        floor = next(s for s in card.floor if s.name == name)
        assert math.isfinite(score.value) and score.low <= score.value <= score.high
        assert (floor.conditions, score.conditions["n"]) == (score.conditions, 150)
        for scores in card.baselines.values():
            assert next(s for s in scores if s.name == name).conditions == score.conditions
    assert set(card.baselines) == {"independent", "gaussian", "mixture"}


def test_the_model_scored_as_its_own_baseline_has_the_same_numbers(card):
    """The closed form fitted again to the same split, drawn with the same seed, is the same model."""
    for name in ("negative log-likelihood", "two-sample accuracy (trees)", "precision", "copies"):
        again = next(s for s in card.baselines["gaussian"] if s.name == name)
        assert again.value == pytest.approx(card.score(name).value, abs=1e-9)


def test_independent_columns_are_told_from_correlated_data_and_the_gaussian_is_not(card):
    right = card.score("two-sample accuracy (trees)")
    wrong = next(s for s in card.baselines["independent"] if s.name == "two-sample accuracy (trees)")
    assert right.low <= 0.5 <= right.high
    assert wrong.low > 0.5


def test_costs_are_told(card):
    assert card.score("training time").value > 0
    assert card.score("seconds per 1,000 samples").value > 0
    assert card.score("parameters").value >= 0
    assert card.score("peak memory").value > 10  # MiB: torch alone is more


def test_the_file_holds_the_same_scorecard(gaussian, card):
    run, _ = gaussian
    record = json.loads((run.path / "evaluation.json").read_text())
    again = scorecard_from_json(record)
    assert [(s.name, s.unit, s.conditions) for s in again.scores] == [
        (s.name, s.unit, s.conditions) for s in card.scores
    ]
    assert again.to_json() == record


def test_evaluating_again_gives_the_same_numbers_and_leaves_randomness_alone(gaussian, card):
    run, data = gaussian
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    again = evaluate(run, data, n=150, baselines=False, show=False)
    assert torch.equal(torch.get_rng_state(), state) and (np.random.get_state()[1] == numpy_state).all()
    timed = ("training time", "seconds per 1,000 samples", "peak memory")
    for a, b in zip(card.scores, again.scores, strict=True):
        assert a.name in timed or a.value == b.value or (math.isnan(a.value) and math.isnan(b.value))
    assert again.baselines == {}


def test_new_examples_are_scored_in_their_order(gaussian, tmp_path):
    run, _ = gaussian
    x = np.array([[0.0, 0.0], [3.0, -1.0], [100.0, 100.0]])
    np.save(tmp_path / "new.npy", x)
    scores = score_examples(run, tmp_path / "new.npy")
    assert scores["index"].tolist() == [0, 1, 2]
    assert scores["log_prob"].tolist() == pytest.approx(run.model.log_prob(torch.from_numpy(x)).tolist())
    assert scores["log_prob"].idxmin() == 2


def test_a_table_is_measured_by_its_columns(tmp_path):
    data = table()
    run = fit("independent", data, out=tmp_path / "run", show=False)
    card = evaluate(run, data, n=60, baselines=False, show=False)
    assert {b.title for b in card.breakdowns} >= {"column"}
    assert card.score("column shape").value > 0.8  # its columns are those of the data, one by one


def test_a_stream_of_text_is_measured_per_character_and_byte(tmp_path):
    data = text()
    run = fit("independent", data, out=tmp_path / "run", show=False)
    card = evaluate(run, data, n=20, baselines=False, show=False)
    assert card.score("bits per character").value == pytest.approx(math.log2(5), abs=0.2)  # five letters, nearly alike
    assert card.score("distinct-2") is not None


def test_other_data_and_impossible_numbers_are_refused(gaussian):
    run, data = gaussian
    with pytest.raises(InputError, match="is not what .* was fitted to"):
        evaluate(run, points(300), show=False)
    with pytest.raises(InputError, match="^n: got 1, expected"):
        evaluate(run, data, n=1, show=False)
    with pytest.raises(InputError, match="fitted to an object, expected data="):
        evaluate(run, show=False)
    with pytest.raises(InputError, match="cannot score examples|expected a model with HasDensity"):
        score_examples(pf.fit("gan", points(100), steps=2, out=run.path.parent / "gan", show=False), [[0.0, 0.0]])


def test_a_model_that_draws_nan_has_marked_cells_and_never_a_wrong_number(gaussian):
    run, data = gaussian
    model = run.model
    original = model.draw
    model.draw = lambda n, condition, *, noise, sampler: torch.full((n, 2), math.nan)
    try:
        card = evaluate(run, data, n=50, baselines=False, show=False)
    finally:
        model.draw = original
    said = card.score("samples")
    assert math.isnan(said.value) and "not finite" in said.note
    assert card.score("Frechet distance") is None
    assert math.isfinite(card.score("negative log-likelihood").value)


def test_references_need_a_model_that_goes_on(gaussian, tmp_path):
    run, data = gaussian
    pd.DataFrame({"prompt": ["a"], "reference": ["b"]}).to_csv(tmp_path / "pairs.csv", index=False)
    with pytest.raises(InputError, match="cannot go on from a prompt"):
        evaluate(run, data, n=50, references=tmp_path / "pairs.csv", baselines=False, show=False)
