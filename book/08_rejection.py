# %% [markdown]
# # Rejection sampling
#
# To throw points evenly into a shape, throw them evenly into a box around it and forget those that miss. That is all.
# The area under a density is a shape as well: points even under the curve $p$ have an $x$ with density $p$. So take a
# curve $M q(x)$ above $p$ with a $q$ that is easy to draw from, draw $x \sim q$ and a height even between 0 and
# $M q(x)$, and keep $x$ if the height is below $p(x)$: with probability
#
# $$\frac{p(x)}{M q(x)}.$$
#
# The constant of $p$ need not be known. The share that is kept is the area of $p$ over that of the envelope, $Z / M$,
# so counting measures the area: a first estimate of an integral by chance.

# %%
import math

import matplotlib.pyplot as plt
import torch
from torch.distributions import Cauchy, Independent, Normal, Uniform

from pushforward.chapter import ACCENT, BLUE, GREEN, GREY, ORANGE, Chapter
from pushforward.core.errors import InputError
from pushforward.probability.weights import monte_carlo_mean
from pushforward.sampling.adaptive_rejection import adaptive_rejection_sample
from pushforward.sampling.direct import draws_of
from pushforward.sampling.rejection import find_envelope, rejection_sample

chapter = Chapter("Rejection sampling")

# %% Try: change one number and run again.
bump = 2.5  # where the smaller bump of the density sits: at 6 the envelope must be far too high in between
width = 2.0  # of the envelope: below about 1.2 its tails are too light, and no constant is large enough
dimensions = (1, 2, 3, 4, 6, 8, 10, 12)  # of the ball in its box: add 20 and wait
draws = chapter.size(20_000, smoke=2_000)
seed = torch.Generator().manual_seed(0)

# %% [markdown]
# ## A disk
#
# Target: even on the unit disk, 0 elsewhere. Proposal: even on the square around it. A point is kept with probability 1
# or 0, and the share is $\pi / 4$.


# %%
def log_disk(x: torch.Tensor) -> torch.Tensor:
    return torch.where(x.square().sum(1) < 1, 0.0, -torch.inf).double()


def box(dim: int) -> Independent:
    one = torch.ones(dim, dtype=torch.float64)
    return Independent(Uniform(-one, one), 1)


disk = rejection_sample(log_disk, box(2), draws, log_constant=math.log(4.0), generator=seed)
share, error = disk.acceptance
chapter.known(
    "share kept, disk in a square", float(share), math.pi / 4, source="ratio of the areas", error=float(error)
)
area, error = disk.normaliser
chapter.known("area of the disk", float(area), math.pi, source="pi r^2", error=float(error))
radius, error = monte_carlo_mean(disk.samples.norm(dim=1))
chapter.known("E[radius] in the disk", float(radius), 2 / 3, source="integral of 2 r^2 dr", error=float(error))

thrown = draws_of(box(2), 1500, generator=seed)
hit = log_disk(thrown) == 0
shares = []
for dim in dimensions:
    some = rejection_sample(
        log_disk, box(dim), chapter.size(200, smoke=20), log_constant=dim * math.log(2.0), generator=seed
    )
    shares.append(float(some.acceptance.value))

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4))
left.scatter(*thrown[~hit].T, s=5, color=ORANGE, label="missed")
left.scatter(*thrown[hit].T, s=5, color=BLUE, label="kept")
left.add_patch(plt.Circle((0, 0), 1, fill=False, color=ACCENT))
left.set(xlabel="$x_1$", ylabel="$x_2$", title="Keep what hits", aspect="equal", xlim=(-1.02, 1.02), ylim=(-1.02, 1.02))
left.legend(loc="upper left", frameon=True, framealpha=1, markerscale=2, fontsize=8)
exact = [math.exp(0.5 * d * math.log(math.pi) - math.lgamma(d / 2 + 1) - d * math.log(2)) for d in dimensions]
right.semilogy(dimensions, exact, color=ACCENT, label="volume of ball / volume of box")
right.semilogy(dimensions, shares, "o", color=BLUE, label="measured")
right.set(xlabel="dimensions", ylabel="share kept", title="What hits becomes rare in many dimensions")
right.legend()
chapter.show(figure, "08-disk")

# %% [markdown]
# The right picture is the limit of the method: in 12 dimensions three points of ten thousand hit. Nearly all of a box
# is corner. This is why later chapters walk instead of throwing.
#
# ## A general density, and the constant
#
# Two bumps of which only the *shape* is known, under a Gaussian envelope. The constant must satisfy
# $M \ge p(x) / q(x)$ **everywhere**, so it is the largest value of that ratio. `find_envelope` searches for it. Too
# large an $M$ only wastes points. Too small an $M$ would cut off the top of the density *without a trace* in the
# draws, so every single point is checked, and a violation is an error that says where and what it takes.


# %%
def log_bumps(x: torch.Tensor) -> torch.Tensor:
    """exp(-x^2 / 2) + exp(-2 (x - b)^2) / 2; its integral is sqrt(2 pi) (1 + 1/4)."""
    return torch.logaddexp(-0.5 * x**2, -2 * (x - bump) ** 2 - math.log(2))


envelope = Normal(torch.tensor(bump / 3, dtype=torch.float64), width)
found = find_envelope(log_bumps, envelope, generator=seed)
kept = rejection_sample(log_bumps, envelope, draws, log_constant=found.log_constant, generator=seed)

grid = torch.linspace(-5, 7, 4001, dtype=torch.float64)
ratio = (log_bumps(grid) - envelope.log_prob(grid)).exp()
chapter.known(
    "M, bumps under a Gaussian", math.exp(found.log_constant), float(ratio.max()), source="a fine grid", within=1e-4
)
area, error = kept.normaliser
known = math.sqrt(2 * math.pi) * 1.25
chapter.known("area under the bumps", float(area), known, source="two Gaussian integrals", error=float(error))
mean, error = monte_carlo_mean(kept.samples)
chapter.known("E[x], bumps", float(mean), bump / 5, source="weights 4/5 and 1/5", error=float(error))

refused = None
try:
    rejection_sample(log_bumps, envelope, draws, log_constant=found.log_constant - 0.3, generator=seed)
except InputError as message:
    refused = message
print(f"A constant 26 % too small: {refused}")

x = draws_of(envelope, 1200, generator=seed)
heights = torch.rand(1200, dtype=torch.float64, generator=seed) * (found.log_constant + envelope.log_prob(x)).exp()
under = heights < log_bumps(x).exp()
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8))
left.fill_between(grid, (found.log_constant + envelope.log_prob(grid)).exp(), color=GREY, alpha=0.15)
left.plot(grid, (found.log_constant + envelope.log_prob(grid)).exp(), color=GREY, label="envelope $M\\,q(x)$")
left.scatter(x[~under], heights[~under], s=4, color=ORANGE)
left.scatter(x[under], heights[under], s=4, color=BLUE)
left.plot(grid, log_bumps(grid).exp(), color=ACCENT, label="target $p(x)$, unnormalised")
left.axvline(float(found.point), color=GREEN, linewidth=1, linestyle="--", label="where $p/q$ is largest")
left.set(
    xlabel="$x$", ylabel="height", title="Even under the envelope, kept under the target", ylim=(0, 1.9), xlim=(-5, 7)
)
left.legend(fontsize=8, loc="upper right")
right.hist(kept.samples.numpy(), bins=90, range=(-4, 6), density=True, color=BLUE, alpha=0.45, label="kept")
right.plot(grid, log_bumps(grid).exp() / known, color=ACCENT, label="$p(x) / Z$")
right.set(xlabel="$x$", ylabel="density (per unit of $x$)", title="What is kept has the density", xlim=(-4, 6))
right.legend()
chapter.show(figure, "08-envelope")

# %% [markdown]
# **Tails.** A Gaussian envelope for a target with heavier tails has no constant at all: $p / q$ grows for ever. The
# search looks far out and says so. The other way round is fine: a Cauchy envelope ($M = \sqrt{2\pi/e}$) for a Gaussian.

# %%
cauchy, normal = (
    Cauchy(torch.tensor(0.0, dtype=torch.float64), 1.0),
    Normal(torch.tensor(0.0, dtype=torch.float64), 1.0),
)
try:
    find_envelope(cauchy.log_prob, normal, generator=seed)
except InputError as message:
    print(f"A Cauchy under a Gaussian: {message}")
constant = math.exp(find_envelope(normal.log_prob, cauchy, generator=seed).log_constant)
answer = math.sqrt(2 * math.pi / math.e)
chapter.known("M, Gaussian under a Cauchy", constant, answer, source="p'/p = q'/q at x = 1", within=1e-5)

# %% [markdown]
# ## An envelope that builds itself
#
# If $\log p$ is **concave** (Gaussian, gamma, logistic, ...), every tangent lies above it. A few tangents make an
# envelope of exponential pieces, which can be drawn from exactly; each refused point adds its tangent, and after some
# ten of them hardly anything is refused. A $\log p$ that is not concave is noticed: its points leave the space between
# chords and tangents.


# %%
asked = 0


def log_gumbel(x: torch.Tensor) -> torch.Tensor:
    """Concave; its mean is Euler's constant, its variance pi^2 / 6."""
    global asked
    asked += len(x)
    return -x - torch.exp(-x)


gumbel = adaptive_rejection_sample(log_gumbel, draws, generator=seed)
mean, error = monte_carlo_mean(gumbel)
chapter.known("E[x], Gumbel", float(mean), 0.57721566, source="Euler's constant", error=float(error))
square, error = monte_carlo_mean((gumbel - 0.57721566) ** 2)
chapter.known("Var[x], Gumbel", float(square), math.pi**2 / 6, source="pi^2 / 6", error=float(error))
chapter.known("evaluations per draw, adaptive", asked / draws, 1.0, source="nothing refused", within=0.25)

# %%
chapter.end()
