"""The held-out figure against sums worked out by hand."""

import dataclasses
import math

import pytest
import torch
from scipy.stats import energy_distance as scipy_energy

from pushforward.autoencoders.autoencoder import Autoencoder
from pushforward.core.data import Rows, Windows
from pushforward.core.errors import InputError
from pushforward.core.modality import Points
from pushforward.core.text import Text
from pushforward.evaluation.held_out import Figure, energy_distance, measure
from pushforward.zoo import create
from tests.evaluation.chain import MarkovChain
from tests.small_data import digits, points, table, text
from tests.training.learners import Bell, Duel


def test_points_are_in_nats_per_example_of_a_density():
    data = points()
    bell = create(Bell, data)
    figure = measure(bell, data.test)
    x = data.test.x
    normal = torch.distributions.Normal(*(torch.tensor(p).double() for p in (bell.units.mean, bell.units.std)))
    nats = -normal.log_prob(x).sum(1)
    assert figure.value == pytest.approx(float(nats.mean()), rel=1e-6)
    assert figure.error == pytest.approx(float(nats.std() / math.sqrt(60)), rel=1e-5)
    assert (figure.unit, figure.kind, figure.measure, figure.rows) == ("nats/example", "exact", "density", 60)
    assert str(figure) == f"{figure.value:.4g} nats/example (exact, density)"


def test_a_thousand_times_the_numbers_is_ln_1000_more_nats():
    data = points()
    large = dataclasses.replace(data, train=Rows(1000 * data.train.x), test=Rows(1000 * data.test.x))
    one, two = (measure(create(Bell, d), d.test).value for d in (data, large))
    assert two - one == pytest.approx(2 * math.log(1000), abs=1e-5)  # two columns


def test_images_are_in_bits_per_pixel_of_a_mass():
    data = digits()
    bell = create(Bell, data)
    figure = measure(bell, data.test)
    nats = -bell.log_prob(data.test.x, data.test.condition)
    assert figure.value == pytest.approx(float(nats.mean()) / 64 / math.log(2))
    assert (figure.unit, figure.kind, figure.measure) == ("bits/dim", "bound", "mass")


def test_a_table_with_numbers_and_categories_is_mixed():
    data = table()
    figure = measure(create(Bell, data), data.test)
    assert (figure.unit, figure.kind, figure.measure) == ("nats/example", "bound", "mixed")


def test_only_so_many_rows_are_looked_at_and_always_the_same():
    data = points()
    bell = create(Bell, data)
    few = measure(bell, data.train, rows=48)
    assert few.rows == 48 and few == measure(bell, data.train, rows=48)
    assert few.value == measure(bell, Rows(data.train.x[::10], data.train.condition[::10])).value


def test_an_empty_split_is_refused():
    data = points()
    with pytest.raises(InputError, match="^data: the held-out split is empty"):
        measure(create(Bell, data), Rows(data.test.x[:0]))


@pytest.mark.parametrize("length", [2, 5, 12])
def test_a_stream_is_scored_in_windows_that_overlap_by_half(length):
    """Of a Markov chain every code but the first has all the context it needs: the sum is that of the whole stream."""
    stream = text().test.stream[: 20 * length]
    example = Text(vocabulary=("a", "b", "c", "d", "e"), length=length, stream=True)
    chain = MarkovChain(example=example)
    figure = measure(chain, Windows(stream, length))
    # Windows start every length // 2 codes; the last one that fits ends the scored part.
    stride = length // 2
    scored = (len(stream) - length) // stride * stride + length
    exact = chain.log_likelihood_each(stream[None, :scored], None)[0].detach()
    assert figure.rows == scored
    assert figure.value == pytest.approx(-float(exact.double().mean()), rel=1e-6)
    assert (figure.unit, figure.kind, figure.measure) == ("nats/code", "exact", "mass")


def test_of_a_long_stream_windows_from_all_over_are_scored():
    data = text()
    chain = MarkovChain(example=data.example)
    figure = measure(chain, data.train, rows=10)
    starts = torch.arange(0, len(data.train), 6)
    each = [chain.log_likelihood_each(data.train[starts[[k * len(starts) // 10]]].x, None)[0] for k in range(10)]
    exact = torch.cat([row[6 * (k > 0) :] for k, row in enumerate(each)])  # the second half; of the first, all
    assert figure.value == pytest.approx(-float(exact.detach().mean()), rel=1e-6)


def test_separate_texts_are_per_code_with_their_end():
    example = Text(vocabulary=("a", "b"), length=6)
    chain = MarkovChain(example=example)
    x = example.pack(["ab", "abba", ""])
    figure = measure(chain, Rows(x))
    codes = [3, 5, 1]
    assert figure.value == pytest.approx(-float(chain.log_prob(x).sum()) / sum(codes), rel=1e-6)
    assert figure.unit == "nats/code"


def test_a_model_without_likelihood_is_measured_by_its_samples():
    data = points()
    near, far = create(Duel, data), create(Duel, data)
    far.shift.data.fill_(3.0)
    figures = [measure(duel, data.train) for duel in (near, far)]
    assert all((f.unit, f.kind, f.measure, f.rows) == ("energy distance", "samples", "", 480) for f in figures)
    assert str(figures[0]).endswith("energy distance (samples)")
    assert figures[0].value < 0.1 < 1 < figures[1].value
    assert measure(near, data.train).value == figures[0].value  # with fixed noise


def test_energy_distance_is_scipys():
    """In one dimension it is twice the squared Cramér distance, whose square root scipy gives."""
    torch.manual_seed(0)
    x, y = torch.randn(300, 1).double(), 1.5 * torch.randn(200, 1).double() + 0.3
    biased = scipy_energy(x[:, 0], y[:, 0]) ** 2
    within = sum(float(torch.cdist(z, z).sum()) * (1 / (len(z) * (len(z) - 1)) - 1 / len(z) ** 2) for z in (x, y))
    assert energy_distance(x, y) == pytest.approx(biased - within, rel=1e-6)


def test_energy_distance_is_zero_on_average_for_equal_distributions():
    torch.manual_seed(1)
    values = torch.tensor([energy_distance(torch.randn(50, 3), torch.randn(50, 3)) for _ in range(300)])
    assert abs(values.mean()) < 4 * values.std() / math.sqrt(300)  # four standard errors
    assert values.min() < 0  # unbiased, so not always positive


def test_a_figure_reads_for_people():
    assert str(Figure(1.23456, "bits/dim", "bound", "mass", 0.1, 5)) == "1.235 bits/dim (bound, mass)"


def test_a_stream_under_a_model_without_context_counts_every_code():
    data = text()
    model = create("independent", data)  # untrained: five letters, equally likely
    figure = measure(model, data.valid)
    each = -model.log_prob(data.valid.spread(512).x).mean().item() / data.example.length
    assert (figure.value, figure.unit) == (pytest.approx(each), "nats/code")


def test_an_autoencoder_is_measured_by_what_comes_back():
    """At first the variance is 1: half the squared error and ln(2 pi) / 2 per number."""
    torch.manual_seed(0)
    model = Autoencoder(example=Points(dim=2), latent_dim=1)
    x = torch.randn(300, 2).double()
    figure = measure(model, Rows(x))
    off = (model.decode(model.encode(x)) - x).square().sum(1)
    assert (figure.kind, figure.measure, figure.unit) == ("reconstruction", "", "nats/example")
    assert figure.value == pytest.approx(0.5 * off.mean().item() + math.log(2 * math.pi), rel=1e-5)
