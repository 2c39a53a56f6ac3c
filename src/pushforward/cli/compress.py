"""``pushforward compress`` and ``decompress``: examples as the bytes a model needs for them, and back.

With a ``vqvae`` what comes back is the decoder's picture and not what was put in; both verbs say so.
"""

import dataclasses
from pathlib import Path
from typing import Any

from pushforward.cli.examples import (
    before_flags,
    busy,
    check_new,
    new_folder_for,
    read_named,
    said_changed,
    write_named,
)
from pushforward.cli.flags import parse
from pushforward.cli.place import open_run
from pushforward.core.errors import InputError

__all__ = ["compress_command", "decompress_command"]

#: Of the JPEG that is named beside the file: Pillow's usual one.
QUALITY = 75


@dataclasses.dataclass(kw_only=True)
class Compress:
    """What ``compress`` takes besides the run and the pictures; without pictures it takes the run's test split."""

    out: Path  # File to write, such as pictures.pfz.
    trust: tuple[str, ...] = ()  # Classes of models from outside that may be imported, as module:Class.
    device: str = "cpu"  # Where the model is put; the code itself is computed on the CPU.
    threads: int = 0  # CPU threads; the code itself is computed on one.


@dataclasses.dataclass(kw_only=True)
class Decompress:
    """What ``decompress`` takes besides the file."""

    run: Path  # The run that the file was compressed with.
    out: Path  # A new folder for what is in the file.
    trust: tuple[str, ...] = ()  # Classes of models from outside that may be imported, as module:Class.


def compress_command(rest: list[str]) -> int:
    """Compress pictures with a run; prints the bytes beside those of PNG and JPEG.

    Raises:
        InputError: if an argument cannot be used.
    """
    words, flags = before_flags(rest)
    description = (
        "Compress pictures with a run, losslessly (a vqvae: with loss): pushforward compress RUN PICTURES --out "
        "FILE.pfz. PICTURES are a folder or files of them; without any, the run's test split is compressed."
    )
    run, given, _ = open_run([*words[:1], *flags], Compress, verb="compress", description=description)
    import torch

    from pushforward.core.files import write_bytes
    from pushforward.run.judge import data_of
    from pushforward.uses.compression import coder_of, compress

    coder_of(run.model)  # whether it can, before anything is read
    if not given.out.parent.is_dir() or given.out.is_dir():
        raise InputError(f"out: {given.out} cannot be written, expected a file such as pictures.pfz in a folder")
    if words[1:]:
        x, names, changed = read_named(words[1:], run.example)
    else:
        test = data_of(run).test
        x, names, changed = test[torch.arange(len(test))].x, (), 0
    with busy(f"compressing {len(x):,} images, and decoding them to compare"):
        found = compress(run.model, x, names=names)
    write_bytes(given.out, found.contents)
    size = f"{len(found.contents):,} bytes, {found.bits_per_entry:.2f} bits/dim"
    print(f"{given.out}: {found.count:,} images of {found.entries:,} numbers in {size} (decoded and compared)")
    if found.distortion is not None:
        print(_lossy(run.example, found.distortion))
    for line in [*said_changed(changed, run.example), *_beside(run.example, x, len(found.contents))]:
        print(line)
    return 0


def decompress_command(rest: list[str]) -> int:
    """Write what is in a compressed file into a folder.

    Raises:
        InputError: if an argument cannot be used, or the file is not one that this run can read.
    """
    words, flags = before_flags(rest)
    description = "Write what is in a file of pushforward compress into a folder."
    if len(words) != 1 and not {"-h", "--help"} & set(flags):
        raise InputError(f"file: got {len(words)} files after decompress, expected one such as pictures.pfz")
    given = parse(Decompress, flags, prog="pushforward decompress FILE", description=description)
    from pushforward.run.loaded import load
    from pushforward.uses.compression import decompress

    check_new(given.out)
    run = load(given.run, trust=given.trust)
    try:
        contents = Path(words[0]).read_bytes()
    except OSError as error:
        raise InputError(f"file: {words[0]} cannot be read ({error.strerror}), expected a .pfz file") from None
    with busy(f"decompressing {len(contents):,} bytes"):
        restored = decompress(run.model, contents)
    new_folder_for(given.out)
    print(write_named(run.example, restored.x, restored.names, given.out))
    if restored.distortion is not None:
        print(_lossy(run.example, restored.distortion))
    return 0


def _lossy(example: Any, distortion: float) -> str:
    """What a lossy file keeps, in a sentence."""
    off = f"{distortion:.2f} of {example.levels - 1} levels"
    return f"not lossless: what comes back is the decoder's picture, off by {off} (root mean square)"


def _beside(example: Any, x: Any, size: int) -> list[str]:
    """The same images in the usual formats."""
    from pushforward.uses.compression import picture_bytes

    if example.channels > 4:
        return []
    apart, together = picture_bytes(x, example), picture_bytes(x, example, together=True)
    lossy = picture_bytes(x, example, quality=QUALITY, together=True)
    return [
        f"PNG, a file each: {apart:,} bytes ({apart / size:.2f} times)",
        f"PNG, all in one: {together:,} bytes ({together / size:.2f} times)",
        f"JPEG of quality {QUALITY}, all in one, which changes them: {lossy:,} bytes ({lossy / size:.2f} times)",
    ]
