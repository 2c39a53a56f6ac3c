"""Storage as real vectors: the documented formulas, gaps and constants of tables, and what has no vector."""

import math

import pytest
import torch
from scipy.stats import norm

from pushforward.core.errors import InputError
from pushforward.core.table import Column, Table
from pushforward.evaluation.vectors import fit_vectors
from tests.small_data import digits, points, table, text


def test_pixels_are_the_middles_of_their_cells():
    data = digits(20)
    x = data.train.x[:4]
    vectors = fit_vectors(data.example, x)(x)
    assert vectors.shape == (4, 1, 8, 8)
    torch.testing.assert_close(vectors, (2 * x.float() + 1) / 17 - 1)  # 17 levels on [-1, 1]


def test_points_are_standardised_by_the_training_split_and_a_constant_entry_is_zero():
    data = points()
    x = torch.cat([data.train.x, torch.full((len(data.train.x), 1), 7.0)], 1)
    vectors = fit_vectors(type(data.example)(dim=3), x)(x)
    torch.testing.assert_close(vectors[:, :2].mean(0), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(vectors[:, :2].std(0, correction=0), torch.ones(2))
    assert bool((vectors[:, 2] == 0).all())


def test_numbers_of_a_table_are_normal_scores():
    example = Table(columns=(Column(name="v"),))
    x = torch.linspace(0, 1, 1001).double()[:, None] ** 3  # any increasing map of evenly spaced numbers
    scores = fit_vectors(example, x)(x)[:, 0]
    for share in (0.1, 0.25, 0.5, 0.9):
        # The histogram has about 32 bins, within which F is a straight line: right to a hundredth.
        assert scores[round(share * 1000)].item() == pytest.approx(norm.ppf(share), abs=0.02)


def test_a_table_has_columns_for_numbers_gaps_and_categories_and_none_for_a_constant():
    data = table()
    x = data.train.x
    vectors = fit_vectors(data.example, x)(x)
    assert vectors.shape[1] == 2 + 1 + 3 + 3  # age and size; size missing; kind; colour and its gap; no unit
    assert bool(torch.isfinite(vectors).all())
    gaps = torch.isnan(x[:, 1])
    assert bool((vectors[gaps, 1] == 0).all())
    assert torch.equal(vectors[:, 2] == 1, gaps)
    assert torch.equal(vectors[:, 8] == 1, torch.isnan(x[:, 3]))


def test_a_gap_that_cannot_be_is_seen():
    data = table()
    x = data.train.x[:3].clone()
    x[0, 0] = math.nan  # age
    x[1, 2] = math.nan  # kind
    vectors = fit_vectors(data.example, data.train.x)(x)
    assert torch.isnan(vectors).any(1).tolist() == [True, True, False]


def test_texts_have_no_vectors():
    data = text()
    with pytest.raises(
        InputError, match=r"^features: windows of 12 characters .* are no real vectors, expected images"
    ):
        fit_vectors(data.example, torch.zeros(1, 12))
