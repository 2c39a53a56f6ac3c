r"""What is measured of texts only: how varied they are, whether their words exist, and how near they are to references.

* *distinct-k* (Li et al. 2016, "A Diversity-Promoting Objective Function for Neural Conversation Models"): the number
  of different k-grams over the number of all of them,

  .. math:: \text{distinct-}k = |\{g_1, \dots, g_N\}| \,/\, N .

  It falls with N, so it is taken over the first N k-grams of the samples, N the largest of 10, 20, 50, 100, 200, ...
  that samples and held-out texts both have; that of the held-out texts stands beside it. Tokens are words in lower
  case, or characters where the texts have no words.
* *words known*: the share of words that the training texts hold.
* against references: BLEU (Papineni et al. 2002) and chrF (Popović 2015) of the whole set, from sacrebleu, and the mean
  F1 of the longest common subsequence, ROUGE-L (Lin 2004), from rouge-score.

No value of the first three is ideal: they should be as those of the held-out texts.
"""

import json
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from scipy.stats import sem
from scipy.stats import t as student
from torch import Tensor

from pushforward.core.capabilities import HasCompletion
from pushforward.core.data import Data, Split, Windows
from pushforward.core.errors import InputError
from pushforward.core.text import Text
from pushforward.evaluation.intervals import Statistic, mean_interval, paired_halves
from pushforward.evaluation.score import Plain, Score, missing

__all__ = ["complete_prompts", "reference_scores", "text_scores"]

#: Training codes whose words are known: more than a book holds, and seconds to read.
READ = 20_000_000

#: Texts with fewer word breaks than one in so many characters (a long word) are taken as characters.
LONGEST_WORD = 30

#: Fewer texts than this have no halves worth the name.
FEWEST = 10

#: Resampled sets of sentences, the number sacrebleu itself takes for its 95 % intervals.
RESAMPLED = 1000

WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


def text_scores(
    data: Data,
    held_out: Int[Tensor, "n codes"] | Split,
    drawn: Int[Tensor, "m codes"],
    *,
    split: str = "test",
    seed: int = 0,
) -> list[Score]:
    """distinct-1, distinct-2 and words known.

    Args:
        data: texts; its training split is where known words are from.
        held_out: real texts. Of a stream give the split itself: then its windows are taken side by side, and no
            code twice.
        drawn: generated texts. As many of each are looked at as there are of the fewer.
        split: what the held-out texts are called in the conditions.
        seed: of the splits in halves.

    Example:
        >>> from pushforward.core.data import Rows
        >>> example = Text(vocabulary=(" ", "a", "b"), length=24)
        >>> rows = Rows(example.pack(["a b ab ba a b ab ba a b"]))
        >>> data = Data(name="ab", example=example, train=rows, valid=rows, test=rows)
        >>> text_scores(data, rows.x, example.pack(["a a a a a a a a a ba ab"]))[0].value  # of the first ten, 2 differ
        0.2
    """
    example = data.example
    assert isinstance(example, Text)
    real = example.unpack(_side_by_side(held_out, len(drawn)).cpu())
    fake = example.unpack(drawn[: len(real)].cpu())
    real = real[: len(fake)]
    known = _training_text(data)
    split_up = _tokenizer(example, known)
    real_tokens, fake_tokens = ([split_up(text) for text in texts] for texts in (real, fake))
    of_words = split_up is not list
    conditions: dict[str, Plain] = {"split": split, "texts": len(fake), "tokens": "words" if of_words else "characters"}
    scores = [_distinct(k, real_tokens, fake_tokens, conditions, seed) for k in (1, 2)]
    if of_words:
        scores.append(_known(set(split_up(known)), real_tokens, fake_tokens, conditions, seed))
    return scores


def _side_by_side(held_out: Tensor | Split, n: int) -> Int[Tensor, "n codes"]:
    """At most n held-out texts."""
    if isinstance(held_out, Tensor):
        return held_out[:n]
    if isinstance(held_out, Windows):
        starts = torch.arange(0, len(held_out), held_out.length)
        count = min(n, len(starts))
        return held_out[starts[torch.arange(count) * len(starts) // max(count, 1)]].x
    return held_out.spread(n).x


def _training_text(data: Data) -> str:
    """The training texts, a line each, or the beginning of a stream."""
    assert isinstance(data.example, Text)
    if isinstance(data.train, Windows):
        return data.example.string(data.train.stream[:READ].tolist())
    rows = data.train.spread(max(READ // data.example.length, 1)).x
    return "\n".join(data.example.unpack(rows))


def _tokenizer(example: Text, known: str) -> Callable[[str], list[str]]:
    """Words in lower case, or characters (``list``) if there are none."""
    words = WORD.findall(known)
    if len(words) * LONGEST_WORD < len(known) or sum(map(len, words)) * 2 < len(known):
        return list

    def whole_words(text: str) -> list[str]:
        return [word.lower() for word in WORD.findall(text)]

    def inner_words(text: str) -> list[str]:
        # A window of a stream begins and ends anywhere: a word that touches its edge may be half a word.
        return [m.group().lower() for m in WORD.finditer(text) if 0 < m.start() and m.end() < len(text)]

    return inner_words if example.stream else whole_words


def _distinct(k: int, real: list[list[str]], fake: list[list[str]], conditions: dict[str, Plain], seed: int) -> Score:
    """Different k-grams among as many as both have; the held-out figure beside it."""
    name = f"distinct-{k}"
    grams = [[_grams(tokens, k) for tokens in texts] for texts in (real, fake)]
    budget = _budget(min(sum(map(len, texts)) for texts in grams))
    if budget == 0:
        of = conditions["tokens"]
        return missing(name, f"samples and held-out texts do not both hold ten runs of {k} {of}", conditions=conditions)
    # A half keeps half the budget, so that the figure of a half is of the same kind.
    used = _first(grams[1], budget)

    def ratio(_: np.ndarray, rows: np.ndarray) -> float:
        return _share_distinct([used[row] for row in rows])

    value, low, high = _halved(ratio, len(used), seed)
    return Score(
        name=name,
        value=value,
        low=low,
        high=high,
        conditions={**conditions, "n": budget},
        details={
            "test data": _share_distinct(_first(grams[0], budget)),
            "interval": "random splits of the texts in halves",
        },
    )


def _halved(statistic: Statistic, n: int, seed: int) -> tuple[float, float, float]:
    """A statistic of n texts, with its interval where there are enough of them."""
    rows = np.arange(n)
    if n < FEWEST:
        return float(np.asarray(statistic(rows, rows))), math.nan, math.nan
    (found,) = paired_halves(statistic, n, seed=seed)
    low, high = mean_interval(found)
    return found.value, low, high


def _grams(tokens: list[str], k: int) -> list[tuple[str, ...]]:
    return list(zip(*(tokens[i:] for i in range(k)), strict=False))


def _budget(available: int) -> int:
    """The largest of 10, 20, 50, 100, 200, ... that is available, or 0."""
    best = 0
    for power in range(1, 12):
        best = max([best, *(m * 10**power for m in (1, 2, 5) if m * 10**power <= available)])
    return best


def _first(texts: list[list[tuple[str, ...]]], budget: int) -> list[list[tuple[str, ...]]]:
    """The first ``budget`` k-grams of some texts; the last text is cut."""
    kept = []
    for grams in texts:
        if budget <= 0:
            break
        kept.append(grams[:budget])
        budget -= len(grams)
    return kept


def _share_distinct(texts: Sequence[list[tuple[str, ...]]]) -> float:
    every = [gram for grams in texts for gram in grams]
    return len(set(every)) / len(every) if every else math.nan


def _known(
    known: set[str], real: list[list[str]], fake: list[list[str]], conditions: dict[str, Plain], seed: int
) -> Score:
    """The share of words that the training texts hold, a ratio of totals over texts."""
    counts = [
        np.array([[sum(word in known for word in words), len(words)] for words in texts], dtype=float).reshape(-1, 2)
        for texts in (real, fake)
    ]
    total = counts[1][:, 1].sum()
    conditions = {**conditions, "n": len(fake)}
    if total == 0 or counts[0][:, 1].sum() == 0:
        which = "samples" if total == 0 else "held-out texts"
        return missing("words known", f"the {which} hold no whole word", conditions=conditions)

    def share(_: np.ndarray, rows: np.ndarray) -> float:
        inside, all_words = counts[1][rows].sum(0)
        return inside / all_words if all_words else math.nan

    value, low, high = _halved(share, len(fake), seed)
    return Score(
        name="words known",
        value=value,
        low=max(low, 0.0),
        high=min(high, 1.0),
        conditions=conditions,
        details={
            "test data": float(counts[0][:, 0].sum() / counts[0][:, 1].sum()),
            "interval": "random splits of the texts in halves",
        },
        note="share of words that the training texts hold",
    )


# -- against references ---------------------------------------------------------------------------------------------


def complete_prompts(
    model: HasCompletion, prompts: Sequence[str], *, length: int, seed: int = 0, sampler: Any | None = None
) -> list[str]:
    """One continuation of every prompt, without the prompt, drawn from the model (untruncated unless ``sampler`` says).

    Args:
        model: of texts.
        prompts: the beginnings.
        length: codes to add at most; a separate text ends where the model ends it.
        seed: which draws; prompt i has draw i, whatever the others are.
        sampler: how codes are chosen.

    Raises:
        InputError: if the model is of something else than texts, a prompt holds characters it does not know, or
            prompt and continuation are longer than what it can write.
    """
    example = model.example
    if not isinstance(example, Text) or not isinstance(model, HasCompletion):
        raise InputError(f"model: {type(model).__name__} cannot continue texts, expected one that was fitted to text")
    texts = []
    for index, prompt in enumerate(prompts):
        codes = torch.tensor(example.codes(prompt), dtype=torch.int64)
        whole = model.complete(codes, 1, length=length, seed=seed, start=index, sampler=sampler)[0]
        texts.append(example.string(whole[len(codes) :].tolist()))
    return texts


def reference_scores(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> list[Score]:
    """BLEU and chrF (0 to 100) and ROUGE-L (0 to 1, of Latin letters and digits only) against one or more references.

    Args:
        candidates: one text each.
        references: for each, what it should be; of several the best counts.

    Raises:
        InputError: if there are no candidates, not as many lists of references, one is empty, or the packages that
            compute the scores are not installed.
    """
    if not candidates or len(candidates) != len(references):
        raise InputError(f"references: got {len(references)} for {len(candidates)} texts, expected one list for each")
    if not all(references):
        raise InputError("references: got an empty list, expected at least one reference for each text")
    try:
        from rouge_score import rouge_scorer
        from sacrebleu.metrics.bleu import BLEU
        from sacrebleu.metrics.chrf import CHRF
    except ImportError as error:
        raise InputError(f'references: {error.name} is not installed, run pip install "pushforward[text]"') from None
    most = max(map(len, references))
    # sacrebleu takes the first reference of all texts, then the second; where a text has no second it is None.
    streams = [[texts[i] if i < len(texts) else None for texts in references] for i in range(most)]
    conditions: dict[str, Plain] = {"n": len(candidates), "references": most}
    scores = [_of_corpus(metric, candidates, streams, conditions) for metric in (BLEU(), CHRF())]
    scorer = rouge_scorer.RougeScorer(["rougeL"])
    pairs = zip(candidates, references, strict=True)
    each = np.array([scorer.score_multi(list(texts), text)["rougeL"].fmeasure for text, texts in pairs])
    width = float(student.ppf(0.975, len(each) - 1) * sem(each)) if len(each) > 1 else math.nan
    rouge = Score(
        name="ROUGE-L",
        value=float(each.mean()),
        low=max(float(each.mean()) - width, 0.0) if len(each) > 1 else math.nan,
        high=min(float(each.mean()) + width, 1.0) if len(each) > 1 else math.nan,
        ideal=1.0,
        conditions=conditions,
        details={"interval": "student t over texts"},
    )
    return [*scores, rouge]


def _of_corpus(metric: Any, candidates: Sequence[str], streams: list, conditions: dict[str, Plain]) -> Score:
    """A score of sacrebleu, with its own bootstrap over sentences (its seed is fixed)."""
    found = metric.corpus_score(list(candidates), streams, n_bootstrap=RESAMPLED if len(candidates) > 1 else 1)
    signature = str(metric.get_signature())
    told = json.loads(found.format(width=12, signature=signature, is_json=True))
    half = told.get("confidence_var", math.nan)
    return Score(
        name="BLEU" if found.name == "BLEU" else "chrF",
        value=float(found.score),
        low=max(found.score - half, 0.0) if math.isfinite(half) else math.nan,
        high=min(found.score + half, 100.0) if math.isfinite(half) else math.nan,
        ideal=100.0,
        conditions=conditions,
        details={"signature": signature, "interval": f"bootstrap over texts, {RESAMPLED} times"},
    )
