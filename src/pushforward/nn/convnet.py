"""Convolutions for images of any height and width: down to a vector, up from a vector, or at one size.

Sides are halved by convolutions of stride 2 and padding 1, which take s pixels to ``ceil(s / 2)``; the way back repeats
every pixel and crops to the recorded size. So odd sides, strips and single pixels need no padding and lose nothing.
Normalisation is by groups within one example, never over the batch.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from pushforward.nn.mlp import zero_
from pushforward.nn.modulation import Modulation

__all__ = [
    "ConvDecoder",
    "ConvEncoder",
    "ConvResNet",
    "Halving",
    "ResidualBlock",
    "ResidualStack",
    "group_norm",
    "halvings",
    "resize",
]


class Halving(NamedTuple):
    """One step down: the stride along each side, and the size it leads to."""

    stride: tuple[int, int]
    size: tuple[int, int]


def halvings(size: tuple[int, int]) -> list[Halving]:
    """The steps down from a size: each side is halved (rounding up) for as long as 4 pixels or more are left of it.

    Example:
        >>> [step.size for step in halvings((28, 10))]
        [(14, 5), (7, 5), (4, 5)]
    """
    steps: list[Halving] = []
    height, width = size
    while True:
        down, across = (2 if (side + 1) // 2 >= 4 else 1 for side in (height, width))
        if down == across == 1:
            return steps
        height, width = (height + down - 1) // down, (width + across - 1) // across
        steps.append(Halving((down, across), (height, width)))


def resize(h: Float[Tensor, "batch channels *small"], size: tuple[int, int]) -> Float[Tensor, "batch channels *size"]:
    """The way back of one halving: each pixel repeated along the halved sides, the surplus cropped."""
    return F.interpolate(h, size=size, mode="nearest")


def group_norm(channels: int) -> nn.GroupNorm:
    """Group normalisation in the most groups of at least 8 channels: even one pixel then has a variance to divide by.

    Reference:
        Wu and He 2018, "Group Normalization", eq. 7.
    """
    groups = next(g for g in range(max(channels // 8, 1), 0, -1) if channels % g == 0)
    return nn.GroupNorm(groups, channels)


class ResidualBlock(nn.Module):
    r"""Two convolutions added to what came in; the condition steers what lies between them.

    .. math:: y = S h + W_2 * \sigma(\mathrm{mod}(\mathrm{norm}(W_1 * \sigma(\mathrm{norm}(h))), c)),
              \qquad \sigma = \mathrm{SiLU}

    where S is the identity, or a 1 x 1 convolution if the number of channels changes. About
    ``9 (inputs + outputs) outputs`` parameters.

    Args:
        inputs: channels of h.
        outputs: channels of y.
        condition: length of c; 0 for none.
        normalize: whether the norms are there.

    Reference:
        He et al. 2016, "Identity Mappings in Deep Residual Networks"; Dhariwal and Nichol 2021, "Diffusion Models Beat
        GANs on Image Synthesis", section 3.1 (the modulated norm).
    """

    def __init__(self, inputs: int, outputs: int, *, condition: int = 0, normalize: bool = True) -> None:
        super().__init__()
        self.norm1 = group_norm(inputs) if normalize else nn.Identity()
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2 = group_norm(outputs) if normalize else nn.Identity()
        self.modulate = Modulation(outputs, condition=condition)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(
        self, h: Float[Tensor, "batch inputs height width"], c: Float[Tensor, "batch condition"] | None = None
    ) -> Float[Tensor, "batch outputs height width"]:
        residual = self.first(F.silu(self.norm1(h)))
        return self.skip(h) + self.second(F.silu(self.modulate(self.norm2(residual), c)))


class ResidualStack(nn.Module):
    """One :class:`ResidualBlock` after the other; the first may change the number of channels.

    Args:
        inputs: channels of h.
        outputs: channels of what comes out.
        depth: number of blocks.
        condition: length of c; 0 for none.
        normalize: whether the norms are there.
    """

    def __init__(self, inputs: int, outputs: int, *, depth: int, condition: int = 0, normalize: bool = True) -> None:
        super().__init__()
        channels = [inputs] + [outputs] * depth
        self.blocks = nn.ModuleList(
            ResidualBlock(here, outputs, condition=condition, normalize=normalize) for here in channels[:depth]
        )

    def forward(
        self, h: Float[Tensor, "batch inputs height width"], c: Float[Tensor, "batch condition"] | None = None
    ) -> Float[Tensor, "batch outputs height width"]:
        for block in self.blocks:
            h = block(h, c)
        return h


class ConvResNet(nn.Module):
    """Residual blocks at the full size: an image to an image of other channels, as coupling layers need.

    Args:
        inputs: channels of x.
        outputs: channels of y.
        width: channels inside.
        depth: number of residual blocks, each of two convolutions of 3 x 3 pixels.
        condition: length of c; 0 for none.
        zero_init: whether the last convolution starts at zero, so that y does.

    Example:
        >>> import torch
        >>> ConvResNet(1, 2, width=8, depth=1)(torch.zeros(3, 1, 5, 1)).shape
        torch.Size([3, 2, 5, 1])
    """

    def __init__(
        self, inputs: int, outputs: int, *, width: int = 32, depth: int = 2, condition: int = 0, zero_init: bool = False
    ) -> None:
        super().__init__()
        self.inward = nn.Conv2d(inputs, width, 3, padding=1)
        self.blocks = ResidualStack(width, width, depth=depth, condition=condition)
        self.norm = group_norm(width)
        self.outward = zero_(nn.Conv2d(width, outputs, 3, padding=1), when=zero_init)

    def forward(
        self, x: Float[Tensor, "batch inputs height width"], c: Float[Tensor, "batch condition"] | None = None
    ) -> Float[Tensor, "batch outputs height width"]:
        return self.outward(F.silu(self.norm(self.blocks(self.inward(x), c))))


class ConvEncoder(nn.Module):
    """An image to a vector: strided convolutions, each followed by residual blocks, then one linear map of all pixels.

    Channels double with every halving up to four times ``width``. An image of 28 x 28 goes through 14, 7 and 4 pixels a
    side and ends in ``16 * 4 width * outputs`` weights; one that cannot be halved keeps its size.

    Args:
        shape: (channels, height, width) of x.
        outputs: length of y.
        width: channels after the first convolution.
        depth: residual blocks at each size, at least 1.
        condition: length of c; 0 for none.
        normalize: whether there is group normalisation (a GAN's critic does without).

    Example:
        >>> import torch
        >>> ConvEncoder((1, 28, 28), 10, width=8)(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        outputs: int,
        *,
        width: int = 32,
        depth: int = 1,
        condition: int = 0,
        normalize: bool = True,
    ) -> None:
        super().__init__()
        steps, channels = _pyramid(shape, width)
        self.shrink, self.blocks = nn.ModuleList(), nn.ModuleList()
        for step, inputs, here in zip(steps, [shape[0], *channels[:-1]], channels, strict=True):
            self.shrink.append(nn.Conv2d(inputs, here, 3, step.stride, padding=1))
            self.blocks.append(ResidualStack(here, here, depth=depth, condition=condition, normalize=normalize))
        self.norm = group_norm(channels[-1]) if normalize else nn.Identity()
        self.head = nn.Linear(channels[-1] * math.prod(steps[-1].size), outputs)

    def forward(
        self, x: Float[Tensor, "batch channels height width"], c: Float[Tensor, "batch condition"] | None = None
    ) -> Float[Tensor, "batch outputs"]:
        return self.head(F.silu(self.norm(self.maps(x, c)[-1])).flatten(1))

    def maps(
        self, x: Float[Tensor, "batch channels height width"], c: Float[Tensor, "batch condition"] | None = None
    ) -> list[Float[Tensor, "batch width rows columns"]]:
        """What every strided convolution and every stack of blocks makes of x, the finest first."""
        # With the channels of a pixel side by side, these convolutions take three quarters of the time on a CPU.
        maps, h = [], x.contiguous(memory_format=torch.channels_last)
        for shrink, blocks in zip(self.shrink, self.blocks, strict=True):
            maps += [shrink(h)]
            maps += [h := blocks(maps[-1], c)]
        return maps


class ConvDecoder(nn.Module):
    """A vector to an image: the mirror of :class:`ConvEncoder`, with repeated pixels where that has strides.

    Pixels are repeated and then convolved, since a transposed convolution would leave a checkerboard.

    Args:
        inputs: length of z.
        shape: (channels, height, width) of the image.
        parameters: how many images come out: one number per pixel and parameter of its distribution.
        width: channels at half size; at full size there are half as many.
        depth: residual blocks at each size, at least 1.
        condition: length of c; 0 for none.
        normalize: whether there is group normalisation.

    Reference:
        Odena et al. 2016, "Deconvolution and Checkerboard Artifacts".

    Example:
        >>> import torch
        >>> ConvDecoder(4, (3, 9, 5), parameters=2, width=8)(torch.zeros(1, 4)).shape
        torch.Size([1, 2, 3, 9, 5])
    """

    def __init__(
        self,
        inputs: int,
        shape: tuple[int, int, int],
        *,
        parameters: int = 1,
        width: int = 32,
        depth: int = 1,
        condition: int = 0,
        normalize: bool = True,
    ) -> None:
        super().__init__()
        steps, channels = _pyramid(shape, width)
        self.small = (channels[-1], *steps[-1].size)
        self.sizes = [step.size for step in reversed(steps[:-1])] + [shape[1:]]
        self.head = nn.Linear(inputs, math.prod(self.small))
        self.blocks, self.grow = nn.ModuleList(), nn.ModuleList()
        full = (width + 1) // 2  # channels at full size, where a convolution costs most
        for here, above in zip(reversed(channels), [*reversed(channels[:-1]), full], strict=True):
            self.blocks.append(ResidualStack(here, here, depth=depth, condition=condition, normalize=normalize))
            self.grow.append(nn.Conv2d(here, above, 3, padding=1))
        self.norm = group_norm(full) if normalize else nn.Identity()
        self.outward = nn.Conv2d(full, parameters * shape[0], 3, padding=1)
        self.shape = (parameters, *shape)

    def forward(
        self, z: Float[Tensor, "batch inputs"], c: Float[Tensor, "batch condition"] | None = None
    ) -> Float[Tensor, "batch parameters channels height width"]:
        h = self.head(z).unflatten(-1, self.small).contiguous(memory_format=torch.channels_last)
        for blocks, grow, size in zip(self.blocks, self.grow, self.sizes, strict=True):
            h = grow(resize(blocks(h, c), size))
        return self.outward(F.silu(self.norm(h))).unflatten(1, self.shape[:2])


def _pyramid(shape: tuple[int, int, int], width: int) -> tuple[list[Halving], list[int]]:
    """The steps of an encoder and the channels after each; channels stop at 4 width, as their cost is quadratic."""
    size = shape[1:]
    steps = halvings(size) or [Halving((1, 1), size)]
    return steps, [min(2**level, 4) * width for level in range(len(steps))]
