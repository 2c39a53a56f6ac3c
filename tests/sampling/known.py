"""Targets with known moments, and the test of a run against them."""

import torch

from pushforward.sampling.diagnostics import ess
from pushforward.sampling.target import Target

MEAN = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
SCALE = torch.tensor([1.0, 3.0, 0.1], dtype=torch.float64)


def gaussian() -> Target:
    return Target(lambda x: -0.5 * ((x - MEAN) / SCALE).square().sum(1), 3, dtype=torch.float64)


def t_errors(values: torch.Tensor) -> torch.Tensor:
    """How many standard errors the means and second moments of standardised draws are from 0 and 1."""
    z = (values - MEAN) / SCALE
    first = z.mean((0, 1)) * ess(z, "mean").sqrt()
    second = (z.square().mean((0, 1)) - 1) * (ess(z.square(), "mean") / 2).sqrt()
    return torch.cat([first, second])


def run(method, *, chains=200, warmup=200, draws=100, seed=0, target=None):
    generator = torch.Generator().manual_seed(seed)
    target = gaussian() if target is None else target
    start = torch.randn(chains, target.dim, generator=generator, dtype=torch.float64)
    return method.run(target, start, warmup=warmup, draws=draws, generator=generator)
