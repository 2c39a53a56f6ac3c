"""Texts: streams split in the order they stand, separate texts with an end, characters or bytes."""

import gzip

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pushforward.core.errors import InputError
from pushforward.datasets.options import Options
from pushforward.datasets.texts import encode, load_stream, load_texts, read_lines, read_text, vocabulary_of

WORDS = st.text(st.characters(codec="utf-8"), max_size=12)


@given(WORDS)
def test_encode_agrees_with_the_modality(text):
    from pushforward.core.text import Text

    vocabulary = vocabulary_of([text])
    assert encode(text, vocabulary).tolist() == Text(vocabulary=vocabulary, length=64).codes(text)


def test_a_stream_is_split_in_order():
    text = "".join(chr(97 + i * i % 26) for i in range(2000))
    data = load_stream(text, Options(), "t")
    pieces = ["".join(data.example.string(split.stream.tolist())) for split in (data.train, data.valid, data.test)]
    assert "".join(pieces) == text and [len(piece) for piece in pieces] == [1600, 200, 200]
    assert data.train.stream.dtype == torch.uint8
    window = data.train[torch.tensor([7])].x
    assert window.shape == (1, data.example.length) and data.example.unpack(window) == [text[7 : 7 + 100]]


@pytest.mark.parametrize(("size", "length"), [(40, 2), (1000, 50), (2560, 128), (10**5, 128)])
def test_windows_fit_the_text(size, length):
    data = load_stream("ab" * (size // 2), Options(), "t")
    assert data.example.length == length and len(data.valid) > length / 2


def test_length_is_an_argument():
    assert load_stream("ab" * 5000, Options(length=256), "t").example.length == 256
    with pytest.raises(InputError, match="length: got 256, expected at most 100"):
        load_stream("ab" * 500, Options(length=256), "t")
    with pytest.raises(InputError, match="has 39 characters"):
        load_stream("x" * 39, Options(), "t")


def test_many_distinct_characters_become_bytes():
    text = "".join(chr(0x4E00 + i % 600) for i in range(1000))
    data = load_stream(text, Options(), "t")
    assert data.example.vocabulary == () and len(data.train.stream) + 2 * len(data.test.stream) == 3000
    assert "bytes" in data.notes[0]
    few = load_stream("".join(chr(0x4E00 + i % 400) for i in range(1000)), Options(), "t")
    assert len(few.example.vocabulary) == 400 and few.train.stream.dtype == torch.int16


@settings(max_examples=50, deadline=None)
@given(st.lists(WORDS, min_size=3, max_size=20).filter(any))
def test_separate_texts_come_back(texts):
    data = load_texts(texts, Options(), "t")
    stored = torch.cat([data.train.x, data.valid.x, data.test.x])
    assert sorted(data.example.unpack(stored)) == sorted(texts)
    assert torch.equal(data.example.pack(data.example.unpack(stored)), stored)


def test_long_texts_are_cut_with_a_line():
    texts = [f"{i:03}" + "x" * (1000 if i < 2 else 5) for i in range(20)]
    data = load_texts(texts, Options(), "t")
    assert data.example.length == 512 and any("2 of them longer than 511" in note for note in data.notes)
    short = load_texts(texts, Options(length=4), "t")
    assert short.example.length == 4 and {len(t) for t in short.example.unpack(short.train.x)} == {3}


def test_texts_take_labels():
    data = load_texts([f"n {i}" for i in range(30)], Options(condition=np.arange(30) % 2), "t")
    for split in (data.train, data.valid, data.test):
        assert [int(t.split()[1]) % 2 for t in data.example.unpack(split.x)] == split.condition.tolist()


@pytest.mark.parametrize("texts", [["a", 3, "b"], ["", "", ""], [None, "a", "b"]])
def test_what_are_no_texts(texts):
    with pytest.raises(InputError, match="^data: "):
        load_texts(texts, Options(), "t")


def test_files(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\n\ntwo\n")
    assert read_text(path) == "one\r\n\ntwo\n" and read_lines(path) == ["one", "two"]
    path.write_bytes(gzip.compress(b"three"))
    assert read_text(path) == "three"
    for raw, message in ((b"\xff\xfe\x00", "byte 0 is not UTF-8"), (b" \n", "is empty"), (b"a\0b", "zero bytes")):
        path.write_bytes(raw)
        with pytest.raises(InputError, match=message):
            read_text(path)
