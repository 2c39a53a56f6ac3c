"""Recurrent networks for sequences (C, T): one that reads a sequence into a vector, one that unrolls a vector."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["RecurrentDecoder", "RecurrentEncoder"]


class RecurrentEncoder(nn.Module):
    r"""Gated recurrent units that read a sequence in both directions; the two last states become the result.

    .. math:: h_t = (1 - u_t) \odot n_t + u_t \odot h_{t-1}, \qquad
              n_t = \tanh(W x_t + r_t \odot (U h_{t-1} + b)), \qquad
              u_t, r_t = \sigma(W' x_t + U' h_{t-1} + b')

    Args:
        shape: (C, T) of x, or (T,) for one channel.
        outputs: length of the result.
        width: units of a state.
        depth: layers, each reading the states of the one below.
        condition: length of c, which every step reads as well; 0 for none.

    Reference:
        Cho et al. 2014, "Learning Phrase Representations using RNN Encoder-Decoder", eq. 5 to 8.

    Example:
        >>> RecurrentEncoder((3, 7), 4, width=8, depth=1)(torch.zeros(2, 3, 7)).shape
        torch.Size([2, 4])
    """

    def __init__(self, shape: tuple[int, ...], outputs: int, *, width: int, depth: int, condition: int = 0) -> None:
        super().__init__()
        channels = math.prod(shape[:-1])
        self.net = nn.GRU(channels + condition, width, max(depth, 1), batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * width, outputs)

    def forward(
        self, x: Float[Tensor, "batch *shape"], c: Float[Tensor, "batch condition"] | None = None
    ) -> Float[Tensor, "batch outputs"]:
        steps = x.reshape(len(x), -1, x.shape[-1]).transpose(1, 2)
        if c is not None:
            steps = torch.cat((steps, c[:, None].expand(-1, steps.shape[1], -1)), dim=2)
        _, last = self.net(steps)  # (2 depth, batch, width): the last layer's two directions come last
        return self.head(torch.cat((last[-2], last[-1]), dim=1))


class RecurrentDecoder(nn.Module):
    r"""A vector unrolled into a sequence: the first state is a map of z, and every step reads z and c again.

    .. math:: h_0 = A z, \qquad h_t = \mathrm{GRU}(h_{t-1}; z, c), \qquad y_t = B h_t

    Steps do not read one another's outputs: given z they are independent, so that the likelihood of a sequence is a
    product and a draw needs one pass.

    Args:
        inputs: length of z.
        shape: (C, T) of the sequence, or (T,) for one channel.
        parameters: numbers per entry of the result.
        width: units of a state.
        depth: layers.
        condition: length of c; 0 for none.

    Example:
        >>> RecurrentDecoder(4, (7,), parameters=5, width=8, depth=1)(torch.zeros(2, 4)).shape
        torch.Size([2, 5, 7])
    """

    def __init__(
        self, inputs: int, shape: tuple[int, ...], *, parameters: int, width: int, depth: int, condition: int = 0
    ) -> None:
        super().__init__()
        self.shape, self.layers = (parameters, *shape), max(depth, 1)
        self.start = nn.Linear(inputs + condition, self.layers * width)
        self.net = nn.GRU(inputs + condition, width, self.layers, batch_first=True)
        self.head = nn.Linear(width, parameters * math.prod(shape[:-1]))

    def forward(
        self, z: Float[Tensor, "batch inputs"], c: Float[Tensor, "batch condition"] | None = None
    ) -> Float[Tensor, "batch parameters *shape"]:
        z = z if c is None else torch.cat((z, c), dim=1)
        first = self.start(z).unflatten(1, (self.layers, -1)).transpose(0, 1).contiguous()
        states, _ = self.net(z[:, None].expand(-1, self.shape[-1], -1), first)
        return self.head(states).transpose(1, 2).reshape(len(z), *self.shape)
