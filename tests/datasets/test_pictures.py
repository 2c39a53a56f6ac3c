"""Folders of picture files of every kind, size and way of being broken."""

import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from pushforward.core.data import Lazy
from pushforward.core.errors import InputError
from pushforward.datasets import pictures
from pushforward.datasets.options import Options
from pushforward.datasets.picture_file import read_header, read_picture
from pushforward.datasets.pictures import load_pictures, picture_files


def picture(mode: str = "RGB", size: tuple[int, int] = (6, 4), seed: int = 0) -> Image.Image:
    """Random pixels; ``size`` is (width, height) as Pillow has it."""
    rng = np.random.default_rng(seed)
    if mode == "I;16":
        return Image.fromarray(rng.integers(0, 65536, size=size[::-1], dtype=np.uint16))
    colour = rng.integers(0, 256, size=(size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(colour).convert(mode)


@pytest.fixture
def folder(tmp_path):
    """Twelve distinct colour pictures, 6 wide and 4 high."""
    for index in range(12):
        picture(seed=index).save(tmp_path / f"{index:02}.png")
    return tmp_path


def load(folder, **options):
    return load_pictures(folder, *picture_files(folder), Options(**options))


def everything(data) -> list[bytes]:
    splits = (data.train, data.valid, data.test)
    return sorted(row.numpy().tobytes() for split in splits for row in split[torch.arange(len(split))].x)


def test_pixels_are_those_of_the_files(folder):
    data = load(folder)
    assert data.example.shape == (3, 4, 6) and data.condition is None and data.notes == ()
    assert everything(data) == sorted(np.asarray(picture(seed=i)).transpose(2, 0, 1).tobytes() for i in range(12))


@pytest.mark.parametrize("ending", ["png", "bmp", "gif", "tiff", "webp", "jpg", "ppm"])
def test_every_ending_opens(tmp_path, ending):
    for index in range(4):
        picture(seed=index).save(tmp_path / f"{index}.{ending.upper() if index else ending}")
    assert load(tmp_path).example.shape == (3, 4, 6)


@pytest.mark.parametrize(
    ("modes", "channels"),
    [
        ({"L"}, 1),
        ({"1"}, 1),
        ({"I;16"}, 1),
        ({"LA"}, 2),
        ({"RGB"}, 3),
        ({"P"}, 3),
        ({"RGBA"}, 4),
        ({"L", "RGB"}, 3),
        ({"L", "LA"}, 2),
        ({"LA", "RGB"}, 4),
        ({"1", "L", "I;16", "P", "RGBA"}, 4),
    ],
)
def test_kinds_are_brought_to_the_richest(tmp_path, modes, channels):
    for index in range(10):
        picture(sorted(modes)[index % len(modes)], seed=index).save(tmp_path / f"{index}.png")
    data = load(tmp_path)
    assert data.example.channels == channels
    kinds = len({(m not in ("1", "L", "LA", "I;16"), "A" in m) for m in modes})
    assert any("mixed kinds" in note for note in data.notes) == (kinds > 1)


def test_cmyk_becomes_colour_even_beside_alpha(tmp_path):
    picture("CMYK").save(tmp_path / "a.jpg")
    assert read_header(tmp_path / "a.jpg").kind == "colour"
    assert read_picture(tmp_path / "a.jpg", 4, 6, "RGBA").shape == (4, 4, 6)


def test_a_transparent_palette_has_alpha(tmp_path):
    picture("P").save(tmp_path / "a.png", transparency=3)
    assert read_header(tmp_path / "a.png").kind == "colour with alpha"
    assert read_picture(tmp_path / "a.png", 4, 6, "RGBA").shape == (4, 4, 6)


def test_sixteen_bits_become_eight(tmp_path):
    levels = np.array([[0, 257, 128 * 257], [65535, 129, 65400]], dtype=np.uint16)
    Image.fromarray(levels).save(tmp_path / "deep.png")
    assert read_picture(tmp_path / "deep.png", 2, 3, "L").tolist() == [[[0, 1, 128], [255, 1, 254]]]
    assert read_header(tmp_path / "deep.png").deep


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_turned_the_right_way_up(tmp_path, orientation):
    upright = picture("L", (6, 4))
    turns = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE"}
    turns |= {6: "ROTATE_90", 7: "TRANSVERSE", 8: "ROTATE_270"}  # what undoes the turn that the file asks for
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose[turns[orientation]])
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.png", exif=exif)
    assert read_header(tmp_path / "a.png").size == (4, 6)
    assert np.array_equal(read_picture(tmp_path / "a.png", 4, 6, "L")[0], np.asarray(upright))


def test_odd_sizes_are_cut_to_the_most_common(folder):
    picture(size=(13, 9), seed=50).save(folder / "large.png")
    picture(size=(3, 2), seed=51).save(folder / "small.png")
    data = load(folder)
    assert data.example.shape == (3, 4, 6) and "2 of 14 pictures" in data.notes[0]
    # A plain stripe in the middle of a wide picture is what is left after cutting its ends off.
    wide = np.zeros((4, 30, 3), np.uint8)
    wide[:, 11:19] = 255
    Image.fromarray(wide).save(folder / "wide.png")
    assert read_picture(folder / "wide.png", 4, 6, "RGB").min() == 255


def test_sizes_that_are_equally_common_go_to_the_smallest(tmp_path):
    for index, size in enumerate([(9, 9), (5, 7), (8, 8)]):
        picture(size=size, seed=index).save(tmp_path / f"{index}.png")
    assert load(tmp_path).example.shape == (3, 7, 5)


def test_size_is_an_argument(folder):
    assert load(folder, size=8).example.shape == (3, 8, 8)
    assert load(folder, size=(2, 3)).example.shape == (3, 2, 3)


def test_subfolders_are_classes(tmp_path):
    for index in range(12):
        place = tmp_path / ("cats" if index % 3 else "dogs") / ("deep" if index % 2 else ".")
        place.mkdir(parents=True, exist_ok=True)
        Image.new("L", (2, 2), 10 * index).save(place / f"{index}.png")
    data = load(tmp_path)
    assert data.condition.names == ("cats", "dogs") and data.condition.title == "folder"
    for split in (data.train, data.valid, data.test):
        assert [v // 10 % 3 == 0 for v in split.x[:, 0, 0, 0].tolist()] == [c == 1 for c in split.condition.tolist()]


def test_a_picture_beside_the_subfolders_means_no_classes(tmp_path):
    for place in ("a", "b", "."):
        (tmp_path / place).mkdir(exist_ok=True)
        picture(seed=ord(place)).save(tmp_path / place / "x.png")
    assert load(tmp_path).condition is None


def test_train_and_test_folders_are_splits(tmp_path):
    for part, count in (("train", 20), ("test", 4)):
        for index in range(count):
            place = tmp_path / part / "ab"[index % 2]
            place.mkdir(parents=True, exist_ok=True)
            Image.new("L", (2, 2), index + (100 if part == "test" else 0)).save(place / f"{index}.png")
    data = load(tmp_path)
    assert (len(data.train), len(data.valid), len(data.test)) == (18, 2, 4)
    assert data.condition.names == ("a", "b") and data.test.x.min() == 100


def test_other_files_are_skipped_with_a_line(folder):
    (folder / "notes.txt").write_text("x")
    (folder / ".DS_Store").write_bytes(b"\0")
    (folder / "._00.png").write_bytes(b"\0\0")
    data = load(folder)
    assert sum(map(len, (data.train, data.valid, data.test))) == 12 and "skipped 3 files" in data.notes[0]


def test_moving_pictures_give_their_first_frame(tmp_path):
    for index in range(3):
        frames = [Image.new("L", (4, 4), 50 * index + shade) for shade in (0, 20)]
        frames[0].save(tmp_path / f"{index}.gif", save_all=True, append_images=frames[1:])
    data = load(tmp_path)
    assert "3 moving pictures" in " ".join(data.notes)
    assert {int(row) for split in (data.train, data.valid, data.test) for row in split.x[:, 0, 0, 0]} == {0, 50, 100}


def test_what_is_large_streams_the_same_pixels(folder, monkeypatch):
    whole = load(folder)
    monkeypatch.setattr(pictures, "IN_MEMORY", 10)
    lazy = load(folder)
    assert isinstance(lazy.train, Lazy) and everything(lazy) == everything(whole)
    assert lazy.fingerprint == load(folder).fingerprint
    picture(seed=99).save(folder / "00.png")
    assert load(folder).fingerprint != lazy.fingerprint


def test_repeated_pictures_stay_together(folder):
    for index in range(6):
        picture(seed=index).save(folder / f"again{index}.png")
    data = load(folder)
    assert "6 exact repeats" in data.notes[-1]
    rows = [{row.numpy().tobytes() for row in split.x} for split in (data.train, data.valid, data.test)]
    assert not (rows[0] & rows[1] or rows[0] & rows[2] or rows[1] & rows[2])


def test_odd_metadata_raises_no_warning(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(folder)


@pytest.mark.parametrize("broken", ["text", "half", "empty", "float"])
def test_a_broken_file_is_named(folder, broken):
    path = folder / "sub" / "broken.png"
    path.parent.mkdir()
    match broken:
        case "text":
            path.write_text("this is no picture")
        case "half":
            whole = folder / "00.png"
            path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
        case "empty":
            path.touch()
        case "float":
            path = path.with_suffix(".tiff")
            Image.fromarray(np.ones((4, 6), np.float32)).save(path)
    with pytest.raises(InputError, match=f"{path.name}: "):
        load(folder)
