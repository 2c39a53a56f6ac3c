"""Settings refuse what makes no sense, by name, in one sentence."""

import math
import re

import pytest

from pushforward.core.errors import InputError
from pushforward.training.settings import Settings, parse_budget


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", -1),
        ("steps", 2.5),
        ("batch_size", -1),
        ("accumulate", 0),
        ("validate_every", -3),
        ("threads", -1),
        ("seed", -1),
        ("seed", 2**64),
        ("lr", -0.1),
        ("lr", math.inf),
        ("clip", math.nan),
        ("warmup", 1.0),
        ("ema", 1.0),
        ("ema", -0.1),
        ("drop_condition", 1.5),
    ],
)
def test_a_number_out_of_range_is_named(name, value):
    with pytest.raises(InputError, match=rf"^{name}: got {re.escape(str(value))}, expected"):
        Settings(**{name: value})


def test_a_batch_must_be_cut_evenly():
    with pytest.raises(InputError, match="accumulate: got 3, expected a divisor of batch_size 128"):
        Settings(batch_size=128, accumulate=3)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("20s", 20), ("1min", 60), ("1.5h", 5400), (" .5 m ", 30), ("2 hours", 7200), (7, 7), (0.25, 0.25), ("90", 90)],
)
def test_times_are_understood(text, seconds):
    assert parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["-20s", "0", "", "soon", "1 day", "nan", "inf", "1e3", "20s20s", 0, -1.0, math.inf])
def test_other_times_are_refused(text):
    with pytest.raises(InputError, match="budget: got .* expected a time such as 20s, 1min or 1.5h"):
        parse_budget(text)
