"""Bits-back coding on a latent-variable model that is written down: lossless, at the price of its bound."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Normal

from pushforward.probability.entry_likelihoods import BernoulliLikelihood, CategoricalLikelihood
from pushforward.probability.logistic_likelihood import LevelLikelihood
from pushforward.uses.ans import Ans
from pushforward.uses.bits_back import CELLS, FINE, Cells, LatentCoder, masses

LATENT, PIXELS = 3, 30
WEIGHTS = torch.randn(LATENT, PIXELS, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def theta(z):
    """Logits that lean one way or the other with z."""
    return (2 * z @ WEIGHTS)[:, None]


def posterior(y):
    """No exact posterior, but one that knows something: codes from the pixels, half as wide as the prior."""
    mean = 0.1 * (2 * y - 1) @ WEIGHTS.T
    return mean, torch.full_like(mean, 0.5)


@pytest.fixture
def coder() -> LatentCoder:
    likelihood = BernoulliLikelihood(shape=(PIXELS,))
    return LatentCoder(posterior, theta, likelihood, LATENT, values=2, shape=(PIXELS,))


def examples(n: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    z = torch.randn(n, LATENT, dtype=torch.float64, generator=generator)
    return torch.bernoulli(theta(z)[:, 0].sigmoid(), generator=generator)


def bits(y, draws=200) -> torch.Tensor:
    """Minus the evidence lower bound of all examples in bits, at several draws of their codes."""
    generator = torch.Generator().manual_seed(2)
    mean, deviation = posterior(y)
    z = mean + deviation * torch.randn(draws, *mean.shape, dtype=torch.float64, generator=generator)
    likelihood = BernoulliLikelihood(shape=(PIXELS,))
    log_x = torch.stack([likelihood.log_prob(y, theta(draw)).sum() for draw in z])
    to_prior = (Normal(0, 1).log_prob(z) - Normal(mean, deviation).log_prob(z)).sum((1, 2))
    return -(log_x + to_prior) / math.log(2)


@pytest.mark.parametrize("n", [1, 2, 37])
def test_every_example_comes_back_and_so_do_the_bits(coder, n):
    y = examples(n)
    stack = Ans()
    coder.push(stack, y)
    again = Ans(stack.to_bytes())
    torch.testing.assert_close(coder.pop(again, n), y, rtol=0, atol=0)
    assert again.bits == stack.borrowed  # what is left is what was borrowed


def test_the_length_is_the_bound(coder):
    y = examples(600)
    stack = Ans()
    coder.push(stack, y)
    drawn = bits(y)
    # One draw of the codes is what a chain makes: four standard deviations of such a draw.
    assert abs(stack.bits - stack.borrowed - float(drawn.mean())) < 4 * float(drawn.std())
    # At the start: three codes take about 17 bits each, an example gives back 26 more than that.
    assert stack.borrowed < 300


def test_codes_follow_their_law_though_all_codes_together_do_not_follow_the_prior(coder):
    """The codes of the last examples are what the next ones are drawn from: unpadded they were far off."""
    y = examples(600)
    means, taken = posterior(y)[0], []
    spied = LatentCoder(posterior, lambda z: taken.append(z) or theta(z), coder.likelihood, LATENT, 2, (PIXELS,))
    spied.push(Ans(), y)
    residual = (torch.cat(taken) - means) / 0.5
    error = 1 / math.sqrt(residual.numel())
    assert abs(float(residual.mean())) < 4 * error and abs(float(residual.var()) - 1) < 4 * math.sqrt(2) * error


def test_cells_fill_the_slots_and_find_what_they_own():
    for mean, deviation in ((0.0, 1.0), (3.7, 0.01), (-9.0, 0.3), (0.0, 40.0)):
        law = Cells(mean, deviation)
        starts = [law.start(k) for k in range((1 << CELLS) + 1)]
        assert starts[0] == 0 and starts[-1] == 1 << FINE and min(np.diff(starts)) >= 1
        for slot in (0, 12_345, 1 << 31, (1 << FINE) - 1):
            cell, start, width = law.find(slot)
            assert start <= slot < start + width and (start, start + width) == (starts[cell], starts[cell + 1])


@pytest.mark.parametrize("kind", ["bernoulli", "categorical", "logistic"])
def test_masses_are_those_of_the_likelihood(kind):
    shape = (2, 3, 3)
    likelihood, values = {
        "bernoulli": (BernoulliLikelihood(shape=shape), 2),
        "categorical": (CategoricalLikelihood(shape=shape, size=5, ordered=True), 5),
        "logistic": (LevelLikelihood(shape=shape, levels=9, components=2), 9),
    }[kind]
    generator = torch.Generator().manual_seed(3)
    parameters = torch.randn(4, *likelihood.theta, dtype=torch.float64, generator=generator)
    y = torch.randint(values, (4, *shape), generator=generator).double()
    found = masses(likelihood, parameters, values)
    assert found.shape == (4, 18, values)
    torch.testing.assert_close(found.exp().sum(2), torch.ones(4, 18, dtype=torch.float64))
    picked = found.gather(2, y.flatten(1).long()[:, :, None])[:, :, 0]
    torch.testing.assert_close(picked.sum(1), likelihood.log_prob(y, parameters))
