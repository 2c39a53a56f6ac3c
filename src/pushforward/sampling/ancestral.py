r"""Ancestral sampling: a joint density written as conditionals, drawn parents first.

.. math:: p(x_1, \dots, x_d) = \prod_i p(x_i \mid \mathrm{parents}(x_i))

is a directed graph without cycles. Drawn in an order in which parents come before their children, each variable from
its conditional, the values are an exact draw of the joint.

If some variables are observed, they are not drawn but weighted: *likelihood weighting* is importance sampling whose
proposal is the rest of the product, with the weight

.. math:: w = \prod_{i \text{ observed}} p(x_i \mid \mathrm{parents}(x_i)), \qquad E[w] = p(\text{observed}) .

Reference:
    Bishop 2006, "Pattern Recognition and Machine Learning", sections 8.1.2 and 11.1.4; Fung and Chang 1990, for the
    weighting.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from pushforward.core.errors import InputError, check_count
from pushforward.probability.drawing import drawing_from

__all__ = ["Conditional", "DirectedModel", "parents_of", "rows_of"]

#: A function of parents, named as they are, that returns the distribution of a variable given them.
Conditional = Callable[..., Distribution]

Values = dict[str, Tensor]


class DirectedModel:
    r"""Variables, each with its distribution given its parents.

    The names of a function's arguments are the parents of its variable; they come as tensors with one row per draw,
    (n, \*shape), and the distribution it returns has one row per draw too. Without parents, it is that of one draw.

    Args:
        conditionals: variable -> function of its parents that returns a ``torch.distributions`` object.

    Raises:
        InputError: if an argument names no variable, or a variable is its own ancestor.

    Example:
        >>> from torch.distributions import Bernoulli
        >>> model = DirectedModel({
        ...     "wet": lambda rain, sprinkler: Bernoulli(0.9 * torch.maximum(rain, sprinkler)),
        ...     "rain": lambda: Bernoulli(torch.tensor(0.2)),
        ...     "sprinkler": lambda rain: Bernoulli(0.4 - 0.3 * rain),
        ... })
        >>> model.order
        ('rain', 'sprinkler', 'wet')
        >>> draws = model.sample(1000, generator=torch.Generator().manual_seed(0))
        >>> draws["wet"].shape, model.log_joint(draws).shape
        (torch.Size([1000]), torch.Size([1000]))
    """

    def __init__(self, conditionals: Mapping[str, Conditional]) -> None:
        if not conditionals:
            raise InputError("conditionals: got none, expected at least one variable")
        self.conditionals = dict(conditionals)
        self.parents = {name: parents_of(name, given, self.conditionals) for name, given in self.conditionals.items()}
        try:
            self.order = tuple(TopologicalSorter(self.parents).static_order())
        except CycleError as cycle:
            # graphlib names each variable after one that it depends on
            ring = " -> ".join(cycle.args[1])
            raise InputError(
                f"conditionals: {ring} is a cycle, expected a graph in which no variable is its own ancestor"
            ) from None

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> dict[str, Float[Tensor, "n *shape"]]:
        """n joint draws, one tensor for each variable.

        Raises:
            InputError: if n is below 1, or a conditional does not return a distribution with one row per draw.
        """
        return self._forward(n, {}, generator)[0]

    def weigh(
        self, n: int, observed: Mapping[str, Tensor | float], *, generator: torch.Generator | None = None
    ) -> tuple[dict[str, Float[Tensor, "n *shape"]], Float[Tensor, "n"]]:
        """Likelihood weighting: n draws with some variables held at what was observed, and their log-weights.

        Weighted, the draws have the posterior law given the observations; the mean weight is the probability (density)
        of the observations. See ``pushforward.probability.weights`` for both.

        Args:
            n: how many draws.
            observed: variable -> its value, that of one draw.
            generator: None takes torch's default one.

        Raises:
            InputError: if an observed name is no variable, or as ``sample`` does.

        Example:
            >>> from torch.distributions import Normal
            >>> model = DirectedModel({"z": lambda: Normal(0.0, 1.0), "x": lambda z: Normal(z, 1.0)})
            >>> draws, log_weights = model.weigh(10_000, {"x": 2.0}, generator=torch.Generator().manual_seed(0))
            >>> round((log_weights.softmax(0) @ draws["z"]).item(), 1)  # the posterior mean is x / 2
            1.0
        """
        for name in observed:
            if name not in self.conditionals:
                raise InputError(f"observed: got {name!r}, expected one of {', '.join(self.conditionals)}")
        return self._forward(n, observed, generator)

    def log_terms(self, values: Mapping[str, Float[Tensor, "n *shape"]]) -> dict[str, Float[Tensor, "n"]]:
        """log p of each variable given its parents, in the order of the graph.

        Raises:
            InputError: if a variable is missing or unknown, or the numbers of rows differ.
        """
        if set(values) != set(self.conditionals):
            raise InputError(f"values: got {sorted(values)}, expected all of {sorted(self.conditionals)} and no other")
        n = len(values[self.order[0]])
        for name in self.order:
            if len(values[name]) != n:
                raise InputError(f"values: {name!r} has {len(values[name])} rows, expected {n} as the others have")
        return {name: _log_prob(self._given(name, values, n), values[name]) for name in self.order}

    def log_joint(self, values: Mapping[str, Float[Tensor, "n *shape"]]) -> Float[Tensor, "n"]:
        """log p(x) of joint draws: the sum of ``log_terms``.

        Raises:
            InputError: as ``log_terms`` does.
        """
        return torch.stack(list(self.log_terms(values).values())).sum(0)

    def _forward(
        self, n: int, observed: Mapping[str, Any], generator: torch.Generator | None
    ) -> tuple[Values, Float[Tensor, "n"]]:
        check_count(n, "n")
        values: Values = {}
        log_weight = torch.zeros(n)
        with drawing_from(generator), torch.no_grad():
            for name in self.order:
                distribution = self._given(name, values, n)
                if name in observed:
                    event = distribution.batch_shape[1:] + distribution.event_shape
                    value = torch.as_tensor(observed[name])
                    if value.shape != event:
                        raise InputError(
                            f"observed: got shape {tuple(value.shape)} for {name!r}, expected that of one draw, "
                            f"{tuple(event)}"
                        )
                    values[name] = value.expand(n, *event)
                    log_weight = log_weight + _log_prob(distribution, values[name])
                else:
                    values[name] = distribution.sample()
        return values, log_weight

    def _given(self, name: str, values: Mapping[str, Tensor], n: int) -> Distribution:
        parents = {parent: values[parent] for parent in self.parents[name]}
        found = self.conditionals[name](**parents)
        return rows_of(found, n, name=name, rooted=not parents)


def parents_of(name: str, conditional: Conditional, known: Mapping[str, Any]) -> tuple[str, ...]:
    """The variables a conditional depends on: the names of its arguments.

    Raises:
        InputError: if one of them is no variable.

    Example:
        >>> parents_of("x", lambda z: None, {"z": None, "x": None})
        ('z',)
    """
    arguments = inspect.signature(conditional).parameters.values()
    # An argument with a default, or a starred one, is the function's own affair.
    named = [a.name for a in arguments if a.default is a.empty and a.kind not in (a.VAR_POSITIONAL, a.VAR_KEYWORD)]
    for parent in named:
        if parent not in known:
            raise InputError(f"conditionals: {name!r} depends on {parent!r}, expected one of {', '.join(known)}")
    return tuple(named)


def rows_of(distribution: Distribution, n: int, *, name: str, rooted: bool) -> Distribution:
    """A conditional as n rows: one without parents, or that ignores them, is the same for all.

    Args:
        distribution: what the conditional returned.
        n: rows.
        name: of the variable.
        rooted: whether it has no parents, so that its whole batch shape belongs to one draw.

    Raises:
        InputError: if it is no distribution, or has another number of rows.

    Example:
        >>> rows_of(torch.distributions.Normal(0.0, 1.0), 3, name="x", rooted=True).batch_shape
        torch.Size([3])
    """
    if not isinstance(distribution, Distribution):
        raise InputError(
            f"conditionals: {name!r} returns {type(distribution).__name__}, expected a torch.distributions object"
        )
    shape = distribution.batch_shape
    if rooted or not shape:
        return distribution.expand(torch.Size((n, *shape)))
    if shape[0] != n:
        raise InputError(
            f"conditionals: {name!r} has batch shape {tuple(shape)} for {n} draws, expected one row for each draw"
        )
    return distribution


def _log_prob(distribution: Distribution, value: Tensor) -> Float[Tensor, "n"]:
    """Summed over what one draw holds."""
    return (
        distribution.log_prob(value).flatten(1).sum(1) if distribution.batch_shape[1:] else distribution.log_prob(value)
    )
