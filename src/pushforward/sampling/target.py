r"""What Markov chains see of a distribution: an unnormalised log-density on :math:`\mathbb{R}^d`, and its gradient.

A density with a constrained support (a rate, a probability, a simplex) is sampled in unconstrained coordinates z with
:math:`x = T(z)`, where it is

.. math:: \log \pi(z) = \log p(T(z)) + \log \left| \det \frac{\partial T}{\partial z} \right| .

All chains are one batch: a row is a chain, and the gradient of every chain comes from one call of autograd on the sum,
because row i of the sum's gradient is the gradient of term i.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import TypeAlias

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.distributions import Distribution, biject_to, constraints

from pushforward.core.capabilities import HasDensity
from pushforward.core.errors import InputError, check_count
from pushforward.core.noise import Noise

__all__ = ["LogDensity", "Target", "target_of"]

#: What can be sampled: a function of a batch of points, a distribution, a model that knows its density, or a target.
LogDensity: TypeAlias = "Callable[[Tensor], Tensor] | Distribution | HasDensity | Target"

Map: TypeAlias = Callable[[Tensor], Tensor]


class Target:
    r"""An unnormalised log-density on :math:`\mathbb{R}^d` for many chains at once, which counts its gradients.

    Where the function gives NaN or :math:`+\infty` (an overflow far out, a logarithm of a negative number) the value is
    :math:`-\infty` and the gradient zero, so that a proposal there is rejected; ``invalid`` counts these.

    Args:
        log_density: of points (chains, dim), one number per chain, differentiable where gradients are asked for.
        dim: d.
        event: shape of one point in the user's space; None is (dim,).
        to_user: from z (n, dim) to the user's points (n, \*event); None reshapes.
        from_user: its inverse.
        dtype: of the points; None is torch's default.
        device: of the points; None is torch's default.

    Example:
        >>> target = Target(lambda x: -0.5 * x.square().sum(1), dim=2)
        >>> value, gradient = target.value_and_grad(torch.tensor([[3.0, 4.0]]))
        >>> value.item(), gradient.tolist(), target.gradients
        (-12.5, [[-3.0, -4.0]], 1)
    """

    def __init__(
        self,
        log_density: Map,
        dim: int,
        *,
        event: tuple[int, ...] | None = None,
        to_user: Map | None = None,
        from_user: Map | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.dim = dim
        self.event = (dim,) if event is None else tuple(event)
        self.dtype = torch.get_default_dtype() if dtype is None else dtype
        self.device = torch.get_default_device() if device is None else device
        #: Batched evaluations of the gradient so far: what each chain has paid.
        self.gradients = 0
        #: Points at which the log-density was NaN or plus infinity.
        self.invalid = 0
        self._log_density = log_density
        self._to_user = to_user
        self._from_user = from_user
        self._ones = torch.empty(0)

    @torch.no_grad()
    def value(self, x: Float[Tensor, "chains dim"]) -> Float[Tensor, "chains"]:
        """log pi(x), without a gradient."""
        value = self._log_density(x)
        if not bool(value.isfinite().all()):
            value = value.masked_fill(self._bad(value), -math.inf)
        return value

    def value_and_grad(
        self, x: Float[Tensor, "chains dim"]
    ) -> tuple[Float[Tensor, "chains"], Float[Tensor, "chains dim"]]:
        """log pi(x) and its gradient, by one call of autograd for all chains."""
        self.gradients += 1
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            value = self._log_density(x)
        if self._ones.shape != value.shape or self._ones.dtype != value.dtype:
            self._ones = torch.ones_like(value)
        (gradient,) = torch.autograd.grad(value, x, self._ones)
        value = value.detach()
        if not math.isfinite(value.sum()):  # one operation where nearly always nothing is wrong
            bad = self._bad(value)
            value = value.masked_fill(bad, -math.inf)
            gradient = gradient.masked_fill(bad[:, None] | gradient.isnan(), 0.0)
        return value, gradient

    def to_user(self, x: Float[Tensor, "*batch dim"]) -> Shaped[Tensor, "*batch *event"]:
        """From the coordinates the chains move in to the user's."""
        flat = x.reshape(-1, self.dim)
        points = flat if self._to_user is None else self._to_user(flat)
        return points.reshape(*x.shape[:-1], *(points.shape[1:] if self._to_user is not None else self.event))

    def from_user(self, x: Shaped[Tensor, "n *event"]) -> Float[Tensor, "n dim"]:
        """The inverse of ``to_user``."""
        points = x if self._from_user is None else self._from_user(x)
        return points.reshape(len(x), self.dim).to(device=self.device, dtype=self.dtype)

    def check(self, x: Float[Tensor, "chains dim"], *, gradient: bool) -> None:
        """Try the log-density at the start of the chains, before an error in it can become a wrong answer.

        Raises:
            InputError: if it fails, couples the chains, has another shape than (chains,), is NaN or has no mass
                there, or has no gradient with respect to x although one is needed.
        """
        n = len(x)
        value = self.tried(torch.cat([x, x[:1]]))[:n]
        alone = self.tried(x)
        same = (value == alone) | ((value - alone).abs() <= 1e-3 * (1 + alone.abs())) | (value.isnan() & alone.isnan())
        if not bool(same.all()):
            raise InputError(
                f"log_prob: gave {float(value[~same][0]):.6g} and {float(alone[~same][0]):.6g} for one point in two "
                "batches, expected a number that depends on nothing but its own point"
            )
        for what, wrong in (("NaN", alone.isnan()), ("infinity", alone == math.inf)):
            if bool(wrong.any()):
                raise InputError(
                    f"log_prob: got {what} at the start of {int(wrong.sum())} of {n} chains, the first at "
                    f"{_shown(self.to_user(x[wrong])[0])}, expected a finite number, or -inf outside the support"
                )
        if bool((alone == -math.inf).any()):
            raise InputError(
                f"start: log_prob is -inf at {int((alone == -math.inf).sum())} of {n} points, the first at "
                f"{_shown(self.to_user(x[alone == -math.inf])[0])}, expected points of positive density; "
                "give others as start="
            )
        if gradient:
            self._check_gradient(x)

    def tried(self, x: Float[Tensor, "chains dim"]) -> Float[Tensor, "chains"]:
        """The log-density as it is, whatever it is; ``InputError`` if it fails or is not one real number per point."""
        try:
            with torch.no_grad():
                value = self._log_density(x)
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"log_prob: failed on a {x.dtype} tensor of {len(x)} points of shape {self.event} with "
                f"{type(error).__name__} ({error}), expected a function of a batch of points; pass start= in the "
                "shape and dtype it takes"
            ) from error
        if not isinstance(value, Tensor) or value.shape != (len(x),) or not value.is_floating_point():
            got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise InputError(
                f"log_prob: got {got} for {len(x)} points of shape {self.event}, expected real numbers of shape "
                f"({len(x)},), one per point; sum over the other dimensions, or wrap a function of one point in "
                "torch.vmap"
            )
        return value

    def _check_gradient(self, x: Tensor) -> None:
        before = self.gradients
        try:
            _, gradient = self.value_and_grad(x)
        except RuntimeError as error:
            raise InputError(
                f"log_prob: has no gradient with respect to x ({error}), expected torch operations from x to the "
                'result (no detach, item, numpy); without a gradient take method="rwm"'
            ) from error
        self.gradients = before
        if not bool(gradient.isfinite().all()):
            raise InputError(
                "log_prob: its gradient at the start is not finite although its value is, expected a function that "
                'can be differentiated there; without a gradient take method="rwm", or move start='
            )

    def _bad(self, value: Tensor) -> Tensor:
        bad = value.isnan() | (value == math.inf)
        self.invalid += int(bad.sum())
        return bad


def target_of(log_prob: LogDensity, *, start: Tensor | None = None, dim: int | None = None) -> Target:
    r"""The target of a function, a distribution or a model.

    * A function takes points (n, \*event) and returns (n,); the event's shape comes from ``start``, or is (``dim``,).
    * A distribution with a batch shape is a product of independent ones; a support that is not all of
      :math:`\mathbb{R}^d` is unconstrained by ``biject_to``, its log-determinant counted.
    * A model's density is sampled in model units, and draws are decoded to storage form.

    Args:
        log_prob: what to sample.
        start: points in the user's space, (n, \*event): their shape, dtype and device are the target's.
        dim: d of a function's points where there is no start.

    Raises:
        InputError: if the log-density cannot be sampled (codes, a bound), or its dimension is not known.

    Example:
        >>> target = target_of(torch.distributions.Exponential(torch.tensor(2.0)))
        >>> z = torch.tensor([[0.0]])  # x = exp(z) = 1, so log p(x) = log 2 - 2, and the log-determinant is z = 0
        >>> target.value(z), target.to_user(z)
        (tensor([-1.3069]), tensor([1.]))
    """
    if isinstance(log_prob, Target):
        return log_prob
    if isinstance(log_prob, Distribution):
        return _of_distribution(log_prob, start)
    if isinstance(log_prob, HasDensity):
        return _of_model(log_prob)
    if not callable(log_prob):
        raise InputError(
            f"log_prob: got {type(log_prob).__name__}, expected a function of a tensor, a torch Distribution or a "
            "model with HasDensity"
        )
    if start is None:
        if dim is None:
            raise InputError("dim: got None and no start, expected the dimension of the points, or start=")
        check_count(dim, "dim")
        return Target(log_prob, dim)
    event = tuple(start.shape[1:])
    size = math.prod(event)
    log_density = log_prob if event == (size,) else lambda x: log_prob(x.reshape(len(x), *event))
    return Target(log_density, size, event=event, dtype=start.dtype, device=start.device)


def _of_distribution(distribution: Distribution, start: Tensor | None) -> Target:
    name = type(distribution).__name__
    try:
        support = _support(distribution)
        transform = None if support.is_discrete else biject_to(support)
    except NotImplementedError as error:
        raise InputError(
            f"log_prob: the support of {name} cannot be unconstrained ({error}), expected a distribution with a "
            "continuous support known to torch.distributions.biject_to"
        ) from error
    if transform is None:
        raise InputError(f"log_prob: got {name}, whose support is discrete, expected a continuous distribution")
    free = _without_validation(distribution)
    event = tuple(distribution.batch_shape + distribution.event_shape)
    inner = tuple(transform.inverse_shape(event))
    real = _is_real(support)

    def log_density(z: Tensor) -> Tensor:
        z = z.reshape(len(z), *inner)
        if real:
            return _per_row(free.log_prob(z))
        x = transform(z)
        return _per_row(free.log_prob(x)) + _per_row(transform.log_abs_det_jacobian(z, x))

    like = start if start is not None else _some_tensor(distribution)
    return Target(
        log_density,
        math.prod(inner),
        event=event,
        to_user=lambda z: transform(z.reshape(len(z), *inner)),
        from_user=transform.inv,
        dtype=like.dtype,
        device=like.device,
    )


def _of_model(model: HasDensity) -> Target:
    name = type(model).__name__
    if model.kind != "exact":
        raise InputError(f"log_prob: {name} gives a {model.kind} of its density, expected a model that is exact")
    if model.space == "codes":
        raise InputError(f"log_prob: {name} is a model of codes, expected one of continuous examples")
    shape = tuple(model.shape)

    def log_density(y: Tensor) -> Tensor:
        wanted = torch.is_grad_enabled()
        with model.at_rest(), torch.set_grad_enabled(wanted):
            n = len(y)
            return model.log_likelihood(y.reshape(n, *shape), model.given(None, n), noise=Noise(0, rows=n))

    def encode(x: Tensor) -> Tensor:
        model.example.check(x, "start")
        return model.fitted.encode(x.to(model.device), noise=Noise(0, rows=len(x)), dtype=model.dtype)[0]

    def decode(y: Tensor) -> Tensor:
        return model.fitted.decode(y.reshape(len(y), *shape), noise=Noise(0, rows=len(y)))

    return Target(
        log_density,
        math.prod(shape),
        event=tuple(model.example.shape),
        to_user=decode,
        from_user=encode,
        dtype=model.dtype,
        device=model.device,
    )


def _per_row(value: Tensor) -> Tensor:
    return value if value.dim() == 1 else value.flatten(1).sum(1)


def _support(distribution: Distribution) -> constraints.Constraint:
    """The support; that of a mixture of one family is the one of its components."""
    support = distribution.support
    while isinstance(support, constraints.MixtureSameFamilyConstraint):
        support = support.base_constraint
    assert isinstance(support, constraints.Constraint)
    return support


def _is_real(support: constraints.Constraint) -> bool:
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    return support is constraints.real


def _without_validation(distribution: Distribution) -> Distribution:
    """A copy that gives -inf outside its support: a map from R^d may round onto the boundary."""
    free = copy.copy(distribution)
    free._validate_args = False
    for name, part in vars(distribution).items():
        if isinstance(part, Distribution):
            setattr(free, name, _without_validation(part))
    return free


def _some_tensor(distribution: Distribution) -> Tensor:
    """A tensor of the dtype and device of the distribution's parameters."""
    for part in vars(distribution).values():
        if isinstance(part, Tensor) and part.is_floating_point():
            return part
        if isinstance(part, Distribution):
            return _some_tensor(part)
    return torch.empty(0)


def _shown(point: Tensor) -> str:
    """A point, or as much of it as fits in a sentence."""
    numbers = [f"{float(number):.4g}" for number in point.flatten()[:4]]
    return f"x = ({', '.join(numbers)}{', ...' if point.numel() > 4 else ''})"
