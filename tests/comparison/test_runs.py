"""A comparison from start to end: what it writes, what it does again and what it does not, and what it refuses."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

from pushforward.cli.compare import compare_command
from pushforward.comparison import jobs, runs
from pushforward.comparison.runs import compare
from pushforward.core.data import Data, Rows
from pushforward.core.errors import InputError
from pushforward.core.files import read_json, write_json
from pushforward.evaluation.score import Score
from pushforward.evaluation.scorecard import Scorecard
from pushforward.run import verbs
from pushforward.training.loop import Stopped
from pushforward.training.metrics import Diverged
from tests.comparison.cards import read
from tests.small_data import points, split


def blobs(n: int = 120, shift: float = 0.0) -> Data:
    """Points without labels: nothing about them takes time."""
    found = points(n)
    x = torch.cat([found.train.x, found.valid.x, found.test.x]) + shift
    return split("blobs", found.example, x)


@pytest.fixture
def quick(monkeypatch):
    """Measures nothing, and says which runs it was asked for."""
    asked = []

    def evaluate(run, data, *, n, features, cache, baselines, show):
        asked.append(run.path.name)
        score = Score(name="coverage", value=0.5, low=0.4, high=0.6, ideal=1.0, conditions={"n": n})
        card = Scorecard(model="", data={"name": data.name}, scores=(score,))
        write_json(run.path / "evaluation.json", card.to_json())
        return card

    monkeypatch.setattr(jobs, "evaluate", evaluate)
    monkeypatch.setattr(runs, "choose_features", lambda data, **rest: None)
    monkeypatch.setattr(verbs, "draw_samples", lambda *rest, **more: None)
    return asked


def test_from_start_to_end(tmp_path):
    data, out = blobs(), tmp_path / "report"
    found = compare(["gaussian"], data, out=out, n=12, baselines=False, show=False)
    assert all(entry.card is not None and not entry.fault for entry in found.entries)
    record = read_json(out / "comparison.json")
    assert record["finished"] and record["data"]["fingerprint"] == data.fingerprint
    assert len(record["runs"]) == 1 and record["summary"] and record["verdicts"]
    assert (out / "scores.csv").read_text().count(",Frechet distance,") == 1 + 1  # and the floor
    page = read(found.report.read_text())
    assert "gaussian" in page.text and "Frechet distance" in page.text
    assert all(address.startswith(("data:image/", "#")) for address in page.addresses)
    likelihoods = [column for column in found.columns if column.name == "negative log-likelihood"]
    assert {column.kind for column in likelihoods} == {"exact"}  # closed forms on continuous points
    assert "Frechet distance" in str(found) and str(found.report) in str(found)


def test_what_is_done_is_not_done_again(tmp_path, quick):
    out = tmp_path / "report"
    compare(["gaussian"], blobs(), out=out, seeds=2, baselines=False, show=False)
    assert quick == ["gaussian-0", "gaussian-1"]
    before = (out / "index.html").read_bytes()
    compare(resume=out, data=blobs(), show=False)
    assert len(quick) == 2 and (out / "index.html").read_bytes() == before
    shutil.rmtree(out / "runs" / "gaussian-1")
    (out / "runs" / "gaussian-0" / "evaluation.json").write_text("{")
    compare(resume=out, data=blobs(), show=False)
    assert quick[2:] == ["gaussian-0", "gaussian-1"]


def test_a_stopped_comparison_goes_on(tmp_path, quick, monkeypatch):
    out, fit = tmp_path / "report", jobs.fit

    def stops(model, data, **rest):
        if rest["seed"] == 1:
            raise Stopped("stopped after step 3")
        return fit(model, data, **rest)

    monkeypatch.setattr(jobs, "fit", stops)
    with pytest.raises(Stopped, match=f"to go on use --resume {out}"):
        compare(["gaussian"], blobs(), out=out, seeds=2, baselines=False, show=False)
    assert not (out / "index.html").exists()
    monkeypatch.setattr(jobs, "fit", fit)
    assert len(compare(resume=out, data=blobs(), show=False).entries) == 2
    assert quick == ["gaussian-0", "gaussian-1"]


def test_one_that_fails_is_a_row_and_the_others_go_on(tmp_path, quick, monkeypatch):
    fit = jobs.fit

    def diverges(model, data, **rest):
        if model == "independent":
            raise Diverged("training: at step 3 the loss is nan; try a lower lr")
        if model == "mixture":
            raise RuntimeError("shapes (2) and (3)\nand a long story")
        return fit(model, data, **rest)

    monkeypatch.setattr(jobs, "fit", diverges)
    found = compare(["mixture", "independent", "gaussian"], blobs(), out=tmp_path / "r", baselines=False, show=False)
    faults = {entry.model: entry.fault for entry in found.entries}
    assert faults == {
        "mixture": "RuntimeError: shapes (2) and (3)",
        "independent": "training: at step 3 the loss is nan; try a lower lr",
        "gaussian": "",
    }
    assert read_json(tmp_path / "r" / "comparison.json")["faults"]["independent-0"].startswith("training: at step 3")


def test_none_that_works_is_refused(tmp_path, quick, monkeypatch):
    def diverges(model, data, **rest):
        raise Diverged("training: the loss is nan")

    monkeypatch.setattr(jobs, "fit", diverges)
    with pytest.raises(InputError, match="no model could be trained and measured: training: the loss is nan"):
        compare(["gaussian"], blobs(), out=tmp_path / "r", show=False)


def test_a_half_written_run_is_a_row_with_its_reason(tmp_path, quick):
    out = tmp_path / "r"
    compare(["gaussian", "mixture"], blobs(), out=out, baselines=False, show=False)
    (out / "runs" / "gaussian-0" / "config.json").unlink()
    found = compare(resume=out, data=blobs(), show=False)
    assert "is not a run folder" in found.entries[0].fault and not found.entries[1].fault


def test_baselines_come_by_themselves(tmp_path, quick):
    found = compare(["gaussian"], blobs(), out=tmp_path / "r", show=False)
    assert [(entry.model, entry.baseline) for entry in found.entries] == [
        ("gaussian", True),
        ("independent", True),
        ("mixture", True),
    ]


def test_baselines_that_do_not_take_the_data_are_left_out(tmp_path, quick, monkeypatch):
    fit = jobs.fit

    def only_gaussian(model, data, **rest):
        if model != "gaussian":
            raise InputError(f"data: {model} does not take it")
        return fit(model, data, **rest)

    monkeypatch.setattr(jobs, "fit", only_gaussian)
    found = compare(["gaussian"], blobs(), out=tmp_path / "r", show=False)
    assert [entry.model for entry in found.entries] == ["gaussian"]


def test_seeds_share_the_steps_of_the_first(tmp_path, quick):
    found = compare(["realnvp"], blobs(), out=tmp_path / "r", budget=0.5, seeds=2, baselines=False, show=False)
    assert found.entries[0].steps == found.entries[1].steps > 0


def test_folders_of_runs_are_only_measured(tmp_path, quick):
    from pushforward.run.verbs import fit

    data = blobs()
    for name in ("gaussian", "mixture"):
        fit(name, data, out=tmp_path / name, show=False)
    folders = [str(tmp_path / name) for name in ("gaussian", "mixture")]
    found = compare(folders, data, out=tmp_path / "r", show=False)
    assert [entry.model for entry in found.entries] == folders
    assert quick == ["gaussian", "mixture"] and not (tmp_path / "r" / "runs").exists()
    fit("gaussian", blobs(shift=1.0), out=tmp_path / "other", show=False)
    with pytest.raises(InputError, match="other was fitted to other data than"):
        compare([*folders, str(tmp_path / "other")], data, out=tmp_path / "s", show=False)
    assert not (tmp_path / "s").exists()


def test_other_data_is_refused(tmp_path, quick):
    compare(["gaussian"], blobs(), out=tmp_path / "r", baselines=False, show=False)
    with pytest.raises(InputError, match="one data set in one comparison"):
        compare(resume=tmp_path / "r", data=blobs(shift=1.0), show=False)
    with pytest.raises(InputError, match="was made with an object"):
        compare(resume=tmp_path / "r", show=False)


@pytest.mark.slow
def test_two_at_once_mark_their_times(tmp_path):
    found = compare(["gaussian"], blobs(), out=tmp_path / "r", n=12, jobs=2, show=False)
    assert len(found.entries) == 3 and not any(entry.fault for entry in found.entries)
    times = [column for column in found.columns if column.name in ("training time", "seconds per 1,000 samples")]
    assert times and all(column.conditions["machine"] == "shared" for column in times)
    assert "shared machine" in found.report.read_text() and "shared" in str(found)


# --- the command line ----------------------------------------------------------------------------------------------


def test_the_command_prints_the_table_and_the_report(tmp_path, quick, capsys):
    out = tmp_path / "r"
    assert compare_command(["gaussian", "--data", "8gaussians", "--n", "12", "--out", str(out), "--no-baselines"]) == 0
    said = capsys.readouterr().out
    assert "coverage" in said and f"report: {out / 'index.html'}" in said
    assert compare_command(["--resume", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == read_json(out / "comparison.json")


REFUSED = {
    "no model": (["--data", "digits"], "model: none was given"),
    "no data": (["vae"], "data: none was given"),
    "unknown model": (["vea", "--data", "digits"], "there is no 'vea'"),
    "repeated model": (["vae", "VAE", "--data", "digits"], "'vae' is given twice"),
    "no seed": (["vae", "--data", "digits", "--seeds", "0"], "seeds: got 0"),
    "no job": (["vae", "--data", "digits", "--jobs", "0"], "jobs: got 0"),
    "one example": (["vae", "--data", "digits", "--n", "1"], "n: got 1"),
    "budget beside steps": (["vae", "--data", "digits", "--budget", "1s", "--steps", "9"], "beside steps"),
    "no budget": (["vae", "--data", "digits", "--budget", "soon"], "budget: got 'soon'"),
    "no steps": (["vae", "--data", "digits", "--steps", "many"], "steps: got 'many'"),
    "zero steps": (["vae", "--data", "digits", "--steps", "0"], "steps: got 0"),
    "steps of one": (["vae", "gan", "--data", "digits", "--steps", "vae=9"], "steps: got none for gan"),
    "steps of a stranger": (["vae", "--data", "digits", "--steps", "vae=9", "gan=9"], "steps: got some for gan"),
    "threads": (["vae", "--data", "digits", "--threads", "-1"], "threads: got -1"),
    "features": (["vae", "--data", "digits", "--features", "nice"], "features"),
    "unknown flag": (["vae", "--data", "digits", "--bugdet", "1s"], "did you mean --budget?"),
    "no comparison": (["--resume", "."], "is not the folder of a comparison"),
    "model beside resume": (["vae", "--resume", "."], "beside --resume"),
    "no run": (["runs/vae", "--data", "digits"], "is not a run folder"),
    "folder beside model": (["runs/vae", "vae", "--data", "digits"], "expected one kind"),
    "features of points": (["gaussian", "--data", "8gaussians", "--features", "inception"], "inception is for images"),
}


@pytest.mark.parametrize(("arguments", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_bad_input_is_one_sentence_and_leaves_nothing(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as refusal:
        compare_command(arguments)
    assert message in str(refusal.value) and "\n" not in str(refusal.value)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_taken_is_refused(tmp_path):
    with pytest.raises(InputError, match="use --resume"):
        compare_command(["gaussian", "--data", "8gaussians", "--out", str(tmp_path)])


def test_no_held_out_data_is_refused(tmp_path):
    data = blobs()
    empty = split("empty", data.example, data.train.x)
    empty = replace(empty, test=Rows(data.train.x[:0]))
    with pytest.raises(InputError, match="held-out"):
        compare(["gaussian"], empty, out=tmp_path / "r", show=False)
    assert not (tmp_path / "r").exists()
