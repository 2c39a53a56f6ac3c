"""Texts as whole-number codes: characters of a vocabulary, or bytes; windows of a stream, or texts with an end."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pushforward.core.errors import InputError
from pushforward.core.modality import Modality

__all__ = ["Text"]


@dataclass(frozen=True, kw_only=True)
class Text(Modality):
    """Strings as whole-number codes: one per character of a vocabulary, or one per byte of UTF-8.

    A *stream* (one long text) is cut into windows of ``length`` codes; separate texts end with the code ``end``,
    which also fills them up to ``length``.

    Args:
        vocabulary: the characters, in order; empty for bytes.
        length: codes in one example.
        stream: whether examples are windows of one long text.

    Example:
        >>> text = Text(vocabulary=("a", "b"), length=4)
        >>> text.pack(["ab"]).tolist(), text.unpack(text.pack(["ab"]))
        ([[0, 1, 2, 2]], ['ab'])
    """

    vocabulary: tuple[str, ...] = ()
    length: int = 64
    stream: bool = False

    @property
    def symbols(self) -> int:
        """Codes that stand for a character or byte."""
        return len(self.vocabulary) or 256

    @property
    def end(self) -> int | None:
        """The code that ends a text; a window of a stream has none."""
        return None if self.stream else self.symbols

    @property
    def size(self) -> int:
        """Number of codes."""
        return self.symbols + (not self.stream)

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.length,)

    @property
    def dtype(self) -> torch.dtype:
        return torch.int64

    @property
    def gridded(self) -> tuple[bool, bool]:
        return True, True

    def describe(self) -> str:
        unit = f"characters out of {self.symbols}" if self.vocabulary else "bytes"
        return f"windows of {self.length} {unit}" if self.stream else f"texts of up to {self.length - 1} {unit}"

    def check(self, storage: Tensor, name: str = "x") -> None:
        super().check(storage, name)
        if storage.numel() and (int(storage.min()) < 0 or int(storage.max()) >= self.size):
            raise InputError(f"{name}: holds a code outside 0 to {self.size - 1}")

    def codes(self, text: str) -> list[int]:
        """The codes of a string, without end code.

        Raises:
            InputError: if a character is not in the vocabulary.
        """
        if not self.vocabulary:
            return list(text.encode())
        table = {character: code for code, character in enumerate(self.vocabulary)}
        strange = next((character for character in text if character not in table), None)
        if strange is not None:
            some = "".join(self.vocabulary)[:80]
            raise InputError(f"text: holds {strange!r}, expected characters of the vocabulary {some!r}")
        return [table[character] for character in text]

    def string(self, codes: Sequence[int]) -> str:
        """The string of some codes, up to the first end code."""
        kept = []
        for code in codes:
            if code == self.end:
                break
            kept.append(int(code))
        if not self.vocabulary:
            return bytes(kept).decode(errors="replace")
        return "".join(self.vocabulary[code] for code in kept)

    def pack(self, user: Any) -> Tensor:
        rows = [self.codes(text) for text in ([user] if isinstance(user, str) else user)]
        for row in rows:
            if self.end is None and len(row) != self.length:
                raise InputError(f"text: got {len(row)} codes, expected a window of exactly {self.length}")
            if self.end is not None and len(row) >= self.length:
                raise InputError(f"text: got {len(row)} codes, expected at most {self.length - 1}")
        return torch.tensor([row + [self.end or 0] * (self.length - len(row)) for row in rows], dtype=torch.int64)

    def unpack(self, storage: Tensor) -> list[str]:
        return [self.string(row) for row in storage.tolist()]
