"""Objects as JSON: a dataclass is its class path and its fields, nested; nothing is unpickled, nothing is executed.

``to_spec`` writes ``{"class": "pushforward.autoencoders.vae:VAE", "fields": {...}}``; ``from_spec`` builds the object
again. Which classes may be named is decided by ``resolve``: by default only classes whose module is already imported.
"""

import dataclasses
import math
import sys
from collections.abc import Callable
from typing import Any

from pushforward.core.errors import InputError

__all__ = ["from_spec", "imported_class", "to_spec"]


def to_spec(value: Any) -> Any:
    """Plain JSON for numbers, strings, None, tuples and dataclasses of these.

    Raises:
        InputError: for anything else: it could not be read back.

    Example:
        >>> from pushforward.core.modality import Points
        >>> to_spec(Points(dim=2))
        {'class': 'pushforward.core.modality:Points', 'fields': {'dim': 2, 'resolution': []}}
    """
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else {"float": repr(value)}
        case list() | tuple():
            return [to_spec(item) for item in value]
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            kind = type(value)
            fields = {f.name: to_spec(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
            return {"class": f"{kind.__module__}:{kind.__qualname__}", "fields": fields}
        case _:
            raise InputError(f"config: cannot hold a {type(value).__name__}, expected numbers, text, or dataclasses")


def imported_class(path: str) -> type:
    """The class ``module:Name`` if its module is already imported.

    Raises:
        InputError: otherwise.
    """
    module, _, name = path.partition(":")
    found = getattr(sys.modules.get(module), name, None)
    if not isinstance(found, type):
        raise InputError(f"config: names the class {path!r}, which is not imported, expected one of pushforward")
    return found


def from_spec(spec: Any, resolve: Callable[[str], type] = imported_class) -> Any:
    """The object a spec describes (lists come back as tuples).

    Raises:
        InputError: if a class cannot be resolved, is not a dataclass, or lacks a field the spec names.

    Example:
        >>> from pushforward.core.modality import Points
        >>> from_spec(to_spec(Points(dim=2)))
        Points(dim=2, resolution=())
    """
    match spec:
        case {"float": number}:
            return float(number)
        case {"class": str(path), "fields": dict(fields)}:
            kind = resolve(path)
            if not dataclasses.is_dataclass(kind):
                raise InputError(f"config: {path!r} is not a dataclass, expected a model or a part of one")
            known = {field.name for field in dataclasses.fields(kind) if field.init}
            strange = sorted(set(fields) - known)
            if strange:
                raise InputError(f"config: {path} has no field {strange[0]!r}, expected {', '.join(sorted(known))}")
            try:
                return kind(**{name: from_spec(value, resolve) for name, value in fields.items()})
            except TypeError as error:
                raise InputError(f"config: {path} cannot be built ({error})") from None
        case list():
            return tuple(from_spec(item, resolve) for item in spec)
        case None | bool() | int() | float() | str():
            return spec
        case _:
            raise InputError(f"config: holds {str(spec)[:60]!r}, expected what pushforward writes")
