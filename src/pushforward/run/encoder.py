"""A latent space as a step of a scikit-learn pipeline."""

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted, validate_data
from torch import Tensor

from pushforward.core.capabilities import HasLatent, require
from pushforward.core.data import Data, Rows
from pushforward.core.errors import InputError, check_count
from pushforward.core.modality import Image, Modality, Points
from pushforward.core.model import Model
from pushforward.evaluation.held_out import measure
from pushforward.evaluation.latents import decoded
from pushforward.training.fabric import launch
from pushforward.training.loop import Loop
from pushforward.training.progress import Bar
from pushforward.training.settings import Settings
from pushforward.zoo import create

__all__ = ["LatentEncoder"]

#: Every tenth row chooses the best weights; it is learned from too, as rows are few where this is used.
HELD = 10

#: Rows encoded at a time.
BATCH = 1024


class LatentEncoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Rows of numbers to the codes of a model that is fitted to them, and back.

    A transformer of scikit-learn: it can be cloned, pickled, searched over, and put in a ``Pipeline``. The labels that
    a pipeline hands on are not looked at.

    Args:
        model: the name of a model with a code, such as "vae" or "autoencoder".
        latent_dim: length of the code; None takes the model's own.
        options: other fields of the model.
        steps: of training.
        example: what a row is, where it is not a point: an ``Image`` takes rows of pixel levels in storage order.
        random_state: of the initial weights, the order of examples and all noise; None is 0.

    Attributes:
        model_: the fitted model.
        n_features_in_: length of a row.

    Raises:
        InputError: (a ValueError, in ``fit``) if an argument or the rows cannot be used.

    Example:
        >>> rows = np.random.default_rng(0).normal(size=(40, 3))
        >>> encoder = LatentEncoder(latent_dim=2, steps=2, options={"width": 8}).fit(rows)
        >>> encoder.transform(rows).shape, encoder.inverse_transform(encoder.transform(rows)).shape
        ((40, 2), (40, 3))
    """

    def __init__(
        self,
        model: str = "vae",
        *,
        latent_dim: int | None = None,
        options: Mapping[str, Any] | None = None,
        steps: int = 1000,
        example: Modality | None = None,
        random_state: int | None = 0,
    ) -> None:
        self.model = model
        self.latent_dim = latent_dim
        self.options = options
        self.steps = steps
        self.example = example
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the model to rows; ``y`` is not used."""
        rows: Any = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        check_count(self.steps, "steps")
        example = Points(dim=rows.shape[1]) if self.example is None else self.example
        storage = _stored(rows, example)
        held = Rows(storage[::HELD] if len(storage) > HELD else storage)
        data = Data(name="rows", example=example, train=Rows(storage), valid=held, test=held)
        options = dict(self.options or {}) | ({} if self.latent_dim is None else {"latent_dim": self.latent_dim})
        settings = Settings(steps=self.steps, seed=self.random_state or 0, device="cpu")
        with torch.random.fork_rng(devices=[]), Bar("fit", show=False) as bar:
            torch.manual_seed(settings.seed)
            made = create(self.model, data, options)
            require(made, HasLatent, "encode rows")
            assert isinstance(made, HasLatent)
            settings = dataclasses.replace(settings, batch_size=made.batch_size)
            Loop(made, data, settings, fabric=launch(settings), validate=partial(_held_out, held), bar=bar).run()
        # Weights learned in 32 bits, sums taken in 64: a code then does not depend on the rows beside its own.
        self.model_: HasLatent = made.double().eval().requires_grad_(False)
        self.latent_shape_ = tuple(self._codes(storage[:1]).shape[1:])
        return self

    def transform(self, X: Any) -> np.ndarray:
        """The codes of rows, (rows, units)."""
        check_is_fitted(self)
        rows: Any = validate_data(self, X, dtype=np.float64, reset=False)
        return self._codes(_stored(rows, self.model_.example)).flatten(1).numpy()

    def inverse_transform(self, X: Any) -> np.ndarray:
        """The rows that codes stand for."""
        check_is_fitted(self)
        numbers: Any = np.float64
        z = torch.tensor(check_array(X, dtype=numbers))
        if z.shape[1] != self._n_features_out:
            raise InputError(f"X: got codes of {z.shape[1]} units, expected {self._n_features_out}")
        return decoded(self.model_, z, self.latent_shape_).flatten(1).double().numpy()

    @property
    def _n_features_out(self) -> int:
        return int(np.prod(self.latent_shape_))

    def _codes(self, storage: Tensor) -> Tensor:
        return torch.cat([self.model_.encode(part) for part in storage.split(BATCH)]).double()


def _held_out(held: Rows, model: Model) -> float:
    return measure(model, held).value


def _stored(rows: np.ndarray, example: Modality) -> Tensor:
    """Rows in storage form."""
    match example:
        case Points():
            return torch.tensor(rows)  # a copy: rows may be read-only
        case Image():
            shape = (example.channels, example.height, example.width)
            if rows.shape[1] != np.prod(shape) or (rows != rows.round()).any():
                raise InputError(
                    f"X: got rows of {rows.shape[1]} numbers, expected {np.prod(shape)} whole pixel levels"
                )
            if rows.min() < 0 or rows.max() >= example.levels:
                raise InputError(f"X: got levels up to {rows.max():g}, expected 0 to {example.levels - 1}")
            return torch.from_numpy(rows.astype(np.uint8)).reshape(-1, *shape)
    raise InputError(f"example: got {example.describe()}, expected points or images")
