"""Noise: addressed by what it is for, so that no number depends on who else asks; and of the right law."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pushforward.core.errors import InputError
from pushforward.core.noise import BLOCK, Noise, fresh_seed


@settings(max_examples=60, deadline=None)
@given(
    start=st.integers(0, 5 * BLOCK),
    rows=st.integers(1, 3 * BLOCK),
    seed=st.integers(0, 2**63 - 1),
    step=st.integers(0, 2**40),
    event=st.sampled_from([(), (1,), (3,), (2, 5)]),
)
def test_a_row_does_not_depend_on_the_rows_around_it(start, rows, seed, step, event):
    whole = Noise(seed, step, rows=start + rows)
    part = Noise(seed, step, rows=rows, start=start)
    alone = Noise(seed, step, rows=1, start=start + rows - 1)
    for law in ("normal", "uniform", "normal"):  # draw after draw
        numbers = getattr(whole, law)(*event)
        assert torch.equal(numbers[start:], getattr(part, law)(*event))
        assert torch.equal(numbers[-1:], getattr(alone, law)(*event))


def test_part_begins_at_the_first_draw():
    noise = Noise(3, 1, rows=200, start=50)
    first, second = noise.normal(2), noise.normal(2)
    part = noise.part(60, 20)
    assert torch.equal(part.normal(2), first[60:80]) and torch.equal(part.normal(2), second[60:80])


def test_seed_step_draw_and_law_each_change_the_numbers():
    numbers = [
        Noise(0, rows=8).normal(4),
        Noise(1, rows=8).normal(4),
        Noise(0, 1, rows=8).normal(4),
        Noise(1, 0, rows=8, start=BLOCK).normal(4),
    ]
    noise = Noise(0, rows=8)
    noise.normal(4)
    numbers += [noise.normal(4), noise.uniform(4)]
    for index, one in enumerate(numbers):
        assert not any(torch.isin(one, other).any() for other in numbers[:index])


def test_the_number_of_entries_of_an_earlier_draw_does_not_matter():
    a, b = Noise(0, rows=70), Noise(0, rows=70)
    a.normal(1000)
    b.uniform()
    assert torch.equal(a.normal(3), b.normal(3))


def test_laws():
    """Kolmogorov-Smirnov tests at a level that a right law fails once in a million seeds; the seed is fixed."""
    noise = Noise(7, rows=2000)
    normal, uniform = noise.normal(50), noise.uniform(50)
    assert stats.kstest(normal.double().numpy().ravel(), "norm").pvalue > 1e-6
    assert stats.kstest(uniform.double().numpy().ravel(), "uniform").pvalue > 1e-6
    assert uniform.min() >= 0 and uniform.max() < 1
    assert torch.equal(uniform * 2**24, (uniform * 2**24).round())


def test_rows_draws_and_steps_are_independent():
    noise = Noise(11, rows=4 * BLOCK)
    first, second = noise.normal(64), noise.normal(64)
    step = Noise(11, 1, rows=4 * BLOCK).normal(64)
    n = first.numel()
    pairs = [
        (first, second),
        (first, step),
        (first[:-1], first[1:]),
        (first[:-BLOCK], first[BLOCK:]),
        (first[:, :-1], first[:, 1:]),
    ]
    for a, b in pairs:
        correlation = np.corrcoef(a.numpy().ravel(), b.numpy().ravel())[0, 1]
        assert abs(correlation) < 5 / math.sqrt(n / 2)  # five standard errors and some


def test_type_and_device_follow_like():
    like = torch.empty(0, dtype=torch.float64)
    assert Noise(0, rows=2).normal(3, like=like).dtype == torch.float64
    assert torch.equal(Noise(0, rows=2).normal(3, like=like), Noise(0, rows=2).normal(3).double())
    assert Noise(0, rows=2).uniform().shape == (2,) and len(Noise(0, rows=2)) == 2
    assert Noise(0, rows=0).normal(3).shape == (0, 3)


@pytest.mark.parametrize(
    "bad", [{"seed": -1}, {"seed": 0.5}, {"seed": True}, {"seed": 2**63}, {"rows": -1}, {"start": -1}]
)
def test_bad_arguments(bad):
    with pytest.raises(InputError, match=f"^{next(iter(bad))}: "):
        Noise(**{"seed": 0, "rows": 1, **bad})


def test_fresh_seeds_differ():
    assert len({fresh_seed() for _ in range(100)}) > 95
