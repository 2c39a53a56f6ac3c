"""Samplers with the exact denoiser: where they lead, and how fast they get there."""

import math

import pytest
import torch
from torch import Tensor

from pushforward.core.errors import InputError
from pushforward.core.noise import Noise
from pushforward.diffusion.samplers import DiffusionSampler, chosen_steps, reverse_chain
from pushforward.diffusion.schedules import alpha, gammas, sigma
from pushforward.probability.targets import GaussianMixture
from tests.diffusion.exact import velocity

ONE = GaussianMixture.of(weights=[0.3, 0.7], means=[[-1.0], [0.8]], stds=[0.2, 0.5])
GAMMA = gammas("log-snr", 1025)


def run(sampler: DiffusionSampler, z: Tensor, *, gamma: Tensor = GAMMA, variance: str = "posterior") -> Tensor:
    """The last state of the chain with the best network."""
    *_, x = reverse_chain(
        lambda state, index: velocity(ONE, state, gamma[index]),
        gamma,
        z,
        sampler=sampler,
        variance=variance,
        noise=Noise(1, rows=len(z)),
    )
    return x


def flow_map(z: Tensor) -> Tensor:
    """Where the probability flow takes z. In one dimension it keeps the order, so quantiles go to quantiles."""
    a, s = float(alpha(GAMMA[-1])), float(sigma(GAMMA[-1]))
    share = ONE.noised(a, s).cdf(z)
    low, high = torch.full_like(z, -10.0), torch.full_like(z, 10.0)
    for _ in range(60):  # bisection: 20 / 2^60 is below the rounding of a double
        middle = (low + high) / 2
        below = (ONE.cdf(middle) < share)[:, None]
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return low


def test_ddim_converges_to_the_probability_flow_with_order_one():
    z = torch.linspace(-2, 2, 101, dtype=torch.float64)[:, None]
    known, counts = flow_map(z), [32, 64, 128, 256]
    errors = [
        (run(DiffusionSampler(method="ddim", steps=count + 1), z) - known).square().mean().sqrt().item()
        for count in counts
    ]
    slope = math.log(errors[0] / errors[-1]) / math.log(counts[-1] / counts[0])
    print(f"DDIM errors {[f'{e:.2e}' for e in errors]}, order {slope:.2f}")
    assert 0.85 < slope < 1.2
    assert errors[-1] < 0.02


@pytest.mark.parametrize("variance", ["forward", "posterior"])
def test_ancestral_samples_have_the_moments_of_the_target(variance: str):
    n = 20_000
    z = Noise(0, rows=n).normal(1).double()
    x = run(DiffusionSampler(), z, gamma=gammas("log-snr", 128), variance=variance)[:, 0]
    spread = ONE.covariance.item()
    # Four standard errors; the steps' own bias, which narrows the posterior variance's samples, is 1 % at T = 128.
    assert x.mean().item() == pytest.approx(ONE.mean.item(), abs=4 * math.sqrt(spread / n))
    assert x.var().item() == pytest.approx(spread, rel=0.04)
    assert (x < -0.4).double().mean().item() == pytest.approx(ONE.cdf(torch.tensor([[-0.4]]).double()).item(), abs=0.02)


def test_ddim_with_all_its_noise_is_the_ancestral_chain():
    gamma, z = gammas("log-snr", 40), Noise(0, rows=200).normal(1).double()
    ddim = run(DiffusionSampler(method="ddim", eta=1.0), z, gamma=gamma)
    assert torch.allclose(ddim, run(DiffusionSampler(), z, gamma=gamma), atol=1e-12)  # the same numbers, not just law


def test_the_states_are_as_many_as_the_steps():
    z = torch.zeros(3, 1).double()
    states = reverse_chain(
        lambda state, index: velocity(ONE, state, GAMMA[index]),
        GAMMA,
        z,
        sampler=DiffusionSampler(method="ddim", steps=7),
        variance="forward",
        noise=Noise(0, rows=3),
    )
    assert len(list(states)) == 7


@pytest.mark.parametrize(("total", "steps"), [(10, 0), (10, 10), (1000, 1), (256, 25), (2, 2)])
def test_chosen_steps_start_at_the_noisiest_and_never_repeat(total: int, steps: int):
    indices = chosen_steps(total, steps)
    assert len(indices) == (steps or total)
    assert indices[0] == total - 1
    assert steps == 1 or indices[-1] == 0
    assert sorted(set(indices), reverse=True) == indices


def test_more_steps_than_the_model_has_are_refused():
    with pytest.raises(InputError, match="steps: got 11, this model has 10"):
        chosen_steps(10, 11)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"method": "euler"}, "method: got 'euler'"),
        ({"steps": -1}, "steps: got -1"),
        ({"method": "ddim", "eta": 1.5}, "eta: got 1.5, expected 0 to 1"),
        ({"eta": 0.5}, "eta: got 0.5 with the method ancestral"),
        ({"guidance": -1.0}, "guidance: got -1.0"),
        ({"guidance": math.inf}, "guidance: got inf"),
        ({"guidance": math.nan}, "guidance: got nan"),
    ],
)
def test_a_sampler_that_cannot_be_is_refused(fields: dict, message: str):
    with pytest.raises(InputError, match=message):
        DiffusionSampler(**fields)
