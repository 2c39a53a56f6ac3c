r"""Quantisers: a vector is replaced by one of finitely many, and the gradient gets past the step.

.. math:: k(z) = \arg\min_k \lVert z - e_k \rVert, \qquad q(z) = e_{k(z)}

The map is flat almost everywhere, so what the decoder's gradient means for z has to be made up. Two ways:

* *straight-through* (Bengio et al. 2013; van den Oord et al. 2017, section 3.2): as if q were the identity,
  :math:`\partial q / \partial z = I`;
* *rotation* (Fifty et al. 2024, section 4): as if q were the rotation R and scaling that take z to q(z),
  :math:`\partial q / \partial z = \tfrac{\lVert q \rVert}{\lVert z \rVert} R`, so that an angle between the gradient
  and q becomes the same angle at z.

A quantiser works on rows; which place of which example a row comes from is not its concern.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from pushforward.core.errors import InputError

__all__ = ["Pass", "Quantized", "Quantizer", "passed", "rotated"]

#: How the gradient passes a quantiser.
Pass = Literal["straight-through", "rotation"]

#: The shortest vector that has a direction: squares of single precision underflow below it.
SHORTEST = 1e-15


class Quantized(NamedTuple):
    """What becomes of n vectors.

    Args:
        vectors: (n, dim), for the decoder; their gradient passes to what was quantised.
        indices: (n, count), which codes they are.
        loss: (n,), what keeps encoder and codes together, in the units of a squared distance.
    """

    vectors: Float[Tensor, "n dim"]
    indices: Int[Tensor, "n count"]
    loss: Float[Tensor, "n"]


class Quantizer(nn.Module, ABC):
    """Vectors to codes and back: ``count`` indices for each vector, all from 0 to ``size - 1``."""

    #: Whether the loss of a vector depends on the others.
    couples_batch: ClassVar[bool] = False

    dim: int
    size: int
    count: int

    @abstractmethod
    def forward(self, z: Float[Tensor, "n dim"]) -> Quantized:
        """Quantise; in training mode the statistics of the step are kept for ``learn``."""

    @abstractmethod
    def vectors(self, indices: Int[Tensor, "n count"]) -> Float[Tensor, "n dim"]:
        """The vectors that indices stand for."""

    def indices(self, z: Float[Tensor, "n dim"]) -> Int[Tensor, "n count"]:
        """The indices of vectors, without a trace in the statistics."""
        was_training = self.training
        self.eval()
        try:
            with torch.no_grad():
                return self(z).indices
        finally:
            self.train(was_training)

    def learn(self) -> None:
        """After a step: moving averages, and codes that nobody uses. By default there are none."""


def passed(z: Float[Tensor, "n dim"], q: Float[Tensor, "n dim"], by: Pass) -> Float[Tensor, "n dim"]:
    """The numbers of q with a gradient to z.

    Raises:
        InputError: for an unknown way.

    Example:
        >>> z, q = torch.tensor([[0.9, 0.1]], requires_grad=True), torch.tensor([[0.0, 2.0]])
        >>> (passed(z, q, "straight-through") * torch.tensor([[3.0, 4.0]])).sum().backward()
        >>> z.grad.tolist()
        [[3.0, 4.0]]
    """
    match by:
        case "straight-through":
            return z + (q - z).detach()
        case "rotation":
            turned = rotated(z, q)
            return turned + (q - turned).detach()  # q to the last digit
        case _:
            raise InputError(f"gradient: got {by!r}, expected 'straight-through' or 'rotation'")


def rotated(z: Float[Tensor, "n dim"], q: Float[Tensor, "n dim"]) -> Float[Tensor, "n dim"]:
    r"""z turned and stretched onto q by a map that has no gradient of its own.

    With the directions :math:`u = z / \lVert z \rVert`, :math:`v = q / \lVert q \rVert` and
    :math:`r = (u + v) / \lVert u + v \rVert`, the rotation in their plane is two reflections,

    .. math:: R = I - 2 r r^\top + 2 v u^\top, \qquad R\, u = v.

    Reference:
        Fifty et al. 2024, "Restructuring Vector Quantization with the Rotation Trick", eq. 4.

    Example:
        >>> rotated(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 3.0]])).tolist()
        [[0.0, 3.0]]
    """
    with torch.no_grad():
        u, v = F.normalize(z, dim=-1, eps=SHORTEST), F.normalize(q, dim=-1, eps=SHORTEST)
        r = F.normalize(u + v, dim=-1, eps=SHORTEST)
        stretch = q.norm(dim=-1, keepdim=True) / z.norm(dim=-1, keepdim=True).clamp(min=SHORTEST)
    turned = z - 2 * (z * r).sum(-1, keepdim=True) * r + 2 * (z * u).sum(-1, keepdim=True) * v
    return stretch * turned
