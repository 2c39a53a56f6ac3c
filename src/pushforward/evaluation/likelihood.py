r"""Held-out log-likelihood, with its kind, its measure, how it was drawn, and an interval.

Every figure is a ratio of totals over the n examples, the cost in nats over an amount of data,

.. math:: \hat r = \frac{\sum_i -\log p(x_i \mid c_i)}{\sum_i a_i}, \qquad
          \text{se} = \frac{1}{\bar a} \sqrt{\frac{1}{n (n - 1)} \sum_i (-\log p(x_i \mid c_i) - \hat r a_i)^2},

with :math:`a_i` the number of examples (1), of dimensions times ln 2, of codes, or of characters or bytes times ln 2:
nats/example, bits/dim, nats/code, bits per character, bits per byte. Where all amounts are equal this is the mean and
its standard error; the interval is :math:`\hat r \pm t_{n-1}\,\text{se}` (Cochran 1977, "Sampling techniques", chapter
6, for the ratio). Bits/dim are given of a mass only, since the density of a continuous number depends on its unit.

A bound is drawn K = 16 times for every example: :math:`\log \frac1K \sum_k e^{\ell_k}` where the model allows it
(Burda et al. 2016), else the mean of :math:`\ell_k`.

A *stream* of text is scored in disjoint windows, the same for every model; one that reads from left to right sees
at least half a window before every code, but for the first half window of the stream.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.stats import t as student
from torch import Tensor

from pushforward.core.capabilities import Density, HasCompletion, HasDensity
from pushforward.core.data import Batch, Split, Windows
from pushforward.core.modality import Label, Modality
from pushforward.core.model import Model
from pushforward.core.text import Text
from pushforward.evaluation.score import Plain, Score, missing

__all__ = ["likelihood", "per_example"]

NAME = "negative log-likelihood"

#: K for a bound. Its gap to log p shrinks about as 1/K, and evaluating costs K times one pass.
DRAWS = 16

#: Examples scored unless all are asked for: their mean is known to a forty-fifth of the spread between examples.
ROWS = 2048

#: Neighbouring windows of a stream are alike, so its standard error is taken between blocks of consecutive windows;
#: with 32 of them the t quantile is 4 % above the normal one.
BLOCKS = 32


class _Scored(NamedTuple):
    """Examples and what the model gives them."""

    x: Tensor
    log_prob: Float[Tensor, "n"]
    one_draw: Float[Tensor, "n"] | None = None
    stream: bool = False


def likelihood(
    model: Model,
    data: Batch | Split,
    *,
    samples: int | None = None,
    seed: int = 0,
    n: int | None = ROWS,
    truth: Callable[[Tensor], Tensor] | None = None,
    split_name: str = "test",
) -> tuple[list[Score], Float[Tensor, "n"]]:
    """What held-out data costs under the model, in its natural unit first.

    Args:
        model: any; one without a likelihood gets a score that says so.
        data: the examples. A condition they have is given to a model that takes one.
        samples: K; None takes 1 for an exact likelihood and 16 for a bound.
        seed: of the noise of the bound.
        n: at most so many examples, evenly spaced over the split (windows of a stream); None takes all.
        truth: the true log-density in data units, where it is known.
        split_name: what the examples are called in the conditions.

    Returns:
        the scores, and log p(x | c) in nats of every example looked at (of a stream: of every window).

    Example:
        >>> from pushforward.core.data import Rows
        >>> from pushforward.core.modality import Points
        >>> from pushforward.probability.baselines import Gaussian
        >>> scores, log_prob = likelihood(Gaussian(example=Points(dim=2)), Rows(torch.zeros(9, 2).double()))
        >>> round(scores[0].value, 4), scores[0].unit, scores[0].conditions["kind"]  # ln 2 pi
        (1.8379, 'nats/example', 'exact')
    """
    if not isinstance(model, HasDensity):
        return _nothing(f"{type(model).__name__} draws samples but has no likelihood: no example gets a probability")
    if (len(data.x) if isinstance(data, Batch) else len(data)) == 0:
        return _nothing(f"the {split_name} split holds no example to score")
    density = model.density()
    draws = samples or (1 if density.kind == "exact" else DRAWS)
    scored = _scored(model, data, draws, seed, n)
    conditions: dict[str, Plain] = {
        "kind": density.kind,
        "measure": density.measure,
        "n": len(scored.log_prob),
        "split": split_name,
    }
    given = _given(model, data, scored)
    if given:
        conditions["given"] = given.partition(",")[0]  # p(x | c) and p(x) are different things
    details = _details(model, density, draws, scored, given)
    scores = [
        _score(name, unit, amount, scored, truth, conditions, details)
        for name, unit, amount in _amounts(model.example, density, scored.x)
    ]
    return scores, scored.log_prob


def per_example(example: Modality, log_prob: Float[Tensor, "n"]) -> Any:
    """One row per example, as a pandas DataFrame: index, log_prob in nats, and bits_per_dim of gridded data.

    Example:
        >>> from pushforward.core.modality import Points
        >>> per_example(Points(dim=1), torch.tensor([-2.0])).to_dict("list")
        {'index': [0], 'log_prob': [-2.0]}
    """
    import pandas as pd

    nats = log_prob.cpu().double().numpy()
    columns = {"index": np.arange(len(nats)), "log_prob": nats}
    if example.gridded[1] and not isinstance(example, Text):
        columns["bits_per_dim"] = -nats / (math.prod(example.shape) * math.log(2))
    return pd.DataFrame(columns)


def _nothing(why: str) -> tuple[list[Score], Tensor]:
    return [missing(NAME, why)], torch.empty(0, dtype=torch.float64)


# -- log p of every example -----------------------------------------------------------------------------------------


def _scored(model: HasDensity, data: Batch | Split, draws: int, seed: int, n: int | None) -> _Scored:
    """Log-probabilities of all examples, or of evenly spaced ones."""
    if isinstance(data, Windows):
        starts = torch.arange(0, len(data), data.length)
        if n is not None and n < len(starts):
            starts = starts[torch.arange(n) * len(starts) // n]
        batch = data[starts]
        if isinstance(model, HasCompletion):
            return _Scored(batch.x, _with_context(model, data, starts), stream=True)
    else:
        starts = None
        batch = data if isinstance(data, Batch) else data.spread(len(data) if n is None else n)
    # A tighter bound hides how much the draws matter: the plain bound is told beside it.
    one = _log_prob(model, batch, 1, seed) if draws > 1 and model.unbiased else None
    return _Scored(batch.x, _log_prob(model, batch, draws, seed), one, stream=starts is not None)


def _log_prob(model: HasDensity, batch: Batch, draws: int, seed: int) -> Float[Tensor, "n"]:
    """log p(x | c) where c is known, log p(x) where it is not."""

    def score(x: Tensor, condition: Tensor | None) -> Tensor:
        return model.log_prob(x, condition, samples=draws, seed=seed, batch_size=_at_once(model))

    if model.condition is None or batch.condition is None:
        return score(batch.x, None)
    value, present = batch.condition
    result = torch.empty(len(batch.x), dtype=torch.float64)
    if present.any():
        result[present] = score(batch.x[present], value[present])
    if not present.all():
        result[~present] = score(batch.x[~present], None)
    return result


def _with_context(model: HasCompletion, stream: Windows, starts: Int[Tensor, "n"]) -> Float[Tensor, "n"]:
    """log p of the windows at ``starts``, every code given at least half a window before it.

    The window [a, a + L) is read twice: its first codes at the end of the window that starts half a window before,
    the rest at the end of itself. Only the window at 0 has nothing before it.
    """
    length, before = stream.length, stream.length // 2
    result = []
    with model.at_rest():
        for some in starts.split(_at_once(model)):
            own = model.log_likelihood_each(stream[some].x.to(model.device), None).double()
            earlier = model.log_likelihood_each(stream[(some - before).clamp(min=0)].x.to(model.device), None).double()
            whole, first, rest = own.sum(1), earlier[:, before:].sum(1), own[:, length - before :].sum(1)
            result.append(torch.where((some == 0).to(whole.device), whole, first + rest).cpu())
    return torch.cat(result)


def _at_once(model: Model) -> int:
    """Examples in one pass: without gradients four updates' worth fits where one was trained."""
    return min(256, 4 * model.batch_size)


# -- what is said about them ----------------------------------------------------------------------------------------


def _given(model: Model, data: Batch | Split, scored: _Scored) -> str:
    """What the examples are scored given: "digit", or "digit, where known (57 of 60)"; empty if nothing."""
    if model.condition is None or isinstance(data, Windows):
        return ""
    batch = data if isinstance(data, Batch) else data.spread(len(scored.x))
    if batch.condition is None or not batch.condition.present.any():
        return ""
    title = model.condition.title if isinstance(model.condition, Label) else "condition"
    known, n = int(batch.condition.present.sum()), len(batch.x)
    return title if known == n else f"{title}, where known ({known} of {n})"


def _details(model: HasDensity, density: Density, draws: int, scored: _Scored, given: str) -> dict[str, Plain]:
    details: dict[str, Plain] = {"dequantisation": "none" if model.fitted.exact else "uniform"}
    if density.kind != "exact":
        details["importance samples" if model.unbiased else "draws averaged"] = draws
    if given:
        details["given"] = given
    if scored.stream:
        half = scored.x.shape[1] // 2
        details["context"] = f"at least {half} codes" if isinstance(model, HasCompletion) else "the window itself"
    if isinstance(model.example, Text) and model.example.end is not None:
        details["end of text"] = "counts as one character"
    return details


def _amounts(example: Modality, density: Density, x: Tensor) -> Iterator[tuple[str, str, Float[Tensor, "n"]]]:
    """(name, unit, how much of that unit every example is), the natural unit first."""
    ones = torch.ones(len(x), dtype=torch.float64)
    if isinstance(example, Text):
        codes, characters, sizes = _text_sizes(example, x)
        yield NAME, "nats/code", codes
        yield "bits per character", "bits/character", characters * math.log(2)
        yield "bits per byte", "bits/byte", sizes * math.log(2)
        return
    figures = [(NAME, "nats/example", ones)]
    if density.measure == "mass":
        figures.append((NAME, "bits/dim", ones * math.prod(example.shape) * math.log(2)))
    # Of pictures bits/dim are the usual figure; of rows and points nats.
    yield from figures[::-1] if len(example.shape) == 3 else figures


def _text_sizes(example: Text, x: Int[Tensor, "n codes"]) -> tuple[Tensor, Tensor, Tensor]:
    """Codes, characters and bytes of UTF-8 of every text; its end counts as one of each, what fills up as none."""
    x = x.cpu()
    if example.vocabulary:
        starts = [1.0] * example.symbols
        sizes = [float(len(character.encode(errors="surrogatepass"))) for character in example.vocabulary]
    else:
        starts = [float(byte & 0xC0 != 0x80) for byte in range(256)]  # the others continue a character
        sizes = [1.0] * 256
    ended = x == (-1 if example.end is None else example.end)
    counted = (ended.cumsum(1) <= ended.long()).double()  # no end stands before
    of_code = [torch.tensor([*values, 1.0], dtype=torch.float64)[x] for values in (starts, sizes)]
    return counted.sum(1), (counted * of_code[0]).sum(1), (counted * of_code[1]).sum(1)


def _score(
    name: str,
    unit: str,
    amount: Float[Tensor, "n"],
    scored: _Scored,
    truth: Callable[[Tensor], Tensor] | None,
    conditions: dict[str, Plain],
    details: dict[str, Plain],
) -> Score:
    """One figure, or why there is none."""
    rest: dict[str, Any] = {"unit": unit, "ideal": -math.inf, "conditions": conditions}
    cost, n = -scored.log_prob, len(scored.log_prob)
    what = "windows" if scored.stream else "examples"
    for strange, reason in (
        (cost.isnan(), "have no probability: the model gave NaN"),
        (cost == math.inf, "have probability 0 under the model, so their mean cost is infinite"),
        (cost == -math.inf, "have an infinite density under the model"),
    ):
        if strange.any():
            return missing(name, f"{int(strange.sum())} of {n} {what} {reason}", details=details, **rest)
    value = float(cost.sum() / amount.sum())
    details = dict(details)
    if scored.one_draw is not None:
        details["bound with one draw"] = float(-scored.one_draw.sum() / amount.sum())
    if truth is not None:
        details["truth"] = float(-truth(scored.x).double().cpu().sum() / amount.sum())
    blocks = BLOCKS if scored.stream else n
    error, groups = _standard_error(cost, amount, blocks)
    details["standard error"] = error
    over = f"{groups} blocks of consecutive windows" if groups < n else what
    details["interval"] = f"student t over {over}"
    width = float(student.ppf(0.975, groups - 1)) * error if groups > 1 else math.nan
    return Score(name=name, value=value, low=value - width, high=value + width, details=details, **rest)


def _standard_error(cost: Float[Tensor, "n"], amount: Float[Tensor, "n"], blocks: int) -> tuple[float, int]:
    """Of the ratio of totals, from the residuals of blocks of consecutive examples; and how many blocks there were."""
    residual = (cost - cost.sum() / amount.sum() * amount).numpy()
    totals = np.array([part.sum() for part in np.array_split(residual, min(blocks, len(residual)))])
    if len(totals) < 2:
        return math.nan, len(totals)
    # The total of g blocks has variance g s^2, s^2 that of one block around its expectation 0.
    variance = len(totals) / (len(totals) - 1) * float(np.square(totals).sum())
    return math.sqrt(variance) / float(amount.sum()), len(totals)
