"""How long the package takes to say hello: import, help and the listings, none of which may import torch.

    python benchmarks/imports.py

Each command runs in a fresh process, interleaved with an empty ``python -c pass``; medians of 5 are printed.
"""

import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import pushforward": [sys.executable, "-c", "import pushforward"],
    "pushforward --help": [sys.executable, "-m", "pushforward.cli", "--help"],
    "pushforward models": [sys.executable, "-m", "pushforward.cli", "models"],
    "pushforward datasets": [sys.executable, "-m", "pushforward.cli", "datasets"],
}


def main() -> None:
    """Time every command five times and print the medians, and whether torch was imported."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(6):  # the first round warms the page cache and is not counted
        for name, command in COMMANDS.items():
            began = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            times[name].append(time.perf_counter() - began)
    empty = statistics.median(times["python -c pass"][1:])
    for name, command in COMMANDS.items():
        listed = subprocess.run(
            [command[0], "-X", "importtime", *command[1:]], check=True, capture_output=True, text=True
        ).stderr
        torch = any(line.split("|")[-1].strip() == "torch" for line in listed.splitlines())
        seconds = statistics.median(times[name][1:])
        print(
            f"{name:<22} {1000 * seconds:6.0f} ms, {1000 * (seconds - empty):6.0f} ms more than Python; torch: {torch}"
        )


if __name__ == "__main__":
    main()
