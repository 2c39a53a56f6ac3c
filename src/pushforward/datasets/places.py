"""Where files of named data sets are looked for. Nothing here imports torch."""

import os
import sys
from pathlib import Path

from pushforward.core.errors import InputError

__all__ = ["cache_folder", "data_folder"]


def data_folder() -> Path | None:
    """The folder named by ``PUSHFORWARD_DATA``, or None if it is not set.

    Raises:
        InputError: if it names no folder.
    """
    named = os.environ.get("PUSHFORWARD_DATA")
    if not named:
        return None
    folder = Path(named).expanduser()
    if not folder.is_dir():
        raise InputError(f"PUSHFORWARD_DATA: {named} is not a folder, expected one that holds data sets")
    return folder


def cache_folder() -> Path:
    """The folder named by ``PUSHFORWARD_CACHE``, or the user's cache folder of the platform."""
    named = os.environ.get("PUSHFORWARD_CACHE")
    if named:
        return Path(named).expanduser()
    match sys.platform:
        case "win32":
            base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
        case "darwin":
            base = "~/Library/Caches"
        case _:
            base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "pushforward"
