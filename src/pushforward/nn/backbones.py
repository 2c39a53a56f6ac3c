"""The network that suits the shape of the data.

| shape | data | networks, the usual one first |
|---|---|---|
| (D,) | points, rows of a table, codes of a text | mlp; recurrent and transformer take it as a sequence of numbers |
| (C, T) | a sequence of T vectors: a text with one number per code | transformer, recurrent, conv, mlp |
| (C, H, W) | images; a waveform is one of one row | conv, mlp |
"""

import math
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from pushforward.core.errors import InputError
from pushforward.nn.convnet import ConvDecoder, ConvEncoder
from pushforward.nn.embedding import sinusoidal
from pushforward.nn.mlp import MLP, ResidualMLP
from pushforward.nn.recurrent import RecurrentDecoder, RecurrentEncoder
from pushforward.nn.sequences import SequenceDecoder, SequenceEncoder
from pushforward.nn.unet import UNet

__all__ = ["Denoiser", "FlatDecoder", "FlatEncoder", "Network", "decoder", "denoiser", "encoder"]

Network = Literal["auto", "mlp", "conv", "recurrent", "transformer"]

#: What each number of dimensions accepts, the usual network first.
ACCEPTED = {
    1: ("mlp", "recurrent", "transformer"),
    2: ("transformer", "recurrent", "conv", "mlp"),
    3: ("conv", "mlp"),
}


def encoder(
    shape: tuple[int, ...],
    outputs: int,
    *,
    width: int,
    depth: int,
    condition: int = 0,
    network: Network = "auto",
    normalize: bool = True,
) -> nn.Module:
    """A network ``(x: (B, *shape), c: (B, condition) or None) -> (B, outputs)``.

    Args:
        shape: (D,) of a vector, (C, T) of a sequence or (C, H, W) of an image.
        outputs: length of the result.
        width: units of a hidden layer, or channels of the first convolution.
        depth: hidden layers, or residual blocks at each size of the image.
        condition: length of c; 0 for none.
        network: one of the table above; "auto" is the first, and "mlp" flattens what it is given.
        normalize: whether convolutions have group normalisation.

    Raises:
        InputError: if the network does not go with the shape.

    Example:
        >>> encoder((1, 28, 28), 32, width=512, depth=1, network="mlp").net.layers
        Sequential(
          (0): Linear(in_features=784, out_features=512, bias=True)
          (1): SiLU()
          (2): Linear(in_features=512, out_features=32, bias=True)
        )
    """
    match _choice(shape, network, depth):
        case "mlp":
            return FlatEncoder(shape, outputs, width=width, depth=depth, condition=condition)
        case "recurrent":
            return RecurrentEncoder(shape, outputs, width=width, depth=depth, condition=condition)
        case "transformer":
            return SequenceEncoder(shape, outputs, width=width, depth=depth, condition=condition)
    conv = ConvEncoder(_image(shape), outputs, width=width, depth=depth, condition=condition, normalize=normalize)
    return conv if len(shape) == 3 else _OneRow(conv)


def decoder(
    inputs: int,
    shape: tuple[int, ...],
    *,
    width: int,
    depth: int,
    parameters: int = 1,
    condition: int = 0,
    network: Network = "auto",
    normalize: bool = True,
) -> nn.Module:
    """A network ``(z: (B, inputs), c: (B, condition) or None) -> (B, parameters, *shape)``.

    Args:
        inputs: length of z.
        shape: (D,) of a vector, (C, T) of a sequence or (C, H, W) of an image.
        width: units of a hidden layer, or channels at half the size of the image.
        depth: hidden layers, or residual blocks at each size of the image.
        parameters: numbers per entry of the result: the parameters of its distribution.
        condition: length of c; 0 for none.
        network: as in :func:`encoder`.
        normalize: as in :func:`encoder`.

    Raises:
        InputError: if the network does not go with the shape.

    Example:
        >>> import torch
        >>> decoder(4, (1, 8, 8), width=8, depth=1, parameters=2)(torch.zeros(3, 4)).shape
        torch.Size([3, 2, 1, 8, 8])
    """
    match _choice(shape, network, depth):
        case "mlp":
            return FlatDecoder(inputs, shape, parameters=parameters, width=width, depth=depth, condition=condition)
        case "recurrent":
            return RecurrentDecoder(inputs, shape, parameters=parameters, width=width, depth=depth, condition=condition)
        case "transformer":
            return SequenceDecoder(inputs, shape, parameters=parameters, width=width, depth=depth, condition=condition)
    conv = ConvDecoder(
        inputs,
        _image(shape),
        parameters=parameters,
        width=width,
        depth=depth,
        condition=condition,
        normalize=normalize,
    )
    return conv if len(shape) == 3 else _AsSequence(conv)


def denoiser(shape: tuple[int, ...], *, width: int, depth: int, condition: int = 0) -> "Denoiser":
    """A network ``(x: (B, *shape), t: (B,) in [0, 1], c: (B, condition) or None) -> (B, *shape)``, zero at first.

    A :class:`~pushforward.nn.unet.UNet` for an image, a :class:`~pushforward.nn.mlp.ResidualMLP` for a vector.

    Args:
        shape: (D,) of a vector or (C, H, W) of an image.
        width: units of the hidden layers, or channels at full size.
        depth: residual blocks, at each size for an image.
        condition: length of c; 0 for none.

    Raises:
        InputError: for a shape that is neither, or a depth below 1.

    Example:
        >>> import torch
        >>> denoiser((1, 8, 8), width=8, depth=1)(torch.zeros(3, 1, 8, 8), torch.rand(3)).shape
        torch.Size([3, 1, 8, 8])
    """
    if depth < 1:
        raise InputError(f"depth: got {depth}, a denoiser accepts 1 or more")
    embedding = 4 * width if len(shape) == 3 else width  # channels are few, and the bottom has twice as many
    if len(shape) == 2:
        raise InputError(f"shape: got {shape}, a denoiser accepts (D,) of vectors and (C, H, W) of images")
    if _choice(shape, "auto", depth) == "mlp":
        flat = ResidualMLP(shape[0], shape[0], width=width, depth=depth, condition=embedding, zero_init=True)
        return Denoiser(flat, embedding, condition=condition)
    unet = UNet(_image(shape), shape[0], width=width, depth=depth, condition=embedding)
    return Denoiser(unet, embedding, condition=condition)


class FlatEncoder(nn.Module):
    """An :class:`~pushforward.nn.mlp.MLP` on the entries of x in a row."""

    def __init__(self, shape: tuple[int, ...], outputs: int, *, width: int, depth: int, condition: int = 0) -> None:
        super().__init__()
        self.net = MLP(math.prod(shape), outputs, width=width, depth=depth, condition=condition)

    def forward(
        self, x: Float[Tensor, "batch *shape"], c: Float[Tensor, "batch condition"] | None = None
    ) -> Float[Tensor, "batch outputs"]:
        return self.net(x.flatten(1), c)


class FlatDecoder(nn.Module):
    """An :class:`~pushforward.nn.mlp.MLP` whose outputs are put into the shape of an example."""

    def __init__(
        self, inputs: int, shape: tuple[int, ...], *, parameters: int, width: int, depth: int, condition: int = 0
    ) -> None:
        super().__init__()
        self.shape = (parameters, *shape)
        self.net = MLP(inputs, math.prod(self.shape), width=width, depth=depth, condition=condition)

    def forward(
        self, z: Float[Tensor, "batch inputs"], c: Float[Tensor, "batch condition"] | None = None
    ) -> Float[Tensor, "batch parameters *shape"]:
        return self.net(z, c).unflatten(-1, self.shape)


class Denoiser(nn.Module):
    r"""A network steered by the embedding of time and condition.

    .. math:: y = \mathrm{net}(x, e), \qquad e = W_2 \,\sigma(W_1 (\phi(t), c) + b_1) + b_2

    where phi are the 64 sines and cosines of :func:`~pushforward.nn.embedding.sinusoidal`.

    Args:
        net: called as ``net(x, e)``.
        embedding: length of e.
        condition: length of c; 0 for none.
    """

    features = 64  # 32 frequencies from 1 to 1000: neighbours differ by a factor 1.25, so no scale of t is skipped

    def __init__(self, net: nn.Module, embedding: int, *, condition: int = 0) -> None:
        super().__init__()
        self.net = net
        self.embed = MLP(self.features, embedding, width=embedding, depth=1, condition=condition)

    def forward(
        self,
        x: Float[Tensor, "batch *shape"],
        t: Float[Tensor, "batch"],
        c: Float[Tensor, "batch condition"] | None = None,
    ) -> Float[Tensor, "batch *shape"]:
        return self.net(x, self.embed(sinusoidal(t, self.features), c))


class _OneRow(nn.Module):
    """A network of images for sequences (C, T), each an image (C, 1, T)."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Float[Tensor, "batch channels time"], c: Tensor | None = None) -> Tensor:
        return self.net(x[:, :, None], c)


class _AsSequence(nn.Module):
    """A network that writes images (C, 1, T), for sequences (C, T)."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, z: Float[Tensor, "batch inputs"], c: Tensor | None = None) -> Tensor:
        return self.net(z, c).squeeze(-2)


def _choice(shape: tuple[int, ...], network: Network, depth: int) -> Literal["mlp", "conv", "recurrent", "transformer"]:
    """The network for a shape, or an error that says which there are."""
    if len(shape) not in ACCEPTED:
        raise InputError(
            f"shape: got {shape}, accepted are (D,) of vectors, (C, T) of sequences and (C, H, W) of images"
        )
    accepted = ACCEPTED[len(shape)]
    match accepted[0] if network == "auto" else network:
        case "mlp" | "conv" | "recurrent" | "transformer" as choice:
            pass
        case _:
            raise InputError(f"network: got {network!r}, accepted are auto, mlp, conv, recurrent and transformer")
    if choice not in accepted:
        kind = {1: f"vectors of {shape[0]} numbers", 2: "sequences", 3: "images"}[len(shape)]
        raise InputError(f"network: got {choice!r} for {kind}, accepted are auto, {', '.join(accepted)}")
    if choice in ("conv", "transformer") and depth < 1:
        kind = "a convolutional network" if choice == "conv" else "a transformer"
        raise InputError(f"depth: got {depth}, {kind} accepts 1 or more")
    return choice


def _image(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(C, H, W); a sequence has one row."""
    channels, height, width = shape if len(shape) == 3 else (shape[0], 1, shape[1])
    return channels, height, width
