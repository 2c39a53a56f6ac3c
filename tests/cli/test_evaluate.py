"""What `evaluate` does with what cannot be measured: status 2 and a sentence, or a marked cell; no wrong number."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import pushforward as pf
from pushforward.cli import main


@pytest.fixture(scope="module")
def points(tmp_path_factory) -> Path:
    """A finished run on points; the tests copy it."""
    path = tmp_path_factory.mktemp("runs") / "points"
    pf.fit("gaussian", "8gaussians", out=path, show=False)
    return path


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    """A finished run on a table of two columns that stand in a file."""
    folder = tmp_path_factory.mktemp("table")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"size": rng.normal(size=200), "colour": rng.choice(["red", "blue"], 200)})
    frame.to_csv(folder / "rows.csv", index=False)
    pf.fit("independent", folder / "rows.csv", out=folder / "run", show=False)
    return folder / "run"


def refused(arguments: list[str], capsys) -> str:
    capsys.readouterr()
    assert main(["evaluate", *arguments]) == 2
    said = capsys.readouterr()
    lines = said.err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("pushforward: ") and "Traceback" not in said.err, said.err
    assert said.out == ""
    return lines[0]


def csv(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


ARGUMENTS = {
    "no run": ([], "run: none was given after evaluate"),
    "no such run": (["nowhere"], "nowhere"),
    "one example": (["RUN", "--n", "1"], "n: got 1"),
    "negative seed": (["RUN", "--seed", "-1"], "seed: got -1"),
    "no draws": (["RUN", "--draws", "0"], "draws: got 0"),
    "unknown features": (["RUN", "--features", "nice"], "features"),
    "features of images": (["RUN", "--features", "inception"], "inception is for images"),
    "features of labels": (["RUN", "--features", "classifier"], "classifier"),
    "unknown flag": (["RUN", "--date", "a.csv"], "did you mean"),
    "no such file": (["RUN", "--data", "nowhere.csv"], "nowhere.csv"),
    "references of points": (["RUN", "--references", "pairs.csv"], "cannot go on from a prompt"),
    "no such device": (["RUN", "--device", "abacus"], "device"),
    "negative threads": (["RUN", "--threads", "-1"], "threads: got -1"),
}


@pytest.mark.parametrize(("arguments", "names"), ARGUMENTS.values(), ids=ARGUMENTS.keys())
def test_an_argument_that_cannot_be_used_is_named(arguments, names, points, capsys):
    assert names in refused([str(points) if word == "RUN" else word for word in arguments], capsys)


def test_a_file_of_other_columns_is_refused(table, tmp_path, capsys):
    path = csv(tmp_path / "other.csv", "height,weight\n1,2\n3,4\n")
    assert "size" in refused([str(table), "--data", path], capsys)


def test_a_file_without_rows_is_refused(table, tmp_path, capsys):
    assert "rows.csv" in refused([str(table), "--data", csv(tmp_path / "rows.csv", "size,colour\n")], capsys)


def test_words_among_numbers_are_refused(table, tmp_path, capsys):
    path = csv(tmp_path / "words.csv", "size,colour\n1.5,red\nbig,blue\n")
    assert "size" in refused([str(table), "--data", path], capsys)


def test_points_of_another_width_are_refused(points, tmp_path, capsys):
    np.save(tmp_path / "wide.npy", np.zeros((10, 3), dtype=np.float32))
    assert "3" in refused([str(points), "--data", str(tmp_path / "wide.npy")], capsys)


def test_nan_among_points_is_refused(points, tmp_path, capsys):
    np.save(tmp_path / "nan.npy", np.array([[0.0, 1.0], [math.nan, 2.0]], dtype=np.float32))
    assert "data: holds NaN" in refused([str(points), "--data", str(tmp_path / "nan.npy")], capsys)


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "data.json", "training.json"])
def test_a_half_written_run_is_refused(missing, points, tmp_path, capsys):
    run = shutil.copytree(points, tmp_path / "run")
    (run / missing).unlink()
    assert str(run) in refused([str(run)], capsys)


def test_weights_cut_short_are_refused(points, tmp_path, capsys):
    run = shutil.copytree(points, tmp_path / "run")
    whole = (run / "model.safetensors").read_bytes()
    (run / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    assert "model.safetensors" in refused([str(run)], capsys)


def test_a_run_whose_data_is_not_what_it_was_is_refused(table, tmp_path, capsys):
    folder = shutil.copytree(table.parent, tmp_path / "moved")
    data = json.loads((folder / "run" / "data.json").read_text())
    data["fingerprint"] = "0" * len(data["fingerprint"])
    (folder / "run" / "data.json").write_text(json.dumps(data))
    assert "is not what" in refused([str(folder / "run")], capsys)


def test_a_score_for_every_example_needs_a_density(tmp_path, capsys):
    pf.fit("gan", "8gaussians", steps=1, out=tmp_path / "gan", show=False)
    out = tmp_path / "scores.csv"
    assert "cannot score examples" in refused([str(tmp_path / "gan"), "--per-example", str(out)], capsys)
    assert not out.exists()


def test_identical_examples_have_marked_cells(points, tmp_path, capsys):
    """All examples alike: no spread to measure distances against, so those cells say why instead of a number."""
    np.save(tmp_path / "same.npy", np.ones((50, 2), dtype=np.float32))
    assert main(["evaluate", str(points), "--data", str(tmp_path / "same.npy"), "--json", "--no-baselines"]) == 0
    scores = json.loads(capsys.readouterr().out)["scores"]
    unsaid = [score["name"] for score in scores if score["value"] is None and not score["note"]]
    assert unsaid == []
    assert any(score["value"] is None for score in scores)


def test_fewer_examples_than_features_is_said(points, tmp_path, capsys):
    np.save(tmp_path / "two.npy", np.array([[0.0, 1.0], [1.0, 0.0]], dtype=np.float32))
    assert main(["evaluate", str(points), "--data", str(tmp_path / "two.npy"), "--json", "--no-baselines"]) == 0
    scores = {score["name"]: score for score in json.loads(capsys.readouterr().out)["scores"]}
    assert scores["two-sample accuracy (trees)"]["value"] is None and scores["two-sample accuracy (trees)"]["note"]
