"""GPT as a sampler: draws follow the likelihood, the cache changes nothing, and a draw depends on nothing beside it."""

import itertools

import pytest
import torch
from scipy.stats import chi2

from pushforward.core.data import Condition
from pushforward.core.errors import InputError
from pushforward.core.noise import Noise
from pushforward.core.text import Text
from pushforward.transformers.gpt import GPT
from pushforward.transformers.tokens import TokenSampler, choose, truncate
from tests.transformers.tiny import EXAMPLES, IMAGE, LABEL, STREAM, TABLE, TEXTS, tiny

NONE = torch.empty(0, dtype=torch.int64)


def uniform(seed: int, rows: int, length: int, start: int = 0) -> torch.Tensor:
    """The uniforms that generation uses."""
    return Noise(seed, rows=rows, start=start).uniform(length).double()


# -- what is drawn -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", EXAMPLES)
@pytest.mark.parametrize("sampler", [None, TokenSampler(temperature=0.7, top_k=2)])
def test_the_cache_draws_what_the_whole_sequence_would(kind: str, sampler: TokenSampler | None):
    model = tiny(EXAMPLES[kind], LABEL)
    condition = Condition(torch.tensor([0, 1] * 10), torch.tensor([True] * 15 + [False] * 5))
    with model.at_rest():
        x = model.draw(20, condition, noise=Noise(3, rows=20), sampler=sampler)
        logits, numbers = model.logits(x[:, :-1], condition), uniform(3, 20, x.shape[1])
        ended = torch.zeros(20, dtype=torch.bool)
        for t in range(x.shape[1]):
            here = logits[:, t] if sampler is None else truncate(logits[:, t], sampler)
            expected = choose(here, numbers[:, t])
            assert torch.equal(x[:, t], torch.where(ended, TEXTS.end, expected) if model.end else expected)
            ended |= x[:, t] == model.end


@pytest.mark.parametrize("kind", ["stream", "texts", "table"])
def test_sequences_come_as_often_as_their_likelihood_says(kind: str):
    model, n = tiny(EXAMPLES[kind]).float(), 10_000
    with model.at_rest():
        x = model.draw(n, None, noise=Noise(0, rows=n), sampler=None)
        every = torch.tensor(list(itertools.product(*(range(size) for size in model.fitted.sizes))))
        expected = n * model.log_likelihood(every, None, noise=Noise(0, rows=len(every))).double().exp()
    place = torch.tensor([1] + list(model.fitted.sizes[:0:-1])).cumprod(0).flip(0)
    counts = (x * place).sum(1).bincount(minlength=len(every)).double()
    assert counts[expected == 0].sum() == 0
    # Pearson's statistic needs cells that expect 5 or more: the rare ones are taken together.
    rare = expected < 5
    counts, expected = (torch.cat((v[~rare], v[rare].sum()[None])) for v in (counts, expected))
    kept = expected > 0
    statistic = ((counts - expected) ** 2 / expected)[kept].sum().item()
    # Exceeded by one seed in a thousand if the draws are right; the seed is fixed.
    assert statistic < chi2.ppf(0.999, int(kept.sum()) - 1)


def test_greedy_draws_are_all_the_most_probable_continuation():
    model = tiny(STREAM)
    x = model.sample(50, seed=0, sampler=TokenSampler(top_k=1))
    with model.at_rest():
        assert torch.equal(model.logits(x[:, :-1], None).argmax(-1), x)
    assert (x == x[0]).all() and not (model.sample(50, seed=0) == x).all(1).all()


def test_a_text_is_filled_up_with_ends():
    x = tiny(TEXTS).sample(200, seed=0)
    ended = (x == TEXTS.end).int().cumsum(1) > 0
    assert (x[ended] == TEXTS.end).all() and ended[:, 1:-1].any() and not ended[:, 0].all()


def test_a_path_shows_one_more_code_at_a_time():
    model = tiny(IMAGE)
    states = model.path(3, seed=5)
    assert states.shape == (4, 3, 1, 2, 2)
    assert torch.equal(states[-1], model.sample(3, seed=5))
    codes = states.flatten(2)
    for t in range(4):
        assert torch.equal(codes[t, :, : t + 1], codes[-1, :, : t + 1]) and not codes[t, :, t + 1 :].any()


# -- what a draw does not depend on --------------------------------------------------------------------------------


def test_ten_thousand_draws_are_the_same_in_batches_of_any_size():
    model = GPT(example=Text(vocabulary=tuple("abcdefgh"), length=12, stream=True), width=16, depth=2, heads=2)
    with torch.no_grad():
        model.vocabulary.head.weight.mul_(40)
    one, other = (model.sample(10_000, seed=0, batch_size=size) for size in (256, 1000))
    numbers = uniform(0, 10_000, 12)
    for row in (one != other).any(1).nonzero()[:, 0].tolist():
        t = int((one[row] != other[row]).nonzero()[0])
        with model.at_rest():
            sums = model.logits(one[row : row + 1, :t], None)[0, -1].double().softmax(-1).cumsum(-1)
        # A tie: the uniform is within the rounding of float32 logits of a boundary between two codes.
        assert (sums - numbers[row, t]).abs().min() < 1e-6
    alone = torch.cat([model.sample(1, seed=0, start=i) for i in range(40)])
    assert torch.equal(alone, one[:40])


@pytest.mark.parametrize("kind", EXAMPLES)
def test_a_sample_is_the_same_from_its_own_start(kind: str):
    model = tiny(EXAMPLES[kind], LABEL)
    x = model.sample(70, seed=2, condition=1)
    part = model.sample(3, seed=2, condition=1, start=65)
    assert torch.equal(part.nan_to_num(-1), x[65:68].nan_to_num(-1))


def test_double_precision_draws_what_single_does():
    double = tiny(TABLE)
    x = double.sample(100, seed=0)
    assert torch.equal(double.float().sample(100, seed=0)[:, 0], x[:, 0])  # numbers within a bin differ in their digits


# -- going on from a prompt ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["stream", "texts", "image"])
def test_a_completion_of_nothing_is_a_sample(kind: str):
    model = tiny(EXAMPLES[kind])
    x = model.complete(NONE, 300, length=model.shape[0], seed=4)
    codes, _ = model.fitted.encode(model.sample(300, seed=4), noise=Noise(0, rows=300))
    assert torch.equal(x, codes)


@pytest.mark.parametrize("kind", ["stream", "texts", "image"])
@pytest.mark.parametrize("known", [1, 3])
def test_a_sample_begun_again_ends_as_it_did(kind: str, known: int):
    model = tiny(EXAMPLES[kind], LABEL)
    codes, _ = model.fitted.encode(model.sample(5, seed=4, condition=0), noise=Noise(0, rows=5))
    for i, row in enumerate(codes):
        again = model.complete(row[:known], 1, length=len(row) - known, seed=4, start=i, condition=0)
        assert torch.equal(again[0], row)


@pytest.mark.parametrize("given", [0, 2, 5, 12])
def test_past_its_window_a_stream_goes_on_from_half_of_it(given: int):
    model, window, total = tiny(STREAM, LABEL), STREAM.length, 20
    prompt = torch.arange(given) % 3
    x = model.complete(prompt, 4, length=total - given, seed=6, condition=torch.tensor([0, 1, 0, 1]))
    assert x.shape == (4, total) and torch.equal(x[:, :given], prompt.expand(4, given))
    condition, numbers = model.given(torch.tensor([0, 1, 0, 1]), 4), uniform(6, 4, total)
    first = 0 if given < window else given - window // 2
    with model.at_rest():
        for t in range(given, total):
            if t - first == window:
                first = t - window // 2
            logits = model.logits(x[:, first:t], condition)[:, -1]
            assert torch.equal(x[:, t], choose(logits, numbers[:, t]))


def test_a_text_stays_at_its_end():
    x = tiny(TEXTS).complete(torch.tensor([0, TEXTS.end]), 3, length=3, seed=0)
    assert x.tolist() == [[0, 2, 2, 2, 2]] * 3


def test_the_sampler_is_used():
    model = tiny(STREAM)
    x = model.complete(torch.tensor([1]), 20, length=10, seed=0, sampler=TokenSampler(top_k=1))
    assert (x == x[0]).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompt": torch.tensor([0, 3])}, "prompt: holds the code 3"),
        ({"prompt": torch.tensor([-1])}, "prompt: holds the code -1"),
        ({"prompt": torch.tensor([0.5])}, "prompt: expected"),
        ({"prompt": torch.tensor([[0]])}, "prompt: expected"),
        ({"prompt": [0]}, "prompt: expected"),
        ({"n": 0}, "n: got 0"),
        ({"length": 0}, "length: got 0"),
        ({"length": 2.5}, "length: got 2.5"),
        ({"sampler": "greedy"}, "sampler: got str"),
        ({"seed": -1}, "seed: got -1"),
        ({"condition": 0}, "condition: got one"),
    ],
)
def test_what_cannot_be_completed_is_named(arguments: dict, message: str):
    with pytest.raises(InputError, match=f"^{message}"):
        tiny(STREAM).complete(**({"prompt": torch.tensor([0]), "n": 2, "length": 3} | arguments))


def test_a_whole_example_cannot_be_longer_than_one():
    with pytest.raises(InputError, match="^length: got 3 codes after a prompt of 2, expected at most 4 in all"):
        tiny(IMAGE).complete(torch.tensor([0, 1]), 1, length=3)


def test_a_prompt_must_have_codes_of_its_place():
    with pytest.raises(InputError, match="^prompt: holds the code 3"):
        tiny(TABLE).complete(torch.tensor([3]), 1, length=1)  # three animals; the ages have more codes
