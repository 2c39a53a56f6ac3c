r"""What is wrong with a run of Markov chains, in sentences that name it and say what to try next.

Each rule looks for one failure by its own trace:

* *several modes*: the means of the chains fall into groups far apart compared with the width of a chain;
* *a funnel*: the logarithm of the size of some coordinates follows another coordinate, so that no one step size suits;
* *a step too large*: proposals are refused, or the energy error diverges;
* *too few draws*: the effective sample size is below what its own estimate needs;
* *heavy tails*: moments that do not exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from pushforward.sampling.diagnostics import ess, rhat, tail_k
from pushforward.sampling.method import Chains

__all__ = ["Neck", "diagnose", "find_funnel", "find_groups"]

#: Above these the rank-normalised R-hat, and below these the effective sample size, are not to be trusted
#: (Vehtari et al. 2021, section 4).
RHAT_LIMIT, ESS_LIMIT = 1.01, 400

#: The R-hat of chains that agree lies within this over N of 1, N being the draws of half a chain: it is
#: 1 + (tau c - 1) / 2N, with an autocorrelation time tau of 2 and the largest c of many chi-squares, about 3.
NOISE = 3.0

#: In Neal's funnel the correlation of v with log|x_j| is sqrt(1.5² / (1.5² + 1.11²)) = 0.80; in a Gaussian it is 0, and
#: where only the spread triples from end to end about 0.3.
FUNNEL_LIMIT = 0.5

#: The gap between groups of chains, in standard deviations of a chain: halves of one wide mode do not lie so far apart.
GAP = 3.0

#: From so many chains on each may be short, and R-hat above its limit although every chain is worth several
#: independent draws, and so has forgotten its start.
MANY, FORGOTTEN = 16, 5

#: Points that are enough to see a funnel in.
SEEN = 4096


@dataclass(frozen=True)
class Neck:
    """Coordinate ``neck`` sets the spread of others; ``correlation`` is the mean one with their log-distances."""

    neck: int
    correlation: float
    followers: tuple[int, ...]


def find_funnel(positions: Float[Tensor, "chains draws dim"]) -> Neck | None:
    r"""The coordinate i whose value tells the size of others: :math:`\text{corr}(x_i, \log|x_j - \bar x_j|)`.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> v = 3 * torch.randn(1, 4000, 1, generator=g)
        >>> x = torch.exp(v / 2) * torch.randn(1, 4000, 3, generator=g)
        >>> find_funnel(torch.cat([v, x], 2)).neck, find_funnel(x)
        (0, None)
    """
    pool = positions.detach().double().flatten(0, 1)
    pool = pool[:: max(1, len(pool) // SEEN)]
    if len(pool) < 100 or pool.shape[1] < 2:
        return None
    apart = pool - pool.mean(0)
    value = _standard(apart)
    size = _standard((pool - pool.median(0).values).abs().clamp_min(1e-30).log())
    correlation = (value.T @ size / len(pool)).fill_diagonal_(0.0)
    follows = correlation.abs() > FUNNEL_LIMIT
    neck = int((correlation.abs() * follows).sum(1).argmax())
    followers = tuple(follows[neck].nonzero().flatten().tolist())
    if not followers:
        return None
    return Neck(neck, float(correlation[neck, list(followers)].mean()), followers)


def find_groups(values: Float[Tensor, "chains draws"]) -> list[list[int]]:
    """Chains in groups whose means lie further apart than ``GAP`` times the median spread within a chain.

    Example:
        >>> x = torch.randn(4, 100, generator=torch.Generator().manual_seed(0))
        >>> x[2:] += 20
        >>> find_groups(x)
        [[0, 1], [2, 3]]
    """
    order = values.mean(1).argsort()
    means = values.mean(1)[order]
    within = values.std(1).median() if values.shape[1] > 1 else torch.zeros(())
    cuts = (means.diff() > GAP * within).nonzero().flatten().tolist()
    bounds = [0, *(cut + 1 for cut in cuts), len(order)]
    return [sorted(order[a:b].tolist()) for a, b in zip(bounds[:-1], bounds[1:], strict=True)]


def diagnose(
    chains: Chains,
    names: Sequence[str],
    *,
    target_acceptance: float | None = None,
    asked: int | None = None,
    invalid: int = 0,
) -> list[str]:
    """Sentences about a run: what is wrong and what to try; one that says so if nothing was found.

    Args:
        chains: the run.
        names: of the coordinates.
        target_acceptance: the mean acceptance the method tunes for; None if it has none.
        asked: draws per chain that were asked for.
        invalid: how often the log-density was NaN or plus infinity.
    """
    x = chains.positions
    found = []
    if asked is not None and x.shape[1] < asked:
        found.append(f"The run was interrupted after {x.shape[1]} of {asked} draws per chain.")
    if invalid:
        found.append(
            f"The log-density was NaN or +inf at {invalid} proposals, which were rejected: let it return -inf outside "
            "its support, and look for overflow (exp) or a logarithm of a negative number."
        )
    if x.shape[1] < 4:
        return [*found, f"There are {x.shape[1]} draws per chain, too few to judge: draw at least 4."]
    found += [
        sentence
        for sentence in (
            _stuck(x),
            _step(chains, target_acceptance),
            _funnel(chains, names),
            _disagreement(x, names),
            _too_few(x, names),
            _tails(x, names),
        )
        if sentence
    ]
    if found:
        return found
    return [
        f"No problem found: R-hat at most {_largest(rhat(x))[1]:.3f}, effective sample size at least "
        f"{_largest(-ess(x))[1] * -1:.0f}, {int(chains.divergent.sum())} divergences."
    ]


def _stuck(x: Tensor) -> str | None:
    still = (x == x[:, :1]).all(dim=2).all(dim=1)
    if not bool(still.any()):
        return None
    return (
        f"{int(still.sum())} of {len(x)} chains never moved: they began where no step size of the others fits; start "
        "them nearer to the bulk of the density, or warm up longer."
    )


def _step(chains: Chains, wanted: float | None) -> str | None:
    accepted, divergent = float(chains.acceptance.mean()), float(chains.divergent.double().mean())
    if wanted is not None and accepted < wanted - 0.15:
        return (
            f"The step is too large: {accepted:.2f} of the proposals were accepted where {wanted:.2f} was tuned for; "
            "warm up longer, so that it is found where the chains end up."
        )
    if divergent > 0:
        return (
            f"{int(chains.divergent.sum())} of {chains.divergent.numel()} trajectories diverged: somewhere the density "
            "is narrower than the step, and the draws lack that part; raise the acceptance to tune for (0.95), or "
            "write the model in other coordinates."
        )
    return None


def _funnel(chains: Chains, names: Sequence[str]) -> str | None:
    funnel = find_funnel(chains.positions)
    if funnel is None:
        return None
    neck, end = names[funnel.neck], "small" if funnel.correlation > 0 else "large"
    divergent = chains.divergent
    where = ""
    if 0 < int(divergent.sum()) < divergent.numel():
        values = chains.positions[..., funnel.neck]
        apart = (values[divergent].mean() - values.mean()) / values.std()
        where = f" (divergences lie {float(apart):+.1f} standard deviations along it)"
    return (
        f"A funnel: {neck} sets the spread of {len(funnel.followers)} other coordinates (correlation "
        f"{funnel.correlation:.2f} with the logarithm of their size){where}, so one step size does not suit both ends "
        f"and {end} values of {neck} may be missing although the chains agree; sample those coordinates divided by "
        'their scale (the non-centred form), or take method="multiscale" with hundreds of chains.'
    )


def _disagreement(x: Tensor, names: Sequence[str]) -> str | None:
    worst, value = _largest(rhat(x))
    limit = max(RHAT_LIMIT, 1 + NOISE / (x.shape[1] // 2))
    if not value > limit:
        return None
    groups = find_groups(x[..., worst])
    if len(groups) > 1 and value > 1.1 and len(groups) < max(3, len(x) // 2 + 1):
        places = ", ".join(f"{len(g)} near {float(x[g][..., worst].mean()):.3g}" for g in groups[:4])
        return (
            f"Several modes: the chains stay in {len(groups)} groups along {names[worst]} ({places}; R-hat "
            f"{value:.2f}), and how many are in which is where they began, not how much mass it has; take "
            'method="tempering", which crosses between modes, or sequential_monte_carlo.'
        )
    if len(x) >= MANY and float(ess(x[..., worst])) > FORGOTTEN * len(x):
        return None  # the halves of short chains differ by noise alone
    return (
        f"The chains disagree about {names[worst]} (R-hat {value:.3f}, expected below {limit:.3g}): they have not yet "
        "forgotten where they began, or explore it slowly; warm up and draw for longer."
    )


def _too_few(x: Tensor, names: Sequence[str]) -> str | None:
    worst, least = min((_largest(-ess(x, kind)) for kind in ("bulk", "tail")), key=lambda pair: -pair[1])
    least = -least
    if not least < max(ESS_LIMIT, 2 * len(x)):
        return None
    chains, draws = x.shape[:2]
    if least >= ESS_LIMIT:
        return (
            f"The chains are too short: {names[worst]} has an effective sample size of {least:.0f} over {chains} "
            "chains, less than 2 for each, so it is their starts that are counted; draw longer chains, or fewer."
        )
    times = max(2, -(-ESS_LIMIT // max(1, int(least))))
    return (
        f"Not enough draws: {names[worst]} has an effective sample size of {least:.0f}, expected at least {ESS_LIMIT} "
        f"for its own estimate to hold; draw {times} times as many ({draws * times} per chain)."
    )


def _tails(x: Tensor, names: Sequence[str]) -> str | None:
    if x.shape[0] * x.shape[1] < 1000:  # fewer than 95 points in the tail
        return None
    pool = x.detach()[..., :256]  # a sample of the coordinates is enough to warn
    worst, k = _largest(tail_k(pool))
    if not k > 0.7:  # 0.5 is the limit, and 0.1 the standard error of k from a few thousand correlated draws
        return None
    return (
        f"Heavy tails: k-hat of {names[worst]} is {k:.2f}, above 1/2, so it has no variance and its mean no standard "
        "error; report medians and quantiles."
    )


def _largest(values: Tensor) -> tuple[int, float]:
    flat = values.flatten().nan_to_num(nan=-torch.inf)
    worst = int(flat.argmax())
    return worst, float(flat[worst])


def _standard(x: Tensor) -> Tensor:
    return (x - x.mean(0)) / x.std(0).clamp_min(1e-30)
