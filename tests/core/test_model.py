"""Counts that make no sense are refused in one sentence, and a model that draws NaN never becomes an example."""

import pytest
import torch

from pushforward.core.errors import InputError
from pushforward.core.modality import Image, Points
from pushforward.probability.baselines import Gaussian


@pytest.mark.parametrize(("name", "value"), [("n", 0), ("n", 2.0), ("n", True), ("batch_size", 0), ("batch_size", -3)])
def test_a_sample_needs_whole_numbers_of_at_least_one(name, value):
    model = Gaussian(example=Points(dim=2))
    with pytest.raises(InputError, match=f"^{name}: got {value!r}, expected a whole number of at least 1$"):
        model.sample(**{"n": 3, name: value})


@pytest.mark.parametrize("name", ["samples", "batch_size"])
@pytest.mark.parametrize("value", [0, -1])
def test_a_score_needs_whole_numbers_of_at_least_one(name, value):
    model = Gaussian(example=Points(dim=2))
    with pytest.raises(InputError, match=f"^{name}: got {value}, expected"):
        model.log_prob(torch.zeros(1, 2).double(), **{name: value})


@pytest.mark.parametrize("example", [Points(dim=2), Image(height=2, width=2)])
def test_a_model_that_draws_nan_says_so(example):
    model = Gaussian(example=example)
    model.draw = lambda n, condition, *, noise, sampler: torch.full((n, *model.shape), float("nan"))
    with pytest.raises(FloatingPointError, match="Gaussian drew a number that is not finite"):
        model.sample(2)
