r"""Lower bounds on divergences and on mutual information, learned from samples and never too high but for chance.

Any function T at all bounds the divergence from below, and T = ln p / q reaches it:

.. math::

    KL(p \,\Vert\, q) &\ge E_p\, T - \ln E_q\, e^T               && \text{(Donsker and Varadhan)} \\
    KL(p \,\Vert\, q) &\ge E_p\, T + 1 - c - e^{-c}\, E_q\, e^T  && \text{(Nguyen, Wainwright and Jordan), any } c \\
    JS(p, q) &\ge \ln 2 - \text{logistic loss of } T

They hold for a T that knows nothing of the samples the expectations are taken over: T is learned on one part of them
(``critic.py``), and the bound is the mean over another. The logarithm of a mean over samples is too low on average,
which makes the first too *high*; the second is free of that with the best constant, :math:`c = \ln E_q e^T`, taken
from samples of its own. A few large values of :math:`e^T` could still hide the last term, so T is cut off at ln(m /
100) for m samples of q, which keeps the bound one, its standard error below a tenth, and the answer below about ln(m
/ 100): more no sample of this size can show (McAllester and Stratos 2020).

Mutual information is :math:`KL(p(x, y) \,\Vert\, p(x) p(y))`; pairs of the second come from shuffling y.

Reference:
    Nguyen, Wainwright and Jordan 2010, "Estimating Divergence Functionals and the Likelihood Ratio by Convex Risk
    Minimization"; Poole et al. 2019, "On Variational Bounds of Mutual Information"; McAllester and Stratos 2020,
    "Formal Limitations on the Measurement of Mutual Information".
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from pushforward.core.errors import InputError
from pushforward.probability.critic import Critic, train_critic
from pushforward.probability.nats import Nats, as_points, split_rows

__all__ = ["divergence_bound", "information_bound", "jensen_shannon_bound"]

#: To learn from, to stop and calibrate by (and to find the constant), to take the means over.
SHARES = (0.5, 0.15, 0.35)

#: Fewer samples leave no part of any size.
LEAST = 40

#: What one sample of q may contribute to the mean of exp(T) is at most a hundredth.
LEAST_SHARE = 100

Parts = list[tuple[Tensor, Tensor]]


def divergence_bound(x: Tensor, y: Tensor, *, generator: torch.Generator | None = None) -> Nats:
    """A lower bound on KL(p || q) from samples x of p, (n, ...), and y of q, (m, ...).

    Raises:
        InputError: if there are fewer than 40 of either, one is not finite, the shapes differ, or they are identical.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> x, y = torch.randn(1000, generator=generator), torch.randn(1000, generator=generator)
        >>> found = divergence_bound(x + 1, y, generator=generator)  # 1/2
        >>> 0.2 < found.value < 0.5 + 3 * found.standard_error
        True
    """
    return _nguyen_wainwright_jordan(_shared_out(x, y, generator), generator)


def information_bound(x: Tensor, y: Tensor, *, generator: torch.Generator | None = None) -> Nats:
    """A lower bound on the mutual information of x and y, from pairs of them.

    Raises:
        InputError: if there are fewer than 40 pairs or not as many x as y, one is not finite, or all are identical.
    """
    x, y = as_points(x, "x", least=LEAST), as_points(y, "y", least=LEAST)
    if len(x) != len(y):
        raise InputError(f"y: got {len(y)} samples for {len(x)} of x, expected one for each")
    _check_varied(x, "x")
    _check_varied(y, "y")
    parts = []
    for rows in split_rows(len(x), SHARES, generator):
        # A cyclic shift pairs every x with a y that is not its own, and every y is used once.
        parts.append((torch.cat((x[rows], y[rows]), 1), torch.cat((x[rows], y[rows.roll(1)]), 1)))
    return _nguyen_wainwright_jordan(parts, generator)


def jensen_shannon_bound(x: Tensor, y: Tensor, *, generator: torch.Generator | None = None) -> Nats:
    """A lower bound on JS(p, q), at most ln 2, from samples x of p and y of q: ln 2 less the loss of a classifier.

    Raises:
        InputError: as ``divergence_bound`` does.
    """
    parts = _shared_out(x, y, generator)
    critic = train_critic(parts[0], parts[1], generator=generator)
    of_p, of_q = (0.5 * F.softplus(sign * critic(side)).double() for sign, side in zip((-1, 1), parts[2], strict=True))
    value = math.log(2) - float(of_p.mean() + of_q.mean())
    return Nats(value, _error(of_p, of_q), "logistic loss of a classifier on held-out samples", "bound")


def _nguyen_wainwright_jordan(parts: Parts, generator: torch.Generator | None) -> Nats:
    """The bound on the last part, of a critic from the first, stopped and shifted by the second."""
    train, held_out, test = parts
    critic = train_critic(train, held_out, generator=generator)
    limit = math.log(max(len(test[1]) / LEAST_SHARE, 2))
    shift = _log_mean_exp(critic, held_out[1])
    of_p, of_q = ((critic(side).double() - shift).clamp(max=limit) for side in test)
    value = float(of_p.mean()) + 1 - float(of_q.exp().mean())
    return Nats(value, _error(of_p, of_q.exp()), "Nguyen-Wainwright-Jordan on held-out samples", "bound")


def _log_mean_exp(critic: Critic, y: Tensor) -> float:
    return float(critic(y).double().logsumexp(0)) - math.log(len(y))


def _error(of_p: Tensor, of_q: Tensor) -> float:
    """Standard error of a sum of two means over independent samples."""
    return math.sqrt(float(of_p.var()) / len(of_p) + float(of_q.var()) / len(of_q))


def _shared_out(x: Tensor, y: Tensor, generator: torch.Generator | None) -> Parts:
    p, q = as_points(x, "x", least=LEAST), as_points(y, "y", least=LEAST)
    if p.shape[1] != q.shape[1]:
        raise InputError(f"y: got samples of {q.shape[1]} entries, expected {p.shape[1]} as in x")
    _check_varied(p, "x")
    _check_varied(q, "y")
    rows = zip(*[split_rows(len(side), SHARES, generator) for side in (p, q)], strict=True)
    return [(p[of_p], q[of_q].to(p)) for of_p, of_q in rows]


def _check_varied(x: Tensor, name: str) -> None:
    if bool((x == x[0]).all()):
        raise InputError(f"{name}: the {len(x)} samples are identical, expected samples of a density")
