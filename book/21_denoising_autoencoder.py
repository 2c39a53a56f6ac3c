# %% [markdown]
# # Denoising autoencoders
#
# Spoil what the encoder reads, and ask for the clean example all the same:
#
# $$\min_r \; \mathbb{E}\, \| x - r(x') \|^2, \qquad x' = x + a\, \epsilon.$$
#
# Copying no longer helps, so no bottleneck is needed. To undo the noise a network has to know where examples usually
# lie. What it learns can be written down: the best answer to squares is a conditional mean,
#
# $$r(x') = \mathbb{E}[x \mid x'].$$
#
# And there is more in it than a cleaned example. With $p_a$ the density of noisy examples, Tweedie's formula says
#
# $$\mathbb{E}[x \mid x'] = x' + a^2\, \nabla \log p_a(x'),$$
#
# so the arrow from a noisy example to its repaired one is the gradient of a log-density, the *score*. A denoiser is a
# density model in disguise; diffusion models are made of this.

# %%
import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits

from pushforward.autoencoders.autoencoder import Autoencoder
from pushforward.autoencoders.corruption import corrupt
from pushforward.chapter import ACCENT, BLUE, GREY, ORANGE, Chapter
from pushforward.core.modality import Points
from pushforward.core.noise import Noise

chapter = Chapter("Denoising autoencoders")

# %% Try: change one number and run again.
a = 0.5  # deviation of the noise: at 2 all arrows point to the middle, at 0.1 to the nearest cluster
steps = chapter.size(2000, smoke=15)  # of training
lost = 0.4  # share of the pixels that are spoiled in the last part


def train(model, x, steps, lr=3e-3, batch=512):
    """Adam on the loss of the model, the rate falling to 0 over the last two thirds; noise is drawn anew each time."""
    y, _ = model.fitted.encode(x, noise=Noise(0, rows=len(x)), dtype=model.dtype)
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


# %% [markdown]
# ## One Gaussian: a matrix
#
# For $x \sim N(0, S)$ the conditional mean is linear, $S (S + a^2 I)^{-1} x'$. A linear autoencoder with two numbers in
# its code, enough to copy everything, must find this matrix and not the identity: it shrinks, and most where the
# data vary least.

# %%
covariance = torch.tensor([[2.0, 0.8], [0.8, 0.5]]).double()
x = Noise(0, rows=4000).normal(2).double() @ torch.linalg.cholesky(covariance).T
torch.manual_seed(0)
fields = {"corruption": "gaussian", "corruption_level": a}
linear = Autoencoder(example=Points(dim=2), latent_dim=2, network="linear", **fields).double()
train(linear, x, steps // 2, lr=1e-2)
corners = torch.cat([torch.eye(2), torch.zeros(1, 2)]).double()
answers = linear.decode(linear.encode(corners))
found = (answers[:2] - answers[2]).T
known = torch.linalg.solve(covariance + a**2 * torch.eye(2).double(), covariance).T
slack = 10.0 if chapter.smoke else 0.03
for i, j in ((0, 0), (0, 1), (1, 1)):
    source = "S (S + a^2 I)^-1, S of 4,000 points"
    chapter.known(f"linear denoiser, entry {i + 1}{j + 1}", found[i, j], known[i, j], source=source, within=slack)

# %% [markdown]
# ## Three clusters: a field
#
# The density of three Gaussian clusters stays a mixture when noise is added, so $\mathbb{E}[x \mid x']$ is a closed
# form here too. The arrows on the left are what the network learned, those on the right are known. Look at the ridges
# between clusters, where an example could have come from either: the answer there is an *average*, a place where no
# data are. That is what squares ask for, and why a denoiser with much noise blurs.

# %%
centres = torch.tensor([[-1.5, -0.8], [1.5, -0.8], [0.0, 1.7]]).double()
narrow = 0.2  # deviation of a cluster


def posterior_mean(noisy):
    """E[x | x'], for the three clusters."""
    total = narrow**2 + a**2
    shares = (-0.5 * torch.cdist(noisy, centres).square() / total).softmax(dim=1)
    each = centres + (noisy[:, None] - centres) * narrow**2 / total
    return (shares[:, :, None] * each).sum(dim=1)


clean = centres[torch.arange(6000) % 3] + narrow * Noise(2, rows=6000).normal(2)
torch.manual_seed(0)
model = Autoencoder(example=Points(dim=2), latent_dim=16, width=64, depth=2, **fields)
train(model, clean, steps)
noisy = clean[:2000] + a * Noise(3, rows=2000).normal(2)
repaired = model.decode(model.encode(noisy))
gap = (repaired - posterior_mean(noisy)).square().mean().sqrt()
floor = (posterior_mean(noisy) - clean[:2000]).square().mean().sqrt()
print(f"error of the noisy points {(noisy - clean[:2000]).square().mean().sqrt():.3f}, of the best answer {floor:.3f}")
wide = 10.0 if chapter.smoke else 0.1
chapter.known("distance to E[x | x'], RMS", gap, 0.0, source="mixture, closed form", within=wide)
error = (repaired - clean[:2000]).square().mean().sqrt()
loose = 10.0 if chapter.smoke else 0.03
chapter.known("error of repaired points, RMS", error, floor, source="no estimate has less", within=loose)

side = torch.linspace(-2.8, 2.8, 17, dtype=torch.float64)
grid = torch.cartesian_prod(side, side)
figure, axes = plt.subplots(1, 2, figsize=(9.5, 4.6), sharex=True, sharey=True)
for axis, arrows, name, colour in (
    (axes[0], model.decode(model.encode(grid)) - grid, "Learned: $r(x') - x'$", BLUE),
    (axes[1], posterior_mean(grid) - grid, "Known: $a^2 \\nabla \\log p_a(x')$", ACCENT),
):
    axis.scatter(*clean[:600].T.numpy(), s=3, color=GREY)
    field = {"angles": "xy", "scale_units": "xy", "scale": 4, "width": 0.004}
    axis.quiver(*grid.T.numpy(), *arrows.T.numpy(), color=colour, **field)
    axis.set(title=name, aspect="equal", xlabel="$x_1$")
axes[0].set(ylabel="$x_2$")
chapter.show(figure, "21-field")

# %% [markdown]
# ## Three ways to spoil a digit
#
# Gaussian noise, masking (pixels set to grey) and salt and pepper (pixels set to black or white). Each network is
# trained on one of them, and asked to repair held-out digits spoiled in the same way. What is left of the squared error
# is printed; a network that has seen none of this data could not know which strokes to put back.

# %%
pixels = torch.from_numpy(load_digits().data / 8 - 1)
held_out, shown = pixels[1500:], torch.arange(8)
rows, left = [("clean", held_out[shown])], {}
for kind, level in (("gaussian", 0.7), ("masking", lost), ("salt-and-pepper", lost)):
    torch.manual_seed(0)
    fields = {"corruption": kind, "corruption_level": level}
    model = Autoencoder(example=Points(dim=64), latent_dim=64, width=128, depth=2, **fields)
    train(model, pixels[:1500], chapter.size(1200, smoke=10), batch=128)
    spoiled = corrupt(held_out, kind, level, noise=Noise(9, rows=len(held_out)))
    again = model.decode(model.encode(spoiled))
    before, after = ((some - held_out).square().mean().item() for some in (spoiled, again))
    left[kind] = after / before
    print(f"{kind:<16} squared error {before:.3f} before, {after:.3f} after: {100 * left[kind]:.0f} % is left")
    rows += [(kind, spoiled[shown]), ("repaired", again[shown])]

figure, axes = plt.subplots(len(rows), len(shown), figsize=(6.5, 5.6))
for line, (name, images) in zip(axes, rows, strict=True):
    for axis, image in zip(line, images, strict=True):
        axis.imshow(image.reshape(8, 8).numpy(), cmap="Greys", vmin=-1, vmax=1)
        axis.set(xticks=[], yticks=[])
    colour = {"clean": ACCENT, "repaired": BLUE}.get(name, ORANGE)
    line[0].set_ylabel(name, rotation=0, ha="right", va="center", color=colour)
chapter.show(figure, "21-digits")

# %%
chapter.end()
