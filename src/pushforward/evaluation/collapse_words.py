"""What to set when a code has collapsed: one sentence, made of the fields that the model has."""

from typing import Any

from pushforward.autoencoders.vae_checks import has_effect
from pushforward.core.capabilities import HasCodebook, HasLatent
from pushforward.core.model import Model

__all__ = ["advice"]

#: A field, the values of it that invite a collapse, and what to set instead, in the order in which they help.
KL_REMEDIES: tuple[tuple[str, Any, str], ...] = (
    ("beta", lambda beta: beta > 1, "beta to 1"),
    ("warm_up", lambda share: share < 0.1, "warm_up to 0.2"),
    ("free_bits", lambda nats: nats == 0, "free_bits to 0.1"),
    ("capacity", lambda nats: nats < 25, "capacity to 25"),
    ("depth", lambda layers: layers > 2, "depth to 2 (a weaker decoder needs its code more)"),
)


def advice(model: Model, seen: str) -> str:
    """One sentence: what was seen, and what to set.

    Args:
        model: whose fields decide what is worth setting.
        seen: the figures, in words.
    """
    if isinstance(model, HasCodebook):
        return f"codebook collapse: {seen}; set a smaller codebook, or a lower lr"
    found = []
    for name, helps, to in KL_REMEDIES:
        now = getattr(model, name, None)
        if isinstance(now, (int, float)) and has_effect(model, name) and helps(now):
            found.append(f"{to} (it is {now:g})")
    what = " and ".join(found[:2]) or "a weaker decoder"
    # What ``ease`` lowers is the weight of the KL term.
    eased = isinstance(model, HasLatent) and type(model).ease is not HasLatent.ease and has_effect(model, "beta")
    auto = ", or fit with remedy='auto' (--remedy auto)" if eased else ""
    return f"posterior collapse: {seen}; set {what}{auto}"
