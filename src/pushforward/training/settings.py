"""What a person may choose about training; everything has a default that suits the model."""

import re
from dataclasses import dataclass
from typing import Literal

from pushforward.core.errors import InputError

__all__ = ["Settings", "parse_budget"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Choices of a training run, saved with it.

    Raises:
        InputError: if a number is out of range.
    """

    steps: int = 0  # Training steps; 0 takes as many as the budget allows.
    batch_size: int = 0  # Examples per update, over all processes; 0 takes what suits the model.
    lr: float = 0.0  # Peak learning rate; 0 takes what each phase of the model asks for.
    schedule: Literal["cosine", "wsd", "constant"] = "cosine"  # Learning rate over time, after the warm-up.
    warmup: float = 0.02  # Share of the steps over which the learning rate rises from 0.
    accumulate: int = 1  # Parts a batch is worked through in, to save memory.
    clip: float = 0.0  # Largest gradient norm; 0 takes what each phase asks for.
    ema: float = 0.999  # Decay of the moving average of the weights that samples are drawn with; 0 turns it off.
    drop_condition: float = 0.1  # Share of conditions hidden in training, so that p(x) is learned beside p(x | c).
    validate_every: int = 0  # Steps between validations and checkpoints; 0 makes it twenty times a run.
    precision: Literal["32", "64", "bf16", "16"] = "32"  # Bits of arithmetic; bf16 and 16 mix with 32.
    device: Literal["auto", "cpu", "cuda"] = "auto"  # Where to compute; auto takes a GPU if there is one.
    threads: int = 0  # CPU threads; 0 takes as many as torch does. Runs are bit-identical at one thread count.
    remedy: Literal["off", "auto"] = "off"  # auto: when the latent code collapses, make it easier to use, and say so.
    seed: int = 0  # Of the initial weights, the order of examples and all noise.

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense."""
        low = {"steps": 0, "batch_size": 0, "accumulate": 1, "validate_every": 0, "threads": 0, "seed": 0}
        for name, least in low.items():
            number = getattr(self, name)
            if not isinstance(number, int) or not least <= number < 2**63:
                raise InputError(f"{name}: got {number}, expected a whole number of at least {least}")
        for name in ("lr", "clip"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise InputError(f"{name}: got {getattr(self, name)}, expected a finite number of at least 0")
        for name in ("warmup", "ema", "drop_condition"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name}: got {getattr(self, name)}, expected a number from 0 to below 1")
        if self.remedy not in ("off", "auto"):
            raise InputError(f"remedy: got {self.remedy!r}, expected off or auto")
        if self.batch_size % self.accumulate:
            raise InputError(f"accumulate: got {self.accumulate}, expected a divisor of batch_size {self.batch_size}")


def parse_budget(text: str | float) -> float:
    """Seconds of a time such as ``90``, ``"20s"``, ``"1min"``, ``"1.5h"``.

    Raises:
        InputError: if it is not a positive time.

    Example:
        >>> parse_budget("1min"), parse_budget("20 s"), parse_budget(3)
        (60.0, 20.0, 3.0)
    """
    found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*(s|sec|m|min|h|hour|hours)?\s*", str(text))
    unit = {None: 1, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "hour": 3600, "hours": 3600}
    seconds = float(found.group(1)) * unit[found.group(2)] if found else 0.0
    if not 0 < seconds < float("inf"):
        raise InputError(f"budget: got {text!r}, expected a time such as 20s, 1min or 1.5h")
    return seconds
