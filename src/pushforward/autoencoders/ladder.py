r"""The two-way network of a hierarchical VAE: up from the data without randomness, then down again, drawing as it goes.

Everything here is a map (B, channels, height, width); a vector is a map of one pixel, and a convolution of one pixel is
a linear layer, so one network serves images, points and tables. Scales are numbered from the finest, at half the size
of the image, to the coarsest, which is always a single pixel: the top. Activations are stored channel by channel within
a pixel ("channels last"), which convolutions on a CPU want.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from pushforward.autoencoders.posteriors import widened
from pushforward.nn.convnet import Halving, halvings
from pushforward.nn.mlp import zero_

__all__ = ["BottomUp", "Gaussian", "TopDownLayer", "Upward", "scale_steps"]

Map = Float[Tensor, "batch channels height width"]

#: Logarithms of standard deviations stay between these: e^-7 is a thousandth, finer than a posterior resolves in
#: float32 training; e^2 times a prior of its own is far, and without a limit the network may go much farther for one
#: unusual example in thousands, whose bound then weighs on the mean of all.
LOWEST, HIGHEST = -7.0, 2.0


def scale_steps(size: tuple[int, int], maps: int) -> list[Halving]:
    """The steps from an image down to a single pixel: at most ``maps`` halvings, then all the rest at once.

    Example:
        >>> [step.size for step in scale_steps((28, 28), 2)]
        [(14, 14), (7, 7), (1, 1)]
        >>> [step.size for step in scale_steps((1, 1), 2)]
        [(1, 1)]
    """
    steps = halvings(size)[:maps]
    return [*steps, Halving(steps[-1].size if steps else size, (1, 1))]


class Gaussian(NamedTuple):
    """A diagonal normal distribution by its mean and the logarithm of its standard deviation."""

    mean: Map
    log_std: Map

    @classmethod
    def of(cls, parameters: Float[Tensor, "batch twice height width"]) -> "Gaussian":
        """The first half of the channels is the mean, the second the log-deviation, kept within its limits."""
        mean, raw = widened(parameters).chunk(2, 1)
        limit = torch.where(raw < 0, -LOWEST, HIGHEST)
        return cls(mean, limit * torch.tanh(raw / limit))

    def at(self, u: Map) -> Map:
        """The point u standard deviations from the mean."""
        return self.mean + self.log_std.exp() * u

    def kl(self) -> Map:
        """KL(N(m, e^2t) || N(0, 1)) of every variable, in nats."""
        return 0.5 * (self.mean**2 + (2 * self.log_std).exp() - 1) - self.log_std

    def log_prob(self, u: Map) -> Float[Tensor, "batch"]:
        """The log-density at u in nats, summed over all variables."""
        epsilon = (u - self.mean) * (-self.log_std).exp()
        return -(0.5 * epsilon**2 + self.log_std + 0.5 * math.log(2 * math.pi)).flatten(1).sum(1)


def conv(inputs: int, outputs: int, kernel: int | tuple[int, int] = 1, stride: tuple[int, int] = (1, 1)) -> nn.Conv2d:
    """A convolution whose outputs start with the variance of its inputs, so that the top hears as much as the bottom.

    Torch's own start has a third of that variance, which the seven layers up to the top raise to the seventh power.
    """
    padding = 0 if isinstance(kernel, tuple) else kernel // 2
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding=padding)
    zero_(layer)
    nn.init.normal_(layer.weight, std=layer.weight[0].numel() ** -0.5)
    return layer


class Block(nn.Module):
    r"""A residual block without normalisation: :math:`h + W_2 * \sigma(W_1 * \sigma(h))`.

    W_2 starts small, as ``scale``, so that a stack of many blocks starts near the identity (Child 2021, section 3.2).
    """

    def __init__(self, channels: int, *, kernel: int, scale: float) -> None:
        super().__init__()
        self.first = conv(channels, channels, kernel)
        self.second = conv(channels, channels, kernel)
        with torch.no_grad():
            self.second.weight.mul_(scale)

    def forward(self, h: Map) -> Map:
        return h + self.second(F.silu(self.first(F.silu(h))))


def blocks(channels: int, depth: int, size: tuple[int, int], scale: float) -> nn.Sequential:
    """A stack of blocks; on a single pixel a convolution needs no neighbours."""
    kernel = 1 if size == (1, 1) else 3
    return nn.Sequential(*(Block(channels, kernel=kernel, scale=scale) for _ in range(depth)))


class BottomUp(nn.Module):
    """What the data say, at every scale: strided convolutions, each followed by residual blocks.

    Args:
        inputs: channels of x.
        size: of x.
        steps: of ``scale_steps``.
        channels: at every scale.
        depth: blocks at every scale; 0 leaves a linear map.
        scale: of the blocks at the start.
    """

    def __init__(
        self,
        inputs: int,
        size: tuple[int, int],
        steps: list[Halving],
        channels: list[int],
        *,
        depth: int,
        scale: float,
    ) -> None:
        super().__init__()
        sizes = [size, *(step.size for step in steps)]
        widths = [inputs, *channels]
        self.shrink = nn.ModuleList(
            _shrink(widths[i], widths[i + 1], sizes[i], step, first=i == 0) for i, step in enumerate(steps)
        )
        self.blocks = nn.ModuleList(
            blocks(width, depth, step.size, scale) for width, step in zip(channels, steps, strict=True)
        )

    def forward(self, x: Map) -> list[Map]:
        """The map at every scale, the finest first."""
        maps, h = [], x.contiguous(memory_format=torch.channels_last)
        for shrink, stack in zip(self.shrink, self.blocks, strict=True):
            h = stack(shrink(h))
            maps.append(h)
        return maps


def _shrink(inputs: int, outputs: int, size: tuple[int, int], step: Halving, *, first: bool) -> nn.Conv2d:
    """A convolution that takes one size to the next; the first may look further, as its inputs are few."""
    if step.size == (1, 1):
        return conv(inputs, outputs, size)
    kernel = 5 if first else 3
    return conv(inputs, outputs, kernel, step.stride)


class Upward(nn.Module):
    """From a coarse map to a finer one: every pixel becomes a field of ``stride`` pixels with weights of their own.

    From a single pixel this is a linear layer onto the whole map. Compared with repeating pixels before a convolution
    it does the arithmetic at the coarse size.

    Args:
        inputs: channels of the coarse map.
        outputs: channels of the fine map.
        step: the halving it undoes.
        kernel: coarse pixels a fine one is made from.

    Reference:
        Shi et al. 2016, "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional
        Neural Network", section 3.2.

    Example:
        >>> Upward(3, 2, Halving((2, 2), (4, 3)), size=(7, 5))(torch.zeros(1, 3, 4, 3)).shape
        torch.Size([1, 2, 7, 5])
    """

    def __init__(self, inputs: int, outputs: int, step: Halving, *, size: tuple[int, int], kernel: int = 1) -> None:
        super().__init__()
        self.outputs, self.stride, self.size = outputs, step.stride, size
        self.conv = conv(inputs, outputs * math.prod(step.stride), kernel)

    def forward(self, h: Map) -> Map:
        rows, columns = self.stride
        fields = self.conv(h).unflatten(1, (self.outputs, rows, columns))  # (B, C, r, c, H, W)
        spread = fields.permute(0, 1, 4, 2, 5, 3).flatten(4, 5).flatten(2, 3)  # (B, C, H r, W c)
        cropped = spread[:, :, : self.size[0], : self.size[1]]
        return cropped.contiguous(memory_format=torch.channels_last)


class TopDownLayer(nn.Module):
    r"""One stochastic layer of the way down: draw z_l given everything above it, and take it into the state s.

    .. math:: p(z_l \mid z_{>l}) = N(\mu(s), \sigma(s)^2), \qquad z_l = \mu(s) + \sigma(s)\, u_l, \quad u_l \sim N(0, I)

    The posterior is given relative to that prior, as the distribution of :math:`u_l`,

    .. math:: q(u_l \mid z_{>l}, x) = N(m(s, h), e^{2 t(s, h)}),

    where h is what the data say at this scale. Both heads start at zero, so q starts as the prior. So does the way a
    map of z enters s: what the vectors at the top can say about the picture, they get to say first.

    Args:
        channels: of s and h.
        latent: channels of z.
        size: of the maps.
        depth: blocks after z is taken in; 0 makes every map in the layer linear.
        scale: of the blocks at the start.

    Reference:
        Sonderby et al. 2016, "Ladder Variational Autoencoders", section 2 (the shared way down); Vahdat and Kautz 2020,
        "NVAE", section 3.2 (the posterior relative to the prior); Child 2021, "Very Deep VAEs", figure 3.
    """

    def __init__(self, channels: int, latent: int, size: tuple[int, int], *, depth: int, scale: float) -> None:
        super().__init__()
        self.shape = (latent, *size)
        self.activation = nn.SiLU() if depth else nn.Identity()
        self.prior_head = conv(channels, 2 * latent)
        self.from_state = conv(channels, channels)
        self.from_data = conv(channels, channels)
        self.posterior_head = conv(channels, 2 * latent)
        self.inward = conv(latent, channels)
        self.blocks = blocks(channels, depth, size, scale)
        zero_(self.inward, when=size != (1, 1))
        zero_(self.prior_head)
        zero_(self.posterior_head)

    def prior(self, s: Map) -> Gaussian:
        """p(z_l | z_{>l})."""
        return Gaussian.of(self.prior_head(self.activation(s)))

    def posterior(self, s: Map, h: Map) -> Gaussian:
        """q(u_l | z_{>l}, x)."""
        return Gaussian.of(self.posterior_head(self.activation(self.from_state(s) + self.from_data(h))))

    def take_in(self, s: Map, u: Map) -> Map:
        """The state once z_l is known."""
        return self.blocks(s + self.inward(self.prior(s).at(u)))
