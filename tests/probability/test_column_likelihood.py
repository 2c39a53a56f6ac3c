"""Likelihoods of table rows: every column a distribution, missing cells summed over, draws as the probabilities say."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from pushforward.core.fit_units import fit_units
from pushforward.core.native_units import NativeCells
from pushforward.core.noise import Noise
from pushforward.core.table import Column, Table
from pushforward.probability.column_likelihood import ColumnLikelihood
from pushforward.probability.likelihoods import likelihood_of, space_of

N = 400
RNG = np.random.default_rng(1)
ABSENT = RNG.uniform(size=N) < 0.3


def likelihood(columns: tuple[Column, ...], cells: list[np.ndarray], components: int = 1) -> ColumnLikelihood:
    example = Table(columns=columns)
    units = fit_units(example, space_of("auto", example), torch.from_numpy(np.stack(cells, 1)))
    found = likelihood_of("auto", example, units, components=components)
    assert isinstance(found, ColumnLikelihood)
    return found


def mixed(components: int = 1) -> ColumnLikelihood:
    """A sparse column, a gappy number, a gappy category, a constant, a continuous number."""
    return likelihood(
        (
            Column(name="gain", resolution=1.0),
            Column(name="rooms", resolution=1.0, missing=True),
            Column(name="word", categories=("a", "b"), missing=True),
            Column(name="constant", categories=("k",)),
            Column(name="real"),
        ),
        [
            np.where(RNG.uniform(size=N) < 0.92, 0.0, RNG.integers(1, 60, N)),
            np.where(ABSENT, np.nan, RNG.integers(1, 6, N)),
            np.where(RNG.uniform(size=N) < 0.2, np.nan, RNG.integers(0, 2, N)),
            np.zeros(N),
            RNG.normal(5, 3, N),
        ],
        components,
    )


def encode(found: ColumnLikelihood, x: Tensor) -> tuple[Tensor, Tensor]:
    return found.units.encode(x, noise=Noise(0, rows=len(x)), dtype=torch.float64)


def theta_of(found: ColumnLikelihood, scale: float = 1.0) -> Tensor:
    return scale * Noise(5, rows=1).normal(*found.theta).double()


@pytest.mark.parametrize("components", [1, 3])
def test_all_rows_sum_to_one(components: int):
    """Over every value of the gridded columns (missing ones too) and an integral over the continuous one."""
    found = mixed(components)
    gains, rooms, words = range(-400, 600), (math.nan, *range(-40, 50)), (0.0, 1.0, math.nan)
    theta = theta_of(found, 0.5)
    total = 0.0
    base = torch.tensor([[0.0, 1.0, 0.0, 0.0, 5.0]]).double()
    sums = []
    for column, values in ((0, gains), (1, rooms), (2, words)):
        x = base.repeat(len(values), 1)
        x[:, column] = torch.tensor(values).double()
        each = found.log_prob_each(encode(found, x)[0], theta.expand(len(x), *found.theta))
        # The mark of the gappy number goes with its value.
        own = each[:, column] + (each[:, 5] if column == 1 else 0.0)
        sums.append(own.exp().sum().item())
    x = base.repeat(40_001, 1)
    x[:, 4] = torch.linspace(-60, 70, 40_001)
    y, log_det = encode(found, x)
    density = (found.log_prob_each(y, theta.expand(len(x), *found.theta))[:, 4] + log_det).exp()
    sums.append(torch.trapezoid(density, x[:, 4]).item())
    total = math.prod(sums)
    assert sums == pytest.approx([1.0] * 4, abs=2e-3)  # steps of the histogram under the trapezoid rule
    assert total == pytest.approx(1.0, abs=5e-3)


def test_missing_cells_are_summed_over():
    found = mixed()
    x = torch.tensor([[0.0, math.nan, math.nan, 0.0, 5.0], [0.0, 3.0, 0.0, 0.0, 5.0]]).double()
    y, _ = encode(found, x)
    theta = theta_of(found).expand(2, *found.theta)
    each = found.log_prob_each(y, theta)
    assert each[0, 1].item() == 0.0, "its value is not scored"
    (absent, present) = each[:, 5].exp().tolist()
    assert absent + present == pytest.approx(1.0), "its mark is"
    unknown = y.clone()
    unknown[1, :, :3] = math.nan
    unknown[1, :, 5] = math.nan
    assert found.log_prob_each(unknown, theta)[1, [0, 1, 2, 5]].tolist() == [0.0] * 4
    assert torch.isfinite(found.inputs(unknown)).all()


def test_unknown_cells_are_marginal_probabilities():
    """p(known cells) is the sum of p(row) over what the unknown ones can be."""
    found = likelihood(
        (Column(name="a", categories=("x", "y")), Column(name="b", categories=("u", "v", "w"))),
        [RNG.integers(0, 2, N) * 1.0, RNG.integers(0, 3, N) * 1.0],
    )
    rows = torch.tensor(list(itertools.product((1.0,), (0.0, 1.0, 2.0)))).double()
    theta = theta_of(found)
    y, _ = encode(found, rows)
    partial = y[:1].clone()
    partial[:, :, 1] = math.nan
    whole = found.log_prob(y, theta.expand(3, *found.theta)).logsumexp(0)
    assert found.log_prob(partial, theta).item() == pytest.approx(whole.item())


def test_draws_have_the_probabilities():
    found = mixed(components=2)
    n, theta = 20_000, theta_of(found, 0.7)
    drawn = found.units.decode(found.draw(theta.expand(n, *found.theta), Noise(0, rows=n)), noise=Noise(0, rows=n))
    found.units.example.check(drawn)
    some = torch.tensor([[0.0, 2.0, 1.0, 0.0, 5.0]]).double()
    each = found.log_prob_each(encode(found, some)[0], theta)[0].exp()
    shares = (drawn == some).double().mean(0)
    error = 4 * (each * (1 - each) / n).sqrt()  # four standard errors of a share
    assert abs(shares[0] - each[0]) < error[0]
    assert abs(shares[1] - each[1] * each[5]) < error[1]
    assert abs(shares[2] - each[2]) < error[2]
    assert abs(drawn[:, 1].isnan().double().mean() - (1 - each[5])) < error[5]


def test_drawn_rows_are_rows_that_can_be_scored():
    found = mixed()
    theta = theta_of(found).expand(200, *found.theta)
    y = found.draw(theta, Noise(0, rows=200))
    noise = Noise(0, rows=200)
    again, _ = found.units.encode(found.units.decode(y, noise=noise), noise=noise, dtype=torch.float64)
    assert torch.isfinite(found.log_prob(y, theta)).all()
    assert torch.allclose(found.log_prob(y, theta), found.log_prob(again, theta), atol=1e-6)
    best = found.mean(theta)
    assert best.shape == y.shape
    assert torch.isfinite(found.log_prob(best, theta)).all()


def test_slopes_are_finite_far_out_and_where_cells_are_missing():
    found = mixed(components=3)
    x = torch.tensor([[1e6, math.nan, math.nan, 0.0, 1e4], [-1e6, -50.0, 0.0, 0.0, -1e4]]).double()
    y = found.units.encode(x, noise=Noise(0, rows=2))[0]
    for scale in (1.0, 100.0):
        theta = (scale * Noise(5, rows=2).normal(*found.theta)).requires_grad_()
        found.log_prob(y, theta).sum().backward()
        assert theta.grad is not None
        assert torch.isfinite(theta.grad).all()


def test_a_value_that_makes_up_most_of_a_column_is_learned():
    """The best of a grid of parameters is at the entropy of the column, where numbers as they are have no logistic."""
    cells = np.where(np.arange(N) % 25 == 0, np.arange(N), 0.0)  # 96 % zeros, the others spread over hundreds
    found = likelihood((Column(name="gain", resolution=1.0),), [cells])
    y, _ = encode(found, torch.from_numpy(cells)[:, None])
    means, raws = torch.meshgrid(torch.linspace(-1, 1, 21), torch.linspace(-1, 2, 31), indexing="ij")
    losses = [
        -found.log_prob(y, torch.stack(pair).double().expand(N, 1, 2)).mean().item()
        for pair in zip(means.flatten(), raws.flatten(), strict=True)
    ]
    # On the axis of scores the column is standard normal, and a logistic is within 0.02 nats of that.
    normal = -(torch.special.ndtr(y.sum(1)) - torch.special.ndtr(y[:, 0])).log().mean()
    assert min(losses) == pytest.approx(normal.item(), abs=0.03)


def test_the_encoder_reads_every_column():
    found = mixed()
    x = torch.tensor([[0.0, math.nan, 1.0, 0.0, 5.0]]).double()
    read = found.inputs(encode(found, x)[0])
    assert tuple(read.shape[1:]) == found.input_shape == (7,)  # 3 numbers, 3 codes of the word, 1 mark
    assert read[0, 1].item() == 0.0
    assert read[0, 3:].tolist() == [0.0, 1.0, 0.0, 1.0]


def test_a_table_of_categories_only_or_numbers_only():
    words = likelihood((Column(name="a", categories=("x", "y")),), [RNG.integers(0, 2, N) * 1.0])
    assert isinstance(words.units, NativeCells)
    assert words.theta == (1, 2)
    assert words.draw(torch.zeros(3, 1, 2), Noise(0, rows=3)).shape == (3, 2, 1)
    numbers = likelihood((Column(name="a"),), [RNG.normal(size=N)])
    assert numbers.theta == (1, 2)
    assert numbers.draw(torch.zeros(3, 1, 2), Noise(0, rows=3)).shape == (3, 2, 1)
