"""Run every benchmark, one after another, on an otherwise idle machine: ``python -m benchmarks``."""

import subprocess
import sys
from pathlib import Path


def main() -> int:
    """Run the scripts of this folder; the exit status counts those that failed."""
    failed = 0
    for script in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        print(f"== {script.name}", flush=True)
        failed += subprocess.run([sys.executable, str(script)]).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
