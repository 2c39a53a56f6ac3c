"""Floor 11: the command line. ``command`` finds the verb, ``flags`` makes flags, ``completion`` serves the shell.

Listing and help of the whole import no torch; only a verb that computes does, and only the chosen model is imported.
"""

from pushforward.cli.command import main

__all__ = ["main"]
