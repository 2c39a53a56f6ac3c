# %% [markdown]
# # Expectation, variance, covariance
#
# The **expectation** $E f(x) = \int f(x)\,p(x)\,dx$ is the mean of $f$, weighted by how likely each $x$ is. Variance
# and covariance are expectations of products of deviations:
#
# $$\operatorname{Var} x = E (x - E x)^2, \qquad \operatorname{Cov}(x, y) = E (x - E x)(y - E y).$$
#
# There are two ways to compute one. On a **grid**: sum density times function over all cells. From **draws**: average
# the function over random points, without any grid at all. The first is exact to many digits and hopeless in many
# dimensions; the second is rough everywhere, and its roughness can be *measured*.

# %%
import math

import matplotlib.pyplot as plt
import torch

from pushforward.chapter import ACCENT, BLUE, GREY, ORANGE, Chapter
from pushforward.probability.distributions import Banana
from pushforward.probability.joint import Joint
from pushforward.probability.monte_carlo import expectation, sample_covariance
from pushforward.probability.nats import draw_points

chapter = Chapter("Expectation, variance, covariance")

# %% Try: change one number and run again.
curvature = 0.6  # 0: no bend and a mean of y of 0; the covariance of x and y is 0 whatever it is
width = 0.5  # how thick the banana is: it adds to the variance of y only
draws = chapter.size(100_000, smoke=4_000)  # four times as many: half the error
repeats = chapter.size(400, smoke=100)  # how many times the experiment is repeated to see its spread
seed = torch.Generator().manual_seed(1)

# %% [markdown]
# ## The same numbers, from a grid and from draws
#
# The example is a banana: $x \sim N(0, 1)$ and $y = b x^2 + w \varepsilon$ with independent standard normal
# $\varepsilon$. Everything is known: $E y = b$ (because $E x^2 = 1$), $\operatorname{Var} y = 2 b^2 + w^2$ (because
# $\operatorname{Var} x^2 = 2$), and $\operatorname{Cov}(x, y) = b\,E x^3 = 0$.
#
# So *y is made from x* and yet they are uncorrelated: covariance sees straight lines only. Chapter 4 finds the measure
# that sees everything.

# %%
banana = Banana(scale=torch.tensor(1.0, dtype=torch.float64), curvature=curvature, width=width)
top = abs(curvature) * 36 + 8 * width
axes = {
    "x": torch.linspace(-6, 6, 301, dtype=torch.float64),
    "y": torch.linspace(-top, top, 1201, dtype=torch.float64),
}
joint = Joint.of(banana, axes)
points = draw_points(banana, draws, seed)
mean_y, error_y = expectation(lambda v: v[:, 1], banana, draws, generator=seed)
covariance, error = sample_covariance(points)

figure, axis = plt.subplots(figsize=(6.2, 4.6))
axis.scatter(*points[:2500].T, s=4, lw=0, color=BLUE, alpha=0.4)
axis.plot(*points.mean(0), marker="+", ms=18, mew=2.4, ls="none", color=ORANGE, label="mean")
line = torch.linspace(-4, 4, 200)
axis.plot(line, curvature * line**2, color=ACCENT, lw=1.2, label=r"$E[y \mid x] = b x^2$")
slope = float(covariance[0, 1] / covariance[0, 0])
axis.plot(line, mean_y + slope * line, "--", color=ORANGE, lw=1.4, label=f"best straight line, slope {slope:.2f}")
axis.set(xlabel="$x$", ylabel="$y$", title="The line sees nothing", ylim=(-3 * width, 9 * abs(curvature) + 4 * width))
axis.legend(loc="upper center")
chapter.show(figure, "02-banana")

chapter.known("E[y] on the grid", joint.mean[1], curvature, source="b E[x^2] = b", within=1e-6)
chapter.known("Var[y] on the grid", joint.variance[1], 2 * curvature**2 + width**2, source="2 b^2 + w^2", within=1e-6)
chapter.known("Cov[x, y] on the grid", joint.covariance[0, 1], 0.0, source="b E[x^3] = 0", within=1e-9)
chapter.known("E[y] from draws", mean_y, curvature, source="b", error=error_y)
chapter.known(
    "Var[y] from draws", covariance[1, 1], 2 * curvature**2 + width**2, source="2 b^2 + w^2", error=error[1, 1]
)
chapter.known("Cov[x, y] from draws", covariance[0, 1], 0.0, source="0", error=error[0, 1])
chapter.known(
    "E[x^2 y] on the grid",
    joint.expectation(lambda x, y: x**2 * y),
    3 * curvature,
    source="b E[x^4] = 3 b",
    within=1e-5,
)

# %% [markdown]
# ## How wrong is an average of n draws?
#
# The mean of $n$ independent draws has itself a mean (the right one: it is *unbiased*) and a standard deviation, the
# **standard error** $\sigma / \sqrt n$. The dimension does not appear, which is why sampling wins where grids cannot
# go.
#
# Left: averages of growing $n$ fall into a funnel of two standard errors. Right: in many repeats of the whole
# experiment the interval *estimate $\pm$ 1.96 standard errors* covers the truth about 95 times in 100. That is all that
# such an interval promises, and it should be checked like any other promise.

# %%
sizes = torch.tensor([2**k for k in range(4, 17)])
sizes = sizes[sizes <= draws]
paths = 12
y = draw_points(banana, int(sizes[-1]) * paths, seed)[:, 1].reshape(paths, -1)
running = y.cumsum(1)[:, sizes - 1] / sizes
spread = math.sqrt(2 * curvature**2 + width**2)

n_small = 500
many = draw_points(banana, n_small * repeats, seed)[:, 1].reshape(repeats, n_small)
estimate, its_error = many.mean(1), many.std(1) / math.sqrt(n_small)
covers = (estimate - curvature).abs() < 1.96 * its_error

figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.8))
left.semilogx(sizes, running.T, color=BLUE, alpha=0.5, lw=1)
for sign in (-2, 2):
    left.semilogx(sizes, curvature + sign * spread / sizes.sqrt(), color=ACCENT, lw=1.4)
left.axhline(curvature, color=GREY, lw=1)
left.set(xlabel="number of draws $n$", ylabel="mean of $y$", title=r"Averages stay within $b \pm 2 \sigma / \sqrt{n}$")
shown = min(repeats, 60)
for i in range(shown):
    colour = BLUE if covers[i] else ORANGE
    half = 1.96 * float(its_error[i])
    right.plot([estimate[i] - half, estimate[i] + half], [i, i], color=colour, lw=1.6)
right.axvline(curvature, color=ACCENT, lw=1.2)
right.set(xlabel="interval for $E[y]$", ylabel="repeat", title=f"{int(covers.sum())} of {repeats} cover the truth")
chapter.show(figure, "02-standard-error")

chapter.known(
    "share of intervals that cover",
    covers.double().mean(),
    0.95,
    source="central limit theorem",
    error=math.sqrt(0.95 * 0.05 / repeats),
)
chapter.known(
    "spread of the estimates x sqrt(n)",
    estimate.std() * math.sqrt(n_small),
    spread,
    source="sigma",
    error=spread / math.sqrt(2 * repeats),
)

# %% [markdown]
# ## What goes wrong
#
# The interval trusts the spread it sees. When rare, huge values carry the mean (the weights of chapter 12), most
# repeats have not seen one yet: their estimate is too small *and* their error is too small. A small standard error is a
# statement about the draws, never about what they missed.

# %%
chapter.end()
