r"""Noise schedules: how much of an example is left after each of T steps of noising.

.. math:: z_t = \alpha_t x + \sigma_t \varepsilon, \qquad \varepsilon \sim N(0, I), \qquad \alpha_t^2 + \sigma_t^2 = 1

A schedule is the rising sequence of log noise-to-signal ratios :math:`\gamma_t = \ln (\sigma_t^2 / \alpha_t^2)`:

.. math:: \alpha_t^2 = \mathrm{sigmoid}(-\gamma_t), \qquad \sigma_t^2 = \mathrm{sigmoid}(\gamma_t).

Between two steps s < t the noise added and the noise taken back have variances

.. math:: \beta_{t|s} = \sigma_t^2 \left(1 - e^{\gamma_s - \gamma_t}\right), \qquad
          \tilde\beta_{s|t} = \sigma_s^2 \left(1 - e^{\gamma_s - \gamma_t}\right):

the variances of :math:`q(z_t \mid z_s)` and of :math:`q(z_s \mid z_t, x)` (Kingma et al. 2021, "Variational Diffusion
Models", appendix A).
"""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from pushforward.core.errors import InputError

__all__ = ["Schedule", "added_variance", "alpha", "gammas", "posterior_variance", "sigma"]

Schedule = Literal["log-snr", "cosine", "linear"]

#: Ends of the schedule "log-snr", as Kingma et al. 2021 found them to be learned on 8-bit images: a first noise of
#: 0.0013, a sixth of the cell of a pixel in [-1, 1), and 0.7 % of the variance left at the end.
FIRST, LAST = -13.3, 5.0

#: Largest share of the signal's variance that one step takes (Nichol & Dhariwal 2021, section 3.2).
LARGEST_BETA = 0.999


def gammas(schedule: Schedule, steps: int) -> Float[Tensor, "steps"]:
    r"""The log noise-to-signal ratios :math:`\gamma_1 < \dots < \gamma_T`, in float64.

    * log-snr: linear from -13.3 to 5 (Kingma et al. 2021), each step the same loss of signal-to-noise ratio;
    * cosine: :math:`\alpha_t^2 \propto \cos^2\left(\frac{t/T + 0.008}{1.008} \frac{\pi}{2}\right)` (Nichol &
      Dhariwal 2021, eq. 17);
    * linear: :math:`\beta_t` linear from 1e-4 to 0.02 at T = 1000 (Ho et al. 2020), scaled by 1000/T otherwise.

    Args:
        schedule: which.
        steps: T.

    Raises:
        InputError: if there are fewer than two steps.
        ValueError: for an unknown schedule.

    Example:
        >>> gammas("log-snr", 3).tolist()
        [-13.3, -4.15, 5.0]
        >>> round(alpha(gammas("linear", 1000))[-1].item() ** 2, 7)  # what Ho et al. have left: 4e-5
        4.04e-05
    """
    if steps < 2:
        raise InputError(f"steps: got {steps}, expected at least 2")
    t = torch.arange(1, steps + 1, dtype=torch.float64) / steps
    match schedule:
        case "log-snr":
            return torch.linspace(FIRST, LAST, steps, dtype=torch.float64)
        case "cosine":
            level = torch.cat((t.new_zeros(1), t))
            left = torch.cos((level + 0.008) / 1.008 * math.pi / 2).square()
            beta = 1 - left[1:] / left[:-1]
        case "linear":
            beta = torch.linspace(1e-4, 0.02, steps, dtype=torch.float64) * 1000 / steps
        case _:
            raise ValueError(f"schedule: got {schedule!r}, expected log-snr, cosine or linear")
    log_signal = torch.log1p(-beta.clamp(max=LARGEST_BETA)).cumsum(0)  # ln alpha_t^2
    return torch.log(-torch.expm1(log_signal)) - log_signal


def alpha(gamma: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """What is left of the signal."""
    return torch.sigmoid(-gamma).sqrt()


def sigma(gamma: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """The standard deviation of the noise."""
    return torch.sigmoid(gamma).sqrt()


def added_variance(s: Float[Tensor, "*any"], t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    r""":math:`\beta_{t|s}`, the variance of :math:`q(z_t \mid z_s)`, from gamma_s and gamma_t."""
    return -torch.sigmoid(t) * torch.expm1(s - t)


def posterior_variance(s: Float[Tensor, "*any"], t: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    r""":math:`\tilde\beta_{s|t}`, the variance of :math:`q(z_s \mid z_t, x)`, from gamma_s and gamma_t."""
    return -torch.sigmoid(s) * torch.expm1(s - t)
