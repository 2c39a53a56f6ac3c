r"""From noise to an example: the model's own chain, and shorter or deterministic ones.

All of them repeat one step. From :math:`z_t` and the network come an estimate of the example and of the noise in it,

.. math:: \hat x = \alpha_t z_t - \sigma_t \hat v, \qquad \hat\varepsilon = \sigma_t z_t + \alpha_t \hat v,

which are mixed anew for the next, smaller noise level s, with fresh noise in place of some of the estimated one:

.. math:: z_s = \alpha_s \hat x + \sqrt{\sigma_s^2 - \kappa^2}\, \hat\varepsilon + \lambda \xi, \qquad \xi \sim N(0, I)

* *ancestral* (Ho et al. 2020, algorithm 2): :math:`\kappa^2 = \tilde\beta_{s|t}`, which makes the first two terms the
  mean of :math:`q(z_s \mid z_t, \hat x)`, and :math:`\lambda^2` the model's reverse variance, :math:`\beta_{t|s}` or
  :math:`\tilde\beta_{s|t}`. With all T steps, its draws are those whose density the bound bounds.
* *ddim* (Song et al. 2021, "Denoising diffusion implicit models", eq. 12 and 16):
  :math:`\kappa = \lambda = \eta \tilde\beta^{1/2}_{s|t}`. With :math:`\eta = 0` it is deterministic, a solver of the
  probability-flow equation of order one in the number of steps.

The last step ends in x itself: :math:`\hat x + \lambda_1 \xi`, where :math:`\lambda_1 = \sigma_1` is that of
:math:`p(x \mid z_1)`, times :math:`\eta` for ddim.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from pushforward.core.errors import InputError
from pushforward.core.noise import Noise
from pushforward.diffusion.schedules import added_variance, alpha, posterior_variance, sigma

__all__ = ["DiffusionSampler", "ReverseVariance", "Velocity", "chosen_steps", "reverse_chain"]

ReverseVariance = Literal["forward", "posterior"]

#: (z: (B, *shape), index of the step from 0) -> v: (B, *shape).
Velocity = Callable[[Tensor, int], Tensor]


@dataclass(frozen=True, kw_only=True)
class DiffusionSampler:
    """How to go from noise to an example. The default is the model itself.

    Args:
        method: ``ancestral`` follows the model's own chain, ``ddim`` a family of chains with the same marginals.
        steps: how many steps of the model's T to take, evenly spaced and including both ends; 0 takes all.
        eta: the noise of ddim, from 0 (deterministic) to 1 (as much as ``ancestral`` with the posterior variance).
        guidance: w in (1 - w) null + w conditional prediction (Ho & Salimans 2021, eq. 6, with w for their 1 + w): 1 is
            the model, more makes samples more typical of their condition and less varied, 0 ignores the condition.

    Raises:
        InputError: if a number is out of range, or ``eta`` is given to a method that does not use it.

    Example:
        >>> DiffusionSampler(method="ddim", steps=50).eta
        0.0
    """

    method: Literal["ancestral", "ddim"] = "ancestral"
    steps: int = 0
    eta: float = 0.0
    guidance: float = 1.0

    def __post_init__(self) -> None:
        if self.method not in ("ancestral", "ddim"):
            raise InputError(f"method: got {self.method!r}, expected ancestral or ddim")
        if self.steps < 0:
            raise InputError(f"steps: got {self.steps}, expected a whole number from 1, or 0 for all of the model's")
        if not 0 <= self.eta <= 1:
            raise InputError(f"eta: got {self.eta}, expected 0 to 1")
        if self.eta and self.method == "ancestral":
            raise InputError(f"eta: got {self.eta} with the method ancestral, expected the method ddim")
        if not 0 <= self.guidance < math.inf:
            raise InputError(f"guidance: got {self.guidance}, expected a finite number from 0")


def chosen_steps(total: int, steps: int) -> list[int]:
    """Indices of the steps to take, from the noisiest down to the first.

    Args:
        total: T of the model.
        steps: how many of them; 0 for all.

    Raises:
        InputError: if the model has fewer steps.

    Example:
        >>> chosen_steps(1000, 5)
        [999, 749, 500, 250, 0]
    """
    if steps > total:
        raise InputError(f"steps: got {steps}, this model has {total}")
    steps = steps or total
    return [round((total - 1) * (1 - step / max(steps - 1, 1))) for step in range(steps)]


def reverse_chain(
    velocity: Velocity,
    gamma: Float[Tensor, "steps"],
    z: Float[Tensor, "batch *shape"],
    *,
    sampler: DiffusionSampler,
    variance: ReverseVariance,
    noise: Noise,
) -> Iterator[Float[Tensor, "batch *shape"]]:
    """The states after z, one for every step the sampler takes; the last is the example.

    Args:
        velocity: the network.
        gamma: the log noise-to-signal ratios of the model's steps.
        z: the first state, N(0, I) at the largest noise.
        sampler: which chain; its guidance is for ``velocity`` to know.
        variance: of the reverse steps of the ancestral chain.
        noise: one draw a step is taken from it, but for chains without noise.
    """
    indices = chosen_steps(len(gamma), sampler.steps)
    for here, below in zip(indices, [*indices[1:], None], strict=True):
        t, v = gamma[here], velocity(z, here)
        signal, static = alpha(t) * z - sigma(t) * v, sigma(t) * z + alpha(t) * v
        if below is None:
            mean, spread = signal, sigma(gamma[0]) * (sampler.eta if sampler.method == "ddim" else 1.0)
        else:
            s = gamma[below]
            replaced, spread = _spreads(s, t, sampler, variance)
            mean = alpha(s) * signal + (torch.sigmoid(s) - replaced**2).sqrt() * static
        z = mean if sampler.method == "ddim" and not sampler.eta else mean + spread * noise.normal(*z.shape[1:], like=z)
        yield z


def _spreads(s: Tensor, t: Tensor, sampler: DiffusionSampler, variance: ReverseVariance) -> tuple[Tensor, Tensor]:
    """kappa and lambda, the noise replaced and the noise added."""
    posterior = posterior_variance(s, t).sqrt()
    match sampler.method, variance:
        case "ddim", _:
            return sampler.eta * posterior, sampler.eta * posterior
        case "ancestral", "posterior":
            return posterior, posterior
        case "ancestral", "forward":
            return posterior, added_variance(s, t).sqrt()
        case _:
            raise ValueError(f"variance: got {variance!r}, expected forward or posterior")
