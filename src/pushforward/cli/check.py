"""``pushforward check``: prove that the maths of a run's model is right, or say where it is not."""

import dataclasses
import json as writer

from pushforward.cli.flags import parse
from pushforward.cli.place import named_run

__all__ = ["check_command"]


@dataclasses.dataclass(kw_only=True)
class Check:
    """What ``check`` takes."""

    seed: int = 0  # Of everything that is drawn.
    json: bool = False  # Print the report as JSON.
    trust: tuple[str, ...] = ()  # Model classes outside this package that may be imported: module:Class.


def check_command(rest: list[str]) -> int:
    """Print the properties of a run's model; returns 1 if one of them fails.

    Raises:
        InputError: if an argument cannot be used.
    """
    description = "Test the properties every model must have; exit status 1 if one fails."
    name = named_run(rest, Check, verb="check", description=description)
    given = parse(Check, rest[1:], prog=f"pushforward check {name}", description=description)
    from pushforward.conformance.report import check
    from pushforward.run.loaded import load

    report = check(load(name, trust=given.trust).model, seed=given.seed)
    print(writer.dumps(report.to_json(), indent=2) if given.json else report)
    return 0 if report.ok else 1
