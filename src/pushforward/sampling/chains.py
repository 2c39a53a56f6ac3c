r"""One call for all Markov-chain methods: draws from anything whose log-density can be written down.

``sample(log_prob)`` takes a function of a batch of points, a ``torch.distributions`` object or a model with
``HasDensity``, starts the chains, warms up, draws, and returns the draws with what is needed to judge them:

>>> import torch
>>> from pushforward.sampling.chains import sample
>>> def log_prob(x):  # any function of points (n, 2) to (n,), a constant left out
...     return -0.5 * x.square().sum(1)
>>> draws = sample(log_prob, dim=2, chains=64, warmup=100, draws=100, generator=torch.Generator().manual_seed(0))
>>> bool((draws.flat().mean(0).abs() < 0.1).all())
True
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float, Shaped
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from pushforward.core.errors import InputError, check_count
from pushforward.sampling.chees import ChEES
from pushforward.sampling.draws import Draws
from pushforward.sampling.hamiltonian import HMC
from pushforward.sampling.mams import MAMS
from pushforward.sampling.method import Method, Report, silent
from pushforward.sampling.metropolis import MALA, RandomWalk
from pushforward.sampling.microcanonical import MCLMC
from pushforward.sampling.multiscale import MultiscaleHMC
from pushforward.sampling.nuts import NUTS
from pushforward.sampling.target import LogDensity, Target, target_of
from pushforward.sampling.tempering import ParallelTempering

__all__ = ["METHODS", "sample", "starting_points"]


#: Methods by the name ``sample`` knows them by; a method with other settings is given as an object.
METHODS: dict[str, Callable[[], Method]] = {
    "rwm": RandomWalk,
    "mala": MALA,
    "hmc": HMC,
    "nuts": NUTS,
    "chees": ChEES,
    "mclmc": MCLMC,
    "mams": MAMS,
    "multiscale": MultiscaleHMC,
    "tempering": ParallelTempering,
}

#: Starts are uniform within this distance of 0 in unconstrained coordinates, where parameters on a sensible scale lie
#: (Stan's choice).
REACH = 2.0

#: How often points of no density are drawn again.
TRIES = 100


def sample(
    log_prob: LogDensity,
    *,
    method: str | Method = "nuts",
    start: Shaped[Tensor, "chains *event"] | None = None,
    dim: int | None = None,
    chains: int | None = None,
    draws: int = 1000,
    warmup: int = 1000,
    generator: torch.Generator | None = None,
    progress: bool = True,
) -> Draws:
    r"""Draw from a density with Markov chains that tune themselves.

    A function is of points (n, \*event) and gives (n,), up to a constant. A distribution with a constrained support is
    sampled in unconstrained coordinates, with the log-determinant. A model is sampled in its own units, and the draws
    are decoded to storage form.

    Ctrl-C while drawing returns what is drawn (``diagnosis`` says so); in warm-up it is raised.

    Args:
        log_prob: what to sample.
        method: one of ``METHODS``, or a method object such as ``NUTS(acceptance=0.95)``.
        start: one point per chain in the user's space; their dtype and device are the run's. None draws points near 0
            in unconstrained coordinates.
        dim: the dimension of the points of a function, where there is no start.
        chains: how many; None takes as many as there are starts, or 4. Hundreds cost little more than a few, since all
            move as one batch.
        draws: kept per chain.
        warmup: iterations per chain to tune in, thrown away. With hundreds of chains 200 are plenty.
        generator: of all randomness; None is torch's default.
        progress: whether to show a bar, on a terminal only.

    Raises:
        InputError: if an argument is out of range, or the log-density cannot be sampled from these starts: it is NaN,
            not differentiable, of the wrong shape, or without mass there.

    Example:
        >>> rate = torch.distributions.Gamma(3.0, 2.0)  # on (0, inf), of mean 1.5
        >>> generator = torch.Generator().manual_seed(0)
        >>> x = sample(rate, chains=64, warmup=100, draws=100, generator=generator).flat()
        >>> bool((x > 0).all()), bool((x.mean() - 1.5).abs() < 0.1)
        (True, True)
    """
    chosen = _method(method)
    check_count(draws, "draws")
    if isinstance(warmup, bool) or not isinstance(warmup, int) or warmup < 0:
        raise InputError(f"warmup: got {warmup!r}, expected a whole number of at least 0")
    _check_start(start, chains)
    target = target_of(log_prob, start=start, dim=dim)
    x = starting_points(target, chains or 4, generator) if start is None else target.from_user(start.detach())
    target.check(x, gradient=chosen.needs_gradient)
    name = method if isinstance(method, str) else type(method).__name__
    return _drawn(target, x.clone(), chosen, name, warmup, draws, generator, progress)


def starting_points(
    target: Target, chains: int, generator: torch.Generator | None = None
) -> Float[Tensor, "chains dim"]:
    """Points of positive density, uniform on (-2, 2) in every unconstrained coordinate.

    Args:
        target: the density.
        chains: how many.
        generator: of the randomness.

    Raises:
        InputError: if a hundred tries find no density for one of them.

    Example:
        >>> target = Target(lambda x: torch.where(x[:, 0] > 0, -x[:, 0], -torch.inf), dim=1)
        >>> bool((starting_points(target, 100) > 0).all())
        True
    """
    check_count(chains, "chains")

    def points() -> Tensor:
        like = {"dtype": target.dtype, "device": target.device}
        return (2 * torch.rand(chains, target.dim, generator=generator, **like) - 1) * REACH

    x = points()
    for _ in range(TRIES):
        # A wrong shape or a NaN is for ``check`` to name; here only points without mass are replaced.
        empty = target.tried(x) == -torch.inf
        if not bool(empty.any()):
            return x
        x = torch.where(empty[:, None], points(), x)
    raise InputError(
        f"start: got None, and log_prob is -inf at all of {TRIES} points within {REACH:g} of 0, expected some of "
        "positive density; give points as start="
    )


def _drawn(
    target: Target,
    x: Tensor,
    method: Method,
    name: str,
    warmup: int,
    draws: int,
    generator: torch.Generator | None,
    progress: bool,
) -> Draws:
    """Run a method from these points, and put what it gives in the user's terms."""
    target.gradients = target.invalid = 0
    began = time.perf_counter()
    with _bar(name, progress) as report:
        run = method.run(target, x, warmup=warmup, draws=draws, generator=generator, report=report)
    seconds = time.perf_counter() - began
    wanted = run.settings.get("target_acceptance", getattr(method, "target_acceptance", None))
    return Draws(
        target.to_user(run.positions),
        run,
        method=name,
        seconds=seconds,
        asked=draws,
        target_acceptance=None if wanted is None else float(wanted),
        invalid=target.invalid,
    )


def _method(method: str | Method) -> Method:
    if isinstance(method, Method):
        return method
    if method not in METHODS:
        raise InputError(f"method: got {method!r}, expected one of {', '.join(METHODS)}, or a method object")
    return METHODS[method]()


def _check_start(start: Tensor | None, chains: int | None) -> None:
    if chains is not None:
        check_count(chains, "chains")
    if start is None:
        return
    if not isinstance(start, Tensor) or start.ndim == 0 or len(start) == 0:
        got = tuple(start.shape) if isinstance(start, Tensor) else type(start).__name__
        raise InputError(f"start: got {got}, expected a tensor of points, one per chain: (chains, ...)")
    if chains is not None and chains != len(start):
        raise InputError(f"start: got {len(start)} points for {chains} chains, expected one for each")
    if start.is_floating_point() and not bool(start.isfinite().all()):
        raise InputError("start: got a number that is not finite, expected finite ones")


@contextmanager
def _bar(name: str, wanted: bool) -> Iterator[Report]:
    """A progress bar on standard error, if that is a terminal; gives what to report to."""
    console = Console(stderr=True)
    if not wanted or not console.is_terminal:
        yield silent
        return
    columns = (TextColumn("[bold]{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(compact=True), console=console, refresh_per_second=4) as progress:
        task = progress.add_task(name, total=None)
        last = 0.0

        def report(done: int, total: int) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last > 0.1 or done == total:  # what the eye can follow
                last = now
                progress.update(task, completed=done, total=total)

        yield report
