# %% [markdown]
# # Good reconstruction, poor generation
#
# A model with a code can fail in a way that its reconstructions never show. To *reconstruct*, the decoder is given
# codes of real examples: draws from the **aggregate posterior** $q(z) = \mathbb{E}_x\, q(z \mid x)$. To *generate*, it
# is given draws from the prior $p(z)$. Where the two differ, the decoder is asked about codes it has never seen.
#
# The KL term of the bound is exactly the price of both,
#
# $$\mathbb{E}_x\, \mathrm{KL}(q(z \mid x) \,\|\, p(z)) = I(x; z) + \mathrm{KL}(q(z) \,\|\, p(z)),$$
#
# what the code tells about $x$, and how far the codes lie from where samples are drawn. An autoencoder pays neither: it
# tells as much as it can, and its codes lie wherever they like.

# %%
import dataclasses
import math
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from sklearn.mixture import GaussianMixture

import pushforward as pf
from pushforward.chapter import ACCENT, BLUE, GREEN, GREY, ORANGE, Chapter
from pushforward.evaluation.collapse import latent_use
from pushforward.evaluation.held_out import energy_distance
from pushforward.evaluation.latent_maps import latent_map
from pushforward.evaluation.latents import codes_of, decoded

chapter = Chapter("Good reconstruction, poor generation")

# %% Try: change one number and run again.
light = 0.02  # weight of the KL term of the first model; at 0 it is an autoencoder, at 1 there is nothing to repair
steps = chapter.size(600, smoke=4)  # of training
latent_dim = 8  # units of the code; with 2 both models reconstruct badly, and the light one gains nothing
components = 20  # of the mixture that repairs it; with 1 it covers the data and all the holes between
draws = chapter.size(500, smoke=50)  # samples to judge by; fewer make the last figures noisier
seed = torch.Generator().manual_seed(0)

# %% [markdown]
# ## The two parts, where they are known
#
# Let $x \sim N(0, 1)$ and $q(z \mid x) = N(g x, d^2)$. Then $q(z) = N(0, g^2 + d^2)$ and both parts have a formula.
# From draws they are found without one: $q(z)$ is the mean of $q(z \mid x_b)$ over examples, so all that is needed is
# the density of every $z$ under the posterior of every $x$.

# %%
g, d, n = 1.5, 0.5, chapter.size(2000, smoke=500)
x = torch.randn(n, generator=seed, dtype=torch.float64)
z = g * x + d * torch.randn(n, generator=seed, dtype=torch.float64)
log_pairs = torch.distributions.Normal(g * x, d).log_prob(z[:, None])  # row: a code; column: an example
log_q = log_pairs.logsumexp(1) - math.log(n)
told = log_pairs.diagonal() - log_q
away = log_q - torch.distributions.Normal(0.0, 1.0).log_prob(z)
spread = g**2 + d**2
for quantity, each, answer, source in (
    ("I(x; z)", told, 0.5 * math.log(1 + (g / d) ** 2), "Gaussian channel"),
    ("KL(q(z) || p(z))", away, 0.5 * (spread - 1 - math.log(spread)), "two normals"),
):
    chapter.known(quantity, each.mean(), answer, source=source, error=each.std() / n**0.5)

# %% [markdown]
# ## The same digits, two weights
#
# Two models of the digits, alike but for the weight of the KL term. With almost none the code is free: its
# reconstructions are the better ones.

# %%
digits = dataclasses.replace(pf.load_data("digits"), condition=None)
names = pf.load_data("digits").condition
folder = Path(tempfile.mkdtemp())
runs = {}
for name, beta in (("light", light), ("full", 1.0)):
    runs[name] = pf.fit(
        "vae",
        digits,
        steps=steps,
        seed=0,
        out=folder / name,
        options={"latent_dim": latent_dim, "beta": beta, "warm_up": 0.3, "width": 128},
        # One validation, at the end: the weights with the best bound would be early ones, and a light model does not
        # learn the bound.
        settings=pf.Settings(threads=1, device="cpu", validate_every=steps),
        show=False,
    )
models = {name: run.model for name, run in runs.items()}
codes = {name: codes_of(model, digits.train, rows=1400, condition=names) for name, model in models.items()}
held = {name: codes_of(model, digits.test, condition=names) for name, model in models.items()}
uses = {name: latent_use(model, digits.test) for name, model in models.items()}


def error_of(name):
    """Root mean squared error of a held-out pixel, in levels of 16."""
    back = decoded(models[name], held[name].z, held[name].shape)
    return float((back.double() - held[name].x.double()).square().mean().sqrt())


errors = {name: error_of(name) for name in models}
for name in models:
    print(f"{name}: a pixel is off by {errors[name]:.2f} levels; {uses[name]}")

# %% [markdown]
# ## Where the codes lie
#
# The codes, seen along the two directions in which they vary most. The circles hold 39 %, 86 % and 99 % of the prior.
# With a full KL term the codes fill them about as the prior asks. With a light one they are spread over a far larger
# space, in islands: a draw from the prior falls into the middle, where the decoder has hardly been.

# %%
angle = torch.linspace(0, 2 * math.pi, 200)
planes = {name: latent_map(found.z) for name, found in codes.items()}
figure, axes = plt.subplots(1, 2, figsize=(10, 4.8))
for pane, name in zip(axes, models, strict=True):
    for digit in range(10):
        chosen = planes[name][codes[name].labels == digit]
        pane.scatter(*chosen.numpy().T, s=6, lw=0, color=plt.get_cmap("tab10")(digit), label=str(digit))
    for radius in (1, 2, 3):
        pane.plot(radius * angle.cos(), radius * angle.sin(), color=ACCENT, lw=1)
    pane.set(aspect="equal", xlabel="first direction", ylabel="second direction", title=f"Codes, KL term {name}")
axes[1].legend(fontsize=7, markerscale=2, loc="center left", bbox_to_anchor=(1.0, 0.5))
chapter.show(figure, "26-codes")

# %% [markdown]
# ## Three ways to draw
#
# From the prior, as the model says; and, for the light model, from a density *fitted to its codes after training*: a
# mixture of Gaussians. That is the repair that costs nothing: the autoencoder keeps its sharp reconstructions, and
# samples are drawn where the decoder knows its way. (A prior that is learned along, `prior="mixture"`, does the same in
# one go; the model "autoencoder" fits such a mixture as its second stage by itself.)
#
# Samples are compared with held-out digits by the energy distance of their pixels: 0 only for equal distributions. Real
# training digits against real test digits set the floor.

# %%
with torch.random.fork_rng():
    torch.manual_seed(0)
    standard = torch.randn(draws, latent_dim)
mixture = GaussianMixture(components, random_state=0).fit(codes["light"].z.double().numpy())
ex_post = torch.from_numpy(mixture.sample(draws)[0]).float()[torch.randperm(draws, generator=seed)]
made = {
    "light, from the prior": decoded(models["light"], standard, held["light"].shape),
    "light, from the mixture": decoded(models["light"], ex_post, held["light"].shape),
    "full, from the prior": decoded(models["full"], standard, held["full"].shape),
}
real = digits.test.x.flatten(1).double() / 16
distances = {name: energy_distance(images.flatten(1).double() / 16, real) for name, images in made.items()}
floor = energy_distance(digits.train.x[:draws].flatten(1).double() / 16, real)
for name, distance in distances.items():
    print(f"{name}: energy distance {distance:.3f} (real digits {floor:.3f})")

# %%
figure, panes = plt.subplots(4, 12, figsize=(9, 3.3))
rows = [("data", digits.test.x), *made.items()]
for pane_row, (name, images) in zip(panes, rows, strict=True):
    for pane, image in zip(pane_row, images, strict=False):
        pane.imshow(image[0].numpy(), cmap="gray_r", vmin=0, vmax=16)
        pane.set(xticks=[], yticks=[])
        pane.spines[:].set_visible(False)
    pane_row[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
chapter.show(figure, "26-samples")

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), width_ratios=[1, 1.3])
left.bar(["light", "full"], [errors["light"], errors["full"]], color=[ORANGE, BLUE])
left.set(ylabel="levels of 16", title="Error of a reconstructed pixel")
right.barh(list(distances), list(distances.values()), color=[ORANGE, GREEN, BLUE])
right.axvline(floor, color=GREY, lw=1.2, ls="--")
right.invert_yaxis()
right.set(xlabel="energy distance to held-out digits (dashed: real digits)", title="Samples")
chapter.show(figure, "26-scores")

# %% [markdown]
# The lesson is in the two pictures: by its reconstructions the light model is the better one, by its samples from the
# prior the worse, and nothing in its loss tells that. The mismatch does, and so does one look at the map.
#
# What to do: give the KL term its full weight (and enough units); or fit a density to the codes; or learn the prior.

# %%
loose = chapter.smoke
chapter.known(
    "KL term - (I + mismatch)",
    sum(uses["full"].kl) - uses["full"].information - uses["full"].mismatch,
    0.0,
    source="the identity above",
    within=2.0 if loose else 0.3,  # one draw of z for each of 180 examples
)
ratio = errors["light"] / errors["full"]
chapter.known("light / full: error of a pixel", ratio, 0.7, source="below 1", within=9 if loose else 0.25)
ratio = distances["light, from the mixture"] / max(distances["light, from the prior"], 1e-9)
chapter.known("mixture / prior: energy distance", ratio, 0.2, source="below 1", within=9 if loose else 0.5)

# %%
chapter.end()
