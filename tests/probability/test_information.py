"""Every way to an amount of information against its closed form, and how often its interval covers it."""

import math

import pytest
import torch
from torch.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    Cauchy,
    Dirichlet,
    Exponential,
    Gamma,
    Independent,
    Laplace,
    LogNormal,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    StudentT,
    Uniform,
    kl_divergence,
)

from pushforward.core.errors import InputError
from pushforward.probability.information import Nats, cross_entropy, entropy, jensen_shannon, kl, mutual_information

MIDDLE, WIDE = Normal(0.0, 1.0), Normal(1.0, 2.0)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def double(*values: float) -> list[torch.Tensor]:
    return [torch.tensor(value, dtype=torch.float64) for value in values]


def plane(correlation: float) -> MultivariateNormal:
    covariance = torch.tensor([[1.0, correlation], [correlation, 1.0]], dtype=torch.float64)
    return MultivariateNormal(torch.zeros(2, dtype=torch.float64), covariance)


def two_modes() -> MixtureSameFamily:
    return MixtureSameFamily(
        Categorical(torch.tensor([0.3, 0.7]).double()),
        Normal(torch.tensor([-3.0, 2.0]).double(), torch.tensor([0.5, 1.0]).double()),
    )


# --- closed forms and sums --------------------------------------------------------------------------------------------


def test_closed_forms_are_named_and_agree_with_torch():
    found = kl(MIDDLE, WIDE)
    assert (found.method, found.kind, found.standard_error) == ("closed form", "exact", 0.0)
    assert found.value == pytest.approx(float(kl_divergence(MIDDLE, WIDE)))
    assert cross_entropy(MIDDLE, WIDE).value == pytest.approx(entropy(MIDDLE).value + found.value)
    assert entropy(MIDDLE).value == pytest.approx(0.5 * math.log(2 * math.pi * math.e))
    assert float(entropy(Uniform(0.0, 8.0))) == pytest.approx(math.log(8))
    assert entropy(Uniform(0.0, 8.0)).bits == pytest.approx(3)


def test_finite_distributions_are_summed():
    p, q = (Categorical(torch.tensor(w).double()) for w in ([0.5, 0.25, 0.25], [0.25, 0.5, 0.25]))
    middle = torch.tensor([0.375, 0.375, 0.25]).double()
    by_hand = 0.5 * sum(float((c.probs * (c.probs / middle).log()).sum()) for c in (p, q))
    found = jensen_shannon(p, q)
    assert (found.method, found.kind) == ("sum over 3 values", "exact")
    assert found.value == pytest.approx(by_hand, abs=1e-12)
    assert kl(p, q).value == pytest.approx(0.25 * math.log(2))


def test_the_information_of_a_gaussian_vector():
    side = Normal(*double(0.0, 1.0))
    found = mutual_information(side, side, plane(0.8))
    assert found.method == "closed form"
    assert found.value == pytest.approx(-0.5 * math.log(1 - 0.64))
    with pytest.raises(InputError, match="^covariance: got a singular one, where the information is infinite"):
        mutual_information(
            Normal(0.0, 1.0),
            Normal(0.0, 1.0),
            MultivariateNormal(torch.zeros(2), scale_tril=torch.tensor([[1.0, 0.0], [1.0, 1e-30]])),
        )


# --- quadrature -------------------------------------------------------------------------------------------------------

ON_A_LINE = {
    "normal": lambda: Normal(*double(-5.0, 0.01)),
    "cauchy": lambda: Cauchy(*double(0.0, 1.0)),
    "student": lambda: StudentT(*double(2.0, 1.0, 3.0)),
    "gamma": lambda: Gamma(*double(0.5, 3.0)),
    "beta": lambda: Beta(*double(0.5, 0.5)),
    "uniform": lambda: Uniform(*double(-1.0, 5.0)),
    "exponential": lambda: Exponential(*double(2.0)),
    "log-normal": lambda: LogNormal(*double(0.0, 1.5)),
    "laplace": lambda: Laplace(*double(0.0, 1.0)),
    "plane": lambda: plane(0.99),
}


@pytest.mark.parametrize("make", ON_A_LINE.values(), ids=ON_A_LINE.keys())
def test_quadrature_reaches_the_closed_form(make):
    found = entropy(make(), method="quadrature", generator=seeded(0))
    assert found.kind == "exact" and found.method.startswith("quadrature on")
    assert found.value == pytest.approx(float(make().entropy()), abs=2e-6)  # twice its tolerance


def test_a_mixture_has_no_closed_form_and_is_integrated():
    p, q = two_modes(), Normal(*double(0.0, 3.0))
    found, drawn = kl(p, q, generator=seeded(0)), kl(p, q, method="monte carlo", draws=100_000, generator=seeded(1))
    assert found.method.startswith("quadrature") and drawn.kind == "estimate"
    assert abs(found.value - drawn.value) < 4 * drawn.standard_error
    halves = jensen_shannon(p, q, generator=seeded(0)), jensen_shannon(q, p, generator=seeded(2))
    assert halves[0].value == pytest.approx(halves[1].value, abs=2e-6)
    drawn = jensen_shannon(p, q, method="monte carlo", draws=100_000, generator=seeded(1))
    assert abs(halves[0].value - drawn.value) < 4 * drawn.standard_error


def test_the_information_of_a_plane_is_integrated():
    side = Normal(*double(0.0, 1.0))
    found = mutual_information(side, side, plane(0.8), method="quadrature", generator=seeded(0))
    assert found.value == pytest.approx(-0.5 * math.log(1 - 0.64), abs=2e-6)


def test_where_quadrature_fails_draws_are_taken():
    p = Dirichlet(torch.tensor([1.0, 2.0, 3.0]).double())
    assert entropy(p).method == "closed form"
    p = Independent(Laplace(torch.zeros(3).double(), torch.ones(3).double()), 1)
    q = MultivariateNormal(torch.zeros(3).double(), torch.eye(3).double())
    found = kl(p, q, generator=seeded(0))
    exact = 3 * (0.5 * math.log(2 * math.pi) + 1 - math.log(2 * math.e))  # E x^2 = 2 of each entry
    assert found.method == "Monte Carlo, 10000 draws"
    assert abs(found.value - exact) < 4 * found.standard_error


# --- infinite answers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["exact", "quadrature", "monte carlo"])
def test_mass_where_the_other_has_none_is_an_infinite_divergence(method: str):
    found = kl(Normal(*double(0.0, 1.0)), Uniform(*double(-1.0, 1.0)), method=method, generator=seeded(0))
    assert found.value == math.inf
    assert "has none" in found.method
    assert kl(Uniform(*double(-1.0, 1.0)), Normal(*double(0.0, 1.0)), generator=seeded(0)).value < math.inf


def test_supports_that_do_not_meet():
    p, q = Uniform(*double(0.0, 1.0)), Uniform(*double(2.0, 3.0))
    assert kl(p, q).value == math.inf
    assert cross_entropy(p, q).value == math.inf
    assert jensen_shannon(p, q, generator=seeded(0)).value == pytest.approx(math.log(2))
    zero, one = Categorical(torch.tensor([1.0, 0.0])), Categorical(torch.tensor([0.0, 1.0]))
    # torch keeps probabilities of 0 at the smallest number, so the sum is large where it should be infinite: its limit.
    assert kl(zero, one).value > 10


# --- from samples -----------------------------------------------------------------------------------------------------


def test_samples_alone_are_enough():
    x, y = torch.randn(2000, 2, generator=seeded(0)), 1 + torch.randn(2000, 2, generator=seeded(1))
    found = kl(x, y)
    assert found.method == "nearest neighbours (Wang-Kulkarni-Verdu, k = 3)" and found.kind == "estimate"
    assert found.value == pytest.approx(1, abs=0.15)
    assert kl(x, MultivariateNormal(torch.ones(2), torch.eye(2)), generator=seeded(2)).value == pytest.approx(
        1, abs=0.15
    )
    assert cross_entropy(x, y).value == pytest.approx(math.log(2 * math.pi) + 2, abs=0.15)
    assert entropy(x).value == pytest.approx(math.log(2 * math.pi) + 1, abs=0.1)
    assert jensen_shannon(x[:100], y[:100], generator=seeded(3)).kind == "bound"


def test_a_model_is_scored_on_samples_without_neighbours():
    x = torch.randn(5000, generator=seeded(0))
    found = cross_entropy(x, WIDE)
    assert found.method == "Monte Carlo, 5000 draws"
    exact = cross_entropy(MIDDLE, WIDE).value
    assert abs(found.value - exact) < 4 * found.standard_error


# --- coverage ---------------------------------------------------------------------------------------------------------

REPEATS = 400

UNBIASED = {
    "entropy": (lambda g: entropy(Gamma(2.0, 3.0), method="monte carlo", draws=1000, generator=g), 0.4786034),
    "cross-entropy": (lambda g: cross_entropy(MIDDLE, WIDE, method="monte carlo", draws=1000, generator=g), 1.8620857),
    "kl": (lambda g: kl(MIDDLE, WIDE, method="monte carlo", draws=1000, generator=g), 0.4431472),
    "information": (
        lambda g: mutual_information(
            Normal(*double(0.0, 1.0)),
            Normal(*double(0.0, 1.0)),
            plane(0.6),
            method="monte carlo",
            draws=1000,
            generator=g,
        ),
        -0.5 * math.log(1 - 0.36),
    ),
    "jensen-shannon": (lambda g: jensen_shannon(MIDDLE, WIDE, method="monte carlo", draws=1000, generator=g), None),
}


def covered(find, truth: float) -> int:
    """In how many repeats the 95 % interval covers the truth."""
    low, high = torch.tensor([find(seeded(seed)).interval for seed in range(REPEATS)]).T
    return int(((low < truth) & (truth < high)).sum())


@pytest.mark.slow
@pytest.mark.parametrize("name", UNBIASED)
def test_intervals_of_unbiased_estimates_cover(name: str):
    find, truth = UNBIASED[name]
    if truth is None:
        truth = jensen_shannon(Normal(*double(0.0, 1.0)), Normal(*double(1.0, 2.0)), generator=seeded(0)).value
    count = covered(find, truth)
    print(f"{name}: {count} of {REPEATS} intervals cover {truth:.6f}")
    assert 366 <= count <= 392  # 380, give or take three standard deviations of a binomial


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: entropy(torch.tensor([0.0, math.nan])), "p: got nan in sample 1, expected finite numbers"),
        (lambda: entropy(torch.tensor([0.0])), "p: got 1 sample"),
        (lambda: entropy(torch.ones(10)), "x: the 10 samples are identical"),
        (lambda: entropy(torch.arange(5)), "p: got samples of torch.int64"),
        (lambda: entropy(Normal(torch.zeros(3), 1.0)), r"p: got a batch of distributions of shape \(3,\)"),
        (lambda: kl(torch.zeros(5, 2), torch.zeros(5, 3)), "q: got 3 entries per sample, expected 2 as in p"),
        (lambda: kl(MIDDLE, torch.tensor([1.0, math.inf])), "q: got inf in sample 1"),
        (lambda: kl(MIDDLE, WIDE, method="guess"), "method: got 'guess', expected one of auto, exact"),
        (lambda: entropy(MIDDLE, method="bound"), "method: there is no 'bound' way to this entropy"),
        (lambda: kl(two_modes(), two_modes(), method="exact"), "method: there is no 'exact' way to this KL"),
        (lambda: kl(MIDDLE, WIDE, draws=0), "draws: got 0"),
        (lambda: mutual_information(MIDDLE, MIDDLE), "joint: got none, expected the distribution of x and y"),
        (lambda: mutual_information(MIDDLE, MIDDLE, plane(0.1).expand((2,))), "joint: got a batch"),
        (lambda: mutual_information(MIDDLE, torch.zeros(3), plane(0.1)), "joint: got one with samples of x or y"),
        (lambda: mutual_information(MIDDLE, plane(0.1), plane(0.1)), r"joint: got events of shape \(2,\)"),
        (lambda: mutual_information(torch.randn(9), torch.randn(8)), "y: got 8 samples for 9 of x"),
    ],
)
def test_what_cannot_be_used_is_named(ask, message: str):
    with pytest.raises(InputError, match=f"^{message}"):
        ask()


def test_no_global_state_is_moved_by_a_generator():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    one, two = (kl(MIDDLE, WIDE, method="monte carlo", generator=seeded(3)) for _ in range(2))
    assert one == two and isinstance(one, Nats)
    assert torch.equal(before, torch.get_rng_state())
    assert kl(MIDDLE, WIDE, method="monte carlo") != kl(MIDDLE, WIDE, method="monte carlo")
    assert entropy(Bernoulli(0.5)).value == pytest.approx(math.log(2))
