"""Flags made of the fields of dataclasses, with their comments as help, and errors of one sentence."""

import contextlib
import dataclasses
import difflib
import inspect
import io
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar, get_type_hints

import tyro

from pushforward.core.errors import InputError

__all__ = ["options_of", "parse"]

T = TypeVar("T")

#: Fields that the data set, never a flag.
FROM_DATA = ("example", "condition", "units")


def options_of(cls: type, name: str) -> type:
    """A dataclass of the fields of ``cls`` that a person may set, each with the comment behind it as help."""
    hints, said = get_type_hints(cls), comments(cls)
    parts: Mapping[str, str] = getattr(cls, "parts", {})  # fields that hold a model, chosen by its name
    fields = []
    for field in dataclasses.fields(cls):
        if field.init and field.name not in FROM_DATA:
            hint = str if field.name in parts else hints[field.name]
            kind: Any = Annotated[hint, tyro.conf.arg(help=said.get(field.name, ""))]
            if field.name in parts:
                default: Any = dataclasses.field(default=parts[field.name])
            else:
                default = dataclasses.field(default=field.default, default_factory=field.default_factory)
            fields.append((field.name, kind, default))
    return dataclasses.make_dataclass(name, fields, kw_only=True, frozen=True)


def comments(cls: type) -> dict[str, str]:
    """The comment behind (or just above) each field in the source of a class.

    Example:
        >>> from pushforward.training.settings import Settings
        >>> comments(Settings)["clip"]
        'Largest gradient norm; 0 takes what each phase asks for.'
    """
    found, above = {}, ""
    for line in inspect.getsource(cls).splitlines():
        if match := re.match(r"\s+(\w+)\s*:\s*[^#]*?(?:#\s*(.*))?$", line):
            found[match.group(1)] = match.group(2) or above
        lone = re.match(r"\s+#:?\s*(.*)$", line)
        above = f"{above} {lone.group(1)}".strip() if lone else ""
    return found


def parse(kind: type[T], arguments: Sequence[str], *, prog: str, description: str) -> T:
    """The arguments as an object of a dataclass.

    Raises:
        InputError: one sentence on the first argument that cannot be used, with the nearest flag for an unknown one.
        SystemExit: with status 0, after ``--help``.
    """
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            made, unknown = tyro.cli(
                kind,
                args=list(arguments),
                prog=prog,
                description=description,
                return_unknown_args=True,
                config=(tyro.conf.FlagCreatePairsOff,),
            )
    except SystemExit as end:
        if end.code in (0, None):
            raise
        raise InputError(_sentence(complaint.getvalue())) from None
    if unknown:
        hint = _hint(unknown[0], _flags(kind), arguments)
        raise InputError(f"{unknown[0]}: is not an argument of {prog}{hint}, see {prog} --help")
    sys.stderr.write(complaint.getvalue())
    return made


def _hint(unknown: str, known: list[str], arguments: Sequence[str]) -> str:
    """What may have been meant by an argument that there is not."""
    if near := difflib.get_close_matches(unknown.split("=")[0], known, n=1):
        return f" (did you mean {near[0]}?)"
    if unknown.startswith("-") or "--data" in arguments:
        return ""
    return f" (did you mean --data {unknown}?)" if "--data" in known else " (words stand before the flags)"


def _sentence(box: str) -> str:
    """The first paragraph in a box drawn by tyro, below its title, as one line.

    The box is drawn with lines, or with spaces where the terminal has no more than ASCII.
    """
    lines = [line.strip("│╭╮╰╯ ") for line in box.splitlines()][1:]
    ruled = "\n".join("" if set(line) <= {"─", "-"} else line for line in lines).strip()
    text = " ".join(ruled.split("\n\n")[0].split())
    return re.sub(r"^Error parsing [\w.-]+: (?=\w+: got)", "", text).rstrip(".") or "arguments: cannot be understood"


def _flags(kind: Any, prefix: str = "") -> list[str]:
    """All flags of a dataclass, nested ones with their prefix."""
    flags = []
    hints = get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        inner = getattr(hint, "__origin__", hint)
        if dataclasses.is_dataclass(inner):
            bare: Any = tyro.conf.OmitArgPrefixes[inner]  # its flags stand without the name of the field
            flags += _flags(inner, prefix if hint == bare else f"{prefix}{field.name}.")
        else:
            flags.append("--" + f"{prefix}{field.name}".replace("_", "-"))
    return flags
