r"""Resampling: from weighted draws to equally weighted ones.

Each scheme lays n points in [0, 1) and takes, for each point u, the draw in whose stretch of the cumulative weights it
falls, :math:`\min\{i : \bar w_1 + \dots + \bar w_i > u\}`:

* *multinomial*: n independent uniforms, so that the copies are independent of each other given the weights;
* *stratified*: one uniform in each of n equal strata, :math:`u_j = (j + U_j) / n`;
* *systematic*: a comb with one random offset, :math:`u_j = (j + U) / n`; draw i is copied :math:`\lfloor n \bar w_i
  \rfloor` or one time more.

In all three the expected number of copies of draw i is :math:`n \bar w_i`. Stratifying never adds variance to it;
the comb usually has the least, and no general guarantee.

Reference:
    Douc, Cappé and Moulines 2005, "Comparison of resampling schemes for particle filtering".
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pushforward.core.errors import InputError, check_count
from pushforward.probability.weights import check_log_weights

__all__ = ["Scheme", "resample"]

Scheme = Literal["multinomial", "stratified", "systematic"]


def resample(
    log_weights: Float[Tensor, "*batch k"],
    n: int | None = None,
    *,
    scheme: Scheme = "systematic",
    generator: torch.Generator | None = None,
) -> Int[Tensor, "*batch n"]:
    r"""Indices of n draws, draw i on average :math:`n \bar w_i` times; a weight of zero is never taken.

    Args:
        log_weights: log w, up to a common constant; every row of the leading axes is resampled by itself.
        n: how many; None takes as many as there are weights.
        scheme: how the points are laid. The copies come in the order of the draws, but for "multinomial", where they
            are independent.
        generator: None takes torch's default one.

    Raises:
        InputError: if the weights are all zero, one is NaN or +inf, n is below 1, or there is no such scheme.

    Example:
        >>> weights = torch.tensor([0.5, 0.0, 0.25, 0.25])
        >>> resample(weights.log(), 8).tolist()
        [0, 0, 0, 0, 2, 2, 3, 3]
    """
    check_log_weights(log_weights)
    n = log_weights.shape[-1] if n is None else n
    check_count(n, "n")
    # In float64, for the cumulative sum of many small weights.
    cumulative = log_weights.double().softmax(-1).cumsum(-1)
    cumulative = cumulative / cumulative[..., -1:]
    rows = log_weights.shape[:-1]

    def uniform(size: int) -> Tensor:
        return torch.rand((*rows, size), generator=generator, dtype=torch.float64, device=log_weights.device)

    strata = torch.arange(n, dtype=torch.float64, device=log_weights.device)
    match scheme:
        case "multinomial":
            points = uniform(n)
        case "stratified":
            points = (strata + uniform(n)) / n
        case "systematic":
            points = (strata + uniform(1)) / n
        case _:
            raise InputError(f"scheme: got {scheme!r}, expected one of {', '.join(get_args(Scheme))}")
    # The division can round up to 1, which lies in no stretch.
    points = points.clamp(max=1 - torch.finfo(torch.float64).eps / 2)
    return torch.searchsorted(cumulative, points.contiguous(), right=True)
