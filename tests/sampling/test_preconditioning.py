import pytest
import torch

from pushforward.core.errors import InputError
from pushforward.sampling.preconditioning import Preconditioner, check_metric, preconditioner

COVARIANCE = torch.tensor([[4.0, 1.0, 0.0], [1.0, 1.0, -0.05], [0.0, -0.05, 0.01]], dtype=torch.float64)


def positions(n: int) -> torch.Tensor:
    z = torch.randn(n, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return 100 + z @ torch.linalg.cholesky(COVARIANCE).T


def test_from_many_positions_it_is_the_covariance():
    found = preconditioner(positions(50_000), "dense").factor
    assert torch.allclose(found @ found.T, COVARIANCE, rtol=0.05, atol=2e-3)
    scale = preconditioner(positions(50_000), "diagonal").factor
    assert torch.allclose(scale.square(), COVARIANCE.diagonal(), rtol=0.05)


def test_velocities_gradients_and_positions_belong_together():
    metric = preconditioner(positions(500), "dense")
    x, v = positions(7) - 100, positions(8)[:7]
    assert torch.allclose(metric.velocity(metric.whiten(x)), x)
    # v . A^T g = (A v) . g
    assert torch.allclose((v * metric.gradient(x)).sum(1), (metric.velocity(v) * x).sum(1))
    assert torch.allclose(metric.scale.square(), (metric.factor @ metric.factor.T).diagonal())


def test_few_positions_in_many_dimensions_are_shrunk_to_something_useful():
    """As many positions as dimensions: the sample covariance has no inverse, and what is returned is near the truth."""
    x = torch.randn(50, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    spread = torch.linalg.svdvals(preconditioner(x, "dense").factor)
    assert spread.max() / spread.min() < 2.5


@pytest.mark.parametrize(("n", "dense"), [(29, False), (30, True)])
def test_auto_wants_ten_positions_per_dimension(n, dense):
    assert preconditioner(positions(n), "auto").dense is dense


def test_a_coordinate_that_never_moved_keeps_a_scale():
    x = torch.cat([positions(100), torch.zeros(100, 1, dtype=torch.float64)], 1)
    for metric in ("dense", "diagonal"):
        assert bool((preconditioner(x, metric).scale > 0).all())


def test_the_scale_of_one_against_another():
    one, three = (Preconditioner(torch.full((2,), scale)) for scale in (1.0, 3.0))
    assert three.size_against(one) == pytest.approx(3)


def test_no_such_metric():
    with pytest.raises(InputError, match="metric: got 'full'"):
        check_metric("full")
