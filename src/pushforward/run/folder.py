"""The run folder: the only bridge from training to everything after it.

    config.json         the model: class, fields, units          model.safetensors  what samples are drawn with
    training.json       settings, versions, SHA-256, figures     data.json          name, recipe, fingerprint, split
    metrics.jsonl       one line per validation                  samples.*          the newest samples
    checkpoint/         the whole state of training

It is made beside its place and moved there in one step, before the first training step: a folder that exists is a run.
"""

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from pushforward.core.data import Data
from pushforward.core.errors import InputError
from pushforward.core.files import read_json
from pushforward.core.spec import to_spec

__all__ = ["choose_folder", "data_record", "is_run", "new_folder", "read_record", "versions"]


def versions() -> dict[str, str]:
    """What a result depends on besides the settings."""
    return {"pushforward": version("pushforward"), "torch": torch.__version__, "python": platform.python_version()}


def choose_folder(out: str | Path | None, model: str, data: str) -> Path:
    """Where a run goes: ``out``, or ``runs/MODEL-DATA`` with the first free number.

    Raises:
        InputError: if ``out`` exists.
    """
    if out is not None:
        path = Path(out)
        try:
            taken = path.exists()
        except OSError as error:
            raise InputError(f"out: {path} cannot be made ({error.strerror}), expected a writable place") from None
        if taken:
            raise InputError(f"out: {path} exists; to go on with it use --resume {path}, else choose a new folder")
        return path
    stem, number = Path("runs") / f"{model}-{data}", 1
    while (path := stem if number == 1 else stem.with_name(f"{stem.name}-{number}")).exists():
        number += 1
    return path


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, which becomes ``path`` in one step when the block ends well and vanishes when it does not.

    Raises:
        InputError: if the place cannot be written or has been taken in the meantime.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
    except OSError as error:
        raise InputError(f"out: {path} cannot be made ({error.strerror}), expected a writable place") from None
    try:
        yield beside
        beside.chmod(0o755)
        if path.exists():
            raise InputError(f"out: {path} exists; to go on with it use --resume {path}, else choose a new folder")
        os.rename(beside, path)
    except OSError as error:
        raise InputError(f"out: {path} cannot be made ({error.strerror}), expected a writable place") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def data_record(data: Data) -> dict[str, Any]:
    """What ``data.json`` says of the data."""
    return {
        "name": data.name,
        "recipe": None if data.recipe is None else dict(data.recipe),
        "fingerprint": data.fingerprint,
        "example": to_spec(data.example),
        "condition": to_spec(data.condition),
        "examples": {"train": len(data.train), "valid": len(data.valid), "test": len(data.test)},
        "notes": list(data.notes),
    }


def is_run(path: Path) -> bool:
    """Whether a folder holds a run."""
    return all((path / name).is_file() for name in ("config.json", "training.json", "data.json", "model.safetensors"))


def read_record(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """``training.json`` and ``data.json`` of a run.

    Raises:
        InputError: if the folder is not a run.
    """
    if not path.is_dir() or not is_run(path):
        raise InputError(f"run: {path} is not a run folder, expected one that pushforward fit made")
    records = read_json(path / "training.json"), read_json(path / "data.json")
    needed = {"training.json": {"settings": dict, "model": dict, "versions": dict}, "data.json": {"fingerprint": str}}
    for record, (name, parts) in zip(records, needed.items(), strict=True):
        if not isinstance(record, dict) or not all(isinstance(record.get(key), kind) for key, kind in parts.items()):
            raise InputError(f"{path / name}: is not a record of a run, expected one that pushforward fit made")
    return records
