"""One picture file: what kind it is, and its pixels at a given size."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from pushforward.core.errors import InputError

__all__ = ["Header", "for_each", "read_header", "read_picture"]

T = TypeVar("T")

#: The EXIF field that says how a camera was held, and its values for which height and width change places.
ORIENTATION, TURNED = 0x0112, (5, 6, 7, 8)

#: Pillow's names for pixels without colour; those of 16 bits start with "I".
GREY = ("1", "L", "LA", "La", "F")


@dataclass(frozen=True)
class Header:
    """What a file says about its picture: (height, width) as shown, and its kind."""

    size: tuple[int, int]
    colour: bool
    alpha: bool
    deep: bool
    frames: int

    @property
    def kind(self) -> str:
        """For people."""
        return ("colour" if self.colour else "grey") + (" with alpha" if self.alpha else "")


def read_header(path: Path) -> Header:
    """What the file says about its picture, without decoding it.

    Raises:
        InputError: if it cannot be read as a picture.
    """
    with _opened(path) as picture:
        width, height = picture.size
        turned = picture.getexif().get(ORIENTATION, 1) in TURNED
        return Header(
            size=(width, height) if turned else (height, width),
            colour=not (picture.mode in GREY or picture.mode.startswith("I")),
            alpha=picture.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info,
            deep=picture.mode.startswith("I"),
            # A phone keeps a preview beside a photograph (MPO), which does not make it move.
            frames=1 if picture.format == "MPO" else getattr(picture, "n_frames", 1),
        )


def read_picture(path: Path, height: int, width: int, mode: str) -> np.ndarray:
    """The pixels of the first frame as uint8 (C, height, width), the right way up, cut at the centre.

    Args:
        path: the file.
        height: of the result.
        width: of the result.
        mode: ``L``, ``LA``, ``RGB`` or ``RGBA``.

    Raises:
        InputError: if it cannot be read as a picture.
    """
    from PIL import Image, ImageOps

    with _opened(path) as picture:
        picture = ImageOps.exif_transpose(picture)
        if picture.mode.startswith("I") or picture.mode == "F":
            picture = Image.fromarray(_eight_bits(np.asarray(picture), path))
        if picture.mode == "1":
            picture = picture.convert("L")
        elif picture.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
            picture = picture.convert("RGB")
        picture = picture.convert("RGBA" if "transparency" in picture.info else picture.mode).convert(mode)
        if picture.size != (width, height):
            picture = ImageOps.fit(picture, (width, height), method=Image.Resampling.BICUBIC)
        pixels = np.asarray(picture, dtype=np.uint8)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def for_each(function: Callable[[Path], T], paths: Iterable[Path]) -> list[T]:
    """The function of every path, in order, several at a time: decoding leaves Python's lock."""
    # Pillow warns of odd metadata, which is no concern of the pixels. The filter is that of the process, so it is set
    # here once and not by each thread.
    with warnings.catch_warnings(), ThreadPoolExecutor() as pool:
        warnings.simplefilter("ignore")
        return list(pool.map(function, paths))


def _eight_bits(pixels: np.ndarray, path: Path) -> np.ndarray:
    """16-bit levels as 8-bit ones: 65,535 is 257 times 255."""
    if pixels.dtype.kind == "f" or pixels.min() < 0 or pixels.max() > 65535:
        raise InputError(f"{path}: has pixels of {pixels.dtype}, expected 8 or 16 bits")
    return np.rint(pixels / 257.0).astype(np.uint8)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """An open picture; whatever goes wrong with it inside the block is said in one sentence that names the file."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            yield picture
    except UnidentifiedImageError:
        raise InputError(f"{path}: is not a picture, expected one in a file with this ending") from None
    except Image.DecompressionBombError:
        raise InputError(f"{path}: claims to have more pixels than any picture, expected a smaller one") from None
    except InputError:
        raise
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError) as error:
        raise InputError(f"{path}: cannot be read as a picture ({error}), expected a whole one") from None
