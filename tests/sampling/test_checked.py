"""Every wrong log-density is an error that names the argument and the point."""

import pytest
import torch
from torch.distributions import Beta, Dirichlet, Independent, Normal, Uniform

from pushforward.core.errors import InputError
from pushforward.sampling.checked import describe_point, inside, log_density_of, log_prob_of


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x.sum(1).log(), r"log_target: got nan at x = \(-1, -1\)"),
        (lambda x: 1 / (x.sum(1) + 2), r"log_target: got inf at x = \(-1, -1\)"),
        (lambda x: x, r"log_target: got \(2, 2\).*sum over the dimensions"),
        (lambda x: x.sum(), r"log_target: got \(\) for draws"),
        (lambda x: 1.0, "log_target: got float"),
    ],
)
def test_wrong_values_are_errors(function, message: str):
    with pytest.raises(InputError, match=message):
        log_density_of(function, torch.tensor([[1.0, 1.0], [-1.0, -1.0]]), name="log_target")


def test_minus_infinity_is_a_value():
    value = log_density_of(lambda x: torch.where(x > 0, 0.0, -torch.inf), torch.tensor([-1.0, 1.0]), name="p")
    assert value.tolist() == [-torch.inf, 0.0]


def test_outside_of_the_support_there_is_no_density():
    x = torch.tensor([-0.5, 0.5, 1.5])
    assert log_prob_of(Beta(2.0, 2.0), x).exp().tolist() == pytest.approx([0.0, 1.5, 0.0])
    square = Independent(Uniform(torch.zeros(2), torch.ones(2)), 1)
    assert inside(square, torch.tensor([[0.5, 0.5], [0.5, 2.0]])).tolist() == [True, False]
    simplex = Dirichlet(torch.ones(3))
    assert inside(simplex, torch.tensor([[0.2, 0.3, 0.5], [0.2, 0.3, 0.6]])).tolist() == [True, False]


def test_several_laws_are_not_one():
    with pytest.raises(InputError, match=r"proposal: got a batch of \(2,\).*Independent"):
        log_prob_of(Normal(torch.zeros(2), 1.0), torch.zeros(5, 2))


def test_points_are_written_short():
    assert describe_point(torch.tensor(1 / 3)) == "0.3333"
    assert describe_point(torch.zeros(9)) == "(0, 0, 0, 0, 0, 0, ...)"
