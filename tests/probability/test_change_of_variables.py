"""Pushed densities against named distributions, quadrature and the densities of surfaces."""

import math

import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.distributions import Chi2, Independent, LogNormal, MultivariateNormal, Normal, Uniform

from pushforward.core.errors import InputError
from pushforward.probability.change_of_variables import (
    branch_log_prob,
    fibre_log_prob,
    find_branches,
    pushed_log_prob,
    root_log_prob,
)
from pushforward.probability.distributions import Banana
from pushforward.probability.jacobians import log_volume_factor

ZERO = torch.tensor(0.0, dtype=torch.float64)
NORMAL = Normal(ZERO, 1.0)
PAIR = MultivariateNormal(torch.zeros(2).double(), torch.eye(2).double())


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_affine_and_monotone_maps_of_a_number():
    z = normal(50)
    x, log_prob = pushed_log_prob(NORMAL, lambda z: 3 - 2 * z, z)
    assert torch.allclose(log_prob, Normal(ZERO + 3, 2.0).log_prob(x))
    x, log_prob = pushed_log_prob(NORMAL, torch.exp, z)
    assert torch.allclose(log_prob, LogNormal(ZERO, 1.0).log_prob(x))


def test_a_linear_map_of_the_plane():
    a = torch.tensor([[1.0, 0.5], [-0.3, 2.0]]).double()
    x, log_prob = pushed_log_prob(PAIR, lambda z: a @ z, normal(50, 2))
    assert torch.allclose(log_prob, MultivariateNormal(torch.zeros(2).double(), a @ a.T).log_prob(x))


def test_a_curved_map_of_the_plane_is_the_banana():
    x, log_prob = pushed_log_prob(PAIR, lambda z: torch.stack([2 * z[0], 0.5 * (2 * z[0]) ** 2 + z[1]]), normal(50, 2))
    assert torch.allclose(log_prob, Banana(2.0, 0.5, 1.0).log_prob(x))


def test_a_point_on_a_circle_has_its_density_per_length():
    # The angle uniform, the circle of radius 2: 1 / (4 pi) per length.
    uniform = Uniform(ZERO, 2 * math.pi)
    _, log_prob = pushed_log_prob(
        uniform, lambda t: 2 * torch.stack([t.cos(), t.sin()]), torch.linspace(0.1, 6, 9).double()
    )
    assert torch.allclose(log_prob.exp(), torch.full((9,), 1 / (4 * math.pi)).double())


def test_the_density_on_the_sombrero_integrates_to_one_over_its_area():
    def sombrero(z: Tensor) -> Tensor:
        return torch.cat([z, 3 * torch.sinc(z.norm() / math.pi)[None]])

    axis = torch.linspace(-8, 8, 162, dtype=torch.float64)  # even: no node at the tip, where the norm has no derivative
    z = torch.cartesian_prod(axis, axis)
    x, log_prob = pushed_log_prob(PAIR, sombrero, z)
    area = log_volume_factor(sombrero, z).exp()
    assert x.shape == (len(z), 3)
    assert ((log_prob.exp() * area).sum() * axis.diff()[0] ** 2).item() == pytest.approx(1, abs=1e-9)
    # Far from a plane: the density differs from the one below it by the tilt.
    assert (area.max() > 1.5) and torch.allclose(log_prob, PAIR.log_prob(z) - area.log())


def test_the_square_of_a_normal_is_chi_square_by_branches_and_by_roots():
    x = torch.tensor([0.01, 0.5, 2.0, 9.0, -1.0]).double()
    known = torch.cat([Chi2(ZERO + 1).log_prob(x[:4]), torch.tensor([-math.inf]).double()])
    found = branch_log_prob(NORMAL, torch.square, x, [torch.sqrt, lambda x: -x.sqrt()])
    assert torch.allclose(found, known)
    assert torch.allclose(root_log_prob(NORMAL, torch.square, x, -9.0, 9.0), known)


def test_roots_of_a_cubic_with_one_or_three():
    def g(z: Tensor) -> Tensor:
        return z**3 - 3 * z

    roots = find_branches(g, torch.tensor([0.0, 5.0]).double(), -4.0, 4.0)
    assert torch.allclose(roots[:, 0], torch.tensor([-math.sqrt(3), 0, math.sqrt(3)]).double(), atol=1e-12)
    assert roots[:, 1].isnan().tolist() == [True, True, False]
    # The density integrates to one although it is infinite at x = -2 and 2.
    uniform = Uniform(ZERO - 4, ZERO + 4)
    x = torch.linspace(-52, 52, 40_002).double()
    mass = torch.trapezoid(root_log_prob(uniform, g, x, -4.0, 4.0).exp(), x)
    assert mass.item() == pytest.approx(1, abs=1e-2)  # two singularities 1 / sqrt, on a grid of 3e-3


def test_many_folds_are_all_found():
    x = torch.tensor([0.3, -0.9]).double()
    roots = find_branches(torch.sin, x, -20.0, 20.0)
    assert (~roots.isnan()).sum(0).tolist() == [13, 13]  # seven arcs from the left end, six from the right
    assert torch.allclose(roots.sin()[~roots.isnan()], x.expand_as(roots)[~roots.isnan()], atol=1e-12)


def test_a_pause_is_no_fold():
    # x = z^3 stands still at 0 and is one-to-one.
    roots = find_branches(lambda z: z**3, torch.tensor([-8.0, 0.125, 1.0]).double(), -3.0, 3.0)
    assert (~roots.isnan()).sum(0).tolist() == [1, 1, 1]


def test_roots_carry_the_gradient():
    x = torch.tensor([0.5, 2.0]).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: root_log_prob(NORMAL, torch.square, x, -9.0, 9.0), x)


def test_folding_the_plane_adds_four_branches():
    def g(z: Tensor) -> Tensor:
        return z.square()

    signs = [torch.tensor([a, b]).double() for a in (1.0, -1.0) for b in (1.0, -1.0)]
    x = normal(20, 2).square()
    found = branch_log_prob(PAIR, g, x, [lambda x, s=s: s * x.sqrt() for s in signs])
    assert torch.allclose(found, Chi2(ZERO + 1).log_prob(x).sum(1))


def test_samples_follow_the_density_of_a_user_written_map():
    def g(z: Tensor) -> Tensor:
        return z + 1.5 * torch.sin(2 * z)

    x = torch.linspace(-12, 12, 12_002).double()
    density = root_log_prob(NORMAL, g, x, -9.0, 9.0).exp()
    cdf = torch.cumulative_trapezoid(density, x)
    draws = g(normal(20_000))
    known = cdf[torch.searchsorted(x, draws.sort().values) - 1]
    found = (known - torch.arange(1, 20_001) / 20_000).abs().max().item()
    assert found < 1.95 / math.sqrt(20_000) + 5e-3  # the folds of the density on a grid of 2e-3


def circle(r: Tensor, t: Tensor) -> Tensor:
    return r * torch.cat([t.cos(), t.sin()])


def line(s: Tensor, t: Tensor) -> Tensor:
    return torch.cat([s / 2 + t, s / 2 - t])


def test_the_length_of_a_pair_is_rayleigh():
    r = torch.tensor([0.3, 1.0, 2.5]).double()
    found = fibre_log_prob(PAIR, torch.linalg.vector_norm, r, circle, [torch.linspace(0, 2 * math.pi, 33)])
    assert torch.allclose(found, r.log() - r**2 / 2)


def test_the_sum_of_a_pair_is_normal_with_twice_the_variance():
    s = torch.tensor([-1.0, 0.0, 2.0]).double()
    found = fibre_log_prob(PAIR, torch.sum, s, line, [torch.linspace(-9, 9, 201)])
    assert torch.allclose(found, Normal(ZERO, math.sqrt(2)).log_prob(s))


def test_three_dimensions_onto_one_have_fibres_that_are_spheres():
    def sphere(r: Tensor, t: Tensor) -> Tensor:
        return r * torch.stack([t[0].sin() * t[1].cos(), t[0].sin() * t[1].sin(), t[0].cos()])

    three = MultivariateNormal(torch.zeros(3).double(), torch.eye(3).double())
    r = torch.tensor([0.5, 2.0]).double()
    axes = [torch.linspace(0, math.pi, 101), torch.linspace(0, 2 * math.pi, 11)]
    found = fibre_log_prob(three, torch.linalg.vector_norm, r, sphere, axes)
    assert found.exp().numpy() == pytest.approx(stats.chi(3).pdf(r), rel=1e-3)  # the rule in theta


def test_onto_some_coordinates_is_the_marginal():
    covariance = torch.tensor([[1.0, 0.6, 0.0], [0.6, 2.0, 0.3], [0.0, 0.3, 1.0]]).double()
    base = MultivariateNormal(torch.zeros(3).double(), covariance)
    x = normal(5, 2)
    found = fibre_log_prob(base, lambda z: z[:2], x, lambda x, t: torch.cat([x, t]), [torch.linspace(-12, 12, 201)])
    assert torch.allclose(found, MultivariateNormal(torch.zeros(2).double(), covariance[:2, :2]).log_prob(x))


def test_float32_stays_float32():
    assert pushed_log_prob(Normal(0.0, 1.0), torch.exp, torch.zeros(2)).log_prob.dtype == torch.float32


FLAT = Independent(Normal(torch.zeros(2).double(), 1.0), 1)
APART = Normal(torch.zeros(2).double(), 1.0)
T = torch.linspace(0, 2 * math.pi, 33)
ONE = torch.ones(1).double()
TWO = torch.full((2,), 4.0)


def fold(z: Tensor) -> Tensor:
    return torch.stack([z[0], z[1] ** 2])


BAD = {
    "singular everywhere": (
        lambda: pushed_log_prob(PAIR, lambda z: z[0].expand(2), normal(3, 2)),
        "g: its Jacobian is singular",
    ),
    "constant": (lambda: pushed_log_prob(NORMAL, lambda z: 0 * z, normal(3)), "g: its Jacobian is singular at z ="),
    "cut off from its input": (
        lambda: pushed_log_prob(NORMAL, lambda z: z.detach().round(), normal(3)),
        "g: its Jacobian is singular",
    ),
    "folds": (lambda: pushed_log_prob(NORMAL, torch.square, normal(9)), "g folds and is many-to-one; see branch"),
    "folds the plane": (lambda: pushed_log_prob(FLAT, fold, normal(9, 2)), "many-to-one"),
    "to fewer dimensions": (
        lambda: pushed_log_prob(PAIR, torch.sum, normal(3, 2)),
        "from 2 to 1 dimensions.*fibre_log_prob",
    ),
    "base of wrong shape": (
        lambda: pushed_log_prob(APART, torch.exp, normal(3, 2)),
        "base: got log-densities of shape .3, 2.*Independent",
    ),
    "base is NaN": (lambda: pushed_log_prob(torch.log, torch.sin, -torch.ones(2)), "base: .* is NaN at z = -1.0"),
    "no branch": (lambda: branch_log_prob(NORMAL, torch.square, TWO, []), "branches: got none"),
    "no inverse": (
        lambda: branch_log_prob(NORMAL, torch.square, TWO, [torch.sqrt, lambda x: -x]),
        r"branches.1.: maps x = 4.0 to z = -4.0, where g is 16.0",
    ),
    "one twice": (
        lambda: branch_log_prob(NORMAL, torch.square, TWO, [torch.sqrt] * 2),
        "branches: got 0 and 1 equal at x = 4.0",
    ),
    "at the fold": (lambda: root_log_prob(NORMAL, torch.square, 0 * ONE, -9.0, 9.0), "singular at z = 0.0"),
    "interval too small": (
        lambda: root_log_prob(NORMAL, torch.square, ONE, -1.0, 1.0),
        "mass of 0.6827 from -1.0 to 1.0",
    ),
    "empty interval": (lambda: find_branches(torch.square, ONE, 1.0, 1.0), "low: got 1.0, expected less than high"),
    "points for roots": (lambda: find_branches(torch.square, torch.ones(1, 2), 0.0, 1.0), "x: got shape"),
    "fibre leaves": (
        lambda: fibre_log_prob(PAIR, torch.linalg.vector_norm, ONE, lambda r, t: 2 * circle(r, t), [T]),
        "fibre: maps x = 1.0",
    ),
    "too few values": (
        lambda: fibre_log_prob(PAIR, torch.sum, ONE, line, [torch.linspace(-50, 50, 9)]),
        "axes: half of the values",
    ),
    "even number": (
        lambda: fibre_log_prob(PAIR, torch.sum, ONE, line, [torch.linspace(-5, 5, 10)]),
        "an odd number of increasing",
    ),
    "dimensions": (lambda: fibre_log_prob(PAIR, torch.sum, ONE, line, [T, T]), "fibre: .*2 axes"),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_named(call, message: str):
    with pytest.raises(InputError, match=message):
        call()
