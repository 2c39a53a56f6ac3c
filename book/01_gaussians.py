# %% [markdown]
# # Gaussians in one and two dimensions
#
# A **density** says where the outcomes of a random number crowd: the probability of an interval is the *area* under the
# curve above it. The density itself is no probability (it may exceed 1); only areas are.
#
# The Gaussian with mean $\mu$ and standard deviation $\sigma$ has
#
# $$p(x) = \frac{1}{\sigma \sqrt{2\pi}} \, \exp\Bigl(-\frac{(x - \mu)^2}{2 \sigma^2}\Bigr).$$
#
# The exponent is minus half the squared distance from the mean *in units of* $\sigma$. The factor in front only makes
# the area 1.

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.patches import Ellipse
from torch.distributions import MultivariateNormal, Normal

from pushforward.chapter import ACCENT, BLUE, GREY, Chapter
from pushforward.probability.monte_carlo import expectation, sample_covariance
from pushforward.probability.nats import draw_points

chapter = Chapter("Gaussians in one and two dimensions")

# %% Try: change one number and run again.
mean = 1.0  # slides the curve; its shape stays
deviation = 1.5  # half as much: twice as high and half as wide, since the area must stay 1
means = (0.5, -0.5)  # the middle of the ellipses
deviations = (1.5, 0.8)  # along the two axes
correlation = 0.7  # 0: ellipses along the axes; towards 1: thinner and thinner; 1 itself is no density
draws = chapter.size(20_000, smoke=2_000)
seed = torch.Generator().manual_seed(2)  # another seed, other points: the table says how far they may be off

# %% [markdown]
# ## One dimension
#
# 68 % of the mass lies within one standard deviation of the mean, 95 % within two. Those shares are the same for every
# Gaussian, because $z = (x - \mu) / \sigma$ is always the standard one.

# %%
normal = Normal(torch.tensor(mean, dtype=torch.float64), deviation)
x = draw_points(normal, draws, seed)
grid = torch.linspace(mean - 4 * deviation, mean + 4 * deviation, 801, dtype=torch.float64)
density = normal.log_prob(grid).exp()

figure, axis = plt.subplots(figsize=(7, 3.4))
axis.hist(x, bins=80, range=(float(grid[0]), float(grid[-1])), density=True, color=BLUE, alpha=0.45, label="draws")
axis.plot(grid, density, color=ACCENT, label=r"density $p(x)$")
within = (grid - mean).abs() <= deviation
axis.fill_between(grid[within], density[within], color=GREY, alpha=0.35, label=r"mass within $\pm\sigma$: 68 %")
axis.set(
    xlabel="$x$", ylabel="density (per unit of $x$)", title="The height is no probability; the area is", ylim=(0, None)
)
axis.legend(loc="upper right")
chapter.show(figure, "01-one-dimension")

one_sigma = normal.cdf(normal.mean + deviation) - normal.cdf(normal.mean - deviation)
area = torch.trapezoid(density, grid)
share = ((x - mean).abs() <= deviation).double()
answer = math.erf(1 / math.sqrt(2))
chapter.known("area within 4 sigma", area, math.erf(4 / math.sqrt(2)), source="error function", within=1e-5)
chapter.known("P(|x - mu| < sigma), from the cdf", one_sigma, answer, source="error function", within=1e-9)
chapter.known(
    "the same, share of the draws", share.mean(), answer, source="error function", error=share.std() / math.sqrt(draws)
)

# %% [markdown]
# ## Two dimensions
#
# With a mean vector and a **covariance matrix** $\Sigma$,
#
# $$p(x) = \frac{1}{2\pi \sqrt{\det \Sigma}} \, \exp\Bigl(-\tfrac12 (x - \mu)^T \Sigma^{-1} (x - \mu)\Bigr).$$
#
# The squared distance is again measured in units of the spread, now of the spread *in that direction*. Points of equal
# density form ellipses. Their axes are the eigenvectors of $\Sigma$, and half their lengths the roots of its
# eigenvalues.
#
# In two dimensions the ellipse of radius $k$ holds the share $1 - e^{-k^2/2}$: only 39 % for $k = 1$, not 68 %. Being
# within one sigma in every direction at once is a stronger demand.

# %%
covariance = torch.tensor(
    [
        [deviations[0] ** 2, correlation * deviations[0] * deviations[1]],
        [correlation * deviations[0] * deviations[1], deviations[1] ** 2],
    ],
    dtype=torch.float64,
)
pair = MultivariateNormal(torch.tensor(means, dtype=torch.float64), covariance)
points = draw_points(pair, draws, seed)
variances, directions = torch.linalg.eigh(covariance)

figure, axis = plt.subplots(figsize=(7, 4))
axis.scatter(*points[:1500].T, s=5, color=BLUE, alpha=0.45, lw=0, label="draws")
tilt = math.degrees(math.atan2(float(directions[1, 1]), float(directions[0, 1])))
for k in (1, 2, 3):
    width, height = 2 * k * variances[1].sqrt(), 2 * k * variances[0].sqrt()
    axis.add_patch(Ellipse(means, float(width), float(height), angle=tilt, fill=False, color=ACCENT, lw=1.4))
    upper = directions[:, 0] if directions[1, 0] >= 0 else -directions[:, 0]  # the short axis, upwards
    tip = np.array(means) + k * (variances[0].sqrt() * upper).numpy()
    box = {"facecolor": "white", "alpha": 0.8, "lw": 0, "pad": 1}
    axis.annotate(f"{1 - math.exp(-(k**2) / 2):.0%}", tip, ha="center", va="center", color=ACCENT, bbox=box)
for variance, direction in zip(variances, (-upper, directions[:, 1]), strict=True):
    axis.annotate("", means + (variance.sqrt() * direction).numpy(), means, arrowprops={"arrowstyle": "->", "lw": 1.6})
axis.set(xlabel="$x_1$", ylabel="$x_2$", title="Ellipses of radius 1, 2, 3 and the mass inside", aspect="equal")
chapter.show(figure, "01-two-dimensions")

# %% [markdown]
# ## How the points are made
#
# Take independent standard normals $z$ and a matrix $L$ with $L L^T = \Sigma$ (the Cholesky factor). Then
# $x = \mu + L z$ has mean $\mu$ and covariance $L\,E[z z^T] L^T = \Sigma$. Every Gaussian is a stretched, turned and
# shifted standard one. This is the first *pushforward* of the book; chapter 13 takes up the idea.

# %%
z = torch.randn(draws, 2, dtype=torch.float64, generator=seed)
made = torch.tensor(means, dtype=torch.float64) + z @ torch.linalg.cholesky(covariance).T
found, error = sample_covariance(made)
chapter.known("Cov(x1, x2) of mu + L z", found[0, 1], covariance[0, 1], source="L L^T", error=error[0, 1])
distance = torch.linalg.solve(covariance, (points - pair.mean).T).T.mul(points - pair.mean).sum(1)
inside = (distance <= 1).double()
chapter.known(
    "mass of the ellipse of radius 1",
    inside.mean(),
    1 - math.exp(-0.5),
    source="chi-square with 2 degrees of freedom",
    error=inside.std() / math.sqrt(draws),
)
log_p, error = expectation(lambda value: -pair.log_prob(value), pair, draws, generator=seed)
entropy = math.log(2 * math.pi * math.e) + 0.5 * float(torch.logdet(covariance))
chapter.known("E[-log p(x)] in nats", log_p, entropy, source="log(2 pi e) + log det(Sigma) / 2", error=error)

# %% [markdown]
# ## What goes wrong
#
# With a correlation of 1 the points lie on a line. The ellipse has no area, $\det \Sigma = 0$, and no density per unit
# of area exists: the covariance is *singular*. Near 1 the trouble is numerical: the inverse loses as many digits as the
# ratio of the eigenvalues has.

# %%
chapter.end()
