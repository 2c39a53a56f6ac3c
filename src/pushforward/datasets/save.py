"""Samples as files a person can open: the ending of the name says which kind."""

import io
import math
import wave
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from pushforward.core.audio import Audio
from pushforward.core.errors import InputError
from pushforward.core.files import write_bytes
from pushforward.core.modality import Image, Modality, Points
from pushforward.core.table import Table
from pushforward.core.text import Text

__all__ = ["check_ending", "endings_for", "write_samples"]

#: Between the pictures of a sheet, and the least side each is magnified to, in pixels.
GAP, LEAST_SIDE = 2, 32

#: Seconds of silence between recordings.
PAUSE = 0.25

#: Between texts that have line ends of their own.
RULE = "-" * 40


def endings_for(example: Modality) -> tuple[str, ...]:
    """The endings that files with samples of a modality can have, the usual one first.

    Example:
        >>> endings_for(Points(dim=2))
        ('.csv', '.npy', '.npz', '.parquet')
    """
    match example:
        case Image():
            return (".png", ".npy", ".npz")
        case Points():
            return (".csv", ".npy", ".npz", ".parquet")
        case Table():
            return (".csv", ".parquet")
        case Text():
            return (".txt", ".csv", ".parquet")
        case Audio():
            return (".wav", ".npy", ".npz")
        case _:
            raise ValueError(f"example: got {type(example).__name__}, expected Image, Points, Table, Text or Audio")


def check_ending(example: Modality, path: Path) -> None:
    """Raise ``InputError`` unless samples of the modality can be written to a file of this name."""
    endings = endings_for(example)
    if path.suffix.lower() not in endings:
        raise InputError(f"out: got {path.name!r} for {example.describe()}, expected a name in {', '.join(endings)}")


def write_samples(example: Modality, storage: Tensor, path: str | Path) -> None:
    """Write examples in storage form to a file, whole or not at all.

    ``.png`` is one sheet of all images; ``.npy`` and ``.npz`` (key ``x``) hold the array that ``example.unpack`` gives;
    ``.csv`` and ``.parquet`` the rows of a table; ``.txt`` one text per line, or, where texts have line ends of their
    own, texts parted by a line of dashes; ``.wav`` all waveforms one after another, a quarter of a second apart.

    Args:
        example: what an example is.
        storage: examples, (B, *shape).
        path: where to; replaced if it exists.

    Raises:
        InputError: if the ending does not suit the modality, or the place cannot be written.
    """
    path = Path(path)
    check_ending(example, path)
    example.check(storage, "samples")
    write_bytes(path, _contents(example, storage, path.suffix.lower()))


def _contents(example: Modality, storage: Tensor, ending: str) -> bytes:
    user = example.unpack(storage)
    file = io.BytesIO()
    match ending:
        case ".png":
            assert isinstance(example, Image)
            _sheet(np.asarray(user), example).save(file, format="PNG")
        case ".npy":
            np.save(file, user, allow_pickle=False)
        case ".npz":
            np.savez_compressed(file, x=user)
        case ".csv":
            _frame(example, user).to_csv(file, index=False)
        case ".parquet":
            _frame(example, user).to_parquet(file, index=False)
        case ".wav":
            assert isinstance(example, Audio)
            _recording(file, user, example.rate)
        case ".txt":
            parted = f"\n{RULE}\n" if any("\n" in text for text in user) else "\n"
            file.write((parted.join(user) + "\n").encode())
        case _:
            raise ValueError(f"ending: got {ending!r}, expected one of endings_for(example)")
    return file.getvalue()


def _frame(example: Modality, user: Any) -> Any:
    import pandas as pd

    match example:
        case Table():
            return user
        case Text():
            return pd.DataFrame({"text": user})
        case _:
            return pd.DataFrame(user, columns=[f"x{column}" for column in range(user.shape[1])])


def _recording(file: io.BytesIO, waves: np.ndarray, rate: int) -> None:
    """All waveforms (B, T) as one recording of 16 bits."""
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        silent = np.zeros((len(waves), round(rate * PAUSE)), np.int16)
        one_by_one = np.concatenate([waves, silent], axis=1).reshape(-1)
        out.writeframes(one_by_one[: max(len(one_by_one) - silent.shape[1], 0)].astype("<i2").tobytes())


def _sheet(pixels: np.ndarray, image: Image) -> Any:
    """All images (B, H, W) or (B, H, W, C) as one nearly square picture, small ones magnified by a whole factor."""
    from PIL import Image as Picture

    modes = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
    if image.channels not in modes:
        raise InputError(f"out: images of {image.channels} channels cannot be a .png, expected a name in .npy or .npz")
    eight_bits = np.rint(pixels * (255 / (image.levels - 1))).astype(np.uint8)
    columns = math.ceil(math.sqrt(len(eight_bits)))
    rows = math.ceil(len(eight_bits) / columns)
    scale = math.ceil(LEAST_SIDE / max(image.height, image.width))
    height, width = image.height * scale, image.width * scale
    size = (columns * (width + GAP) - GAP, rows * (height + GAP) - GAP)
    sheet = Picture.new(modes[image.channels], size, color="white")
    for index, example in enumerate(eight_bits):
        row, column = divmod(index, columns)
        one = Picture.fromarray(example).resize((width, height), Picture.Resampling.NEAREST)
        sheet.paste(one, (column * (width + GAP), row * (height + GAP)))
    return sheet
