"""Fit: exact, repeatable, and nothing left behind when it cannot be done."""

import json
import math
import signal
from pathlib import Path

import pytest
import torch

from pushforward.core.errors import InputError
from pushforward.plotting import draw_samples
from pushforward.probability.baselines import Gaussian
from pushforward.run.loaded import load
from pushforward.run.verbs import fit, plan, resume
from pushforward.training.checkpoint import load_checkpoint
from pushforward.training.metrics import Diverged
from pushforward.zoo import create
from tests.run.runs import QUICK, draw_nothing, final, weights
from tests.small_data import digits, points, text
from tests.training.learners import Bell, Duel
from tests.training.watched import Watched, metrics


@pytest.fixture(autouse=True)
def quick_pictures(monkeypatch):
    monkeypatch.setattr("pushforward.run.verbs.draw_samples", draw_nothing)


def test_a_run_folder_holds_what_it_says(tmp_path, monkeypatch):
    monkeypatch.setattr("pushforward.run.verbs.draw_samples", draw_samples)
    data, heard = points(), []
    run = fit(Bell, data, steps=12, seed=3, out=tmp_path / "a" / "run", settings=QUICK, log=lambda *a: heard.append(a))
    assert run.path == tmp_path / "a" / "run"
    names = {path.name for path in run.path.iterdir()}
    assert names == {
        "config.json",
        "model.safetensors",
        "training.json",
        "data.json",
        "metrics.jsonl",
        "samples.png",
        "checkpoint",
    }
    record = json.loads((run.path / "training.json").read_text())
    assert record["finished"] and record["settings"]["steps"] == 12 and record["settings"]["seed"] == 3
    assert record["settings"]["threads"] == 1 and record["settings"]["device"] == "cpu"
    assert record["figure"]["unit"] == "nats/example" and math.isfinite(record["figure"]["value"])
    assert set(record["versions"]) == {"pushforward", "torch", "python"}
    assert [folder for folder, _ in heard] == [run.path] * 3
    assert [line["step"] for _, line in heard] == [line["step"] for line in metrics(run.path)] == [5, 10, 12]
    assert json.loads((run.path / "data.json").read_text())["fingerprint"] == data.fingerprint
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["run"]


def test_what_fit_returns_is_what_load_finds(tmp_path):
    run = fit("tests.training.learners:Bell", points(), steps=5, out=tmp_path / "run", settings=QUICK)
    again = load(run.path)
    assert torch.equal(run.model.sample(10, seed=0), again.model.sample(10, seed=0))
    assert torch.equal(run.model.log_prob(points().test.x), again.model.log_prob(points().test.x))
    assert isinstance(run.model, Bell) and not run.model.training


@pytest.mark.parametrize("kind", [Bell, Duel])
def test_two_fits_agree_to_the_bit(kind, tmp_path):
    fields = {"dropout": 0.3} if kind is Bell else {}
    for name in ("one", "two"):
        torch.manual_seed(hash(name) % 1000)  # whatever happened in the process before
        fit(kind, points(), steps=20, seed=5, out=tmp_path / name, settings=QUICK, options=fields)
    assert weights(tmp_path / "one") == weights(tmp_path / "two")
    assert final(tmp_path / "one") == final(tmp_path / "two")
    other = fit(kind, points(), steps=20, seed=6, out=tmp_path / "other", settings=QUICK, options=fields)
    assert weights(other.path) != weights(tmp_path / "one")


def test_the_steps_of_a_budget_repeat_its_run(tmp_path):
    first = fit(Bell, points(), budget=0.5, seed=2, out=tmp_path / "budget", settings=QUICK, options={"dropout": 0.2})
    steps = first.training["settings"]["steps"]
    assert steps >= 20 and metrics(first.path)[-1]["step"] == steps
    again = fit(Bell, points(), steps=steps, seed=2, out=tmp_path / "steps", settings=QUICK, options={"dropout": 0.2})
    assert weights(first.path) == weights(again.path)
    assert final(first.path) == final(again.path)


def test_a_plan_says_what_fit_would_do_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = plan(Bell, points(), steps=30, settings=QUICK)
    assert any("30 steps of 32 examples" in line and "about" in line for line in lines)
    assert any("4 parameters" in line for line in lines)
    assert any("points of 2 numbers" in line for line in lines)
    assert list(tmp_path.iterdir()) == []


def test_random_states_and_loaders_of_the_caller_are_left_alone(tmp_path):
    torch.manual_seed(9)
    before = torch.get_rng_state()
    run = fit(Bell, points(), steps=5, seed=1, out=tmp_path / "run", settings=QUICK, options={"dropout": 0.5})
    run.sample(3, seed=0)
    run.sample(3)
    plan(Bell, points(), steps=5, settings=QUICK)
    assert torch.equal(torch.get_rng_state(), before)
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    assert handlers == (signal.default_int_handler, signal.SIG_DFL)


def test_a_model_object_is_trained_as_it_is(tmp_path):
    data = points()
    made = create(Bell, data, {"start": 5.0})
    run = fit(made, data, steps=5, out=tmp_path / "run", settings=QUICK)
    assert run.model.start == 5.0
    assert run.model.mean.detach().mean() > 3


def test_a_closed_form_needs_no_steps(tmp_path):
    run = fit(Gaussian, points(), budget=5, out=tmp_path / "run", settings=QUICK)
    assert run.training["settings"]["steps"] == 0
    assert [line["step"] for line in metrics(run.path)] == [0]
    assert math.isfinite(run.training["figure"]["value"])


def test_runs_are_numbered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = [fit(Bell, points(), steps=2, settings=QUICK).path for _ in range(2)]
    assert paths == [Path("runs/bell-points"), Path("runs/bell-points-2")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "^steps: got 0"),
        ({"steps": 2.5}, "^steps: got 2.5"),
        ({"steps": 5, "budget": "1min"}, "^budget: got '1min' beside steps 5"),
        ({"budget": "-1s", "steps": None}, "^budget: got '-1s'"),
        ({"seed": -1}, "^seed: got -1"),
        ({"options": {"strat": 1.0}}, r"^Bell: has no field 'strat' \(did you mean 'start'\?\)"),
        ({"model": "bel"}, "^model: there is no 'bel'"),
        ({"model": "no.such.module:Thing"}, "^model: 'no.such.module:Thing' cannot be imported"),
        ({"model": ":Thing"}, "^model: ':Thing' cannot be imported"),
        ({"model": "collections:OrderedDict"}, "^model: 'OrderedDict' is no model"),
        ({"model": "collections:nothing"}, "^model: 'collections' has no class 'nothing'"),
        ({"out": "x" * 300}, "^out: x+ cannot be made"),
        ({"out": "file/run"}, "^out: file/run cannot be made"),
        ({"out": "taken"}, "^out: taken exists; to go on with it use --resume taken"),
    ],
)
def test_what_cannot_be_used_is_named_and_nothing_is_left(change, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "precious").write_text("kept")
    (tmp_path / "file").write_text("kept")
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    given = {"model": Bell, "steps": 3, "settings": QUICK} | change
    with pytest.raises(InputError, match=message):
        fit(given.pop("model"), points(), **given)
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before
    assert (tmp_path / "taken" / "precious").read_text() == (tmp_path / "file").read_text() == "kept"


def test_a_model_for_other_data_is_refused(tmp_path):
    with pytest.raises(InputError, match="^model: made for points of 2 numbers, the data is images 8 x 8"):
        fit(create(Bell, points()), digits(100), steps=2, out=tmp_path / "run")
    with pytest.raises(InputError, match="^data: this model works on real numbers and cannot take windows of 12"):
        fit(Bell, text(), steps=2, out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("part", ["train", "valid"])
def test_an_empty_split_is_refused_before_anything_is_written(part, tmp_path):
    import dataclasses

    from pushforward.core.data import Rows

    data = points()
    empty = dataclasses.replace(data, **{part: Rows(data.train.x[:0], data.train.condition[:0])})
    with pytest.raises(InputError, match=r"^data: its (training|validation) split is empty"):
        fit(create(Bell, data), empty, steps=2, out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_diverged_run_keeps_its_last_good_checkpoint_and_loads(tmp_path):
    data = points()
    with pytest.raises(Diverged, match="at step 10 of phase 'one' the term 'pull'"):
        fit(Watched, data, steps=20, out=tmp_path / "run", settings=QUICK, options={"explodes": True})
    position, tensors = load_checkpoint(tmp_path / "run" / "checkpoint")
    assert position.step == 10
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values() if tensor.is_floating_point())
    run = load(tmp_path / "run")
    assert not run.training["finished"]
    assert torch.isfinite(run.model.sample(5, seed=0)).all()
    with pytest.raises(Diverged):  # going on ends where it ended
        resume(tmp_path / "run", data=data)
