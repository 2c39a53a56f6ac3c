"""A run opened for a verb: loaded, with flags made of its model's sampler, and put where it is to compute."""

import dataclasses
from typing import Any, NamedTuple

from pushforward.cli.flags import options_of, parse
from pushforward.core.errors import InputError

__all__ = ["Opened", "named_run", "open_run", "place", "trusted"]


class Opened(NamedTuple):
    """A run, the arguments given with it, and the sampler they ask for (None where the model has none)."""

    run: Any
    given: Any
    sampler: Any


def named_run(rest: list[str], kind: type, *, verb: str, description: str) -> str:
    """The run folder, which comes first; prints the help of the verb where only that is asked for.

    Raises:
        InputError: if no run is named.
    """
    if not rest or rest[0].startswith("-"):
        if rest and rest[0] in ("-h", "--help"):
            parse(kind, ["--help"], prog=f"pushforward {verb} RUN", description=description)
        raise InputError(f"run: none was given after {verb}, expected a run folder there, before the flags")
    return rest[0]


def open_run(rest: list[str], kind: type, *, verb: str, description: str) -> Opened:
    """Load the run that is named first, and parse what follows.

    Args:
        rest: what stands behind the verb.
        kind: the dataclass of the verb's own arguments, with ``device`` and ``threads``.
        verb: its name.
        description: for its help.

    Raises:
        InputError: if no run is named, it cannot be loaded, or an argument cannot be used.
    """
    name = named_run(rest, kind, verb=verb, description=description)
    from pushforward.run.loaded import load

    run = load(name, trust=trusted(rest))
    sampler: Any = type(run.model).sampler_class
    fields: list[Any] = []
    if sampler is not None:
        # A frozen dataclass of the family: its fields are flags, --sampler.top-p and the like.
        options: Any = options_of(sampler, f"{sampler.__name__}Options")
        fields = [("sampler", options, dataclasses.field(default_factory=options))]
    whole = dataclasses.make_dataclass(kind.__name__, fields, bases=(kind,), kw_only=True)
    given: Any = parse(whole, rest[1:], prog=f"pushforward {verb} {name}", description=description)
    place(run, device=given.device, threads=given.threads)
    return Opened(run, given, None if sampler is None else sampler(**vars(given.sampler)))


def place(run: Any, *, device: str, threads: int) -> None:
    """Move a run's model, and set the number of threads.

    Raises:
        InputError: if there is no such device, or the number is negative.
    """
    import torch

    if device not in ("cpu", "cuda") or (device == "cuda" and not torch.cuda.is_available()):
        raise InputError(f"device: got {device!r}, expected cpu, or cuda where torch sees a GPU")
    if threads < 0:
        raise InputError(f"threads: got {threads}, expected a whole number of at least 0")
    if threads:
        torch.set_num_threads(threads)
    run.model.to(device)


def trusted(rest: list[str]) -> tuple[str, ...]:
    """The classes behind ``--trust``, which are needed before the other flags can be known.

    Example:
        >>> trusted(["run", "--trust", "mine:Model", "yours:Model", "-n", "3"])
        ('mine:Model', 'yours:Model')
    """
    if "--trust" not in rest:
        return ()
    behind = rest[rest.index("--trust") + 1 :]
    end = next((i for i, word in enumerate(behind) if word.startswith("-")), len(behind))
    return tuple(behind[:end])
