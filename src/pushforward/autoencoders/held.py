"""A network as a function of its input alone: what is learned through it is never learned by it."""

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

__all__ = ["held"]


def held(network: nn.Module, x: Float[Tensor, "batch *shape"]) -> Any:
    """``network(x)`` with its weights as constants: gradients go to x and to nothing else.

    Example:
        >>> import torch
        >>> line, x = nn.Linear(1, 1), torch.ones(1, 1, requires_grad=True)
        >>> held(line, x).sum().backward()
        >>> bool((x.grad == line.weight).all()), line.weight.grad
        (True, None)
    """
    return functional_call(network, {name: p.detach() for name, p in network.named_parameters()}, (x,))
