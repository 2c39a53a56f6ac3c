"""``load_data`` as a door: every kind of source, what it is called, and how to load it again."""

import gzip
import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image as Picture

from pushforward.core.errors import InputError
from pushforward.core.modality import Image, Points
from pushforward.core.table import Table
from pushforward.core.text import Text
from pushforward.datasets.load import load_data
from pushforward.datasets.options import Options
from tests.datasets.test_binary_files import idx

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 2))
PIXELS = RNG.integers(0, 256, size=(50, 4, 5), dtype=np.uint8)
FRAME = pd.DataFrame({"a": RNG.normal(size=50), "b": RNG.choice(["u", "v"], 50)})
STREAM = "the quick brown fox jumps over the lazy dog. " * 20
LINES = [f"line number {i}" for i in range(50)]


def write(folder, name: str) -> None:
    """One source of each kind under its usual name."""
    path = folder / name
    match name:
        case "points.npy":
            np.save(path, X)
        case "pixels.npz":
            np.savez(path, x=PIXELS, y=np.arange(50) % 3)
        case "t-images-idx3-ubyte.gz":
            path.write_bytes(gzip.compress(idx(PIXELS)))
            (folder / "t-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx((np.arange(50) % 3).astype(np.uint8))))
        case "rows.csv":
            FRAME.to_csv(path, index=False)
        case "rows.tsv":
            FRAME.to_csv(path, index=False, sep="\t")
        case "rows.parquet":
            FRAME.to_parquet(path)
        case "book.txt":
            path.write_text(STREAM)
        case "book.txt.gz":
            path.write_bytes(gzip.compress(STREAM.encode()))
        case "photos" | "texts" | "idx":
            path.mkdir()
            for i in range(50):
                if name == "photos":
                    Picture.fromarray(PIXELS[i]).save(path / f"{i}.png")
                elif name == "texts":
                    (path / f"{i}.txt").write_text(LINES[i])
            if name == "idx":
                (path / "train-images-idx3-ubyte").write_bytes(idx(PIXELS))


KINDS = {
    "points.npy": (Points, "points", None),
    "pixels.npz": (Image, "pixels", 3),
    "t-images-idx3-ubyte.gz": (Image, "t-images-idx3-ubyte", 3),
    "rows.csv": (Table, "rows", None),
    "rows.tsv": (Table, "rows", None),
    "rows.parquet": (Table, "rows", None),
    "book.txt": (Text, "book", None),
    "book.txt.gz": (Text, "book", None),
    "photos": (Image, "photos", None),
    "texts": (Text, "texts", None),
    "idx": (Image, "idx", None),
}


@pytest.mark.parametrize("name", KINDS)
def test_paths(tmp_path, name):
    write(tmp_path, name)
    kind, title, classes = KINDS[name]
    data = load_data(tmp_path / name, seed=3)
    assert isinstance(data.example, kind) and data.name == title
    assert (data.condition.size if data.condition else None) == classes
    # The recipe is JSON, and loads the same data again.
    again = load_data(**json.loads(json.dumps(data.recipe)))
    assert again.fingerprint == data.fingerprint and again.recipe == data.recipe
    batch = data.train[torch.arange(2)]
    data.example.check(batch.x)


@pytest.mark.parametrize(
    ("source", "kind", "name"),
    [
        (X, Points, "array"),
        (X.tolist(), Points, "array"),
        (torch.from_numpy(X), Points, "array"),
        (PIXELS, Image, "array"),
        (FRAME, Table, "table"),
        (FRAME["a"], Table, "table"),
        (LINES, Text, "texts"),
        (tuple(LINES), Text, "texts"),
        (np.array(LINES), Text, "array"),
    ],
)
def test_objects(source, kind, name):
    data = load_data(source)
    assert isinstance(data.example, kind) and data.name == name and data.recipe is None
    assert (len(data.train), len(data.valid), len(data.test)) == (40, 5, 5)


def test_options_reach_their_readers(tmp_path):
    write(tmp_path, "photos")
    (tmp_path / "lines.txt").write_text("\n".join(LINES))
    data = load_data(tmp_path / "lines.txt", lines=True, length=8, name="my lines!")
    assert data.example.length == 8 and not data.example.stream and data.name == "my-lines"
    assert data.recipe == {
        "source": str(tmp_path / "lines.txt"), "lines": True, "length": 8, "name": "my lines!",
    }  # fmt: skip
    assert load_data(tmp_path / "photos", size=[2, 3]).example.shape == (1, 2, 3)
    assert load_data("digits", size=4).recipe == {"source": "digits", "size": 4}
    labelled = load_data(X, condition=np.arange(50) % 2)
    assert labelled.condition.names == (0, 1)
    assert load_data(FRAME, condition_column="b").condition.names == ("u", "v")
    assert load_data(FRAME, resolution={"a": 0.5}).example.columns[0].resolution == 0.5
    write(tmp_path, "rows.csv")
    assert load_data(tmp_path / "rows.csv", condition=np.arange(50) % 2).recipe is None  # an object is among them


def test_a_name_wins_over_a_file_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    assert load_data("digits").example.levels == 17
    with pytest.raises(InputError, match="holds no files"):
        load_data("./digits")


def test_titles_are_fit_for_folders():
    assert Options().title("a b/c") == "a-b-c" and Options(name="../x").title("y") == "x"
    assert Options(name="größe 2").title("y") == "größe-2" and Options().title("//") == "data"
