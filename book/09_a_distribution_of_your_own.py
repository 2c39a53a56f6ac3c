# %% [markdown]
# # A distribution of your own: the disk
#
# Libraries know the common distributions; sooner or later you need one that they lack. Here one is built from nothing:
# points uniform on a disk of radius $r$ around $c$. It takes four steps: a **density** that integrates to 1, a
# **sampler** that agrees with it, **moments and entropy**, and the **tests** that would notice a mistake in any of
# them.

# %%
import math

import matplotlib.pyplot as plt
import torch
from torch.distributions import Distribution, constraints

from pushforward.chapter import ACCENT, BLUE, ORANGE, Chapter
from pushforward.probability.distributions import UniformDisk
from pushforward.probability.joint import Joint
from pushforward.probability.monte_carlo import expectation, sample_covariance
from pushforward.probability.nats import draw_points

chapter = Chapter("A distribution of your own: the disk")

# %% Try: change one number and run again.
center = (1.0, -0.5)  # moves everything, changes no entropy and no variance
radius = 2.0  # twice as large: four times the area, so log 4 nats more entropy
draws = chapter.size(50_000, smoke=4_000)
seed = torch.Generator().manual_seed(3)

# %% [markdown]
# ## The density is one over the area; the sampler is where it goes wrong
#
# Drawing the angle and the distance from the centre both uniformly looks right and is not. A ring at distance $\rho$
# and of width $d\rho$ has the area $2\pi\rho\,d\rho$: outer rings are larger and must get more points. The share of the
# area within $\rho$ is $F(\rho) = \rho^2 / r^2$, so a uniform $u$ becomes a distance by $\rho = r \sqrt{u}$.

# %%
u, v = torch.rand(2, draws, dtype=torch.float64, generator=seed)
circle = torch.stack([(2 * math.pi * v).cos(), (2 * math.pi * v).sin()], -1)
naive = torch.tensor(center) + radius * u[:, None] * circle
right = torch.tensor(center) + radius * u.sqrt()[:, None] * circle

figure, axes = plt.subplots(1, 3, figsize=(10.5, 3.6), width_ratios=[1, 1, 1.25])
for axis, points, title in zip(
    axes, (naive, right), (r"$\rho = r u$: crowded", r"$\rho = r \sqrt{u}$: even"), strict=False
):
    axis.scatter(*points[:3000].T, s=3, lw=0, color=ORANGE if points is naive else BLUE, alpha=0.6)
    axis.set(aspect="equal", xlabel="$x_1$", title=title)
axes[0].set_ylabel("$x_2$")
rho = torch.linspace(0, radius, 100)
for points, colour, name in ((naive, ORANGE, "naive"), (right, BLUE, "right")):
    distance = (points - torch.tensor(center)).norm(dim=1)
    axes[2].hist(distance, bins=40, range=(0, radius), density=True, color=colour, alpha=0.4, label=name)
axes[2].plot(rho, 2 * rho / radius**2, color=ACCENT, label=r"$2 \rho / r^2$")
axes[2].set(xlabel=r"distance from the centre $\rho$", ylabel="density", title="What the distance must follow")
axes[2].legend()
chapter.show(figure, "09-the-distance")

# %% [markdown]
# ## The class
#
# A `torch.distributions.Distribution` promises a few things, and everything built on it relies on them:
#
# * `arg_constraints`: what parameters may be, so that a negative radius is refused and not used;
# * `support`: where the density is above zero;
# * `batch_shape` (how many distributions there are side by side) and `event_shape` (the shape of one draw), and
#   `expand`;
# * `rsample`: draws that carry a gradient to the parameters. The noise ($u$ and the angle) has no parameters in it;
#   centre and radius enter afterwards, by shifting and scaling. This is *reparametrisation*.


# %%
class Disk(Distribution):
    """Uniform on |x - c| <= r."""

    arg_constraints = {"center": constraints.real_vector, "radius": constraints.positive}
    has_rsample = True

    def __init__(self, center, radius, validate_args=None):
        batch = torch.broadcast_shapes(center.shape[:-1], radius.shape)
        self.center, self.radius = center.expand(*batch, 2), radius.expand(batch)
        super().__init__(batch, torch.Size([2]), validate_args=validate_args)

    @property
    def support(self):
        return constraints.real_vector  # log_prob says -inf outside

    @property
    def mean(self):
        return self.center

    @property
    def variance(self):
        return (self.radius**2 / 4)[..., None].expand(self.center.shape)

    def entropy(self):
        return (math.pi * self.radius**2).log()

    def log_prob(self, value):
        inside = (value - self.center).norm(dim=-1) <= self.radius
        return torch.where(inside, -self.entropy(), -torch.inf)

    def rsample(self, sample_shape=()):
        shape = self._extended_shape(torch.Size(sample_shape))
        u, v = torch.rand(2, *shape[:-1], dtype=self.radius.dtype)
        angle = 2 * math.pi * v
        circle = torch.stack([angle.cos(), angle.sin()], -1)
        return self.center + (self.radius * u.sqrt())[..., None] * circle

    def expand(self, batch_shape, _instance=None):
        shape = torch.Size(batch_shape)
        return Disk(self.center.expand(*shape, 2), self.radius.expand(shape), validate_args=False)


place = torch.tensor(center, dtype=torch.float64)
mine = Disk(place, torch.tensor(radius, dtype=torch.float64))

# %% [markdown]
# ## The tests
#
# Each checks one promise against something found in another way: the integral by a grid, the moments by draws and by
# the formula, the entropy as $-E \log p$, and the gradient of `rsample` by what it must be: with $E|x - c|^2 = r^2 / 2$
# the derivative by $r$ is $r$.
#
# For the variance, one integral in polar coordinates: $E \rho^2 = \int_0^r \rho^2 \, \frac{2\rho}{r^2} d\rho = r^2 /
# 2$, half of it for each coordinate.

# %%
grid_x, grid_y = (torch.linspace(c - 1.3 * radius, c + 1.3 * radius, 601, dtype=torch.float64) for c in center)
joint = Joint.of(mine.log_prob, {"x": grid_x, "y": grid_y})
points = draw_points(mine, draws, seed)
covariance, error = sample_covariance(points)
inner, its_error = expectation(lambda x: ((x - place).norm(dim=1) < radius / 2).double(), mine, draws, generator=seed)

size = torch.tensor(radius, dtype=torch.float64, requires_grad=True)
with torch.random.fork_rng():
    torch.manual_seed(4)
    squares = (Disk(place, size).rsample((draws,)) - place).square().sum(1)
(slope,) = torch.autograd.grad(squares.mean(), size)

chapter.known("integral of the density", joint.mass, 1.0, source="a density has mass 1", within=3e-3)
chapter.known("Var[x1] from draws", covariance[0, 0], radius**2 / 4, source="r^2 / 4", error=error[0, 0])
chapter.known("Cov[x1, x2] from draws", covariance[0, 1], 0.0, source="symmetry", error=error[0, 1])
chapter.known("P(distance < r / 2)", inner, 0.25, source="a quarter of the area", error=its_error)
chapter.known(
    "the same of the naive sampler",
    ((naive - place).norm(dim=1) < radius / 2).double().mean(),
    0.5,
    source="wrong on purpose: half of the points",
    error=0.5 / math.sqrt(draws),
)
chapter.known("entropy on the grid", joint.entropy, mine.entropy(), source="log(pi r^2)", within=5e-3)
slope_error = 2 * squares.detach().std() / radius / math.sqrt(draws)
chapter.known("d E|x - c|^2 / dr", slope, radius, source="E|x - c|^2 = r^2 / 2", error=slope_error)

# %% [markdown]
# ## Uniform in the plane, not uniform on the line
#
# The shadow of the disk on an axis, its marginal, is a half circle,
#
# $$p(x_1) = \frac{2}{\pi r^2} \sqrt{r^2 - (x_1 - c_1)^2}.$$
#
# And the coordinates are **not independent**, though uncorrelated: at the edge of the shadow the other coordinate has
# no room left.

# %%
marginal = joint.marginal("x")
exact = 2 / (math.pi * radius**2) * (radius**2 - (grid_x - center[0]) ** 2).clamp(min=0).sqrt()
figure, axes = plt.subplots(1, 2, figsize=(9, 3.4))
axes[0].hist(points[:, 0], bins=60, density=True, color=BLUE, alpha=0.45, label="draws")
axes[0].plot(grid_x, exact, color=ACCENT, label="half circle")
axes[0].set(xlabel="$x_1$", ylabel="density", title="The shadow of the disk")
axes[0].legend()
for share, colour in ((0.0, BLUE), (0.7, ORANGE), (0.95, ACCENT)):
    cut = joint.conditional({"x": center[0] + share * radius})
    axes[1].plot(grid_y, cut.density, color=colour, label=f"$x_1 = c_1 + {share:g}\\,r$")
axes[1].set(xlabel="$x_2$", ylabel="density", title="$x_2$ once $x_1$ is seen")
axes[1].legend(fontsize=8)
chapter.show(figure, "09-marginal")
top = float(marginal.density.max())
chapter.known("height of the shadow's middle", top, 2 / (math.pi * radius), source="half circle", within=0.01 / radius)
information = 2 * float(marginal.entropy) - float(mine.entropy())
half_circle = math.log(math.pi * radius) - 0.5
chapter.known(
    "mutual information of x1 and x2",
    information,
    2 * half_circle - math.log(math.pi * radius**2),
    source="H(x1) + H(x2) - H(x1, x2)",
    within=0.01,
)

# %% [markdown]
# ## Used like any other
#
# Batches, `expand` and refusal of nonsense come with the promises. The library's own `UniformDisk` is the same class
# with a proper support, for any number of dimensions, and passes one test suite with all other distributions.

# %%
batch = Disk(torch.zeros(2), torch.tensor([1.0, 2.0, 3.0]))
print("three disks at once:", batch.sample((5,)).shape, "entropies", [round(h, 2) for h in batch.entropy().tolist()])
theirs = UniformDisk(place, radius)
chapter.known(
    "log p, mine and the library's", mine.log_prob(place), theirs.log_prob(place), source="UniformDisk", within=1e-12
)
try:
    Disk(torch.zeros(2), torch.tensor(-1.0))
except ValueError as problem:
    print("refused:", str(problem).split("\n")[0])
chapter.end()
