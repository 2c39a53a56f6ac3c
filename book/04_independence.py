# %% [markdown]
# # Independence
#
# Two variables are **independent** if seeing one says nothing about the other: every cut $p(x \mid y)$ is the same, and
# so equal to $p(x)$. Then the joint is the product of its marginals,
#
# $$p(x, y) = p(x)\,p(y) \quad \text{for all } x, y.$$
#
# The test is to compute both sides. The distance between them, as a Kullback-Leibler divergence, is the **mutual
# information**
#
# $$I(x; y) = \iint p(x, y) \log \frac{p(x, y)}{p(x)\,p(y)} \, dx\,dy \;\ge\; 0,$$
#
# zero for independent variables and for no others. Correlation is zero for many variables that are *not* independent.

# %%
import math

import matplotlib.pyplot as plt
import torch
from torch.distributions import MultivariateNormal

from pushforward.chapter import ACCENT, BLUE, ORANGE, Chapter
from pushforward.probability.distributions import Banana, Ring
from pushforward.probability.joint import Joint

chapter = Chapter("Independence")

# %% Try: change one number and run again.
correlation = 0.7  # of the Gaussian; the information grows without limit as it nears 1
width = 0.25  # of the ring: a thinner one tells more about y once x is seen (below 0.1 the grid is too coarse)
nodes = chapter.size(401, smoke=161)

# %% [markdown]
# ## Four joint densities, and what they would be if the variables were independent
#
# Top row: the joint. Bottom row: the product of its marginals. Compare the columns: they agree in the first only.

# %%
grid = torch.linspace(-7, 7, nodes, dtype=torch.float64)
zero = torch.zeros(2, dtype=torch.float64)
cases = {
    "independent": MultivariateNormal(zero, torch.diag(torch.tensor([1.0, 0.3], dtype=torch.float64))),
    "correlated": MultivariateNormal(zero, torch.tensor([[1.0, correlation], [correlation, 1.0]]).double()),
    "banana": Banana(torch.tensor(1.0, dtype=torch.float64), 0.5, 0.5),
    "ring": Ring(zero, 2.0, width),
}
y_grids = dict.fromkeys(cases, grid) | {"banana": torch.linspace(-5, 25, 2 * nodes, dtype=torch.float64)}
joints = {name: Joint.of(p, {"x": grid, "y": y_grids[name]}) for name, p in cases.items()}
information = {name: float(joint.mutual_information("x", "y")) for name, joint in joints.items()}

figure, axes = plt.subplots(2, 4, figsize=(10, 5.4), sharex=True, sharey="col")
for column, (name, joint) in enumerate(joints.items()):
    top = float(joint.density.max())
    for row, shown in enumerate((joint, joint.product())):
        axis = axes[row, column]
        axis.contourf(shown.axes["x"], shown.axes["y"], shown.density.T, levels=torch.linspace(0, top, 13).tolist())
        low = -2.0 if name == "banana" else -3.2
        axis.set(xlim=(-3.2, 3.2), ylim=(low, low + 6.4), aspect="equal")
    rho = round(float(joint.correlation[0, 1]), 2) + 0.0  # + 0.0: no -0.00
    axes[0, column].set_title(f"{name}\n$I$ = {information[name]:.3f}, $\\rho$ = {rho:.2f}")
    axes[1, column].set_xlabel("$x$")
axes[0, 0].set_ylabel("joint $p(x, y)$\n\n$y$")
axes[1, 0].set_ylabel("product $p(x)\\,p(y)$\n\n$y$")
chapter.show(figure, "04-joint-against-product")

chapter.known("I of the independent pair", information["independent"], 0.0, source="p(x, y) = p(x) p(y)", within=1e-9)
chapter.known(
    "I of the correlated pair",
    information["correlated"],
    -0.5 * math.log(1 - correlation**2),
    source="-log(1 - rho^2) / 2",
    within=1e-6,
)
chapter.known("correlation in the banana", joints["banana"].correlation[0, 1], 0.0, source="E[x^3] = 0", within=1e-6)
chapter.known("correlation in the ring", joints["ring"].correlation[0, 1], 0.0, source="symmetry", within=1e-6)
# For the banana I = H(y) - H(y | x), and y given x is normal with its width whatever x is.
conditional = 0.5 * math.log(2 * math.pi * math.e * 0.5**2)
chapter.known(
    "I of the banana",
    information["banana"],
    float(joints["banana"].marginal("y").entropy) - conditional,
    source="H(y) - H(y | x)",
    within=1e-4,
)
chapter.known(
    "I of the ring",
    information["ring"],
    2 * float(joints["ring"].marginal("x").entropy) - float(cases["ring"].entropy()),
    source="H(x) + H(y) - H(x, y), the last by radius",
    within=1e-4,
)

# %% [markdown]
# ## Seen through the cuts
#
# Independence says that the cut does not depend on where it is made. In the ring it does: at $x = 0$ the variable $y$
# is near $+2$ or $-2$, at $x = 2$ it is near $0$. The mean of $y$ is 0 in every cut, which is why the covariance, blind
# to all but the mean, finds nothing.

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True)
for axis, name in zip(axes, ("independent", "ring"), strict=True):
    for value, colour in zip((0.0, 1.0, 2.0), (BLUE, ACCENT, ORANGE), strict=True):
        cut = joints[name].conditional({"x": value})
        axis.plot(cut.axes["y"], cut.density, color=colour, label=f"$p(y \\mid x = {value:.0f})$")
    axis.set(xlabel="$y$", xlim=(-4, 4), title=name)
axes[0].set_ylabel("density")
axes[0].lines[0].set_linewidth(6)
axes[0].lines[1].set_linewidth(3.5)
axes[1].legend()
chapter.show(figure, "04-cuts")

# %% [markdown]
# ## Independent in pairs is not independent
#
# Toss two coins and let the third say whether they agree. Any two of the three are independent, yet two of them fix
# the third: $I(\text{first two}; \text{third}) = \log 2$, one full bit. Whoever tests pairs only never finds it.

# %%
coin = torch.tensor([0.0, 1.0], dtype=torch.float64)
first, second, third = torch.meshgrid(coin, coin, coin, indexing="ij")
agree = Joint(dict.fromkeys("abc", coin), ((first == second) == (third == 1)).double(), discrete=set("abc"))
one = agree.mutual_information("a", "c")
chapter.known("I(a; c) of the coins", one, 0.0, source="a pair says nothing", within=1e-12)
both = agree.mutual_information(["a", "b"], "c")
chapter.known("I(ab; c) of the coins", both, math.log(2), source="log 2", within=1e-12)

# %% [markdown]
# ## Why it matters for generative models
#
# Modelling $d$ variables as independent needs $d$ curves instead of one function of $d$ variables, and its price is
# exactly known: the best independent model of data with density $p$ falls short by
# $\mathrm{KL}(p \,\|\, \prod_i p(x_i))$ nats per example. What every model of this library is for is that gap.

# %%
chapter.end()
