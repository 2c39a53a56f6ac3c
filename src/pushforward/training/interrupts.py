"""Ctrl-C and SIGTERM as a request to stop after the present step."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

import torch
from lightning_fabric import Fabric

__all__ = ["Interrupts"]


class Interrupts:
    """While the block runs, the first Ctrl-C or SIGTERM is remembered, and a second one stops at once.

    Only the main thread may watch signals; elsewhere nothing changes.

    Args:
        fabric: with several processes, one that was asked makes all stop after the same step.
    """

    def __init__(self, fabric: Fabric) -> None:
        self.fabric, self._asked, self._before = fabric, False, {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def asked(self) -> bool:
        """Whether to stop now; the same answer in every process."""
        if self.fabric.world_size == 1:
            return self._asked
        flag = torch.tensor(float(self._asked), device=self.fabric.device)
        total: Any = self.fabric.all_reduce(flag, reduce_op="sum")
        return bool(total > 0)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
