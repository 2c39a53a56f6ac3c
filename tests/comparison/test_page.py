"""The report: whole in one file, escaped, and made of the parts it promises."""

import base64
import shlex

import pytest
from PIL import Image

from pushforward.comparison.page import breakups, command, html
from pushforward.comparison.table import columns
from pushforward.comparison.words import summary
from tests.comparison.cards import DATA, SETTINGS, accuracy, entry, likelihood, read, seconds


def lines(count: int, start: float) -> tuple[dict, ...]:
    return tuple({"step": i, "seconds": float(i), "validation": start / i, "loss": {}} for i in range(1, count + 1))


def page_of(entries, data=DATA, settings=SETTINGS, real=None) -> str:
    table = columns(entries)
    return html(entries, table, summary(entries, table), data=data, settings=settings, real=real)


@pytest.fixture
def entries(tmp_path):
    made = []
    for model, kind, steps in (("gpt", "exact", 70), ("vae", "bound", 90), ("gaussian", "bound", 0)):
        folder = tmp_path / model
        folder.mkdir()
        for name in ("evaluated.png", "nearest.png"):
            Image.new("RGB", (8, 8)).save(folder / name)
        scores = (likelihood(2.2, kind), accuracy(0.7), seconds(20.0), seconds(2.0, "seconds per 1,000 samples"))
        rows = tuple({"name": c, "real share": 0.5, "generated share": 0.5 + steps / 1000} for c in "ab")
        figure = ("bits/dim", kind, "mass")
        drawn = lines(6 if steps else 1, 3.0)
        made.append(
            entry(
                model,
                *scores,
                floor=(accuracy(0.5),),
                rows=rows,
                steps=steps,
                lines=drawn,
                figure=figure,
                folder=folder,
            )
        )
    return made


def test_the_page_is_whole_and_asks_for_nothing(entries, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "real.png")
    text = page_of(entries, real=tmp_path / "real.png")
    page = read(text)
    assert all(address.startswith(("data:image/", "#")) for address in page.addresses)
    assert {"script", "link", "iframe", "object"}.isdisjoint(page.tags)
    assert "@import" not in text and "url(" not in text
    for section in ("summary", "scores", "samples", "training", "cost", "breakdown", "nearest", "again"):
        assert f'<section id="{section}">' in text
    # One picture of real data, one of samples and one of pairs for each of three models.
    assert text.count('src="data:image/png') == 1 + 3 + 3
    assert text.count("<img") == text.count("alt=")


def test_figures_of_different_kinds_stand_on_axes_of_their_own(entries):
    from pushforward.comparison.figures import curves

    assert [drawing.title for drawing in curves(entries)] == [
        "bits/dim (exact, mass), lower is better",
        "bits/dim (upper bound, mass), lower is better",
    ]


def test_figures_have_an_ink_for_the_dark(entries):
    page = read(page_of(entries))
    drawn = [base64.b64decode(a.partition(",")[2]).decode() for a in page.addresses if a.startswith("data:image/svg")]
    # Two panels of curves and two of costs, each in both inks.
    assert len(drawn) == 8
    assert sum("#c9c9c9" in svg for svg in drawn) == sum("#333333" in svg for svg in drawn) == 4


def test_names_are_escaped():
    bad = "<script>alert(1)</script>"
    rows = ({"name": bad, bad: 0.1},)
    text = page_of([entry(bad, accuracy(0.6), rows=rows), entry("b", fault=bad)], data=DATA | {"name": bad})
    assert "<script" not in text.lower()
    assert bad in read(text).text


def test_a_model_without_numbers_is_a_row_with_its_reason(entries):
    text = read(page_of([*entries, entry("gan", fault="training: the loss is nan; try a lower lr")])).text
    assert "gan, seed 0: training: the loss is nan; try a lower lr" in text


def test_nothing_to_draw_leaves_sections_out():
    text = page_of([entry("a", accuracy(0.6))])
    for section in ("samples", "training", "cost", "breakdown", "nearest"):
        assert f'<section id="{section}">' not in text


def test_what_is_of_the_data_stands_once_in_a_breakdown(entries):
    (breakup,) = breakups(entries)
    assert breakup.title == "class: generated share" and breakup.shared == ("real share",)
    assert breakup.rows[0] == ("a", ("0.500", "0.570", "0.590", "0.500"))


def test_the_command_repeats_steps_and_data(entries):
    recipe = {"source": "my data.csv", "condition_column": "sex", "resolution": {"age": 1.0}}
    settings = SETTINGS | {"models": ["gpt", "vae"], "seeds": 3, "n": 100, "baselines": False}
    words = shlex.split(command(entries, DATA | {"recipe": recipe}, settings))
    assert words[:6] == ["pushforward", "compare", "gpt", "vae", "--data", "my data.csv"]
    pairs = dict(zip(words, words[1:], strict=False))
    assert pairs["--condition-column"] == "sex" and pairs["--resolution"] == "age=1.0"
    assert words[words.index("--steps") + 1 :][:2] == ["gpt=70", "vae=90"]
    assert pairs["--seeds"] == "3" and pairs["--n"] == "100" and "--no-baselines" in words


def test_the_kind_of_a_column_is_no_table_of_its_own():
    rows = ({"name": "age", "kind": "numbers", "shape": 0.9, "real mean": 38.6, "synthetic mean": 40.0},)
    made = breakups([entry("a", rows=rows), entry("b", rows=rows)])
    assert [(b.title, b.shared) for b in made] == [
        ("class: shape", ("kind",)),
        ("class: synthetic mean", ("kind", "real mean")),
    ]
    assert made[1].rows == (("age", ("numbers", "38.6", "40", "40")),)


def test_the_latent_spaces_are_shown_of_the_models_that_have_one(entries):
    Image.new("RGB", (8, 8)).save(entries[1].folder / "latents.png")
    text = page_of(entries)
    assert '<section id="latents">' in text and 'href="#latents"' in text
    assert "The latent space of vae" in text and "The latent space of gpt" not in text
    assert '<section id="latents">' not in page_of(entries[:1])
