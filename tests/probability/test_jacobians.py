"""Jacobians against their formulas; the estimators of trace and log-determinant cover the truth as they say."""

import math

import pytest
import torch
from torch import Tensor, nn

from pushforward.core.errors import InputError
from pushforward.probability.jacobians import (
    apply_map,
    divergence,
    hutchinson_trace,
    jacobian,
    log_det_by_series,
    log_volume,
    log_volume_factor,
)

REPEATS = 400


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def polar(z: Tensor) -> Tensor:
    return z[0] * torch.stack([z[1].cos(), z[1].sin()])


def sphere(a: Tensor) -> Tensor:
    return torch.stack([a[0].sin() * a[1].cos(), a[0].sin() * a[1].sin(), a[0].cos()])


def sombrero(z: Tensor) -> Tensor:
    return torch.cat([z, torch.sinc(z.norm() / math.pi)[None]])


def test_the_jacobian_of_polar_coordinates():
    z = torch.tensor([[2.0, 0.3], [0.5, -1.0]]).double()
    r, t = z.T
    known = torch.stack([torch.stack([t.cos(), -r * t.sin()], -1), torch.stack([t.sin(), r * t.cos()], -1)], 1)
    assert torch.allclose(jacobian(polar, z), known)
    assert torch.allclose(log_volume_factor(polar, z), r.log())


def test_numbers_are_points_of_one_coordinate():
    z = torch.tensor([0.5, 2.0]).double()
    assert torch.equal(apply_map(torch.square, z), z**2)
    assert torch.allclose(jacobian(torch.square, z), (2 * z)[:, None, None])


def test_the_area_of_the_sphere_and_the_length_of_a_helix():
    theta, phi = torch.linspace(0, math.pi, 201).double(), torch.linspace(0, 2 * math.pi, 21).double()
    factor = log_volume_factor(sphere, torch.cartesian_prod(theta, phi)).exp().reshape(201, 21)
    area = torch.trapezoid(torch.trapezoid(factor, phi), theta).item()
    assert area == pytest.approx(4 * math.pi, rel=1e-4)
    helix = log_volume_factor(
        lambda t: torch.stack([3 * t.cos(), 3 * t.sin(), 4 * t]), torch.linspace(0, 6, 7).double()
    )
    assert torch.allclose(helix.exp(), torch.tensor(5.0).double())


def test_the_area_factor_of_a_graph():
    # Over (u, v, h(u, v)) it is sqrt(1 + |grad h|^2).
    z = normal(20, 2)
    (slope,) = torch.autograd.grad(torch.sinc((at := z.clone().requires_grad_()).norm(dim=1) / math.pi).sum(), at)
    assert torch.allclose(log_volume_factor(sombrero, z).exp(), (1 + slope.square().sum(1)).sqrt())


@pytest.mark.parametrize("shape", [(4, 2), (2, 4), (3, 3)])
def test_the_volume_is_the_root_of_grams_determinant(shape: tuple[int, int]):
    j = normal(10, *shape)
    gram = j.mT @ j if shape[0] >= shape[1] else j @ j.mT
    assert torch.allclose(log_volume(j), 0.5 * torch.logdet(gram))


def test_the_volume_of_a_singular_jacobian_is_zero():
    assert log_volume(torch.ones(1, 3, 3).double()).item() == -math.inf


MATRIX = normal(12, 12, seed=1)


@pytest.mark.parametrize("probe", ["rademacher", "normal"])
def test_intervals_of_the_trace_cover_it_in_366_to_392_of_400(probe):
    # The rows of one batch are the repeats.
    found = hutchinson_trace(lambda v: v @ MATRIX, normal(REPEATS, 12), probes=300, probe=probe, generator=generator(2))
    covered = int(((found.value - MATRIX.trace()).abs() < 1.96 * found.standard_error).sum())
    assert 366 <= covered <= 392


def test_the_variance_of_the_trace_is_hutchinsons():
    found = hutchinson_trace(lambda v: v @ MATRIX, normal(50, 12), probes=2_000, generator=generator(3))
    symmetric = (MATRIX + MATRIX.T) / 2
    known = 2 * (symmetric.square().sum() - symmetric.diagonal().square().sum()) / 2_000
    assert torch.allclose(found.standard_error.square().mean(), known, rtol=0.03)


def net(d: int, gain: float) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        layers = nn.Sequential(nn.Linear(d, 16), nn.Tanh(), nn.Linear(16, d)).double()
    for layer in (layers[0], layers[2]):
        layer.weight.data *= gain / torch.linalg.matrix_norm(layer.weight.data, 2)
    return layers


def test_the_divergence_of_a_network_covers_the_exact_one():
    f, z = net(5, 1.5), normal(REPEATS, 5, seed=6)
    exact = jacobian(f, z).diagonal(dim1=-2, dim2=-1).sum(-1)
    found = divergence(f, z, probes=300, generator=generator(7))
    assert 366 <= int(((found.value - exact).abs() < 1.96 * found.standard_error).sum()) <= 392


@pytest.mark.slow
def test_intervals_of_the_random_series_cover_the_log_determinant_in_366_to_392_of_400():
    f, z = net(5, 0.85), normal(REPEATS, 5, seed=8)
    exact = log_volume_factor(lambda x: x + f(x), z)
    found = log_det_by_series(f, z, probes=400, generator=generator(9))
    assert 366 <= int(((found.value - exact).abs() < 1.96 * found.standard_error).sum()) <= 392


def test_the_random_series_has_no_bias():
    def f(z: Tensor) -> Tensor:
        return -0.6 * z + 0.2 * torch.tanh(z.roll(1))

    z = normal(1_000, 5, seed=8)
    exact = log_volume_factor(lambda x: x + f(x), z)
    found = log_det_by_series(f, z, probes=8, generator=generator(10))
    apart = found.value - exact
    assert abs(apart.mean()) < 4 * apart.std() / len(z) ** 0.5
    # Cut at two terms it would show: the check can fail.
    short = log_det_by_series(f, z, terms=2, probes=8, generator=generator(10)).value - exact
    assert abs(short.mean()) > 4 * short.std() / len(z) ** 0.5


def test_a_series_cut_short_is_biased_by_less_than_its_bound():
    f, z = lambda x: -0.8 * x, torch.zeros(1, 3).double()
    exact = 3 * math.log(0.2)
    for terms in (1, 3, 10):
        found = log_det_by_series(f, z, terms=terms, probes=2)
        bound = 3 * 0.8 ** (terms + 1) / ((terms + 1) * 0.2)
        assert 0 < found.value.item() - exact <= bound + 1e-12
    assert log_det_by_series(f, z, terms=200, probes=2).value.item() == pytest.approx(exact)


def test_the_estimates_have_gradients_of_the_parameters():
    f = net(3, 0.5)
    z = normal(4, 3)
    log_det_by_series(f, z, probes=4, generator=generator(0)).value.sum().backward()
    assert f[0].weight.grad.abs().sum() > 0


def test_a_generator_repeats_its_draws():
    one, two = (hutchinson_trace(lambda v: v @ MATRIX, normal(3, 12), generator=generator(4)) for _ in range(2))
    assert torch.equal(one.value, two.value)


def batched(z: Tensor) -> Tensor:
    return z[:, 0]


Z = torch.ones(2, 3)
BAD = {
    "written for a batch": (lambda: jacobian(batched, Z), "g: cannot be applied to one point of shape .3,."),
    "branches on values": (lambda: jacobian(lambda z: z if z[0] > 0 else -z, Z), "g: cannot be applied"),
    "a matrix": (lambda: apply_map(lambda z: z[:, None] * z, Z), r"g: got a tensor of shape \(3, 3\) for one point"),
    "no point": (lambda: jacobian(torch.sin, torch.ones(0)), r"z: got torch.float32 of shape \(0,\)"),
    "whole numbers": (lambda: apply_map(torch.sin, torch.ones(2, dtype=torch.long)), "z: got torch.int64"),
    "no derivative": (lambda: jacobian(torch.sqrt, torch.zeros(2)), "g: its Jacobian is not finite at z = 0.0"),
    "probes": (lambda: divergence(torch.sin, Z, probes=1), "probes: got 1"),
    "probe": (lambda: divergence(torch.sin, Z, probe="uniform"), "probe: got 'uniform'"),
    "not a field": (lambda: divergence(lambda z: z[:2], Z), r"f: got a map \(3,\) -> \(2,\)"),
    "terms": (lambda: log_det_by_series(torch.sin, Z, terms=0), "terms: got 0"),
    "does not contract": (lambda: log_det_by_series(lambda z: 1.5 * z, Z), "f: .* a spectral radius of about 1.5"),
    "wrong product": (lambda: hutchinson_trace(lambda v: v[:, :1], Z), "product: got shape"),
    "NaN product": (lambda: hutchinson_trace(lambda v: v / 0, Z), "product: got a number that is not finite"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_named(call, message: str):
    with pytest.raises(InputError, match=message):
        call()
