"""Bad input ends in one sentence that names the argument and what is accepted, and changes nothing."""

import gzip
import os
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image as Picture

from pushforward.core.errors import InputError
from pushforward.datasets.load import load_data
from tests.datasets.test_binary_files import idx

TEN = np.arange(40.0).reshape(10, 4)


def photos(folder, extra: str = "", contents: bytes = b"") -> str:
    """A folder of good pictures, and one more file."""
    for index in range(4):
        Picture.new("L", (8, 8), index).save(folder / f"{index}.png")
    if extra:
        (folder / extra).parent.mkdir(exist_ok=True)
        (folder / extra).write_bytes(contents)
    return str(folder)


def file(folder, name: str, contents: bytes | str) -> str:
    (folder / name).write_bytes(contents.encode() if isinstance(contents, str) else contents)
    return str(folder / name)


def saved(folder, name: str, writer, *args, **kwargs) -> str:
    writer(folder / name, *args, **kwargs)
    return str(folder / name)


def half_a_png(folder) -> str:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    Picture.fromarray(noise).save(folder / "good.png")
    return photos(folder, "sub/half.png", (folder / "good.png").read_bytes()[:1500])


def npy(folder) -> bytes:
    np.save(folder / "whole.npy", TEN)
    return (folder / "whole.npy").read_bytes()


def one_picture(folder) -> str:
    Picture.new("L", (8, 8)).save(folder / "only.png")
    return str(folder)


def frame(**columns) -> pd.DataFrame:
    return pd.DataFrame({"n": np.arange(10), **columns})


#: What comes, by what is wrong with it: (the source made in an empty folder, further arguments, words of the message).
CASES = {
    "unknown name": (lambda _: "mnits", {}, ["did you mean mnist"]),
    "name like nothing": (lambda _: "zzzz", {}, ["expected one of digits"]),
    "missing file": (lambda d: str(d / "absent.csv"), {}, ["absent.csv", "no file or folder"]),
    "unknown ending": (lambda d: file(d, "a.docx", "x"), {}, ["a.docx", ".csv"]),
    "no ending": (lambda d: file(d, "README", "x"), {}, ["README", "expected"]),
    "None": (lambda _: None, {}, ["NoneType", "expected"]),
    "number": (lambda _: 3, {}, ["got a int"]),
    "dictionary": (lambda _: {"a": [1, 2]}, {}, ["got a dict"]),
    "an object": (lambda _: object(), {}, ["dtype object"]),
    "empty folder": (lambda d: str(d), {}, ["holds no files", "pictures"]),
    "folder of other files": (lambda d: os.path.dirname(file(d, "a.docx", "x")), {}, ["1 files such as a.docx"]),
    "truncated PNG": (half_a_png, {}, ["half.png", "cannot be read"]),
    "text named .png": (lambda d: photos(d, "x.png", b"hello"), {}, ["x.png", "is not a picture"]),
    "empty .png": (lambda d: photos(d, "x.png"), {}, ["x.png"]),
    "empty .jpg in a class": (lambda d: photos(d, "sub/x.jpg"), {}, ["sub/x.jpg"]),
    "single picture": (one_picture, {}, ["holds 1 example,"]),
    "empty file": (lambda d: file(d, "a.csv", ""), {}, ["a.csv", "0 bytes"]),
    "empty .npy": (lambda d: file(d, "a.npy", ""), {}, ["0 bytes"]),
    "blank text": (lambda d: file(d, "a.txt", " \n "), {}, ["a.txt", "is empty"]),
    "short text": (lambda d: file(d, "a.txt", "hello"), {}, ["5 characters", "at least 40"]),
    "binary text": (lambda d: file(d, "a.txt", b"\x80\x81" * 50), {}, ["a.txt", "not UTF-8"]),
    "broken gzip": (lambda d: file(d, "a.txt.gz", gzip.compress(b"x" * 99)[:-12]), {}, ["a.txt.gz", "cannot be read"]),
    "texts one of which is empty": (lambda d: os.path.dirname(file(d, "a.txt", "")), {}, ["a.txt", "is empty"]),
    "ragged CSV": (lambda d: file(d, "a.csv", "a,b\n1,2\n3,4,5\n"), {}, ["line 3", "expected 2"]),
    "unclosed quote": (lambda d: file(d, "a.csv", 'a,b\n1,2\n"3,4\n5,6\n'), {}, ["line 3"]),
    "header only": (lambda d: file(d, "a.csv", "a,b\n"), {}, ["no rows"]),
    "single row": (lambda d: file(d, "a.csv", "a,b\n1,2\n"), {}, ["1 rows", "at least 3"]),
    "twice the same name": (lambda d: file(d, "a.csv", "a,a\n1,2\n3,4\n5,6\n"), {}, ["two columns named 'a'"]),
    "spreadsheet named .csv": (lambda d: file(d, "a.csv", b"PK\x03\x04\0\0"), {}, ["zero bytes", "spreadsheet"]),
    "no usable column": (
        lambda d: file(d, "a.csv", "a,b\n" + "".join(f"k{i},q{i}\n" for i in range(50))),
        {},
        ["no usable column", "expected numbers or categories"],
    ),
    "all missing": (lambda _: pd.DataFrame({"a": [None] * 9}), {}, ["no usable column"]),
    "infinite cell": (lambda d: file(d, "a.csv", "a,b\n1,2\n3,inf\n5,6\n7,8\n"), {}, ["'b'", "row 2", "finite"]),
    "infinite DataFrame": (lambda _: frame(a=[1.0] * 9 + [-np.inf]), {}, ["'a'", "row 10"]),
    "dates": (lambda _: frame(when=pd.date_range("2020", periods=10)), {}, ["'when'", "dates"]),
    "mixed types": (lambda _: frame(a=["x", 1] * 5), {}, ["'a'", "int, str"]),
    "lists in cells": (lambda _: frame(a=[[1]] * 10), {}, ["'a'", "list"]),
    "no rows": (lambda _: pd.DataFrame({"a": []}), {}, ["0 rows"]),
    "no columns": (lambda _: pd.DataFrame(index=range(9)), {}, ["no columns"]),
    "unknown condition column": (lambda _: frame(kind=[0, 1] * 5), {"condition_column": "knd"}, ["did you mean kind"]),
    "the only column": (lambda _: frame(), {"condition_column": "n"}, ["only column"]),
    "too many classes": (lambda _: frame(a=np.arange(10) / 7), {"condition_column": "a"}, ["a: ", "classes"]),
    "condition twice": (lambda _: frame(k=[0] * 10), {"condition_column": "k", "condition": [0] * 10}, ["one of them"]),
    "condition of another length": (lambda _: TEN, {"condition": [0, 1]}, ["got an array of shape (2,)"]),
    "condition column of an array": (lambda _: TEN, {"condition_column": "a"}, ["condition_column", "points"]),
    "size of points": (lambda _: TEN, {"size": 8}, ["size", "points"]),
    "length of images": (lambda _: "digits", {"length": 8}, ["length", "digits"]),
    "lines of a table": (lambda _: frame(), {"lines": True}, ["lines", "a table"]),
    "negative size": (lambda _: "digits", {"size": -1}, ["size: got -1"]),
    "three sizes": (lambda _: "digits", {"size": (1, 2, 3)}, ["size: got (1, 2, 3)"]),
    "length of one": (lambda _: ["a", "b", "c"], {"length": 1}, ["length: got 1"]),
    "negative seed": (lambda _: "digits", {"seed": -1}, ["seed: got -1"]),
    "unknown resolution": (lambda _: frame(), {"resolution": {"m": 1.0}}, ["resolution", "'m'"]),
    "negative resolution": (lambda _: frame(), {"resolution": {"n": -1.0}}, ["resolution", "above 0"]),
    "NaN": (lambda _: np.where(TEN == 13, np.nan, TEN), {}, ["row 3, column 1 is NaN"]),
    "infinite": (lambda _: torch.tensor([[1.0], [float("inf")], [2.0]]), {}, ["row 1, column 0 is an infinite"]),
    "complex": (lambda _: TEN + 1j, {}, ["complex128"]),
    "ragged list": (lambda _: [[1, 2], [3]], {}, ["cannot be read as an array"]),
    "empty list": (lambda _: [], {}, ["shape (0, 1)"]),
    "no columns in an array": (lambda _: np.zeros((5, 0)), {}, ["shape (5, 0)"]),
    "scalar": (lambda _: np.array(3.0), {}, ["shape ()"]),
    "video": (lambda _: np.zeros((5, 4, 3, 2, 1)), {}, ["shape (5, 4, 3, 2, 1)"]),
    "images in -1 to 1": (lambda _: TEN.reshape(10, 2, 2) / 20 - 1, {}, ["-1", "numbers in [0, 1]"]),
    "16-bit levels": (lambda _: np.full((9, 2, 2), 4095), {}, ["4095", "0 to 255"]),
    "five channels": (lambda _: np.zeros((9, 5, 6, 7), np.uint8), {}, ["1 to 4 channels"]),
    "strings among numbers": (lambda _: ["a", 2, "c"], {}, ["item 1 is a int"]),
    "two rows": (lambda _: TEN[:2], {}, ["holds 2 examples", "at least 3"]),
    "pickle in .npy": (lambda d: saved(d, "a.npy", np.save, np.array([{}, 1], object)), {}, ["Python objects"]),
    "pickle named .npz": (lambda d: file(d, "a.npz", pickle.dumps({"x": [1]})), {}, ["a.npz", "expected an .npz"]),
    "cut .npy": (lambda d: file(d, "a.npy", npy(d)[:-8]), {}, ["a.npy", "cannot be read"]),
    ".npz of unknown names": (lambda d: saved(d, "a.npz", np.savez, p=TEN, q=TEN), {}, ["arrays p, q"]),
    ".npz of two shapes": (
        lambda d: saved(d, "a.npz", np.savez, train=TEN, test=TEN[:, :3]), {}, ["train (10, 4), test (10, 3)"],
    ),
    ".npz with too few labels": (lambda d: saved(d, "a.npz", np.savez, x=TEN, y=[1, 2]), {}, ["for 10 examples"]),
    "cut IDX": (lambda d: file(d, "a-idx3-ubyte", idx(np.zeros((9, 2, 2), np.uint8))[:-1]), {}, ["holds 35 bytes"]),
    "text named IDX": (lambda d: file(d, "a-idx3-ubyte", "hello"), {}, ["does not begin as an IDX"]),
    "text named .parquet": (lambda d: file(d, "a.parquet", "hello"), {}, ["a.parquet", "expected a Parquet"]),
    "PUSHFORWARD_DATA elsewhere": (lambda _: "mnist", {"environment": "/nowhere"}, ["PUSHFORWARD_DATA", "/nowhere"]),
}  # fmt: skip


def contents(folder) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("case", CASES)
def test_one_sentence(case, tmp_path, monkeypatch):
    make, arguments, words = CASES[case]
    source = make(tmp_path)
    before = contents(tmp_path)
    arguments = dict(arguments)
    if place := arguments.pop("environment", None):
        monkeypatch.setenv("PUSHFORWARD_DATA", place)
    with pytest.raises(InputError) as error:
        load_data(source, **arguments)
    message = str(error.value)
    assert all(word in message for word in words), message
    assert ": " in message and "\n" not in message and not message.endswith(".")
    # One sentence: no full stop followed by a new one, outside names of files.
    assert ". " not in message.replace("...", "")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["a.csv", "a.txt", "a.npy", "a.parquet", "a.npz", "a-idx3-ubyte"])
def test_a_file_that_may_not_be_read(name, tmp_path, monkeypatch):
    """As any other user than root would find it."""
    path = tmp_path / name
    path.write_text("a,b\n1,2\n3,4\n5,6\n")
    real = open

    def closed(file, *arguments, **named):
        if str(file) == str(path):
            raise PermissionError(13, "Permission denied")
        return real(file, *arguments, **named)

    monkeypatch.setattr("builtins.open", closed)
    monkeypatch.setattr("io.open", closed)
    with pytest.raises(InputError, match=name):
        load_data(path)
