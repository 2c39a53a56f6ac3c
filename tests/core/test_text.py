"""Texts: characters or bytes, streams and texts with an end."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pushforward.core.errors import InputError
from pushforward.core.text import Text

LETTERS = Text(vocabulary=("\n", "a", "b"), length=5)
BYTES = Text(length=9)
STREAM = Text(vocabulary=("a", "b"), length=3, stream=True)


@given(st.lists(st.text("ab\n", max_size=4), min_size=1))
def test_letters_come_back(texts):
    storage = LETTERS.pack(texts)
    assert storage.shape == (len(texts), 5) and storage.dtype == torch.int64
    assert LETTERS.unpack(storage) == texts


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=2), min_size=1))
def test_bytes_come_back(texts):
    assert BYTES.unpack(BYTES.pack(texts)) == texts


def test_ends():
    assert (LETTERS.symbols, LETTERS.end, LETTERS.size) == (3, 3, 4)
    assert (BYTES.symbols, BYTES.end, BYTES.size) == (256, 256, 257)
    assert (STREAM.symbols, STREAM.end, STREAM.size) == (2, None, 2)
    assert LETTERS.pack(["a"]).tolist() == [[1, 3, 3, 3, 3]]
    assert LETTERS.pack("ab").shape == (1, 5)
    # What stands behind the first end code is no part of the text.
    assert LETTERS.unpack(torch.tensor([[1, 3, 2, 2, 3], [3, 1, 1, 1, 1]])) == ["a", ""]
    assert STREAM.pack(["aba"]).tolist() == [[0, 1, 0]] and STREAM.unpack(torch.tensor([[1, 0, 0]])) == ["baa"]


def test_bytes_that_are_no_text_are_marked():
    assert BYTES.unpack(torch.tensor([[0xE9, 256] + [0] * 7])) == ["\ufffd"]


@pytest.mark.parametrize(
    ("example", "texts", "message"),
    [
        (LETTERS, ["ac"], "holds 'c', expected characters of the vocabulary"),
        (LETTERS, ["aaaaa"], "got 5 codes, expected at most 4"),
        (BYTES, ["ééééé"], "got 10 codes, expected at most 8"),
        (STREAM, ["ab"], "got 2 codes, expected a window of exactly 3"),
    ],
)
def test_texts_that_do_not_fit(example, texts, message):
    with pytest.raises(InputError, match=message):
        example.pack(texts)


def test_what_they_are():
    assert LETTERS.describe() == "texts of up to 4 characters out of 3"
    assert STREAM.describe() == "windows of 3 characters out of 2"
    assert BYTES.describe() == "texts of up to 8 bytes"
