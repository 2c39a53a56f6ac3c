"""Whatever a person gives by mistake: status 2, one sentence that names the argument, and nothing changed on disk."""

import errno
import gzip
import hashlib
import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import pushforward as pf
from pushforward.cli import main
from pushforward.core import files

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def a_run(tmp_path_factory) -> Path:
    """A finished run on points; the tests copy it."""
    path = tmp_path_factory.mktemp("runs") / "run"
    pf.fit("gaussian", "8gaussians", out=path, show=False)
    return path


@pytest.fixture(scope="module")
def a_labelled_run(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "labelled"
    pf.fit("gaussian", "digits", out=path, show=False)
    return path


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder with the digest of what is in it."""
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def refused(arguments: list[str], folder: Path, capsys, *, names: str) -> str:
    """The command line must refuse in one sentence that holds ``names``, and change nothing below ``folder``."""
    before = contents(folder)
    status = main(arguments)
    said = capsys.readouterr()
    assert status == 2, said
    lines = said.err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("pushforward: "), said.err
    assert "Traceback" not in said.err and names in lines[0], lines[0]
    assert said.out == ""
    assert contents(folder) == before
    return lines[0]


# -- data ------------------------------------------------------------------------------------------------------------


def picture(path: Path, size=(8, 8), mode="L") -> None:
    path.parent.mkdir(exist_ok=True)
    Image.new(mode, size, 7).save(path)


def truncated_png(at: Path) -> Path:
    for i in range(4):
        picture(at / f"{i}.png", (64, 64))
    whole = (at / "3.png").read_bytes()
    (at / "3.png").write_bytes(whole[: len(whole) // 2])
    return at


def text_as_png(at: Path) -> Path:
    picture(at / "a.png")
    (at / "b.png").write_text("not a picture")
    return at


def empty_folder(at: Path) -> Path:
    at.mkdir()
    return at


def folder_of_nothing_known(at: Path) -> Path:
    at.mkdir()
    (at / "a.xyz").write_bytes(b"1")
    return at


def one_picture(at: Path) -> Path:
    picture(at / "a.png")
    return at


def csv(text: str):
    def make(at: Path) -> Path:
        at.mkdir()
        (at / "t.csv").write_text(text)
        return at / "t.csv"

    return make


def array(value, name="a.npy"):
    def make(at: Path) -> Path:
        at.mkdir()
        np.save(at / name, value, allow_pickle=True)
        return at / name

    return make


def contents_of(raw: bytes, name: str):
    def make(at: Path) -> Path:
        at.mkdir()
        (at / name).write_bytes(raw)
        return at / name

    return make


def with_nan(n: int) -> np.ndarray:
    values = np.random.default_rng(0).normal(size=(n, 2))
    values[3, 1] = np.nan
    return values


ROWS = "".join(f"{i},{i % 7}\n" for i in range(30))

BAD_DATA = {
    "truncated png": (truncated_png, "3.png"),
    "text named png": (text_as_png, "b.png"),
    "empty folder": (empty_folder, "data"),
    "folder without anything known": (folder_of_nothing_known, "data"),
    "a single picture": (one_picture, "data"),
    "ragged csv": (csv("a,b\n1,2\n3\n4,5,6\n" + ROWS), "t.csv"),
    "csv of a single row": (csv("a,b\n1,2\n"), "1 rows"),
    "csv of a header only": (csv("a,b\n"), "t.csv"),
    "empty csv": (csv(""), "t.csv"),
    "csv with an infinite cell": (csv("a,b\n" + ROWS + "inf,3\n"), "infinite"),
    "csv with only missing cells": (csv("a,b\n" + ",\n" * 30), "column"),
    "csv with the same heading twice": (csv("a,a\n" + ROWS), "a"),
    "array with NaN": (array(with_nan(50)), "NaN"),
    "array with infinity": (array(np.full((50, 2), np.inf)), "infinite"),
    "array of objects": (array(np.array([{"a": 1}, None] * 20, dtype=object)), "a.npy"),
    "array of complex numbers": (array(np.ones((50, 2), dtype=complex)), "complex"),
    "array of one row": (array(np.ones((1, 2))), "1"),
    "array without rows": (array(np.ones((0, 2))), "0"),
    "array of five dimensions": (array(np.ones((20, 2, 2, 2, 2))), "shape"),
    "npy of zero bytes": (contents_of(b"", "a.npy"), "a.npy"),
    "npz that is not a zip": (contents_of(b"hello", "a.npz"), "a.npz"),
    "gz that is not gzip": (contents_of(b"hello", "train-images-idx3-ubyte.gz"), "idx3"),
    "idx with a wrong head": (contents_of(gzip.compress(b"\1\2\3\4hello"), "train-images-idx3-ubyte.gz"), "idx3"),
    "text of zero bytes": (contents_of(b"", "a.txt"), "a.txt"),
    "text that is not utf-8": (contents_of(b"\xc3\x28hello" * 50, "a.txt"), "a.txt"),
    "parquet that is not": (contents_of(b"hello", "a.parquet"), "a.parquet"),
    "file of an unknown kind": (contents_of(b"hello", "a.xyz"), "a.xyz"),
    "pickled array": (contents_of(pickle.dumps([1, 2, 3]), "a.npy"), "a.npy"),
    "a path that is not there": (lambda at: at / "nowhere.csv", "nowhere.csv"),
    "a name that is not known": (lambda at: Path("digitz"), "did you mean digits"),
}


@pytest.mark.parametrize("case", BAD_DATA)
def test_data_that_cannot_be_used(case, tmp_path, capsys):
    make, names = BAD_DATA[case]
    source = make(tmp_path / "data")
    refused(["fit", "gaussian", "--data", str(source), "--out", str(tmp_path / "out")], tmp_path, capsys, names=names)
    assert not (tmp_path / "out").exists()


# -- arguments of fit ------------------------------------------------------------------------------------------------

BAD_FIT = {
    "negative budget": (["--budget", "-3s"], "budget"),
    "budget of nothing": (["--budget", "0"], "budget"),
    "budget in words": (["--budget", "soon"], "budget"),
    "negative steps": (["--steps", "-5"], "steps"),
    "steps in words": (["--steps", "many"], "steps"),
    "steps and budget": (["--steps", "5", "--budget", "3s"], "budget"),
    "unknown flag": (["--stepz", "5"], "--steps"),
    "unknown field of the model": (["--model.latent-dims", "5"], "--model.latent-dims"),
    "unknown precision": (["--precision", "8"], "precision"),
    "a GPU that is not there": (["--device", "cuda"], "device"),
    "unknown schedule": (["--schedule", "linear"], "schedule"),
    "decay of one": (["--ema", "1.0"], "ema"),
    "no batch": (["--batch-size", "-1"], "batch_size"),
    "infinite learning rate": (["--lr", "inf"], "lr"),
    "negative seed": (["--seed", "-1"], "seed"),
    "parts that do not divide": (["--batch-size", "10", "--accumulate", "3"], "accumulate"),
    "condition column of no table": (["--condition-column", "age"], "condition"),
    "resolution without a step": (["--resolution", "age"], "resolution"),
}


@pytest.mark.parametrize("case", BAD_FIT)
def test_arguments_of_fit(case, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    arguments, names = BAD_FIT[case]
    out = ["--out", str(tmp_path / "out")]
    refused(["fit", "gan", "--data", "8gaussians", *out, *arguments], tmp_path, capsys, names=names)


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["fot"], "did you mean 'fit'"),
        (["fit"], "model"),
        (["fit", "gaussain", "--data", "digits"], "did you mean 'gaussian'"),
        (["fit", "gaussian"], "--data"),
        (["fit", "no.such.module:Model", "--data", "digits"], "no.such.module"),
        (["fit", "--resume", "nowhere"], "nowhere"),
        (["fit", "gaussian", "--data", "tinyshakespeare-not"], "tinyshakespeare"),
        (["sample"], "run"),
        (["sample", "nowhere"], "nowhere"),
        (["models", "please"], "please"),
        (["completion", "cmd"], "bash"),
    ],
)
def test_verbs_and_names(arguments, names, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(arguments, tmp_path, capsys, names=names)


def test_an_existing_folder_is_refused_and_resume_is_named(tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("precious")
    out = ["--out", str(tmp_path / "out")]
    refused(["fit", "gaussian", "--data", "8gaussians", *out], tmp_path, capsys, names="--resume")


def test_a_place_below_a_file_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("precious")
    out = ["--out", str(tmp_path / "file" / "run")]
    refused(["fit", "gaussian", "--data", "8gaussians", *out], tmp_path, capsys, names="out")


def test_a_full_disk_leaves_nothing_behind(tmp_path, capsys, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    out = ["--out", str(tmp_path / "runs" / "run")]
    (tmp_path / "runs").mkdir()
    refused(["fit", "gaussian", "--data", "8gaussians", *out], tmp_path, capsys, names="No space left")
    assert os.listdir(tmp_path / "runs") == []


# -- arguments of sample, and runs that are not what they were -------------------------------------------------------

BAD_SAMPLE = {
    "none": (["-n", "0"], "n"),
    "minus two": (["-n", "-2"], "n"),
    "a condition that was not learned": (["--condition", "3"], "condition"),
    "a prompt for points": (["--prompt", "ROMEO:"], "prompt"),
    "an unknown ending": (["--out", "samples.xyz"], "samples.xyz"),
    "an ending of another modality": (["--out", "samples.txt"], "samples.txt"),
    "a folder that is not there": (["--out", "nowhere/samples.npy"], "nowhere"),
    "a negative seed": (["--seed", "-1"], "seed"),
    "a negative start": (["--start", "-1"], "start"),
    "a sampler it does not have": (["--sampler.top-p", "0.9"], "--sampler.top-p"),
    "a strange device": (["--device", "tpu"], "device"),
}


@pytest.mark.parametrize("case", BAD_SAMPLE)
def test_arguments_of_sample(case, a_run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(a_run, tmp_path / "run")
    arguments, names = BAD_SAMPLE[case]
    refused(["sample", "run", *arguments], tmp_path, capsys, names=names)


def test_a_class_that_is_not_there(a_labelled_run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(a_labelled_run, tmp_path / "run")
    refused(["sample", "run", "--condition", "ten"], tmp_path, capsys, names="ten")
    refused(["sample", "run", "-n", "3", "--condition", "1,2"], tmp_path, capsys, names="condition")


def flip_a_byte(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)


def foreign_weights(run: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"w": np.ones(3, np.float32)}, run / "model.safetensors")


def edit_json(name: str, **changes):
    def spoil(run: Path) -> None:
        record = json.loads((run / name).read_text())
        (run / name).write_text(json.dumps({**record, **changes}))

    return spoil


SPOILED = {
    "weights changed": (lambda run: flip_a_byte(run / "model.safetensors"), "SHA-256"),
    "weights of another program": (foreign_weights, "model.safetensors"),
    "a pickle named safetensors": (
        lambda run: (run / "model.safetensors").write_bytes(pickle.dumps({"a": 1})),
        "model.safetensors",
    ),
    "weights of zero bytes": (lambda run: (run / "model.safetensors").write_bytes(b""), "model.safetensors"),
    "weights that are not the recorded ones": (edit_json("training.json", weights="0" * 64), "SHA-256"),
    "config of another program": (
        lambda run: (run / "config.json").write_text('{"model_type": "gpt2"}'),
        "config.json",
    ),
    "config that is not JSON": (lambda run: (run / "config.json").write_text("{"), "config.json"),
    "config that names a foreign class": (
        edit_json("config.json", model={"class": "os:system", "fields": {}}),
        "os:system",
    ),
    "config that names a function": (
        edit_json("config.json", model={"class": "pushforward.zoo:find", "fields": {}}),
        "find",
    ),
    "records gone": (lambda run: (run / "data.json").unlink(), "run"),
    "records of nothing": (lambda run: (run / "training.json").write_text("[]"), "training.json"),
}


@pytest.mark.parametrize("case", SPOILED)
def test_runs_that_are_not_what_they_were(case, a_run, tmp_path, capsys):
    shutil.copytree(a_run, tmp_path / "run")
    spoil, names = SPOILED[case]
    spoil(tmp_path / "run")
    refused(["sample", str(tmp_path / "run"), "-n", "2"], tmp_path, capsys, names=names)


def test_a_frame_with_infinite_cells_is_refused_in_python_too():
    frame = pd.DataFrame({"a": [1.0, np.inf] * 20, "b": ["x", "y"] * 20})
    with pytest.raises(pf.InputError, match="infinite"):
        pf.load_data(frame)
