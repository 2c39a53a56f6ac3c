# %% [markdown]
# # Marginal and conditional densities
#
# A joint density $p(x, y)$ answers every question about two variables. Two of them come up all the time:
#
# * **marginal**: what is known about $x$ when $y$ is unseen? Add up over all y: $p(x) = \int p(x, y)\,dy$.
# * **conditional**: what is known about $x$ once $y$ is seen? Cut the joint at that $y$ and make the area of the cut 1
#   again: $p(x \mid y) = p(x, y) / p(y)$.
#
# Looking at the table of a joint density on a grid, a marginal is a sum of columns and a conditional is one column,
# rescaled. That is all there is to it.

# %%
import matplotlib.pyplot as plt
import torch

from pushforward.chapter import ACCENT, BLUE, GREEN, ORANGE, Chapter
from pushforward.core.noise import Noise
from pushforward.probability.joint import Joint
from pushforward.probability.targets import GaussianMixture

chapter = Chapter("Marginal and conditional densities")

# %% Try: change one number and run again.
seen = 0.5  # the y at which the joint is cut: from -1.5 to 1.5 the weight moves from one hill to the other
weights = [0.4, 0.6]  # of the two hills; they must sum to 1
correlation = 0.8  # within the first hill: with 0 its centre in the cut stays where it is for every y
nodes = chapter.size(401, smoke=201)  # per axis; half as many already give the same digits

# %% [markdown]
# ## A joint density with two hills
#
# It is a mixture of two Gaussians, so that marginals and conditionals are known in closed form as well: they are again
# mixtures. The means of a conditional follow the *regression line* of each hill, and its weights change with how well
# each hill explains what was seen.

# %%
mixture = GaussianMixture(
    torch.tensor(weights, dtype=torch.float64),
    torch.tensor([[-1.2, -0.5], [1.3, 0.6]], dtype=torch.float64),
    torch.tensor([[[0.6, 0.6 * correlation], [0.6 * correlation, 0.6]], [[0.15, -0.05], [-0.05, 0.5]]]).double(),
)
grid = torch.linspace(-6, 6, nodes, dtype=torch.float64)
joint = Joint.of(mixture.log_density, {"x": grid, "y": grid})
marginal = joint.marginal("x")
cut = joint.conditional({"y": seen})
exact_marginal = mixture.marginal([0])
exact_cut = mixture.conditional([1], torch.tensor([seen], dtype=torch.float64))

# %%
figure, axes = plt.subplots(2, 2, figsize=(7.6, 7.6), width_ratios=[3, 1.3], height_ratios=[1.3, 3], sharex="col")
over, corner, main, beside = axes.flat
corner.axis("off")
main.contourf(grid, grid, joint.density.T, levels=14)
main.axhline(seen, color=ORANGE, lw=1.6)
main.annotate(f"$y = {seen}$ is seen", (-2.95, seen), xytext=(0, 4), textcoords="offset points", color=ORANGE)
main.set(xlabel="$x$", ylabel="$y$", xlim=(-3, 3), ylim=(-3, 3))
over.plot(grid, marginal.density, color=BLUE, lw=4, alpha=0.5, label="$p(x)$, summed over $y$")
over.plot(grid, exact_marginal.log_density(grid[:, None]).exp(), color=ACCENT, lw=1)
over.plot(grid, cut.density, color=ORANGE, lw=4, alpha=0.6, label=f"$p(x \\mid y = {seen})$, the cut")
over.plot(grid, exact_cut.log_density(grid[:, None]).exp(), color=ACCENT, lw=1, label="closed form")
over.set(ylabel="density", ylim=(0, None))
over.legend(fontsize=8, loc="upper left")
beside.plot(joint.marginal("y").density, grid, color=BLUE, lw=4, alpha=0.5)
beside.plot(mixture.marginal([1]).log_density(grid[:, None]).exp(), grid, color=ACCENT, lw=1)
beside.set(xlabel="$p(y)$", ylim=(-3, 3), xlim=(0, None))
chapter.show(figure, "03-marginal-and-conditional")

i, j = nodes // 2, nodes // 3
chapter.known("mass on the grid", joint.mass, 1.0, source="a density has mass 1", within=1e-6)
chapter.known(
    "largest error of p(x)",
    (marginal.density - exact_marginal.log_density(grid[:, None]).exp()).abs().max(),
    0.0,
    source="block of the covariance",
    within=1e-6,
)
chapter.known("E[x | y]", cut.mean, exact_cut.mean, source="regression in each hill", within=2e-3)
chapter.known("Var[x | y]", cut.variance, exact_cut.covariance, source="regression in each hill", within=2e-3)

# %% [markdown]
# ## Bayes' rule is the same cut, made along the other axis
#
# Both cuts come from one joint, $p(x \mid y)\,p(y) = p(x, y) = p(y \mid x)\,p(x)$, so each gives the other:
#
# $$p(x \mid y) = \frac{p(y \mid x)\,p(x)}{p(y)}.$$
#
# Read $x$ as a cause and $y$ as what is seen of it: what we know before ($p(x)$, the *prior*) times how well each $x$
# explains what is seen (the *likelihood*), made to integrate to 1, is what we know after (the *posterior*).

# %%
x, y = float(grid[i]), float(grid[j])
left = joint.conditional({"y": y}).density[i]
right = joint.conditional({"x": x}).density[j] * marginal.density[i] / joint.marginal("y").density[j]
chapter.known("p(x | y) by Bayes' rule", right, left, source="the cut itself", within=1e-9)

# %% [markdown]
# ## Two laws that tie the cuts to the whole
#
# Averaged over $y$, the means of the cuts give back the mean: $E x = E\,[E(x \mid y)]$. For the variance something is
# missing: the cuts are narrower than the whole, and what is missing is how far their means lie apart,
#
# $$\operatorname{Var} x = E\,[\operatorname{Var}(x \mid y)] + \operatorname{Var}\,[E(x \mid y)].$$

# %%
rows = grid[nodes // 5 : -(nodes // 5)]  # beyond these p(y) is below 1e-4
cuts = [joint.conditional({"y": float(value)}) for value in rows]
means = torch.stack([one.mean[0] for one in cuts])
variances = torch.stack([one.variance[0] for one in cuts])
known = [mixture.conditional([1], value[None]) for value in rows]
p_y = joint.marginal("y").density[nodes // 5 : -(nodes // 5)]
p_y = p_y / torch.trapezoid(p_y, rows)
mean = torch.trapezoid(p_y * means, rows)
within_cuts = torch.trapezoid(p_y * variances, rows)
between_cuts = torch.trapezoid(p_y * (means - mean) ** 2, rows)

figure, axis = plt.subplots(figsize=(6.4, 4.4))
drawn = mixture.sample(Noise(0, rows=chapter.size(3000, smoke=500)))
axis.scatter(drawn[:, 1], drawn[:, 0], s=4, lw=0, color=BLUE, alpha=0.35, label="draws")
axis.fill_between(rows, means - variances.sqrt(), means + variances.sqrt(), color=GREEN, alpha=0.2, lw=0)
axis.plot(rows, means, color=GREEN, lw=4, alpha=0.6, label=r"$E[x \mid y] \pm$ one deviation, grid")
axis.plot(rows, torch.stack([one.mean[0] for one in known]), color=ACCENT, lw=1, label="closed form")
axis.set(xlabel="$y$ (seen)", ylabel="$x$ (guessed)", title="The best guess of $x$ for every $y$", xlim=(-3, 3))
axis.set_ylim(-3.5, 3.5)
axis.legend(fontsize=8, loc="lower right")
chapter.show(figure, "03-regression")

chapter.known("E[E(x | y)]", mean, mixture.mean[0], source="E[x] of the mixture", within=1e-3)
chapter.known(
    "E[Var(x | y)] + Var[E(x | y)]", within_cuts + between_cuts, mixture.covariance[0, 0], source="Var[x]", within=2e-3
)

# %% [markdown]
# ## What goes wrong
#
# The best guess in the sense of squared error, $E[x \mid y]$, may be a value that hardly ever occurs: halfway between
# the two hills where the cut has two. A network trained with squared error learns just this mean, and its pictures are
# blurred for this reason. A *generative* model learns the whole cut.
#
# A grid of $d$ variables with 401 values each has $401^d$ nodes: 64 million for three, and no computer holds six. Then
# the sums become averages over draws.

# %%
heights = torch.stack([one.log_density(one.mean[None]).exp()[0] for one in known])
tops = torch.stack([one.density.max() for one in cuts])
worst = int((heights / tops).argmin())
print(f"y = {float(rows[worst]):.2f} is seen, the best guess is x = {float(means[worst]):.2f}: the density there is")
print(
    f"{float(heights[worst] / tops[worst]):.0%} of its highest, at x = {float(grid[cuts[worst].density.argmax()]):.2f}"
)
chapter.end()
