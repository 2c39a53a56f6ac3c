"""The small classifier: it learns, it is a function of data and seed, and its cache is never trusted blindly."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from pushforward.core.data import Data, Rows
from pushforward.core.errors import InputError
from pushforward.core.files import write_tensors
from pushforward.core.modality import Label
from pushforward.datasets.load import load_data
from pushforward.evaluation import classifier
from pushforward.evaluation.classifier import TrainedClassifier, obstacle, train_classifier
from pushforward.evaluation.vectors import fit_vectors
from tests.small_data import digits, points, split, table, text


def trained(data: Data, seed: int = 0, cache: Path | None = None) -> TrainedClassifier:
    return train_classifier(data, fit_vectors(data.example, data.train.spread(5000).x), seed=seed, cache=cache)


def test_digits_are_told_apart():
    data = load_data("digits")
    judge = trained(data)
    assert judge.accuracy >= 0.95
    assert judge.majority < 0.15  # ten classes of about equal size
    test = data.test.spread(len(data.test))
    probabilities = judge.probabilities(test.x)
    assert (probabilities.argmax(1) == test.condition.value).double().mean() >= 0.95
    torch.testing.assert_close(probabilities.sum(1), torch.ones(len(test.x)))


def test_the_head_reads_the_features():
    data = points(200)
    judge = trained(data)
    h = judge.features(data.test.x)
    assert h.shape == (len(data.test.x), 64)
    torch.testing.assert_close(judge.network.head(F.silu(h)).softmax(1), judge.probabilities(data.test.x))


@pytest.mark.parametrize("make", [points, table])
def test_vectors_and_tables_have_one_too(make):
    data = make()
    if make is table:  # the region is drawn by a coin; the kind of a row can be told from its age and size
        parts = {n: Rows(s.x, s.x[:, 2].long()) for n, s in (("train", data.train), ("valid", data.valid))}
        data = replace(data, condition=Label(names=(0, 1, 2)), test=parts["valid"], **parts)
    judge = trained(data)
    assert judge.accuracy > 0.95


def test_it_is_a_function_of_data_and_seed_and_leaves_the_global_generator_alone():
    data = digits(200)
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    first = trained(data)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(4)
    with torch.inference_mode():  # whatever the caller does
        again = trained(data)
    x = data.test.x
    assert torch.equal(first.features(x), again.features(x))
    assert not torch.equal(first.features(x), trained(data, seed=1).features(x))


def test_the_cache_gives_the_same_features_without_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    data = digits(200)
    x = data.test.x
    fresh = trained(data, cache=tmp_path / "new" / "cache")
    assert sorted(p.suffix for p in (tmp_path / "new" / "cache").iterdir()) == [".json", ".safetensors"]

    def fail(*_: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(classifier, "_train", fail)
    kept = trained(data, cache=tmp_path / "new" / "cache")
    assert torch.equal(kept.features(x), fresh.features(x))
    assert kept.accuracy == fresh.accuracy
    for other in (lambda: trained(data, seed=1, cache=tmp_path / "new" / "cache"), lambda: trained(digits(220))):
        with pytest.raises(AssertionError, match="trained again"):
            other()


def damage_byte(weights: Path, record: Path) -> None:
    raw = bytearray(weights.read_bytes())
    raw[-10] ^= 0xFF
    weights.write_bytes(bytes(raw))


def damage_end(weights: Path, record: Path) -> None:
    weights.write_bytes(weights.read_bytes()[:-1000])


def damage_record(weights: Path, record: Path) -> None:
    record.write_text("{")


def other_data(weights: Path, record: Path) -> None:
    found = json.loads(record.read_text())
    record.write_text(json.dumps({**found, "fingerprint": "0" * 64}))


def foreign_weights(weights: Path, record: Path) -> None:
    sha = write_tensors(weights, {"head.bias": torch.zeros(10)})
    record.write_text(json.dumps({**json.loads(record.read_text()), "sha256": sha}))


def swapped_weights(weights: Path, record: Path) -> None:
    """Whole weights of the right shape that the record does not know."""
    from safetensors.torch import load_file

    write_tensors(weights, {name: tensor + 1 for name, tensor in load_file(weights).items()})


@pytest.mark.parametrize("harm", [damage_byte, damage_end, damage_record, other_data, foreign_weights, swapped_weights])
def test_a_damaged_or_foreign_cache_is_trained_again(harm, tmp_path: Path):
    data = points(200)
    fresh = trained(data, cache=tmp_path)
    (weights,), (record,) = tmp_path.glob("*.safetensors"), tmp_path.glob("*.json")
    whole = weights.read_bytes(), record.read_bytes()
    harm(weights, record)
    assert (weights.read_bytes(), record.read_bytes()) != whole
    again = trained(data, cache=tmp_path)
    assert torch.equal(again.features(data.test.x), fresh.features(data.test.x))
    assert (weights.read_bytes(), record.read_bytes()) == whole  # and kept as it should be


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path):
    (tmp_path / "file").write_text("")
    data = points(100)
    judge = trained(data, cache=tmp_path / "file" / "cache")
    assert torch.equal(judge.features(data.test.x), trained(data).features(data.test.x))


def test_examples_without_a_class_are_left_out():
    data = points(300)
    wrong = torch.arange(len(data.train)) % 2 == 1
    labels = torch.where(wrong, 1 - data.train.condition, data.train.condition)  # every second label is a lie
    hidden = replace(data, train=Rows(data.train.x, labels, ~wrong))
    assert trained(hidden).accuracy > 0.95
    assert trained(replace(data, train=Rows(data.train.x, labels))).accuracy < 0.95


def test_what_stands_in_the_way_is_said():
    data = points(100)
    assert obstacle(data) == ""
    assert obstacle(text()) == "no labels"
    assert obstacle(replace(data, condition=None)) == "no labels"
    assert obstacle(replace(data, train=Rows(data.train.x, torch.zeros(80).long()))) == "one class only"
    unknown = Rows(data.valid.x, data.valid.condition, torch.zeros(10, dtype=torch.bool))
    assert obstacle(replace(data, valid=unknown)) == "no labelled validation examples"
    one = split("one", data.example, data.train.x, Label(names=("a",)), torch.zeros(80).long())
    with pytest.raises(InputError, match=r"^classifier: one has one class only, expected examples of several classes$"):
        trained(one)
    with pytest.raises(InputError, match=r"^classifier: points has no labels, expected examples of several classes$"):
        trained(replace(data, condition=None))
