"""The scores of disentanglement at codes that are the factors, that know nothing of them, and that mix them."""

import pytest
import torch

from pushforward.core.errors import InputError
from pushforward.core.noise import Noise
from pushforward.evaluation.disentanglement import disentanglement_scores, mutual_information_gap, sap

FACTORS = torch.cartesian_prod(torch.arange(4), torch.arange(5), torch.arange(3)).repeat(20, 1)  # 1,200, independent
RANDOM = Noise(1, rows=len(FACTORS)).normal(4)


def test_codes_that_are_the_factors_score_one():
    # Scaled, mirrored, in another order: none of this matters.
    z = FACTORS[:, [2, 0, 1]].double() * torch.tensor([3.0, -1.0, 0.5]) + 7
    scores = disentanglement_scores(z, FACTORS)
    assert mutual_information_gap(z, FACTORS) == pytest.approx(1.0)
    assert sap(z, FACTORS) == pytest.approx(1.0)
    assert scores.disentanglement == pytest.approx(1.0) and scores.completeness == pytest.approx(1.0)
    assert scores.informativeness == 1.0
    assert scores.importance.argmax(0).tolist() == [1, 2, 0]


def test_codes_that_know_nothing_score_nothing():
    scores = disentanglement_scores(RANDOM, FACTORS)
    # The gap of two estimates, each with the bias (20 - 1)(5 - 1) / 2n = 0.03 nats of counting, of about equal size.
    assert mutual_information_gap(RANDOM, FACTORS) < 0.03
    assert sap(RANDOM, FACTORS) < 0.01  # squared correlations of about 1 / 1,200
    assert scores.disentanglement < 0.05 and scores.completeness < 0.05
    assert scores.informativeness < 0.1


def test_two_units_for_a_factor_leave_no_gap():
    z = torch.cat([FACTORS, FACTORS], dim=1).double()
    assert mutual_information_gap(z, FACTORS) == pytest.approx(0.0, abs=1e-9)
    assert sap(z, FACTORS) == pytest.approx(0.0, abs=1e-9)
    assert disentanglement_scores(z, FACTORS).disentanglement == pytest.approx(1.0)  # but no unit mixes factors


def test_mixed_codes_are_in_between():
    turn = torch.tensor([[1.0, 1.0, 0.0], [1.0, -1.0, 0.0], [0.0, 0.0, 1.0]])
    z = (FACTORS - FACTORS.double().mean(0)).float() @ turn
    scores = disentanglement_scores(z, FACTORS)
    assert 0.1 < scores.disentanglement < 0.9 and 0.1 < scores.completeness < 0.9
    # The third factor has a unit of its own, the other two share theirs: for them the gap nearly closes.
    assert 0.3 < mutual_information_gap(z, FACTORS) < 0.6
    assert 0.3 < sap(z, FACTORS) < 0.6


def test_what_cannot_be_used_is_refused():
    with pytest.raises(InputError, match="^z: got shape .* at least 2 units"):
        mutual_information_gap(RANDOM[:, :1], FACTORS)
    with pytest.raises(InputError, match="^factors: got shape .* expected 1200 rows"):
        sap(RANDOM, FACTORS[:10])
    with pytest.raises(InputError, match="^factors: got 1 of them"):
        disentanglement_scores(RANDOM, FACTORS[:, :1])
