"""Loading a run: what it trusts, what it refuses, and samples as the user knows them."""

import json
import os
import pickle
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from pushforward.core.errors import InputError
from pushforward.core.files import write_tensors
from pushforward.probability.baselines import Gaussian, Independent
from pushforward.run.loaded import load, metrics
from pushforward.run.verbs import fit
from pushforward.training.settings import Settings
from tests.small_data import digits, points, table
from tests.training.learners import Bell

QUICK = Settings(threads=1, device="cpu")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run, to be copied."""
    return fit(Bell, points(), steps=5, out=tmp_path_factory.mktemp("runs") / "run", settings=QUICK).path


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


# --- what is refused ----------------------------------------------------------------------------------------------


def _flip(path):
    contents = bytearray(path.read_bytes())
    contents[-1] ^= 1
    path.write_bytes(contents)


def _truncate(path):
    path.write_bytes(path.read_bytes()[:-3])


def _pickle(path):
    path.write_bytes(pickle.dumps({"mean": [0.0, 0.0]}))


class Bomb:
    """An object that makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mknod, (str(self.path),)


def _foreign(path):
    save_file({"mean": torch.zeros(2), "log_std": torch.zeros(2)}, path)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (_flip, "do not match the recorded SHA-256"),
        (_truncate, "is not a safetensors file"),
        (_pickle, "is not a safetensors file"),
        (lambda path: path.write_bytes(b""), "is not a safetensors file"),
        (_foreign, "carries no SHA-256"),
        (lambda path: write_tensors(path, {"mean": torch.zeros(3), "log_std": torch.zeros(2)}), "mean has shape"),
        (lambda path: write_tensors(path, {"mean": torch.zeros(2)}), "log_std has shape None"),
        (lambda path: write_tensors(path, {k: v + 1 for k, v in load_file(path).items()}), "SHA-256 in training.json"),
    ],
)
def test_weights_that_are_not_those_of_the_run_are_refused(run, harm, message):
    harm(run / "model.safetensors")
    with pytest.raises(InputError, match=message):
        load(run)


def test_nothing_is_unpickled(run, tmp_path):
    (run / "model.safetensors").write_bytes(pickle.dumps(Bomb(tmp_path / "made")))
    with pytest.raises(InputError):
        load(run)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"format": 2, "model": {}}, "is not a pushforward configuration"),
        ({"format": 1, "model": 5}, "describes a int, expected a model"),
        (
            {"format": 1, "model": {"class": "os:system", "fields": {}}},
            "^config: names the class 'os:system'; import it",
        ),
        ({"format": 1, "model": {"class": "subprocess:Popen", "fields": {}}}, "'subprocess:Popen' is not a dataclass"),
        ({"format": 1, "model": {"class": "pushforward.core.files:Path", "fields": {}}}, "is not a dataclass"),
        ({"format": 1, "model": {"class": "pushforward.none:X", "fields": {}}}, "cannot be imported"),
        (["format"], "is not a pushforward configuration"),
    ],
)
def test_a_configuration_that_is_not_ours_is_refused(run, config, message):
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=message):
        load(run)


@pytest.mark.parametrize("field", ["start", "strange"])
def test_a_field_that_does_not_belong_is_named(run, field):
    config = json.loads((run / "config.json").read_text())
    config["model"]["fields"] |= {"strange": 1} if field == "strange" else {"start": {"class": "os:x", "fields": {}}}
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="no field 'strange'" if field == "strange" else "'os:x'"):
        load(run)


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "nothing", __file__):
        with pytest.raises(InputError, match="^run: .* is not a run folder"):
            load(path)


# --- samples as the user knows them -------------------------------------------------------------------------------


def test_points_are_arrays(run):
    drawn = load(run).sample(5, seed=0)
    assert isinstance(drawn, np.ndarray) and drawn.shape == (5, 2) and drawn.dtype == np.float64
    assert np.array_equal(drawn[2:], load(run).sample(3, seed=0, start=2))
    assert not np.array_equal(load(run).sample(5), load(run).sample(5))


def test_images_are_arrays_of_levels(tmp_path):
    run = fit(Gaussian, digits(300), out=tmp_path / "run", settings=QUICK)
    drawn = run.sample(4, seed=0, condition=7)
    assert drawn.shape == (4, 8, 8) and drawn.dtype == np.uint8 and drawn.max() <= 16
    both = run.sample(2, seed=0, condition=[7, 1])
    assert np.array_equal(both[0], drawn[0]) and not np.array_equal(both[1], drawn[1])
    with pytest.raises(InputError, match="^condition: got 11, expected a class of digit: 0, 1, 2"):
        run.sample(1, condition=11)
    with pytest.raises(InputError, match="^condition: got 2 of them, expected 1 or 3"):
        run.sample(3, condition=[7, 1])


def test_rows_of_a_table_are_a_dataframe(tmp_path):
    run = fit(Independent, table(), out=tmp_path / "run", settings=QUICK)
    frame = run.sample(200, seed=0, condition="north")
    assert isinstance(frame, pd.DataFrame) and list(frame) == ["age", "size", "kind", "colour", "unit"]
    assert frame["age"].dtype == "int64" and set(frame["kind"]) == {0, 1, 2}
    assert set(frame["colour"].dropna()) == {"red", "blue"} and set(frame["unit"]) == {"m"}
    # A fifth of the cells of `size` are missing in the data: within five standard deviations of 200 draws.
    assert abs(frame["size"].isna().mean() - 0.2) < 5 * (0.2 * 0.8 / 200) ** 0.5


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"n": 0}, "^n: got 0"),
        ({"seed": -1}, "^seed: got -1"),
        ({"start": -1}, "^start: got -1"),
        ({"sampler": "fast"}, "^sampler: got str, Bell takes none"),
        ({"prompt": "Once"}, "^prompt: this model makes points of 2 numbers"),
        ({"length": 3}, "^prompt: this model makes points of 2 numbers"),
        ({"condition": "c"}, "^condition: got 'c', expected a class of label: a, b"),
    ],
)
def test_an_argument_that_does_not_suit_is_named(run, given, message):
    with pytest.raises(InputError, match=message):
        load(run).sample(**{"n": 2} | given)


def test_a_model_without_condition_takes_none(tmp_path):
    run = fit(Bell(example=points().example), points(), steps=2, out=tmp_path / "run", settings=QUICK)
    with pytest.raises(InputError, match="^condition: got 'a', but this model was fitted without a condition"):
        run.sample(2, condition="a")


def test_metrics_are_lines_of_the_run(run):
    lines = metrics(run)
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5]
    assert set(lines[0]) == {"step", "stage", "seconds", "validation", "loss"}
