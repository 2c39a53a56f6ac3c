"""Blocked neighbours agree with the definition, taken pair by pair in float64, also where float32 alone would not."""

import pytest
import torch

from pushforward.core.errors import InputError
from pushforward.evaluation import neighbours
from pushforward.evaluation.neighbours import distances, membership, nearest, radii


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Several blocks, and a ragged last one, with few points."""
    monkeypatch.setattr(neighbours, "BLOCK", 16)


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def naive(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Distances from the differences, in float64."""
    return (x[:, None].double() - y[None].double()).square().sum(2).sqrt()


def naive_radii(x: torch.Tensor, k: int) -> torch.Tensor:
    return naive(x, x).fill_diagonal_(torch.inf).sort(dim=1).values[:, k - 1]


#: What float32 finds easy, and what it cannot tell apart: a far offset, close pairs, copies, a grid full of ties,
#: outliers, one feature, points too near for squares in float32.
CASES = {
    "normal": normal(70, 5),
    "wide": normal(40, 300),
    "far offset": normal(70, 3) + 1e4,
    "two tight clusters": torch.cat([normal(30, 4) * 1e-4, 1 + normal(31, 4) * 1e-4]),
    "copies": normal(20, 4).repeat(3, 1),
    "grid": torch.cartesian_prod(torch.arange(8.0), torch.arange(8.0)),
    "outlier": torch.cat([normal(50, 3), torch.full((1, 3), 1e18)]),
    "far outlier of the other set": torch.cat([normal(51, 3), torch.full((1, 3), 1e25)]),
    "line": normal(60, 1),
    "tiny": normal(60, 3) * 1e-30,
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("k", [1, 5])
def test_radii_are_those_of_the_definition(name: str, k: int):
    x = CASES[name]
    # float64 differences, added in another order at most
    torch.testing.assert_close(radii(x, k), naive_radii(x, k), rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", CASES)
def test_nearest_finds_the_nearest(name: str):
    y = CASES[name]
    x = torch.cat([y[::3], y[:20] + y.std(0) * normal(20, y.shape[1])])
    found, every = nearest(x, y, k=3), naive(x, y)
    torch.testing.assert_close(found.distances, every.sort(dim=1).values[:, :3], rtol=1e-12, atol=0)
    torch.testing.assert_close(every.gather(1, found.indices), found.distances, rtol=1e-12, atol=0)
    assert (found.distances[: len(y[::3]), 0] == 0).all()  # identical points are at no distance at all


@pytest.mark.parametrize("name", CASES)
def test_membership_is_that_of_the_definition(name: str):
    x = CASES[name][::2]
    y = CASES[name][1::2]
    x_radii, y_radii = naive_radii(x, 3), naive_radii(y, 2)
    round_x, round_y = membership(x, y, x_radii, y_radii)
    inside = naive(x, y).float() < x_radii.float()[:, None]
    assert torch.equal(round_x.points_per_ball, inside.sum(1))
    assert torch.equal(round_x.balls_per_point, inside.sum(0))
    inside = naive(y, x).float() < y_radii.float()[:, None]
    assert torch.equal(round_y.points_per_ball, inside.sum(1))
    assert torch.equal(round_y.balls_per_point, inside.sum(0))


def test_a_point_on_the_edge_of_a_ball_is_outside():
    x, y = torch.tensor([[0.1, 0.7]]), torch.tensor([[0.4, 0.3], [0.4, 0.4]])
    radius = naive(x, y)[:, 0]
    assert membership(x, y, radius, torch.zeros(2))[0].points_per_ball.tolist() == [1]


def test_float32_alone_would_decide_wrongly():
    """Balls whose edge passes a 1e-7 of the radius before or behind a point: the block in float32 errs, we do not."""
    x, y = normal(64, 200), normal(65, 200)
    pairs = naive(x, y)
    edge = torch.arange(64)
    for side in (1 + 2e-7, 1 - 2e-7):  # more than the spacing of float32, less than the error of a product
        limits = pairs[edge, edge] * side
        inside = (pairs.float() < limits.float()[:, None]).sum(1)
        assert torch.equal(membership(x, y, limits, torch.zeros(65))[0].points_per_ball, inside)


@pytest.mark.parametrize("few", [0, 10**6])
@pytest.mark.parametrize("name", ["normal", "copies", "grid", "far offset"])
def test_many_near_ties_are_decided_alike(few: int, name: str, monkeypatch):
    """With FEW = 0 every doubtful block is computed whole in float64 instead of pair by pair."""
    monkeypatch.setattr(neighbours, "FEW", few)
    x = CASES[name]
    limits = naive_radii(x, 4)
    inside = naive(x, x).float() < limits.float()[:, None]
    assert torch.equal(membership(x, x, limits, limits)[0].balls_per_point, inside.sum(0))
    torch.testing.assert_close(radii(x, 4), limits, rtol=1e-7, atol=0)


@pytest.mark.parametrize("name", CASES)
def test_distances_are_rounded_once(name: str):
    x = CASES[name]
    # half a unit in the last place of float32, and where the product in float64 decided, hardly more
    torch.testing.assert_close(distances(x, x[:7]).double(), naive(x, x[:7]), rtol=1e-7, atol=1e-45)
    assert (distances(x, x).diagonal() == 0).all()


def test_double_precision_features_keep_it():
    x = normal(50, 2).double() * 1e-9 + 1
    torch.testing.assert_close(radii(x, 2), naive_radii(x, 2), rtol=1e-12, atol=0)


@pytest.mark.parametrize("k", [0, 4])
def test_too_few_neighbours_is_one_sentence(k: int):
    with pytest.raises(InputError, match=f"k: got {k}, expected 1 to 3"):
        radii(normal(4, 2), k)


def test_not_a_number_is_refused():
    with pytest.raises(InputError, match="not a number"):
        nearest(normal(4, 2), torch.tensor([[0.0, torch.nan]]))
