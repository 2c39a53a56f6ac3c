"""Scores of texts counted by hand; BLEU and its kin against the packages they come from."""

import builtins
import math

import pytest
import torch

from pushforward.core.data import Data, Rows, Windows
from pushforward.core.errors import InputError
from pushforward.core.text import Text
from pushforward.evaluation.texts import complete_prompts, reference_scores, text_scores
from pushforward.probability.baselines import Independent
from pushforward.transformers.gpt import GPT
from tests.small_data import points, text

LETTERS = tuple(" .abcdefghijklmnopqrstuvwxyz")


def lines(*train: str, length: int = 40) -> Data:
    """Separate texts."""
    example = Text(vocabulary=LETTERS, length=length)
    few = Rows(example.pack(list(train)))
    return Data(name="lines", example=example, train=few, valid=few, test=few)


def scores_of(data: Data, real: list[str], fake: list[str]) -> dict:
    pack = data.example.pack
    return {score.name: score for score in text_scores(data, pack(real), pack(fake))}


def test_distinct_words_counted_by_hand():
    data = lines("a cat and a dog ran away")
    fake = ["the cat the cat the", "dog the cat the cat"]  # 10 words, 3 of them different
    real = ["one two three four five", "six seven eight nine ten"]
    found = scores_of(data, real, fake)
    assert found["distinct-1"].value == 3 / 10 and found["distinct-1"].details["test data"] == 1.0
    assert dict(found["distinct-1"].conditions) == {"split": "test", "texts": 2, "tokens": "words", "n": 10}
    # Only 8 pairs of neighbours: not ten.
    assert math.isnan(found["distinct-2"].value) and "ten runs of 2 words" in found["distinct-2"].note


def test_distinct_pairs_do_not_cross_texts():
    data = lines("a cat and a dog ran away")
    fake = ["a b a b a b", "b a b a b a"]  # 5 pairs each: (a b), (b a)
    found = scores_of(data, ["a b c d e f", "g h i j k l"], fake)
    assert found["distinct-2"].value == 2 / 10 and found["distinct-2"].details["test data"] == 1.0
    assert found["distinct-1"].conditions["n"] == 10  # of 12 the largest of 10, 20, 50


def test_as_many_tokens_of_both():
    """Distinct-1 falls with the number of tokens: 30 words against 12 are judged by 10 of each."""
    data = lines("a cat and a dog ran away")
    found = scores_of(data, ["a b c d e f", "a b c d e f", ""], ["a b c d e f g h i j"] * 3)
    assert found["distinct-1"].value == 1.0 and found["distinct-1"].details["test data"] == 0.6


def test_texts_without_words_are_taken_as_characters():
    data = text()
    (one, two) = text_scores(data, data.test, data.valid[torch.arange(20)].x)
    assert one.conditions["tokens"] == two.conditions["tokens"] == "characters"
    assert one.value == 5 / 200  # of 240 characters, a to e
    assert (one.conditions["texts"], one.conditions["n"]) == (20, 200)
    assert one.low <= one.value <= one.high


def test_windows_of_a_stream_are_taken_side_by_side():
    """Of 100 codes there are 16 windows of 6, but 89 that overlap."""
    example = Text(vocabulary=LETTERS, length=6, stream=True)
    stream = torch.tensor(example.codes("abcdefghij" * 10))
    data = Data(name="s", example=example, train=Windows(stream, 6), valid=Windows(stream, 6), test=Windows(stream, 6))
    (one, *_) = text_scores(data, data.test, data.train[torch.arange(80)].x)
    assert one.conditions["texts"] == 16 and one.details["test data"] == 10 / 50


def test_half_words_at_the_edge_of_a_window_do_not_count():
    example = Text(vocabulary=LETTERS, length=12, stream=True)
    stream = torch.tensor(example.codes("the cat sat on the mat. " * 30))
    data = Data(
        name="s", example=example, train=Windows(stream, 12), valid=Windows(stream, 12), test=Windows(stream, 12)
    )
    fake = torch.stack([torch.tensor(example.codes(t)) for t in ["e cat sat on", " the zzz mat", "xxxxxxxxxxxx"]])
    known = text_scores(data, data.test, fake)[-1]
    # Whole: cat, sat of the first, the, zzz of the second.
    assert (known.name, known.value, known.details["test data"]) == ("words known", 3 / 4, 1.0)


def test_words_known_by_hand():
    data = lines("The cat. sat".lower(), "on a mat")
    known = scores_of(data, ["a dog sat"], ["the cat zat on on moon"])["words known"]
    assert known.value == 4 / 6 and known.details["test data"] == 2 / 3
    assert known.ideal is None and math.isnan(known.low)  # one text has no interval


def test_the_interval_of_words_known():
    """Independent texts of five words, a share p of them known: the standard error is sqrt(p (1 - p) / 5n)."""
    data = lines("good")
    order = torch.rand(200, 5, generator=torch.Generator().manual_seed(0)) < 0.7
    fake = [" ".join("good" if known else "bad" for known in row) for row in order]
    found = scores_of(data, fake, fake)["words known"]
    p = float(order.double().mean())
    assert found.value == pytest.approx(p)
    expected = 2.0 * math.sqrt(p * (1 - p) / 1000)
    # 50 random splits know a standard error to a tenth; three of those.
    assert (found.high - found.low) / 2 == pytest.approx(expected, rel=0.3)


@pytest.mark.parametrize("fake", [[""], ["...", " "]])
def test_texts_without_a_word_are_told(fake):
    found = scores_of(lines("a cat and a dog ran away"), ["a cat"] * 2, fake)
    assert all(math.isnan(score.value) for score in found.values())
    assert found["words known"].note == "the samples hold no whole word"


def test_no_text_at_all():
    data = lines("a cat and a dog ran away")
    found = text_scores(data, data.test.x, data.test.x[:0])
    assert [score.name for score in found] == ["distinct-1", "distinct-2", "words known"]
    assert all(math.isnan(score.value) for score in found)


# -- references -----------------------------------------------------------------------------------------------------

CANDIDATES = ["the cat sat on the mat", "a dog ran over the hill today", "it rains", "they went home early that day"]
REFERENCES = [
    ["the cat is sitting on the mat", "a cat sat on the mat"],
    ["a dog ran across the hill today"],
    ["it is raining", "rain falls", "it rains a lot"],
    ["they went home early that day"],
]


def test_identical_texts_have_the_highest_scores():
    texts = [line for line in CANDIDATES if len(line.split()) > 3]
    for score in reference_scores(texts, [[line] for line in texts]):
        top = 1.0 if score.name == "ROUGE-L" else 100.0
        assert score.value == pytest.approx(top) and score.ideal == top
        assert (score.low, score.high) == pytest.approx((top, top))


def test_they_are_sacrebleus_and_rouge_scores():
    import sacrebleu
    from rouge_score.rouge_scorer import RougeScorer

    bleu, chrf, rouge = reference_scores(CANDIDATES, REFERENCES)
    assert [s.name for s in (bleu, chrf, rouge)] == ["BLEU", "chrF", "ROUGE-L"]
    streams = [[texts[i] if i < len(texts) else None for texts in REFERENCES] for i in range(3)]
    assert bleu.value == pytest.approx(sacrebleu.corpus_bleu(CANDIDATES, streams).score)
    assert chrf.value == pytest.approx(sacrebleu.corpus_chrf(CANDIDATES, streams).score)
    scorer = RougeScorer(["rougeL"])
    each = [
        max(scorer.score(reference, text)["rougeL"].fmeasure for reference in texts)
        for text, texts in zip(CANDIDATES, REFERENCES, strict=True)
    ]
    assert rouge.value == pytest.approx(sum(each) / 4)
    for score in (bleu, chrf, rouge):
        assert score.low < score.value <= score.high
        assert dict(score.conditions) == {"n": 4, "references": 3}
    assert "tok:13a" in bleu.details["signature"]


def test_the_longest_common_subsequence_by_hand():
    """LCS of (a b c d) and (a c x d): a c d, 3 of 4 in both; of ten single letters none are words to sacrebleu."""
    (*_, rouge) = reference_scores(["a b c d"], [["a c x d"]])
    assert rouge.value == pytest.approx(0.75) and math.isnan(rouge.low)


@pytest.mark.parametrize(
    ("candidates", "references", "says"),
    [([], [], "got 0 for 0 texts"), (["a"], [["a"], ["b"]], "got 2 for 1 texts"), (["a"], [[]], "an empty list")],
)
def test_unequal_lists_are_refused(candidates, references, says):
    with pytest.raises(InputError, match=f"^references: .*{says}"):
        reference_scores(candidates, references)


def test_a_missing_package_is_named_with_its_install_line(monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name.startswith("rouge_score"):
            raise ModuleNotFoundError("No module named 'rouge_score'", name="rouge_score")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r'rouge_score is not installed, run pip install "pushforward\[text\]"$'):
        reference_scores(["a"], [["a"]])


# -- continuations --------------------------------------------------------------------------------------------------


def gpt(example: Text) -> GPT:
    torch.manual_seed(0)
    return GPT(example=example, width=16, depth=1, heads=2).eval()


def test_prompts_are_continued_by_the_models_own_draws():
    model = gpt(Text(vocabulary=LETTERS, length=16, stream=True))
    prompts = ["the cat", "a dog", "the cat"]
    texts = complete_prompts(model, prompts, length=20, seed=3)
    assert [len(text) for text in texts] == [20, 20, 20]
    assert texts == complete_prompts(model, prompts, length=20, seed=3)
    assert texts[:2] == complete_prompts(model, prompts[:2], length=20, seed=3)
    assert texts[0] != texts[2]  # draws of their own
    codes = model.complete(torch.tensor(model.example.codes("a dog")), 1, length=20, seed=3, start=1)[0]
    assert texts[1] == model.example.string(codes[5:].tolist())


def test_a_separate_text_stops_at_its_end():
    model = gpt(Text(vocabulary=LETTERS, length=12))
    model.vocabulary.head.bias.data[model.example.end] = 50.0
    assert complete_prompts(model, ["ab", ""], length=5) == ["", ""]


def test_prompts_that_cannot_be_continued():
    model = gpt(Text(vocabulary=LETTERS, length=12))
    with pytest.raises(InputError, match="^text: holds 'é'"):
        complete_prompts(model, ["café"], length=5)
    with pytest.raises(InputError, match="^length: got 20 codes"):
        complete_prompts(model, ["a"], length=20)
    torch.manual_seed(0)
    for other in (GPT(**_bins(), width=16, depth=1, heads=2), Independent(example=model.example)):
        with pytest.raises(InputError, match="^model: .* cannot continue texts"):
            complete_prompts(other, ["a"], length=5)


def _bins() -> dict:
    from pushforward.core.fit_units import fit_units

    data = points()
    return {"example": data.example, "units": fit_units(data.example, "codes", data.train.x)}
