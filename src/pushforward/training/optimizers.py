r"""AdamW with decay on matrices only, the learning rate over time, and the moving average of the weights."""

import math
from copy import deepcopy
from typing import Literal

import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn

from pushforward.core.model import Model
from pushforward.core.stages import Phase

__all__ = ["Average", "adamw", "learning_rate"]


def adamw(phase: Phase) -> torch.optim.AdamW:
    """Fused AdamW (Loshchilov & Hutter 2019) with the settings of a phase; vectors (biases, gains) do not decay."""
    parameters = [p for p in phase.parameters if p.requires_grad]
    matrices = [p for p in parameters if p.ndim >= 2 and phase.weight_decay]
    others = [p for p in parameters if not (p.ndim >= 2 and phase.weight_decay)]
    groups = [
        {"params": matrices, "weight_decay": phase.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=phase.lr, betas=phase.betas, fused=True)


def learning_rate(step: int, total: int, *, warmup: float, schedule: Literal["cosine", "wsd", "constant"]) -> float:
    r"""The learning rate at a step as a share of its peak.

    It rises linearly over the first ``warmup`` of the steps; then, with s in [0, 1] the progress since,

    * cosine: :math:`\tfrac12 (1 + \cos \pi s)` (Loshchilov & Hutter 2017);
    * wsd (warm-up, stable, decay): 1, then linearly to 0 over the last fifth (Hägele et al. 2024);
    * constant: 1.

    Example:
        >>> [round(learning_rate(s, 100, warmup=0.1, schedule="cosine"), 2) for s in (0, 9, 10, 55, 99)]
        [0.1, 1.0, 1.0, 0.5, 0.0]
    """
    rise = max(round(warmup * total), 1)
    if step < rise:
        return (step + 1) / rise
    share = (step - rise) / max(total - rise, 1)
    match schedule:
        case "cosine":
            return 0.5 * (1 + math.cos(math.pi * share))
        case "wsd":
            return min(1.0, (1 - share) / 0.2)
        case "constant":
            return 1.0
    raise ValueError(f"schedule: got {schedule!r}, expected cosine, wsd or constant")


class Average:
    r"""Exponential moving average of the weights, :math:`\bar\theta \leftarrow d\,\bar\theta + (1 - d)\,\theta`.

    The decay warms up, :math:`d_t = \min(d, (1 + t)/(10 + t))`, so that an early average holds no initial weights.
    It is taken every 8 steps with :math:`d^8`: to first order the same average, an eighth of the memory traffic.

    Args:
        model: what to average; the average is a deep copy, ready to sample from.
        decay: d; 0 follows the weights exactly.
    """

    EVERY = 8

    def __init__(self, model: Model, decay: float) -> None:
        self.source, self.decay = model, decay
        self.model = deepcopy(model).eval().requires_grad_(False)
        self.model.zero_grad(set_to_none=True)

    @torch.no_grad()
    def update(self, step: int, *, last: bool = False) -> None:
        """Take the weights after ``step`` steps into the average (every eighth step, and the last)."""
        if step % self.EVERY and not last and self.decay:
            return
        decay = min(self.decay, (1 + step) / (10 + step)) ** self.EVERY if self.decay else 0.0
        averaged, current = (tuple(p.detach() for p in m.parameters()) for m in (self.model, self.source))
        get_ema_multi_avg_fn(decay)(averaged, current, 0)
        for buffer, newest in zip(self.model.buffers(), self.source.buffers(), strict=True):
            buffer.copy_(newest)
