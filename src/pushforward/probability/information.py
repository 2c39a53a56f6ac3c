r"""Entropy, cross-entropy, divergences and mutual information: one call each, which says how it found the answer.

.. math::

    H(p) &= -E_p \ln p                                   && \text{entropy} \\
    H(p, q) &= -E_p \ln q                                && \text{cross-entropy} \\
    KL(p \,\Vert\, q) &= E_p \ln (p / q) = H(p, q) - H(p) && \text{Kullback-Leibler divergence} \\
    JS(p, q) &= \tfrac12 KL(p \,\Vert\, m) + \tfrac12 KL(q \,\Vert\, m),\quad m = \tfrac12 (p + q)
                                                         && \text{Jensen-Shannon divergence} \\
    I(x; y) &= KL(p(x, y) \,\Vert\, p(x)\, p(y))         && \text{mutual information}

Each p or q is a ``torch.distributions`` object or a tensor of samples, one per row. The ways, in the order that
``method="auto"`` tries them, are

* *exact*: the closed form of the pair, or a sum over finitely many values (``closed_forms.py``);
* *quadrature*: in one and two dimensions, if it converges (``quadrature.py``);
* *monte carlo*: the mean over draws of p of a log-density, unbiased, with its standard error;
* *neighbours*: from samples alone, by the distances to nearest neighbours, with a bias (``neighbours.py``);
* *bound*: from samples alone, a lower bound by a classifier on held-out samples (``bounds.py``).

Where p has mass and q has none, the divergence is infinite: an answer, not an error.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.distributions import Distribution, MultivariateNormal

from pushforward.core.errors import InputError, check_count
from pushforward.probability.bounds import divergence_bound, information_bound, jensen_shannon_bound
from pushforward.probability.closed_forms import finite_sum, gaussian_information, known_divergence, known_entropy
from pushforward.probability.nats import Nats, as_points, draw_points, log_density, mean_of
from pushforward.probability.neighbours import (
    neighbour_cross_entropy,
    neighbour_divergence,
    neighbour_entropy,
    neighbour_information,
)
from pushforward.probability.pairs import (
    Product,
    crossed,
    halfway,
    mean_crossed,
    mean_halfway,
    mean_log_ratio,
    relative,
)
from pushforward.probability.quadrature import integrate

__all__ = ["Method", "Nats", "cross_entropy", "entropy", "jensen_shannon", "kl", "mutual_information"]

Method = Literal["auto", "exact", "quadrature", "monte carlo", "neighbours", "bound"]

#: A distribution, or samples of one, a row each.
Source = Distribution | Tensor

#: Draws of a Monte Carlo estimate: a hundredth of the spread of the log-densities is left as error.
DRAWS = 10_000

Ways = dict[str, Callable[[], Nats | None]]


def entropy(
    p: Source, *, method: Method = "auto", draws: int = DRAWS, generator: torch.Generator | None = None
) -> Nats:
    r"""H(p) = -E_p ln p; of a density it can be negative, and depends on the units of x.

    Args:
        p: a distribution, or samples (n, ...).
        method: how; "auto" takes the first way that there is.
        draws: of p, where a distribution has to be sampled.
        generator: None takes torch's default one.

    Raises:
        InputError: if p is a batch of distributions, the samples cannot be used (fewer than two, not finite,
            identical), or there is no such way.

    Example:
        >>> print(entropy(torch.distributions.Normal(0.0, 1.0)))
        1.41894 nats (exact, closed form)
        >>> print(entropy(torch.randn(1000, generator=torch.Generator().manual_seed(0))))
        1.4... +- 0.0... nats (estimate, nearest neighbours (Kozachenko-Leonenko, k = 3))
    """
    ways: Ways = {}
    if isinstance(p, Distribution):
        _check_one(p, "p")
        ways["exact"] = lambda: known_entropy(p) or finite_sum(lambda logs: -logs[0].exp() * logs[0], [p])
        ways["quadrature"] = lambda: integrate(lambda logs: -logs[0].exp() * logs[0], [p], generator=generator)
        ways["monte carlo"] = lambda: mean_of(
            -log_density(p, draw_points(p, draws, generator)), f"Monte Carlo, {draws} draws"
        )
    ways["neighbours"] = lambda: neighbour_entropy(_samples(p, "p", draws, generator))
    return _first("entropy", method, ways, draws)


def cross_entropy(
    p: Source, q: Source, *, method: Method = "auto", draws: int = DRAWS, generator: torch.Generator | None = None
) -> Nats:
    """H(p, q) = -E_p ln q: what a model q scores on data from p, per example; at least H(p).

    Args:
        p: where the data come from: a distribution, or samples (n, ...).
        q: the model: a distribution, or samples.
        method: how; "auto" takes the first way that there is.
        draws: of p, and of q, where a distribution has to be sampled.
        generator: None takes torch's default one.

    Raises:
        InputError: as ``entropy`` does.

    Example:
        >>> from torch.distributions import Normal
        >>> print(cross_entropy(Normal(0.0, 1.0), Normal(1.0, 1.0)))
        1.91894 nats (exact, closed form)
    """
    ways: Ways = {}
    _check_pair(p, q)
    if isinstance(p, Distribution) and isinstance(q, Distribution):
        densities = [p, q]
        ways["exact"] = lambda: _sum(known_entropy(p), known_divergence(p, q)) or finite_sum(crossed, densities)
        ways["quadrature"] = lambda: integrate(crossed, densities, generator=generator)
    if isinstance(q, Distribution):
        ways["monte carlo"] = lambda: mean_crossed(_samples(p, "p", draws, generator), q)
    ways["neighbours"] = lambda: neighbour_cross_entropy(
        _samples(p, "p", draws, generator), _samples(q, "q", draws, generator)
    )
    return _first("cross-entropy", method, ways, draws)


def kl(
    p: Source, q: Source, *, method: Method = "auto", draws: int = DRAWS, generator: torch.Generator | None = None
) -> Nats:
    """KL(p || q) = E_p ln (p / q): not negative, 0 only if p = q, not symmetric, infinite where q lacks mass of p.

    Args:
        p: a distribution, or samples (n, ...).
        q: a distribution, or samples (m, ...).
        method: how; "auto" takes the first way that there is.
        draws: of p, and of q, where a distribution has to be sampled.
        generator: None takes torch's default one.

    Raises:
        InputError: as ``entropy`` does.

    Example:
        >>> from torch.distributions import Normal, Uniform
        >>> kl(Normal(0.0, 1.0), Normal(1.0, 2.0)).value  # ln 2 + (1 + 1) / 8 - 1/2
        0.44314
        >>> print(kl(Normal(0.0, 1.0), Uniform(-1.0, 1.0)))
        inf nats (exact, closed form; p has mass where q has none)
    """
    ways: Ways = {}
    _check_pair(p, q)
    if isinstance(p, Distribution) and isinstance(q, Distribution):
        densities = [p, q]
        ways["exact"] = lambda: known_divergence(p, q) or finite_sum(relative, densities)
        ways["quadrature"] = lambda: integrate(relative, densities, generator=generator)
        ways["monte carlo"] = lambda: mean_log_ratio(p, q, draws, generator)

    def sides() -> tuple[Tensor, Tensor]:
        return _samples(p, "p", draws, generator), _samples(q, "q", draws, generator)

    ways["neighbours"] = lambda: neighbour_divergence(*sides())
    ways["bound"] = lambda: divergence_bound(*sides(), generator=generator)
    return _first("KL divergence", method, ways, draws)


def jensen_shannon(
    p: Source, q: Source, *, method: Method = "auto", draws: int = DRAWS, generator: torch.Generator | None = None
) -> Nats:
    """JS(p, q) = KL(p || m) / 2 + KL(q || m) / 2 with m halfway between them: symmetric, from 0 to ln 2.

    Args:
        p: a distribution, or samples (n, ...).
        q: a distribution, or samples (m, ...).
        method: how; "auto" takes the first way that there is, from samples the bound.
        draws: of each, where a distribution has to be sampled.
        generator: None takes torch's default one.

    Raises:
        InputError: as ``entropy`` does.

    Example:
        >>> from torch.distributions import Uniform
        >>> apart = jensen_shannon(Uniform(0.0, 1.0), Uniform(2.0, 3.0), generator=torch.Generator().manual_seed(0))
        >>> print(apart, apart.bits)  # ln 2
        0.693147 +- 0 nats (estimate, Monte Carlo, 10000 draws of each) 1.0
    """
    ways: Ways = {}
    _check_pair(p, q)
    if isinstance(p, Distribution) and isinstance(q, Distribution):
        ways["exact"] = lambda: finite_sum(halfway, [p, q])
        ways["quadrature"] = lambda: integrate(halfway, [p, q], carriers=2, generator=generator)
        ways["monte carlo"] = lambda: mean_halfway(p, q, draws, generator)
    ways["bound"] = lambda: jensen_shannon_bound(
        _samples(p, "p", draws, generator), _samples(q, "q", draws, generator), generator=generator
    )
    return _first("Jensen-Shannon divergence", method, ways, draws)


def mutual_information(
    x: Source,
    y: Source,
    joint: Distribution | None = None,
    *,
    method: Method = "auto",
    draws: int = DRAWS,
    generator: torch.Generator | None = None,
) -> Nats:
    """I(x; y) = KL(p(x, y) || p(x) p(y)): 0 if x and y are independent, the same whatever units they are in.

    Args:
        x: samples (n, ...); or the distribution p(x), a vector or a number.
        y: samples (n, ...), row i together with row i of x; or p(y).
        joint: with distributions, p(x, y) of the vector of both, x first.
        method: how; "auto" takes the first way that there is.
        draws: of the joint distribution, where it has to be sampled.
        generator: None takes torch's default one.

    Raises:
        InputError: if x and y are not both distributions with a joint one, or both samples, of as many entries; or as
            ``entropy`` does.

    Example:
        >>> from torch.distributions import MultivariateNormal, Normal
        >>> joint = MultivariateNormal(torch.zeros(2), torch.tensor([[1.0, 0.6], [0.6, 1.0]]))
        >>> print(mutual_information(Normal(0.0, 1.0), Normal(0.0, 1.0), joint))  # -ln(1 - 0.36) / 2
        0.223144 nats (exact, closed form)
    """
    ways: Ways = {}
    if joint is not None:
        first = _first_entries(x, y, joint)
        assert isinstance(x, Distribution) and isinstance(y, Distribution)
        ways["exact"] = lambda: (
            gaussian_information(joint.covariance_matrix, first) if isinstance(joint, MultivariateNormal) else None
        )
        product = Product(x, y, first)
        ways["quadrature"] = lambda: integrate(relative, [joint, product], generator=generator)
        ways["monte carlo"] = lambda: mean_log_ratio(joint, product, draws, generator)

    def sides() -> tuple[Tensor, Tensor]:
        if joint is None:
            if not (isinstance(x, Tensor) and isinstance(y, Tensor)):
                raise InputError("joint: got none, expected the distribution of x and y together, or samples of both")
            return x, y
        both = draw_points(joint, draws, generator, "joint")
        first = _first_entries(x, y, joint)
        return both[:, :first], both[:, first:]

    ways["neighbours"] = lambda: neighbour_information(*sides())
    ways["bound"] = lambda: information_bound(*sides(), generator=generator)
    return _first("mutual information", method, ways, draws)


def _first(what: str, method: Method, ways: Ways, draws: int) -> Nats:
    """The answer by the way that is asked for, or by the first that has one."""
    check_count(draws, "draws")
    if method not in get_args(Method):
        raise InputError(f"method: got {method!r}, expected one of {', '.join(get_args(Method))}")
    if method != "auto":
        found = ways[method]() if method in ways else None
        if found is None:
            others = ", ".join(way for way in ("auto", *ways) if way != method)
            raise InputError(f"method: there is no {method!r} way to this {what}, expected one of {others}")
        return found
    for way in ways.values():
        if (found := way()) is not None:
            return found
    raise InputError(f"method: none of {', '.join(ways)} finds this {what}")


def _samples(p: Source, name: str, draws: int, generator: torch.Generator | None) -> Tensor:
    """Samples as they are, or draws of a distribution."""
    if isinstance(p, Distribution):
        return draw_points(p, draws, generator, name)
    as_points(p, name)
    return p


def _sum(one: Nats | None, other: Nats | None) -> Nats | None:
    if one is None or other is None:
        return None
    return Nats(one.value + other.value, 0.0, other.method, "exact")


def _check_one(p: Distribution, name: str) -> None:
    if p.batch_shape:
        shape = tuple(p.batch_shape)
        raise InputError(
            f"{name}: got a batch of distributions of shape {shape}, expected one (Independent joins them)"
        )


def _check_pair(p: Source, q: Source) -> None:
    """Both are single distributions, or samples, of one event shape."""
    shapes = []
    for source, name in ((p, "p"), (q, "q")):
        if isinstance(source, Distribution):
            _check_one(source, name)
            shapes.append(tuple(source.event_shape))
        else:
            shapes.append(tuple(as_points(source, name).shape[1:]) if source.ndim > 1 else ())
    if math.prod(shapes[0]) != math.prod(shapes[1]):
        raise InputError(f"q: got {math.prod(shapes[1])} entries per sample, expected {math.prod(shapes[0])} as in p")


def _first_entries(x: Source, y: Source, joint: Distribution) -> int:
    """How many entries of the joint vector are those of x."""
    if not (isinstance(x, Distribution) and isinstance(y, Distribution)):
        raise InputError("joint: got one with samples of x or y, expected their distributions, or no joint one")
    for p, name in ((x, "x"), (y, "y"), (joint, "joint")):
        _check_one(p, name)
    entries = math.prod(x.event_shape), math.prod(y.event_shape)
    if tuple(joint.event_shape) != (sum(entries),):
        raise InputError(
            f"joint: got events of shape {tuple(joint.event_shape)}, expected ({sum(entries)},), x before y"
        )
    return entries[0]
