"""A run that was loaded or has just been fitted: its model, its records, and samples as the user knows them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pushforward.core.capabilities import HasCompletion, require
from pushforward.core.errors import InputError
from pushforward.core.modality import Modality
from pushforward.core.model import Model
from pushforward.core.saving import load_folder
from pushforward.core.text import Text
from pushforward.run.folder import read_record
from pushforward.zoo import resolve

__all__ = ["Run", "load"]


@dataclass
class Run:
    """A fitted model and where it came from.

    Args:
        model: ready to sample and score, in storage form.
        path: the run folder.
        training: ``training.json``.
        data: ``data.json``.
    """

    model: Model
    path: Path
    training: Mapping[str, Any] = field(repr=False)
    data: Mapping[str, Any] = field(repr=False)

    @property
    def example(self) -> Modality:
        """What the model makes."""
        return self.model.example

    def sample(
        self,
        n: int = 1,
        *,
        condition: Any | None = None,
        seed: int | None = None,
        start: int = 0,
        sampler: Any | None = None,
        prompt: str | None = None,
        length: int | None = None,
    ) -> Any:
        """n new examples as user objects: an array of images or points, a DataFrame, a list of strings.

        Args:
            n: how many.
            condition: the name of a class (one for all, or n of them); None for the unconditional model.
            seed: which draws; None takes fresh ones.
            start: index of the first sample of the seed.
            sampler: how to draw; None is the untruncated model.
            prompt: for text: what the samples begin with.
            length: for text: how many codes to add; None as many as an example has.

        Raises:
            InputError: if an argument does not suit the model.
        """
        storage = self.draw(
            n, condition=condition, seed=seed, start=start, sampler=sampler, prompt=prompt, length=length
        )
        if isinstance(self.example, Text):
            return [self.example.string(row) for row in storage.tolist()]
        return self.example.unpack(storage)

    def draw(
        self,
        n: int,
        *,
        condition: Any | None = None,
        seed: int | None = None,
        start: int = 0,
        sampler: Any | None = None,
        prompt: str | None = None,
        length: int | None = None,
    ) -> Tensor:
        """The same examples in storage form."""
        given = None if condition is None else self._packed(condition)
        if prompt is None and length is None:
            return self.model.sample(n, condition=given, seed=seed, start=start, sampler=sampler)
        if not isinstance(self.example, Text):
            raise InputError(f"prompt: this model makes {self.example.describe()}, prompts and lengths are for text")
        require(self.model, HasCompletion, "go on from a prompt")
        assert isinstance(self.model, HasCompletion)
        codes = torch.tensor(self.example.codes(prompt or ""), dtype=torch.int64)
        length = max(self.example.length - len(codes), 1) if length is None else length
        return self.model.complete(codes, n, length=length, condition=given, seed=seed, start=start, sampler=sampler)

    def _packed(self, condition: Any) -> Tensor:
        if self.model.condition is None:
            raise InputError(f"condition: got {condition!r}, but this model was fitted without a condition")
        if isinstance(condition, Tensor):
            return condition
        many = isinstance(condition, (list, tuple, np.ndarray))
        packed = self.model.condition.pack(list(condition) if many else [condition])
        return packed if many else packed[0]


def load(path: str | Path, *, trust: Collection[str] = ()) -> Run:
    """The run in a folder.

    Nothing is unpickled; a model class outside this package must be imported already or named in ``trust``.

    Args:
        path: a run folder.
        trust: ``module:Class`` names that may be imported.

    Raises:
        InputError: if the folder is not a run, or its weights are not the ones it recorded.
    """
    path = Path(path)
    training, data = read_record(path)
    model = load_folder(path, lambda name: resolve(name, trust))
    recorded = training.get("weights")
    if recorded is not None and recorded != _weights_digest(path):
        raise InputError(
            f"{path / 'model.safetensors'}: does not match the SHA-256 in training.json, expected it unchanged"
        )
    return Run(model, path, training, data)


def _weights_digest(path: Path) -> str:
    from safetensors import safe_open

    with safe_open(path / "model.safetensors", framework="pt") as file:
        return (file.metadata() or {}).get("sha256", "")


def metrics(path: str | Path) -> list[dict[str, Any]]:
    """The lines of ``metrics.jsonl`` of a run."""
    import json

    lines = (Path(path) / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]
