"""The plan for people."""

import pytest

from pushforward.probability.baselines import Gaussian
from pushforward.run.outline import describe, memory, parameters, said_time
from pushforward.training.settings import Settings
from pushforward.zoo import create
from tests.small_data import digits, points, text
from tests.training.learners import Bell


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.004, "0.004 s"),
        (9.96, "10 s"),
        (59.9, "60 s"),
        (60, "1 min"),
        (3599, "60 min"),
        (5400, "1.5 h"),
        (1e6, "278 h"),
    ],
)
def test_times(seconds, said):
    assert said_time(seconds) == said


def test_the_plan_names_data_model_and_training():
    data = digits(600)
    lines = describe(create(Bell, data), data, Settings(steps=30, batch_size=48), pace=0.5)
    assert lines[0] == "digits: images 8 x 8, grey, 17 levels"
    assert "split: 480 train, 60 validation, 60 test" in lines
    assert "condition: digit: 10 classes (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)" in lines
    assert "model: Bell (start=0.0, dropout=0.0), 128 parameters" in lines
    assert "training: 30 steps of 48 examples (3.0 passes), about 15 s and validations" in lines


def test_a_closed_form_has_no_steps():
    data = points()
    lines = describe(create(Gaussian, data), data, Settings(), pace=None)
    assert any("fitted in closed form" in line for line in lines)
    assert not any(line.startswith("training:") for line in lines)


def test_memory_counts_weights_six_times_and_the_data_once():
    data = points()
    assert memory(create(Bell, data), data) == 6 * 4 * 4 + 600 * 2 * 8
    assert parameters(create(Bell, data)) == 4
    stream = text()
    assert memory(Bell(example=data.example), stream) == 6 * 4 * 4 + 3000 * 8
