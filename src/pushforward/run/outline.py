"""What was understood and chosen, in a few lines, before anything long begins."""

import math

from torch import nn

from pushforward.core.data import Data, Rows, Windows
from pushforward.core.model import Model
from pushforward.training.settings import Settings

__all__ = ["describe", "memory", "parameters", "said_time"]


def parameters(model: nn.Module) -> int:
    """How many numbers are learned."""
    return sum(p.numel() for p in model.parameters())


def said_time(seconds: float) -> str:
    """A time for people.

    Example:
        >>> said_time(0.5), said_time(90), said_time(7200)
        ('0.5 s', '1.5 min', '2 h')
    """
    limits = ((60, "s", 1), (3600, "min", 60), (math.inf, "h", 3600))
    unit, size = next((unit, size) for limit, unit, size in limits if seconds < limit)
    return f"{seconds / size:.2g} {unit}" if seconds < 10 * size else f"{seconds / size:.0f} {unit}"


def memory(model: Model, data: Data) -> int:
    """Bytes that training holds for certain: weights, gradient, two moments, average, best weights, and the data.

    Activations come on top and depend on the batch size.
    """
    weights = sum(t.numel() * t.element_size() for t in model.state_dict().values())
    held = 0
    for split in (data.train, data.valid, data.test):
        tensors = [split.x] if isinstance(split, Rows) else [split.stream] if isinstance(split, Windows) else []
        held += sum(t.numel() * t.element_size() for t in tensors)
    return 6 * weights + held


def describe(model: Model, data: Data, settings: Settings, pace: float | None) -> tuple[str, ...]:
    """The plan as lines for people; ``pace`` is seconds per step, where it was measured."""
    learned = parameters(model)
    batch = min(settings.batch_size or model.batch_size, len(data.train))
    size = f"{learned:,} parameters" if learned else "fitted in closed form"
    lines = [*data.describe(), f"model: {type(model).__name__} ({model.extra_repr()}), {size}"]
    if learned and settings.steps:
        passes = settings.steps * batch / max(len(data.train), 1)
        time = "" if pace is None else f", about {said_time(pace * settings.steps)} and validations"
        lines.append(f"training: {settings.steps:,} steps of {batch} examples ({passes:.1f} passes){time}")
        lines.append(f"settings: seed {settings.seed}, precision {settings.precision}, schedule {settings.schedule}")
    lines.append(f"memory: at least {memory(model, data) / 2**20:.0f} MiB besides activations")
    return tuple(lines)
