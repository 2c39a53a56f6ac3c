r"""Discretised logistic mixtures: the mass that a smooth density gives to the cell of a number.

A logistic distribution with mean :math:`\mu` and scale s has the distribution function
:math:`\sigma((y - \mu)/s)`. The mass of a cell [a, b), with :math:`p = (b - \mu)/s` and :math:`m = (a - \mu)/s`, is

.. math:: \sigma(p) - \sigma(m) = \sigma(p)\,\sigma(-m)\,(1 - e^{-(b - a)/s}),

a product, so that its logarithm is exact and has bounded slopes however far the cell is. A cell of no width stands for
a continuous number, and has the density :math:`\sigma(p)\,\sigma(-p)/s`. The first and the last cell of a bounded grid
take the tails, so that the masses sum to one.

Reference:
    Salimans et al. 2017, "PixelCNN++", section 2.1 (the mixture; the product above is our own way to compute it).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from pushforward.core.noise import Noise
from pushforward.core.units import Space
from pushforward.probability.entry_likelihoods import choose
from pushforward.probability.likelihood import Likelihood

__all__ = ["LevelLikelihood", "NumberLikelihood", "log_logistic", "log_mass", "logistic_draw", "mixture_parameters"]

#: Log-scales stay within this of their start. The start is log(1/4), a quarter of the half-range of an image or of the
#: standard deviation of a number; e^-7 of it is 2e-4, at which the cell of an 8-bit pixel holds all mass but 1e-7.
START, REACH = math.log(0.25), 7.0


def log_mass(
    start: Float[Tensor, "*shape"],
    width: Float[Tensor, "*shape"],
    mean: Float[Tensor, "*shape"],
    log_scale: Float[Tensor, "*shape"],
) -> Float[Tensor, "*shape"]:
    """Log-mass of the cell [start, start + width) under a logistic distribution; the log-density at a width of 0.

    The cell is given by its width, because the difference of two ends loses a narrow one to rounding.

    Example:
        >>> zero, one = torch.zeros(1), torch.ones(1)
        >>> log_mass(-one, 2 * one, zero, zero).exp()  # tanh(1/2)
        tensor([0.4621])
    """
    inverse = (-log_scale).exp()
    p, m = (start + width - mean) * inverse, (start - mean) * inverse
    return logsigmoid(p) + logsigmoid(-m) + _log_share(width, log_scale)


def _log_share(width: Tensor, log_scale: Tensor) -> Tensor:
    """log(1 - e^{-width/scale}), or -log(scale) for a width of 0."""
    point = width <= 0
    relative = torch.where(point, 1.0, width) * (-log_scale).exp()
    return torch.where(point, -log_scale, torch.log(-torch.expm1(-relative)))


def mixture_parameters(
    theta: Float[Tensor, "batch numbers *shape"], components: int
) -> tuple[Float[Tensor, "batch k *shape"], Float[Tensor, "batch k *shape"], Float[Tensor, "batch k *shape"]]:
    """Log-weights, means and log-scales of a mixture from 2 (one component) or 3 numbers per component.

    Before training, when theta is about 0, the means are spread evenly over [-1, 1], so that no two components are the
    same and the mixture can tell them apart.
    """
    if components == 1:
        mean, raw = theta.chunk(2, 1)
        weight = torch.zeros_like(mean)
    else:
        weight, mean, raw = theta.chunk(3, 1)
    places = torch.arange(components, dtype=theta.dtype, device=theta.device)
    spread = ((2 * places + 1) / components - 1).reshape(-1, *[1] * (theta.ndim - 2))
    return weight.log_softmax(1), mean + spread, START + REACH * torch.tanh(raw / REACH)


def logistic_draw(
    theta: Float[Tensor, "batch numbers *shape"], components: int, noise: Noise
) -> Float[Tensor, "batch *shape"]:
    """A draw from the mixture before it is put on a grid: choose a component, then invert its distribution function."""
    weight, mean, log_scale = mixture_parameters(theta, components)
    shape = theta.shape[2:]
    which, u = noise.uniform(*shape, like=theta), noise.uniform(*shape, like=theta)
    if components > 1:
        chosen = choose(weight, which)[:, None]
        mean, log_scale = mean.gather(1, chosen), log_scale.gather(1, chosen)
    # Uniforms are multiples of 2^-24; the middle of the step is never 0 or 1.
    logit = torch.logit(u.double() + 2.0**-25).to(theta.dtype)
    return mean[:, 0] + log_scale[:, 0].exp() * logit


def log_logistic(
    start: Float[Tensor, "batch *shape"],
    width: Float[Tensor, "batch *shape"],
    theta: Float[Tensor, "batch numbers *shape"],
    components: int,
) -> Float[Tensor, "batch *shape"]:
    """Log-mass of cells (log-density at a width of 0) under a mixture."""
    weight, mean, log_scale = mixture_parameters(theta, components)
    parts = log_mass(start[:, None], width[:, None], mean, log_scale)
    return parts[:, 0] if components == 1 else (weight + parts).logsumexp(1)


def _expected(theta: Tensor, components: int) -> Tensor:
    weight, mean, _ = mixture_parameters(theta, components)
    return (weight.exp() * mean).sum(1)


@dataclass(frozen=True, kw_only=True)
class LevelLikelihood(Likelihood):
    """Levels 0 .. L - 1 of pixels, as cells of [-1, 1] under a logistic mixture; the end cells take the tails.

    Args:
        shape: of an example.
        levels: L.
        components: of the mixture.

    Example:
        >>> pixels = LevelLikelihood(shape=(1,), levels=4)
        >>> masses = pixels.log_prob(torch.arange(4.0)[:, None], torch.zeros(4, 2, 1)).exp()
        >>> round(masses.sum().item(), 6)
        1.0
    """

    space: ClassVar[Space] = "native"
    shape: tuple[int, ...]
    levels: int
    components: int = 1

    @property
    def theta(self) -> tuple[int, ...]:
        return (2 if self.components == 1 else 3 * self.components, *self.shape)

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.shape

    def inputs(self, y: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch *shape"]:
        return (2 * y + 1) / self.levels - 1

    def log_prob_each(
        self, y: Float[Tensor, "batch *shape"], theta: Float[Tensor, "batch numbers *shape"]
    ) -> Float[Tensor, "batch *shape"]:
        weight, mean, log_scale = mixture_parameters(theta, self.components)
        centre, half = self.inputs(y)[:, None], 1 / self.levels
        inverse = (-log_scale).exp()
        first, last = (y <= 0)[:, None], (y >= self.levels - 1)[:, None]
        below = torch.where(last, 0.0, logsigmoid((centre + half - mean) * inverse))
        above = torch.where(first, 0.0, logsigmoid((mean - centre + half) * inverse))
        share = torch.where(first | last, 0.0, torch.log(-torch.expm1(-2 * half * inverse)))
        parts = below + above + share
        return parts[:, 0] if self.components == 1 else (weight + parts).logsumexp(1)

    def mean(self, theta: Float[Tensor, "batch numbers *shape"]) -> Float[Tensor, "batch *shape"]:
        level = ((_expected(theta, self.components) + 1) * self.levels - 1) / 2
        return level.clamp(0, self.levels - 1)

    def draw(self, theta: Float[Tensor, "batch numbers *shape"], noise: Noise) -> Float[Tensor, "batch *shape"]:
        value = logistic_draw(theta, self.components, noise)
        return ((value + 1) * self.levels / 2).floor().clamp(0, self.levels - 1)


@dataclass(frozen=True, kw_only=True)
class NumberLikelihood(Likelihood):
    """Standardised numbers under a logistic mixture: the mass of their cell, or their density if continuous.

    Args:
        width: of the cell of each entry, in model units; 0.0 for a continuous entry.
        origin: a point of the grid of each entry, in model units.
        components: of the mixture.

    Example:
        >>> NumberLikelihood(width=(0.0,), origin=(0.0,)).log_prob(torch.zeros(1, 1), torch.zeros(1, 2, 1))  # s = 1/4
        tensor([-0.])
    """

    space: ClassVar[Space] = "native"
    width: tuple[float, ...]
    origin: tuple[float, ...]
    components: int = 1

    @property
    def theta(self) -> tuple[int, ...]:
        return (2 if self.components == 1 else 3 * self.components, len(self.width))

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (len(self.width),)

    def inputs(self, y: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        return y

    def log_prob_each(
        self, y: Float[Tensor, "batch dim"], theta: Float[Tensor, "batch numbers dim"]
    ) -> Float[Tensor, "batch dim"]:
        width = y.new_tensor(self.width)
        return log_logistic(y - width / 2, width.expand_as(y), theta, self.components)

    def mean(self, theta: Float[Tensor, "batch numbers dim"]) -> Float[Tensor, "batch dim"]:
        return _expected(theta, self.components)

    def draw(self, theta: Float[Tensor, "batch numbers dim"], noise: Noise) -> Float[Tensor, "batch dim"]:
        value = logistic_draw(theta, self.components, noise)
        width, origin = value.new_tensor(self.width), value.new_tensor(self.origin)
        step = torch.where(width > 0, width, 1.0)
        return torch.where(width > 0, origin + step * torch.round((value - origin) / step), value)
