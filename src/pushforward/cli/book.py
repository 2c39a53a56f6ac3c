"""``pushforward book``: list the chapters, run one, or copy one to change its numbers."""

import ast
import dataclasses
import difflib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Annotated, NamedTuple

import tyro

from pushforward.core.errors import InputError

__all__ = ["book_command", "chapters", "notebook"]

#: Where the chapters lie in an installed environment, below its prefix.
SHARE = "share/pushforward/book"

CELL = re.compile(r"^# %%(?P<kind> \[markdown\])?.*\n", re.MULTILINE)


@dataclasses.dataclass(kw_only=True)
class Book:
    """What ``book CHAPTER`` takes."""

    smoke: bool = False  # Small sizes: seconds, and rougher numbers.
    out: Path = Path("book-figures")  # Folder of the figures.
    copy: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None  # Write the chapter to FILE.py or FILE.ipynb.


class Entry(NamedTuple):
    """A chapter: its number, its name on the command line, its title, its file."""

    number: int
    name: str
    title: str
    path: Path


def chapters() -> list[Entry]:
    """The chapters in their order, from a checkout or from where the wheel put them.

    Example:
        >>> [entry.number for entry in chapters()][:2]
        [1, 2]
    """
    beside = Path(__file__).parents[3] / "book"
    files = beside.glob("[0-9]*.py") if beside.is_dir() else _installed()
    found = []
    for path in sorted(files):
        number, name = path.stem.split("_", 1)
        found.append(Entry(int(number), name.replace("_", "-"), _title(path), path))
    return found


def book_command(rest: list[str]) -> int:
    """List the chapters, or run or copy the one that is named.

    Raises:
        InputError: if there is no such chapter, or the file to copy to cannot be used.
    """
    if not rest:
        for entry in chapters():
            print(f"{entry.number:02} {entry.name:<36} {entry.title}")
        print("\npushforward book NAME runs one; --copy FILE.py or FILE.ipynb makes it yours to change")
        return 0
    from pushforward.cli.flags import parse

    if rest[0].startswith("-"):
        parse(Book, rest, prog="pushforward book NAME", description="Run a chapter of the book.")
        raise InputError(f"chapter: none was given before {rest[0]}, expected one that `pushforward book` lists")
    chapter = _named(rest[0])
    given = parse(Book, rest[1:], prog=f"pushforward book {chapter.name}", description=chapter.title)
    if given.copy is not None:
        return _copy(chapter, given.copy)
    command = [sys.executable, str(chapter.path), "--out", str(given.out), *(["--smoke"] if given.smoke else [])]
    return subprocess.run(command, check=False).returncode


def notebook(source: str) -> str:
    r"""A script of ``# %%`` cells as the JSON of a Jupyter notebook (format 4.5).

    Example:
        >>> cells = json.loads(notebook("# %% [markdown]\n# # Title\n\n# %%\nprint(1)\n"))["cells"]
        >>> [(cell["cell_type"], cell["source"]) for cell in cells]
        [('markdown', '# Title'), ('code', 'print(1)')]
    """
    marks = [*CELL.finditer(source)]
    ends = [mark.start() for mark in marks[1:]] + [len(source)]
    cells = []
    for index, (mark, end) in enumerate(zip(marks, ends, strict=True)):
        body = source[mark.end() : end].strip("\n")
        if mark["kind"]:
            body = re.sub(r"^# ?", "", body, flags=re.MULTILINE)
            cells.append({"cell_type": "markdown", "id": f"c{index}", "metadata": {}, "source": body})
        else:
            code = {"execution_count": None, "metadata": {}, "outputs": [], "source": body}
            cells.append({"cell_type": "code", "id": f"c{index}", **code})
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return json.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}, indent=1)


def _named(name: str) -> Entry:
    """The chapter of a name, of a number, or of a file name."""
    known = chapters()
    wanted = re.sub(r"^0*(\d+)_", "", name.removesuffix(".py")).replace("_", "-")
    for entry in known:
        if wanted in (entry.name, str(entry.number), f"{entry.number:02}"):
            return entry
    near = difflib.get_close_matches(wanted, [entry.name for entry in known], n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise InputError(f"chapter: there is no {name!r}{hint}, expected one that `pushforward book` lists")


def _copy(chapter: Entry, to: Path) -> int:
    from pushforward.core.files import write_bytes

    if to.suffix not in (".py", ".ipynb"):
        raise InputError(f"copy: got {to}, expected a name that ends in .py or .ipynb")
    if to.exists():
        raise InputError(f"copy: {to} exists already, expected a new file")
    if not to.parent.is_dir():
        raise InputError(f"copy: there is no folder {to.parent}, expected one that exists")
    source = chapter.path.read_text(encoding="utf-8")
    write_bytes(to, (source if to.suffix == ".py" else notebook(source)).encode())
    print(f"{chapter.title}: {to}")
    return 0


def _title(path: Path) -> str:
    """The first argument of ``Chapter(...)``."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Call(func=ast.Name(id="Chapter"), args=[ast.Constant(value=str(title)), *_]):
                return title
    return ""


def _installed() -> list[Path]:
    """The files that the wheel brought, wherever its installer keeps shared data."""
    from importlib.metadata import files

    listed = files("pushforward") or []
    return [Path(str(file.locate())) for file in listed if SHARE in file.as_posix() and file.suffix == ".py"]
