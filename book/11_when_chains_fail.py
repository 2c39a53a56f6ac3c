# %% [markdown]
# # When chains fail, and what to do
#
# A Markov chain leaves its target as it is: once its draws are right, they stay right. That says nothing about how long
# it takes to *become* right. Two shapes make it take forever, and the treacherous thing about both is that the draws
# look fine:
#
# * **two far modes**: between them lies a valley of such low density that no chain crosses it;
# * **a funnel**: a target that is a hundredth wide at one end and a hundred at the other, so that no step size suits
#   both ends.
#
# In both cases a chain explores a *part* of the target perfectly. Whatever is computed from its draws, a diagnosis
# included, is about that part.

# %%
import math

import matplotlib.pyplot as plt
import torch
from torch import Tensor

from pushforward.chapter import ACCENT, BLUE, ORANGE, Chapter
from pushforward.sampling.chains import sample
from pushforward.sampling.diagnostics import rhat
from pushforward.sampling.multiscale import MultiscaleHMC
from pushforward.sampling.smc import sequential_monte_carlo
from pushforward.sampling.tempering import ParallelTempering

chapter = Chapter("When chains fail, and what to do")

# %% Try: change one number and run again.
apart = 20.0  # distance of the modes, in their own widths: at 4 the chains cross and nothing fails
share = 0.75  # of the mass at the right mode: no chain that cannot cross can know it
temperatures = 8  # 2: neighbours are too different to trade places, and the cold chains are stuck again
spread = 5.0  # of the step sizes in the funnel: at 0 they are all the same, and the neck is missed
draws = chapter.size(500, smoke=30)
generator = torch.Generator().manual_seed(11)  # another seed, other draws: the table says how far they may be off


# %% [markdown]
# ## Two far modes
#
# A mixture of two round Gaussians in the plane, 3/4 of the mass at the right one:
#
# $$\pi(x) = 3 \, e^{-|x - m|^2 / 2} + e^{-|x + m|^2 / 2}, \qquad \int \pi = 4 \cdot 2\pi .$$
#
# To cross, a chain of Hamiltonian Monte Carlo has to climb to the point halfway, where the density is $e^{-50}$ of that
# at a top when the modes are 20 widths apart. The energy for that comes from one random push, and one push in a
# thousand has more than 7 of the 50 that it takes. We start four chains at the left mode, and then four of which one is
# there.
# %%
def two_modes(x: Tensor) -> Tensor:
    """log pi, up to nothing: the integral is 2 pi / (1 - share)."""
    right = math.log(share / (1 - share)) - 0.5 * (x[:, 0] - apart / 2) ** 2
    left = -0.5 * (x[:, 0] + apart / 2) ** 2
    return torch.logaddexp(left, right) - 0.5 * x[:, 1] ** 2


def begin(signs: list[float]) -> Tensor:
    """One start per sign, at the right (+1) or the left (-1) mode."""
    x = torch.randn(len(signs), 2, generator=generator)
    x[:, 0] += torch.tensor(signs) * apart / 2
    return x


stuck = {}
for name, signs in {"all at the left": [-1.0] * 4, "one of four at the left": [-1.0, 1.0, 1.0, 1.0]}.items():
    run = sample(
        two_modes,
        method="nuts",
        start=begin(signs),
        warmup=chapter.size(300, smoke=20),
        draws=draws,
        generator=generator,
        progress=False,
    )
    stuck[name] = run.values
    right = (run.values[:, :, 0] > 0).double().mean()
    worst = float(rhat(run.values).max())
    print(f"NUTS, {name}: {right:.2f} of the draws at the right mode, R-hat {worst:.2f}")
    chapter.known(f"P(right), NUTS, {name}", right, share, source="weights of the mixture")

# %% [markdown]
# With all chains at the left, R-hat is near 1 and every draw is at the wrong place. With chains on both sides R-hat
# cries out, but the share is still that of the *starts*: three chains of four began at the right, and 0.75 comes out by
# that accident. More draws do not help, nor does a better step.
#
# ## Remedy one: parallel tempering
#
# Flatten the target: at *inverse temperature* $\beta$ between 0 and 1,
#
# $$\log \pi_\beta = (1 - \beta) \log r + \beta \log \pi,$$
#
# with a wide $r$. At $\beta = 0$ there is no valley. Run a chain at each of a ladder of temperatures and let neighbours
# **swap** their points with a Metropolis test; each temperature keeps its own distribution, and points wander along the
# ladder. A point goes up, crosses where there is no valley, and comes down on the other side.

# %%
hopping = sample(
    two_modes,
    method=ParallelTempering(temperatures=temperatures),
    start=begin([-1.0] * 16),
    warmup=chapter.size(300, smoke=60),
    draws=draws,
    generator=generator,
    progress=False,
)
at_right = (hopping.values[:, :, 0] > 0).double().mean(1)
chapter.known(
    "P(right), tempering, all from the left",
    at_right.mean(),
    share,
    source="weights of the mixture",
    error=float(at_right.std()) / math.sqrt(len(at_right)),
)

# %% [markdown]
# ## Remedy two: a population
#
# **Sequential Monte Carlo** takes thousands of points along the same ladder, all at once: weight them by the next step
# of the ladder, draw them anew by their weights, move them a little, go on. Nothing has to cross the valley: points are
# on both sides from the start, and the weights see to the shares. The mean weights multiply to something no chain
# gives: the integral $\int \pi$, here $2\pi / (1 - 0.75) = 8 \pi$. Its standard error comes from *islands* of points
# that never mix.

# %%
population = sequential_monte_carlo(
    two_modes, dim=2, particles=chapter.size(4096, smoke=512), moves=5, generator=generator
)
mean, error = population.mean((population.values[:, 0] > 0).double())
chapter.known("P(right), population", mean, share, source="weights of the mixture", error=float(error))
chapter.known(
    "log of the integral, population",
    population.log_z,
    math.log(2 * math.pi / (1 - share)),
    source="closed form",
    error=population.log_z_error,
)

# %%
figure, axes = plt.subplots(1, 3, figsize=(11, 3.3), gridspec_kw={"width_ratios": [1.3, 1.3, 1]})
for axis, values, title, colour in (
    (axes[0], stuck["one of four at the left"], "NUTS: a chain stays where it began", ORANGE),
    (axes[1], hopping.values[:4], "Tempering: the same target, swaps", BLUE),
):
    for chain in values[:, :, 0]:
        axis.plot(chain, color=colour, linewidth=0.6, alpha=0.8)
    axis.set(xlabel="draw", ylabel="$x_1$", title=title, ylim=(-apart, apart))
grid = torch.linspace(-apart, apart, 601)
exact = two_modes(torch.stack([grid, torch.zeros_like(grid)], 1)).exp() * (1 - share) / math.sqrt(2 * math.pi)
axes[2].hist(population.values[:, 0], bins=80, range=(-apart, apart), density=True, color=BLUE, alpha=0.45)
axes[2].plot(grid, exact, color=ACCENT)
axes[2].set(xlabel="$x_1$", ylabel="density", title="Population and exact density")
chapter.show(figure, "11-two-modes")

# %% [markdown]
# Both remedies have one condition: the wide distribution must cover all modes. Nothing finds a mode that nothing
# looks at.
#
# ## The funnel
#
# $$v \sim N(0, 3^2), \qquad x_i \mid v \sim N(0, e^v), \quad i = 1 \dots 9 .$$
#
# It is what a hierarchical model looks like when the data say little: v is the logarithm of a variance, the x are what
# has that variance. At v = -6 the x are some 0.05 wide, at v = 6 some 20. NUTS finds one step size for all of it. In
# the neck that step is too long, and whatever would lead further down is rejected.
#
# ### Remedy one: other coordinates
#
# Write $x_i = e^{v/2} z_i$ and sample $(v, z)$: ten independent Gaussians. This is the best remedy there is, *if* one
# knows what to divide by.
#
# ### Remedy two: all step sizes
#
# Draw the step size of each trajectory over orders of magnitude, blindly, so that detailed balance holds. Most
# are wrong anywhere; some are right everywhere. With hundreds of chains in one batch that waste is cheap.


# %%
def funnel(y: Tensor) -> Tensor:
    """log density of (v, x), up to a constant."""
    return -0.5 * (y[:, 0] / 3) ** 2 - 4.5 * y[:, 0] - 0.5 * (y[:, 1:] * torch.exp(-0.5 * y[:, :1])).square().sum(1)


def unfolded(y: Tensor) -> Tensor:
    """The same in (v, z): independent."""
    return -0.5 * (y[:, 0] / 3) ** 2 - 0.5 * y[:, 1:].square().sum(1)


few = chapter.size(400, smoke=15)
nuts = sample(funnel, method="nuts", dim=10, chains=4, warmup=few, draws=few, generator=generator, progress=False)
other = sample(
    unfolded,
    dim=10,
    method="chees",
    chains=64,
    warmup=chapter.size(200, smoke=60),
    draws=chapter.size(200, smoke=30),
    generator=generator,
    progress=False,
)
many = chapter.size(400, smoke=5)
wide = sample(
    funnel,
    dim=10,
    method=MultiscaleHMC(spread=spread),
    chains=chapter.size(256, smoke=32),
    warmup=many,
    draws=many,
    generator=generator,
    progress=False,
)
for sentence in nuts.diagnosis():
    print("NUTS on the funnel:", sentence)

# %%
v_nuts, v_other, v_wide = (run.values[:, :, 0].double() for run in (nuts, other, wide))
chapter.known("sd of v, NUTS as it is", v_nuts.std(), 3.0, source="definition of the funnel")
chapter.known(
    "E[v^2], other coordinates",
    v_other.square().mean(),
    9.0,
    source="definition of the funnel",
    error=float(v_other.square().mean(1).std()) / math.sqrt(len(v_other)),
)
# A short run has not forgotten where it began.
chapter.known(
    "sd of v, all step sizes",
    v_wide.std(),
    3.0,
    source="definition of the funnel",
    within=None if chapter.smoke else 0.3,
)
chapter.known(
    "P(v < -6), NUTS as it is",
    (v_nuts < -6).double().mean(),
    0.02275,
    source="normal distribution",
)
chapter.known(
    "P(v < -6), all step sizes",
    (v_wide < -6).double().mean(),
    0.02275,
    source="normal distribution",
    within=None if chapter.smoke else 0.012,
)

# %%
figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), gridspec_kw={"width_ratios": [1, 1, 1.2]})
for axis, run, title, colour in (
    (axes[0], nuts, "NUTS: the neck is cut off", ORANGE),
    (axes[1], wide, "All step sizes", BLUE),
):
    points = run.values.reshape(-1, 10)
    points = points[torch.randperm(len(points), generator=generator)[:4000]]
    axis.scatter(points[:, 1] * torch.exp(-points[:, 0] / 2), points[:, 0], s=2, color=colour, alpha=0.4, linewidths=0)
    axis.axhline(-6, color=ACCENT, linewidth=0.8, linestyle=":")
    axis.set(xlabel=r"$x_1 e^{-v/2}$", ylabel="$v$", title=title, xlim=(-4, 4), ylim=(-11, 11))
levels = torch.linspace(-11, 11, 401)
for values, label, colour in ((v_nuts, "NUTS", ORANGE), (v_wide, "all step sizes", BLUE)):
    axes[2].hist(
        values.flatten(),
        bins=60,
        range=(-11, 11),
        density=True,
        histtype="step",
        color=colour,
        label=label,
        linewidth=1.4,
    )
axes[2].plot(levels, torch.exp(-0.5 * (levels / 3) ** 2) / (3 * math.sqrt(2 * math.pi)), color=ACCENT, label="exact")
axes[2].set(xlabel="$v$", ylabel="density", title="What is left of $v$")
axes[2].legend(loc="upper right")
chapter.show(figure, "11-funnel")

# %% [markdown]
# In the figure the x are divided by their own width, so that neck and mouth can be seen at one scale. What is missing
# at the bottom is a percent or two of the probability, and the mean of anything that lives there is wrong.
#
# **What to remember.** Start chains far apart, for a chain cannot report what it has not seen. For several modes take
# temperatures or a population. For a funnel change coordinates, or the step size with every trajectory. And test a
# method on a target like yours with a known answer, as here.

# %%
chapter.end()
