"""Directed models: exact joints by enumeration and in closed form, and graphs that are none."""

import itertools
import math

import pytest
import torch
from scipy import stats
from torch.distributions import Bernoulli, Categorical, MultivariateNormal, Normal

from pushforward.core.errors import InputError
from pushforward.probability.weights import log_mean_weight, self_normalised_mean
from pushforward.sampling.ancestral import DirectedModel

SPRINKLER = DirectedModel(
    {
        "wet": lambda rain, sprinkler: Bernoulli(0.05 + 0.9 * torch.maximum(rain, sprinkler)),
        "sprinkler": lambda rain: Bernoulli(0.4 - 0.35 * rain),
        "rain": lambda: Bernoulli(torch.tensor(0.2)),
    }
)
CHAIN = DirectedModel(
    {
        "x": lambda: Normal(torch.tensor(1.0).double(), 1.0),
        "y": lambda x: Normal(0.5 * x, 0.5),
        "z": lambda x, y: Normal(x - y, 2.0),
    }
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def table() -> dict[tuple[float, float, float], float]:
    """p(rain, sprinkler, wet) by hand."""
    joint = {}
    for rain, sprinkler, wet in itertools.product((0.0, 1.0), repeat=3):
        p_sprinkler = 0.05 if rain else 0.4
        p_wet = 0.95 if rain or sprinkler else 0.05
        joint[rain, sprinkler, wet] = (
            (0.2 if rain else 0.8) * (p_sprinkler if sprinkler else 1 - p_sprinkler) * (p_wet if wet else 1 - p_wet)
        )
    return joint


def test_parents_come_first():
    assert SPRINKLER.order == ("rain", "sprinkler", "wet")
    assert SPRINKLER.parents["wet"] == ("rain", "sprinkler")


def test_the_joint_is_the_product_of_the_conditionals():
    joint = table()
    values = torch.tensor(list(joint))
    found = SPRINKLER.log_joint(dict(zip(("rain", "sprinkler", "wet"), values.T, strict=True))).exp()
    assert found.tolist() == pytest.approx(list(joint.values()), rel=1e-5)
    assert float(found.sum()) == pytest.approx(1.0, abs=1e-6)


def test_the_draws_have_the_joint_law():
    draws = SPRINKLER.sample(40_000, generator=seeded())
    joint = table()
    code = (4 * draws["rain"] + 2 * draws["sprinkler"] + draws["wet"]).long().bincount(minlength=8)
    assert stats.chisquare(code.numpy(), [40_000 * p for p in joint.values()]).pvalue > 1e-3


def test_a_linear_gaussian_graph_is_a_gaussian():
    draws = CHAIN.sample(40_000, generator=seeded())
    stacked = torch.stack([draws["x"], draws["y"], draws["z"]])
    # x = 1 + e1; y = x/2 + e2/2; z = x - y + 2 e3
    root = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.5, -0.5, 2.0]], dtype=torch.float64)
    covariance = root @ root.T
    # The standard error of a covariance is at most sqrt(2 * 4.5^2 / 40,000) = 0.032.
    assert torch.allclose(torch.cov(stacked), covariance, atol=0.13)
    law = MultivariateNormal(torch.tensor([1.0, 0.5, 0.5]).double(), covariance)
    assert torch.allclose(CHAIN.log_joint(draws), law.log_prob(stacked.T))


def test_the_posterior_by_weighting():
    joint = table()
    wet = sum(p for (_, _, w), p in joint.items() if w)
    rain = sum(p for (r, _, w), p in joint.items() if w and r) / wet
    draws, log_weights = SPRINKLER.weigh(20_000, {"wet": 1.0}, generator=seeded())
    value, error = self_normalised_mean(draws["rain"], log_weights)
    assert abs(float(value) - rain) < 4 * float(error) < 0.05
    log_p, error = log_mean_weight(log_weights)
    assert abs(float(log_p) - math.log(wet)) < 4 * float(error) < 0.05
    assert bool((draws["wet"] == 1).all())


@pytest.mark.slow
def test_the_intervals_of_the_evidence_cover_it_as_often_as_they_say():
    wet = sum(p for (_, _, w), p in table().items() if w)
    hits = 0
    for seed in range(400):
        _, log_weights = SPRINKLER.weigh(1000, {"wet": 1.0}, generator=seeded(seed))
        log_p, relative = log_mean_weight(log_weights)
        hits += abs(math.exp(float(log_p)) - wet) <= 1.959964 * math.exp(float(log_p)) * float(relative)
    # 95 % of 400 is 380, with a standard deviation of 4.4.
    assert 366 <= hits <= 392


def test_variables_of_any_shape():
    model = DirectedModel(
        {
            "k": lambda: Categorical(torch.tensor([0.5, 0.5])),
            "x": lambda k: Normal(torch.tensor([[-1.0, -2.0], [1.0, 2.0]])[k], 0.1),
            "free": lambda k: Normal(0.0, 1.0),
        }
    )
    draws = model.sample(6, generator=seeded())
    assert {name: tuple(value.shape) for name, value in draws.items()} == {"k": (6,), "x": (6, 2), "free": (6,)}
    assert model.log_joint(draws).shape == (6,)
    assert torch.allclose(model.log_joint(draws), sum(model.log_terms(draws).values(), torch.zeros(6)))
    _, log_weights = model.weigh(2, {"x": torch.tensor([1.0, 2.0])}, generator=seeded())
    assert log_weights.shape == (2,)


def test_a_vector_without_parents_is_one_draw():
    model = DirectedModel({"w": lambda: Normal(torch.zeros(3), 1.0)})
    assert model.sample(3)["w"].shape == (3, 3)
    assert model.log_joint({"w": torch.zeros(5, 3)}).tolist() == pytest.approx([-1.5 * math.log(2 * math.pi)] * 5)


def test_a_generator_decides_everything_and_touches_nothing():
    state = torch.get_rng_state()
    a, b = CHAIN.sample(10, generator=seeded(1)), CHAIN.sample(10, generator=seeded(1))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert torch.equal(state, torch.get_rng_state())


def test_graphs_that_are_none():
    with pytest.raises(InputError, match="conditionals: (a -> b -> a|b -> a -> b) is a cycle"):
        DirectedModel({"a": lambda b: Normal(b, 1.0), "b": lambda a: Normal(a, 1.0)})
    with pytest.raises(InputError, match="conditionals: a -> a is a cycle"):
        DirectedModel({"a": lambda a: Normal(a, 1.0)})
    with pytest.raises(InputError, match="conditionals: 'a' depends on 'c'"):
        DirectedModel({"a": lambda c: Normal(c, 1.0)})
    with pytest.raises(InputError, match="conditionals: got none"):
        DirectedModel({})


def test_bad_input_is_named():
    with pytest.raises(InputError, match="conditionals: 'a' returns Tensor"):
        DirectedModel({"a": lambda: torch.zeros(3)}).sample(3)
    with pytest.raises(InputError, match=r"conditionals: 'b' has batch shape \(2,\) for 5 draws"):
        DirectedModel({"a": lambda: Normal(0.0, 1.0), "b": lambda a: Normal(a[:2], 1.0)}).sample(5)
    with pytest.raises(InputError, match="observed: got 'snow'"):
        SPRINKLER.weigh(5, {"snow": 1.0})
    with pytest.raises(InputError, match=r"observed: got shape \(2,\) for 'wet'"):
        SPRINKLER.weigh(5, {"wet": torch.ones(2)})
    with pytest.raises(InputError, match="values: got"):
        SPRINKLER.log_joint({"rain": torch.zeros(2)})
    with pytest.raises(InputError, match="values: 'wet' has 3 rows, expected 2"):
        SPRINKLER.log_joint({"rain": torch.zeros(2), "sprinkler": torch.zeros(2), "wet": torch.zeros(3)})
