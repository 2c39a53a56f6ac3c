"""New examples keep their order and are held to the modality a model knows."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image as Picture

from pushforward.core.data import Windows
from pushforward.core.errors import InputError
from pushforward.core.modality import Image, Label, Points
from pushforward.core.table import Column, Table
from pushforward.core.text import Text
from pushforward.datasets.read_as import read_as

PETS = Table(columns=(Column(name="age", resolution=1.0), Column(name="pet", categories=("cat", "dog"))))
HOME = Label(names=("north", "south"), title="region")
GREY = Image(height=2, width=3)


def everything(split):
    return split[torch.arange(len(split))]


def test_a_table_keeps_its_order_and_gives_the_condition(tmp_path):
    frame = pd.DataFrame({"pet": ["dog", "cat", "dog"], "region": ["south", None, "north"], "age": [3, 1, 2]})
    frame.to_csv(tmp_path / "new.csv", index=False)
    batch = everything(read_as(tmp_path / "new.csv", PETS, HOME))
    assert batch.x.tolist() == [[3, 1], [1, 0], [2, 1]]
    assert batch.condition.present.tolist() == [True, False, True]
    assert batch.condition.value[batch.condition.present].tolist() == [1, 0]


def test_a_table_without_the_column_of_the_condition_has_none(tmp_path):
    pd.DataFrame({"pet": ["dog"], "age": [3]}).to_parquet(tmp_path / "new.parquet")
    assert everything(read_as(tmp_path / "new.parquet", PETS, HOME)).condition is None


def test_points_from_csv_npy_and_lists_are_the_same(tmp_path):
    x = np.array([[1.5, 2.0], [3.0, 4.0]])
    np.save(tmp_path / "x.npy", x)
    pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "region": ["south", "south"]}).to_csv(tmp_path / "x.csv", index=False)
    found = [everything(read_as(source, Points(dim=2), HOME)) for source in (tmp_path / "x.npy", tmp_path / "x.csv", x)]
    assert all(batch.x.tolist() == x.tolist() for batch in found)
    assert found[1].condition.value.tolist() == [1, 1]


def test_images_from_a_folder_and_an_array_are_the_same(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 2, 3), dtype=np.uint8)
    for index, picture in enumerate(pixels):
        folder = tmp_path / "new" / ("south" if index % 2 else "north")
        folder.mkdir(parents=True, exist_ok=True)
        Picture.fromarray(picture).save(folder / f"{index}.png")
    batch = everything(read_as(tmp_path / "new", GREY, HOME))  # by name: north/0, north/2, south/1, south/3
    assert torch.equal(batch.x[:, 0], torch.from_numpy(pixels[[0, 2, 1, 3]]))
    assert batch.condition.value.tolist() == [0, 0, 1, 1]
    assert torch.equal(everything(read_as(pixels, GREY)).x[:, 0], torch.from_numpy(pixels))


def test_texts_are_windows_of_a_stream_or_lines(tmp_path):
    (tmp_path / "new.txt").write_text("abab\nba\n")
    lines = read_as(tmp_path / "new.txt", Text(vocabulary=("a", "b"), length=5))
    assert everything(lines).x.tolist() == [[0, 1, 0, 1, 2], [1, 0, 2, 2, 2]]
    stream = read_as(tmp_path / "new.txt", Text(vocabulary=("\n", "a", "b"), length=3, stream=True))
    assert isinstance(stream, Windows)
    assert stream[torch.tensor([0])].x.tolist() == [[1, 2, 1]]


@pytest.mark.parametrize(
    ("source", "example", "said"),
    [
        ([[1.0, 2.0, 3.0]], Points(dim=2), "expected (B, *(2,))"),
        ([[1.0, float("nan")]], Points(dim=2), "NaN"),
        (pd.DataFrame({"pet": ["cow"], "age": [1]}), PETS, "'cow'"),
        (pd.DataFrame({"pet": ["cat"]}), PETS, "no column 'age'"),
        (np.full((2, 2, 3), 200, np.uint8), Image(height=2, width=3, levels=17), "expected 0 to 16"),
        (np.zeros((2, 2, 3, 3), np.uint8), GREY, "expected images 2 x 3, grey"),
        ("no/such/file.csv", PETS, "no file or folder"),
        (["abc"], Text(vocabulary=("a", "b"), length=9), "'c'"),
        ("ab", Text(vocabulary=("a", "b"), length=9, stream=True), "no file or folder"),
    ],
)
def test_what_does_not_fit_is_one_sentence(source, example, said):
    with pytest.raises(InputError) as caught:
        read_as(source, example)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_file_and_an_empty_table_are_refused(tmp_path):
    (tmp_path / "empty.csv").touch()
    with pytest.raises(InputError, match="0 bytes"):
        read_as(tmp_path / "empty.csv", PETS)
    with pytest.raises(InputError, match="holds no example"):
        read_as(pd.DataFrame({"pet": [], "age": []}), PETS)


def test_an_unknown_class_is_named():
    frame = pd.DataFrame({"pet": ["cat"], "age": [1], "region": ["west"]})
    with pytest.raises(InputError, match="west"):
        read_as(frame, PETS, HOME)
