"""Statistics of the whole batch where it is spread over several processes; with one process, nothing happens."""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, distributed

__all__ = ["gathered", "summed"]


def gathered(rows: Shaped[Tensor, "rows *shape"]) -> Shaped[Tensor, "all *shape"]:
    """The rows of every process, in the order of the processes; each must have as many.

    Example:
        >>> gathered(torch.arange(3)).tolist()
        [0, 1, 2]
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return rows
    parts = [torch.empty_like(rows) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, rows.contiguous())
    return torch.cat(parts)


def summed(values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The sum of a tensor over all processes.

    Example:
        >>> summed(torch.ones(2)).tolist()
        [1.0, 1.0]
    """
    if distributed.is_available() and distributed.is_initialized():
        values = values.clone()
        distributed.all_reduce(values)
    return values
