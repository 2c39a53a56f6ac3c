"""A folder of picture files of any kind and size, as images of one size; subfolders as classes or splits."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pushforward.core.data import Batch, Condition, Data, Lazy, Split
from pushforward.core.errors import InputError
from pushforward.core.modality import Image, Label
from pushforward.datasets.images import IN_MEMORY
from pushforward.datasets.labels import Labels, join_labels, labelled
from pushforward.datasets.options import Options
from pushforward.datasets.picture_file import Header, for_each, read_header, read_picture
from pushforward.datasets.splits import Found, hash_rows, split_up

__all__ = ["by_split", "folder_labels", "load_pictures", "picture_files"]

#: Endings that Pillow reads in every build and that hold pictures.
ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".jp2", ".tga"}

#: Names of subfolders that are splits rather than classes.
SPLITS = {"train": "train", "valid": "valid", "val": "valid", "validation": "valid", "test": "test"}


@dataclass(frozen=True)
class Form:
    """What all pictures of a folder are brought to."""

    height: int
    width: int
    colour: bool
    alpha: bool

    @property
    def channels(self) -> int:
        """1 grey, 2 with alpha, 3 colour, 4 with alpha."""
        return (3 if self.colour else 1) + self.alpha


def picture_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """(files with the ending of a picture, all other files) below a folder, in the order of their names."""
    pictures, others = [], []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        for name in sorted(names):
            # "._cat.png" is what macOS leaves beside a file on foreign disks: no picture.
            known = Path(name).suffix.lower() in ENDINGS and not name.startswith(".")
            (pictures if known else others).append(Path(parent, name))
    return pictures, others


def load_pictures(folder: Path, pictures: list[Path], others: list[Path], options: Options) -> Data:
    """Data from a folder of pictures, given the two lists that ``picture_files`` makes of it.

    Subfolders named ``train``, ``test`` (and ``valid``) are splits; others, two or more and no picture beside them,
    are classes. Pictures of another size than the most common one are scaled to cover it and cut at the centre; grey
    ones among coloured ones become coloured, and so on up to the richest kind there is.

    Raises:
        InputError: naming the file, if one cannot be read.
    """
    options.allow("a folder of pictures", "size", "condition")
    found, depth = by_split(folder, pictures)
    form, notes = _form(for_each(read_header, pictures), options.sides())
    if others:
        some = ", ".join(path.name for path in others[:3])
        notes.append(f"skipped {len(others):,} files that are no pictures ({some}{', ...' if len(others) > 3 else ''})")
    label, labels = folder_labels(folder, found, depth, options)
    if label is not None and options.condition is None:
        notes.append(f"subfolders are classes: {label.size}")
    splits = {name: _read(paths, form, labels.get(name)) for name, paths in found.items()}
    rows, hashes = splits["train"]
    return split_up(
        Found(
            example=Image(height=form.height, width=form.width, channels=form.channels),
            rows=rows,
            hashes=hashes,
            condition=label,
            valid=splits["valid"][0] if "valid" in splits else None,
            test=splits["test"][0] if "test" in splits else None,
            notes=tuple(notes),
        ),
        options,
        folder.resolve().name,
    )


def by_split(folder: Path, files: list[Path]) -> tuple[dict[str, list[Path]], int]:
    """The files of each split, and how many folders deep the classes begin."""
    tops = {path.relative_to(folder).parts[0] for path in files}
    if "train" not in tops or not tops <= SPLITS.keys():
        return {"train": files}, 0
    found: dict[str, list[Path]] = {}
    for path in files:
        found.setdefault(SPLITS[path.relative_to(folder).parts[0]], []).append(path)
    return found, 1


def folder_labels(
    folder: Path, found: dict[str, list[Path]], depth: int, options: Options
) -> tuple[Label | None, dict[str, Labels]]:
    """Classes given by the caller, or by the first subfolder of every picture if all have one and they differ."""
    if options.condition is not None:
        if len(found) > 1:
            raise InputError("condition: got one for a folder with splits, expected its subfolders to be the classes")
        return join_labels({"train": (len(found["train"]), options.condition)})
    names = {
        split: [parts[depth] if len(parts := path.relative_to(folder).parts) > depth + 1 else None for path in paths]
        for split, paths in found.items()
    }
    every = [name for some in names.values() for name in some]
    if None in every or len(set(every)) < 2:
        return None, {}
    return join_labels({split: (len(some), some) for split, some in names.items()}, "folder")


def _form(headers: list[Header], wanted: tuple[int, int] | None) -> tuple[Form, list[str]]:
    sizes = Counter(header.size for header in headers)
    most = max(sizes.values())
    # Between sizes that are equally common the smallest: pictures are made smaller rather than invented.
    height, width = wanted or min((size for size in sizes if sizes[size] == most), key=lambda size: size[0] * size[1])
    notes = []
    other = sum(count for size, count in sizes.items() if size != (height, width))
    if other:
        why = "asked for" if wanted else "the most common size"
        notes.append(
            f"{other:,} of {len(headers):,} pictures scaled and cut at the centre to {height} x {width}, {why}"
        )
    form = Form(height, width, any(h.colour for h in headers), any(h.alpha for h in headers))
    kinds = Counter(h.kind for h in headers)
    if len(kinds) > 1:
        mixed = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common())
        notes.append(f"mixed kinds ({mixed}) brought to the richest")
    deep, frames = sum(h.deep for h in headers), sum(h.frames > 1 for h in headers)
    notes += [f"{deep:,} pictures of 16 bits brought to 8"] if deep else []
    notes += [f"{frames:,} moving pictures: the first frame of each"] if frames else []
    return form, notes


def _read(paths: list[Path], form: Form, labels: Labels | None) -> tuple[Split, np.ndarray]:
    def read(some: Iterable[Path]) -> Tensor:
        mode = ("RGB" if form.colour else "L") + ("A" if form.alpha else "")
        arrays = for_each(lambda path: read_picture(path, form.height, form.width, mode), some)
        return torch.from_numpy(np.stack(arrays))

    def fetch(indices: Tensor) -> Batch:
        x = read(paths[index] for index in indices.tolist())
        return Batch(x) if labels is None else Batch(x, Condition(labels[0][indices], labels[1][indices]))

    if len(paths) * form.channels * form.height * form.width <= IN_MEMORY:
        x = read(paths)
        return labelled(x, labels), hash_rows(x.numpy())
    # Too large to decode at once: files with the same bytes are the same picture.
    hashes = np.array([_hash_file(path) for path in paths], dtype=np.uint64)
    known = b"" if labels is None else labels[0].numpy().tobytes()
    identity = f"{form} {hashlib.sha256(hashes.tobytes() + known).hexdigest()}"
    return Lazy(len(paths), fetch, identity), hashes


def _hash_file(path: Path) -> int:
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=8))
    return int.from_bytes(digest.digest(), "little")
