"""What every flow starts from: the density of the base, and how wide a condition is read."""

import math

from jaxtyping import Float
from torch import Tensor

__all__ = ["CONDITION", "log_normal"]

#: Length of the vector a class is embedded in.
CONDITION = 32


def log_normal(z: Float[Tensor, "batch *latent"]) -> Float[Tensor, "batch"]:
    """log N(z; 0, I) in nats.

    Example:
        >>> import torch
        >>> log_normal(torch.zeros(1, 2)).item()  # -ln(2 pi)
        -1.837877
    """
    z = z.flatten(1)
    return -0.5 * z.square().sum(1) - 0.5 * z.shape[1] * math.log(2 * math.pi)
