"""The whole state of training in one safetensors file, replaced in one step: a kill leaves a whole one."""

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from pushforward.core import saving
from pushforward.core.errors import InputError
from pushforward.core.files import read_tensors, write_tensors

__all__ = [
    "Position",
    "fill",
    "load_checkpoint",
    "named",
    "optimizer_tensors",
    "restore_optimizer",
    "save_checkpoint",
    "state_tensors",
]

FILE = "state.safetensors"


@dataclass
class Position:
    """Where training stands: everything that is not a tensor.

    Args:
        stage: index of the stage.
        step: steps done over all stages.
        update: batches drawn so far; names the next batch and its noise.
        best: lowest validation figure so far.
        best_step: where it was reached; -1 before the first.
        seconds: of computing so far.
        lines: of metrics written so far.
        sums: of the terms since the last line, with how many there were of each.
        collapsed: validations in a row that saw the latent code collapsed.
        eased: the steps after which a remedy for it was applied.
    """

    stage: int = 0
    step: int = 0
    update: int = 0
    best: float | None = None
    best_step: int = -1
    seconds: float = 0.0
    lines: int = 0
    sums: dict[str, list[float]] = field(default_factory=dict)
    collapsed: int = 0
    eased: list[int] = field(default_factory=list)

    def improved(self, figure: float, slack: float = 0.0) -> bool:
        """Take a validation figure in; whether the present weights become the best ones.

        A lower figure does. So does one that is worse by no more than ``slack``, its own noise: where the difference
        says nothing, longer training is the better guess.

        Example:
            >>> position = Position(step=5)
            >>> position.improved(1.0), position.improved(1.1), position.improved(1.1, slack=0.2), position.best
            (True, False, True, 1.0)
        """
        best = math.inf if self.best is None else self.best
        if figure >= best and not (slack and figure <= best + slack):
            return False
        self.best, self.best_step = min(figure, best), self.step
        return True


def save_checkpoint(folder: Path, position: Position, tensors: dict[str, Tensor]) -> None:
    """Replace the checkpoint in ``folder``.

    Raises:
        InputError: if it cannot be written; the one before stays.
    """
    folder.mkdir(exist_ok=True)
    write_tensors(folder / FILE, tensors, {"position": json.dumps(asdict(position))})


def load_checkpoint(folder: Path) -> tuple[Position, dict[str, Tensor]] | None:
    """The checkpoint in ``folder``, or None where none was written yet; parts of killed writes are removed.

    Raises:
        InputError: if the file is not a whole checkpoint.
    """
    for partial in folder.glob(".*.partial"):
        partial.unlink(missing_ok=True)
    if not (folder / FILE).exists():
        return None
    tensors, metadata = read_tensors(folder / FILE)
    try:
        return Position(**json.loads(metadata["position"])), tensors
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{folder / FILE}: is not a checkpoint, expected one written by pushforward") from None


def named(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def fill(module: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Fill a module with its weights.

    Raises:
        InputError: if their names, shapes or precision are not those of the module.
    """
    types = {name: tensor.dtype for name, tensor in module.state_dict().items()}
    for name, tensor in tensors.items():
        if tensor.dtype != types.get(name, tensor.dtype):
            raise InputError(f"precision: {path} holds {name} as {tensor.dtype}, expected {types[name]}")
    saving.load_weights(module, tensors, path)


def optimizer_tensors(name: str, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The state of an optimiser as named tensors."""
    state = optimizer.state_dict()["state"]
    return {f"optimizer.{name}.{index}.{key}": value for index, slots in state.items() for key, value in slots.items()}


def state_tensors(
    model: nn.Module, average: nn.Module, best: dict[str, Tensor], optimizers: dict[str, torch.optim.Optimizer]
) -> dict[str, Tensor]:
    """Everything that training has changed, as named tensors."""
    tensors = {f"model.{name}": t for name, t in model.state_dict().items()}
    tensors |= {f"average.{name}": t for name, t in average.state_dict().items()}
    tensors |= {f"best.{name}": t for name, t in best.items()}
    for name, optimizer in optimizers.items():
        tensors |= optimizer_tensors(name, optimizer)
    return tensors


def restore_optimizer(name: str, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Fill an optimiser from named tensors, if there are any of its name."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in named(tensors, f"optimizer.{name}.").items():
        index, slot = key.split(".")
        state.setdefault(int(index), {})[slot] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
