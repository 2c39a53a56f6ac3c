"""Where a loaded run computes, and which classes from outside it may name: what every verb on a run asks."""

from typing import Any

from pushforward.core.errors import InputError

__all__ = ["place", "trusted"]


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
