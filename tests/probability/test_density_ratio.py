"""Density ratios against the ratio that is known, and what they are for."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal

from pushforward.core.errors import InputError
from pushforward.probability.critic import logistic_loss, platt_scaling
from pushforward.probability.density_ratio import Ratio, fit_ratio, two_sample_test
from pushforward.probability.kernel_ratios import fit_kliep, fit_ulsif
from pushforward.probability.nats import Nats

METHODS = ("classifier", "kliep", "ulsif", "telescoping")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sides(n: int, shift: float, seed: int = 0, dim: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = seeded(seed)
    return torch.randn(n, dim, generator=generator) + shift, torch.randn(n, dim, generator=generator)


@pytest.mark.parametrize("method", METHODS)
def test_the_ratio_of_two_normals_is_found(method: str):
    p, q = sides(600, 1.0)
    ratio = fit_ratio(p, q, method=method, generator=seeded(1))
    x = torch.linspace(-1.5, 2.5, 50)[:, None]
    exact = x[:, 0] - 0.5
    # A finite sum of bumps is level where the exact logarithm goes on to fall.
    least = {"kliep": 0.95, "ulsif": 0.93}.get(method, 0.98)
    assert torch.corrcoef(torch.stack((ratio.log_ratio(x), exact)))[0, 1] > least
    assert ratio.kl.method == f"density ratio ({method})" and ratio.kl.kind == "estimate"
    assert abs(ratio.kl.value - 0.5) < 0.1 + 4 * ratio.kl.standard_error
    assert ratio.weights(q).mean().item() == pytest.approx(1, rel=1e-4)
    # E_q r^2 = e, so the weights leave 1 / e of the samples; a ridge makes them more alike.
    assert ratio.effective_sample_size(q) / 600 == pytest.approx(math.exp(-1), abs=0.3)


@pytest.mark.slow
def test_the_best_is_within_a_twentieth_of_the_divergence_in_ten_dimensions():
    i = torch.arange(10).double()
    p = MultivariateNormal(torch.full((10,), 10**-0.5).double(), 0.5 ** (i[:, None] - i).abs())
    q = MultivariateNormal(torch.zeros(10).double(), torch.eye(10).double())
    with torch.random.fork_rng():
        torch.manual_seed(0)
        x, y, fresh = p.sample((10_000,)), q.sample((10_000,)), p.sample((5000,))
    truth = 1.7946
    ratio = fit_ratio(x.float(), y.float(), method="telescoping", generator=seeded(0))
    exact = p.log_prob(fresh) - q.log_prob(fresh)
    assert ratio.kl.value == pytest.approx(truth, rel=0.05)
    assert torch.corrcoef(torch.stack((ratio.log_ratio(fresh.float()).double(), exact)))[0, 1] > 0.98


def test_weights_repair_a_shift_of_the_inputs():
    """A line fitted to a parabola depends on where the inputs lie."""
    target, source = sides(2000, 1.0, seed=3)
    weights = fit_ratio(target, source, method="kliep", generator=seeded(0)).weights(source)

    def slope(x: torch.Tensor, w: torch.Tensor) -> float:
        design = torch.cat((x, torch.ones_like(x)), 1)
        return float(torch.linalg.solve((design * w[:, None]).T @ design, (design * w[:, None]).T @ x[:, 0] ** 2)[0])

    plain, repaired = slope(source, torch.ones(2000)), slope(source, weights)
    # E x^3 - ...: the best slope at N(1, 1) is 2, at N(0, 1) it is 0.
    assert abs(plain) < 0.3 and repaired == pytest.approx(2, abs=0.4)


def test_a_ratio_in_double_precision_and_of_any_shape():
    p, q = sides(100, 1.0, dim=4)
    ratio = fit_ratio(p.double().view(100, 2, 2), q.double().view(100, 2, 2), method="ulsif", generator=seeded(0))
    assert ratio.log_ratio(q.double().view(100, 2, 2)).dtype == torch.float64
    with pytest.raises(InputError, match="^x: got samples of 3 entries, expected 4"):
        ratio.log_ratio(torch.zeros(5, 3))


def test_the_same_generator_learns_the_same():
    p, q = sides(100, 1.0)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    one, two = (fit_ratio(p, q, generator=seeded(7)).log_ratio(q) for _ in range(2))
    assert torch.equal(one, two)
    assert torch.equal(before, torch.get_rng_state())


# --- the test ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["ulsif", "classifier"])
def test_samples_that_differ_are_told_apart(method: str):
    p, q = sides(200, 0.7)
    found = two_sample_test(p, q, method=method, shuffles=199, generator=seeded(0))
    assert found.p_value == 1 / 200 and found.statistic > 0


@pytest.mark.slow
def test_p_values_of_equal_distributions_are_uniform():
    found = torch.tensor(
        [
            two_sample_test(*sides(60, 0.0, seed=s), method="ulsif", shuffles=99, generator=seeded(s)).p_value
            for s in range(400)
        ]
    )
    for level in (0.05, 0.2, 0.5):
        share, error = float((found <= level).double().mean()), math.sqrt(level * (1 - level) / 400)
        assert abs(share - level) < 3.5 * error, f"{share} of p-values are at most {level}"


# --- the parts --------------------------------------------------------------------------------------------------------


def test_scaling_undoes_an_exaggeration():
    p, q = sides(4000, 1.0)
    exact = [x[:, 0] - 0.5 for x in (p, q)]
    alpha, beta = platt_scaling(*(3 * t + 1 for t in exact))
    assert alpha == pytest.approx(1 / 3, abs=0.03) and beta == pytest.approx(-1 / 3, abs=0.1)
    scaled = [alpha * (3 * t + 1) + beta for t in exact]
    assert logistic_loss(*scaled) <= logistic_loss(*exact) + 1e-6


@pytest.mark.parametrize("fit", [fit_kliep, fit_ulsif])
def test_sums_of_bumps_average_to_one(fit):
    p, q = sides(2000, 1.0)
    found = fit(p, q, generator=seeded(0))
    # KLIEP has it as a constraint, but for bumps that no sample of q feels; uLSIF comes near.
    assert found(q).exp().mean().item() == pytest.approx(1, abs=0.1)
    assert (found.weights >= 0).all()
    assert torch.isfinite(found(torch.tensor([[1e6]]))).all()


def test_weights_that_are_all_zero_are_refused():
    nothing = Ratio(
        (lambda x: torch.full((len(x),), -torch.inf),),
        torch.zeros(1),
        torch.ones(1),
        1.0,
        0.0,
        Nats(0.0, 0.0, "by hand", "estimate"),
        "classifier",
    )
    with pytest.raises(InputError, match="all are -inf, so every weight is zero"):
        nothing.effective_sample_size(torch.zeros(3, 1))
    with pytest.raises(InputError, match="all are -inf, so every weight is zero"):
        nothing.weights(torch.zeros(3, 1))


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: fit_ratio(torch.zeros(19), torch.zeros(50)), r"p: got 19 sample\(s\), expected at least 20"),
        (lambda: fit_ratio(torch.ones(50), torch.randn(50)), "p: the 50 samples are identical"),
        (lambda: fit_ratio(torch.randn(50), torch.full((50,), torch.nan)), "q: got nan in sample 0"),
        (lambda: fit_ratio(torch.randn(50, 2), torch.randn(50)), "q: got samples of 1 entries, expected 2 as in p"),
        (lambda: fit_ratio(torch.randn(50), torch.randn(50), method="guess"), "method: got 'guess', expected one of"),
        (lambda: two_sample_test(torch.randn(50), torch.randn(50), method="guess"), "method: got 'guess'"),
        (lambda: two_sample_test(torch.randn(50), torch.randn(50), shuffles=0), "shuffles: got 0"),
    ],
)
def test_what_no_ratio_is_learned_from_is_refused(ask, message: str):
    with pytest.raises(InputError, match=f"^{message}"):
        ask()


def test_a_known_ratio_has_a_known_loss():
    # ln 2 less the Jensen-Shannon divergence of N(0, 1) and N(1, 1), 0.1132 by quadrature: four errors of 20,000 draws.
    p, q = sides(20_000, 1.0)
    loss = logistic_loss(*(Normal(1.0, 1.0).log_prob(x[:, 0]) - Normal(0.0, 1.0).log_prob(x[:, 0]) for x in (p, q)))
    assert loss.item() == pytest.approx(math.log(2) - 0.1132, abs=0.01)
