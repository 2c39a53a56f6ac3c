# %% [markdown]
# # How large a code?
#
# The length of the code $z$ is the first number one has to choose, and the tempting answer, "the larger, the sharper
# the pictures", is half wrong. Two questions are mixed in it:
#
# * **How much does the code say?** In a VAE that is measured: $\mathrm{KL}(q(z \mid x) \,\|\, p(z))$ nats per example.
# * **Is what it says worth its price?** The bound answers that: reconstruction gained minus nats paid,
#
# $$\log p(x) \;\ge\; \mathbb{E}_q[\log p(x \mid z)] - \mathrm{KL}(q(z \mid x) \,\|\, p(z)).$$
#
# A VAE buys what pays and leaves the rest of its units idle, so that a code that is too long costs it little. A plain
# autoencoder has no price to pay: it uses every unit it is given, and its error never says "enough".

# %%
import math
import tempfile

import matplotlib.pyplot as plt
import numpy as np
import torch

import pushforward as pf
from pushforward.chapter import ACCENT, BLUE, GREEN, GREY, ORANGE, Chapter
from pushforward.evaluation.collapse import latent_use

chapter = Chapter("How large a code?")

# %% Try: change one number and run again.
directions = 3  # hidden ones of the toy data, at most 7: this many units come alive, however many there are
spread = 1.5  # of the weakest hidden direction in units of the noise: at 0.3 it is not worth the nats it costs
sizes = [1, 2, 4, 8, 16, 32]  # of the code of the digits: the bound stops growing, look where
steps = chapter.size(650, smoke=15)  # of training: with few, large codes look worse than they are

folder = tempfile.TemporaryDirectory()


def fit(name, data, steps, batch_size=128, lr=0.0, **options):
    """One model, on one thread so that the numbers are the same again; lr=0 takes the model's own rate."""
    settings = pf.Settings(steps=steps, batch_size=batch_size, lr=lr, threads=1, validate_every=steps)
    fit.count += 1
    return pf.fit(name, data, out=f"{folder.name}/{fit.count}", settings=settings, options=options, show=False)


fit.count = 0

# %% [markdown]
# ## Where the answer is known
#
# Data in eight dimensions, made from a few hidden directions and noise:
#
# $$x = \sum_{j=1}^{k} s_j\, h_j\, w_j + \sigma\, \epsilon, \qquad h_j, \epsilon_i \sim N(0, 1),$$
#
# with orthonormal $w_j$. For a *linear* VAE everything is known (it is probabilistic PCA). A unit that follows
# direction j has the posterior variance $\sigma^2 / (s_j^2 + \sigma^2)$, and costs
#
# $$\mathrm{KL}_j = \tfrac12 \ln \frac{s_j^2 + \sigma^2}{\sigma^2} \quad\text{nats};$$
#
# a unit without a direction costs nothing, because its posterior is the prior. So of six units exactly k should be
# alive, and the nats they carry are known.

# %%
half = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64) / math.sqrt(2)
turn = torch.kron(torch.kron(half, half), half)  # eight orthonormal directions, each shared by all coordinates alike
strength = spread * torch.arange(directions, 0, -1, dtype=torch.float64)
generator = torch.Generator().manual_seed(0)
n = chapter.size(20_000, smoke=500)
hidden = torch.randn(n, directions, generator=generator, dtype=torch.float64) * strength
x = hidden @ turn[:directions] + torch.randn(n, 8, generator=generator, dtype=torch.float64)

data = pf.load_data(x.numpy(), name="hidden directions")
linear = {"network": "linear", "variance": "shared", "latent_dim": 6}
# Large batches and a high rate: a unit that is on its way to silence gets there in the time that is left.
run = fit("vae", data, chapter.size(3000, smoke=10), batch_size=chapter.size(1000, smoke=100), lr=0.01, **linear)
use = latent_use(run.model, data.test, rows=2000)
nats = sorted(use.kl, reverse=True)
known = (0.5 * (1 + strength**2).log()).tolist() + [0.0] * (6 - directions)

figure, axis = plt.subplots(figsize=(5.4, 3.4))
places = np.arange(6)
axis.bar(places, nats, width=0.55, color=BLUE, label="six units, the busiest first")
axis.plot(places, known, "_", ms=26, mew=2.5, color=ACCENT, label=r"$\frac{1}{2}\ln((s_j^2+\sigma^2)/\sigma^2)$")
axis.set(xlabel="unit of the code", ylabel="nats per example", title=f"{directions} hidden directions, 6 units")
axis.set_xticks(places, places + 1)
axis.legend()
chapter.show(figure, "32-known")

# The nats of a unit vary by about 0.7 between examples, hence by 0.016 in the mean of 2,000 of them; 0.08 leaves five
# times that for the noise and for what training has not finished.
if not chapter.smoke:
    alive = sum(value > 0.05 for value in nats)
    chapter.known("units alive of 6", alive, directions, source="the hidden directions", within=0)
    for j in range(directions):
        chapter.known(f"KL of unit {j + 1}", nats[j], known[j], source="1/2 ln(1 + s^2)", within=0.08)
    chapter.known("KL of all idle units", sum(nats[directions:]), 0.0, source="q = prior", within=0.08)

# %% [markdown]
# ## Where it is not: digits
#
# Scans of 8 x 8 pixels in 17 levels. For every length of the code a VAE and a plain autoencoder of the same networks
# are trained. What is looked at, always on held-out digits:
#
# * the **bound** in nats per digit, the figure to choose by;
# * the **nats** that the code carries, and the units that carry them;
# * the **reconstruction error**, decode(encode(x)) against x, as a root mean square in grey levels;
# * the **energy distance** of samples to held-out digits; 0 would be no difference. The autoencoder has no distribution
#   of codes, so a mixture of ten Gaussians is fitted to them afterwards.

# %%
digits = pf.load_data("digits", labels=False)
test = digits.test[torch.arange(len(digits.test))].x


def energy_distance(a, b):
    """2 E|a - b| - E|a - a'| - E|b - b'| of two samples, in grey levels per pixel."""
    a, b = (t.flatten(1).double() / 8 for t in (a, b))
    within = [torch.cdist(t, t).sum() / (len(t) * (len(t) - 1)) for t in (a, b)]
    return float(2 * torch.cdist(a, b).mean() - sum(within))


def error(model):
    """Root mean square of what is lost between x and decode(encode(x))."""
    return float((model.decode(model.encode(test)).double() - test.double()).square().mean().sqrt())


bounds, nats, alive, errors, distances, pictures = [], [], [], {"vae": [], "autoencoder": []}, {}, {}
distances = {"vae": [], "autoencoder": []}
for size in sizes:
    for name in ("vae", "autoencoder"):
        model = fit(name, digits, steps, latent_dim=size).model
        errors[name].append(error(model))
        samples = model.sample(chapter.size(1000, smoke=50), seed=0)
        distances[name].append(energy_distance(samples, test))
        pictures[name, size] = (model.decode(model.encode(test[:8])), samples[:8])
        if name == "vae":
            bounds.append(float(model.log_prob(test, samples=20).mean()))
            use = latent_use(model, digits.test)
            nats.append(sum(use.kl))
            alive.append(use.active_by_kl)
    print(
        f"{size:3d} units: log p >= {bounds[-1]:8.2f} nats, code {nats[-1]:5.2f} nats in {alive[-1]:2d} units; "
        f"error {errors['vae'][-1]:.2f} and {errors['autoencoder'][-1]:.2f} levels; "
        f"samples {distances['vae'][-1]:.3f} and {distances['autoencoder'][-1]:.3f}"
    )

# %% [markdown]
# The bound rises steeply while the code is too short, and then hardly moves: the units that are added stay idle, and
# the nats in the code stop growing. The autoencoder, which pays nothing, goes on using every unit for a smaller error.
#
# Its samples come out nearer to the data than those of the VAE, at every length: the mixture describes where its codes
# really lie, while the VAE relies on its codes filling the prior, which they do not quite: see chapter 26.

# %%
figure, axes = plt.subplots(1, 4, figsize=(13, 3.3))
axes[0].plot(sizes, bounds, "o-", color=BLUE)
axes[0].set(title="Bound, nats per digit")
axes[1].plot(sizes, nats, "o-", color=BLUE, label="nats in the code")
axes[1].plot(sizes, alive, "s-", color=GREEN, label="units alive")
axes[1].plot(sizes, sizes, ":", color=GREY, label="all units")
axes[1].set(title="What the VAE's code says", ylim=(0, 1.3 * max(*nats, *alive)))
axes[1].legend()
for axis, values, title in (
    (axes[2], errors, "Reconstruction error, grey levels"),
    (axes[3], distances, "Samples to data, energy distance"),
):
    axis.plot(sizes, values["vae"], "o-", color=BLUE, label="VAE")
    axis.plot(sizes, values["autoencoder"], "s-", color=ORANGE, label="autoencoder")
    axis.axhline(0, color=GREY, lw=0.8)
    axis.set(title=title)
    axis.legend()
for axis in axes:
    axis.set_xscale("log", base=2)
    axis.set_xticks(sizes, sizes)
    axis.set_xlabel("units of the code")
chapter.show(figure, "32-sizes")

# %% [markdown]
# Eight held-out digits, what comes back from codes of three lengths, and eight samples of each model.

# %%
shown = [sizes[1], sizes[3], sizes[-1]]
figure, axes = plt.subplots(1 + 2 * len(shown), 2, figsize=(8.6, 6.2))


def strip(axis, images, title):
    """Eight pictures in a row."""
    axis.imshow(torch.cat(list(images[:, 0]), 1).numpy(), cmap="gray_r", vmin=0, vmax=16)
    axis.set_title(title, fontsize=9)
    axis.set_axis_off()


for column, name in enumerate(("vae", "autoencoder")):
    strip(axes[0, column], test[:8], f"{name}: held-out digits")
    for row, size in enumerate(shown):
        back, samples = pictures[name, size]
        strip(axes[1 + row, column], back, f"{size} units: reconstructions")
        strip(axes[1 + len(shown) + row, column], samples, f"{size} units: samples")
chapter.show(figure, "32-pictures")

# %% [markdown]
# ## What goes wrong
#
# * **Too short**: the decoder must give one answer to digits that the code cannot tell apart. Reconstructions look like
#   averages, and the bound loses whole nats.
# * **Too long, VAE**: hardly anything. Idle units are ignored by the decoder. They cost a little noise in training, and
#   time. Count the ones that are alive before you call it collapse: with more units than the data can use, idle is
#   right.
# * **Too long, autoencoder**: nothing in its error says so. What samples need is the distribution of the codes, which
#   has to be fitted afterwards, in ever more dimensions from the same number of examples; on digits a mixture manages.
# * **Choosing by reconstruction** always says "longer". Choose by the bound on held-out data: the shortest code past
#   which it no longer grows.

# %%
best = int(np.argmax(bounds))
print(f"best bound: {bounds[best]:.2f} nats with {sizes[best]} units, {alive[best]} of them alive")
if not chapter.smoke:
    rise = bounds[-1] - bounds[0]
    late = bounds[-1] - bounds[-2]
    chapter.known("gain of the last doubling, share of all", late / rise, 0.0, source="idle units", within=0.1)
folder.cleanup()
chapter.end()
