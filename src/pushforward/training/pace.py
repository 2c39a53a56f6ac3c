"""How many steps fit in a time, and how often training looks up from them."""

from collections.abc import Sequence

__all__ = ["VALIDATIONS", "affordable", "interval", "usual"]

#: Validations (and checkpoints) in a run unless ``validate_every`` says otherwise.
VALIDATIONS = 20

#: Share of the time that is planned for: the rest is for steps slower than those that were timed.
PLANNED = 0.95


def interval(total: int, chosen: int) -> int:
    """Steps between validations: as many as were chosen, or a twentieth of all.

    Example:
        >>> interval(1000, 0), interval(1000, 7), interval(5, 0)
        (50, 7, 1)
    """
    return chosen or max(-(-total // VALIDATIONS), 1)


def usual(laps: Sequence[float]) -> float:
    """Mean of the timed steps, without the first two (they warm caches) and the quarter that was slowed by something.

    Example:
        >>> usual([9.0, 9.0, 1.0, 1.0, 1.0, 5.0])
        1.0
    """
    settled = sorted(laps[2:])
    kept = settled[: max(3 * len(settled) // 4, 1)]
    return sum(kept) / len(kept)


def affordable(seconds: float, *, step: float, pause: float, chosen: int) -> int:
    """The number of steps that take ``seconds`` with their pauses, of which there are two more at the end.

    Args:
        seconds: in all.
        step: seconds of one step.
        pause: seconds of one validation with its checkpoint.
        chosen: steps between pauses, 0 for a twentieth of all.

    Returns:
        At least as many steps as there are validations.

    Example:
        >>> affordable(100.0, step=0.01, pause=1.0, chosen=0)  # 95 s less 22 pauses
        7300
        >>> affordable(100.0, step=0.01, pause=1.0, chosen=100)  # 95 s less 2 pauses, 1 s + 1 s per hundred steps
        4650
    """
    pauses = 2 if chosen else VALIDATIONS + 2
    each = step + pause / chosen if chosen else step
    return max(int((PLANNED * seconds - pauses * pause) / each), VALIDATIONS)
