"""``python -m pushforward.cli``: the same as ``pushforward``, for launchers that start modules (torchrun)."""

import sys

from pushforward.cli.command import main

if __name__ == "__main__":
    sys.exit(main())
