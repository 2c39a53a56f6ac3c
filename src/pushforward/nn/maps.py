"""Convolutions between an image and a smaller map of vectors, one for every place, that keeps the layout.

Where ``convnet.ConvEncoder`` ends in one vector, these stop after some halvings: a place of the map sees a patch of the
image. Sides are halved and doubled as there, so images of any size work.
"""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from pushforward.nn.convnet import Halving, ResidualStack, group_norm, halvings, resize

__all__ = ["MapDecoder", "MapEncoder", "map_size"]


def map_size(size: tuple[int, int], steps: int) -> tuple[int, int]:
    """The size of the map after at most ``steps`` halvings; sides below 7 are not halved.

    Example:
        >>> map_size((28, 28), 2), map_size((8, 8), 2), map_size((2, 2), 2)
        ((7, 7), (4, 4), (2, 2))
    """
    return down(size, steps)[-1].size


def down(size: tuple[int, int], steps: int) -> list[Halving]:
    """At most so many halvings; where there is none, one step that keeps the size."""
    return halvings(size)[:steps] or [Halving((1, 1), size)]


def channels(steps: list[Halving], width: int) -> list[int]:
    """Channels after each step: they double once, where a convolution has become four times cheaper."""
    return [width * min(2**level, 2) for level in range(len(steps))]


class MapEncoder(nn.Module):
    """An image to a map of vectors: strided convolutions, each followed by residual blocks.

    Args:
        shape: (channels, height, width) of the image.
        outputs: length of the vectors.
        steps: halvings, at most.
        width: channels after the first convolution.
        depth: residual blocks at each size.

    Example:
        >>> import torch
        >>> MapEncoder((1, 28, 28), 16, steps=2, width=8, depth=1)(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 16, 7, 7])
    """

    def __init__(self, shape: tuple[int, int, int], outputs: int, *, steps: int, width: int, depth: int) -> None:
        super().__init__()
        taken = down(shape[1:], steps)
        sizes = channels(taken, width)
        layers: list[nn.Module] = []
        for step, before, here in zip(taken, [shape[0], *sizes[:-1]], sizes, strict=True):
            layers += [nn.Conv2d(before, here, 3, step.stride, padding=1), ResidualStack(here, here, depth=depth)]
        self.layers = nn.Sequential(*layers)
        self.norm = group_norm(sizes[-1])
        self.head = nn.Conv2d(sizes[-1], outputs, 1)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch outputs rows columns"]:
        return self.head(F.silu(self.norm(self.layers(x))))


class MapDecoder(nn.Module):
    """A map of vectors to an image: the mirror of :class:`MapEncoder`, with repeated pixels where that has strides.

    Args:
        inputs: length of the vectors.
        shape: (channels, height, width) of the image.
        steps: halvings, at most.
        parameters: how many images come out: one number per pixel and parameter of its distribution.
        width: channels at half size; at full size there are half as many.
        depth: residual blocks at each size.

    Example:
        >>> import torch
        >>> decoder = MapDecoder(16, (3, 9, 9), steps=2, parameters=2, width=8, depth=1)
        >>> decoder(torch.zeros(2, 16, *map_size((9, 9), 2))).shape
        torch.Size([2, 2, 3, 9, 9])
    """

    def __init__(
        self, inputs: int, shape: tuple[int, int, int], *, steps: int, parameters: int, width: int, depth: int
    ) -> None:
        super().__init__()
        taken = down(shape[1:], steps)
        sizes = channels(taken, width)
        full = (width + 1) // 2  # at full size, where a convolution costs most
        self.inward = nn.Conv2d(inputs, sizes[-1], 3, padding=1)
        self.blocks, self.grow = nn.ModuleList(), nn.ModuleList()
        for here, above in zip(reversed(sizes), [*reversed(sizes[:-1]), full], strict=True):
            self.blocks.append(ResidualStack(here, here, depth=depth))
            self.grow.append(nn.Conv2d(here, above, 3, padding=1))
        self.sizes = [step.size for step in reversed(taken[:-1])] + [shape[1:]]
        self.norm = group_norm(full)
        self.outward = nn.Conv2d(full, parameters * shape[0], 3, padding=1)
        self.shape = (parameters, *shape)

    def forward(
        self, z: Float[Tensor, "batch inputs rows columns"]
    ) -> Float[Tensor, "batch parameters channels height width"]:
        h = self.inward(z)
        for blocks, grow, size in zip(self.blocks, self.grow, self.sizes, strict=True):
            h = grow(resize(blocks(h), size))
        return self.outward(F.silu(self.norm(h))).unflatten(1, self.shape[:2])
