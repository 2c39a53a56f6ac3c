"""What several verbs share: examples of the user's own in, with the names of their files, and examples out again."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from pushforward.core.errors import InputError

__all__ = ["Named", "before_flags", "busy", "check_new", "new_folder_for", "read_named", "said_changed", "write_named"]


class Named(NamedTuple):
    """Storage examples, the names of their files (none for rows of an array or table), and how many were resized."""

    x: Any
    names: tuple[str, ...]
    changed: int


def before_flags(rest: list[str]) -> tuple[list[str], list[str]]:
    """The words before the first flag, and the others.

    Example:
        >>> before_flags(["run", "a.png", "--out", "x"])
        (['run', 'a.png'], ['--out', 'x'])
    """
    first = next((i for i, word in enumerate(rest) if word.startswith("-")), len(rest))
    return rest[:first], rest[first:]


def busy(what: str) -> AbstractContextManager[Any]:
    """Says what takes its time on standard error, where that is a terminal; silent otherwise."""
    from rich.console import Console

    console = Console(stderr=True)
    return console.status(what) if console.is_terminal else nullcontext()


def said_changed(changed: int, example: Any) -> list[str]:
    """A line on pictures that were not of the size and colours that the model knows, if there are any.

    Example:
        >>> from pushforward.core.modality import Image
        >>> said_changed(1, Image(channels=1, height=8, width=8))
        ['1 of them was brought to 8 x 8, grey, 256 levels first']
    """
    shape = example.describe().removeprefix("images ")
    return [f"{changed:,} of them {'was' if changed == 1 else 'were'} brought to {shape} first"] if changed else []


def read_named(sources: list[str], example: Any) -> Named:
    """Examples of a known modality from a folder or files of pictures, or from another file.

    Raises:
        InputError: if there is no such file, or it holds something else.
    """
    import torch

    from pushforward.core.modality import Image
    from pushforward.datasets.pictures import ENDINGS, picture_files
    from pushforward.datasets.read_as import read_as

    paths = [Path(source).expanduser() for source in sources]
    for path in paths:
        if not path.exists():
            raise InputError(f"data: there is no file or folder {path}, expected {example.describe()}")
    if isinstance(example, Image) and len(paths) == 1 and paths[0].is_dir():
        files = picture_files(paths[0])[0]
        if not files:
            raise InputError(f"{paths[0]}: holds no picture, expected {example.describe()}")
        return _pictures(files, [str(file.relative_to(paths[0])) for file in files], example)
    if isinstance(example, Image) and all(path.suffix.lower() in ENDINGS and path.is_file() for path in paths):
        return _pictures(paths, [path.name for path in paths], example)
    if len(paths) > 1:
        raise InputError(f"data: got {len(paths)} files, expected pictures, or one file or folder")
    split = read_as(sources[0], example)
    return Named(split[torch.arange(len(split))].x, (), 0)


def _pictures(files: list[Path], names: list[str], example: Any) -> Named:
    """Pictures brought to the size and colours that the model knows."""
    import numpy as np
    import torch

    from pushforward.datasets.picture_file import for_each, read_header, read_picture

    modes = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
    if example.levels != 256 or example.channels not in modes:
        raise InputError(f"data: got pictures, expected {example.describe()} as an array in a .npy file")
    mode = modes[example.channels]
    headers = list(for_each(read_header, files))
    arrays = list(for_each(lambda path: read_picture(path, example.height, example.width, mode), files))
    known = ((example.height, example.width), example.channels > 2, example.channels in (2, 4))
    changed = sum((header.size, header.colour, header.alpha) != known for header in headers)
    return Named(torch.from_numpy(np.stack(arrays)), tuple(names), changed)


def check_new(out: Path) -> None:
    """Whether a folder may be made, asked before what takes its time.

    Raises:
        InputError: if it is there and holds something.
    """
    if out.is_dir() and any(out.iterdir()):
        raise InputError(f"out: {out} is not empty, expected a new folder")


def new_folder_for(out: Path) -> Path:
    """A folder that is new or empty.

    Raises:
        InputError: if it is neither, or cannot be made.
    """
    check_new(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"out: {out} cannot be made ({error.strerror}), expected a writable place") from None
    return out


def write_named(example: Any, x: Any, names: tuple[str, ...], folder: Path) -> str:
    """Write examples into a folder: a PNG for each name, or one file of all of them; returns what was written.

    Raises:
        InputError: if a name leads out of the folder, or the place cannot be written.
    """
    from pushforward.core.files import write_bytes
    from pushforward.datasets.save import endings_for, write_samples
    from pushforward.uses.compression import picture_files_of

    if not names:
        ending = next(ending for ending in endings_for(example) if ending != ".png")  # a sheet is not read again
        new_folder_for(folder)
        write_samples(example, x, folder / f"examples{ending}")
        return str(folder / f"examples{ending}")
    targets = [Path(name).with_suffix(".png") for name in names]
    if len(set(targets)) < len(targets):  # a.jpg beside a.png
        targets = [Path(f"{name}.png") for name in names]
    for target in targets:
        if target.is_absolute() or ".." in target.parts:
            raise InputError(f"file: holds the name {str(target)!r}, expected names inside a folder")
    new_folder_for(folder)
    for target, contents in zip(targets, picture_files_of(x, example), strict=True):
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / target, contents)
    return f"{len(targets):,} pictures in {folder}"
