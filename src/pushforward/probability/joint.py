r"""A joint density on a grid, and what follows from it: marginals, conditionals, moments, independence.

An integral is a weighted sum over the nodes: trapezoid weights for a continuous variable, 1 for a discrete one. With
them the rules of probability are sums along axes:

.. math:: p(x) = \int p(x, y)\,dy, \qquad p(x \mid y) = \frac{p(x, y)}{p(y)}, \qquad
    E f = \int\!\!\int f(x, y)\, p(x, y)\, dx\,dy, \qquad
    I(x; y) = \int\!\!\int p(x, y) \log \frac{p(x, y)}{p(x)\,p(y)} \, dx\,dy .

The mutual information I is zero if and only if x and y are independent. For smooth densities that vanish at the ends of
the grid the trapezoid rule converges faster than any power of the spacing. A grid of d variables has the product of its
axes as nodes, which limits it to a few variables; with more of them, use draws (``monte_carlo``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from pushforward.core.errors import InputError
from pushforward.probability.nats import log_density

__all__ = ["MOST_NODES", "Joint"]

#: Nodes of a grid: half a gigabyte of float64, and a second of work.
MOST_NODES = 2**26


class Joint:
    """A density over named variables, given at the nodes of a grid and normalised there.

    Args:
        axes: the values of each variable, increasing, by name; their order is that of the density's axes.
        density: at the nodes, at least 0, known up to a factor.
        discrete: the names of variables that take just these values.

    Attributes:
        mass: what the given density integrated to, before it was normalised: 1 for a normalised density whose mass the
            grid holds.

    Raises:
        InputError: if the shapes do not fit, an axis does not increase, or the density is negative, not finite or zero.

    Example:
        Two coins that agree three times in four.

        >>> coin = torch.tensor([0.0, 1.0])
        >>> coins = Joint({"x": coin, "y": coin}, torch.tensor([[3.0, 1.0], [1.0, 3.0]]) / 8, discrete={"x", "y"})
        >>> coins.marginal("x").density, coins.conditional({"y": 1.0}).density
        (tensor([0.5000, 0.5000]), tensor([0.2500, 0.7500]))
        >>> coins.covariance[0, 1].item()
        0.125
    """

    def __init__(
        self, axes: Mapping[str, Float[Tensor, "nodes"]], density: Tensor, *, discrete: Collection[str] = ()
    ) -> None:
        for name, axis in axes.items():
            if axis.ndim != 1 or len(axis) < 2 - (name in discrete) or not bool((axis.diff() > 0).all()):
                raise InputError(f"axes: got {name} of shape {tuple(axis.shape)}, expected increasing values (nodes,)")
        if unknown := set(discrete) - set(axes):
            raise InputError(f"discrete: got {sorted(unknown)}, expected names among {list(axes)}")
        shape = tuple(len(axis) for axis in axes.values())
        if not axes or density.shape != shape:
            raise InputError(f"density: got shape {tuple(density.shape)}, expected that of the axes, {shape}")
        if not bool((density.isfinite() & (density >= 0)).all()):
            raise InputError("density: got a number that is negative or not finite, expected numbers of at least 0")
        self.axes, self.discrete = dict(axes), frozenset(discrete)
        self.mass = float(self._sum(density, self.names))
        if not self.mass > 0:
            raise InputError(
                "density: got zero at every node, expected mass on the grid: widen the axes or refine them"
            )
        self.density = density / self.mass

    @classmethod
    def of(
        cls,
        log_prob: Distribution | Callable[[Tensor], Tensor],
        axes: Mapping[str, Float[Tensor, "nodes"]],
        *,
        discrete: Collection[str] = (),
    ) -> Joint:
        """The joint density of a distribution, or of a log-density of points (n, d) -> (n,), on a grid.

        A log-density that is known up to a constant will do; where it is -inf there is no mass.

        Raises:
            InputError: if the grid has more than 2**26 nodes, or the function does not give one number for each point,
                or gives NaN or +inf.

        Example:
            >>> grid = torch.linspace(-6, 6, 121)
            >>> pair = torch.distributions.MultivariateNormal(torch.zeros(2), torch.tensor([[1.0, 0.5], [0.5, 1.0]]))
            >>> joint = Joint.of(pair, {"x": grid, "y": grid})
            >>> joint.correlation[0, 1], joint.mutual_information("x", "y")  # -log(1 - 0.5^2) / 2
            (tensor(0.5000), tensor(0.1438))
        """
        nodes = math.prod(len(axis) for axis in axes.values())
        if nodes > MOST_NODES:
            raise InputError(
                f"axes: got {nodes:,} nodes, expected at most {MOST_NODES:,}: take fewer values or variables"
            )
        points = torch.stack(torch.meshgrid(*axes.values(), indexing="ij"), -1).reshape(-1, len(axes))
        log_p = log_density(log_prob, points) if isinstance(log_prob, Distribution) else log_prob(points)
        if log_p.shape != (nodes,):
            raise InputError(f"log_prob: got shape {tuple(log_p.shape)} for {nodes} points, expected ({nodes},)")
        if bool((log_p.isnan() | (log_p == torch.inf)).any()):
            raise InputError("log_prob: got NaN or +inf at a node, expected a finite number, or -inf for no mass")
        largest = log_p.max() if bool(log_p.max().isfinite()) else torch.zeros_like(log_p[0])
        joint = cls(axes, (log_p - largest).exp().reshape([len(axis) for axis in axes.values()]), discrete=discrete)
        joint.mass *= float(largest.double().exp())
        return joint

    @property
    def names(self) -> tuple[str, ...]:
        """The variables, in the order of the axes."""
        return tuple(self.axes)

    def marginal(self, *names: str) -> Joint:
        """The joint density of some variables: the others are integrated out."""
        self._check(names)
        others = [name for name in self.names if name not in names]
        kept = [name for name in self.names if name in names]
        return Joint(
            {name: self.axes[name] for name in kept},
            self._sum(self.density, others),
            discrete=self.discrete & set(kept),
        )

    def conditional(self, given: Mapping[str, float]) -> Joint:
        """The density of the other variables when these have the values; between nodes it is interpolated.

        Raises:
            InputError: if a value is outside its axis (or is no value of a discrete variable), no variable is left, or
                the value has probability zero.

        Example:
            >>> grid = torch.linspace(-6, 6, 121)
            >>> pair = torch.distributions.MultivariateNormal(torch.zeros(2), torch.tensor([[1.0, 0.5], [0.5, 1.0]]))
            >>> given = Joint.of(pair, {"x": grid, "y": grid}).conditional({"y": 1.0})
            >>> given.mean, given.variance  # 0.5 and 1 - 0.5^2
            (tensor([0.5000]), tensor([0.7500]))
        """
        self._check(tuple(given))
        if len(given) == len(self.axes):
            raise InputError(f"given: got all of {list(given)}, expected a variable left over")
        density = self.density
        for i in reversed(range(len(self.names))):
            if (name := self.names[i]) in given:
                density = self._at(density, i, name, float(given[name]))
        rest = {name: axis for name, axis in self.axes.items() if name not in given}
        if not bool((density > 0).any()):
            raise InputError(f"given: got {dict(given)}, where the density is zero, expected values that can occur")
        return Joint(rest, density, discrete=self.discrete & set(rest))

    def expectation(self, f: Callable[..., Tensor]) -> Tensor:
        """E f of a function that takes the variables in their order.

        Example:
            >>> coin = torch.tensor([0.0, 1.0])
            >>> coins = Joint({"x": coin, "y": coin}, torch.tensor([[3.0, 1.0], [1.0, 3.0]]), discrete={"x", "y"})
            >>> coins.expectation(lambda x, y: x * y)
            tensor(0.3750)
        """
        values = torch.as_tensor(f(*torch.meshgrid(*self.axes.values(), indexing="ij")))
        # Where there is no mass the function need not exist.
        return self._sum(torch.where(self.density > 0, values * self.density, 0.0), self.names)

    @property
    def mean(self) -> Float[Tensor, "d"]:
        """E of every variable."""
        return torch.stack([self._first_moment(name) for name in self.names])

    @property
    def variance(self) -> Float[Tensor, "d"]:
        """Of every variable."""
        return self.covariance.diagonal()

    @property
    def covariance(self) -> Float[Tensor, "d d"]:
        """E (x - E x)(y - E y) of every pair; about the means first, so that no large squares are subtracted."""
        centred = {name: axis - self._first_moment(name) for name, axis in self.axes.items()}
        rows = []
        for a in self.names:
            row = []
            for b in self.names:
                pair = self.marginal(*dict.fromkeys((a, b)))
                x, y = (centred[name].view([-1 if name == n else 1 for n in pair.names]) for name in (a, b))
                row.append(pair._sum(x * y * pair.density, pair.names))
            rows.append(torch.stack(row))
        return torch.stack(rows)

    @property
    def correlation(self) -> Float[Tensor, "d d"]:
        """The covariance in units of the standard deviations."""
        deviation = self.variance.sqrt()
        return self.covariance / (deviation[:, None] * deviation)

    def product(self) -> Joint:
        """The product of the marginals: what the joint would be if the variables were independent."""
        density = torch.ones_like(self.density)
        for i, name in enumerate(self.names):
            shape = [-1 if k == i else 1 for k in range(len(self.names))]
            density = density * self.marginal(name).density.view(shape)
        return Joint(self.axes, density, discrete=self.discrete)

    @property
    def entropy(self) -> Tensor:
        """-E log p in nats, differential in continuous variables."""
        return -self._sum(torch.special.xlogy(self.density, self.density), self.names)

    def mutual_information(self, a: str | Sequence[str], b: str | Sequence[str]) -> Tensor:
        """I(a; b) in nats, of two variables or two groups of them: 0 if and only if they are independent.

        Raises:
            InputError: if a name is unknown or is in both groups.
        """
        left, right = ((group,) if isinstance(group, str) else tuple(group) for group in (a, b))
        self._check(left + right)
        entropies = [self.marginal(*group).entropy for group in (left, right, left + right)]
        # Rounding may leave a tiny negative number where the variables are independent.
        return (entropies[0] + entropies[1] - entropies[2]).clamp(min=0)

    def _sum(self, values: Tensor, names: Collection[str]) -> Tensor:
        """The integral of values at the nodes over some of the variables."""
        for i in reversed(range(len(self.names))):
            if (name := self.names[i]) in names:
                values = values.sum(i) if name in self.discrete else torch.trapezoid(values, self.axes[name], dim=i)
        return values

    def _first_moment(self, name: str) -> Tensor:
        one = self.marginal(name)
        return one._sum(self.axes[name] * one.density, (name,))

    def _at(self, density: Tensor, i: int, name: str, value: float) -> Tensor:
        axis = self.axes[name]
        if not float(axis[0]) <= value <= float(axis[-1]) or (
            name in self.discrete and not bool((axis == value).any())
        ):
            accepted = f"one of {axis.tolist()}" if name in self.discrete else f"{float(axis[0])} to {float(axis[-1])}"
            raise InputError(f"given: got {name} = {value}, expected {accepted}")
        if bool((axis == value).any()):
            return density.select(i, int((axis == value).nonzero()[0]))
        right = int(torch.searchsorted(axis, axis.new_tensor(value)).clamp(1, len(axis) - 1))
        share = float((value - axis[right - 1]) / (axis[right] - axis[right - 1]))
        return torch.lerp(density.select(i, right - 1), density.select(i, right), share)

    def _check(self, names: tuple[str, ...]) -> None:
        if not names or len(set(names)) < len(names) or not set(names) <= set(self.axes):
            raise InputError(f"names: got {list(names)}, expected different ones of {list(self.names)}")
