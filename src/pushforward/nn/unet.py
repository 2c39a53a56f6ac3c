"""The U-Net: an image to an image of the same size, looking at it at several scales."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from pushforward.nn.convnet import ResidualStack, group_norm, halvings, resize
from pushforward.nn.mlp import zero_

__all__ = ["PixelAttention", "UNet"]


class PixelAttention(nn.Module):
    r"""Self-attention of all pixels, one head, added to what came in.

    .. math:: y = h + W_o \,\mathrm{softmax}(q^\top k / \sqrt{d})\, v, \qquad (q, k, v) = W \,\mathrm{norm}(h)

    Quadratic in the number of pixels, so it belongs where these are few. It is written
    out, not fused, so that second derivatives exist.

    Reference:
        Ho et al. 2020, "Denoising Diffusion Probabilistic Models", appendix B.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = group_norm(channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, h: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
        query, key, value = self.qkv(self.norm(h)).flatten(2).chunk(3, dim=1)  # each (B, channels, pixels)
        weights = torch.softmax(query.mT @ key * query.shape[1] ** -0.5, dim=-1)  # row i: what pixel i looks at
        return h + self.out((value @ weights.mT).view_as(h))


class UNet(nn.Module):
    """Residual blocks on the way down, attention at the bottom, blocks on the way up that also see the way down.

    The size is halved as in :func:`~pushforward.nn.convnet.halvings`, so 28 x 28 is seen at 28, 14, 7 and 4 pixels a
    side, 8 x 8 at 8 and 4, and anything smaller at its own size only. Channels are ``width`` at full size and twice
    that below. The last convolution starts at zero, so the output does.

    Args:
        shape: (channels, height, width) of the input.
        outputs: channels of the output.
        width: channels at full size.
        depth: residual blocks at each size, both ways.
        levels: how many times the size is halved at most; None for as often as it goes.
        condition: length of c (an embedded time, a class), which steers every block; 0 for none.

    Reference:
        Ronneberger et al. 2015, "U-Net"; Ho et al. 2020, appendix B; Dhariwal and Nichol 2021, section 3.

    Example:
        >>> UNet((1, 9, 7), 2, width=8, condition=4)(torch.zeros(3, 1, 9, 7), torch.zeros(3, 4)).shape
        torch.Size([3, 2, 9, 7])
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        outputs: int,
        *,
        width: int = 32,
        depth: int = 1,
        levels: int | None = None,
        condition: int = 0,
    ) -> None:
        super().__init__()
        steps = halvings(shape[1:])[:levels]
        channels = [width] + [2 * width] * len(steps)
        self.inward = nn.Conv2d(shape[0], width, 3, padding=1)
        self.down, self.shrink, self.grow, self.up = (nn.ModuleList() for _ in range(4))
        for step, here, below in zip(steps, channels[:-1], channels[1:], strict=True):
            self.down.append(ResidualStack(here, here, depth=depth, condition=condition))
            self.shrink.append(nn.Conv2d(here, below, 3, step.stride, padding=1))
            self.grow.append(nn.Conv2d(below, here, 3, padding=1))
            self.up.append(ResidualStack(2 * here, here, depth=depth, condition=condition))
        self.bottom = ResidualStack(channels[-1], channels[-1], depth=depth, condition=condition)
        self.attention = PixelAttention(channels[-1])
        self.after = ResidualStack(channels[-1], channels[-1], depth=1, condition=condition)
        self.norm = group_norm(width)
        self.outward = zero_(nn.Conv2d(width, outputs, 3, padding=1))

    def forward(
        self, x: Float[Tensor, "batch channels height width"], c: Float[Tensor, "batch condition"] | None = None
    ) -> Float[Tensor, "batch outputs height width"]:
        """Down, across the bottom, and up again, each time beside what was seen at that size on the way down."""
        h, seen = self.inward(x), []
        for blocks, shrink in zip(self.down, self.shrink, strict=True):
            h = blocks(h, c)
            seen.append(h)
            h = shrink(h)
        h = self.after(self.attention(self.bottom(h, c)), c)
        for grow, blocks in zip(reversed(self.grow), reversed(self.up), strict=True):
            skip = seen.pop()
            h = resize(grow(h), skip.shape[2:])
            h = blocks(torch.cat((h, skip), dim=1), c)
        return self.outward(F.silu(self.norm(h)))
