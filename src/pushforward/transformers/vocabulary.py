"""The codes of a sequence as vectors, and vectors as logits of codes."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Vocabulary"]


class Vocabulary(nn.Module):
    r"""A vector for every code, and a linear map from a vector to the logit of every code.

    Codes mean the same at every position (characters, levels of pixels), or each position has a vocabulary of its own
    (columns of a table): then code k of position t is row :math:`k + \sum_{s<t} V_s` of one table, and the logits of
    codes from :math:`V_t` on are minus infinity, so that a softmax is a distribution over what position t can be.
    ``(2 width + 1) V`` parameters, V the number of rows.

    Args:
        sizes: V_t for every position.
        width: length of a vector.
        shared: whether codes mean the same at every position, all of one size.

    Example:
        >>> vocabulary = Vocabulary((2, 3), 8, shared=False)
        >>> vocabulary(torch.tensor([[1, 2]])).shape
        torch.Size([1, 2, 8])
        >>> vocabulary.logits(torch.zeros(1, 2, 8)).softmax(-1)[0, 0, 2].item()  # there is no code 2 at position 0
        0.0
    """

    rows: Tensor
    impossible: Tensor

    def __init__(self, sizes: tuple[int, ...], width: int, *, shared: bool) -> None:
        super().__init__()
        self.shared = shared
        total = sizes[0] if shared else sum(sizes)
        self.embedding = nn.Embedding(total, width)
        self.head = nn.Linear(width, total)
        nn.init.zeros_(self.head.bias)
        nn.init.normal_(self.head.weight, std=0.02)  # the first predictions are nearly uniform (Radford et al. 2019)
        ends = torch.tensor(sizes).cumsum(0)[:, None]
        starts, codes = ends - torch.tensor(sizes)[:, None], torch.arange(max(sizes))
        # Row of code k of position t; a code that is not there points at some row, and is masked.
        self.register_buffer("rows", (starts + codes).clamp(max=total - 1), persistent=False)
        self.register_buffer("impossible", starts + codes >= ends, persistent=False)

    def forward(self, codes: Int[Tensor, "batch time"], start: int = 0) -> Float[Tensor, "batch time width"]:
        """The vectors of the codes at positions ``start, start + 1, ...``."""
        return self.embedding(codes if self.shared else codes + self.rows[start : start + codes.shape[1], 0])

    def logits(self, h: Float[Tensor, "batch time width"], start: int = 0) -> Float[Tensor, "batch time codes"]:
        """The logits of the codes at positions ``start, start + 1, ...``."""
        if self.shared:
            return self.head(h)
        here = slice(start, start + h.shape[1])
        weight = F.embedding(self.rows[here], self.head.weight)
        logits = torch.einsum("btw,tkw->btk", h, weight) + self.head.bias[self.rows[here]]
        return logits.masked_fill(self.impossible[here], float("-inf"))
