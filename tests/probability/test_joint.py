"""Joint densities on grids, held to the closed forms of Gaussians, of coins and of a triangle."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal

from pushforward.core.errors import InputError
from pushforward.probability.joint import Joint

COVARIANCE = torch.tensor([[1.0, 0.6, 0.3], [0.6, 2.0, -0.4], [0.3, -0.4, 1.5]], dtype=torch.float64)
MEAN = torch.tensor([0.5, -1.0, 0.0], dtype=torch.float64)
GRID = torch.linspace(-11, 11, 89, dtype=torch.float64)
THREE = Joint.of(MultivariateNormal(MEAN, COVARIANCE), dict.fromkeys("xyz", GRID))
COIN = torch.tensor([0.0, 1.0])


def test_a_normalised_density_has_mass_one():
    assert THREE.mass == pytest.approx(1, abs=1e-9)


def test_the_moments_of_a_gaussian():
    assert torch.allclose(THREE.mean, MEAN, atol=1e-9)
    assert torch.allclose(THREE.covariance, COVARIANCE, atol=1e-9)
    deviation = COVARIANCE.diagonal().sqrt()
    assert torch.allclose(THREE.correlation, COVARIANCE / torch.outer(deviation, deviation), atol=1e-9)
    assert THREE.expectation(lambda x, y, z: x * y * 1.0 + z).item() == pytest.approx(0.6 - 0.5, abs=1e-9)


def test_a_marginal_is_the_gaussian_of_the_block():
    found = THREE.marginal("z", "x")
    assert found.names == ("x", "z")
    known = Joint.of(MultivariateNormal(MEAN[[0, 2]], COVARIANCE[[0, 2]][:, [0, 2]]), {"x": GRID, "z": GRID})
    assert torch.allclose(found.density, known.density, atol=1e-12)


@pytest.mark.parametrize("y", [-2.0, 0.4])
def test_a_conditional_is_the_regression(y: float):
    found = THREE.conditional({"y": y})
    gain = COVARIANCE[[0, 2], 1] / COVARIANCE[1, 1]
    # Between nodes (0.4) the density is interpolated: an error of second order in the spacing of 0.25.
    tolerance = 1e-9 if y == -2.0 else 2e-2
    assert torch.allclose(found.mean, MEAN[[0, 2]] + gain * (y - MEAN[1]), atol=tolerance)
    known = COVARIANCE[[0, 2]][:, [0, 2]] - torch.outer(gain, gain) * COVARIANCE[1, 1]
    assert torch.allclose(found.covariance, known, atol=tolerance)


def test_two_conditions_leave_one_variable():
    found = THREE.conditional({"y": -2.0, "z": 1.0})
    inverse = torch.linalg.inv(COVARIANCE)  # the conditional variance is one over the diagonal of the precision
    assert found.variance.item() == pytest.approx(1 / inverse[0, 0].item(), abs=1e-9)


def test_bayes_rule():
    # p(x | y) p(y) = p(y | x) p(x)
    pair, x, y = THREE.marginal("x", "y"), GRID[40].item(), GRID[42].item()
    left = pair.conditional({"y": y}).density[40] * pair.marginal("y").density[42]
    right = pair.conditional({"x": x}).density[42] * pair.marginal("x").density[40]
    assert left.item() == pytest.approx(right.item(), rel=1e-12)


def test_mutual_information_of_gaussians_and_of_groups():
    rho = THREE.correlation[0, 1].item()
    assert THREE.mutual_information("x", "y").item() == pytest.approx(-0.5 * math.log(1 - rho**2), abs=1e-8)
    blocks = COVARIANCE[0, 0].log() + torch.logdet(COVARIANCE[1:, 1:]) - torch.logdet(COVARIANCE)
    assert THREE.mutual_information("x", ["y", "z"]).item() == pytest.approx(0.5 * blocks.item(), abs=1e-8)


def test_independence_is_the_product_of_the_marginals():
    product = THREE.product()
    assert product.mutual_information("x", ["y", "z"]).item() == pytest.approx(0, abs=1e-9)
    assert torch.allclose(product.product().density, product.density, atol=1e-12)
    assert torch.allclose(product.mean, THREE.mean) and product.covariance[0, 1].abs() < 1e-9


def test_uncorrelated_is_not_independent():
    # y = x^2 blurred: the covariance is 0 by symmetry, the information is not.
    grid = torch.linspace(-5, 12, 400, dtype=torch.float64)
    joint = Joint.of(lambda v: -0.5 * v[:, 0] ** 2 - 2 * (v[:, 1] - v[:, 0] ** 2) ** 2, {"x": grid - 3.5, "y": grid})
    assert joint.correlation[0, 1].abs() < 1e-3
    assert joint.mutual_information("x", "y") > 0.5


def test_the_entropy_of_a_gaussian_and_of_coins():
    assert THREE.entropy.item() == pytest.approx(MultivariateNormal(MEAN, COVARIANCE).entropy().item(), abs=1e-8)
    coins = Joint({"x": COIN, "y": COIN}, torch.ones(2, 2), discrete={"x", "y"})
    assert coins.entropy.item() == pytest.approx(2 * math.log(2))
    assert coins.mutual_information("x", "y").item() == 0


def test_a_discrete_variable_beside_a_continuous_one():
    grid = torch.linspace(-9, 9, 361, dtype=torch.float64)
    labels = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    shares = torch.tensor([0.25, 0.75], dtype=torch.float64)
    normals = torch.exp(-0.5 * (grid - labels[:, None]) ** 2) / math.sqrt(2 * math.pi)
    joint = Joint({"k": labels, "x": grid}, shares[:, None] * normals, discrete={"k"})
    assert joint.mass == pytest.approx(1, abs=1e-9)
    posterior = joint.conditional({"x": 0.5}).density[1].item()
    assert posterior == pytest.approx(0.75 * math.exp(-0.125) / (0.75 * math.exp(-0.125) + 0.25 * math.exp(-1.125)))
    assert joint.covariance[0, 1].item() == pytest.approx(joint.variance[0].item(), abs=1e-9)


BAD = {
    "shape": (lambda: Joint({"x": GRID}, torch.ones(3)), r"density: got shape \(3,\)"),
    "negative": (lambda: Joint({"x": COIN}, torch.tensor([1.0, -1.0])), "density: .*negative"),
    "no mass": (lambda: Joint({"x": COIN}, torch.zeros(2)), "density: got zero"),
    "axis": (lambda: Joint({"x": torch.tensor([1.0, 0.0])}, torch.ones(2)), "axes: got x .*increasing"),
    "discrete": (lambda: Joint({"x": COIN}, torch.ones(2), discrete={"y"}), "discrete: got .'y'"),
    "NaN": (lambda: Joint.of(lambda v: v[:, 0].log(), {"x": GRID}), "log_prob: got NaN"),
    "wrong shape": (lambda: Joint.of(lambda v: v, {"x": GRID}), r"log_prob: got shape \(89, 1\)"),
    "too many nodes": (lambda: Joint.of(lambda v: v, dict.fromkeys("abcdef", GRID)), "expected at most 67,108,864"),
    "unknown name": (lambda: THREE.marginal("w"), "names: got .'w'"),
    "name twice": (lambda: THREE.mutual_information("x", ["x", "y"]), "expected different ones"),
    "outside": (lambda: THREE.conditional({"x": 20.0}), "given: got x = 20.0, expected -11.0 to 11.0"),
    "nothing left": (lambda: Joint({"x": COIN}, torch.ones(2)).conditional({"x": 0.0}), "a variable left over"),
    "impossible": (
        lambda: Joint({"x": COIN, "y": COIN}, torch.tensor([[0.0, 0.0], [1.0, 1.0]])).conditional({"x": 0.0}),
        "where the density is zero",
    ),
    "no such value": (
        lambda: Joint({"x": COIN, "y": COIN}, torch.ones(2, 2), discrete={"x"}).conditional({"x": 0.5}),
        "expected one of",
    ),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_named(call, message: str):
    with pytest.raises(InputError, match=message):
        call()
