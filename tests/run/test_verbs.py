"""Fit and resume: exact, repeatable, and refusing by name what would not be."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pushforward.core.data import Data
from pushforward.core.errors import InputError
from pushforward.plotting import draw_samples
from pushforward.probability.baselines import Gaussian
from pushforward.run.loaded import load
from pushforward.run.verbs import fit, plan, resume
from pushforward.training.checkpoint import load_checkpoint
from pushforward.training.loop import Stopped
from pushforward.training.metrics import Diverged
from pushforward.training.settings import Settings
from pushforward.zoo import create
from tests.small_data import digits, points, text
from tests.training.learners import Bell, Duel
from tests.training.watched import Watched, metrics

QUICK = Settings(threads=1, device="cpu", batch_size=32, validate_every=5)
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def quick_pictures(monkeypatch):
    """Pictures of points take longer than all else here; these only say what they show."""

    def draw(model, data, folder, *, seed):
        (folder / "samples.txt").write_text(str(model.sample(3, seed=seed).tolist()))

    monkeypatch.setattr("pushforward.run.verbs.draw_samples", draw)


def weights(folder: Path) -> dict[str, bytes]:
    """What samples are drawn with, byte for byte."""
    return {name: tensor.numpy().tobytes() for name, tensor in load_file(folder / "model.safetensors").items()}


def final(folder: Path) -> dict[str, bytes]:
    """Everything in the last checkpoint, byte for byte: raw, averaged and best weights, and the random state."""
    return {name: tensor.numpy().tobytes() for name, tensor in load_checkpoint(folder / "checkpoint")[1].items()}


def stopped(kind: type | str, data: Data, out: Path, *, after: int = 1, steps: int = 20, **fields) -> Path:
    """A run that Ctrl-C stopped at its validation number ``after``."""
    lines = []

    def log(folder, line):
        lines.append(line)
        if len(lines) == after:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Stopped):
        fit(kind, data, steps=steps, seed=1, out=out, settings=QUICK, options=fields, log=log)
    return out


# --- fit ---------------------------------------------------------------------------------------------------------


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


# --- resume --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [1, 3])
@pytest.mark.parametrize(("kind", "fields"), [(Bell, {"dropout": 0.4}), (Duel, {})])
def test_a_stopped_run_goes_on_to_the_bit(kind, fields, after, tmp_path):
    data = points()
    whole = fit(kind, data, steps=20, seed=1, out=tmp_path / "whole", settings=QUICK, options=fields)
    path = stopped(kind, data, tmp_path / "part", after=after, **fields)
    assert json.loads((path / "training.json").read_text())["finished"] is False
    assert load_checkpoint(path / "checkpoint")[0].step == 5 * after
    run = resume(path, data=data)
    assert weights(path) == weights(whole.path)
    assert final(path) == final(whole.path)
    assert metrics(path) == metrics(whole.path)
    assert run.training["figure"] == whole.training["figure"]
    assert (path / "samples.txt").read_text() == (whole.path / "samples.txt").read_text()


def test_a_finished_run_is_left_as_it_is(tmp_path):
    data = points()
    path = fit(Bell, data, steps=5, out=tmp_path / "run", settings=QUICK).path
    before = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in path.rglob("*") if file.is_file()}
    resume(path, data=data)
    resume(path)
    assert before == {f: (f.read_bytes(), f.stat().st_mtime_ns) for f in path.rglob("*") if f.is_file()}


def test_a_closed_form_starts_over(tmp_path):
    data = points()
    whole = fit(Gaussian, data, out=tmp_path / "whole", settings=QUICK)
    lines = []

    def log(folder, line):
        lines.append(line)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(Gaussian, data, out=tmp_path / "part", settings=QUICK, log=log)
    run = resume(tmp_path / "part", data=data)
    assert weights(run.path) == weights(whole.path)
    assert metrics(run.path) == metrics(whole.path)


def edit(path: Path, *keys: str, value) -> None:
    record = json.loads(path.read_text())
    inner = record
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    path.write_text(json.dumps(record))


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory) -> Path:
    """A run that was stopped, to be copied."""
    return stopped(Bell, points(), tmp_path_factory.mktemp("runs") / "run")


@pytest.mark.parametrize(
    ("file", "keys", "value", "message"),
    [
        ("training.json", ["versions", "pushforward"], "0.0.1", "^version: got .* the run has '0.0.1'"),
        ("training.json", ["versions", "torch"], "1.0", "^torch: got .* the run has '1.0'"),
        ("training.json", ["processes"], 2, "^processes: got 1, the run has 2"),
        ("training.json", ["settings"], {"pace": 1}, "training.json: holds no settings"),
        ("training.json", ["settings", "batch_size"], -1, "^batch_size: got -1"),
        ("training.json", ["versions"], "new", "is not a record of a run"),
        ("config.json", ["model", "fields", "start"], 0.5, "^model: "),
        ("data.json", ["fingerprint"], "0" * 64, "^data: "),
    ],
)
def test_a_record_that_differs_is_named(interrupted, file, keys, value, message, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(interrupted, path)
    edit(path / file, *keys, value=value)
    before = weights(path)
    with pytest.raises(InputError, match=message):
        resume(path, data=points())
    assert weights(path) == before
    assert load_checkpoint(path / "checkpoint")[0].step == 5


def test_other_data_other_threads_or_no_data_are_refused(interrupted):
    with pytest.raises(InputError, match="^data: it differs from that of the run"):
        resume(interrupted, data=points(610))
    with pytest.raises(InputError, match="^threads: got 2, the run has 1"):
        resume(interrupted, data=points(), threads=2)
    with pytest.raises(InputError, match=r"^data: this run was fitted to an object, expected data=\.\.\."):
        resume(interrupted)


def test_another_precision_is_refused(interrupted, tmp_path):
    """The weights of the checkpoint say in which precision they were trained."""
    path = tmp_path / "run"
    shutil.copytree(interrupted, path)
    edit(path / "training.json", "settings", "precision", value="64")
    with pytest.raises(InputError, match="precision"):
        resume(path, data=points())


@pytest.mark.parametrize("missing", ["config.json", "training.json", "data.json", "model.safetensors"])
def test_what_is_no_run_is_refused(interrupted, missing, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(interrupted, path)
    (path / missing).unlink()
    for verb in (resume, load):
        with pytest.raises(InputError, match="^run: .* is not a run folder"):
            verb(path)


def test_a_class_from_outside_must_be_trusted(tmp_path, monkeypatch):
    """A run of a user's own class, taken up by a process that has not imported it."""
    source = "from tests.training.learners import *\nfrom pushforward.core.model import model\n"
    (tmp_path / "own_bell.py").write_text(source + "@model\nclass OwnBell(Bell):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    path = stopped("own_bell:OwnBell", points(), tmp_path / "run")
    monkeypatch.delitem(sys.modules, "own_bell")
    for verb in (lambda: resume(path, data=points()), lambda: load(path)):
        with pytest.raises(InputError, match=r"names the class 'own_bell:OwnBell'; import it first, or pass trust"):
            verb()
        assert "own_bell" not in sys.modules
    run = resume(path, data=points(), trust=["own_bell:OwnBell"])
    assert run.training["finished"]


# --- signals to a process -----------------------------------------------------------------------------------------

FIT = """
import sys, torch
from pathlib import Path
from pushforward.run.verbs import fit
from pushforward.training.loop import Stopped
from pushforward.training.settings import Settings
from tests.small_data import points
from tests.training.learners import Bell
settings = Settings(threads=1, device="cpu", batch_size=32, validate_every=200)
try:
    fit(Bell, points(), steps=6_000, seed=1, out=sys.argv[1], settings=settings, options={"dropout": 0.4})
except Stopped as stopped:
    print(stopped)
    sys.exit(130)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signalled_process_leaves_a_checkpoint_to_go_on_from(number, tmp_path):
    path = tmp_path / "run"
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", FIT, str(path)], env=environment, stdout=subprocess.PIPE, text=True
    )
    while process.poll() is None and not (path.exists() and (path / "metrics.jsonl").read_text()):
        time.sleep(0.05)
    process.send_signal(number)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    step = load_checkpoint(path / "checkpoint")[0].step
    assert said.strip() == f"stopped after step {step} of 6000" and 200 <= step < 6_000
    settings = Settings(threads=1, device="cpu", batch_size=32, validate_every=200)
    fields = {"dropout": 0.4}
    whole = fit(Bell, points(), steps=6_000, seed=1, out=tmp_path / "whole", settings=settings, options=fields)
    resume(path, data=points())
    assert weights(path) == weights(whole.path)
    assert final(path) == final(whole.path)
    assert metrics(path) == metrics(whole.path)
