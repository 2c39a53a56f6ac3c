"""Floor 11: the command line. ``main`` finds the verb, ``flags`` makes flags of fields, ``completion`` serves the shell.

Listing and help of the whole import no torch; only a verb that computes does, and only the chosen model is imported.
"""

from pushforward.cli.main import main

__all__ = ["main"]
