"""Two-sample measurements against closed forms."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm, wasserstein_distance

from pushforward.core.errors import InputError
from pushforward.evaluation import held_out
from pushforward.evaluation.fidelity import Distances
from pushforward.evaluation.two_sample import (
    accuracy,
    energy_discrepancy,
    gaussian_discrepancy,
    maximum_mean_discrepancy,
    project,
    sliced_wasserstein,
)


def normal(n, dim, seed):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, dim)))


@pytest.mark.parametrize("kind", ["linear", "trees"])
def test_far_samples_are_always_told_apart(kind):
    told = accuracy(normal(100, 3, 0), normal(100, 3, 1) + 20, kind)
    assert told.accuracy == 1.0
    assert told.correct.shape == (100, 2)


@pytest.mark.parametrize("kind", ["linear", "trees"])
def test_equal_samples_cannot_be_told_apart(kind):
    """Pairs of equal examples share a fold and an answer: one of the two is right, whatever the classifier says."""
    x = normal(60, 4, 0)
    told = accuracy(x, x[torch.from_numpy(np.random.default_rng(1).permutation(60))], kind)
    assert told.accuracy == 0.5


def test_linear_accuracy_reaches_that_of_bayes():
    """Two unit Gaussians apart by delta are told apart with probability Phi(delta / 2), by a linear rule."""
    delta = 2.0
    x, y = normal(2000, 2, 0), normal(2000, 2, 1)
    y[:, 0] += delta
    deviation = math.sqrt(norm.cdf(1) * norm.cdf(-1) / 4000)
    assert accuracy(x, y, "linear").accuracy == pytest.approx(norm.cdf(delta / 2), abs=3 * deviation)


def test_trees_see_what_a_line_cannot():
    """Of N(0, 1) and N(0, 3^2) a line tells nothing; the best rule, |x| < 1.572, is right with probability 0.7420."""
    x, y = normal(1000, 1, 0), 3 * normal(1000, 1, 1)
    edge = math.sqrt(2 * math.log(3) / (1 - 1 / 9))
    bayes = (norm.cdf(edge) - norm.cdf(-edge) + 2 * norm.cdf(-edge / 3)) / 2
    assert accuracy(x, y, "trees").accuracy == pytest.approx(bayes, abs=0.03)
    assert accuracy(x, y, "linear").accuracy == pytest.approx(0.5, abs=0.06)


def test_repeats_of_one_sample_are_a_difference():
    """A model that draws one point again and again is found out, though its copies lie in every fold."""
    x = normal(100, 2, 0)
    assert accuracy(x, x[:1].repeat(100, 1).clone() + 0.5, "trees").accuracy > 0.9


def test_shares_of_few_values_are_told():
    """Nine tenths zeros against nine tenths ones: the best guess is right nine times in ten."""
    x, y = torch.zeros(100, 1), torch.ones(100, 1)
    x[:10], y[:10] = 1, 0
    assert accuracy(x, y, "linear").accuracy == pytest.approx(0.9)


def test_accuracy_depends_on_its_seed_alone():
    x, y = normal(50, 3, 0), normal(50, 3, 1) + 0.3
    first = accuracy(x, y, "linear", seed=1)
    np.random.seed(7)
    torch.manual_seed(7)
    assert (accuracy(x, y, "linear", seed=1).correct == first.correct).all()
    assert any((accuracy(x, y, "linear", seed=s).correct != first.correct).any() for s in (2, 3, 4))


def test_accuracy_ignores_units_of_features():
    x, y = normal(80, 2, 0), normal(80, 2, 1) + 0.5
    units = torch.tensor([1e-6, 1e6], dtype=torch.float64)
    assert accuracy(x * units, y * units, "linear").accuracy == accuracy(x, y, "linear").accuracy


def test_bad_arguments_are_named():
    x = normal(10, 2, 0)
    with pytest.raises(InputError, match="expected one shape"):
        accuracy(x, x[:5])
    with pytest.raises(InputError, match="kind: got 'forest', expected one of linear, trees"):
        accuracy(x, x, "forest")
    with pytest.raises(InputError, match="distance 0"):
        maximum_mean_discrepancy(torch.zeros(10, 2), x)


def test_maximum_mean_discrepancy_of_gaussians():
    """E k(x, x') = b/(b^2 + 2)^{1/2} for unit normals and a Gaussian kernel of bandwidth b; apart by d, times
    exp(-d^2 / 2 (b^2 + 2))."""
    delta, sigma = 1.5, math.sqrt(2) * norm.ppf(0.75)  # the median of |x - x'|
    expected = 0.0
    for b in (sigma / 2, sigma, 2 * sigma):
        expected += 2 / 3 * b / math.sqrt(b**2 + 2) * (1 - math.exp(-(delta**2) / (2 * (b**2 + 2))))
    value = maximum_mean_discrepancy(normal(2000, 1, 0), normal(2000, 1, 1) + delta)
    assert value == pytest.approx(expected, rel=0.08)  # its standard deviation at this n is 4 %


def test_energy_distance_is_that_of_training():
    x, y = normal(40, 3, 0), normal(40, 3, 1) + 1
    pairs = energy_discrepancy(Distances(x, y))
    assert pairs() == pytest.approx(held_out.energy_distance(x, y), rel=1e-5)  # distances in float32
    rows, others = np.arange(0, 40, 2), np.arange(10)
    assert pairs(rows, others) == pytest.approx(held_out.energy_distance(x[rows], y[others]), rel=1e-5)


def test_energy_distance_of_two_points():
    assert energy_discrepancy(Distances(torch.zeros(3, 2), torch.tensor([[3.0, 4.0]] * 3)))() == 10.0


def test_discrepancies_of_one_distribution_have_mean_zero():
    found = [gaussian_discrepancy(Distances(normal(40, 2, 2 * s), normal(40, 2, 2 * s + 1)))() for s in range(100)]
    assert abs(np.mean(found)) < 3 * np.std(found) / 10


def test_sliced_wasserstein_in_one_dimension():
    x, y = normal(50, 1, 0), 2 * normal(50, 1, 1)
    pairs = (np.sort(x[:, 0]) - np.sort(y[:, 0])) ** 2
    assert sliced_wasserstein(x, y) == pytest.approx(math.sqrt(pairs.mean()))
    assert sliced_wasserstein(x, x + 3) == pytest.approx(3.0)
    # the 1-distance is never more than the 2-distance
    assert wasserstein_distance(x[:, 0], y[:, 0]) <= sliced_wasserstein(x, y)


def test_sliced_wasserstein_of_a_shift():
    """E (omega . delta)^2 = |delta|^2 / d; the mean over 4,096 directions knows it to 1 / 64 times root 2."""
    x = normal(20, 5, 0)
    delta = torch.tensor([3.0, 0.0, 4.0, 0.0, 0.0])
    found = sliced_wasserstein(x, x.flip(0) + delta, directions=4096)
    assert found == pytest.approx(5 / math.sqrt(5), rel=0.04)


def test_directions_are_unit_and_seeded():
    identity = torch.eye(6, dtype=torch.float64)
    torch.testing.assert_close(project(identity).square().sum(0), torch.ones(128, dtype=torch.float64))
    assert torch.equal(project(identity, seed=1), project(identity, seed=1))
    assert not torch.equal(project(identity, seed=1), project(identity, seed=2))
