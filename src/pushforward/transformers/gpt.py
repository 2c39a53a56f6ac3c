r"""GPT: an example is a sequence of codes, and a transformer predicts each from the condition and those before it.

By the chain rule, exactly and with no model assumption,

.. math:: \log p(x \mid c) = \sum_{t=1}^{T} \log p(x_t \mid x_{<t}, c), \qquad
          p(x_t = k \mid x_{<t}, c) = \mathrm{softmax}_k\big(W_t\, h_t\big), \qquad
          h_t = \mathrm{transformer}(c, s, x_1, \dots, x_{t-1}),

with a learned start vector s, from which the first code is predicted. Training reads all T conditionals off one pass;
sampling draws :math:`x_1, x_2, \dots` in turn and keeps the keys and values of what it has seen.

* *A stream of text*: x is a window of it. Past the length of a window, generation starts a new window with the second
  half of the last one, so every code is drawn given at least half a window (but for the first ones).
* *Separate texts* end with a code of their own; after it every code is an end, with probability 1.
* *Images* are pixels in reading order with a learned vector added for their place; *tables* and *points* are bins of
  histograms (``core/column_units.py``), a vocabulary per column.

Reference:
    Radford et al. 2019, "Language Models are Unsupervised Multitask Learners"; Chen et al. 2020, "Generative
    Pretraining from Pixels", for images.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from pushforward.core.capabilities import HasCompletion, HasDensity, HasPath
from pushforward.core.data import Condition
from pushforward.core.errors import InputError
from pushforward.core.modality import Image, Points
from pushforward.core.model import model
from pushforward.core.noise import Noise, fresh_seed
from pushforward.core.stages import Phase, Stage
from pushforward.core.table import Table
from pushforward.core.text import Text
from pushforward.nn.conditioning import PrefixConditioner
from pushforward.nn.embedding import LearnedPositions
from pushforward.nn.transformer import Transformer
from pushforward.transformers.tokens import TokenSampler, choose, truncate
from pushforward.transformers.vocabulary import Vocabulary

__all__ = ["GPT"]

#: Sequences ``complete`` works on at a time, as many as ``sample`` does.
ROWS = 256

#: Codes per update: in a minute on a CPU, many small updates learn more than few large ones (on the digits, at equal
#: compute and width 64, updates of 1,024, 2,048 and 8,192 codes reached 1.78, 1.72 and 1.83 bits/dim).
CODES_PER_UPDATE = 2048


@model
class GPT(HasCompletion, HasDensity, HasPath):
    """Decoder-only transformer over the codes of text, images, tables or points; its likelihood is exact.

    A condition (a label or a text) becomes vectors before the start vector. The loss is in nats per example, summed
    over its codes; of a text that ends, up to and including the end code.

    Raises:
        InputError: if the layers cannot be made with these sizes, or the data has no codes.

    Example:
        >>> gpt = GPT(example=Text(vocabulary=("a", "b"), length=8, stream=True), width=16, depth=1, heads=2)
        >>> gpt.sample(3, seed=0).shape
        torch.Size([3, 8])
        >>> gpt.complete(torch.tensor([0, 1]), 1, length=20, seed=0).shape  # on past the window
        torch.Size([1, 22])
    """

    space = "codes"
    likelihood = "exact"
    sampler_class = TokenSampler

    width: int = 64  # Length of the vector of a position.
    depth: int = 4  # Number of blocks: attention and a perceptron each.
    heads: int = 4  # Attention heads per block; must divide half the width.
    dropout: float = 0.0  # Share of what each block adds that is dropped in training.

    def build(self) -> None:
        for name in ("width", "depth"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: got {getattr(self, name)}, expected a whole number of at least 1")
        if not 0 <= self.dropout < 1:
            raise InputError(f"dropout: got {self.dropout}, expected a number from 0 to below 1")
        own = isinstance(self.example, (Table, Points))
        self.vocabulary = Vocabulary(self.fitted.sizes, self.width, shared=not own)
        self.start = nn.Parameter(torch.randn(self.width))
        self.prefix = None if self.condition is None else PrefixConditioner(self.condition, self.width)
        # Rotary positions tell distances; a pixel also has a place. A column is known by its codes.
        self.places = LearnedPositions(self.shape[0], self.width) if isinstance(self.example, Image) else None
        self.transformer = Transformer(self.width, depth=self.depth, heads=self.heads, dropout=self.dropout)

    @property
    def batch_size(self) -> int:
        """Examples per update: 2,048 codes of them, but no fewer than 8 examples and no more than 128."""
        return min(max(CODES_PER_UPDATE // self.shape[0], 8), 128)

    @property
    def end(self) -> int | None:
        """The code that ends an example, if there is one."""
        return self.example.end if isinstance(self.example, Text) else None

    def stages(self) -> Sequence[Stage]:
        # Second moments over the last hundred updates, decay and clipping, as is usual for transformers.
        phase = Phase(
            name="fit",
            terms=self.terms,
            parameters=list(self.parameters()),
            # At width 64 and on the digits 4e-3 did better than half and twice as much; wider networks take less.
            lr=min(0.25 / self.width, 8e-3),
            betas=(0.9, 0.99),
            weight_decay=0.1,
            clip=1.0,
        )
        return [Stage(name="fit", phases=[phase])]

    # -- the likelihood --------------------------------------------------------------------------------------------

    def terms(
        self, x: Int[Tensor, "batch codes"], condition: Condition | None, *, noise: Noise
    ) -> dict[str, Float[Tensor, "batch"]]:
        return {"nll": -self.log_likelihood(x, condition, noise=noise)}

    def log_likelihood(
        self, x: Int[Tensor, "batch codes"], condition: Condition | None, *, noise: Noise
    ) -> Float[Tensor, "batch"]:
        return self.log_likelihood_each(x, condition).sum(1)

    def log_likelihood_each(
        self, x: Int[Tensor, "batch codes"], condition: Condition | None
    ) -> Float[Tensor, "batch codes"]:
        if self.end is None:
            return self._scores(x, condition)
        is_end = x == self.end
        ended = is_end.cumsum(1) > is_end.long()  # an end stands before
        longest = int((~ended).sum(1).max()) if len(x) else 0
        scores = F.pad(self._scores(x[:, :longest], condition), (0, x.shape[1] - longest))
        return torch.where(ended, torch.where(is_end, 0.0, -math.inf).to(scores), scores)

    def _scores(self, x: Int[Tensor, "batch codes"], condition: Condition | None) -> Float[Tensor, "batch codes"]:
        """log softmax(W_t h_t)[x_t] at every position."""
        logits = self.logits(x[:, :-1], condition)
        return -F.cross_entropy(logits.flatten(0, 1), x.flatten(), reduction="none").view(x.shape)

    def logits(
        self, x: Int[Tensor, "batch seen"], condition: Condition | None
    ) -> Float[Tensor, "batch seen+1 vocabulary"]:
        """The logits of every code of x and of the one after them."""
        h = self.transformer(self._inputs(x, condition))
        return self.vocabulary.logits(h[:, h.shape[1] - x.shape[1] - 1 :])

    def _inputs(self, x: Int[Tensor, "batch seen"], condition: Condition | None) -> Float[Tensor, "batch time width"]:
        """The vectors of condition, start and codes."""
        start = self.start.expand(len(x), 1, -1)
        before = [] if self.prefix is None else [self.prefix(condition, len(x))]
        return torch.cat([*before, start, self._embedded(x)], dim=1)

    def _embedded(self, x: Int[Tensor, "batch new"], start: int = 0) -> Float[Tensor, "batch new width"]:
        """The vectors of the codes at positions ``start, start + 1, ...``."""
        vectors = self.vocabulary(x, start)
        return vectors if self.places is None else self.places(vectors, start)

    # -- generation ------------------------------------------------------------------------------------------------

    def draw(
        self, n: int, condition: Condition | None, *, noise: Noise, sampler: TokenSampler | None
    ) -> Int[Tensor, "n codes"]:
        x = self._blank(n, self.shape[0])
        for _ in self._continued(x, 0, condition, noise=noise, sampler=sampler):
            pass
        return x

    def trajectory(
        self, n: int, condition: Condition | None, *, noise: Noise, sampler: TokenSampler | None
    ) -> Iterator[Int[Tensor, "n codes"]]:
        """One more code in every state; those to come are 0, or the end code where there is one."""
        yield from self._continued(self._blank(n, self.shape[0]), 0, condition, noise=noise, sampler=sampler)

    def complete(
        self,
        prompt: Int[Tensor, "given"],
        n: int,
        *,
        length: int,
        condition: Tensor | int | None = None,
        seed: int | None = None,
        start: int = 0,
        sampler: Any | None = None,
    ) -> Int[Tensor, "n given+length"]:
        """n continuations of ``prompt`` by ``length`` codes each, prompt included.

        Prompt and result are codes: of text the storage form, of pixels the levels in reading order, of tables and
        points the bins. A stream can go on for ever, past its window with at least half a window of context; a text
        that has come to its end code stays there. Sample i of a seed, begun with its own first codes, ends as it did.

        Args:
            prompt: the first codes; may be empty.
            n: how many.
            length: how many codes to add.
            condition: one for all, or n of them; None goes on from the unconditional model.
            seed: which draws; None takes a fresh one.
            start: index of the first sample.
            sampler: how codes are chosen; None is the model itself.

        Raises:
            InputError: if the prompt holds codes the model does not have, or an argument is out of range.
        """
        self._check(prompt, n, length, sampler)
        seed = fresh_seed() if seed is None else seed
        given = self.given(condition, n)
        x = self._blank(n, len(prompt) + length)
        x[:, : len(prompt)] = prompt
        with self.at_rest():
            for first in range(0, n, ROWS):
                rows = x[first : first + ROWS]
                part = None if given is None else Condition(*(t[first : first + ROWS] for t in given))
                noise = Noise(seed, rows=len(rows), start=start + first)
                for _ in self._continued(rows, len(prompt), part, noise=noise, sampler=sampler):
                    pass
        return x

    @torch.inference_mode()
    def _continued(
        self,
        x: Int[Tensor, "n codes"],
        given: int,
        condition: Condition | None,
        *,
        noise: Noise,
        sampler: TokenSampler | None,
    ) -> Iterator[Int[Tensor, "n codes"]]:
        """x with its codes from position ``given`` on drawn in place, one more in every state."""
        window, end = self.shape[0], self.end
        # The uniform of a code belongs to its position, given or not.
        uniform = noise.uniform(x.shape[1], like=self.start.double()).unbind(1)
        ended = torch.zeros(len(x), dtype=torch.bool, device=x.device) if end is None else (x[:, :given] == end).any(1)
        cache, first = None, 0
        for t in range(given, x.shape[1]):
            if cache is None or t - first == window:  # read the context anew
                first = 0 if t < window else t - window // 2
                inputs = self._inputs(x[:, first:t], condition)
                cache = self.transformer.cache(len(x), inputs.shape[1] + min(window + first, x.shape[1]) - t)
            else:
                inputs = self._embedded(x[:, t - 1 : t], t - 1 - first)
            h = self.transformer.step(inputs, cache)[:, -1:]
            logits = self.vocabulary.logits(h, t - first)[:, 0]
            code = choose(logits if sampler is None else truncate(logits, sampler), uniform[t])
            if end is not None:
                code = torch.where(ended, end, code)
                ended |= code == end
            x[:, t] = code
            yield x
            if end is not None and bool(ended.all()):
                return

    def _blank(self, n: int, length: int) -> Int[Tensor, "n length"]:
        return torch.full((n, length), self.end or 0, dtype=torch.int64, device=self.device)

    def _check(self, prompt: Tensor, n: int, length: int, sampler: Any | None) -> None:
        for name, value in (("n", n), ("length", length)):
            if not isinstance(value, int) or value < 1:
                raise InputError(f"{name}: got {value!r}, expected a whole number of at least 1")
        if sampler is not None and not isinstance(sampler, TokenSampler):
            raise InputError(f"sampler: got {type(sampler).__name__}, GPT takes TokenSampler")
        if not isinstance(prompt, Tensor) or prompt.ndim != 1 or prompt.is_floating_point():
            raise InputError("prompt: expected a one-dimensional tensor of whole numbers")
        endless = isinstance(self.example, Text) and self.example.stream
        if not endless and len(prompt) + length > self.shape[0]:
            raise InputError(
                f"length: got {length} codes after a prompt of {len(prompt)}, expected at most {self.shape[0]} in all"
            )
        sizes = torch.tensor(self.fitted.sizes[:1] * len(prompt) if endless else self.fitted.sizes[: len(prompt)])
        strange = prompt[(prompt.cpu() < 0) | (prompt.cpu() >= sizes)]
        if len(strange):
            raise InputError(f"prompt: holds the code {int(strange[0])}, expected codes the model has at its place")
