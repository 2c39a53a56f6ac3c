"""How a vector c steers the features of a network: one scale and one shift per channel."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["Modulation"]


class Modulation(nn.Module):
    r"""Feature-wise modulation, the identity when there is no condition.

    .. math:: h_k \leftarrow (1 + s_k(c)) \, h_k + b_k(c), \qquad (s, b)(c) = W c + w

    for every channel k: ``2 channels (condition + 1)`` parameters. It follows a normalisation, whose learned scale and
    shift it makes depend on c.

    Args:
        channels: number of channels of h, its second axis.
        condition: length of c; 0 for a network without condition.

    Raises:
        ValueError: on a call with c where ``condition`` is 0, or without c where it is not.

    Reference:
        Perez et al. 2018, "FiLM: Visual Reasoning with a General Conditioning Layer", eq. 1-2.

    Example:
        >>> Modulation(8, condition=3)(torch.zeros(2, 8, 5, 5), torch.zeros(2, 3)).shape
        torch.Size([2, 8, 5, 5])
    """

    def __init__(self, channels: int, *, condition: int = 0) -> None:
        super().__init__()
        self.affine = nn.Linear(condition, 2 * channels) if condition else None

    def forward(
        self, h: Float[Tensor, "batch channels *space"], c: Float[Tensor, "batch condition"] | None = None
    ) -> Float[Tensor, "batch channels *space"]:
        """Scale and shift every channel of h as c says."""
        if (self.affine is None) != (c is None):
            expected = "None" if self.affine is None else f"a tensor (batch, {self.affine.in_features})"
            raise ValueError(f"c: got {'None' if c is None else tuple(c.shape)}, this network accepts {expected}")
        if self.affine is None:
            return h
        scale, shift = self.affine(c).unflatten(-1, (2, -1) + (1,) * (h.ndim - 2)).unbind(1)
        return torch.addcmul(shift, h, 1 + scale)
