"""Likelihoods against sums worked out by hand: values, units, kinds, intervals, and what cannot be scored."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import t as student

from pushforward.autoencoders.vae import VAE
from pushforward.core.capabilities import HasDensity
from pushforward.core.data import Batch, Condition, Rows, Windows
from pushforward.core.modality import Points
from pushforward.core.model import model
from pushforward.core.text import Text
from pushforward.evaluation.likelihood import DRAWS, likelihood, per_example
from pushforward.evaluation.score import comparable
from pushforward.gans.gan import GAN
from pushforward.probability.baselines import Gaussian, Independent
from pushforward.transformers.gpt import GPT
from pushforward.zoo import create
from tests.evaluation.chain import MarkovChain
from tests.helpers import train
from tests.small_data import digits, grid, points, small, table, text


@model
class Odd(HasDensity):
    """The log-likelihood of the k-th example is ``value`` where its first entry is positive, else 0."""

    value: float = math.nan

    def build(self) -> None: ...

    def log_likelihood(self, x, condition, *, noise):
        return torch.where(x[:, 0] > 0, self.value, 0.0)

    def terms(self, x, condition, *, noise):
        raise AssertionError("not needed here")

    draw = terms


def fitted(cls, data, **fields):
    """A model solved on the training split."""
    return train(create(cls, data, fields), data.train.x, steps=0, condition=data.train.condition)


# -- values ---------------------------------------------------------------------------------------------------------


def test_a_standard_normal_on_points():
    """-log N(x; 0, I) = |x|^2 / 2 + ln 2 pi, and the t interval over examples."""
    x = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [3.0, 1.0]]).double()
    scores, log_prob = likelihood(Gaussian(example=Points(dim=2)), Rows(x))
    cost = np.array([0.0, 0.5, 2.0, 5.0]) + math.log(2 * math.pi)
    error = cost.std(ddof=1) / 2
    (score,) = scores
    assert log_prob.tolist() == pytest.approx(list(-cost))
    assert score.value == pytest.approx(cost.mean())
    assert (score.value - score.low, score.high - score.value) == pytest.approx((student.ppf(0.975, 3) * error,) * 2)
    assert dict(score.conditions) == {"kind": "exact", "measure": "density", "n": 4, "split": "test"}
    assert (score.name, score.unit, score.ideal) == ("negative log-likelihood", "nats/example", -math.inf)
    assert score.details["standard error"] == pytest.approx(error)
    assert score.details["dequantisation"] == "none" and "importance samples" not in score.details


def test_the_interval_covers_the_entropy():
    """400 samples of a normal: the expected cost is its entropy; 95 % of intervals cover it, give or take 2.8 %."""
    normal = Gaussian(example=Points(dim=1))
    rng = np.random.default_rng(0)
    entropy, covered = 0.5 * math.log(2 * math.pi * math.e), 0
    for _ in range(400):
        (score,), _ = likelihood(normal, Rows(torch.from_numpy(rng.normal(size=(100, 1)))))
        covered += score.low <= entropy <= score.high
    assert 366 <= covered <= 392


def test_independent_pixels_by_hand():
    """(n_dv + 1/2) / (n + V/2) for every pixel; bits/dim come first and are nats / (64 ln 2)."""
    data = digits()
    train_x, test_x = data.train.x.flatten(1).long(), data.test.x.flatten(1).long()
    counts = torch.nn.functional.one_hot(train_x, 17).sum(0).double()
    nats = -((counts + 0.5) / (len(train_x) + 8.5)).log()[torch.arange(64), test_x].sum(1)
    bare = train(Independent(example=data.example), data.train.x, steps=0)
    (bits, cost), log_prob = likelihood(bare, data.test)
    assert log_prob.tolist() == pytest.approx((-nats).tolist(), rel=1e-5)
    assert cost.value == pytest.approx(float(nats.mean()), rel=1e-6) and cost.unit == "nats/example"
    assert bits.value == pytest.approx(float(nats.mean()) / 64 / math.log(2), rel=1e-6) and bits.unit == "bits/dim"
    assert bits.conditions["kind"] == "exact" and bits.conditions["measure"] == "mass"
    assert "given" not in bits.conditions


def test_the_figure_is_the_mean_of_the_examples():
    for kind in ("points", "grid", "images", "tables"):
        data = small(kind)
        scores, log_prob = likelihood(fitted(Gaussian, data), data.test)
        cost = next(s for s in scores if s.unit == "nats/example")
        assert cost.value == pytest.approx(-float(log_prob.mean())) and cost.conditions["n"] == 60


def test_the_truth_stands_beside_it():
    data = points()
    (score,), _ = likelihood(fitted(Gaussian, data), data.test, truth=lambda x: -x.square().sum(1))
    assert score.details["truth"] == pytest.approx(float(data.test.x.square().sum(1).mean()))


def test_bits_per_dimension_only_of_a_mass():
    assert [s.unit for s in likelihood(create(Gaussian, table()), table().test)[0]] == ["nats/example"]
    example = Points(dim=2, resolution=(0.5, 0.5))
    cost, bits = likelihood(Gaussian(example=example), Rows(grid().test.x.round()))[0]
    assert (cost.unit, bits.unit) == ("nats/example", "bits/dim")
    assert bits.value == pytest.approx(cost.value / 2 / math.log(2))


# -- kinds ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cls", "make", "kind", "measure", "fields"),
    [
        (VAE, points, "bound", "density", {"width": 8}),
        (VAE, digits, "bound", "mass", {"width": 8}),
        (VAE, digits, "bound", "mass", {"width": 8, "likelihood": "gaussian"}),
        (Gaussian, points, "exact", "density", {}),
        (Gaussian, digits, "bound", "mass", {}),
        (Gaussian, grid, "bound", "mixed", {}),
        (Independent, digits, "exact", "mass", {}),
        (Independent, table, "exact", "mixed", {}),
        (GPT, digits, "exact", "mass", {"width": 16, "depth": 1, "heads": 2}),
        (GPT, text, "exact", "mass", {"width": 16, "depth": 1, "heads": 2}),
    ],
)
def test_kinds_and_measures(cls, make, kind, measure, fields):
    data = make()
    few = data.test if isinstance(data.test, Windows) else data.test.spread(8)
    scores, _ = likelihood(create(cls, data, fields), few)
    for score in scores:
        assert (score.conditions["kind"], score.conditions["measure"]) == (kind, measure)
        assert math.isfinite(score.value) and score.low <= score.value <= score.high
        assert score.details.get("importance samples") == (None if kind == "exact" else DRAWS)
    # Pixels of a model of reals, and grid values, are spread over their cells; codes and masses are what they are.
    spread = kind == "bound" and measure != "density" and (cls is not VAE or "likelihood" in fields)
    assert scores[0].details["dequantisation"] == ("uniform" if spread else "none")


def test_more_draws_tighten_the_bound_and_one_is_told():
    data = digits()
    gaussian = fitted(Gaussian, data)
    (one, _), _ = likelihood(gaussian, data.test, samples=1)
    (many, _), _ = likelihood(gaussian, data.test)
    assert many.value < one.value
    assert many.details["bound with one draw"] == one.value and "bound with one draw" not in one.details
    assert (one.details["importance samples"], many.details["importance samples"]) == (1, DRAWS)


def test_an_exact_value_and_a_bound_are_not_comparable():
    data = digits()
    exact, bound = (likelihood(create(cls, data), data.test, samples=1)[0][0] for cls in (Independent, Gaussian))
    assert exact.unit == bound.unit and not comparable(exact, bound)


# -- conditions -----------------------------------------------------------------------------------------------------


def test_scored_given_the_label_and_said_so():
    data = digits()
    gaussian = fitted(Gaussian, data)
    (bits, _), log_prob = likelihood(gaussian, data.test, samples=1)
    assert log_prob.tolist() == gaussian.log_prob(data.test.x, data.test.condition).tolist()
    assert bits.conditions["given"] == bits.details["given"] == "digit"
    (blind, _), _ = likelihood(gaussian, Rows(data.test.x), samples=1)
    assert "given" not in blind.details and not comparable(bits, blind)  # p(x | c) is not p(x)


def test_where_the_label_is_not_known_the_model_goes_without():
    data = points()
    gaussian = fitted(Gaussian, data)
    present = torch.arange(60) % 4 != 0
    x, c = data.test.x, data.test.condition
    (score,), log_prob = likelihood(gaussian, Batch(x, Condition(c, present)))
    expected = torch.where(present, gaussian.log_prob(x, c), gaussian.log_prob(x))
    assert log_prob.tolist() == expected.tolist()
    assert score.details["given"] == "label, where known (45 of 60)"


# -- texts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 2, 5, 12])
def test_a_stream_is_scored_with_half_a_window_of_context(length):
    """A Markov chain needs one code of context: the figures are those of the whole stream, read at once."""
    stream = text().test.stream[: 20 * length + length // 2]
    example = Text(vocabulary=("a", "b", "c", "d", "e"), length=length, stream=True)
    chain = MarkovChain(example=example)
    scores, log_prob = likelihood(chain, Windows(stream, length))
    exact = chain.log_likelihood_each(stream[None, : 20 * length], None)[0].detach().double()
    if length == 1:  # no context at all
        exact = torch.full((20,), -math.log(5)).double()
    assert log_prob.tolist() == pytest.approx(exact.view(20, length).sum(1).tolist(), rel=1e-6)
    assert [s.unit for s in scores] == ["nats/code", "bits/character", "bits/byte"]
    nats = -float(exact.mean())
    assert [s.value for s in scores] == pytest.approx([nats, nats / math.log(2), nats / math.log(2)], rel=1e-6)
    assert scores[0].conditions["n"] == 20


def test_every_model_of_a_stream_is_scored_on_the_same_windows():
    data = text()
    chain, single = MarkovChain(example=data.example), fitted_stream(data)
    for rows in (None, 7):
        left_to_right, alone = (likelihood(m, data.test, n=rows)[0][0] for m in (chain, single))
        assert comparable(left_to_right, alone) and left_to_right.conditions["n"] == (rows or 25)
    _, log_prob = likelihood(single, data.test)
    assert log_prob.tolist() == pytest.approx(single.log_prob(data.test.stream.view(25, 12)).tolist())


def fitted_stream(data):
    return train(Independent(example=data.example), data.train.stream[: 12 * 200].view(200, 12), steps=0)


def test_the_interval_of_a_stream_is_over_blocks_of_its_windows():
    data = text()
    (score, *_), log_prob = likelihood(MarkovChain(example=data.example), data.train, n=96)
    means = (-log_prob / 12).view(32, 3).mean(1)
    error = float(means.std()) / math.sqrt(32)
    assert score.details["standard error"] == pytest.approx(error)
    assert score.high - score.value == pytest.approx(student.ppf(0.975, 31) * error)


def test_bits_per_byte_count_the_bytes_of_utf8():
    """A uniform chain over {a, é, €} and the end: log 4 a code; of a, é and € UTF-8 makes 1, 2 and 3 bytes."""
    example = Text(vocabulary=("a", "é", "€"), length=6)
    chain = MarkovChain(example=example)
    chain.log_p.data.fill_(-math.log(4))
    texts = Rows(example.pack(["aé€", "a", ""]))
    scores, log_prob = likelihood(chain, texts)
    # The chain pays for what fills a text up, too: 6 codes for each.
    assert log_prob.tolist() == pytest.approx([-6 * math.log(4)] * 3)
    code, character, byte = (s.value for s in scores)
    assert code == pytest.approx(18 * math.log(4) / (4 + 2 + 1))
    assert character == pytest.approx(18 * 2 / (4 + 2 + 1))
    assert byte == pytest.approx(18 * 2 / (7 + 2 + 1))
    assert scores[0].details["end of text"] == "counts as one character"


def test_models_of_bytes_and_of_characters_share_bits_per_byte():
    """The same text at the same total cost, once as characters, once as bytes."""
    stream = "né" * 20
    characters = Text(vocabulary=("n", "é"), length=2, stream=True)
    octets = Text(length=3, stream=True)
    one, two = MarkovChain(example=characters), MarkovChain(example=octets)
    one.log_p.data.fill_(-1.5)
    two.log_p.data.fill_(-1.0)
    with torch.no_grad():
        found = [
            likelihood(m, Windows(torch.tensor(e.codes(stream)), e.length))[0]
            for m, e in ((one, characters), (two, octets))
        ]
    # All but the first code cost 1.5 of 40 characters, 1.0 of 60 bytes; the first costs ln 2 or ln 256.
    assert found[0][2].value == pytest.approx((39 * 1.5 + math.log(2)) / 60 / math.log(2))
    assert found[1][2].value == pytest.approx((59 + math.log(256)) / 60 / math.log(2))
    assert found[1][1].value == pytest.approx((59 + math.log(256)) / 40 / math.log(2))  # per character


def test_the_interval_of_a_ratio():
    """Texts of unequal length: the linearised standard error of total cost over total codes."""
    example = Text(vocabulary=("a", "b"), length=8)
    chain = MarkovChain(example=example)
    x = example.pack(["a", "ab", "abba", "bbbbb", ""])
    (score, *_), log_prob = likelihood(chain, Rows(x))
    cost, codes = -log_prob.numpy(), np.array([2, 3, 5, 6, 1])
    ratio = cost.sum() / codes.sum()
    error = np.sqrt(((cost - ratio * codes) ** 2).sum() / (5 * 4)) / codes.mean()
    assert (score.value, score.details["standard error"]) == pytest.approx((ratio, error))


# -- what cannot be scored ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (math.nan, "3 of 5 examples have no probability: the model gave NaN"),
        (-math.inf, "3 of 5 examples have probability 0 under the model"),
        (math.inf, "3 of 5 examples have an infinite density"),
    ],
)
def test_a_mean_that_is_no_number_is_missing(value, says):
    x = torch.tensor([[-1.0], [1.0], [2.0], [-3.0], [4.0]]).double()
    (score,), log_prob = likelihood(Odd(example=Points(dim=1), value=value), Rows(x))
    assert math.isnan(score.value) and math.isnan(score.low) and score.note.startswith(says)
    assert (score.name, score.unit) == ("negative log-likelihood", "nats/example")
    assert log_prob[[0, 3]].tolist() == [0.0, 0.0] and not log_prob[[1, 2, 4]].isfinite().any()


def test_a_model_without_likelihood_says_so():
    scores, log_prob = likelihood(create(GAN, points()), points().test)
    assert [s.name for s in scores] == ["negative log-likelihood"] and len(log_prob) == 0
    assert math.isnan(scores[0].value) and "GAN draws samples but has no likelihood" in scores[0].note


def test_no_example_and_one_example():
    x = points().test.x
    gaussian = Gaussian(example=Points(dim=2))
    (none,), _ = likelihood(gaussian, Rows(x[:0]), split_name="valid")
    assert none.note == "the valid split holds no example to score"
    (one,), _ = likelihood(gaussian, Rows(x[:1]))
    assert math.isfinite(one.value) and math.isnan(one.low) and math.isnan(one.high)


def test_a_row_per_example():
    data = digits()
    _, log_prob = likelihood(create(Independent, data), data.test)
    frame = per_example(data.example, log_prob)
    assert list(frame.columns) == ["index", "log_prob", "bits_per_dim"] and len(frame) == 60
    assert frame["bits_per_dim"].to_list() == pytest.approx((-log_prob / 64 / math.log(2)).tolist())
