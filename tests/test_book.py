"""Every chapter runs, draws, and ends in a table whose numbers are what they must be."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pushforward.chapter import Chapter
from pushforward.cli import main
from pushforward.cli.book import chapters, notebook
from pushforward.core.errors import InputError

CHAPTERS = chapters()


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)
def test_a_chapter_runs_and_its_numbers_hold(chapter, tmp_path):
    """A script ends in status 1 when a number is further from its known answer than it may be."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(chapter.path), "--smoke", "--out", str(tmp_path / "figures")],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "known answer" in done.stdout and chapter.title in done.stdout
    figures = [*(tmp_path / "figures").glob("*.png")]
    assert figures and all(figure.stat().st_size > 5000 for figure in figures)  # an empty canvas is smaller


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)
def test_a_chapter_uses_public_names_only(chapter):
    source = chapter.path.read_text(encoding="utf-8")
    assert chapter.title
    assert source.startswith("# %% [markdown]\n")
    assert not re.search(r"from pushforward\S* import .*\b_\w", source)
    cells = json.loads(notebook(source))["cells"]
    assert {"markdown", "code"} == {cell["cell_type"] for cell in cells}


def test_numbers_run_from_one_on():
    assert [chapter.number for chapter in CHAPTERS] == list(range(1, len(CHAPTERS) + 1))


def test_a_wrong_number_ends_in_1(tmp_path, capsys):
    chapter = Chapter("Wrong", arguments=[])
    chapter.known("one", 1.5, 1.0, source="by hand", error=0.1)
    with pytest.raises(SystemExit) as end:
        chapter.end()
    assert end.value.code == 1 and "1.5" in capsys.readouterr().out


def test_a_number_that_is_not_one_is_off():
    chapter = Chapter("NaN", arguments=[])
    chapter.known("nothing", float("nan"), 1.0, source="by hand", within=10.0)
    chapter.known("nothing", float("nan"), 1.0, source="by hand")
    assert all(row.off for row in chapter.rows)
    with pytest.raises(InputError, match="within"):
        chapter.known("both", 1.0, 1.0, source="by hand", error=0.1, within=0.1)


def test_a_chapter_is_copied_as_a_script_and_as_a_notebook(tmp_path, capsys):
    name = CHAPTERS[0].name
    assert main(["book", name, "--copy", str(tmp_path / "mine.py")]) == 0
    assert (tmp_path / "mine.py").read_text() == CHAPTERS[0].path.read_text()
    assert main(["book", "1", "--copy", str(tmp_path / "mine.ipynb")]) == 0
    assert json.loads((tmp_path / "mine.ipynb").read_text())["nbformat"] == 4
    assert main(["book"]) == 0
    assert name in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["gausians"], "did you mean"),
        (["--smoke"], "chapter: none was given"),
        (["1", "--copy", "mine.txt"], "expected a name that ends in .py or .ipynb"),
        (["1", "--copy", str(Path(__file__))], "exists already"),
        (["1", "--copy", "no/such/folder.py"], "there is no folder"),
        (["1", "--smok"], "--smoke"),
    ],
)
def test_bad_input_is_one_sentence(arguments, names, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["book", *arguments]) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1 and names in said[0]
    assert list(tmp_path.iterdir()) == []
