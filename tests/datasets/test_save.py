"""Samples as files, in every ending, whole or not at all."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image as Picture

from pushforward.core.errors import InputError
from pushforward.core.modality import Image, Points
from pushforward.core.table import Column, Table
from pushforward.core.text import Text
from pushforward.datasets.save import endings_for, write_samples

POINTS = torch.tensor([[0.1, 2.0], [3.5, -1.0], [0.0, 1e-9]], dtype=torch.float64)
TABLE = Table(
    columns=(Column(name="n", resolution=1.0, whole=True, missing=True), Column(name="k", categories=("a", "b")))
)
ROWS = torch.tensor([[1.0, 0.0], [float("nan"), 1.0]], dtype=torch.float64)
TEXT = Text(vocabulary=("\n", "a", "b"), length=4)


def test_points(tmp_path):
    for ending in endings_for(Points(dim=2)):
        write_samples(Points(dim=2), POINTS, tmp_path / f"s{ending}")
    assert np.array_equal(np.load(tmp_path / "s.npy"), POINTS) and np.array_equal(
        np.load(tmp_path / "s.npz")["x"], POINTS
    )
    for frame in (pd.read_csv(tmp_path / "s.csv"), pd.read_parquet(tmp_path / "s.parquet")):
        assert frame.columns.tolist() == ["x0", "x1"] and np.array_equal(frame.to_numpy(), POINTS)


def test_table(tmp_path):
    for ending in endings_for(TABLE):
        write_samples(TABLE, ROWS, tmp_path / f"s{ending}")
    assert (tmp_path / "s.csv").read_text() == "n,k\n1,a\n,b\n"
    assert pd.read_parquet(tmp_path / "s.parquet")["k"].tolist() == ["a", "b"]


def test_texts(tmp_path):
    write_samples(TEXT, TEXT.pack(["ab", "", "b"]), tmp_path / "s.txt")
    assert (tmp_path / "s.txt").read_text() == "ab\n\nb\n"
    write_samples(TEXT, TEXT.pack(["a\nb", "b"]), tmp_path / "s.txt")
    assert (tmp_path / "s.txt").read_text() == "a\nb\n" + "-" * 40 + "\nb\n"
    write_samples(TEXT, TEXT.pack(["a\nb", "b"]), tmp_path / "s.csv")
    assert pd.read_csv(tmp_path / "s.csv")["text"].tolist() == ["a\nb", "b"]


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")])
def test_a_sheet_shows_every_image(tmp_path, channels, mode):
    image = Image(height=8, width=6, channels=channels, levels=17)
    x = torch.randint(0, 17, (5, channels, 8, 6), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    write_samples(image, x, tmp_path / "s.png")
    sheet = Picture.open(tmp_path / "s.png")
    # Three columns and two rows of images magnified four times, two pixels between them.
    assert sheet.mode == mode and sheet.size == (3 * 24 + 2 * 2, 2 * 32 + 2)
    pixels = np.asarray(sheet).reshape(66, 76, channels)
    fourth = pixels[34:66:4, 0:24:4]
    assert np.array_equal(fourth, np.rint(x[3].permute(1, 2, 0).numpy() * (255 / 16)))
    write_samples(image, x, tmp_path / "s.npy")
    assert np.array_equal(image.pack(np.load(tmp_path / "s.npy")), x)


@pytest.mark.parametrize(
    ("example", "storage", "name"),
    [
        (Points(dim=2), POINTS, "s.png"),
        (TABLE, ROWS, "s.npy"),
        (TEXT, TEXT.pack(["a"]), "s.wav"),
        (Points(dim=2), POINTS, "s"),
        (Points(dim=3), POINTS, "s.csv"),
        (Image(height=1, width=1, channels=5), torch.zeros(2, 5, 1, 1, dtype=torch.uint8), "s.png"),
        (Points(dim=2), POINTS, "absent/s.csv"),
        (Points(dim=2), POINTS, "file/s.csv"),
        (Points(dim=2), POINTS, "folder.csv"),
        (Points(dim=2), POINTS, "x" * 300 + ".csv"),
    ],
)
def test_what_cannot_be_written(tmp_path, example, storage, name):
    (tmp_path / "file").write_text("kept")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError):
        write_samples(example, storage, tmp_path / name)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder.csv"]
    assert (tmp_path / "file").read_text() == "kept"


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    write_samples(Points(dim=2), POINTS, tmp_path / "s.csv")
    before = (tmp_path / "s.csv").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InputError, match="No space left"):
        write_samples(Points(dim=2), POINTS * 2, tmp_path / "s.csv")
    assert (tmp_path / "s.csv").read_bytes() == before and len(list(tmp_path.iterdir())) == 1
