r"""Two baselines in closed form: one Gaussian per class, and entries that know nothing of each other.

*Gaussian.* In model units, with the mean and covariance of the training examples,

.. math:: \log p(x) = -\tfrac{1}{2} \lVert L^{-1} (x - \mu) \rVert^2 - \sum_d \ln L_{dd} - \tfrac{D}{2} \ln 2\pi,
          \qquad L L^\top = (1 - \lambda) S + \lambda \tfrac{\operatorname{tr} S}{D} I.

*Independent.* A product of categorical distributions, one per code, with half a count added to every value:

.. math:: p(x) = \prod_d p_d(x_d), \qquad p_d(v) = \frac{n_{dv} + 1/2}{n + V_d / 2}.

A learned model that does not beat them has learned no more than a mean and a covariance, or than single columns.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pushforward.core.capabilities import HasDensity
from pushforward.core.data import Batch, Condition
from pushforward.core.errors import InputError
from pushforward.core.model import model
from pushforward.core.noise import Noise
from pushforward.core.stages import Stage
from pushforward.core.units import Space
from pushforward.probability.classes import class_rows, count_classes

__all__ = ["Gaussian", "Independent"]

#: Shrinkages tried on validation: none, then decades. Isotropic shrinkage makes the covariance of fewer examples than
#: entries invertible, and gives pixels that never vary in training the width that held-out examples ask for.
SHRINKAGES = (0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)

#: How many examples of everything are added to the covariance of a class, tried on validation.
PSEUDO_EXAMPLES = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, 1000.0)

#: A direction with less variance than this, relative to the average, repeats the others up to rounding (a standard
#: deviation of 1e-5 is about a hundred roundings of a float32 of order one), and its density has no bound.
LEAST_VARIANCE = 1e-10

#: Numbers in the covariances of all classes: half a GiB in float32, solved in minutes.
MOST_NUMBERS = 2**27

#: Rows turned into doubles at a time: a few tens of MiB for images.
CHUNK = 8192


@model
class Gaussian(HasDensity):
    """One Gaussian with full covariance, one more per class; exact in model units.

    A class has its own mean, and a covariance shrunk toward that of all examples, by as many pseudo-examples as
    validation prefers: (n_c S_c + a S) / (n_c + a). A class that was never seen is the Gaussian of all examples, and so
    is the model without class.

    Raises:
        InputError: if the condition is not a class label, or the covariances would not fit in memory.

    Example:
        >>> from pushforward.core.modality import Points
        >>> model = Gaussian(example=Points(dim=2))  # a standard normal before it is solved
        >>> model.log_prob(torch.zeros(1, 2).double())  # -ln 2 pi
        tensor([-1.8379], dtype=torch.float64)

    Reference:
        Ledoit and Wolf 2004, "A well-conditioned estimator for large-dimensional covariance matrices", for the target
        of the shrinkage; its amount is chosen on validation here. Friedman 1989, "Regularized Discriminant Analysis".
    """

    shrinkage: float | None = None  # Of the covariance toward a sphere, 0 to 1; None chooses it on validation.

    def build(self) -> None:
        if self.shrinkage is not None and not 0 <= self.shrinkage <= 1:
            raise InputError(f"shrinkage: got {self.shrinkage}, expected 0 to 1, or None to choose it on validation")
        rows, dim = 1 + count_classes(self.condition), math.prod(self.shape)
        if rows * dim**2 > MOST_NUMBERS:
            raise InputError(
                f"data: {rows} covariance(s) of {dim:,} entries each hold {rows * dim**2:.1e} numbers, "
                f"expected at most {MOST_NUMBERS:.1e} (smaller images, or the model mixture)"
            )
        self.means = nn.Buffer(torch.zeros(rows, dim))
        self.scales = nn.Buffer(torch.eye(dim).repeat(rows, 1, 1))  # L, lower triangular

    def terms(
        self, x: Float[Tensor, "batch *units"], condition: Condition | None, *, noise: Noise
    ) -> dict[str, Float[Tensor, "batch"]]:
        return {"negative_log_likelihood": -self.log_likelihood(x, condition, noise=noise)}

    def log_likelihood(
        self, x: Float[Tensor, "batch *units"], condition: Condition | None, *, noise: Noise
    ) -> Float[Tensor, "batch"]:
        rows = class_rows(condition, len(x), device=x.device)
        log_p = torch.empty(len(x), dtype=torch.float64, device=x.device)
        for row in rows.unique().tolist():
            of_class = rows == row
            log_p[of_class] = log_normal(x[of_class].flatten(1), self.means[row], self.scales[row])
        return log_p

    def draw(
        self, n: int, condition: Condition | None, *, noise: Noise, sampler: Any | None
    ) -> Float[Tensor, "n *units"]:
        rows = class_rows(condition, n, device=self.device)
        x = noise.normal(self.means.shape[1], like=self.means)
        for row in rows.unique().tolist():
            of_class = rows == row
            x[of_class] = self.means[row] + x[of_class] @ self.scales[row].T
        return x.unflatten(1, self.shape)

    def stages(self) -> Sequence[Stage]:
        return [Stage(name="fit", solve=self.solve)]

    def solve(self, train: Batch, valid: Batch, *, noise: Noise) -> Iterator[float]:
        """Maximum likelihood, shrunk as validation prefers; yields its nats per example after every candidate.

        Raises:
            InputError: if the fixed ``shrinkage`` leaves a covariance that cannot be inverted.
        """
        x, rows = train.x.flatten(1), class_rows(train.condition, len(train.x), device=train.x.device)
        mean, covariance = moments(x)
        yield from self._solve_all(mean, covariance, valid)
        if len(self.means) > 1:
            seen = {row: moments(x[rows == row]) for row in rows.unique().tolist() if row}
            yield from self._solve_classes(seen, rows.bincount(minlength=len(self.means)).double(), valid)

    def _solve_all(self, mean: Tensor, covariance: Tensor, valid: Batch) -> Iterator[float]:
        """The Gaussian of all examples, taken for every class until that is solved."""
        self.means.copy_(mean.expand_as(self.means))
        sphere = covariance.diagonal().mean().clamp(min=LEAST_VARIANCE)
        identity = torch.eye(len(mean), dtype=mean.dtype, device=mean.device)
        best, kept = math.inf, None
        for shrinkage in SHRINKAGES if self.shrinkage is None else (self.shrinkage,):
            scale, failed = torch.linalg.cholesky_ex((1 - shrinkage) * covariance + shrinkage * sphere * identity)
            if failed or bool((scale.diagonal() ** 2 < LEAST_VARIANCE * sphere).any()):
                continue  # no density: some entries follow from the others
            self.scales.copy_(scale.expand_as(self.scales))
            figure = self._figure(valid.x, None)
            if figure < best:
                best, kept = figure, scale
            yield figure
        if kept is None:
            raise InputError(f"shrinkage: {self.shrinkage} leaves no inverse covariance, expected more, or None")
        self.scales.copy_(kept.expand_as(self.scales))

    def _solve_classes(
        self, seen: dict[int, tuple[Tensor, Tensor]], counts: Float[Tensor, "rows"], valid: Batch
    ) -> Iterator[float]:
        """The Gaussians of classes, of which mean and covariance are given."""
        everything = self.scales[0].double() @ self.scales[0].double().T
        for row, (mean, _) in seen.items():
            self.means[row] = mean
        best, kept = math.inf, self.scales.clone()
        for pseudo in PSEUDO_EXAMPLES:
            shrunk = [
                (counts[row] * own + pseudo * everything) / (counts[row] + pseudo) for row, (_, own) in seen.items()
            ]
            found = [torch.linalg.cholesky_ex(covariance) for covariance in shrunk]
            if any(failed for _, failed in found):
                continue  # too few pseudo-examples to lift the directions in which a class is flat
            for row, (scale, _) in zip(seen, found, strict=True):
                self.scales[row] = scale
            figure = self._figure(valid.x, valid.condition)
            if figure < best:
                best, kept = figure, self.scales.clone()
            yield figure
        self.scales.copy_(kept)

    def _figure(self, x: Tensor, condition: Condition | None) -> float:
        """Nats per example; nothing is drawn from the noise."""
        return -float(self.log_likelihood(x, condition, noise=Noise(0, rows=len(x))).mean())


@model
class Independent(HasDensity):
    """Every code on its own: how far single columns, pixels or characters go; exact.

    The tables of a class are smoothed toward those of all examples: instead of half a count on each of the V values,
    V/2 counts spread as in the table of all examples.

    Raises:
        InputError: if the condition is not a class label.

    Example:
        >>> from pushforward.core.modality import Image
        >>> model = Independent(example=Image(height=1, width=2, levels=4))  # uniform before it is solved
        >>> model.log_prob(torch.tensor([[[[0, 3]]]], dtype=torch.uint8))  # 2 ln(1/4)
        tensor([-2.7726], dtype=torch.float64)
    """

    space: ClassVar[Space] = "codes"

    def build(self) -> None:
        rows, sizes = 1 + count_classes(self.condition), torch.tensor(self.fitted.sizes)
        possible = torch.arange(max(self.fitted.sizes, default=1)) < sizes[:, None]  # (codes, values)
        self.table = nn.Buffer((possible / sizes[:, None]).repeat(rows, 1, 1))  # uniform until it is solved

    def terms(
        self, x: Int[Tensor, "batch codes"], condition: Condition | None, *, noise: Noise
    ) -> dict[str, Float[Tensor, "batch"]]:
        return {"negative_log_likelihood": -self.log_likelihood(x, condition, noise=noise)}

    def log_likelihood(
        self, x: Int[Tensor, "batch codes"], condition: Condition | None, *, noise: Noise
    ) -> Float[Tensor, "batch"]:
        rows = class_rows(condition, len(x), device=x.device)
        codes = torch.arange(x.shape[1], device=x.device)
        return self.table[rows[:, None], codes, x].log().sum(1)

    def draw(self, n: int, condition: Condition | None, *, noise: Noise, sampler: Any | None) -> Int[Tensor, "n codes"]:
        rows = class_rows(condition, n, device=self.device)
        uniform = noise.uniform(self.table.shape[1], like=self.table.double())
        last = torch.tensor(self.fitted.sizes, device=self.device) - 1
        x = torch.empty_like(uniform, dtype=torch.int64)
        for row in rows.unique().tolist():
            of_class = rows == row
            below = self.table[row].double().cumsum(1)
            # The value v with F(v - 1) <= u < F(v); the last F may fall short of 1 by a rounding.
            x[of_class] = torch.searchsorted(below, uniform[of_class].T.contiguous(), right=True).T.minimum(last)
        return x

    def stages(self) -> Sequence[Stage]:
        return [Stage(name="fit", solve=self.solve)]

    def solve(self, train: Batch, valid: Batch, *, noise: Noise) -> Iterator[float]:
        """Count; yields the nats per validation example."""
        rows = class_rows(train.condition, len(train.x), device=train.x.device)
        sizes = torch.tensor(self.fitted.sizes, device=train.x.device)[:, None]
        prior = (self.table[0] > 0) / sizes  # uniform over the values a code can take
        for row in range(len(self.table)):
            n_v = self._counts(train.x if row == 0 else train.x[rows == row])
            n = n_v.sum(1, keepdim=True)
            table = (n_v + prior * sizes / 2) / (n + sizes / 2)
            prior = table if row == 0 else prior
            self.table[row] = table
        yield -float(self.log_likelihood(valid.x, valid.condition, noise=noise).double().mean())

    def _counts(self, x: Int[Tensor, "n codes"]) -> Float[Tensor, "codes values"]:
        """n_dv: how often code d has value v."""
        codes, values = self.table.shape[1:]
        counts = torch.zeros(codes * values, dtype=torch.int64, device=x.device)
        for part in x.split(CHUNK):
            cells = part + values * torch.arange(codes, device=x.device)
            counts += cells.flatten().bincount(minlength=len(counts))
        return counts.view(codes, values).double()


def moments(x: Float[Tensor, "n dim"]) -> tuple[Float[Tensor, "dim"], Float[Tensor, "dim dim"]]:
    """Mean and covariance (with 1/n: maximum likelihood) of at least one example, in float64."""
    mean = torch.stack([part.double().sum(0) for part in x.split(CHUNK)]).sum(0) / len(x)
    covariance = mean.new_zeros(len(mean), len(mean))
    for part in x.split(CHUNK):
        centred = part - mean
        covariance.addmm_(centred.T, centred)
    return mean, covariance / len(x)


def log_normal(
    x: Float[Tensor, "n dim"], mean: Float[Tensor, "dim"], scale: Float[Tensor, "dim dim"]
) -> Float[Tensor, "n"]:
    """log N(x; mean, L L') in float64, L = ``scale`` lower triangular."""
    scale = scale.double()
    white = torch.linalg.solve_triangular(scale, (x.double() - mean.double()).T, upper=False)
    constant = scale.diagonal().log().sum() + 0.5 * len(mean) * math.log(2 * math.pi)
    return -0.5 * white.square().sum(0) - constant
