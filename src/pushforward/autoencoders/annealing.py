r"""Weights that change in the course of a training, as functions of its progress in [0, 1].

The KL term comes in over the first tenth unless told otherwise. A decoder that starts with more noise than signal
settles on ignoring z if the code has its full price at once: on a ring in the plane the model then stayed a Gaussian,
at -2.17 nats, and came to -1.2 with the warm-up, the best there is being -0.95.
"""

__all__ = ["RISE", "kl_weight", "ramp"]

#: Share of the training over which the KL of objective="capacity" rises to its end.
RISE = 0.5


def kl_weight(progress: float, *, warm_up: float, cycles: int) -> float:
    r"""The weight of the KL term: from 0 to 1 over the first part of each cycle, then 1.

    Several cycles let a code that was pressed out come back (Fu et al. 2019, "Cyclical Annealing Schedule").

    Args:
        progress: share of the training that is over; from 1 on the weight is 1.
        warm_up: share of a cycle over which the weight rises; 0 for none.
        cycles: how many there are.

    Example:
        >>> [kl_weight(p, warm_up=0.5, cycles=2) for p in (0.0, 0.125, 0.25, 0.5, 1.0)]
        [0.0, 0.5, 1.0, 0.0, 1.0]
    """
    if progress >= 1 or warm_up == 0:
        return 1.0
    return min(1.0, progress * cycles % 1.0 / warm_up)


def ramp(progress: float, *, over: float) -> float:
    """A number that rises from 0 to 1 over the first ``over`` of the training.

    Example:
        >>> [ramp(p, over=0.5) for p in (0.0, 0.25, 0.75)]
        [0.0, 0.5, 1.0]
    """
    return min(1.0, progress / over)
