r"""Lossy coding with a vector-quantised autoencoder: only the indices k(x) of an example's codes are kept.

A map of indices costs :math:`-\log_2 p(k(x))` bits under the prior (``chain_rule.py``), and what comes back is the
decoder's picture :math:`\hat x(k)`, the same at every reading. The distortion is the root mean square over all entries,

.. math:: D = \sqrt{\mathbb{E}\,(x - \hat x(k(x)))^2},

in the units of storage: levels of a pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from pushforward.autoencoders.vqvae import VQVAE
from pushforward.core.errors import InputError
from pushforward.core.model import Model
from pushforward.probability.baselines import Independent
from pushforward.probability.classes import class_rows
from pushforward.transformers.gpt import GPT
from pushforward.uses.ans import Ans
from pushforward.uses.chain_rule import ChainCoder

__all__ = ["IndexCoder", "chain_coder_of", "distortion_of", "index_coder_of"]

#: Examples decoded at a time; the same for sender and receiver, as sums may depend on it in the last digit.
ROWS = 128


@dataclass(frozen=True)
class IndexCoder:
    """Indices on a stack, and pictures in their place when they are taken off.

    Args:
        indices: of examples in model units, as the prior reads them.
        picture: what the decoder makes of indices, in model units.
        chain: the code of a row of indices.
    """

    indices: Callable[[Tensor], Tensor]
    picture: Callable[[Tensor], Tensor]
    chain: ChainCoder

    def push(self, stack: Ans, y: Shaped[Tensor, "n *units"]) -> None:
        """Push the indices of examples."""
        self.chain.push(stack, self.indices(y))

    def pop(self, stack: Ans, n: int) -> Shaped[Tensor, "n *units"]:
        """Pop the indices of n examples: their pictures, in the order they were pushed in."""
        return self._pictures(self.chain.pop(stack, n))

    def kept(self, y: Shaped[Tensor, "n *units"]) -> Shaped[Tensor, "n *units"]:
        """What is left of examples when only their indices are kept."""
        return self._pictures(self.indices(y))

    def _pictures(self, indices: Int[Tensor, "n codes"]) -> Shaped[Tensor, "n *units"]:
        return torch.cat([self.picture(rows) for rows in indices.split(ROWS)])


def index_coder_of(model: VQVAE) -> IndexCoder:
    """The code that a vector-quantised autoencoder gives, without condition.

    Raises:
        InputError: if its prior gives no code.
    """
    assert isinstance(model.prior, Model)
    chain = chain_coder_of(model.prior)
    if chain is None:
        name = type(model.prior).__name__
        raise InputError(f"model: has the prior {name}, which gives no code, expected gpt or independent")

    def indices(y: Tensor) -> Tensor:
        return model.indices(y, model.given(None, len(y))).flatten(1)

    def picture(rows: Tensor) -> Tensor:
        z = model.quantize.vectors(rows.reshape(-1, model.quantize.count)).to(model.dtype)
        return model.generate(z.reshape(len(rows), -1), model.given(None, len(rows)))

    return IndexCoder(indices, picture, chain)


def chain_coder_of(model: Model) -> ChainCoder | None:
    """The code of a model that gives the probabilities of each code of an example in turn, or None.

    Example:
        >>> from pushforward.core.modality import Image
        >>> chain = chain_coder_of(Independent(example=Image(height=1, width=2, levels=4)))
        >>> stack = Ans()
        >>> chain.push(stack, torch.tensor([[3, 1]]))
        >>> round(stack.bits, 3), chain.pop(stack, 1).tolist()
        (4.0, [[3, 1]])
    """
    nobody = None if model.condition is None else model.given(None, 1)
    match model:
        case GPT():
            return ChainCoder(partial(_next_codes, model, nobody), model.shape[0])
        case Independent():
            log_mass = model.table[class_rows(nobody, 1, device=model.device)].log()
            return ChainCoder(lambda y: log_mass.expand(len(y), -1, -1), model.shape[0])
        case _:
            return None


def distortion_of(x: Shaped[Tensor, "n *shape"], again: Shaped[Tensor, "n *shape"]) -> float:
    """Root mean square difference of storage examples.

    Example:
        >>> distortion_of(torch.tensor([[0, 8]]), torch.tensor([[6, 16]]))  # sqrt((36 + 64) / 2)
        7.0710678118654755
    """
    return float((x.double() - again.double()).square().mean().sqrt())


def _next_codes(model: GPT, nobody: Any, y: Int[Tensor, "batch codes"]) -> Float[Tensor, "batch codes values"]:
    """log p of every value of every code given those before."""
    condition = None if nobody is None else type(nobody)(*(part.expand(len(y), *part.shape[1:]) for part in nobody))
    return model.logits(y[:, :-1], condition).log_softmax(2)
