"""The one exception a user's input can cause, and the check that most verbs need."""

__all__ = ["InputError", "check_count"]


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one sentence that names the argument, what came, and what is accepted. The command line
    prints it and exits with status 2; in Python it is an ordinary ``ValueError``.

    Example:
        >>> raise InputError("n: got -1, expected a whole number of at least 1")
        Traceback (most recent call last):
        ...
        pushforward.core.errors.InputError: n: got -1, expected a whole number of at least 1
    """


def check_count(count: int, name: str) -> None:
    """Raise ``InputError`` unless a number is a whole one of at least 1.

    Example:
        >>> check_count(256, "batch_size")
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise InputError(f"{name}: got {count!r}, expected a whole number of at least 1")
