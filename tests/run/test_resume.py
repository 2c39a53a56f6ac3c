"""Resume: to the bit as if the run had not been stopped, and refusing by name what would not be."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pushforward.core.data import Data
from pushforward.core.errors import InputError
from pushforward.probability.baselines import Gaussian
from pushforward.run.loaded import load
from pushforward.run.verbs import fit, resume
from pushforward.training.checkpoint import load_checkpoint
from pushforward.training.loop import Stopped
from pushforward.training.settings import Settings
from tests.run.runs import QUICK, draw_nothing, final, weights
from tests.small_data import points
from tests.training.learners import Bell, Duel
from tests.training.watched import metrics

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def quick_pictures(monkeypatch):
    monkeypatch.setattr("pushforward.run.verbs.draw_samples", draw_nothing)


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
