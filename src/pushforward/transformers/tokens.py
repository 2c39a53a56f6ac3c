r"""Choosing a code: from logits to a draw, by inverting the distribution function.

With logits l and u uniform on [0, 1), the code drawn is the first k with

.. math:: F_k > u, \qquad F_k = \sum_{j \le k} p_j, \qquad p_j = \frac{e^{l_j / T}}{\sum_i e^{l_i / T}},

so that code k is drawn with probability :math:`F_k - F_{k-1} = p_k`. At temperature T = 1 and without truncation this
is the model itself. One uniform makes one code: the same draw whatever else is drawn beside it, as long as u is no
closer to an :math:`F_k` than the rounding of the logits, which depends on the size of the batch (below 1e-6).

Reference:
    Fan, Lewis and Dauphin 2018, "Hierarchical Neural Story Generation" (top-k); Holtzman et al. 2020, "The Curious
    Case of Neural Text Degeneration", eq. 2 (top-p).
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pushforward.core.errors import InputError

__all__ = ["TokenSampler", "choose", "truncate"]


@dataclass(frozen=True, kw_only=True)
class TokenSampler:
    """How codes are chosen; the default draws from the model itself.

    First the temperature, then top-k, then top-p. ``top_k=1`` always takes the most probable code.

    Raises:
        InputError: if a number is out of range.

    Example:
        >>> TokenSampler(temperature=0.0)
        Traceback (most recent call last):
        ...
        pushforward.core.errors.InputError: temperature: got 0.0, expected a finite number above 0 (top_k=1 is greedy)
    """

    temperature: float = 1.0  # Below 1 prefers probable codes, above 1 evens them out.
    top_k: int = 0  # Choose among the k most probable codes; 0 among all.
    top_p: float = 1.0  # Choose among the fewest most probable codes that together have this probability.

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense."""
        if not 0 < self.temperature < math.inf:
            raise InputError(
                f"temperature: got {self.temperature}, expected a finite number above 0 (top_k=1 is greedy)"
            )
        if not isinstance(self.top_k, int) or self.top_k < 0:
            raise InputError(f"top_k: got {self.top_k}, expected a whole number of at least 0")
        if not 0 < self.top_p <= 1:
            raise InputError(f"top_p: got {self.top_p}, expected a number above 0 and at most 1")


def truncate(logits: Float[Tensor, "batch codes"], sampler: TokenSampler) -> Float[Tensor, "batch codes"]:
    """The logits a sampler draws with: those of the codes it leaves out are minus infinity.

    Example:
        >>> truncate(torch.tensor([[0.1, 0.6, 0.3]]).log(), TokenSampler(top_p=0.6)).exp()
        tensor([[0.0000, 0.6000, 0.0000]])
    """
    if sampler.temperature != 1.0:
        # The largest is taken to 0 first, where no temperature can make it overflow.
        logits = (logits - logits.amax(-1, keepdim=True)) / sampler.temperature
    if 0 < sampler.top_k < logits.shape[-1]:
        largest, codes = logits.topk(sampler.top_k)
        logits = torch.full_like(logits, -math.inf).scatter(-1, codes, largest)
    if sampler.top_p < 1.0:
        ordered, codes = logits.sort(dim=-1, descending=True, stable=True)
        mass = torch.softmax(ordered, -1, dtype=torch.float64)
        more_probable = mass.cumsum(-1) - mass
        ordered = ordered.masked_fill(more_probable >= sampler.top_p, -math.inf)
        logits = torch.empty_like(logits).scatter(-1, codes, ordered)
    return logits


def choose(logits: Float[Tensor, "batch codes"], uniform: Float[Tensor, "batch"]) -> Int[Tensor, "batch"]:
    """One code per row.

    Args:
        logits: in any scale, minus infinity for codes that cannot be.
        uniform: u in [0, 1), float64.

    Example:
        >>> choose(torch.tensor([[0.2, 0.5, 0.3]]).log().expand(3, 3), torch.tensor([0.1, 0.3, 0.8]).double()).tolist()
        [0, 1, 2]
    """
    # In float64: a sum of hundreds of float32 probabilities would be off by as much as the rarest of them.
    below = torch.softmax(logits, -1, dtype=torch.float64).cumsum(-1)
    # The last sum is 1 up to rounding; u times it stays below it, so that the code drawn has some probability.
    return torch.searchsorted(below, uniform[:, None] * below[:, -1:], right=True).squeeze(1)
