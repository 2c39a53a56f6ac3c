"""A model under test: copies of it, examples it can be tried on, and a world that is left as it was found."""

import copy
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pushforward.conformance.twin import Twin, make_twin
from pushforward.core.data import Condition, Data
from pushforward.core.errors import InputError
from pushforward.core.modality import Label
from pushforward.core.model import Model
from pushforward.core.noise import Noise

__all__ = ["Subject", "left_alone", "seeded"]

#: Examples a model is tried on, and how many where drawing them is slow.
EXAMPLES, FEW = 24, 6

#: Processor seconds for two samples beyond which sampling is examined on the twin: a check draws a hundred or so.
PATIENCE = 0.4

#: How far parameters are moved for tests of the maths, relative to their spread and absolutely: enough that a layer
#: which starts at zero counts, little enough that a trained model stays in its range.
NUDGE = 0.02


class Subject:
    """A model under test. The model itself is never used, only copies of it on the CPU.

    Args:
        model: new or trained.
        data: examples to try it on; None draws them from the model.
        seed: of everything drawn.
    """

    def __init__(self, model: Model, data: Data | None, seed: int) -> None:
        self.seed, self._data = seed, data
        self.model = copy.deepcopy(model).cpu().eval()
        self.model.progress = 1.0  # the loss as it is at the end of training
        self.name = type(model).__name__
        self.evidence: list[Any] | None = None  # what ``densities.py`` has collected

    def where(self, method: str) -> str:
        """The method as people look for it."""
        return f"{self.name}.{method}"

    @cached_property
    def seconds(self) -> float:
        """Of the processor for two samples, in the quick way where there is one."""
        began = time.process_time()
        self.model.sample(2, seed=self.seed, sampler=self.model.preview)
        return time.process_time() - began

    @cached_property
    def x(self) -> Tensor:
        """Examples in storage form."""
        if self._data is not None:
            for split in (self._data.test, self._data.valid, self._data.train):
                if len(split):
                    return split.spread(EXAMPLES).x
        count = EXAMPLES if self.seconds < PATIENCE else FEW
        return self.model.sample(count, seed=self.seed + 1, sampler=self.model.preview)

    @property
    def drawn(self) -> bool:
        """Whether the examples are samples of the model itself."""
        return self._data is None

    def condition(self, n: int, model: Model | None = None) -> Condition | None:
        """n conditions in turn, every third of them absent."""
        modality = (model or self.model).condition
        if modality is None:
            return None
        if isinstance(modality, Label):
            value = torch.arange(n) % modality.size
        else:
            value = torch.zeros(n, *modality.shape, dtype=modality.dtype)
        return Condition(value, torch.arange(n) % 3 != 0)

    def units(self, model: Model, x: Tensor) -> Tensor:
        """Examples in model units."""
        y, _ = model.fitted.encode(x, noise=Noise(self.seed, rows=len(x)), dtype=model.dtype)
        return y

    @cached_property
    def double(self) -> Model:
        """The model in 64 bits, where agreement can be asked for to many digits."""
        return copy.deepcopy(self.model).double()

    @cached_property
    def nudged(self) -> Model:
        """The model in 64 bits with its parameters moved a little, so that nothing is zero by initialisation."""
        return nudged(self.double, self.seed)

    @cached_property
    def twin(self) -> Twin:
        """A small sister on data whose density can be integrated.

        Raises:
            InputError: if the class works on no such data.
        """
        return make_twin(self.model, self.seed)

    def sampled(self) -> tuple[Model, str]:
        """The model whose sampling is examined, and how it is called: the twin where the model is slow."""
        if self.seconds >= PATIENCE:
            try:
                return self.twin.model, f"a small {self.name} of {self.twin.says}"
            except InputError:
                pass
        return self.model, "the model"


def nudged(model: Model, seed: int) -> Model:
    """A copy of a model with every parameter moved by a little normal noise."""
    moved, generator = copy.deepcopy(model), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in moved.parameters():
            if parameter.is_floating_point() and parameter.numel():
                spread = float(parameter.std(correction=0)) + 1.0
                noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
                parameter += NUDGE * spread * noise.to(parameter.dtype)
    return moved


@contextmanager
def left_alone() -> Iterator[None]:
    """The global random states of torch, numpy and Python, put back afterwards."""
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])


def seeded(seed: int) -> None:
    """Set the global random states (inside ``left_alone``)."""
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
