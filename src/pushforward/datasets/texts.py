"""Texts: one long stream cut into windows, or many texts of their own that end with a code."""

import gzip
import math
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pushforward.core.data import Data, Windows
from pushforward.core.errors import InputError
from pushforward.core.text import Text
from pushforward.datasets.labels import join_labels, labelled
from pushforward.datasets.options import Options
from pushforward.datasets.splits import HELD_OUT, Found, hash_rows, split_up

__all__ = ["encode", "load_stream", "load_texts", "read_lines", "read_text", "vocabulary_of"]

#: More distinct characters than this and a text is taken as bytes: a table of codes should be small beside a network.
MAX_CHARACTERS = 512

#: Codes in a window of a stream: some lines of prose, cheap enough to attend over on a CPU.
WINDOW = 128

#: Codes of a separate text at most, its end among them; attention over more is slow on a CPU.
LONGEST = 512

#: A stream shorter than this has no windows worth the name in its tenth for validation.
SHORTEST_STREAM = 40


def read_text(path: Path) -> str:
    """The contents of a text file (UTF-8, gzipped or not), line ends as they stand.

    Raises:
        InputError: if it is missing, empty or no text.
    """
    try:
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8, expected a text file in UTF-8") from None
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({error}), expected a text file") from None
    if not text.strip():
        raise InputError(f"{path}: is empty, expected some text")
    if "\0" in text:
        raise InputError(f"{path}: holds zero bytes, expected a text file")
    return text


def read_lines(path: Path) -> list[str]:
    """The lines of a text file that are not blank, without their ends."""
    lines = (line.rstrip("\r") for line in read_text(path).split("\n"))
    return [line for line in lines if line.strip()]


def vocabulary_of(texts: Sequence[str]) -> tuple[str, ...]:
    """The characters of some texts in order, or none if they are too many: then texts are bytes.

    Example:
        >>> vocabulary_of(["banana"])
        ('a', 'b', 'n')
    """
    characters = set().union(*texts)
    return tuple(sorted(characters)) if len(characters) <= MAX_CHARACTERS else ()


def encode(text: str, vocabulary: tuple[str, ...]) -> np.ndarray:
    """The codes of a string, in the narrowest type that holds them.

    Example:
        >>> encode("abba", ("a", "b")).tolist(), encode("é", ()).tolist()
        ([0, 1, 1, 0], [195, 169])
    """
    if not vocabulary:
        return np.frombuffer(text.encode(errors="surrogatepass"), dtype=np.uint8).copy()
    points = np.frombuffer(text.encode("utf-32-le", errors="surrogatepass"), dtype=np.uint32)
    table = np.array([ord(character) for character in vocabulary], dtype=np.uint32)
    return np.searchsorted(table, points).astype(np.uint8 if len(vocabulary) <= 256 else np.int16)


def load_stream(text: str, options: Options, otherwise: str) -> Data:
    """Data from one long text: its first 80 % for training, the next 10 % for validation, the last for testing.

    Raises:
        InputError: if it is too short.

    Example:
        >>> data = load_stream("to be or not to be, " * 100, Options(), "hamlet")
        >>> data.example.length, len(data.example.vocabulary), len(data.test.stream)
        (100, 8, 200)
    """
    options.allow("a text file", "length")
    vocabulary = vocabulary_of([text])
    codes = torch.from_numpy(encode(text, vocabulary))
    unit = "characters" if vocabulary else "bytes"
    if len(codes) < SHORTEST_STREAM:
        raise InputError(f"data: the text has {len(codes)} {unit}, expected at least {SHORTEST_STREAM}")
    held = math.floor(HELD_OUT * len(codes))
    # Two windows, one after the other, fit into the text for validation.
    length = options.length or min(WINDOW, held // 2)
    if length > held:
        raise InputError(f"length: got {length}, expected at most {held}, a tenth of the text")
    train, valid, test = codes.split([len(codes) - 2 * held, held, held])
    notes = [f"one text of {len(codes):,} {unit}, split in the order it stands"]
    notes += [_describe(vocabulary)]
    return Data(
        name=options.title(otherwise),
        example=Text(vocabulary=vocabulary, length=length, stream=True),
        train=Windows(train, length),
        valid=Windows(valid, length),
        test=Windows(test, length),
        notes=tuple(notes),
    )


def load_texts(
    texts: Sequence[Any], options: Options, otherwise: str, notes: tuple[str, ...] = (), labels: Any = None
) -> Data:
    """Data from separate texts, one example each, with an end code.

    Raises:
        InputError: if one is no string, or all are empty.

    Example:
        >>> data = load_texts([f"word {i}" for i in range(20)], Options(), "words")
        >>> data.example.length, data.example.unpack(data.test.x)[0][:5]
        (8, 'word ')
    """
    options.allow("texts", "condition", "length")
    strange = next((index for index, text in enumerate(texts) if not isinstance(text, str)), None)
    if strange is not None:
        raise InputError(f"data: item {strange} is a {type(texts[strange]).__name__}, expected strings")
    example, x, said = pack_texts(texts, options.length)
    given = labels if options.condition is None else options.condition
    label, known = join_labels({"train": (len(texts), given)})
    found = Found(
        example=example,
        rows=labelled(x, known.get("train")),
        hashes=hash_rows(x.numpy()),
        condition=label,
        notes=(*notes, *said),
    )
    return split_up(found, options, otherwise)


def pack_texts(texts: Sequence[str], length: int | None = None) -> tuple[Text, Tensor, tuple[str, ...]]:
    """Separate texts as codes, (B, length), and what was decided.

    Args:
        texts: the strings.
        length: codes per example, the end code among them; None fits the longest text, up to 512.

    Raises:
        InputError: if all are empty.
    """
    vocabulary = vocabulary_of(texts)
    rows = [encode(text, vocabulary) for text in texts]
    longest = max(map(len, rows), default=0)
    if longest == 0:
        raise InputError(f"data: got {len(rows)} texts without a character, expected some text")
    example = Text(vocabulary=vocabulary, length=length or min(longest + 1, LONGEST))
    assert example.end is not None
    x = np.full((len(rows), example.length), example.end, dtype=np.int64)
    for row, codes in zip(x, rows, strict=True):
        kept = codes[: example.length - 1]
        row[: len(kept)] = kept
    cut = sum(len(row) >= example.length for row in rows)
    notes = [f"{len(rows):,} texts, {_describe(vocabulary)}"]
    if cut:
        notes.append(f"{cut:,} of them longer than {example.length - 1} codes and cut there (length= sets another)")
    return example, torch.from_numpy(x), tuple(notes)


def _describe(vocabulary: tuple[str, ...]) -> str:
    if not vocabulary:
        return f"codes are bytes (more than {MAX_CHARACTERS} distinct characters)"
    some = "".join(vocabulary)
    shown = repr(some if len(some) <= 40 else some[:40])[1:-1] + (" ..." if len(some) > 40 else "")
    return f"{len(vocabulary)} distinct characters, from all splits: {shown}"
