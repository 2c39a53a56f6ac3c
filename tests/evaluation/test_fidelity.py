"""Fidelity metrics: closed forms, definitions taken pair by pair, and agreement with other packages where they are."""

import math
from collections.abc import Callable

import pytest
import torch

from pushforward.core.errors import InputError
from pushforward.evaluation.fidelity import (
    Distances,
    Fidelity,
    Kernels,
    frechet_distance,
    inception_score,
    kernel_distance,
    prdc,
)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def with_moments(n: int, mean: torch.Tensor, root: torch.Tensor, seed: int = 0) -> torch.Tensor:
    """Points of exactly this sample mean, and covariance root @ root.T, in float64."""
    x = normal(n, len(mean), seed=seed).double()
    x = x - x.mean(0)
    white = torch.linalg.qr(x).Q * math.sqrt(n - 1)  # the columns stay centred, and are orthonormal now
    return white @ root.double().T + mean


def test_frechet_distance_of_gaussians_that_share_their_axes():
    """|mu|^2 + sum (sd_1 - sd_2)^2 where the covariances commute."""
    one, two = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 2.0, 0.5])
    mean = torch.tensor([1.0, -2.0, 0.5])
    real = with_moments(50, torch.zeros(3), one.diag(), seed=1)
    fake = with_moments(60, mean, two.diag(), seed=2)
    expected = float(mean.square().sum() + (one - two).square().sum())
    assert frechet_distance(real, fake) == pytest.approx(expected, rel=1e-10)


def test_frechet_distance_of_gaussians_with_different_axes():
    """In two dimensions tr (AB)^(1/2) = sqrt(tr AB + 2 sqrt(det AB)), by the characteristic polynomial."""
    one, two = torch.tensor([[1.0, 0.0], [2.0, 1.0]]), torch.tensor([[2.0, 1.0], [0.0, 0.3]])
    a, b = one @ one.T, two @ two.T
    root = math.sqrt(float((a @ b).trace()) + 2 * math.sqrt(float(torch.det(a @ b))))
    real, fake = with_moments(40, torch.zeros(2), one, seed=1), with_moments(40, torch.zeros(2), two, seed=2)
    expected = float(a.trace() + b.trace()) - 2 * root
    assert frechet_distance(real, fake) == pytest.approx(expected, rel=1e-6)  # the moments were made in float32


@pytest.mark.parametrize("shape", [(100, 5), (20, 50), (30, 30)])
def test_frechet_distance_of_a_set_to_itself_is_zero(shape: tuple[int, int]):
    x = normal(*shape)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-12 * shape[1])
    assert frechet_distance(x, x.flip(0)) == pytest.approx(0, abs=1e-12 * shape[1])


def test_frechet_distance_of_points_in_more_dimensions_than_points():
    """Two samples in two planes at a right angle: no direction is shared, and nothing is taken off the variances."""
    real, fake = torch.zeros(6, 40), torch.zeros(6, 40)
    real[:, :2], fake[:, 2:4] = normal(6, 2, seed=1), normal(6, 2, seed=2)
    expected = real.double().var(0).sum() + fake.double().var(0).sum()
    expected += (real.double().mean(0) - fake.double().mean(0)).square().sum()
    assert frechet_distance(real, fake) == pytest.approx(float(expected), rel=1e-12)


def test_frechet_distance_does_not_depend_on_the_factor():
    """Padding with constant features makes the covariance singular and changes nothing."""
    real, fake = normal(100, 4, seed=1), 2 * normal(100, 4, seed=2) + 1
    padded = [torch.cat([x, torch.full((100, pad), 3.0)], dim=1) for x in (real, fake) for pad in (3, 200)]
    plain = frechet_distance(real, fake)
    assert frechet_distance(padded[0], padded[2]) == pytest.approx(plain, rel=1e-7)  # eigenvalues of 0 +- 1e-16
    assert frechet_distance(padded[1], padded[3]) == pytest.approx(plain, rel=1e-12)


@pytest.mark.parametrize("shape", [(100, 20), (30, 60)])
def test_frechet_distance_of_many_features_takes_a_shorter_way(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch):
    """Through squares a singular value of 0 comes out as the root of 1e-16 of the largest, at most."""
    real, fake = normal(*shape, seed=1), normal(*shape, seed=2) + 0.2
    expected = frechet_distance(real, fake)
    monkeypatch.setattr("pushforward.evaluation.fidelity.SMALL", 0)
    assert frechet_distance(real, fake) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(real, real) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("n", [200, 8])
def test_rotation_changes_neither_distance(n: int):
    real, fake = normal(n, 12, seed=1).double(), normal(n, 12, seed=2).double().exp()
    turn = torch.linalg.qr(normal(12, 12, seed=3).double()).Q
    for metric in (frechet_distance, kernel_distance):
        assert metric(real @ turn, fake @ turn) == pytest.approx(metric(real, fake), rel=1e-9)


def naive_kernel_distance(real: torch.Tensor, fake: torch.Tensor) -> float:
    """The definition, pair by pair."""

    def k(x: list[float], y: list[float]) -> float:
        return (sum(a * b for a, b in zip(x, y, strict=True)) / len(x) + 1) ** 3

    def mean(terms: list[float]) -> float:
        return math.fsum(terms) / len(terms)

    xs, ys = real.tolist(), fake.tolist()
    within = sum(mean([k(a, b) for i, a in enumerate(s) for j, b in enumerate(s) if i != j]) for s in (xs, ys))
    return within - 2 * mean([k(a, b) for a in xs for b in ys])


def test_kernel_distance_is_that_of_the_definition(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pushforward.evaluation.fidelity.BLOCK", 8)
    real, fake = normal(21, 6, seed=1), normal(19, 6, seed=2) + 0.5
    expected = naive_kernel_distance(real, fake)
    assert kernel_distance(real.double(), fake.double()) == pytest.approx(expected, rel=1e-12)
    assert kernel_distance(real, fake) == pytest.approx(expected, rel=1e-5)  # kernels in float32


def test_kernel_distance_is_unbiased():
    """Over 400 pairs of samples of one distribution the mean is 0 within four of its standard errors."""
    values = torch.tensor([kernel_distance(normal(20, 3, seed=i), normal(20, 3, seed=1000 + i)) for i in range(400)])
    assert abs(float(values.mean())) < 4 * float(values.std()) / 20
    assert float(values.min()) < 0


def naive_prdc(real: torch.Tensor, fake: torch.Tensor, k: int) -> Fidelity:
    """The definition, point by point, in Python's floats."""
    xs, ys = real.tolist(), fake.tolist()

    def radius(points: list, i: int) -> float:
        return sorted(math.dist(points[i], p) for j, p in enumerate(points) if j != i)[k - 1]

    balls, fake_balls = [radius(xs, i) for i in range(len(xs))], [radius(ys, j) for j in range(len(ys))]
    inside = [[math.dist(x, y) < r for y in ys] for x, r in zip(xs, balls, strict=True)]
    return Fidelity(
        precision=sum(any(row[j] for row in inside) for j in range(len(ys))) / len(ys),
        recall=sum(any(math.dist(x, y) < r for y, r in zip(ys, fake_balls, strict=True)) for x in xs) / len(xs),
        density=sum(map(sum, inside)) / (k * len(ys)),
        coverage=sum(map(any, inside)) / len(xs),
    )


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("dim", [1, 4, 60])
def test_prdc_is_that_of_the_definition(k: int, dim: int):
    real, fake = normal(50, dim, seed=1), 0.7 * normal(40, dim, seed=2) + 0.3
    assert prdc(real, fake, k) == pytest.approx(naive_prdc(real, fake, k), abs=1e-12)
    assert Distances(real, fake).prdc(k=k) == prdc(real, fake, k)


def test_prdc_by_hand():
    """Real 0, 1, 3 have radii 1, 1, 2; fake 0.5, 9, 9.5 have 8.5, 0.5, 0.5: all real points lie in the first's ball."""
    real, fake = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([[0.5], [9.0], [9.5]])
    found = prdc(real, fake, k=1)
    assert found == pytest.approx(Fidelity(precision=1 / 3, recall=1.0, density=2 / 3, coverage=2 / 3))


def test_a_mode_that_is_left_out_costs_recall_and_coverage_but_not_precision():
    real = torch.cat([normal(100, 2, seed=1), 50 + normal(100, 2, seed=2)])
    found = prdc(real, normal(200, 2, seed=3))
    assert found.precision > 0.9
    assert found.recall < 0.51  # half of the real points are out of reach
    assert found.coverage < 0.51


def test_a_point_of_a_tied_neighbourhood_lies_outside():
    """On a grid the nearest others are all at distance 1; the same grid again reaches each ball's centre only."""
    grid = torch.cartesian_prod(torch.arange(4.0), torch.arange(4.0))
    assert prdc(grid, grid, k=1) == Fidelity(precision=1.0, recall=1.0, density=1.0, coverage=1.0)


def test_identical_points_have_empty_balls():
    same = torch.full((12, 3), 0.1)
    assert prdc(same, same) == Fidelity(precision=0.0, recall=0.0, density=0.0, coverage=0.0)
    assert Distances(same, same).prdc() == Fidelity(precision=0.0, recall=0.0, density=0.0, coverage=0.0)
    assert frechet_distance(same, same) == 0
    assert kernel_distance(same, same) == pytest.approx(0, abs=1e-6)  # float32 kernels near 1


def test_collapsed_samples_are_precise_but_cover_nothing():
    real = normal(200, 4)
    found = prdc(real, real[:1].expand(200, 4) + 0.01)
    assert found.precision == 1.0
    assert found.recall == 0.0
    assert found.coverage < 0.1


def test_subsets_give_what_the_points_themselves_give():
    real, fake = normal(60, 5, seed=1), normal(70, 5, seed=2) + 0.3
    order = torch.randperm(60, generator=torch.Generator().manual_seed(3))
    rows, columns = order[:30], order[20:50]
    pairs, kernels = Distances(real, fake), Kernels(real, fake)
    assert pairs.prdc(rows, columns, 3) == prdc(real[rows], fake[columns], 3)
    assert pairs.prdc(rows.numpy(), columns.tolist(), 3) == prdc(real[rows], fake[columns], 3)
    exact = kernel_distance(real[rows].double(), fake[columns].double())
    assert kernels.distance(rows, columns.numpy()) == pytest.approx(exact, rel=1e-10)
    assert kernels.distance() == pytest.approx(kernel_distance(real.double(), fake.double()), rel=1e-10)


def test_inception_score():
    """Uniform over 4 classes with certainty is 4, no information is 1; else the exponential of the information."""
    assert inception_score(torch.eye(4).repeat(3, 1)) == pytest.approx(4)
    assert inception_score(torch.full((5, 4), 0.25)) == pytest.approx(1)
    # One bit told apart with error 0.1, both sides as often: log 2 - H(0.1)
    p = torch.tensor([[0.9, 0.1], [0.1, 0.9]], dtype=torch.float64)
    information = math.log(2) + 0.9 * math.log(0.9) + 0.1 * math.log(0.1)
    assert inception_score(p) == pytest.approx(math.exp(information))


@pytest.mark.parametrize("wrong", [torch.tensor([[0.5, 0.6]]), torch.tensor([[1.5, -0.5]]), torch.tensor([[math.nan]])])
def test_inception_score_refuses_what_is_no_distribution(wrong: torch.Tensor):
    with pytest.raises(InputError, match="not distributions"):
        inception_score(wrong)


@pytest.mark.parametrize("metric", [frechet_distance, kernel_distance, prdc, Distances, Kernels])
def test_bad_features_are_one_sentence(metric: Callable):
    good = normal(20, 3)
    with pytest.raises(InputError, match="real: some features are infinite"):
        metric(torch.full((20, 3), math.inf), good)
    with pytest.raises(InputError, match="fake: some features are infinite or not a number"):
        metric(good, torch.full((20, 3), math.nan))
    with pytest.raises(InputError, match="fake: got 2 features, expected 3"):
        metric(good, good[:, :2])
    with pytest.raises(InputError, match=r"fake: got features of shape \(1, 3\), expected \(n, dim\) with n >= "):
        metric(good, good[:1])


def test_too_few_points_for_k_are_one_sentence():
    with pytest.raises(InputError, match=r"fake: .* with n >= 6"):
        prdc(normal(20, 3), normal(5, 3))
    with pytest.raises(InputError, match="k: got 5, expected 1 to 4"):
        Distances(normal(20, 3), normal(20, 3)).prdc(range(20), range(5))
    with pytest.raises(InputError, match="k: got 0"):
        prdc(normal(20, 3), normal(20, 3), k=0)


@pytest.mark.slow
def test_agreement_with_prdc():
    package = pytest.importorskip("prdc")
    real, fake = normal(300, 20, seed=1), normal(300, 20, seed=2) * 0.9 + 0.1
    assert prdc(real, fake)._asdict() == pytest.approx(package.compute_prdc(real.numpy(), fake.numpy(), 5), rel=1e-12)
