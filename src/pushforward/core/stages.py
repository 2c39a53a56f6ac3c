"""How a model asks to be trained: stages one after another, phases in alternation within a stage."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from torch.nn import Parameter

__all__ = ["Phase", "Solve", "Stage", "Terms"]

#: (x, condition, *, noise) -> named parts of the loss, each (B,) in nats per example; the loss is their sum.
Terms = Callable[..., dict[str, Tensor]]

#: (train: Batch, valid: Batch, *, noise: Noise) -> the figure reached after each pass, in nats per example (lower is
#: better). The batches are whole splits in model units; ``noise`` has as many rows as ``train``.
Solve = Callable[..., Iterator[float]]


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One loss and the parameters that descend on it, with the optimiser settings that suit them.

    Args:
        name: short, for progress and metrics.
        terms: a bound method of the model.
        parameters: what this phase changes.
        repeats: updates per step.
        lr: peak learning rate of AdamW.
        betas: its moment decays.
        weight_decay: its decoupled weight decay (on matrices only).
        clip: largest gradient norm; None leaves gradients alone.
    """

    name: str
    terms: Terms
    parameters: Sequence[Parameter]
    repeats: int = 1
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    clip: float | None = None


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Phases that alternate, or a closed form that is solved.

    Args:
        name: short.
        phases: one after another within each step.
        solve: instead of phases: fits the model to whole splits, yielding its figure after every pass.
        share: of all training steps.
        keep: whether the weights that end up in the model are those that validated best within the stage, or its last
            ones, where the figure of validation is not what the stage is after.
    """

    name: str
    phases: Sequence[Phase] = ()
    solve: Solve | None = None
    share: float = 1.0
    keep: Literal["best", "last"] = "best"
