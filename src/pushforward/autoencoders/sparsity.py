"""Ways to make few units of a code answer to each example."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from pushforward.core.errors import InputError

__all__ = ["Sparsity", "activate", "divergence", "keep_largest", "penalty"]

Sparsity = Literal["none", "l1", "kl", "top-k"]

#: Rates are kept this far from 0 and 1, where the divergence has no bound: one example in a million.
LEAST_RATE = 1e-6


def activate(h: Float[Tensor, "batch units"], kind: Sparsity, *, active: int = 1) -> Float[Tensor, "batch units"]:
    r"""The code z of what an encoder says.

    * ``none``: :math:`z = h`;
    * ``l1``: :math:`z = \max(h, 0)`, so that a unit can be exactly silent;
    * ``kl``: :math:`z = 1 / (1 + e^{-h})`, so that a mean of units is a rate;
    * ``top-k``: the k largest of h, 0 for the others.

    Args:
        h: an encoder's output.
        kind: of sparsity.
        active: k.
    """
    match kind:
        case "none":
            return h
        case "l1":
            return h.relu()
        case "kl":
            return h.sigmoid()
        case "top-k":
            return keep_largest(h, active)
        case _:
            raise InputError(f"sparsity: got {kind!r}, expected none, l1, kl or top-k")


def keep_largest(h: Float[Tensor, "batch units"], k: int) -> Float[Tensor, "batch units"]:
    """The k largest entries of every row, 0 elsewhere; gradients reach the k alone.

    Reference:
        Makhzani and Frey 2014, "k-Sparse Autoencoders", algorithm 1.

    Example:
        >>> keep_largest(torch.tensor([[3.0, -1.0, 2.0]]), 2).tolist()
        [[3.0, 0.0, 2.0]]
    """
    values, places = h.topk(k, dim=1)
    return torch.zeros_like(h).scatter(1, places, values)


def penalty(z: Float[Tensor, "batch units"], kind: Sparsity, *, rate: float = 0.05) -> Float[Tensor, "batch"]:
    r"""What a code costs, per example, before its weight.

    * ``l1``: :math:`\sum_j |z_j|`, up to a constant minus the log of a Laplace prior, in nats;
    * ``kl``: :math:`\sum_j \mathrm{KL}(\rho \,\|\, \hat\rho_j)`, :math:`\hat\rho_j` the mean of unit j over the batch,
      the same for every example of it;
    * ``none`` and ``top-k``: nothing.

    Args:
        z: codes.
        kind: of sparsity.
        rate: :math:`\rho`, the mean that a unit should have.

    Raises:
        InputError: for an unknown kind.

    Reference:
        Lee, Ekanadham and Ng 2007, "Sparse deep belief net model for visual area V2"; Ng 2011, "Sparse autoencoder".
    """
    match kind:
        case "l1":
            return z.abs().sum(1)
        case "kl":
            return divergence(rate, z.mean(0)).sum().expand(len(z))
        case "none" | "top-k":
            return z.new_zeros(len(z))
        case _:
            raise InputError(f"sparsity: got {kind!r}, expected none, l1, kl or top-k")


def divergence(rate: float, rates: Float[Tensor, "units"]) -> Float[Tensor, "units"]:
    r"""From the Bernoulli distribution with the target rate to those with the rates found, in nats.

    .. math:: \mathrm{KL}(\rho \,\|\, \hat\rho) = \rho \ln \frac{\rho}{\hat\rho}
              + (1 - \rho) \ln \frac{1 - \rho}{1 - \hat\rho}

    Example:
        >>> divergence(0.5, torch.tensor([0.5, 0.25]))  # ln(4/3) / 2
        tensor([0.0000, 0.1438])
    """
    rates = rates.clamp(LEAST_RATE, 1 - LEAST_RATE)
    target = torch.tensor(rate, dtype=rates.dtype, device=rates.device)
    return target * (target / rates).log() + (1 - target) * ((1 - target) / (1 - rates)).log()
