"""Arrays in files: ``.npy``, ``.npz``, and the IDX format of MNIST, gzipped or not. Nothing is unpickled."""

import gzip
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from pushforward.core.errors import InputError
from pushforward.datasets.images import Parts

__all__ = ["is_idx", "read_idx", "read_idx_folder", "read_idx_images", "read_npy", "read_npz"]

#: The third byte of an IDX file names the type of its numbers (big-endian).
IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}

#: Usual keys of an ``.npz``, best first.
X_KEYS = {
    "train": ("train", "x_train", "X_train", "train_images", "x", "X", "images", "data", "arr_0"),
    "valid": ("valid", "val", "x_valid", "x_val", "X_val", "val_images", "valid_images"),
    "test": ("test", "x_test", "X_test", "test_images"),
}
Y_KEYS = {
    "train": ("y_train", "train_labels", "y", "Y", "labels", "label", "targets", "train_y"),
    "valid": ("y_valid", "y_val", "val_labels", "valid_labels", "val_y"),
    "test": ("y_test", "test_labels", "test_y"),
}


def read_npy(path: Path) -> np.ndarray:
    """The array of an ``.npy`` file, mapped and not read: what is larger than memory streams.

    Raises:
        InputError: if it is no such file, cut short, or holds Python objects.
    """
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{path}: {_reason(error)}, expected an .npy file of numbers") from None


def read_npz(path: Path) -> tuple[Parts, tuple[str, ...]]:
    """The splits in an ``.npz`` file, and a line on the arrays that were not used.

    Raises:
        InputError: if it is no such file, or no array has a name that says what it is.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            keys = list(archive.files)
            wanted = {split: (_first(X_KEYS[split], keys), _first(Y_KEYS[split], keys)) for split in X_KEYS}
            if wanted["train"][0] is None and len(keys) == 1:
                wanted["train"] = (keys[0], None)
            if wanted["train"][0] is None:
                some = ", ".join(keys[:12])
                raise InputError(f"{path}: holds the arrays {some}, expected one named x, images, data or train")
            parts: Parts = {
                split: (archive[x], None if y is None else archive[y])
                for split, (x, y) in wanted.items()
                if x is not None
            }
    except InputError:
        raise
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: {_reason(error)}, expected an .npz file of numbers") from None
    used = {key for split in parts for key in wanted[split]}
    ignored = [key for key in keys if key not in used]
    return parts, (f"not used in {path.name}: {', '.join(ignored)}",) if ignored else ()


def is_idx(path: Path) -> bool:
    """Whether a file has the name of an IDX file."""
    name = path.name.removesuffix(".gz")
    return name.endswith(("-ubyte", ".idx")) or "-idx" in name or ".idx" in name


def read_idx(path: Path) -> np.ndarray:
    """The array of an IDX file, gzipped or not.

    Raises:
        InputError: if it is no such file or cut short.
    """
    try:
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, EOFError, zlib.error):
        raise InputError(f"{path}: is cut short or damaged, expected an IDX file, gzipped or not") from None
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] not in IDX_TYPES:
        raise InputError(f"{path}: does not begin as an IDX file does, expected one such as those of MNIST")
    kind, dims = np.dtype(IDX_TYPES[raw[2]]), raw[3]
    if len(raw) < 4 + 4 * dims:
        raise InputError(f"{path}: is cut short in its header, expected a whole IDX file")
    shape = tuple(int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(dims))
    data = raw[4 + 4 * dims :]
    if len(data) != kind.itemsize * int(np.prod(shape)):
        raise InputError(f"{path}: holds {len(data)} bytes of data, expected {shape} numbers of {kind.itemsize} bytes")
    return np.frombuffer(data, dtype=kind).reshape(shape).astype(kind.newbyteorder("="))


def read_idx_images(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """The images of an IDX file, and the labels of the file beside it that is named as MNIST's are."""
    beside = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
    labels = read_idx(beside) if beside != path and beside.is_file() else None
    return read_idx(path), labels


def read_idx_folder(folder: Path) -> Parts:
    """The training images, and the test images (``t10k-`` or ``test-``) if they are there, with their labels.

    Raises:
        InputError: if there are no training images.
    """
    images = sorted(path for path in folder.iterdir() if is_idx(path) and "images" in path.name)
    train = [path for path in images if path.name.startswith("train")] or images[:1]
    test = [path for path in images if path.name.startswith(("t10k", "test"))]
    if not train:
        raise InputError(f"{folder}: holds no IDX file of images, expected one such as train-images-idx3-ubyte.gz")
    parts: Parts = {"train": read_idx_images(train[0])}
    if test and test[0] != train[0]:
        parts["test"] = read_idx_images(test[0])
    return parts


def _first(names: tuple[str, ...], keys: list[str]) -> Any:
    return next((name for name in names if name in keys), None)


def _reason(error: Exception) -> str:
    if any(word in str(error) for word in ("pickle", "Object arrays", "Python objects")):
        return "holds Python objects, which are not read"
    return "cannot be read (cut short, or of another format)"
