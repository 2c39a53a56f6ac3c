"""``pushforward check``: 0 when all properties hold, 1 when one fails, 2 for what cannot be used."""

import json

import pytest

import pushforward as pf
from pushforward.cli import main


def test_a_sound_run_is_reported_and_ends_in_0(tmp_path, capsys):
    pf.fit("gaussian", "8gaussians", out=tmp_path / "run", show=False)
    capsys.readouterr()
    assert main(["check", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().out
    assert said.startswith("Gaussian of points of 2 numbers: ") and "the integral is " in said
    assert main(["check", str(tmp_path / "run"), "--json", "--seed", "1"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] and report["seed"] == 1 and len(report["properties"]) == 15


def test_a_fault_ends_in_1_with_its_meaning(tmp_path, capsys):
    fault = "tests.conformance.planted:SignGaussian"
    pf.fit(fault, "8gaussians", out=tmp_path / "run", show=False)
    capsys.readouterr()
    assert main(["check", str(tmp_path / "run"), "--trust", fault]) == 1
    said = capsys.readouterr().out
    assert "FAILS the density integrates to one" in said
    assert "the log-determinant has the wrong sign" in " ".join(said.split()) and "SignGaussian.log_likelihood" in said


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ([], "run: none was given after check"),
        (["--seed", "1"], "run: none was given"),
        (["nowhere"], "nowhere"),
        (["RUN", "--seed", "-1"], "seed: got -1"),
        (["RUN", "--sed", "1"], "did you mean --seed?"),
    ],
)
def test_what_cannot_be_used_ends_in_2(arguments, names, tmp_path, capsys):
    if "RUN" in arguments:
        pf.fit("gaussian", "8gaussians", out=tmp_path / "run", show=False)
        capsys.readouterr()
    assert main(["check", *(str(tmp_path / "run") if word == "RUN" else word for word in arguments)]) == 2
    said = capsys.readouterr()
    assert names in said.err and len(said.err.strip().splitlines()) == 1 and said.out == ""
