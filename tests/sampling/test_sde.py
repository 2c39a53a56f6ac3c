"""Euler-Maruyama: strong order 1/2 and weak order 1, on an equation whose paths are known."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from pushforward.core.errors import InputError
from pushforward.sampling.sde import brownian_increments, coarsen, solve_sde

MU, SIGMA = 0.5, 1.0


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def slope(steps: list[int], errors: list[float]) -> float:
    return -float(np.polyfit(np.log(steps), np.log(errors), 1)[0])


def growth(t: Tensor, x: Tensor) -> Tensor:
    return MU * x


def noise(t: Tensor, x: Tensor) -> Tensor:
    return SIGMA * x


def ends(steps: list[int], paths: int, kind: str = "normal") -> tuple[Tensor, list[Tensor]]:
    """The exact end of geometric Brownian motion from 1, and what each number of steps makes of the same paths."""
    fine = brownian_increments((paths,), steps=steps[-1], duration=1.0, generator=seeded())
    exact = torch.exp((MU - SIGMA**2 / 2) + SIGMA * fine.sum(0))
    start = torch.ones(paths, dtype=torch.float64)
    return exact, [
        solve_sde(growth, noise, start, [0.0, 1.0], increments=coarsen(fine, steps[-1] // n))[-1] for n in steps
    ]


def test_the_strong_order_is_one_half():
    steps = [64, 128, 256, 512, 1024]
    exact, found = ends(steps, 2000)
    errors = [float((x - exact).abs().mean()) for x in found]
    assert slope(steps, errors) == pytest.approx(0.5, abs=0.1)


def test_the_weak_order_is_one():
    # The exact mean e^mu against the exact mean of the scheme, estimated on the same paths: the noise they share goes.
    steps = [16, 32, 64, 128]
    start = torch.ones(40_000, dtype=torch.float64)
    errors = []
    for n in steps:
        dw = brownian_increments((40_000,), steps=n, duration=1.0, generator=seeded(n))
        # Little noise: the mean is to be known to much less than its bias.
        found = solve_sde(lambda t, x: 1.5 * x, lambda t, x: 0.1 * x, start, [0.0, 1.0], increments=dw)[-1]
        exact = torch.exp(1.5 - 0.005 + 0.1 * dw.sum(0))
        errors.append(abs(float((found - exact).mean())))
    assert slope(steps, errors) == pytest.approx(1.0, abs=0.1)


def test_the_toss_of_a_coin_is_enough_for_averages():
    start = torch.ones(40_000, dtype=torch.float64)
    end = solve_sde(growth, noise, start, [0.0, 1.0], steps=100, kind="coin", generator=seeded())[-1]
    # E[x] of the scheme is (1 + mu h)^n whatever the increments, as long as their mean is 0.
    error = float(end.std()) / math.sqrt(40_000)
    assert abs(float(end.mean()) - (1 + MU / 100) ** 100) < 4 * error
    # E[x^2] of the scheme is ((1 + mu h)^2 + sigma^2 h)^n: the variance of the coin is right as well.
    square = end.square()
    known = ((1 + MU / 100) ** 2 + SIGMA**2 / 100) ** 100
    assert abs(float(square.mean()) - known) < 4 * float(square.std()) / math.sqrt(40_000)


def test_the_stationary_law_of_the_scheme():
    # Ornstein-Uhlenbeck with step h has the stationary variance 1 / (1 - h / 2), not 1.
    x = torch.zeros(50_000, dtype=torch.float64)
    end = solve_sde(lambda t, x: -x, lambda t, x: x.new_tensor(2**0.5), x, [0.0, 10.0], steps=50, generator=seeded())
    # The standard error of a variance is sqrt(2 / 50,000) of it.
    assert float(end[-1].var()) == pytest.approx(1 / 0.9, rel=4 * math.sqrt(2 / 50_000))


def test_without_noise_it_is_euler():
    x = torch.ones(3, 2, dtype=torch.float64)
    end = solve_sde(growth, lambda t, x: torch.zeros_like(x), x, [0.0, 1.0], steps=10)
    assert torch.allclose(end[-1], x * 1.05**10)


def test_backwards_in_time():
    x = torch.ones(1, dtype=torch.float64)
    end = solve_sde(growth, lambda t, x: torch.zeros_like(x), x, [1.0, 0.5, 0.0], steps=5)
    assert end[:, 0].tolist() == pytest.approx([1.0, 0.95**5, 0.95**10])


def test_increments_are_brownian():
    dw = brownian_increments((20_000,), steps=4, duration=2.0, generator=seeded())
    assert torch.allclose(torch.cov(dw), 0.5 * torch.eye(4).double(), atol=5 * 0.5 * math.sqrt(2 / 20_000))
    assert torch.allclose(coarsen(dw, 2)[0], dw[0] + dw[1])
    assert brownian_increments((2, 3), steps=1, duration=1.0, dtype=torch.float32).dtype == torch.float32


def test_the_time_comes_as_rows():
    seen = []

    def drift(t: Tensor, x: Tensor) -> Tensor:
        seen.append(t)
        return t * torch.ones_like(x)

    solve_sde(drift, lambda t, x: 0 * x, torch.zeros(2, 3, 4), [0.0, 1.0], steps=2)
    assert [t.shape for t in seen] == [(2, 1, 1)] * 2
    assert [float(t[0]) for t in seen] == [0.0, 0.5]


def test_bad_input_is_named():
    x = torch.ones(3)
    with pytest.raises(InputError, match="times: got"):
        solve_sde(growth, noise, x, [0.0])
    with pytest.raises(InputError, match=r"drift: got \(1,\)"):
        solve_sde(lambda t, x: x[:1], noise, x, [0.0, 1.0])
    with pytest.raises(InputError, match=r"diffusion: got \(3, 3\)"):
        solve_sde(growth, lambda t, x: torch.eye(3), x, [0.0, 1.0])
    with pytest.raises(InputError, match=r"diffusion: got \(2,\)"):
        solve_sde(growth, lambda t, x: x[:2], x, [0.0, 1.0])
    with pytest.raises(InputError, match="drift: got a number that is not finite at t = 0"):
        solve_sde(lambda t, x: x / 0, noise, x, [0.0, 1.0])
    with pytest.raises(InputError, match="kind: got 'cauchy'"):
        solve_sde(growth, noise, x, [0.0, 1.0], kind="cauchy")
    with pytest.raises(InputError, match="increments: got shape"):
        solve_sde(growth, noise, x, [0.0, 1.0], increments=torch.zeros(5, 2))
    with pytest.raises(InputError, match="factor: got 3 for 4"):
        coarsen(torch.zeros(4), 3)
    with pytest.raises(InputError, match="duration: got 0"):
        brownian_increments((1,), steps=1, duration=0.0)
