"""Runs that are killed, and runs in two processes: a small part of what the scripts in ``benchmarks`` do in full."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pushforward.zoo import models

ROOT = Path(__file__).parents[2]

#: A model of the package beside those that tests have: the flow has a closed form as its first stage.
REAL = [entry.name for entry in models() if entry.name == "realnvp"]


def run(script: str, *arguments: str) -> str:
    """What a script prints; it must end well."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "benchmarks" / script), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_killed_runs_end_as_if_they_had_not_been():
    names = ["tests.training.learners:Bell", *REAL]
    said = run("kill_test.py", "--kills", "5", "--models", *names).splitlines()
    assert len(said) == len(names)
    assert all("5 kills" in line and "are identical" in line for line in said)


@pytest.mark.slow
def test_two_processes_train_the_weights_of_one():
    names = ["tests.training.learners:Bell", "tests.training.watched:Watched"]
    said = run("two_processes.py", "--models", *names).splitlines()
    assert [line.split()[0] for line in said] == names
    # Rounding errors of doubles; the script itself allows 1e-8.
    assert all(float(line.split()[-1]) < 1e-12 for line in said)
