"""Inverse transform: quantiles to the last digits, and distribution functions that are none."""

import math

import pytest
import torch
from scipy import stats
from torch import Tensor

from pushforward.core.errors import InputError
from pushforward.sampling.inverse import TabulatedCDF, inverse_transform, invert_cdf, tabulate_cdf

U = torch.tensor([1e-12, 1e-6, *[0.001 + 0.00499 * i for i in range(201)], 1 - 1e-9], dtype=torch.float64)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal_density(x: Tensor) -> Tensor:
    return torch.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)


def exponential(x: Tensor) -> Tensor:
    return -torch.expm1(-x.clamp(min=0))


def test_the_analytic_way():
    x = inverse_transform(lambda u: -torch.log1p(-u) / 2, 20_000, generator=seeded())
    assert stats.kstest(x.numpy(), stats.expon(scale=0.5).cdf).pvalue > 1e-3


def test_no_uniform_is_an_end_of_the_interval():
    u = inverse_transform(lambda u: u, 1_000_000, dtype=torch.float32, generator=seeded())
    assert 0 < float(u.min()) and float(u.max()) < 1


@pytest.mark.parametrize("density", [None, normal_density])
def test_numeric_inversion_of_the_normal(density):
    x = invert_cdf(torch.special.ndtr, U, density=density)
    # F is known to a few times 1e-16: x is not better determined than 1e-16 / p(x).
    allowed = 1e-14 + 1e-15 / normal_density(x)
    assert bool(((x - torch.from_numpy(stats.norm.ppf(U.numpy()))).abs() <= allowed * (1 + x.abs())).all())


@pytest.mark.parametrize("density", [None, lambda x: torch.exp(-x)])
def test_numeric_inversion_on_a_half_line(density):
    x = invert_cdf(exponential, U, density=density, lower=0.0)
    known = -torch.log1p(-U)
    assert (
        torch.allclose(x, known, rtol=1e-12, atol=0.0) or float(((x - known) * torch.exp(-known)).abs().max()) < 2e-15
    )


def test_heavy_tails_are_bracketed():
    def cauchy(x: Tensor) -> Tensor:
        return torch.atan(x) / math.pi + 0.5

    u = torch.tensor([1e-8, 0.5, 1 - 1e-8], dtype=torch.float64)
    x = invert_cdf(cauchy, u)
    # 1/2 - atan(x)/pi loses eight of sixteen digits near 1e-8.
    assert x[0].item() == pytest.approx(-1 / (math.pi * 1e-8), rel=1e-7)
    assert abs(x[1].item()) < 1e-15
    assert x[2].item() == pytest.approx(1 / (math.pi * 1e-8), rel=1e-7)


def test_newton_needs_far_fewer_evaluations_than_halving():
    def counting(calls: list[int]):
        def cdf(x: Tensor) -> Tensor:
            calls.append(len(x))
            return torch.special.ndtr(x)

        return cdf

    newton, halving = [], []
    invert_cdf(counting(newton), U[22:-2], density=normal_density)
    invert_cdf(counting(halving), U[22:-2])
    assert len(newton) < 30
    assert len(halving) > 50


def test_a_jump_and_a_flat_part():
    def steps(x: Tensor) -> Tensor:
        """Mass 0.3 at 1, mass 0.7 at 2.5."""
        return torch.where(x >= 1, 0.3, 0.0) + torch.where(x >= 2.5, 0.7, 0.0)

    u = torch.tensor([0.1, 0.3, 0.31, 0.9], dtype=torch.float64)
    assert invert_cdf(steps, u).tolist() == pytest.approx([1.0, 1.0, 2.5, 2.5])
    assert invert_cdf(steps, u, lower=1.0, upper=4.0).tolist() == pytest.approx([1.0, 1.0, 2.5, 2.5])


def test_float32_stays_float32():
    u = torch.linspace(0.01, 0.99, 50)
    x = invert_cdf(torch.special.ndtr, u, density=normal_density)
    assert x.dtype == torch.float32
    assert torch.allclose(x, torch.special.ndtri(u), atol=1e-5)


def test_any_shape_of_u():
    u = torch.rand(2, 3, 4, dtype=torch.float64, generator=seeded())
    assert torch.allclose(invert_cdf(torch.special.ndtr, u), torch.special.ndtri(u))


@pytest.mark.parametrize("density", [None, normal_density])
def test_a_cdf_that_falls_is_named(density):
    def wavy(x: Tensor) -> Tensor:
        return torch.special.ndtr(x) + 0.2 * torch.sin(5 * x) * torch.exp(-(x**2))

    with pytest.raises(InputError, match=r"cdf: not monotone, F\(.*\) = .* is above F\("):
        invert_cdf(wavy, U, density=density)


@pytest.mark.parametrize(
    ("cdf", "message"),
    [
        (lambda x: torch.full_like(x, torch.nan), "cdf: got nan"),
        (lambda x: 3 * torch.special.ndtr(x), "cdf: got .*probabilities from 0 to 1"),
        (lambda x: 0.5 * torch.special.ndtr(x), "cdf: got F.*go from 0 to 1"),
        (lambda x: 0.5 + 0.5 * torch.special.ndtr(x), "cdf: got F.*go from 0 to 1"),
        (lambda x: x.sum(), "cdf: got .*one each"),
        (lambda x: 1 - torch.special.ndtr(x), "cdf: "),
    ],
    ids=["nan", "above 1", "up to a half", "from a half", "shape", "falling"],
)
def test_what_is_no_cdf_is_named(cdf, message: str):
    with pytest.raises(InputError, match=message):
        invert_cdf(cdf, torch.tensor([0.1, 0.9], dtype=torch.float64))


def test_probabilities_lie_between_0_and_1():
    for u in (0.0, 1.0, math.nan):
        with pytest.raises(InputError, match="u: got"):
            invert_cdf(torch.special.ndtr, torch.tensor([u]))
    with pytest.raises(InputError, match="lower, upper: got"):
        invert_cdf(torch.special.ndtr, torch.tensor([0.5]), lower=1.0, upper=0.0)


@pytest.mark.parametrize("interpolation", ["linear", "pchip"])
def test_a_table_inverts_itself(interpolation):
    x = torch.tensor([-1.0, 0.0, 0.5, 2.0, 7.0], dtype=torch.float64)
    f = torch.tensor([0.0, 0.2, 0.6, 0.6, 1.0], dtype=torch.float64)
    table = TabulatedCDF(x, f, interpolation=interpolation)
    assert torch.allclose(table.cdf(x), f)
    u = torch.linspace(0.005, 0.995, 100, dtype=torch.float64)
    assert torch.allclose(table.cdf(table.quantile(u)), u, atol=1e-14)
    assert table.cdf(torch.tensor([-9.0, 9.0])).tolist() == [0.0, 1.0]
    assert table.density(torch.tensor([-9.0, 9.0, 1.0])).tolist() == [0.0, 0.0, 0.0]
    # Its density is the slope of its F.
    inner = torch.linspace(-0.93, 6.9, 40, dtype=torch.float64)
    slope = (table.cdf(inner + 1e-6) - table.cdf(inner - 1e-6)) / 2e-6
    assert torch.allclose(table.density(inner), slope, atol=1e-6)


def test_a_table_from_a_density():
    table = tabulate_cdf(lambda x: -(x**2) / 2 + 100.0, -9.0, 9.0)
    inside = U[2:-1]
    error = (table.quantile(inside) - torch.special.ndtri(inside)).abs()
    # Cells of 0.018: the monotone cubics are of third order in F at worst, divided by a density of 0.003 at the ends.
    assert float(error.max()) < 1e-4
    assert float(error[90:110].max()) < 1e-6
    x = inverse_transform(table.quantile, 20_000, generator=seeded())
    assert stats.kstest(x.numpy(), "norm").pvalue > 1e-3


def test_the_cubics_are_closer_than_the_lines():
    x = torch.linspace(-6, 6, 41, dtype=torch.float64)
    errors = []
    for interpolation in ("linear", "pchip"):
        table = TabulatedCDF(x, _scaled(torch.special.ndtr(x)), interpolation=interpolation)
        errors.append(float((table.quantile(U[2:-1]) - torch.special.ndtri(U[2:-1])).abs().max()))
    assert errors[1] < errors[0] / 3


def _scaled(f: Tensor) -> Tensor:
    return (f - f[0]) / (f[-1] - f[0])


@pytest.mark.parametrize(
    ("x", "f", "message"),
    [
        ([0.0, 1.0, 2.0], [0.0, 0.7, 0.6], "cdf: not monotone, 0.7 at x = 1 is followed by 0.6"),
        ([0.0, 1.0, 1.0], [0.0, 0.5, 1.0], "x: got numbers that do not increase"),
        ([0.0, 1.0], [0.1, 1.0], "cdf: goes from 0.1 to 1"),
        ([0.0, 1.0], [0.0, 0.9], "cdf: goes from 0 to 0.9"),
        ([0.0, 1.0], [0.0, 0.5, 1.0], "x, cdf: got shapes"),
        ([0.0, 1.0, 2.0], [0.0, math.nan, 1.0], "cdf: not monotone"),
    ],
)
def test_what_is_no_table_is_named(x: list[float], f: list[float], message: str):
    with pytest.raises(InputError, match=message):
        TabulatedCDF(torch.tensor(x), torch.tensor(f))


def test_bad_input_is_named():
    with pytest.raises(InputError, match="interpolation: got 'cubic'"):
        TabulatedCDF(torch.tensor([0.0, 1.0]), torch.tensor([0.0, 1.0]), interpolation="cubic")
    with pytest.raises(InputError, match="lower, upper, points"):
        tabulate_cdf(lambda x: x, 0.0, math.inf)
    with pytest.raises(InputError, match="log_density: got nan"):
        tabulate_cdf(lambda x: x.log(), -1.0, 1.0)
    with pytest.raises(InputError, match="log_density: -inf at all points"):
        tabulate_cdf(lambda x: torch.full_like(x, -torch.inf), 0.0, 1.0)
    with pytest.raises(InputError, match="quantile: got NaN at u"):
        inverse_transform(lambda u: u * torch.nan, 5)
    with pytest.raises(InputError, match="quantile: got .*one each"):
        inverse_transform(lambda u: u.sum(), 5)
