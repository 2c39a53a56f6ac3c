r"""How much of a codebook is used over a whole split: the share of codes that occur, and the perplexity.

.. math:: p_k = \frac{n_k}{\sum_j n_j}, \qquad \text{perplexity} = \exp\Big(-\sum_k p_k \ln p_k\Big)

between 1 (one code does everything) and K (all do the same). A batch holds too few vectors to tell: of K codes used
evenly, N vectors show only a share of :math:`1 - e^{-N/K}`. So counts are added up, and looked at in the end.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pushforward.core.capabilities import HasCodebook
from pushforward.core.data import Split
from pushforward.core.noise import Noise

__all__ = ["CodeUse", "code_use"]


class CodeUse:
    """Counts of codes, one row per quantiser.

    Args:
        size: K.
        count: how many quantisers.

    Example:
        >>> use = CodeUse(4, 1)
        >>> use.add(torch.tensor([[0], [1], [0], [1]]))
        >>> use.share.tolist(), [round(p, 6) for p in use.perplexity.tolist()]
        ([0.5], [2.0])
    """

    def __init__(self, size: int, count: int) -> None:
        self.counts = torch.zeros(count, size, dtype=torch.int64)

    def add(self, indices: Int[Tensor, "*vectors quantisers"]) -> None:
        """Count some more."""
        for row, index in zip(self.counts, indices.reshape(-1, len(self.counts)).cpu().T, strict=True):
            row += torch.bincount(index, minlength=len(row))

    @property
    def share(self) -> Float[Tensor, "quantisers"]:
        """The share of the codes that occurred."""
        return (self.counts > 0).double().mean(1)

    @property
    def perplexity(self) -> Float[Tensor, "quantisers"]:
        """The exponential of the entropy of the counts."""
        p = self.counts.double() / self.counts.sum(1, keepdim=True).clamp(min=1)
        return (-torch.xlogy(p, p).sum(1)).exp()


def code_use(model: HasCodebook, split: Split, *, batch_size: int = 256) -> CodeUse:
    """The use of a model's codes over a split.

    Args:
        model: with a codebook.
        split: of storage examples.
        batch_size: how many at a time; it changes nothing but the memory.
    """
    use = None
    with model.at_rest():
        for first in range(0, len(split), batch_size):
            rows = torch.arange(first, min(first + batch_size, len(split)))
            batch = split[rows].to(model.device)
            noise = Noise(0, rows=len(rows), start=first)
            y, _ = model.fitted.encode(batch.x, noise=noise, dtype=model.dtype)
            indices = model.indices(y, batch.condition if model.condition is not None else None)
            use = use or CodeUse(model.codebook_size, indices.shape[-1])
            use.add(indices)
    return use or CodeUse(model.codebook_size, 1)
