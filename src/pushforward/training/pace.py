"""How many steps fit in a time, and how often training looks up from them."""

from collections.abc import Sequence

from pushforward.core.stages import Stage

__all__ = ["VALIDATIONS", "affordable", "end_of", "interval", "usual"]

#: Validations (and checkpoints) in a run unless ``validate_every`` says otherwise.
VALIDATIONS = 20

#: Fewest validations in a run: a curve needs points, and the best of few weights is a poor choice.
FEWEST = 5

#: Share of the time that validations may take before they become fewer.
LOOKING = 0.1

#: Share of the time that is planned for: the rest is for steps slower than those that were timed.
PLANNED = 0.95


def interval(total: int, chosen: int) -> int:
    """Steps between validations: as many as were chosen, or a twentieth of all.

    Example:
        >>> interval(1000, 0), interval(1000, 7), interval(5, 0)
        (50, 7, 1)
    """
    return chosen or max(-(-total // VALIDATIONS), 1)


def end_of(index: int, stages: Sequence[Stage], total: int) -> int:
    """The step at which a stage ends, out of all; a closed form takes none.

    Example:
        >>> stages = [Stage(name="codes", share=3.0), Stage(name="prior")]
        >>> end_of(0, stages, 100), end_of(1, stages, 100)
        (75, 100)
    """
    shares = [0.0 if stage.solve is not None else stage.share for stage in stages]
    return round(total * sum(shares[: index + 1]) / sum(shares))


def usual(laps: Sequence[float]) -> float:
    """Mean of the timed steps, without the first two (they warm caches) and the quarter that was slowed by something.

    Example:
        >>> usual([9.0, 9.0, 1.0, 1.0, 1.0, 5.0])
        1.0
    """
    settled = sorted(laps[2:])
    kept = settled[: max(3 * len(settled) // 4, 1)]
    return sum(kept) / len(kept)


def affordable(seconds: float, *, step: float, pause: float, chosen: int) -> tuple[int, int]:
    """The steps that fit into a time with their pauses, of which there are two more at the end.

    There are twenty validations in a run, or fewer where they would take more than a tenth of the time.

    Args:
        seconds: in all.
        step: seconds of one step.
        pause: seconds of one validation with its checkpoint.
        chosen: steps between pauses, 0 for what suits.

    Returns:
        The number of steps, at least as many as there are validations; and the steps between these.

    Example:
        >>> affordable(100.0, step=0.01, pause=0.1, chosen=0)  # 95 s less 22 pauses
        (9280, 464)
        >>> affordable(100.0, step=0.01, pause=1.0, chosen=0)  # ten validations take a tenth: 95 s less 12 pauses
        (8300, 830)
        >>> affordable(100.0, step=0.01, pause=1.0, chosen=100)  # 95 s less 2 pauses, 1 s + 1 s per hundred steps
        (4650, 100)
    """
    if chosen:
        return max(int((PLANNED * seconds - 2 * pause) / (step + pause / chosen)), VALIDATIONS), chosen
    looks = min(max(int(LOOKING * seconds / pause), FEWEST), VALIDATIONS) if pause > 0 else VALIDATIONS
    steps = max(int((PLANNED * seconds - (looks + 2) * pause) / step), looks)
    return steps, -(-steps // looks)
