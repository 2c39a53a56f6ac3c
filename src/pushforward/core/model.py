r"""The contract: a model learns p(x | c), its loss is in nats per example, its samples are true draws.

A model is a keyword-only dataclass that is also an ``nn.Module``. Its fields are its hyper-parameters, its command-line
flags and its saved configuration, written once. Two layers of methods meet here:

* *public*, in storage form: ``sample``, and what capabilities add (``log_prob``, ``encode``, ``path``);
* *the method itself*, pure maths in model units, written in the model's file: ``build``, ``terms``, ``draw``.
"""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar, dataclass_transform

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from pushforward.core import saving
from pushforward.core.data import Condition
from pushforward.core.errors import InputError, check_count
from pushforward.core.fit_units import default_units
from pushforward.core.modality import Modality
from pushforward.core.noise import Noise, fresh_seed
from pushforward.core.stages import Phase, Stage
from pushforward.core.units import Space, Units

__all__ = ["Model", "model"]

M = TypeVar("M", bound=type)


@dataclass_transform(kw_only_default=True, eq_default=False)
def model(cls: M) -> M:
    """Make a class a model: a keyword-only dataclass, compared by identity as modules are.

    Raises:
        TypeError: if a field would shadow an attribute of ``nn.Module`` (``training``, ``forward``, ...).
    """
    shadowed = [name for name in cls.__dict__.get("__annotations__", {}) if hasattr(nn.Module, name)]
    if shadowed:
        raise TypeError(f"{cls.__name__}.{shadowed[0]}: an attribute of nn.Module has this name, choose another")
    return dataclasses.dataclass(eq=False, repr=False, kw_only=True)(cls)


@dataclasses.dataclass(eq=False, repr=False, kw_only=True)
class Model(nn.Module, ABC):
    """A generative model of examples, given a condition or not.

    Fields of every model:
        example: what x is.
        condition: what c is, or None.
        units: between storage and model units; None takes those that need no data.

    Raises:
        InputError: if the model cannot work on such examples.
    """

    #: Where models of this class live unless their fields say otherwise (``space_for``); see ``units.py``.
    space: ClassVar[Space] = "real"
    #: A frozen dataclass of ways to draw (temperature, steps, guidance), or None if there is just one way.
    sampler_class: ClassVar[type | None] = None
    #: A sampler for quick looks while training, where the model's own draw is slow; reports name it.
    preview: ClassVar[Any | None] = None
    #: Examples per update that suit the model, unless the user says otherwise.
    batch_size: ClassVar[int] = 128
    #: Whether a term of the loss depends on the other examples of the batch.
    couples_batch: ClassVar[bool] = False
    #: Fields that hold a model, with the name of what the zoo puts there unless told otherwise; "" is nothing.
    parts: ClassVar[Mapping[str, str]] = {}

    example: Modality
    condition: Modality | None = None
    units: Units | None = None

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Prepare the module before fields are set, so that the dataclass needs no ``__init__`` of its own."""
        self = super().__new__(cls)
        nn.Module.__init__(self)
        return self

    def __post_init__(self) -> None:
        """Take default units if none were given, then build the layers."""
        if self.units is None:
            fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
            self.units = default_units(self.example, self.space_for(self.example, fields))
        self.progress = 1.0
        self.build()

    # -- the method, in model units ------------------------------------------------------------------------------

    @abstractmethod
    def build(self) -> None:
        """Make the layers; ``self.shape`` and ``self.units.sizes`` say what an example is in model units."""

    @abstractmethod
    def terms(
        self, x: Shaped[Tensor, "batch *units"], condition: Condition | None, *, noise: Noise
    ) -> dict[str, Float[Tensor, "batch"]]:
        """The named parts of the loss in nats per example, summed over dimensions."""

    @abstractmethod
    def draw(
        self, n: int, condition: Condition | None, *, noise: Noise, sampler: Any | None
    ) -> Shaped[Tensor, "n *units"]:
        """True draws from the model, in model units; ``noise`` has n rows."""

    def stages(self) -> Sequence[Stage]:
        """How to train: by default one stage of one phase that descends on ``terms``."""
        return [Stage(name="fit", phases=[Phase(name="fit", terms=self.terms, parameters=list(self.parameters()))])]

    def after_step(self) -> None:
        """Called by the loop after every step (moving averages, revival of dead codes)."""

    @classmethod
    def space_for(cls, example: Modality, fields: Mapping[str, Any]) -> Space:
        """The space a model with these fields lives in; fields that are not named have their defaults."""
        return cls.space

    @classmethod
    def part_example(cls, field: str, example: Modality, fields: Mapping[str, Any]) -> Modality:
        """What the model in a field of ``parts`` is a model of: a prior, of the codes that these fields make."""
        raise InputError(f"{field}: holds no model in {cls.__name__}, expected one of {', '.join(cls.parts) or 'none'}")

    # -- what every model can do ------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example in model units."""
        return self.fitted.shape

    @property
    def fitted(self) -> Units:
        """The units, which exist from construction on."""
        assert self.units is not None
        return self.units

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self._anchor().device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the parameters."""
        return self._anchor().dtype

    def loss(
        self, x: Shaped[Tensor, "batch *units"], condition: Condition | None = None, *, noise: Noise
    ) -> Float[Tensor, "batch"]:
        """Nats per example in model units: the sum of ``terms``."""
        return torch.stack(list(self.terms(x, condition, noise=noise).values())).sum(0)

    def sample(
        self,
        n: int,
        *,
        condition: Tensor | int | None = None,
        seed: int | None = None,
        start: int = 0,
        sampler: Any | None = None,
        batch_size: int = 256,
    ) -> Shaped[Tensor, "n *shape"]:
        """Draw examples, in storage form and on the data's grid.

        Sample i of a seed has the same noise whatever ``n``, ``start`` and ``batch_size``.

        Args:
            n: how many.
            condition: one for all (a class code), or n of them; None draws from the unconditional model.
            seed: which draws; None takes a fresh one.
            start: index of the first sample.
            sampler: a ``sampler_class`` object; None is the untruncated model itself.
            batch_size: how many at a time.

        Raises:
            InputError: if an argument is out of range or of another model.
            FloatingPointError: if the model draws NaN or infinity, which would become a wrong example.
        """
        check_count(n, "n")
        check_count(batch_size, "batch_size")
        if sampler is not None and (self.sampler_class is None or not isinstance(sampler, self.sampler_class)):
            accepted = "none" if self.sampler_class is None else self.sampler_class.__name__
            raise InputError(f"sampler: got {type(sampler).__name__}, {type(self).__name__} takes {accepted}")
        seed = fresh_seed() if seed is None else seed
        given = self.given(condition, n)
        parts = []
        with self.at_rest():
            for first in range(0, n, batch_size):
                rows = min(batch_size, n - first)
                noise = Noise(seed, rows=rows, start=start + first)
                part = None if given is None else Condition(*(t[first : first + rows] for t in given))
                y = self.draw(rows, part, noise=noise, sampler=sampler)
                if y.is_floating_point() and self._spoilt(y):
                    raise FloatingPointError(f"sample: {type(self).__name__} drew a number that is not finite")
                parts.append(self.fitted.decode(y, noise=noise))
        return torch.cat(parts)

    def given(self, condition: Tensor | int | None, n: int) -> Condition | None:
        """A user's condition as n rows on the model's device; absent everywhere if None was given.

        Raises:
            InputError: if the model takes no condition, or not this one.
        """
        if self.condition is None:
            if condition is not None:
                raise InputError(f"condition: got one, but this {type(self).__name__} was made without a condition")
            return None
        if condition is None:
            value = torch.zeros(n, *self.condition.shape, dtype=self.condition.dtype, device=self.device)
            return Condition(value, torch.zeros(n, dtype=torch.bool, device=self.device))
        value = torch.as_tensor(condition, device=self.device)
        if value.shape == self.condition.shape:
            value = value.expand(n, *value.shape)
        self.condition.check(value, "condition")
        if len(value) != n:
            raise InputError(f"condition: got {len(value)} of them, expected 1 or {n}")
        return Condition(value, torch.ones(n, dtype=torch.bool, device=self.device))

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """Evaluation mode without gradients, put back afterwards."""
        was_training = self.training
        self.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self.train(was_training)

    # -- saved models, in the folder convention of the Hugging Face Hub -----------------------------------------------

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``config.json`` and ``model.safetensors`` into a folder (made if need be)."""
        saving.save_folder(self, Path(folder))

    @classmethod
    def from_pretrained(cls, source: str | Path, *, revision: str | None = None) -> Self:
        """A saved model of this class, from a folder or a repository of the Hub.

        Raises:
            InputError: if there is none, or it is of another class.
        """
        found = saving.load_folder(saving.locate(source, revision))
        if not isinstance(found, cls):
            raise InputError(f"{source}: holds a {type(found).__name__}, expected a {cls.__name__}")
        return found

    def push_to_hub(self, repo_id: str, *, token: str | None = None, private: bool = False) -> str:
        """Upload the saved model to a repository of the Hub (made if need be); returns its address."""
        return saving.push_folder(self, repo_id, token=token, private=private)

    def extra_repr(self) -> str:
        """Fields beside layers when the module is printed."""
        skip = {"example", "condition", "units"}
        pairs = [(f.name, getattr(self, f.name)) for f in dataclasses.fields(self) if f.name not in skip]
        named = [(name, type(value).__name__ if isinstance(value, Model) else repr(value)) for name, value in pairs]
        return ", ".join(f"{name}={value}" for name, value in named)

    def _spoilt(self, y: Tensor) -> bool:
        """Whether a draw holds a number it may not; a finite sum says "no" at once."""
        if torch.isfinite(y.sum()):
            return False
        return bool((torch.isinf(y) if self.fitted.missing_is_nan else ~torch.isfinite(y)).any())

    def _anchor(self) -> Tensor:
        tensors = chain(self.parameters(), self.buffers())  # lazily: it is asked several times a step
        return next((t for t in tensors if t.is_floating_point()), torch.empty(0))
