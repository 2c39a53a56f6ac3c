# %% [markdown]
# # Inverse-transform sampling
#
# A computer gives uniform numbers $u$ on $(0, 1)$. The **distribution function** $F(x) = P(X \le x)$ climbs from 0 to
# 1, and read backwards, it turns them into draws of anything on a line:
#
# $$x = F^{-1}(u), \qquad P(F^{-1}(U) \le x) = P(U \le F(x)) = F(x).$$
#
# Throw $u$ on the vertical axis, go right until the curve, go down. Where $F$ is steep a long stretch of $u$ lands on a
# short one of $x$: many draws. Steepness *is* the density, $F' = p$.

# %%
import math

import matplotlib.pyplot as plt
import torch

from pushforward.chapter import ACCENT, BLUE, GREY, ORANGE, Chapter
from pushforward.probability.weights import monte_carlo_mean
from pushforward.sampling.inverse import inverse_transform, invert_cdf, tabulate_cdf

chapter = Chapter("Inverse-transform sampling")

# %% Try: change one number and run again.
rate = 1.5  # of the exponential: larger, and the draws crowd at 0
peaks = 3  # of the wavy density: F gets as many steep parts
points = 41  # of the table: with 11 the curve between them is a guess, with 1001 it is exact to the eye
draws = chapter.size(100_000, smoke=5_000)
seed = torch.Generator().manual_seed(0)  # another seed, other draws: the table says how far they may be off

# %% [markdown]
# ## With a formula
#
# For an exponential, $F(x) = 1 - e^{-\lambda x}$, which is solved for $x$ by hand:
# $F^{-1}(u) = -\log(1 - u) / \lambda$. Equally spaced $u$ show at once what happens: their images are dense where
# $p$ is high.


# %%
def exponential_quantile(u: torch.Tensor) -> torch.Tensor:
    return -torch.log1p(-u) / rate


x = inverse_transform(exponential_quantile, draws, generator=seed)
grid = torch.linspace(0, 5 / rate, 400, dtype=torch.float64)

figure, (upper, lower) = plt.subplots(2, 1, figsize=(7, 5.2), sharex=True, height_ratios=(3, 2))
for u in torch.arange(0.05, 1, 0.1, dtype=torch.float64):
    foot = float(exponential_quantile(u))
    upper.plot([0, foot, foot], [float(u), float(u), 0], color=GREY, linewidth=0.8)
    upper.plot(foot, 0, marker="v", color=BLUE, markersize=5, clip_on=False)
upper.plot(grid, -torch.expm1(-rate * grid), color=ACCENT)
upper.set(ylabel="$u = F(x)$", ylim=(0, 1), title="Even steps of $u$ become uneven steps of $x$")
lower.hist(x.numpy(), bins=80, range=(0, 5 / rate), density=True, color=BLUE, alpha=0.45, label="draws")
lower.plot(grid, rate * torch.exp(-rate * grid), color=ACCENT, label=r"density $\lambda e^{-\lambda x}$")
lower.set(xlabel="$x$", ylabel="density (per unit of $x$)", xlim=(0, 5 / rate))
lower.legend()
chapter.show(figure, "07-exponential")

mean, error = monte_carlo_mean(x)
chapter.known("E[x], exponential", float(mean), 1 / rate, source="1 / rate", error=float(error))
square, error = monte_carlo_mean((x - 1 / rate) ** 2)
chapter.known("Var[x], exponential", float(square), 1 / rate**2, source="1 / rate^2", error=float(error))

# %% [markdown]
# ## Without a formula: solve $F(x) = u$
#
# Most $F$ cannot be inverted by hand, that of the Gaussian among them. But $F$ never falls, so its root is easy: keep
# a **bracket** $F(\text{low}) < u \le F(\text{high})$, take **Newton** steps $x - (F(x) - u) / p(x)$, and halve the
# bracket whenever such a step leaves it. Thousands of roots are solved at once. (An $F$ that falls somewhere is an
# error: there is no such thing.)
#
# Here: two Gaussians of different widths. The sum of two distribution functions is easy, its inverse is not.


# %%
def mixture_cdf(x: torch.Tensor) -> torch.Tensor:
    return 0.3 * torch.special.ndtr((x + 2) / 0.5) + 0.7 * torch.special.ndtr(x - 1)


def mixture_density(x: torch.Tensor) -> torch.Tensor:
    bell = [torch.exp(-0.5 * z**2) / math.sqrt(2 * math.pi) for z in ((x + 2) / 0.5, x - 1)]
    return 0.3 * bell[0] / 0.5 + 0.7 * bell[1]


mixed = inverse_transform(lambda u: invert_cdf(mixture_cdf, u, density=mixture_density), draws, generator=seed)
mean, error = monte_carlo_mean(mixed)
chapter.known(
    "E[x], two Gaussians", float(mean), 0.3 * -2 + 0.7 * 1, source="sum of weight times mean", error=float(error)
)
below, error = monte_carlo_mean((mixed < -1).double())
known = float(mixture_cdf(torch.tensor(-1.0, dtype=torch.float64)))
chapter.known("P(x < -1), two Gaussians", float(below), known, source="F(-1)", error=float(error))
inner = torch.linspace(0.001, 0.999, 999, dtype=torch.float64)
round_trip = float((mixture_cdf(invert_cdf(mixture_cdf, inner, density=mixture_density)) - inner).abs().max())
chapter.known("largest |F(F^-1(u)) - u|", round_trip, 0.0, source="definition of the inverse", within=1e-13)

# %% [markdown]
# ## Without $F$: add up the density
#
# If only the density is known, and perhaps not even its constant, areas of narrow strips added up give $F$ at the
# edges of the strips. Between them it is filled in: by **straight lines**, which makes the density a staircase, or by
# **monotone cubics**, which bend but never fall. An ordinary cubic spline may overshoot and fall, and then there is no
# inverse.
#
# Look at the density that each table implies (the slope of its $F$). It is what the draws will have, so a coarse table
# draws from the wrong density, without any error message.


# %%
def log_wavy(x: torch.Tensor) -> torch.Tensor:
    """On (0, 1); its integral is 1, since the wave averages out."""
    return torch.log1p(0.9 * torch.cos(2 * math.pi * peaks * x))


table = tabulate_cdf(log_wavy, 0.0, 1.0, points=points)
staircase = tabulate_cdf(log_wavy, 0.0, 1.0, points=points, interpolation="linear")
wavy = inverse_transform(table.quantile, draws, generator=seed)
grid = torch.linspace(0, 1, 1001, dtype=torch.float64)

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6))
left.hist(mixed.numpy(), bins=100, range=(-4, 5), density=True, color=BLUE, alpha=0.45, label="draws")
line = torch.linspace(-4, 5, 500, dtype=torch.float64)
left.plot(line, mixture_density(line), color=ACCENT, label="density")
left.set(
    xlabel="$x$", ylabel="density (per unit of $x$)", title="$F(x) = u$ solved by Newton and halving", ylim=(0, 0.42)
)
left.legend(loc="upper right")
right.plot(grid, staircase.density(grid), color=ORANGE, linewidth=1.1, label=f"lines between {points} points")
right.plot(grid, table.density(grid), color=BLUE, label="monotone cubics")
right.plot(grid, log_wavy(grid).exp(), color=ACCENT, linewidth=1, linestyle="--", label="density")
right.set(xlabel="$x$", ylabel="slope of the tabulated $F$", title="What a table of $F$ draws from", ylim=(0, 2.7))
right.legend(loc="upper center", ncols=2, fontsize=8)
chapter.show(figure, "07-numeric-and-tabulated")

wave, error = monte_carlo_mean(torch.cos(2 * math.pi * peaks * wavy))
chapter.known("E[cos(2 pi k x)], wavy density", float(wave), 0.45, source="0.9 / 2, by integration", error=float(error))

# %% [markdown]
# ## What to take along
#
# - One uniform number, one draw: no proposal is wasted, and nothing is approximate but the inversion itself.
# - It is a method for **one** dimension. In more there is no $F^{-1}$; one goes coordinate by coordinate (chapter 16),
#   or accepts some waste (chapter 8).

# %%
chapter.end()
