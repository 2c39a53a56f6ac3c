# %% [markdown]
# # From the Jacobian to a normalizing flow
#
# In two dimensions a small square around $z$ becomes a small parallelogram around $x = g(z)$. Its sides are the columns
# of the **Jacobian** $J = \partial g / \partial z$, and its area is $|\det J|$ times that of the square. Mass is
# conserved, so
#
# $$\log p(x) = \log p(z) - \log |\det J(z)|.$$
#
# Automatic differentiation gives $J$ for any function you write. This chapter bends a Gaussian with one, then *learns*
# the bend from data: that is a normalizing flow.

# %%
import math

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.distributions import MultivariateNormal

from pushforward.chapter import ACCENT, BLUE, GREY, ORANGE, Chapter
from pushforward.probability.change_of_variables import fibre_log_prob, pushed_log_prob
from pushforward.probability.distributions import Banana
from pushforward.probability.jacobians import jacobian, log_det_by_series, log_volume_factor
from pushforward.probability.monte_carlo import expectation
from pushforward.probability.nats import draw_points

chapter = Chapter("From the Jacobian to a normalizing flow")

# %% Try: change one number and run again.
swirl = 0.6  # how far points are turned around the origin; turning keeps areas, so the density only moves
layers = 4  # of the flow: with 1 it can bend one coordinate only, and the banana needs just that
steps = chapter.size(500, smoke=20)  # of training: watch the gap in the table shrink
height = 3.0  # of the sombrero: at 0 it is a plane, and the density per area is that of the plane
seed = torch.Generator().manual_seed(6)

# %%
base = MultivariateNormal(torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64))


def bend(z):
    """A map of one point: stretch, turn by an angle that grows with the distance, and lift."""
    u = torch.stack([1.3 * z[0], 0.6 * z[1]])
    angle = swirl * u.norm()
    turned = torch.stack([angle.cos() * u[0] - angle.sin() * u[1], angle.sin() * u[0] + angle.cos() * u[1]])
    return turned + torch.stack([torch.zeros_like(angle), 0.3 * turned[0] ** 2])


# %% [markdown]
# ## Squares become parallelograms
#
# Left, a square grid in $z$; right, its image. The lines are what the Jacobian at one corner makes of each square: for
# small squares the two are the same. For this map the area factor is known: the stretch has determinant $1.3 \cdot
# 0.6$, and turning and lifting keep areas, so the factor is 0.78 *everywhere*, however wild the picture looks.

# %%
ticks = torch.linspace(-2.5, 2.5, 17, dtype=torch.float64)
fine = torch.linspace(-2.5, 2.5, 200, dtype=torch.float64)
figure, axes = plt.subplots(1, 2, figsize=(9.5, 4.4))
for tick in ticks:
    for points in (torch.stack([fine, tick.expand(200)], 1), torch.stack([tick.expand(200), fine], 1)):
        axes[0].plot(*points.T, color=GREY, lw=0.8)
        axes[1].plot(*torch.func.vmap(bend)(points).T, color=GREY, lw=0.8)
middles = torch.tensor([[-1.4, 0.9], [0.3, -0.9], [1.56, 1.56]], dtype=torch.float64)
corners = 0.3125 * torch.tensor([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]], dtype=torch.float64)
for middle, colour in zip(middles, (BLUE, ORANGE, ACCENT), strict=True):
    square = middle + corners
    j = jacobian(bend, middle[None])[0]
    axes[0].fill(*square.T, color=colour, alpha=0.8)
    outline = torch.cat([square[i] + torch.linspace(0, 1, 20)[:, None] * (square[i + 1] - square[i]) for i in range(4)])
    axes[1].fill(*torch.func.vmap(bend)(outline).T, color=colour, alpha=0.5)
    axes[1].plot(*(bend(middle) + corners @ j.T).T, color=colour, lw=1.8)
axes[0].set(aspect="equal", xlabel="$z_1$", ylabel="$z_2$", title="Squares")
axes[1].set(aspect="equal", xlabel="$x_1$", ylabel="$x_2$", title="Their images (filled) and $J$ times them (lines)")
chapter.show(figure, "14-jacobian")

z = draw_points(base, 1000, seed)
x, log_prob = pushed_log_prob(base, bend, z)
chapter.known("|det J|, smallest", log_volume_factor(bend, z).exp().min(), 0.78, source="1.3 x 0.6", within=1e-9)
chapter.known("|det J|, largest", log_volume_factor(bend, z).exp().max(), 0.78, source="1.3 x 0.6", within=1e-9)
print("J of the last point:", [[round(v, 3) for v in row] for row in jacobian(bend, z)[-1].tolist()])

# %% [markdown]
# ## Read backwards it is a model
#
# Let $f = g^{-1}$ lead from data to noise. Then
#
# $$\log p(x) = \log N(f(x); 0, I) + \log |\det \partial f / \partial x|$$
#
# is a density for *every* one-to-one $f$, and it integrates to 1 by itself. Give $f$ parameters and maximise the mean
# of $\log p(x)$ over data: a **normalizing flow**. Two things are wanted of $f$: an inverse, to draw samples, and a
# cheap determinant. A *coupling* layer has both: it leaves one coordinate alone and shifts and scales the other by
# functions of the first,
#
# $$f(x) = \bigl(x_1, \; x_2\, e^{s(x_1)} + t(x_1)\bigr), \qquad \det J = e^{s(x_1)}.$$
#
# The determinant below comes from automatic differentiation all the same, so that you may replace `forward` by anything
# one-to-one.


# %%
class Flow(nn.Module):
    """Coupling layers that take turns with the two coordinates: data to noise."""

    def __init__(self, layers):
        super().__init__()
        nets = (nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 2)) for _ in range(layers))
        self.nets = nn.ModuleList(nets).double()

    def forward(self, x):
        """One point (2,) -> (2,)."""
        for net in self.nets:
            s, t = net(x[:1])
            x = torch.stack([x[1] * s.tanh().exp() + t, x[0]])
        return x

    def inverse(self, z):
        """Noise to data: the same steps undone in the opposite order."""
        for net in reversed(self.nets):
            s, t = net(z[1:])
            z = torch.stack([z[1], (z[0] - t) * (-s.tanh()).exp()])
        return z

    def log_prob(self, x):
        """log p of points (n, 2)."""
        return base.log_prob(torch.func.vmap(self)(x)) + log_volume_factor(self, x)


with torch.random.fork_rng():
    torch.manual_seed(7)
    flow = Flow(layers)
banana = Banana(torch.tensor(1.5, dtype=torch.float64), 0.5, 0.5)
data = draw_points(banana, 16_384, seed)
optimizer = torch.optim.Adam(flow.parameters(), lr=1e-2)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
losses = []
for _ in range(steps):
    batch = data[torch.randint(len(data), (512,), generator=seed)]
    loss = -flow.log_prob(batch).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
    losses.append(float(loss.detach()))

# %%
grid_x = torch.linspace(-5, 5, chapter.size(121, smoke=61), dtype=torch.float64)
grid_y = torch.linspace(-3, 9, chapter.size(145, smoke=73), dtype=torch.float64)
nodes = torch.cartesian_prod(grid_x, grid_y)
with torch.no_grad():
    learned = flow.log_prob(nodes).exp().reshape(len(grid_x), len(grid_y))
    made = torch.func.vmap(flow.inverse)(draw_points(base, 2000, seed))
truth = banana.log_prob(nodes).exp().reshape(len(grid_x), len(grid_y))

figure, axes = plt.subplots(1, 3, figsize=(11, 3.8), width_ratios=[1, 1, 1.1])
axes[0].scatter(*data[:2000].T, s=3, lw=0, color=GREY, alpha=0.7)
axes[0].set(title="Data", ylabel="$x_2$")
axes[1].scatter(*made.T, s=3, lw=0, color=BLUE, alpha=0.5)
levels = [float(truth.max()) * level for level in (0.02, 0.1, 0.3, 0.7)]
axes[1].contour(grid_x, grid_y, truth.T, levels=levels, colors=ACCENT, linewidths=1)
axes[1].set(title="Samples of the flow, true density")
for axis in axes[:2]:
    axis.set(xlabel="$x_1$", xlim=(-5, 5), ylim=(-3, 9), aspect="equal")
axes[2].plot(losses, color=BLUE, lw=1, label="loss")
axes[2].axhline(float(banana.entropy()), color=ACCENT, lw=1.4, label="entropy of the data: no model is below")
axes[2].set(xlabel="step", ylabel="mean of $-\\log p$ (nats)", title="Training", ylim=(None, min(6, max(losses))))
axes[2].legend(fontsize=8)
chapter.show(figure, "14-flow")

# %% [markdown]
# The expected loss cannot fall below the entropy of the data, and its distance from it is
# $\mathrm{KL}(\text{data} \,\|\, \text{flow})$, in nats. Data rarely come with their entropy; here it is known.

# %%
with torch.no_grad():
    gap, error = expectation(
        lambda x: banana.log_prob(x) - flow.log_prob(x), banana, chapter.size(20_000, smoke=2_000), generator=seed
    )
    back = torch.func.vmap(flow.inverse)(torch.func.vmap(flow)(data[:500]))
mass = torch.trapezoid(torch.trapezoid(learned, grid_y), grid_x)
chapter.known("KL(data || flow) in nats", gap, 0.0, source="a perfect model", within=2.0 if chapter.smoke else 0.05)
allowed = 0.2 if chapter.smoke else 0.02
chapter.known("mass of the flow on the grid", mass, 1.0, source="a flow is normalised", within=allowed)
chapter.known("x after f and its inverse", (back - data[:500]).abs().max(), 0.0, source="one-to-one", within=1e-9)

# %% [markdown]
# ## More dimensions out than in: a surface
#
# A map from the plane into space cannot have a determinant, but it has an area factor, $\sqrt{\det J^T J}$. It turns
# the Gaussian of the plane into a density *per area of the surface*. Such a sheet is what an autoencoder finds in data.

# %%


def sombrero(z):
    """A surface over the plane; sinc(t) = sin(pi t) / (pi t)."""
    return torch.cat([z, height * torch.sinc(z.norm() / 1.2)[None]])


side = chapter.size(80, smoke=24)  # an even number: no node at the tip, where the norm has no derivative
axis_z = torch.linspace(-4, 4, side, dtype=torch.float64)
sheet = torch.cartesian_prod(axis_z, axis_z)
surface, log_prob = pushed_log_prob(base, sombrero, sheet)
area = log_volume_factor(sombrero, sheet).exp()
figure, panes = plt.subplots(1, 2, figsize=(10, 4.2), subplot_kw={"projection": "3d"})
for pane, shown, title in ((panes[0], log_prob.exp(), "density per area"), (panes[1], area, "area factor")):
    colours = plt.get_cmap("Blues")((shown / shown.max()).reshape(side, side).numpy())
    pane.plot_surface(*surface.T.reshape(3, side, side).numpy(), facecolors=colours, rstride=1, cstride=1, shade=False)
    pane.set(title=f"{title}, up to {float(shown.max()):.2f}", xlabel="$x_1$", ylabel="$x_2$")
    pane.set_zticks([0.0, height], ["0", f"$x_3 = {height:g}$"])
    pane.set_box_aspect((8, 8, max(1.25 * abs(height), 1)))
chapter.show(figure, "14-sombrero")

cell = (axis_z[1] - axis_z[0]) ** 2
inside = math.erf(4 / math.sqrt(2)) ** 2
mass = (log_prob.exp() * area).sum() * cell
chapter.known("mass on the sombrero", mass, inside, source="mass of z drawn", within=1e-3)

# %% [markdown]
# ## Fewer out than in, and many dimensions
#
# A projection adds up everything that lands on the same point. The length of a Gaussian pair, $x = |z|$, collects a
# whole circle, and the integral over it is the Rayleigh density $x e^{-x^2/2}$.
#
# In $d$ dimensions a determinant costs $d$ derivatives and $d^3$ operations. For $x = z + f(z)$ with a contracting $f$
# it can be *estimated* from products $J^T v$ with random vectors, without bias. Continuous and residual flows rest on
# it.

# %%
radii = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
angles = torch.linspace(0, 2 * math.pi, 65, dtype=torch.float64)


def circle(r, t):
    """All points whose length is r."""
    return r * torch.cat([t.cos(), t.sin()])


rayleigh = fibre_log_prob(base, torch.linalg.vector_norm, radii, circle, [angles])
chapter.known("p(|z| = 1)", rayleigh[1].exp(), math.exp(-0.5), source="Rayleigh", within=1e-9)

weights = torch.randn(50, 50, dtype=torch.float64, generator=seed)
weights = 0.6 * weights / torch.linalg.matrix_norm(weights, 2)


def contraction(z):
    """A residual block's f in 50 dimensions."""
    return torch.tanh(weights @ z)


point = torch.randn(1, 50, dtype=torch.float64, generator=seed)
estimate, error = log_det_by_series(contraction, point, probes=chapter.size(400, smoke=40), generator=seed)
exact = log_volume_factor(lambda z: z + contraction(z), point)
chapter.known("log det in 50 dimensions, estimated", estimate, exact, source="the full Jacobian", error=error)

# %%
chapter.end()
