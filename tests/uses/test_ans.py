"""The stack gives back what was pushed, in the opposite order, and is as long as the information in it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushforward.core.errors import InputError
from pushforward.uses.ans import PRECISION, Ans, frequencies


def drawn(rng, rows: int, values: int, sharpness: float):
    """Random distributions, and a symbol of each."""
    log_mass = sharpness * rng.normal(size=(rows, values))
    mass = np.exp(log_mass) / np.exp(log_mass).sum(1, keepdims=True)
    symbols = np.array([rng.choice(values, p=p) for p in mass])
    return log_mass, symbols, -np.log2(mass[np.arange(rows), symbols]).sum()


def test_the_length_is_the_information():
    rng = np.random.default_rng(0)
    log_mass, symbols, information = drawn(rng, 4000, 7, 2.0)
    stack = Ans()
    table = frequencies(log_mass)
    stack.push_table(symbols, table)
    # Rounding of frequencies costs V / 2**p of a nat a symbol, the head a few bits once.
    assert stack.bits == pytest.approx(information, abs=0.1 + 4000 * 7 * 2.0**-PRECISION * 2)
    contents = stack.to_bytes()
    assert 8 * len(contents) <= information + 96  # the head is written in whole
    assert Ans(contents).pop_table(table) == symbols.tolist()


@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(1, 300), st.floats(0.1, 30.0))
def test_whatever_is_pushed_is_popped(seed, rows, values, sharpness):
    rng = np.random.default_rng(seed)
    log_mass = sharpness * rng.normal(size=(rows, values))
    symbols = rng.integers(0, values, rows)  # also what is next to impossible
    table = frequencies(log_mass)
    assert (np.diff(table) >= 1).all() and (table[:, -1] == 1 << PRECISION).all()
    stack = Ans()
    stack.push_table(symbols, table)
    again = Ans(stack.to_bytes())
    assert again.pop_table(table) == symbols.tolist()
    assert again.bits == 0.0


def test_popping_draws_and_pushing_gives_the_bits_back():
    table = frequencies(np.log(np.tile([0.5, 0.3, 0.2], (50_000, 1))))
    stack = Ans()
    found = stack.pop_table(table)
    shares = np.bincount(found, minlength=3) / 50_000
    # Four standard errors of a share of 1/2 in 50,000 draws.
    np.testing.assert_allclose(shares, [0.5, 0.3, 0.2], atol=4 * np.sqrt(0.25 / 50_000))
    taken = stack.borrowed
    assert taken == pytest.approx(50_000 * 1.4855, rel=0.01)  # the entropy of (0.5, 0.3, 0.2) in bits
    stack.push_table(np.array(found), table)
    assert stack.bits == taken  # the head is what it was, above the words that were borrowed


def test_an_empty_or_foreign_stack_says_so():
    with pytest.raises(InputError, match="ran empty"):
        Ans(Ans().to_bytes()).pop_table(frequencies(np.zeros((9, 300))))
    for contents in (b"", b"12345", b"\0" * 8):
        with pytest.raises(InputError, match="contents"):
            Ans(contents)


def test_sizes_agree_with_another_coder():
    constriction = pytest.importorskip("constriction")
    rng = np.random.default_rng(1)
    log_mass, symbols, _ = drawn(rng, 3000, 5, 2.0)
    stack = Ans()
    stack.push_table(symbols, frequencies(log_mass))
    other = constriction.stream.stack.AnsCoder()
    family = constriction.stream.model.Categorical(perfect=False)
    other.encode_reverse(symbols.astype(np.int32), family, np.exp(log_mass).astype(np.float32))
    assert abs(len(stack.to_bytes()) - 4 * len(other.get_compressed())) <= 8
