"""Find a model by its name and make it for some data.

The file system is the catalogue: a model is a class decorated ``@model`` in a room up to floor 4, its name is the class
name in lower case. Listing reads the sources with ``ast`` and imports nothing; only the chosen model is imported.
"""

import ast
import dataclasses
import difflib
import importlib
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pushforward.core.errors import InputError

if TYPE_CHECKING:
    from pushforward.core.data import Data
    from pushforward.core.model import Model

__all__ = ["Entry", "create", "find", "models", "resolve"]

PACKAGE = Path(__file__).parent

#: Units are fitted on at most this many training examples: more would move a mean by less than 1/300 of its spread.
UNIT_ROWS = 100_000


class Entry(NamedTuple):
    """A model in the catalogue."""

    name: str
    module: str
    cls: str
    family: str
    summary: str


@cache
def models() -> tuple[Entry, ...]:
    """All models of the package, by name, without importing one.

    Example:
        >>> [entry.family for entry in models() if entry.name == "vae"]
        ['autoencoders']
    """
    entries = []
    for path in sorted(PACKAGE.glob("*/*.py")):
        text = path.read_text(encoding="utf-8")
        if "@model" not in text:
            continue
        for node in ast.parse(text).body:
            if isinstance(node, ast.ClassDef) and any(ast.unparse(d) == "model" for d in node.decorator_list):
                summary = (ast.get_docstring(node) or "").split("\n")[0]
                module = f"pushforward.{path.parent.name}.{path.stem}"
                entries.append(Entry(node.name.lower(), module, node.name, path.parent.name, summary))
    return tuple(sorted(entries))


def find(name: str) -> type:
    """The class of a model: by its name, or ``my.module:MyModel`` for one from outside.

    Raises:
        InputError: if there is none of this name, with the nearest one.
    """
    if ":" in name:
        return resolve(name, trust=[name])
    entries = {entry.name: entry for entry in models()}
    if name.lower() not in entries:
        near = difflib.get_close_matches(name.lower(), entries, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise InputError(f"model: there is no {name!r}{hint}, expected one of {', '.join(entries)} or module:Class")
    entry = entries[name.lower()]
    return getattr(importlib.import_module(entry.module), entry.cls)


def resolve(path: str, trust: Collection[str] = ()) -> type:
    """The class ``module:Name``, imported if it is of this package or trusted.

    Raises:
        InputError: if it is not to be imported, or is not there.
    """
    from pushforward.core.spec import imported_class

    module, _, name = path.partition(":")
    if module.split(".")[0] != "pushforward" and path not in trust:
        try:
            return imported_class(path)
        except InputError:
            raise InputError(f"config: names the class {path!r}; import it first, or pass trust=[{path!r}]") from None
    try:
        found = getattr(importlib.import_module(module), name, None)
    except (ImportError, ValueError, TypeError) as error:  # no such module, no name, a relative name
        raise InputError(f"model: {path!r} cannot be imported ({error}), expected module:Class") from None
    if not isinstance(found, type):
        raise InputError(f"model: {module!r} has no class {name!r}, expected module:Class")
    return found


def create(name: str | type, data: "Data", options: Mapping[str, Any] | None = None) -> "Model":
    """A new model for some data: modality, condition and fitted units from the data, the rest from ``options``.

    The initial weights come from torch's global random state.

    Raises:
        InputError: if a field is unknown or the model cannot take this kind of data.
    """
    from pushforward.core.fit_units import fit_units
    from pushforward.core.model import Model

    cls: Any = find(name) if isinstance(name, str) else name
    if not (isinstance(cls, type) and issubclass(cls, Model) and dataclasses.is_dataclass(cls)):
        raise InputError(f"model: {getattr(cls, '__name__', cls)!r} is no model, expected a class made with @model")
    options = dict(options or {})
    known = [f.name for f in dataclasses.fields(cls) if f.init and f.name not in ("example", "condition", "units")]
    for field in options:
        if field not in known:
            near = difflib.get_close_matches(field, known, n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise InputError(f"{cls.__name__}: has no field {field!r}{hint}, expected one of {', '.join(known)}")
    for field, usual in cls.parts.items():  # a field that holds a model: a name becomes one
        if isinstance(chosen := options.get(field, usual), str):
            options[field] = None
            if chosen:
                inner = cls.part_example(field, data.example, options)
                options[field] = find(chosen)(example=inner, condition=data.condition)
    units = fit_units(data.example, cls.space_for(data.example, options), data.train.spread(UNIT_ROWS).x)
    return cls(example=data.example, condition=data.condition, units=units, **options)
