"""The walk through a latent space: what it writes for every kind of example, and what it says."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from PIL import Image as Picture

from pushforward.cli.latent import latent_command
from pushforward.core.data import Data
from pushforward.core.errors import InputError
from pushforward.probability.baselines import Gaussian
from pushforward.run.tour import Tour, tour
from pushforward.run.verbs import fit
from tests.evaluation.codes import Levels, Mirror
from tests.run.runs import QUICK, draw_nothing
from tests.small_data import digits, points, small, table


@pytest.fixture(autouse=True)
def quick_pictures(monkeypatch):
    monkeypatch.setattr("pushforward.run.verbs.draw_samples", draw_nothing)
    monkeypatch.setattr("pushforward.run.verbs.draw_latents", lambda model, data, folder: None)


def fitted(kind, data: Data, path, **options):
    return fit(kind, data, steps=2, seed=0, out=path, settings=QUICK, options=options)


def plain(data: Data) -> Data:
    """The same examples for a model that is not told the class."""
    return dataclasses.replace(data, condition=None)


def test_digits_are_shown_in_pictures_and_words(tmp_path):
    data = digits()
    run = fitted("vae", data, tmp_path / "run", latent_dim=3, width=8, depth=1)
    found = tour(run, data)
    names = {file.name for file in found.files}
    pictures = {"latents.png", "map.png", "traversals.png", "interpolations.png", "neighbours.png", "arithmetic.png"}
    assert names == pictures | {"report.txt"}
    assert all(file.parent == run.path / "latent" and file.is_file() for file in found.files)
    for name in pictures:
        assert np.asarray(Picture.open(run.path / "latent" / name)).std() > 5  # not an empty canvas
    assert (run.path / "latent" / "report.txt").read_text() == "\n".join(found.lines) + "\n"
    said = str(found)
    for word in ("linear probe", "smoothness", "completeness", "clusters", "3 units", "posterior collapse"):
        assert word in said
    assert "the model was told the class" in said


def test_a_code_that_is_the_example_is_smooth_complete_and_telling(tmp_path):
    data = digits()
    run = fitted("tests.evaluation.codes:Mirror", plain(data), tmp_path / "run")
    said = str(tour(run, data, out=tmp_path / "out"))
    assert "smoothness: 1.00" in said
    # Logistic regression on the pixels of 480 digits; the commonest digit alone is told in about one of ten.
    assert float(said.split("tells the class from the code in ")[1].split(" %")[0]) > 75
    assert (tmp_path / "out" / "map.png").is_file()


def test_points_become_curves_and_rows_of_a_table_a_csv(tmp_path):
    data = points()
    files = {file.name for file in tour(fitted(Mirror, plain(data), tmp_path / "points"), data).files}
    assert {"traversals.png", "interpolations.png"} <= files
    data = table()
    run = fitted(Mirror, plain(data), tmp_path / "table")
    files = {file.name for file in tour(run, data).files}
    assert {"traversals.csv", "interpolations.csv"} <= files
    frame = pd.read_csv(run.path / "latent" / "traversals.csv")
    assert list(frame.columns[:3]) == ["path", "step", "age"] and frame["step"].max() == 8


def test_text_becomes_text(tmp_path):
    data = small("text")
    run = fitted("vae", data, tmp_path / "run", latent_dim=2, width=8, depth=1, network="mlp")
    said = tour(run, data)
    lines = (run.path / "latent" / "interpolations.txt").read_text().splitlines()
    assert lines[0] == "linear" and len(lines[1].strip()) == 14  # twelve letters in quotes
    assert not any("completeness" in line for line in said.lines)


def test_a_codebook_has_no_traversals(tmp_path):
    data = points()
    run = fitted(Levels, plain(data), tmp_path / "run")
    found = tour(run, data)
    assert "traversals.png" not in {file.name for file in found.files}
    assert any("of 8 codes occur, perplexity" in line for line in found.lines)


def test_the_command_prints_the_report(tmp_path, capsys, monkeypatch):
    run = fitted(Mirror, points(), tmp_path / "run")
    asked = []

    def toured(run, **chosen):
        asked.append((run.path, chosen))
        return Tour(("all is well",), (tmp_path / "map.png",))

    monkeypatch.setattr("pushforward.run.tour.tour", toured)
    out = tmp_path / "out"
    assert latent_command([str(run.path), "--out", str(out), "--map", "tsne", "--seed", "3", "--threads", "1"]) == 0
    assert asked == [(run.path, {"out": out, "how": "tsne", "seed": 3})]
    assert capsys.readouterr().out == f"all is well\n\n{tmp_path / 'map.png'}\n"


def test_what_cannot_be_used_is_refused(tmp_path):
    run = fit(Gaussian, points(), out=tmp_path / "run", settings=QUICK)
    with pytest.raises(InputError, match="^model: Gaussian cannot show a latent space, expected .* HasLatent"):
        tour(run, points())
    with pytest.raises(InputError, match="^run: none was given after latent"):
        latent_command(["--out", "x"])
    with pytest.raises(InputError, match="^data: this run was fitted to an object"):
        tour(fitted(Mirror, points(), tmp_path / "mirror"))
