"""Means of terms, the watch over them, and the file of metrics."""

import json
import os

import pytest
import torch

from pushforward.core.errors import InputError
from pushforward.core.stages import Phase
from pushforward.training.metrics import FAR, Diverged, Means, append_line, keep_lines

PHASE = Phase(name="fit", terms=lambda: {}, parameters=[])


def terms(**values: float) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(value) for name, value in values.items()}


def test_means_over_updates_start_anew_when_taken():
    means = Means()
    assert means.add(PHASE, terms(a=1.0, b=2.0), step=0) == 3.0
    means.add(PHASE, terms(a=3.0, b=2.5), step=1)
    assert means.take() == {"fit/a": 2.0, "fit/b": 2.25}
    assert means.take() == {}


def test_means_go_on_from_their_sums_through_json():
    whole, part = Means(), Means()
    for step, value in enumerate([0.1, 0.2, 0.7, 1e-9]):
        whole.add(PHASE, terms(a=value), step=step)
        part.add(PHASE, terms(a=value), step=step)
        part = Means(json.loads(json.dumps(part.sums)))
    assert part.take() == whole.take()  # to the last bit


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_is_named(value):
    means = Means()
    means.add(PHASE, terms(kl=1.0, reconstruction=2.0), step=0)
    with pytest.raises(Diverged, match=r"at step 3 of phase 'fit' the term 'kl' made the loss") as caught:
        means.add(PHASE, terms(kl=value, reconstruction=1e30), step=3)
    assert "lower lr" in str(caught.value)
    assert means.take() == {"fit/kl": 1.0, "fit/reconstruction": 2.0}  # the bad update was not taken in


def test_far_from_the_first_loss_is_diverged():
    means = Means()
    means.add(PHASE, terms(a=3.0), step=0)
    means.add(PHASE, terms(a=-0.9 * FAR * 4), step=1)
    with pytest.raises(Diverged):
        means.add(PHASE, terms(a=1.1 * FAR * 4), step=2)


def test_lines_are_added_and_cut(tmp_path):
    path = tmp_path / "metrics.jsonl"
    keep_lines(path, 3)  # nothing there yet
    assert path.read_text() == ""
    for step in range(4):
        append_line(path, {"step": step, "loss": {"a": 0.1}})
    with open(path, "a") as file:
        file.write('{"step": 4, "lo')
    keep_lines(path, 3)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [0, 1, 2]
    assert os.listdir(tmp_path) == ["metrics.jsonl"]


def test_a_line_that_cannot_be_written_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="cannot be written"):
        append_line(tmp_path / "no such folder" / "metrics.jsonl", {"step": 1})
