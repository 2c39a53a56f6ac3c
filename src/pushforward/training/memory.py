"""The most memory a piece of work held, on the processor or the GPU.

The operating system keeps a high-water mark for the whole process. Linux lets a process set its own back to what it
holds now, so that work done earlier in the same process does not count; elsewhere it does, and the mark is an upper
bound.
"""

import contextlib
import sys
from pathlib import Path

import torch

__all__ = ["peak_memory", "reset_peak"]

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def reset_peak(device: torch.device) -> None:
    """Begin to watch: from here on ``peak_memory`` tells the most that was held."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with contextlib.suppress(OSError):  # another system, or a container that forbids it
        CLEAR.write_text("5")


def peak_memory(device: torch.device) -> int:
    """Bytes held at most since ``reset_peak``: of the GPU where the model is on one, else of the process.

    Example:
        >>> peak_memory(torch.device("cpu")) > 2**20
        True
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    with contextlib.suppress(OSError):
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, others KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
