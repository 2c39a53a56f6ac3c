r"""Probabilistic principal component analysis: the linear Gaussian latent-variable model, solved in closed form.

.. math:: z \sim N(0, I_q), \qquad x \mid z \sim N(W z + \mu, \sigma^2 I_D)
          \quad\Longrightarrow\quad x \sim N(\mu,\; W W^\top + \sigma^2 I_D)

With the eigenvalues :math:`\lambda_1 \ge \dots \ge \lambda_D` and eigenvectors :math:`u_i` of the sample covariance,
the likelihood is largest at

.. math:: \sigma^2 = \frac{1}{D - q} \sum_{i > q} \lambda_i, \qquad
          W = (u_1, \dots, u_q)\, \mathrm{diag}(\lambda_i - \sigma^2)^{1/2},

where it is, per example,

.. math:: -\tfrac{1}{2} \Bigl( D \ln 2\pi + \sum_{i \le q} \ln \lambda_i + (D - q) \ln \sigma^2 + D \Bigr).

On other examples, whose squares along :math:`u_i` have the means :math:`v_i`, it is the same with
:math:`\sum_{i \le q} v_i / \lambda_i + \sum_{i > q} v_i / \sigma^2` for the last D: one eigendecomposition scores
every q.

The code of an example and its density need the inverse of a q x q matrix only,
with :math:`M = W^\top W + \sigma^2 I_q`:

.. math:: E[z \mid x] = M^{-1} W^\top (x - \mu), \qquad
          (W W^\top + \sigma^2 I)^{-1} = \sigma^{-2} (I - W M^{-1} W^\top), \qquad
          \lvert W W^\top + \sigma^2 I \rvert = \sigma^{2 (D - q)} \lvert M \rvert.

This is what a variational autoencoder with a linear decoder, one noise variance and a linear encoder can reach at best.

Reference:
    Tipping and Bishop 1999, "Probabilistic Principal Component Analysis", eq. 6 to 9.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pushforward.core.capabilities import HasDensity, HasLatent
from pushforward.core.data import Batch, Condition
from pushforward.core.errors import InputError
from pushforward.core.model import model
from pushforward.core.noise import Noise
from pushforward.core.stages import Stage
from pushforward.probability.baselines import LEAST_VARIANCE, MOST_NUMBERS, moments
from pushforward.probability.classes import class_rows, count_classes

__all__ = ["PPCA", "LinearGaussian", "fit_ppca", "log_linear_gaussian"]


@model
class PPCA(HasDensity, HasLatent):
    """Probabilistic PCA, a Gaussian that varies in a few directions and is round in the others; exact in model units.

    Classes have their own means, and share the directions and the variance about them. A class that was never seen is
    the model of all examples, and so is the model without class.

    Raises:
        InputError: if ``latent_dim`` is negative or leaves no variance beyond it, the condition is not a class label,
            or the covariance would not fit in memory.

    Example:
        >>> from pushforward.core.modality import Points
        >>> model = PPCA(example=Points(dim=2), latent_dim=1)  # a standard normal before it is solved
        >>> model.log_prob(torch.zeros(1, 2).double())  # -ln 2 pi
        tensor([-1.8379], dtype=torch.float64)

    Reference:
        Tipping and Bishop 1999, "Probabilistic Principal Component Analysis".
    """

    latent_dim: int | None = None  # Directions q of W (at most D - 1 count); None chooses their number on validation.

    def build(self) -> None:
        if self.latent_dim is not None and self.latent_dim < 0:
            raise InputError(f"latent_dim: got {self.latent_dim}, expected a number from 0, or None to choose it")
        rows, dim = 1 + count_classes(self.condition), math.prod(self.shape)
        if dim**2 > MOST_NUMBERS:
            raise InputError(
                f"data: the covariance of {dim:,} entries holds {dim**2:.1e} numbers, "
                f"expected at most {MOST_NUMBERS:.1e} (smaller images)"
            )
        directions = min(self.latent_dim or 0, dim - 1)
        self.means = nn.Buffer(torch.zeros(rows, dim))
        self.maps = nn.Buffer(torch.zeros(rows, dim, directions))  # W
        self.variances = nn.Buffer(torch.ones(rows))  # sigma^2

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
            centred = x[of_class].flatten(1).double() - self.means[row].double()
            log_p[of_class] = log_linear_gaussian(centred, self.maps[row].double(), self.variances[row].double())
        return log_p

    def draw(
        self, n: int, condition: Condition | None, *, noise: Noise, sampler: Any | None
    ) -> Float[Tensor, "n *units"]:
        _, dim, directions = self.maps.shape
        z = noise.normal(directions, like=self.means)
        rows = class_rows(condition, n, device=self.device)
        spread = self.variances.sqrt()[rows, None] * noise.normal(dim, like=self.means)
        return self.generate(z, condition) + spread.unflatten(1, self.shape)

    def infer(self, x: Float[Tensor, "batch *units"], condition: Condition | None) -> Float[Tensor, "batch latent"]:
        rows = class_rows(condition, len(x), device=x.device)
        z = x.new_empty(len(x), self.maps.shape[2])
        for row in rows.unique().tolist():
            of_class, w = rows == row, self.maps[row]
            seen = (x[of_class].flatten(1) - self.means[row]) @ w  # W' (x - mu)
            z[of_class] = torch.linalg.solve(_inner(w, self.variances[row]), seen.T).T
        return z

    def generate(self, z: Float[Tensor, "batch latent"], condition: Condition | None) -> Float[Tensor, "batch *units"]:
        rows = class_rows(condition, len(z), device=z.device)
        x = self.means[rows]
        for row in rows.unique().tolist():
            of_class = rows == row
            x[of_class] += z[of_class] @ self.maps[row].T
        return x.unflatten(1, self.shape)

    def stages(self) -> Sequence[Stage]:
        return [Stage(name="fit", solve=self.solve)]

    def solve(self, train: Batch, valid: Batch, *, noise: Noise) -> Iterator[float]:
        """Maximum likelihood in closed form, q as validation prefers; yields the nats per validation example.

        Raises:
            InputError: if the directions that are asked for leave no variance beyond them.
        """
        x, rows = train.x.flatten(1), class_rows(train.condition, len(train.x), device=train.x.device)
        mean, covariance = moments(x)
        held_out = moments(valid.x.flatten(1).double() - mean)
        squares = held_out[1] + held_out[0][:, None] * held_out[0]
        solution = _solve(mean, covariance, self._directions(covariance, squares))
        directions = solution.weights.shape[1]
        self.latent_dim = directions if self.latent_dim is None else self.latent_dim
        self.means = nn.Buffer(mean.to(self.means).repeat(len(self.means), 1))
        self.maps = nn.Buffer(solution.weights.to(self.means).repeat(len(self.means), 1, 1))
        self.variances.fill_(solution.variance)
        if len(self.means) > 1 and (seen := [row for row in rows.unique().tolist() if row]):
            of_class = mean.repeat(len(self.means), 1)
            for row in seen:
                of_class[row] = moments(x[rows == row])[0]
            _, within = moments(x - of_class[rows].to(x))
            within = _solve(mean, within, directions)
            self.means.copy_(of_class)
            self.maps[seen], self.variances[seen] = within.weights.to(self.maps), within.variance
        yield -float(self.log_likelihood(valid.x, valid.condition, noise=noise).mean())

    def _directions(self, covariance: Float[Tensor, "dim dim"], squares: Float[Tensor, "dim dim"]) -> int:
        """q: as asked for, or the one with the best likelihood of held-out examples, given their mean squares."""
        if self.latent_dim is not None:
            return min(self.latent_dim, len(covariance) - 1)
        values, vectors = _spectrum(covariance)
        v = ((squares @ vectors) * vectors).sum(0)
        scores = []
        for q in range(len(values)):
            variance = float(values[q:].mean())
            if variance <= LEAST_VARIANCE * float(values.mean()):
                break  # the examples lie in q directions
            kept = (values[:q].log() + v[:q] / values[:q]).sum()
            scores.append(-0.5 * float(kept + (len(values) - q) * math.log(variance) + v[q:].sum() / variance))
        return max(range(len(scores)), key=scores.__getitem__, default=0)


def log_linear_gaussian(
    centred: Float[Tensor, "n dim"], w: Float[Tensor, "dim latent"], variance: Float[Tensor, ""]
) -> Float[Tensor, "n"]:
    """log N(x - mu; 0, W W' + sigma^2 I), without a matrix of the size of the covariance.

    Example:
        >>> w, one = torch.tensor([[1.0], [0.0]]), torch.tensor(1.0)  # covariance diag(2, 1)
        >>> log_linear_gaussian(torch.zeros(1, 2), w, one).item()  # -ln(2 pi) - ln(2) / 2
        -2.1844507
    """
    dim, directions = w.shape
    root = torch.linalg.cholesky(_inner(w, variance))
    white = torch.linalg.solve_triangular(root, (centred @ w).T, upper=False)
    squares = (centred.square().sum(1) - white.square().sum(0)) / variance
    log_det = (dim - directions) * variance.log() + 2 * root.diagonal().log().sum()
    return -0.5 * (squares + log_det + dim * math.log(2 * math.pi))


def _inner(w: Float[Tensor, "dim latent"], variance: Float[Tensor, ""]) -> Float[Tensor, "latent latent"]:
    """M = W' W + sigma^2 I."""
    return w.T @ w + variance * torch.eye(w.shape[1], dtype=w.dtype, device=w.device)


class LinearGaussian(NamedTuple):
    r"""The maximum-likelihood solution, in float64.

    Args:
        mean: :math:`\mu`.
        weights: W, up to a rotation of the latent space.
        variance: :math:`\sigma^2`.
        log_likelihood: nats per training example.
    """

    mean: Float[Tensor, "dim"]
    weights: Float[Tensor, "dim latent"]
    variance: float
    log_likelihood: float

    @property
    def covariance(self) -> Float[Tensor, "dim dim"]:
        r"""Of x: :math:`W W^\top + \sigma^2 I`."""
        return self.weights @ self.weights.T + self.variance * torch.eye(len(self.mean), dtype=self.mean.dtype)


def fit_ppca(x: Float[Tensor, "n dim"], latent_dim: int) -> LinearGaussian:
    """Probabilistic PCA of examples by maximum likelihood.

    Args:
        x: n examples of D numbers, in any units.
        latent_dim: q, from 0 to D - 1.

    Raises:
        InputError: if ``latent_dim`` is out of range, or the examples leave no variance beyond q directions, where the
            likelihood has no maximum.

    Example:
        >>> x = torch.tensor([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]])  # variances 2 and 1/2
        >>> solution = fit_ppca(x, latent_dim=1)
        >>> solution.variance, round((solution.weights.norm() ** 2).item(), 4)  # 1/2, and 2 - 1/2
        (0.5, 1.5)
    """
    n, dim = x.shape
    if not 0 <= latent_dim < dim:
        raise InputError(f"latent_dim: got {latent_dim}, expected 0 to {dim - 1}")
    if n <= latent_dim:
        raise InputError(f"x: {n} examples leave no variance beyond {latent_dim} directions, expected more examples")
    return _solve(*moments(x), latent_dim)


def _solve(mean: Float[Tensor, "dim"], covariance: Float[Tensor, "dim dim"], latent_dim: int) -> LinearGaussian:
    """The optimum for a mean and a covariance."""
    dim = len(mean)
    values, vectors = _spectrum(covariance)
    kept, variance = values[:latent_dim], float(values[latent_dim:].mean())
    if variance <= dim * torch.finfo(values.dtype).eps * float(values[0]):  # zero up to the rounding of eigenvalues
        raise InputError(
            f"x: the examples leave no variance beyond {latent_dim} directions, "
            "expected more examples or a smaller latent_dim"
        )
    log_determinant = float(kept.log().sum()) + (dim - latent_dim) * math.log(variance)
    return LinearGaussian(
        mean=mean,
        weights=vectors[:, :latent_dim] * (kept - variance).clamp(min=0).sqrt(),
        variance=variance,
        log_likelihood=-0.5 * (dim * math.log(2 * math.pi) + log_determinant + dim),
    )


def _spectrum(covariance: Float[Tensor, "dim dim"]) -> tuple[Float[Tensor, "dim"], Float[Tensor, "dim dim"]]:
    """Eigenvalues, the largest first, and their eigenvectors as columns."""
    values, vectors = torch.linalg.eigh(covariance)
    return values.flip(0).clamp(min=0), vectors.flip(1)
