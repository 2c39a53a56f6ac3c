"""Resampling: the expected number of copies, and what each scheme promises about the actual one."""

from typing import get_args

import pytest
import torch

from pushforward.core.errors import InputError
from pushforward.sampling.resampling import Scheme, resample

WEIGHTS = torch.tensor([0.05, 0.0, 0.25, 0.4, 0.3], dtype=torch.float64)


def counts(scheme: Scheme, n: int, repeats: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    indices = resample(WEIGHTS.log().expand(repeats, -1), n, scheme=scheme, generator=generator)
    return torch.nn.functional.one_hot(indices, len(WEIGHTS)).sum(1).double()


@pytest.mark.parametrize("scheme", get_args(Scheme))
def test_every_scheme_is_unbiased(scheme: Scheme):
    found = counts(scheme, 7, 20_000)
    # A count of 7 trials has a variance of at most 7/4: five standard errors of the mean of 20,000 are 0.047.
    assert torch.allclose(found.mean(0), 7 * WEIGHTS, atol=0.047)
    assert not found[:, 1].any()  # a weight of zero is never taken


def test_the_schemes_differ_in_variance_as_they_should():
    spread = {scheme: float(counts(scheme, 7, 5000).var(0).sum()) for scheme in get_args(Scheme)}
    multinomial = float((7 * WEIGHTS * (1 - WEIGHTS)).sum())
    # The sum of sample variances of 5,000 repeats is within 5 % of its expectation, by far.
    assert spread["multinomial"] == pytest.approx(multinomial, rel=0.05)
    assert spread["systematic"] < spread["stratified"] < spread["multinomial"]


def test_the_comb_is_within_one_of_the_expected_count():
    found = counts("systematic", 7, 1000)
    assert bool(((found >= (7 * WEIGHTS).floor()) & (found <= (7 * WEIGHTS).floor() + 1)).all())


@pytest.mark.parametrize("scheme", get_args(Scheme))
def test_a_generator_decides_everything(scheme: Scheme):
    a, b = (resample(WEIGHTS.log(), 50, scheme=scheme, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(a, b)


def test_many_tiny_weights_in_float32_are_all_reached():
    indices = resample(torch.zeros(100_000), scheme="systematic")
    # Equal weights: the comb takes each once, but for rounding at the edges of the cells.
    assert len(indices) == 100_000
    assert len(indices.unique()) > 99_990


def test_bad_input_is_named():
    with pytest.raises(InputError, match="log_weights: all are -inf"):
        resample(torch.full((3,), -torch.inf))
    with pytest.raises(InputError, match="scheme: got 'residual'"):
        resample(torch.zeros(3), scheme="residual")
    with pytest.raises(InputError, match="n: got 0"):
        resample(torch.zeros(3), 0)
