"""Accuracy per second against the NUTS of numpyro and blackjax, on targets whose moments are known.

    python benchmarks/mcmc.py [--seeds 10] [--target gaussian] [--threads 2]

Sides take turns, seed by seed, in one process. The figure of merit is the *true* effective sample size: the variance of
a coordinate (or of its square) over the mean squared error of its estimated mean over the seeds, with the ratios MSE /
variance averaged over the coordinates; the smaller of the two for means and squares. No estimate from within a chain
enters. It is divided by the median seconds of a run, warm-up included ("run"), and by the same with what the first
run took longer, which is compilation ("all in"); nothing of ours is compiled.

* gaussian: 100 dimensions, condition number 100, randomly rotated.
* logistic: 30 standardised features of scikit-learn's breast-cancer data and an intercept, prior N(0, 1); the truth is
  a run of ChEES-HMC of half a million draws.
* banana: x ~ N(1, 10), y | x ~ N(x^2, 0.1), so that E[y] = 11; wanted within 5 %, median of the seeds.
* funnel: v ~ N(0, 9), nine x | v ~ N(0, e^v), as it is (centred); wanted: sd of v within 5 % and |E v| at most 0.15.

The peers run as their users would: 4 chains, 1,000 draws after 1,000 of warm-up, started uniformly in (-2, 2);
numpyro's chains in parallel on 4 host devices, blackjax's vectorised; float32 as ours. Ours: many chains, few draws.
"""

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer

from pushforward.sampling.chains import sample
from pushforward.sampling.multiscale import MultiscaleHMC
from pushforward.sampling.smc import sequential_monte_carlo

CHAINS, WARMUP, DRAWS = 4, 1000, 1000

#: A run: from a seed to draws (n, dim) in numpy.
Side = Callable[[int], np.ndarray]


class Problem(NamedTuple):
    """A target in torch and in jax, and what is known of it."""

    name: str
    dim: int
    torch_log_prob: Callable[[torch.Tensor], torch.Tensor]
    jax_log_prob: Callable
    mean: np.ndarray
    variance: np.ndarray
    square: np.ndarray
    square_variance: np.ndarray


# --- the targets -------------------------------------------------------------------------------------------------


def gaussian() -> Problem:
    """Rotated; E[x^4] - E[x^2]^2 = 2 var^2 in every coordinate."""
    import jax.numpy as jnp

    axes = np.linalg.qr(np.random.default_rng(0).normal(size=(100, 100)))[0]
    variances = np.logspace(-1, 1, 100)
    precision = ((axes / variances) @ axes.T).astype(np.float32)
    diagonal = ((axes * variances) @ axes.T).diagonal()
    for_torch, for_jax = torch.from_numpy(precision), jnp.asarray(precision)
    return Problem(
        "gaussian",
        100,
        lambda x: -0.5 * ((x @ for_torch) * x).sum(1),
        lambda x: -0.5 * x @ (for_jax @ x),
        np.zeros(100),
        diagonal,
        diagonal,
        2 * diagonal**2,
    )


def logistic() -> Problem:
    """The truth from a long run."""
    import jax
    import jax.numpy as jnp

    data = load_breast_cancer()
    x = (data.data - data.data.mean(0)) / data.data.std(0)
    x = np.c_[x, np.ones(len(x))].astype(np.float32)
    signed = x * (2 * data.target[:, None] - 1).astype(np.float32)
    for_torch, for_jax = torch.from_numpy(signed).T.contiguous(), jnp.asarray(signed)

    def torch_log_prob(w: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.logsigmoid(w @ for_torch).sum(1) - 0.5 * w.square().sum(1)

    def jax_log_prob(w: object) -> object:
        return jax.nn.log_sigmoid(for_jax @ w).sum() - 0.5 * (w * w).sum()

    began = time.perf_counter()
    generator = torch.Generator().manual_seed(2**20)
    run = sample(
        torch_log_prob, dim=31, method="chees", chains=500, draws=1000, warmup=200, generator=generator, progress=False
    )
    w = run.flat().double().numpy()
    print(f"logistic: truth from {len(w):,} draws in {time.perf_counter() - began:.0f} s")
    squares = w**2
    return Problem("logistic", 31, torch_log_prob, jax_log_prob, w.mean(0), w.var(0), squares.mean(0), squares.var(0))


def banana() -> Problem:
    """Moments of x ~ N(1, 10) up to the eighth: y = x^2 + e with e ~ N(0, 0.1)."""
    import jax.numpy as jnp

    nodes, weights = np.polynomial.hermite_e.hermegauss(40)  # exact to degree 79
    x, weights = 1 + math.sqrt(10) * nodes, weights / weights.sum()
    moment = [float(weights @ x**k) for k in range(9)]
    y2 = moment[4] + 0.1
    y4 = moment[8] + 6 * moment[4] * 0.1 + 3 * 0.01
    return Problem(
        "banana",
        2,
        lambda x: -0.05 * (x[:, 0] - 1) ** 2 - 5 * (x[:, 1] - x[:, 0] ** 2) ** 2,
        lambda x: -0.05 * (x[0] - 1) ** 2 - 5 * (x[1] - jnp.square(x[0])) ** 2,
        np.array([1.0, 11.0]),
        np.array([10.0, y2 - 121.0]),
        np.array([11.0, y2]),
        np.array([moment[4] - 121.0, y4 - y2**2]),
    )


def funnel() -> Problem:
    """Only v is judged: the squares of x have a variance that no run of any length can estimate."""
    import jax.numpy as jnp

    return Problem(
        "funnel",
        10,
        lambda x: -(x[:, 0] ** 2) / 18 - 4.5 * x[:, 0] - 0.5 * x[:, 1:].square().sum(1) * (-x[:, 0]).exp(),
        lambda x: -(x[0] ** 2) / 18 - 4.5 * x[0] - 0.5 * jnp.square(x[1:]).sum() * jnp.exp(-x[0]),
        np.zeros(1),
        np.array([9.0]),
        np.array([9.0]),
        np.array([2 * 81.0]),
    )


# --- the sides ---------------------------------------------------------------------------------------------------


def ours(problem: Problem, threads: int) -> dict[str, Side]:
    """One or two of our methods; which, is a matter of the kind of target and of nothing in it."""

    def chains(method: str | MultiscaleHMC, chains: int, warmup: int, draws: int, most: int = threads) -> Side:
        def run(seed: int) -> np.ndarray:
            torch.set_num_threads(min(most, threads))
            drawn = sample(
                problem.torch_log_prob,
                dim=problem.dim,
                method=method,
                chains=chains,
                warmup=warmup,
                draws=draws,
                generator=torch.Generator().manual_seed(seed),
                progress=False,
            )
            return drawn.flat().numpy()

        return run

    def population(seed: int) -> np.ndarray:
        torch.set_num_threads(threads)
        generator = torch.Generator().manual_seed(seed)
        found = sequential_monte_carlo(
            problem.torch_log_prob, dim=problem.dim, particles=16384, islands=32, keep=0.9, generator=generator
        )
        rows = torch.multinomial(found.log_weights.exp(), len(found.values), replacement=True, generator=generator)
        return found.values[rows].numpy()

    match problem.name:
        case "banana":
            return {"smc, 16,384 particles": population}
        case "funnel":
            # Ten coordinates are too few for a second thread to be of use.
            return {"multiscale hmc, 1024 chains": chains(MultiscaleHMC(), 1024, 300, 150, most=1)}
        case _:
            return {
                "chees, 256 chains": chains("chees", 256, 100, 400),
                "mams, 256 chains": chains("mams", 256, 100, 400),
            }


def numpyro_nuts(problem: Problem) -> Side:
    """Chains in parallel, one object for all seeds."""
    import jax
    from numpyro.infer import MCMC, NUTS

    kernel = NUTS(potential_fn=lambda x: -problem.jax_log_prob(x))
    mcmc = MCMC(
        kernel,
        num_warmup=WARMUP,
        num_samples=DRAWS,
        num_chains=CHAINS,
        chain_method="parallel",
        progress_bar=False,
    )

    def run(seed: int) -> np.ndarray:
        key, start = jax.random.split(jax.random.PRNGKey(seed))
        mcmc.run(key, init_params=jax.random.uniform(start, (CHAINS, problem.dim), minval=-2.0, maxval=2.0))
        return np.asarray(mcmc.get_samples())

    return run


def blackjax_nuts(problem: Problem) -> Side:
    """Window adaptation and draws of all chains in one compiled function."""
    import blackjax
    import jax

    adaptation = blackjax.window_adaptation(blackjax.nuts, problem.jax_log_prob)

    def chain(key: object, start: object) -> object:
        first, second = jax.random.split(key)
        (state, settings), _ = adaptation.run(first, start, num_steps=WARMUP)
        step = blackjax.nuts(problem.jax_log_prob, **settings).step

        def one(state: object, key: object) -> tuple[object, object]:
            state, _ = step(key, state)
            return state, state.position

        return jax.lax.scan(one, state, jax.random.split(second, DRAWS))[1]

    compiled = jax.jit(jax.vmap(chain))

    def run(seed: int) -> np.ndarray:
        key, start = jax.random.split(jax.random.PRNGKey(seed))
        starts = jax.random.uniform(start, (CHAINS, problem.dim), minval=-2.0, maxval=2.0)
        return np.asarray(compiled(jax.random.split(key, CHAINS), starts)).reshape(-1, problem.dim)

    return run


# --- the measurement ---------------------------------------------------------------------------------------------


class Result(NamedTuple):
    """Of one side: estimates per seed, and seconds per run."""

    means: np.ndarray
    squares: np.ndarray
    spreads: np.ndarray
    seconds: list[float]

    @property
    def run(self) -> float:
        """Median seconds of a run that is compiled."""
        return statistics.median(self.seconds[1:] or self.seconds)

    @property
    def all_in(self) -> float:
        """The same with the compilation of the first."""
        return max(self.seconds[0], self.run)


def measure(problem: Problem, sides: dict[str, Side], seeds: int) -> dict[str, Result]:
    """Sides take turns, seed by seed."""
    found: dict[str, list[tuple[np.ndarray, ...]]] = {name: [] for name in sides}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    judged = len(problem.mean)
    for seed in range(seeds):
        for name, side in sides.items():
            began = time.perf_counter()
            draws = side(seed)
            seconds[name].append(time.perf_counter() - began)
            x = draws[:, :judged].astype(np.float64)
            found[name].append((x.mean(0), np.square(x).mean(0), x.std(0)))
    return {
        name: Result(*(np.stack(part) for part in zip(*rows, strict=True)), seconds[name])
        for name, rows in found.items()
    }


def effective(problem: Problem, result: Result) -> float:
    """True effective sample size."""
    errors = (
        (result.means - problem.mean) ** 2 / problem.variance,
        (result.squares - problem.square) ** 2 / problem.square_variance,
    )
    return float(min(1 / error.mean() for error in errors))


def report(problem: Problem, results: dict[str, Result]) -> None:
    """One line per side, one for the bar."""
    for name, result in results.items():
        ess = effective(problem, result)
        extra = ""
        if problem.name == "banana":
            extra = f"  E[y] {np.median(result.means[:, 1]):.2f} (11)"
        if problem.name == "funnel":
            centre = np.median(np.abs(result.means[:, 0]))
            extra = f"  sd v {np.median(result.spreads[:, 0]):.2f} (3)  |E v| {centre:.2f} (0)"
        print(
            f"{problem.name:<9} {name:<28} run {result.run:6.2f} s  all in {result.all_in:6.2f} s  "
            f"true ESS {ess:8.0f}  per s {ess / result.run:8.0f}  all in {ess / result.all_in:8.0f}{extra}",
            flush=True,
        )
    mine = [name for name in results if "NUTS" not in name]
    peers = [name for name in results if "NUTS" in name]
    best = max(mine, key=lambda name: effective(problem, results[name]) / results[name].run)
    if not peers:
        return
    for what in ("run", "all_in"):
        rate = {name: effective(problem, result) / getattr(result, what) for name, result in results.items()}
        ratio = rate[best] / max(rate[name] for name in peers)
        longest = getattr(results[best], what) / min(getattr(results[name], what) for name in peers)
        print(f"  {best} / best peer, {what}: accuracy per second x {ratio:.2f}, time x {longest:.2f}", flush=True)


def main() -> int:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    problems = {f.__name__: f for f in (gaussian, logistic, banana, funnel)}
    parser.add_argument("--target", choices=list(problems), action="append")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-peers", action="store_true")
    given = parser.parse_args()
    if not given.no_peers:
        import numpyro

        numpyro.set_host_device_count(CHAINS)  # before jax looks at the machine
    torch.set_num_threads(given.threads)
    for name in given.target or problems:
        problem = problems[name]()
        sides = ours(problem, given.threads)
        if not given.no_peers:
            sides |= {"numpyro NUTS": numpyro_nuts(problem), "blackjax NUTS": blackjax_nuts(problem)}
        report(problem, measure(problem, sides, given.seeds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
