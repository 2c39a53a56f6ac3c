# %% [markdown]
# # An autoencoder on the sombrero
#
# Points on a hat-shaped surface have three coordinates, but two numbers say where on the surface a point is. An
# **autoencoder** has to find such numbers by itself: an encoder makes a *code* of two numbers from the three, a decoder
# makes three from the two, and both learn from one demand, that the point comes back:
#
# $$z = f(x), \qquad \min_{f, g}\; \mathbb{E}\, \|x - g(z)\|^2.$$
#
# Nothing else is asked for, and nobody says what the two numbers should mean. What they can*not* do is keep all three
# coordinates: the code is a bottleneck, and only what all points have in common (the shape of the hat) can be left to
# the decoder.

# %%
import math

import matplotlib.pyplot as plt
import torch
from sklearn.manifold import trustworthiness

from pushforward.autoencoders.autoencoder import Autoencoder
from pushforward.chapter import ACCENT, BLUE, GREY, ORANGE, Chapter
from pushforward.core.data import Batch
from pushforward.core.fit_units import fit_units
from pushforward.core.modality import Points
from pushforward.core.noise import Noise

chapter = Chapter("An autoencoder on the sombrero")

# %% Try: change one number and run again.
height = 3.0  # of the hat: at 0.1 the surface is nearly a plane, and two steps of training are nearly enough
latent_dim = 2  # with 1 the code has to be a line that winds over the surface: see the error
steps = chapter.size(1500, smoke=20)  # of training
width = 64  # hidden units of each of three layers: with 8 the rim of the hat is out of reach

# %% [markdown]
# ## The surface
#
# $(x, y)$ is uniform on a square, and the height is $h \sin(2r) / (2r)$ with $r$ the distance from the middle: a peak,
# a ditch around it, a low rim.


# %%
def sombrero(n, seed):
    """n points on the surface."""
    ground = 8 * Noise(seed, rows=n).uniform(2).double() - 4
    r = ground.norm(dim=1, keepdim=True)
    return torch.cat([ground, height * torch.sinc(2 * r / math.pi)], dim=1)


def train(model, x, steps, lr=1e-2, batch=256):
    """Adam on the loss of the model, the rate falling to 0 over the last two thirds."""
    y, _ = model.fitted.encode(x, noise=Noise(0, rows=len(x)))
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    order = torch.Generator().manual_seed(0)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = lr * min(1.0, 1.5 * (1 - step / steps))
        rows = torch.randint(len(y), (batch,), generator=order)
        loss = model.loss(y[rows], noise=Noise(1, step, rows=batch)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def error(model, x):
    """Root mean square error of a coordinate, as a share of the height of the surface."""
    whole = float(x[:, 2].max() - x[:, 2].min())
    return (model.decode(model.encode(x)) - x).square().mean().sqrt().item() / whole


def order(model, x):
    """How many of the nearest neighbours in the code are near on the ground as well; 1 is all."""
    return float(trustworthiness(x[:, :2].numpy(), model.encode(x).numpy(), n_neighbors=10))


points, held_out = sombrero(4000, seed=1), sombrero(1000, seed=2)
torch.manual_seed(0)
model = train(Autoencoder(example=Points(dim=3), latent_dim=latent_dim, width=width, depth=3), points, steps)
slack = 1.0 if chapter.smoke else 0.02
chapter.known("RMSE / height", error(model, held_out), 0.0, source="2 numbers describe the surface", within=slack)
order_allowed = 1.0 if chapter.smoke else 0.01
chapter.known("trustworthiness", order(model, held_out), 1.0, source="neighbours stay neighbours", within=order_allowed)

# %% [markdown]
# Left, held-out points; in the middle, what comes back from their codes; right, the codes. Colour is the distance from
# the middle of the hat. The rings of the surface are rings of the code. Its axes mean nothing, and another seed turns
# and bends the picture; that neighbours stay neighbours is what counts, and what the second row of the table measures.

# %%
codes, back = model.encode(held_out), model.decode(model.encode(held_out))
radius = held_out[:, :2].norm(dim=1).numpy()
figure = plt.figure(figsize=(10.5, 3.8))
for place, x, name in ((1, held_out, "The surface"), (2, back, f"Decoded from {latent_dim} numbers")):
    axis = figure.add_subplot(1, 3, place, projection="3d")
    axis.scatter(*x.numpy().T, s=6, c=radius, cmap="viridis", depthshade=False)
    axis.set(xlabel="x", ylabel="y", zlim=(-1, 3))
    axis.set_title(name, loc="left")
    axis.set_box_aspect((1, 1, 0.6))
axis = figure.add_subplot(1, 3, 3)
shown = axis.scatter(codes[:, 0], codes[:, -1], c=radius, s=6, cmap="viridis")
axis.set(title="The code", xlabel="$z_1$", ylabel="$z_2$")
figure.colorbar(shown, label="distance from the middle")
chapter.show(figure, "18-surface-and-code")

# %% [markdown]
# ## What goes wrong: units
#
# Models usually see *standardised* numbers, each divided by its deviation. Here that is harmful. The height varies
# little, so dividing stretches it, and the flanks of the hat become several times as steep. The cheapest first answer
# is then a code that *follows the height*, and points at the same height on different sides of the hat start out
# together. The training has to untangle them. The same network, for the same number of steps, in both units:

# %%
torch.manual_seed(0)
example = Points(dim=3)
units = fit_units(example, "real", points)
stretched = Autoencoder(example=example, units=units, latent_dim=latent_dim, width=width, depth=3)
train(stretched, points, steps)
for name, one in (("in its own units", model), ("standardised", stretched)):
    print(f"{name:<18} RMSE / height {error(one, held_out):.4f}, trustworthiness {order(one, held_out):.4f}")

# %% [markdown]
# ## A code is not a sampler
#
# Decoding *any* two numbers gives a point. But which codes are in use? Nothing in the loss says. Codes drawn from a
# standard normal, as one would for a variational autoencoder, crowd in the middle, miss the edges, or fall where no
# training point was. The remedy is to look: encode the training points, and fit a density to their codes, here a
# mixture of Gaussians by expectation-maximisation. Then drawing a code and decoding it draws from a model of the data.
#
# The samples are compared with the surface in two ways: how far they lie from it, which is easy, and how they are
# *spread* over the ground, which should be uniform.

# %%
y, _ = model.fitted.encode(points, noise=Noise(0, rows=len(points)))
z, _ = model.fitted.encode(held_out, noise=Noise(0, rows=len(held_out)))
normal = model.sample(2000, seed=0)  # before the density is fitted, codes are standard normal
*_, nats = model.solve(Batch(y), Batch(z), noise=Noise(2, rows=len(y)))
print(f"density of the codes: {-nats:.3f} nats per held-out code")
drawn = model.sample(2000, seed=0)


def off_surface(x):
    """Root mean square distance in height from the surface above the same ground."""
    return (x[:, 2] - height * torch.sinc(2 * x[:, :2].norm(dim=1) / math.pi)).square().mean().sqrt().item()


figure, axes = plt.subplots(1, 3, figsize=(9.5, 3.3), sharex=True, sharey=True)
for axis, x, name, colour in (
    (axes[0], held_out, "Data", GREY),
    (axes[1], normal, "Codes from a standard normal", ORANGE),
    (axes[2], drawn, "Codes from the fitted mixture", BLUE),
):
    axis.scatter(x[:1000, 0], x[:1000, 1], s=3, color=colour)
    axis.plot([-4, 4, 4, -4, -4], [-4, -4, 4, 4, -4], color=ACCENT, lw=0.8)
    axis.set(title=name, xlabel="x", aspect="equal", xlim=(-6, 6), ylim=(-6, 6))
axes[0].set(ylabel="y")
chapter.show(figure, "18-samples-from-above")

rough = 10.0 if chapter.smoke else 0.1 * height
inside = (drawn[:, :2].abs() < 4).all(1)
chapter.known("samples: distance from the surface", off_surface(drawn[inside]), 0.0, source="0 on it", within=rough)
spread = 10.0 if chapter.smoke else 0.2
known_spread = 4 / math.sqrt(3)
chapter.known("samples: deviation of x", drawn[:, 0].std(), known_spread, source="uniform on [-4, 4]", within=spread)
chapter.known("samples: deviation of y", drawn[:, 1].std(), known_spread, source="uniform on [-4, 4]", within=spread)

# %%
chapter.end()
