r"""Walking through a latent space: codes of a split, traversals, interpolations, arithmetic, neighbours.

All of it works on any model with a code (``HasLatent``). Codes are handled as rows of a matrix, whatever their shape in
the model; examples come back in storage form.

* A *traversal* changes one unit and holds the others: what does this unit mean?
* An *interpolation* goes from one code to another, along the straight line or along the great circle

  .. math:: z_t = \frac{\sin((1 - t)\,\omega)}{\sin \omega}\, z_0 + \frac{\sin(t\,\omega)}{\sin \omega}\, z_1,
            \qquad \cos \omega = \frac{z_0 \cdot z_1}{\|z_0\| \|z_1\|}

  (Shoemake 1985). In many dimensions a normal code has length near :math:`\sqrt d`, and the middle of a straight line
  is too short by :math:`\sqrt 2`: a place where no data lives.
* *Arithmetic* adds the difference of two group means: :math:`z + \bar z_{\text{to}} - \bar z_{\text{from}}`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from pushforward.autoencoders.posteriors import log_standard
from pushforward.core.capabilities import HasLatent, HasPosterior
from pushforward.core.data import Batch, Split
from pushforward.core.errors import InputError, check_count
from pushforward.core.modality import Label, Modality
from pushforward.evaluation.neighbours import Nearest, nearest

__all__ = ["Codes", "codes_of", "decoded", "interpolate", "moved", "nearest_codes", "traverse", "unit_range"]

#: Examples encoded at a time, and examples looked at unless told otherwise: enough for a map and for a probe.
BATCH, ROWS = 256, 2000


@dataclass(frozen=True)
class Codes:
    """Codes of examples, with what is known about these.

    Args:
        z: one row of numbers per example (the mean of q(z | x), where that is a distribution).
        x: the examples in storage form.
        labels: the index of the class of each example; None where there are no classes.
        names: of the classes.
        shape: of one code in the model.
        given: what each example is conditioned on, for a model with a condition.
    """

    z: Float[Tensor, "n latent"]
    x: Shaped[Tensor, "n *shape"]
    labels: Int[Tensor, "n"] | None
    names: tuple[Any, ...]
    shape: tuple[int, ...]
    given: Shaped[Tensor, "n *condition"] | None = None

    def __len__(self) -> int:
        return len(self.z)

    def mean_of(self, group: Any) -> Float[Tensor, "latent"]:
        """The mean code of a class, by its name or index.

        Raises:
            InputError: if there is no such class, or no example of it.
        """
        index = self.names.index(group) if group in self.names else group
        if self.labels is None or not isinstance(index, int) or not (found := self.labels == index).any():
            known = ", ".join(map(str, self.names)) or "none, as the data has no classes"
            raise InputError(f"group: there are no examples of {group!r}, expected one of {known}")
        return self.z[found].mean(0)


def codes_of(model: HasLatent, split: Split, *, rows: int = ROWS, condition: Modality | None = None) -> Codes:
    """The codes of at most ``rows`` examples of a split, evenly spaced.

    Args:
        model: with a code.
        split: in storage form.
        rows: how many at most.
        condition: what the classes of the split are, for their names; None takes that of the model.

    Raises:
        InputError: if the split is empty, or ``rows`` is below 1.
    """
    check_count(rows, "rows")
    if len(split) == 0:
        raise InputError("split: it is empty, expected at least one example")
    batch = split.spread(rows)
    parts = [_encode(model, batch, slice(first, first + BATCH)) for first in range(0, len(batch.x), BATCH)]
    z = torch.cat(parts)
    classes = condition or model.condition
    labels = batch.condition.value if batch.condition is not None and isinstance(classes, Label) else None
    names = tuple(classes.names) if isinstance(classes, Label) else ()
    given = None if batch.condition is None or model.condition is None else batch.condition.value
    return Codes(z.flatten(1).cpu(), batch.x, labels, names, tuple(z.shape[1:]), given)


def decoded(
    model: HasLatent, z: Float[Tensor, "n latent"], shape: tuple[int, ...], condition: Tensor | int | None = None
) -> Shaped[Tensor, "n *shape"]:
    """The examples that rows of codes stand for, in storage form."""
    check_count(len(z), "number of codes")
    parts = []
    for first in range(0, len(z), BATCH):
        part = condition[first : first + BATCH] if isinstance(condition, Tensor) and condition.ndim else condition
        parts.append(model.decode(z[first : first + BATCH].reshape(-1, *shape), part))
    return torch.cat(parts)


def unit_range(model: HasLatent, codes: Codes, unit: int) -> tuple[float, float]:
    """Where a unit may be moved to without leaving what the decoder has seen.

    Three deviations of the prior where that is the standard normal; else, as codes may lie anywhere, from the 1st to
    the 99th percentile of those of data.
    """
    if isinstance(model, HasPosterior) and _is_standard(model, codes):
        return -3.0, 3.0
    low, high = torch.quantile(codes.z[:, unit].double(), torch.tensor([0.01, 0.99], dtype=torch.float64)).tolist()
    return low, high


def traverse(z: Float[Tensor, "latent"], unit: int, values: Sequence[float]) -> Float[Tensor, "steps latent"]:
    """Codes that differ from ``z`` in one unit only.

    Raises:
        InputError: if there is no such unit.

    Example:
        >>> traverse(torch.tensor([1.0, 2.0]), 0, [-1.0, 0.0]).tolist()
        [[-1.0, 2.0], [0.0, 2.0]]
    """
    if not 0 <= unit < len(z):
        raise InputError(f"unit: got {unit}, expected a whole number from 0 to {len(z) - 1}")
    path = z.repeat(len(values), 1)
    path[:, unit] = torch.as_tensor(values, dtype=z.dtype)
    return path


def interpolate(
    first: Float[Tensor, "latent"],
    last: Float[Tensor, "latent"],
    steps: int,
    how: Literal["linear", "spherical"] = "linear",
) -> Float[Tensor, "steps latent"]:
    """Codes on the way from one to another, both ends included.

    Raises:
        InputError: if ``steps`` is below 1, or ``how`` is unknown.

    Example:
        >>> interpolate(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), 3).tolist()
        [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]
        >>> interpolate(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), 3, "spherical")[1]
        tensor([0.7071, 0.7071])
    """
    check_count(steps, "steps")
    t = torch.linspace(0, 1, steps, dtype=first.dtype)[:, None]
    match how:
        case "linear":
            return (1 - t) * first + t * last
        case "spherical":
            lengths = first.norm() * last.norm()
            angle = (first @ last / lengths).clamp(-1, 1).arccos()
            if lengths == 0 or angle.sin() < 1e-4:  # on one line: there is no circle, or many
                return (1 - t) * first + t * last
            return (((1 - t) * angle).sin() * first + (t * angle).sin() * last) / angle.sin()
    raise InputError(f"how: got {how!r}, expected linear or spherical")


def moved(z: Float[Tensor, "*n latent"], codes: Codes, *, start: Any, to: Any) -> Float[Tensor, "*n latent"]:
    """Codes moved by the difference between the means of two classes: what makes a 3 an 8, added to any code.

    Raises:
        InputError: if there is no example of one of the classes.
    """
    return z + codes.mean_of(to) - codes.mean_of(start)


def nearest_codes(z: Float[Tensor, "m latent"], codes: Codes, k: int = 5) -> Nearest:
    """The k codes nearest to every row of ``z``.

    Raises:
        InputError: if ``k`` is not between 1 and the number of codes.
    """
    return nearest(z, codes.z, k)


def _is_standard(model: HasPosterior, codes: Codes) -> bool:
    """Whether p(z) is N(0, I), by what it says of a few codes: no two densities agree on all of them by chance."""
    z = codes.z[:16].to(model.device, model.dtype)
    with model.at_rest():
        said = model.log_prior(z.reshape(-1, *codes.shape), model.given(None, len(z)))
    return torch.allclose(said.double(), log_standard(z.double()).sum(1), rtol=1e-4, atol=1e-4)


def _encode(model: HasLatent, batch: Batch, rows: slice) -> Tensor:
    given = None if batch.condition is None or model.condition is None else batch.condition.value[rows]
    return model.encode(batch.x[rows], given)
