# %% [markdown]
# # Change of variables
#
# Let $z$ be a random number with a known density, and $x = g(z)$. What is the density of $x$?
#
# **Mass is conserved.** What lies between $z$ and $z + dz$ ends up between $g(z)$ and $g(z + dz)$, on an interval of
# length $|g'(z)|\,dz$. The same mass on a longer interval is a lower density:
#
# $$p_x(x) = \frac{p_z(z)}{|g'(z)|}, \qquad x = g(z).$$
#
# If several $z$ lead to the same $x$, their contributions add up. That is the whole theory in one dimension.

# %%
import math

import matplotlib.pyplot as plt
import torch
from torch.distributions import Chi2, LogNormal, Normal

from pushforward.chapter import ACCENT, BLUE, GREEN, GREY, ORANGE, Chapter
from pushforward.probability.change_of_variables import (
    branch_log_prob,
    find_branches,
    pushed_log_prob,
    root_log_prob,
)
from pushforward.probability.nats import draw_points

chapter = Chapter("Change of variables")

# %% Try: change one number and run again.
slope, shift = -2.0, 1.0  # of the affine map; the density is divided by |slope|, its sign only mirrors
bend = 0.9  # of g(z) = z + bend * sin(2 z): above 0.5 the curve turns back and one x has several z
draws = chapter.size(100_000, smoke=5_000)
seed = torch.Generator().manual_seed(5)

# %%
normal = Normal(torch.tensor(0.0, dtype=torch.float64), 1.0)
z = draw_points(normal, draws, seed)


def wave(z):
    """Your function of one number, in torch operations; its derivative is found for you."""
    return z + bend * torch.sin(2 * z)


# %% [markdown]
# ## One-to-one: a straight line, and a curve
#
# In the figures the curve $g$ stands in the middle, the density of $z$ below it, and the density of $x$ on its left.
# Follow the shaded strips: each has the same mass below and on the left. Where the curve is steep the strip is spread
# out and the density low; where it is flat the strip is squeezed and the density high.

# %%


def picture(g, density_of_x, low, high, name, title, strips):
    """The density of z, the curve, and the density of x, with strips of equal mass."""
    grid = torch.linspace(-3.5, 3.5, 701, dtype=torch.float64)
    values = torch.linspace(low, high, chapter.size(1501, smoke=301), dtype=torch.float64)[1:-1] + 1e-7
    figure, axes = plt.subplots(
        2, 2, figsize=(6.8, 5.6), width_ratios=[1, 2.4], height_ratios=[2.4, 1], sharex="col", sharey="row"
    )
    left, middle, corner, below = axes.flat
    corner.axis("off")
    middle.plot(grid, g(grid), color=ACCENT)
    below.plot(grid, normal.log_prob(grid).exp(), color=BLUE)
    below.set(xlabel="$z$", ylabel="$p(z)$", ylim=(0, 0.45))
    density = density_of_x(values)
    left.hist(g(z), bins=120, range=(low, high), density=True, orientation="horizontal", color=BLUE, alpha=0.35)
    left.plot(density, values, color=ACCENT)
    limit = min(1.08 * float(density.max()), 2.2 * float(density.sort().values[int(0.97 * len(density))]) + 0.2)
    left.set(xlim=(limit, 0), xlabel="$p(x)$", ylabel="$x$", ylim=(low, high))
    for a, colour in zip(strips, (ORANGE, GREEN, GREY), strict=True):
        strip = (grid >= a) & (grid <= a + 0.25)
        below.fill_between(grid[strip], normal.log_prob(grid[strip]).exp(), color=colour, alpha=0.7, lw=0)
        ends = g(torch.tensor([a, a + 0.25], dtype=torch.float64)).sort().values
        middle.fill_betweenx(g(grid[strip]), -3.5, grid[strip], color=colour, alpha=0.25, lw=0)
        inside = (values >= ends[0]) & (values <= ends[1])
        left.fill_betweenx(values[inside], density[inside].clamp(max=limit), color=colour, alpha=0.6, lw=0)
    middle.set(title=title, xlim=(-3.5, 3.5))
    left.tick_params(labelbottom=True)
    below.tick_params(labelleft=True)
    chapter.show(figure, name)


def affine(z):
    """A straight line."""
    return slope * z + shift


def pushed(g):
    """The density of g(z) at values x, for a monotone g, by way of the z that leads there."""
    return lambda x: root_log_prob(normal, g, x, -8.0, 8.0).exp()


title = "$x = e^z$: steep on the right, so thin at the top"
picture(torch.exp, pushed(torch.exp), 0.0, 6.0, "13-monotone", title, strips=(-1.25, 0.0, 1.0))

x, log_prob = pushed_log_prob(normal, affine, z)
off = (log_prob - Normal(torch.tensor(shift, dtype=torch.float64), abs(slope)).log_prob(x)).abs().max()
chapter.known("affine, largest error of log p", off, 0, source="N(shift, slope^2)", within=1e-9)
x, log_prob = pushed_log_prob(normal, torch.exp, z)
off = (log_prob - LogNormal(torch.tensor(0.0, dtype=torch.float64), 1.0).log_prob(x)).abs().max()
chapter.known("exp, largest error of log p", off, 0, source="log-normal", within=1e-9)

# %% [markdown]
# ## Many-to-one: branches
#
# $x = z^2$ has two solutions, $z = \pm\sqrt{x}$. Each contributes $p(z) / |2 z|$:
#
# $$p(x) = \frac{p(\sqrt x) + p(-\sqrt x)}{2 \sqrt x},$$
#
# the chi-square density. Forgetting one of the two branches gives a density of mass 1/2, an error that no plot of its
# *shape* shows: integrate.

# %%
values = torch.linspace(0.05, 9, 400, dtype=torch.float64)
both = branch_log_prob(normal, torch.square, values, [torch.sqrt, lambda x: -x.sqrt()])
known = Chi2(torch.tensor(1.0, dtype=torch.float64)).log_prob(values)
chapter.known("square, largest error of log p", (both - known).abs().max(), 0, source="chi-square", within=1e-9)

logs = torch.linspace(-30, 4, 4001, dtype=torch.float64)  # x = e^s, to reach close to the singularity at 0
one = branch_log_prob(normal, torch.square, logs.exp(), [torch.sqrt]).exp() * logs.exp()
two = branch_log_prob(normal, torch.square, logs.exp(), [torch.sqrt, lambda x: -x.sqrt()]).exp() * logs.exp()
chapter.known("mass with one branch", torch.trapezoid(one, logs), 0.5, source="half of z is positive", within=1e-5)
chapter.known("mass with both branches", torch.trapezoid(two, logs), 1.0, source="a density has mass 1", within=1e-5)

# %% [markdown]
# ## Branches found for you
#
# For a $g$ without a formula for its inverse, cut the axis where $g'$ changes its sign. Between two cuts $g$ is
# monotone and the solution is found by bisection. The formula is the same sum. In the figure the upper two strips come
# from different $z$ and overlap in $x$: there the density is the sum of both, and of a third.
#
# At a turning point $g' = 0$: the curve lingers there, and the density is infinite. Its *area* is finite (it grows like
# $1/\sqrt{\text{distance}}$), so nothing is wrong with the distribution. It is the density that is a poor description
# there, and a model trained by its density would be drawn to such points.

# %%
reach = 3.4 + abs(bend)
title = f"$x = z + {bend:g}\\,\\sin 2z$: flat places pile up"
picture(wave, pushed(wave), -reach, reach, "13-many-to-one", title, strips=(0.0, 0.6, 1.6))

ends = torch.tensor([-0.5, 0.7], dtype=torch.float64)
inner = torch.linspace(float(ends[0]), float(ends[1]), chapter.size(20_002, smoke=2_002), dtype=torch.float64)[1:-1]
density = pushed(wave)(inner)
share = ((wave(z) > ends[0]) & (wave(z) < ends[1])).double()
error = float(share.std()) / math.sqrt(draws)
# The answer without any density: between neighbouring solutions of g = -0.5 and g = 0.7, add up the mass of z.
edges = find_branches(wave, ends, -8.0, 8.0)
edges = edges[~edges.isnan()].sort().values
middles = torch.cat([edges[:1] - 1, 0.5 * (edges[1:] + edges[:-1]), edges[-1:] + 1])
steps = normal.cdf(torch.cat([edges, edges.new_tensor([torch.inf])])) - normal.cdf(
    torch.cat([edges.new_tensor([-torch.inf]), edges])
)
mass = steps[(wave(middles) > ends[0]) & (wave(middles) < ends[1])].sum()
found = torch.trapezoid(density, inner)
chapter.known("P(-0.5 < x < 0.7), density summed", found, mass, source="mass of z", within=2e-2)
chapter.known("P(-0.5 < x < 0.7), draws", share.mean(), mass, source="mass of z that maps there", error=error)

# %% [markdown]
# ## What stays and what changes
#
# Expectations do not need any of this: $E f(x) = E f(g(z))$, just average over draws of $z$. The density of $x$ is
# needed when data come as $x$ and their likelihood is asked for. And the **entropy** changes by the mean log-stretch,
#
# $$H(x) = H(z) + E \log |g'(z)| \quad \text{(one-to-one)}.$$

# %%
stretch = torch.log(torch.exp(z))  # log |g'| of exp is z itself
entropy = normal.entropy() + stretch.mean()
chapter.known(
    "entropy of e^z",
    entropy,
    float(LogNormal(0.0, 1.0).entropy()),
    source="H(z) + E[z]",
    error=stretch.std() / math.sqrt(draws),
)

# %% [markdown]
# Next: the same in two dimensions, where length becomes area, $|g'|$ becomes the determinant of the Jacobian, and a
# learned $g$ becomes a normalizing flow.

# %%
chapter.end()
