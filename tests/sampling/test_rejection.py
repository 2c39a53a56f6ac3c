"""Rejection: the constant is found, the draws are right, and an envelope that is violated never passes."""

import math

import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.distributions import Beta, Cauchy, Distribution, Gamma, Independent, Laplace, Normal, StudentT, Uniform

from pushforward.core.errors import InputError
from pushforward.probability.weights import Estimate
from pushforward.sampling.rejection import Rejection, find_envelope, rejection_sample

ONE = torch.ones(2, dtype=torch.float64)
SQUARE = Independent(Uniform(-ONE, ONE), 1)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def double(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def disk(x: Tensor) -> Tensor:
    return torch.where(x.square().sum(1) < 1, 0.0, -torch.inf).double()


def beta(x: Tensor) -> Tensor:
    """x (1 - x)^3, whose integral is B(2, 4) = 1/20."""
    return x.log() + 3 * torch.log1p(-x)


@pytest.mark.parametrize(
    ("log_target", "proposal", "answer"),
    [
        (Normal(double(0.0), 1.0).log_prob, Cauchy(double(0.0), 1.0), math.sqrt(2 * math.pi / math.e)),
        (Normal(double(0.0), 1.0).log_prob, Laplace(double(0.0), 1.0), math.sqrt(2 * math.e / math.pi)),
        (beta, Uniform(double(0.0), 1.0), 0.25 * 0.75**3),
        (disk, SQUARE, 4.0),
        (Normal(double(3.0), 0.01).log_prob, Normal(double(0.0), 5.0), None),
    ],
    ids=["cauchy", "laplace", "beta", "disk", "narrow"],
)
def test_the_constant_is_the_supremum(log_target, proposal: Distribution, answer: float | None):
    if answer is None:  # the supremum of N(3, s^2) / N(0, 25) is at 3 / (1 - s^2 / 25)
        x = double(3 / (1 - 1e-4 / 25))
        answer = math.exp(float(log_target(x) - proposal.log_prob(x)))
    found = find_envelope(log_target, proposal, generator=seeded())
    # A margin of 1e-6 above, and next to nothing missed.
    assert found.log_constant == pytest.approx(math.log(answer) + 1e-6, abs=1e-8)


def test_the_constant_of_correlated_dimensions_is_found():
    root = torch.tensor([[1.0, 0.0], [0.9, 0.2]], dtype=torch.float64)
    target = torch.distributions.MultivariateNormal(torch.zeros(2, dtype=torch.float64), scale_tril=root)
    wide = torch.distributions.MultivariateNormal(torch.zeros(2, dtype=torch.float64), 4 * torch.eye(2).double())
    # Both are largest at 0: M = sqrt(det 4I / det(L L')) = 4 / 0.2.
    found = find_envelope(target.log_prob, wide, generator=seeded())
    assert found.log_constant == pytest.approx(math.log(20.0), abs=1e-5)


def test_a_far_mode_is_found():
    def two_modes(x: Tensor) -> Tensor:
        near, far = Normal(double(0.0), 1.0).log_prob(x), Normal(double(60.0), 1.0).log_prob(x)
        return torch.logaddexp(near, far)

    heavy = Cauchy(double(0.0), 1.0)
    highest = float(two_modes(double(60.0)) - heavy.log_prob(double(60.0)))
    assert find_envelope(two_modes, heavy, generator=seeded()).log_constant == pytest.approx(highest, abs=1e-2)


@pytest.mark.parametrize(
    ("target", "proposal"),
    [
        (Cauchy(double(0.0), 1.0), Normal(double(0.0), 1.0)),
        (Cauchy(double(0.0), 1.0), StudentT(double(2.0))),
        (Normal(double(0.0), 2.0), Normal(double(0.0), 1.9)),
    ],
)
def test_tails_too_light_are_named(target: Distribution, proposal: Distribution):
    with pytest.raises(InputError, match="proposal: .*grows far out.*heavy"):
        find_envelope(target.log_prob, proposal, generator=seeded())


def test_a_violated_envelope_names_the_point_and_the_constant():
    with pytest.raises(InputError, match=r"log_constant: got -3.*violated at x = 0\.2.*needs -2\.2"):
        rejection_sample(beta, Uniform(double(0.0), 1.0), 1000, log_constant=-3.0, generator=seeded())


def test_the_tight_constant_is_no_violation():
    # p = q to rounding, in float32 too: every point is kept.
    for law in (Normal(0.0, 1.0), Normal(double(0.0), 1.0)):
        drawn = rejection_sample(law.log_prob, law, 10_000, log_constant=0.0, generator=seeded())
        assert drawn.proposals == 10_000


def test_the_draws_have_the_law_of_the_target():
    drawn = rejection_sample(beta, Uniform(double(0.0), 1.0), 20_000, generator=seeded())
    assert drawn.samples.dtype == torch.float64
    assert stats.kstest(drawn.samples.numpy(), stats.beta(2, 4).cdf).pvalue > 1e-3
    points = rejection_sample(disk, SQUARE, 20_000, generator=seeded()).samples
    # The squared radius and the angle of a uniform point of the disk are uniform.
    assert stats.kstest(points.square().sum(1).numpy(), "uniform").pvalue > 1e-3
    angle = torch.atan2(points[:, 1], points[:, 0]) / (2 * math.pi) + 0.5
    assert stats.kstest(angle.numpy(), "uniform").pvalue > 1e-3


def test_the_count_of_proposals_is_up_to_the_last_that_is_kept():
    # Every proposal is kept: none is counted beyond those needed.
    all_kept = rejection_sample(lambda x: torch.zeros_like(x), Uniform(double(0.0), 1.0), 100, log_constant=0.0)
    assert all_kept.proposals == 100
    assert float(all_kept.acceptance.value) == 1.0
    assert float(all_kept.normaliser.value) == 1.0


def test_one_draw_says_nothing_of_the_error():
    one = rejection_sample(beta, Uniform(double(0.0), 1.0), 1, generator=seeded())
    assert float(one.acceptance.standard_error) == math.inf


def covered(estimate: Estimate, answer: float) -> bool:
    return abs(float(estimate.value) - answer) <= 1.959964 * float(estimate.standard_error)


@pytest.mark.slow
def test_the_intervals_cover_the_answer_as_often_as_they_say():
    log_constant = math.log(0.25 * 0.75**3)
    share = normaliser = 0
    for seed in range(400):
        law = Uniform(double(0.0), 1.0)
        drawn = rejection_sample(beta, law, 1000, log_constant=log_constant, generator=seeded(seed))
        share += covered(drawn.acceptance, 0.05 / math.exp(log_constant))
        normaliser += covered(drawn.normaliser, 0.05)
    # 95 % of 400 is 380, with a standard deviation of 4.4.
    assert 366 <= share <= 392
    assert 366 <= normaliser <= 392


def test_the_acceptance_is_unbiased_even_from_few_draws():
    # Three kept points with probability 1/2 each: Haldane's estimate 2 / (N - 1), averaged over the law of N.
    shares = torch.tensor([float(Rejection(torch.zeros(3), n, 0.0).acceptance.value) for n in range(3, 60)])
    law = torch.tensor([math.comb(n - 1, 2) * 0.5**n for n in range(3, 60)])
    assert float(shares @ law) == pytest.approx(0.5, abs=1e-6)
    variance = torch.tensor(
        [float(Rejection(torch.zeros(3), n, 0.0).acceptance.standard_error) ** 2 for n in range(3, 60)]
    )
    assert float(variance @ law) == pytest.approx(float(shares**2 @ law) - 0.25, abs=1e-6)


def test_bad_input_is_named():
    uniform = Uniform(double(0.0), 1.0)
    with pytest.raises(InputError, match="log_target: -inf at all"):
        rejection_sample(lambda x: torch.full_like(x, -torch.inf), uniform, 10)
    with pytest.raises(InputError, match="log_target: got nan at x"):
        rejection_sample(lambda x: torch.full_like(x, torch.nan), uniform, 10)
    with pytest.raises(InputError, match="log_target: got .*one number each"):
        rejection_sample(lambda x: x.sum(), uniform, 10)
    with pytest.raises(InputError, match="log_constant: got inf"):
        rejection_sample(beta, uniform, 10, log_constant=math.inf)
    with pytest.raises(InputError, match="max_proposals: 0 of 1000 points were kept where 10"):
        rejection_sample(beta, uniform, 10, log_constant=40.0, max_proposals=1000)
    with pytest.raises(InputError, match="n: got 0"):
        rejection_sample(beta, uniform, 0)


def test_a_target_undefined_outside_of_the_proposals_support_is_not_asked_there():
    def strict(x: Tensor) -> Tensor:
        assert bool(((x >= 0) & (x <= 1)).all())
        return Beta(double(2.0), double(4.0)).log_prob(x)

    assert len(rejection_sample(strict, Uniform(double(0.0), 1.0), 50).samples) == 50


def test_discreteness_of_the_proposal_does_not_matter_to_its_shape():
    # A proposal of any event shape: here matrices.
    law = Independent(Gamma(2 * torch.ones(2, 3).double(), 1.0), 2)
    drawn = rejection_sample(law.log_prob, law, 20, log_constant=0.0)
    assert drawn.samples.shape == (20, 2, 3)
