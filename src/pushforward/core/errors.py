"""The one exception a user's input can cause."""

__all__ = ["InputError"]


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
