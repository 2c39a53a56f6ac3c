"""GPT as a distribution: exactly normalised, causal, conditional, and near the truth where that is known."""

import itertools
import math
from pathlib import Path

import pytest
import torch

from pushforward.core.data import Condition, Windows
from pushforward.core.errors import InputError
from pushforward.core.modality import Image, Label
from pushforward.core.noise import Noise
from pushforward.core.text import Text
from pushforward.evaluation.held_out import measure
from pushforward.transformers.gpt import GPT
from tests.helpers import train
from tests.transformers.tiny import EXAMPLES, IMAGE, LABEL, STREAM, TABLE, TEXTS, tiny


def every_sequence(model: GPT) -> torch.Tensor:
    """All sequences of codes, one per row."""
    return torch.tensor(list(itertools.product(*(range(size) for size in model.fitted.sizes))))


def given(codes: list[int], present: list[bool]) -> Condition:
    return Condition(torch.tensor(codes), torch.tensor(present))


# -- the likelihood ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", EXAMPLES)
@pytest.mark.parametrize("conditional", [False, True])
def test_the_masses_of_all_sequences_sum_to_one(kind: str, conditional: bool):
    model = tiny(EXAMPLES[kind], LABEL if conditional else None)
    x = every_sequence(model)
    condition = Condition(torch.ones(len(x), dtype=torch.int64), torch.ones(len(x), dtype=torch.bool))
    mass = model.log_likelihood(x, condition if conditional else None, noise=Noise(0, rows=len(x))).exp()
    # A few hundred doubles are summed; each is good to about 1e-15.
    assert mass.sum().item() == pytest.approx(1, abs=1e-12)
    assert mass.max() > 4 / len(x)  # far from uniform, which would sum to one for no merit


def test_a_table_has_positions_of_different_sizes():
    assert len(set(tiny(TABLE).fitted.sizes)) == 3


def test_after_the_first_end_all_is_certain():
    model, end = tiny(TEXTS), TEXTS.end
    x = torch.tensor([[0, 1, end, end, end], [end, end, end, end, end], [0, 1, 0, 1, 1], [0, end, 1, end, end]])
    each = model.log_likelihood_each(x, None)
    logits = model.logits(x[:, :-1], None).log_softmax(-1)
    expected = logits.gather(2, x[..., None])[..., 0]
    counted = [3, 1, 5, 2]  # codes up to and including the first end
    for row, count in enumerate(counted):
        assert torch.allclose(each[row, :count], expected[row, :count], rtol=0, atol=1e-13)
    assert (each[0, 3:] == 0).all() and (each[1, 1:] == 0).all()
    assert each[3, 2:].tolist() == [-math.inf, 0, 0]  # a text cannot go on


@pytest.mark.parametrize("kind", EXAMPLES)
def test_log_prob_is_the_sum_over_codes(kind: str):
    model = tiny(EXAMPLES[kind])
    x = model.sample(10, seed=1)
    codes, log_det = model.fitted.encode(x, noise=Noise(0, rows=10), dtype=torch.float64)
    expected = model.log_likelihood_each(codes, None).sum(1) + log_det
    # Rows of other lengths may be worked on in other shapes, which changes the last bits.
    assert torch.allclose(model.log_prob(x), expected, rtol=0, atol=1e-12)
    assert torch.allclose(model.loss(codes, noise=Noise(0, rows=10)), log_det - expected, rtol=0, atol=1e-12)


def test_its_kind_is_exact():
    assert tiny(IMAGE).density().kind == "exact" and tiny(IMAGE).density().measure == "mass"
    assert tiny(EXAMPLES["points"]).density().measure == "density"


@pytest.mark.parametrize("kind", EXAMPLES)
def test_a_code_changes_what_comes_after_it_and_nothing_before(kind: str):
    model = tiny(EXAMPLES[kind])
    x = every_sequence(model)[:1]
    for t in range(x.shape[1]):
        other = x.clone()
        other[0, t] = model.fitted.sizes[t] - 1
        change = _change(model, x, other)[0]
        assert (change[: t + 1] == 0).all()  # logits of codes 0 ... t are given the codes before t
        assert (change[t + 1 :] > 0).all()


def _change(model: GPT, x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The largest change of the probabilities at each position."""
    first, second = (model.logits(codes[:, :-1], None).softmax(-1) for codes in (x, other))
    return (first - second).abs().amax(-1)


def test_untrained_codes_are_nearly_equally_probable():
    torch.manual_seed(0)
    model = GPT(example=Image(height=8, width=8, levels=17))
    loss = model.loss(torch.randint(17, (8, 64)), noise=Noise(0, rows=8)).mean().item()
    # Logits have a standard deviation of 0.02 sqrt(64) = 0.16; half its square, 0.013 nats, is lost on each code.
    assert loss == pytest.approx(64 * math.log(17), rel=0.02)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_every_parameter_receives_a_gradient(kind: str):
    model = tiny(EXAMPLES[kind], LABEL).train()
    x = every_sequence(model)
    condition = Condition(torch.arange(len(x)) % 2, torch.arange(len(x)) % 3 > 0)
    finite = model.log_likelihood_each(x, condition).sum(1).isfinite()
    kept = Condition(*(t[finite] for t in condition))
    model.loss(x[finite], kept, noise=Noise(0, rows=int(finite.sum()))).mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all() and parameter.grad.any(), name


# -- the condition -------------------------------------------------------------------------------------------------


def test_a_condition_matters_where_it_is_present():
    model = tiny(STREAM, LABEL)
    x = torch.tensor([[0, 1, 2, 0, 1]]).expand(4, -1)
    score = model.log_likelihood(x, given([0, 1, 0, 1], [True, True, False, False]), noise=Noise(0, rows=4))
    absent = model.log_likelihood(x, None, noise=Noise(0, rows=4))
    assert score[2] == score[3] == absent[0]
    assert len({round(value, 9) for value in score.tolist()}) == 3


def test_a_text_can_be_the_condition():
    model = tiny(TEXTS, Text(vocabulary=("u", "v"), length=4))
    source = torch.tensor([[0, 1, 2, 2], [1, 1, 2, 2]])
    score = model.log_prob(torch.tensor([[0, 1, 2, 2, 2]] * 2), source)
    assert abs(score[0] - score[1]) > 1e-6
    assert model.sample(2, condition=source, seed=0).shape == (2, 5)


def test_the_class_is_learned():
    texts = Text(vocabulary=("a", "b"), length=6)
    label = Label(names=("mostly a", "mostly b"))
    torch.manual_seed(0)
    condition = torch.randint(2, (2000,))
    favoured = torch.rand(2000, 5) < 0.9
    x = torch.cat((torch.where(favoured, condition[:, None], 1 - condition[:, None]), torch.full((2000, 1), 2)), dim=1)
    model = GPT(example=texts, condition=label, width=16, depth=1, heads=2)
    train(model, x, steps=80, batch=128, lr=1e-2, condition=condition)
    entropy = -5 * (0.9 * math.log(0.9) + 0.1 * math.log(0.1))  # of five such letters; the end is certain
    score = -model.log_prob(x, condition).mean().item()
    # The mean of 10,000 letters has a standard error of 5 * 0.66 / 100 = 0.03 nats, the rest is for learning.
    assert score == pytest.approx(entropy, abs=0.15)
    drawn = model.sample(400, condition=1, seed=0)
    # 2,000 letters: a standard error of 0.0067; the rest is for learning.
    assert (drawn[:, :5] == 1).double().mean().item() == pytest.approx(0.9, abs=0.04)


# -- known answers -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_it_comes_within_a_fiftieth_of_a_nat_of_a_markov_chain():
    torch.manual_seed(0)
    letters = 3
    # p(next | the two before), rows drawn evenly from the simplex.
    chances = torch.rand(letters, letters, letters).double().log().neg()
    chances /= chances.sum(-1, keepdim=True)
    stream, length = _chain(chances, 40_000), 32
    learned, held_out = stream[:36_000], stream[36_000:]
    text = Text(vocabulary=("a", "b", "c"), length=length, stream=True)
    model = GPT(example=text, width=32, depth=2, heads=2)
    windows = Windows(learned, length)
    train(model, windows[torch.arange(0, len(windows), 3)].x, steps=400, batch=64, lr=5e-3)
    true = chances[held_out[:-2], held_out[1:-1]].gather(1, held_out[2:, None]).log()
    figure = measure(model, Windows(held_out, length), rows=10_000)
    # The bar is 0.02; the same text is scored on both sides, so that its own luck cancels out.
    assert figure.unit == "nats/code" and figure.kind == "exact"
    assert -0.005 < figure.value + true.mean().item() < 0.02


def _chain(chances: torch.Tensor, length: int) -> torch.Tensor:
    """A draw from an order-2 Markov chain."""
    uniform, sums, codes = torch.rand(length).tolist(), chances.cumsum(-1).tolist(), [0, 0]
    for u in uniform[2:]:
        sum_of = sums[codes[-2]][codes[-1]]
        codes.append(min(sum(value <= u for value in sum_of), len(sum_of) - 1))
    return torch.tensor(codes)


# -- the rest of the contract --------------------------------------------------------------------------------------


def test_a_saved_model_is_the_same_model(tmp_path: Path):
    model = tiny(TABLE, LABEL).float()
    model.save_pretrained(tmp_path)
    again = GPT.from_pretrained(tmp_path)
    x = model.sample(20, seed=0, condition=1)
    assert torch.equal(again.sample(20, seed=0, condition=1).nan_to_num(-1), x.nan_to_num(-1))
    assert torch.equal(again.log_prob(x, 1), model.log_prob(x, 1))


@pytest.mark.parametrize(("length", "expected"), [(2, 128), (64, 32), (128, 16), (784, 8)])
def test_an_update_sees_about_as_many_codes_whatever_their_number(length: int, expected: int):
    example = Text(vocabulary=("a", "b"), length=length)
    assert GPT(example=example, width=8, depth=1, heads=1).batch_size == expected


@pytest.mark.parametrize(
    ("name", "value"), [("width", 0), ("depth", 0), ("heads", 3), ("heads", 0), ("dropout", 1.0), ("dropout", -0.1)]
)
def test_sizes_that_cannot_be_are_named(name: str, value: float):
    with pytest.raises(InputError, match=f"^{name}: got {value}"):
        GPT(example=STREAM, **{name: value})
