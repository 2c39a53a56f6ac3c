r"""Isokinetic dynamics: a particle of constant speed that a force can only turn.

In d dimensions, with a direction u on the unit sphere and a force g, the gradient of :math:`\log \pi`,

.. math:: \dot x = u, \qquad \dot u = \frac{1}{d - 1} (I - u u^\top) \, g(x),

and when its end points are forgotten uniformly over the sphere it leaves :math:`\pi(x)` invariant. The two parts are
solved exactly: the drift is :math:`x + \epsilon u`, and the kick with :math:`e = g/|g|`,
:math:`\delta = \epsilon |g| / (d - 1)`, :math:`c = e \cdot u`, :math:`\zeta = e^{-\delta}` is

.. math:: u' = \frac{2\zeta u + (1 - \zeta)(1 + \zeta + c (1 - \zeta)) \, e}{1 + c + (1 - c) \zeta^2}, \qquad
    \Delta K = (d - 1) \left(\delta + \log \frac{1 + c + (1 - c) \zeta^2}{2}\right).

:math:`\Delta K - \Delta \log\pi`, the energy error, is zero along an exact path; it tells how well a step follows it.
The two are composed in the minimal-norm order (kick :math:`\lambda`, drift 1/2, kick :math:`1 - 2\lambda`, drift
1/2, kick :math:`\lambda`, with :math:`\lambda = 0.1932`): two gradients a step, and the smallest error at that price.

Everything happens in the preconditioned coordinates of ``preconditioning``.

Reference:
    Robnik, De Luca, Silverstein and Seljak 2023, "Microcanonical Hamiltonian Monte Carlo"; Omelyan, Mryglod and Folk
    2003 for the order.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from pushforward.core.errors import InputError
from pushforward.sampling.preconditioning import Preconditioner
from pushforward.sampling.target import Target

__all__ = ["Particles", "check_dimension", "kick", "minimal_norm", "random_directions"]

#: The share of the step of the outer kicks that makes the leading error smallest (Omelyan et al. 2003, equation 31).
LAMBDA = 0.1931833275037836


class Particles(NamedTuple):
    """Where the chains are, where they go, and the density and its gradient there."""

    x: Float[Tensor, "chains dim"]
    u: Float[Tensor, "chains dim"]
    log_density: Float[Tensor, "chains"]
    gradient: Float[Tensor, "chains dim"]


def check_dimension(dim: int, method: str) -> None:
    """Raise ``InputError`` in one dimension, where a particle of constant speed cannot turn.

    Example:
        >>> check_dimension(2, "mclmc")
    """
    if dim < 2:
        raise InputError(f"method: got {method!r} in {dim} dimension, expected at least 2, or another method ('nuts')")


def random_directions(
    like: Float[Tensor, "chains dim"], generator: torch.Generator | None
) -> Float[Tensor, "chains dim"]:
    """Uniform on the unit sphere.

    Example:
        >>> bool((random_directions(torch.zeros(3, 5), None).norm(dim=1) - 1).abs().max() < 1e-6)
        True
    """
    u = torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)
    return u / u.norm(dim=1, keepdim=True)


def kick(
    u: Float[Tensor, "chains dim"], gradient: Float[Tensor, "chains dim"], step: float
) -> tuple[Float[Tensor, "chains dim"], Float[Tensor, "chains"]]:
    r"""The direction after a force has acted for a time, and the kinetic energy :math:`\Delta K` gained.

    Args:
        u: unit vectors.
        gradient: the force.
        step: for how long.

    Example:
        A long push turns the particle into the direction of the force:

        >>> u, gained = kick(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 100.0]]), 1.0)
        >>> u
        tensor([[0., 1.]])
    """
    dim = u.shape[1]
    norm = gradient.norm(dim=1, keepdim=True).clamp_min(torch.finfo(u.dtype).tiny)
    e = gradient / norm
    cosine = (e * u).sum(1, keepdim=True)
    delta = norm * (step / (dim - 1))
    zeta = torch.exp(-delta)
    turned = e * ((1 - zeta) * (1 + zeta + cosine * (1 - zeta))) + u * (2 * zeta)
    # The length is known, but dividing by the one there is keeps rounding from adding up.
    gained = (dim - 1) * (delta + torch.log1p((cosine - 1 + (1 - cosine) * zeta**2) / 2))
    return turned / turned.norm(dim=1, keepdim=True), gained[:, 0]


def minimal_norm(
    target: Target, particles: Particles, metric: Preconditioner, step: float
) -> tuple[Particles, Float[Tensor, "chains"]]:
    """One step of length ``step``, and the energy error it makes."""
    x, u, log_density, gradient = particles
    u, first = kick(u, metric.gradient(gradient), LAMBDA * step)
    x = x + metric.velocity(u * (0.5 * step))
    middle = metric.gradient(target.value_and_grad(x)[1])
    u, second = kick(u, middle, (1 - 2 * LAMBDA) * step)
    x = x + metric.velocity(u * (0.5 * step))
    after, gradient = target.value_and_grad(x)
    u, third = kick(u, metric.gradient(gradient), LAMBDA * step)
    return Particles(x, u, after, gradient), first + second + third - (after - log_density)
