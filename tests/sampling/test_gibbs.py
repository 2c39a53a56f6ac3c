"""Gibbs: the known autoregression of two correlated normals, a discrete joint by enumeration, and bad conditionals."""

import pytest
import torch
from scipy import stats
from torch.distributions import Bernoulli, MultivariateNormal, Normal

from pushforward.core.errors import InputError
from pushforward.sampling.gibbs import gibbs_sample

RHO = 0.8
PAIR = {
    "x": lambda y: Normal(RHO * y, (1 - RHO**2) ** 0.5),
    "y": lambda x: Normal(RHO * x, (1 - RHO**2) ** 0.5),
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def zeros(chains: int, *names: str) -> dict[str, torch.Tensor]:
    return {name: torch.zeros(chains, dtype=torch.float64) for name in names}


@pytest.mark.parametrize("scan", ["systematic", "random"])
def test_two_correlated_normals(scan):
    # Chains are independent of each other given the scan: their last states are 20,000 independent draws.
    chains = gibbs_sample(PAIR, zeros(20_000, "x", "y"), draws=1, warmup=60, scan=scan, generator=seeded())
    x, y = chains["x"][:, 0], chains["y"][:, 0]
    assert stats.kstest(x.numpy(), "norm").pvalue > 1e-3
    assert stats.kstest(((x - RHO * y) / (1 - RHO**2) ** 0.5).numpy(), "norm").pvalue > 1e-3
    assert chains["x"].dtype == torch.float64


def test_a_systematic_sweep_keeps_rho_squared():
    chains = gibbs_sample(PAIR, zeros(20_000, "x", "y"), draws=2, warmup=40, generator=seeded())
    lag = torch.corrcoef(chains["y"].T)[0, 1]
    # The standard error of a correlation is at most 1/sqrt(20,000) = 0.007.
    assert float(lag) == pytest.approx(RHO**2, abs=0.03)


def test_a_discrete_joint_by_enumeration():
    # p(a, b) proportional to exp(a b + a / 2 - b / 2) on {0, 1}^2
    conditionals = {
        "a": lambda b: Bernoulli(logits=b + 0.5),
        "b": lambda a: Bernoulli(logits=a - 0.5),
    }
    chains = gibbs_sample(conditionals, zeros(40_000, "a", "b"), draws=1, warmup=30, generator=seeded())
    found = (2 * chains["a"] + chains["b"]).long().flatten().bincount(minlength=4)
    weights = torch.tensor([0.0, -0.5, 0.5, 1.0]).softmax(0)
    assert stats.chisquare(found.numpy(), (40_000 * weights.double() / weights.double().sum()).numpy()).pvalue > 1e-3


def test_variables_may_be_vectors_or_depend_on_nothing():
    conditionals = {
        "v": lambda s: MultivariateNormal(s[:, None] * torch.ones(3).double(), torch.eye(3).double()),
        "s": lambda: Normal(torch.tensor(2.0).double(), 1.0),
    }
    start = {"v": torch.zeros(5, 3, dtype=torch.float64), "s": torch.zeros(5, dtype=torch.float64)}
    chains = gibbs_sample(conditionals, start, draws=7, generator=seeded())
    assert chains["v"].shape == (5, 7, 3)
    assert chains["s"].shape == (5, 7)
    assert len(chains["s"].unique()) == 35


def test_the_start_is_left_alone_and_a_generator_decides():
    start = zeros(3, "x", "y")
    a, b = (gibbs_sample(PAIR, start, draws=4, scan="random", generator=seeded(2)) for _ in range(2))
    assert torch.equal(a["x"], b["x"])
    assert not start["x"].any()


def test_bad_input_is_named():
    start = zeros(3, "x", "y")
    for conditionals, message in (
        ({"x": lambda y: Normal(y, 1.0)}, "start: got"),
        ({"x": lambda x: Normal(x, 1.0), "y": lambda x: Normal(x, 1.0)}, "'x' depends on itself"),
        ({"x": lambda z: Normal(z, 1.0), "y": lambda x: Normal(x, 1.0)}, "'x' depends on 'z'"),
        ({"x": lambda y: y, "y": lambda x: Normal(x, 1.0)}, "'x' returns Tensor"),
        ({"x": lambda y: Normal(y[:2], 1.0), "y": lambda x: Normal(x, 1.0)}, "'x' has batch shape"),
        ({"x": lambda y: Normal(y[:, None], 1.0), "y": lambda x: Normal(x, 1.0)}, "'x' draws shape"),
        (
            {"x": lambda y: Normal(y, 1.0), "y": lambda x: Normal(x, torch.tensor(torch.inf), validate_args=False)},
            "'y' drew a number that is not finite",
        ),
    ):
        with pytest.raises(InputError, match=message):
            gibbs_sample(conditionals, start, draws=2)
    with pytest.raises(InputError, match="scan: got 'sideways'"):
        gibbs_sample(PAIR, start, draws=2, scan="sideways")
    with pytest.raises(InputError, match="draws: got 0"):
        gibbs_sample(PAIR, start, draws=0)
    with pytest.raises(InputError, match="warmup: got -1"):
        gibbs_sample(PAIR, start, draws=1, warmup=-1)
    with pytest.raises(InputError, match="start: got shapes"):
        gibbs_sample(PAIR, {"x": torch.zeros(2), "y": torch.zeros(3)}, draws=1)
