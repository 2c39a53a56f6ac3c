# %% [markdown]
# # A tour of the latent space
#
# A code is worth having for what can be done with it: look at all data on one page, move along one property, walk from
# one example to another, find what is alike, sort into groups, and hand a few numbers to a classifier instead of many.
# Each of these is one function, and works with any model that has a code. From the command line,
# `pushforward latent RUN` does all of it for a run of yours.

# %%
import dataclasses
import math
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import pushforward as pf
from pushforward.chapter import ACCENT, BLUE, GREY, ORANGE, Chapter
from pushforward.core.modality import Image
from pushforward.evaluation.latent_maps import cluster, latent_map
from pushforward.evaluation.latent_quality import linear_probe, smoothness
from pushforward.evaluation.latents import codes_of, decoded, interpolate, moved, nearest_codes, traverse
from pushforward.run.encoder import LatentEncoder
from pushforward.run.tour import tour

chapter = Chapter("A tour of the latent space")

# %% Try: change one number and run again.
latent_dim = 10  # units; with 2 the map needs no projection, and the digits overlap
steps = chapter.size(900, smoke=4)  # of training
start, to = 3, 8  # classes of the arithmetic: what makes a 3 an 8 is added to every 3
labels_known = 100  # of the last part: with 30 all features do worse, and the order may change
map_of = "tsne"  # "pca" keeps true distances, "umap" (pip install umap-learn) is another of its kind

# %% [markdown]
# ## Codes
#
# A VAE of the digits that is not told their classes. All that follows is about `codes.z`: one row per example.

# %%
whole = pf.load_data("digits")
digits = dataclasses.replace(whole, condition=None)
folder = Path(tempfile.mkdtemp())
run = pf.fit(
    "vae",
    digits,
    steps=steps,
    seed=0,
    out=folder / "run",
    options={"latent_dim": latent_dim, "width": 128, "warm_up": 0.5},
    settings=pf.Settings(threads=1, device="cpu"),
    show=False,
)
model = run.model
codes = codes_of(model, digits.train, rows=chapter.size(1000, smoke=100), condition=whole.condition)
held = codes_of(model, digits.test, condition=whole.condition)

# %% [markdown]
# ## Two maps
#
# Principal components keep true directions: two classes that overlap there may still be far apart in a third. t-SNE
# keeps *neighbours* together and lets go of all else: its islands may be believed, the distances between them may not.

# %%
maps = {"pca": latent_map(codes.z, "pca"), map_of: latent_map(codes.z, map_of, seed=0)}
figure, axes = plt.subplots(1, 2, figsize=(10, 4.6))
for pane, (how, plane) in zip(axes, maps.items(), strict=True):
    for digit in range(10):
        of_digit = plane[codes.labels == digit].numpy()
        pane.scatter(*of_digit.T, s=6, lw=0, color=plt.get_cmap("tab10")(digit), label=str(digit))
    pane.set(xticks=[], yticks=[], title=f"{len(codes):,} codes by {how}")
axes[1].legend(fontsize=8, markerscale=2, loc="center left", bbox_to_anchor=(1.0, 0.5))
chapter.show(figure, "34-maps")

found = cluster(held.z, 10, labels=held.labels)
print(f"10 clusters against the 10 digits: adjusted Rand index {found.rand:.2f}, silhouette {found.silhouette:.2f}")

# %% [markdown]
# ## Along one unit, and from one digit to another
#
# The middle of a straight line between two codes is too near the origin: in $d$ dimensions normal codes have length
# about $\sqrt d$, two of them are nearly at right angles, and so their mean has length $\sqrt{d/2}$. The great circle
# keeps the length. With 10 units it hardly matters; with hundreds it does.

# %%


def strip(images):
    """Images side by side."""
    return np.concatenate([np.pad(image[0].numpy(), ((1, 1), (1, 1))) for image in images], axis=1)


busy = codes.z.var(0).argsort(descending=True)[:3].tolist()
centre = int((codes.z - codes.z.mean(0)).norm(dim=1).argmin())
a, b = (held.z[int((held.labels == digit).nonzero()[0])] for digit in (0, 6))
paths = {f"unit {unit}": traverse(codes.z[centre], unit, torch.linspace(-3, 3, 11).tolist()) for unit in busy}
paths |= {how: interpolate(a, b, 11, how) for how in ("linear", "spherical")}
figure, panes = plt.subplots(len(paths), 1, figsize=(7, 3.6))
for pane, (name, path) in zip(panes, paths.items(), strict=True):
    pane.imshow(strip(decoded(model, path, codes.shape)), cmap="gray_r", vmin=0, vmax=16)
    pane.set(xticks=[], yticks=[])
    pane.spines[:].set_visible(False)
    pane.set_ylabel(name, rotation=0, ha="right", va="center")
chapter.show(figure, "34-paths")

print(f"smoothness: {smoothness(model, held):.2f}, 1 for steps of equal length and 0.06 for one jump")
with torch.random.fork_rng():
    torch.manual_seed(0)
    ends = torch.randn(200, 2, 1000)
halves = [interpolate(*pair, 3, how)[1].norm() / math.sqrt(1000) for how in ("linear", "spherical") for pair in ends]
straight, circle = torch.stack(halves).view(2, 200).mean(1)
chapter.known("length in the middle of a line", straight, math.sqrt(0.5), source="right angles", within=0.01)
chapter.known("length in the middle of the circle", circle, 1.0, source="by construction", within=0.01)

# %% [markdown]
# ## Arithmetic, and what is alike
#
# The difference of two class means, added to a code, changes the class and leaves much of the handwriting. And the
# neighbours of a code show what the model takes for alike.

# %%
chosen = (held.labels == start).nonzero().flatten()[:8]
changed = moved(held.z[chosen], codes, start=start, to=to)
alike = nearest_codes(held.z[chosen[:1]], codes, k=8).indices[0]
rows = {
    f"{start}, as they are": held.x[chosen],
    "decoded": decoded(model, held.z[chosen], held.shape),
    f"moved to {to}": decoded(model, changed, held.shape),
    "alike to the first": codes.x[alike],
}
figure, panes = plt.subplots(4, 1, figsize=(6.5, 3.6))
for pane, (name, images) in zip(panes, rows.items(), strict=True):
    pane.imshow(strip(images), cmap="gray_r", vmin=0, vmax=16)
    pane.set(xticks=[], yticks=[])
    pane.spines[:].set_visible(False)
    pane.set_ylabel(name, rotation=0, ha="right", va="center")
chapter.show(figure, "34-arithmetic")

# %% [markdown]
# ## What is in it for a classifier
#
# The code is learned from all digits without labels, the classifier from a handful with. `LatentEncoder` is the same
# model as a step of a scikit-learn pipeline.
#
# A baseline belongs beside it, and here it wins: 64 pixels of centred digits are as good features as one could wish,
# and ten numbers, chosen to *draw* the digit and not to name it, keep most of that but not all. Codes pay where inputs
# are many and raw. Never leave the comparison out.

# %%
probe = linear_probe(codes.z, codes.labels, held.z, held.labels)
print(f"a linear classifier on the codes of {len(codes)} digits tells {100 * probe:.0f} % of others")
pixels, classes = (t.numpy() for t in (digits.train.x.flatten(1).double(), whole.train.condition))
test_pixels, test_classes = (t.numpy() for t in (digits.test.x.flatten(1).double(), whole.test.condition))
encoder = LatentEncoder(
    "vae",
    latent_dim=latent_dim,
    steps=chapter.size(900, smoke=3),
    options={"width": 128, "warm_up": 0.5},
    example=Image(height=8, width=8, levels=17),
).fit(pixels)
few = np.random.default_rng(0).permutation(len(pixels))[:labels_known]
accuracies = {}
for name, step in (("pixels", None), ("PCA", PCA(latent_dim).fit(pixels)), ("codes", encoder)):
    train, test = (rows if step is None else step.transform(rows) for rows in (pixels[few], test_pixels))
    classifier = LogisticRegression(max_iter=5000).fit(train, classes[few])
    accuracies[name] = float(classifier.score(test, test_classes))
print(f"with {labels_known} labels: {accuracies}")
pipeline = make_pipeline(encoder, LogisticRegression(max_iter=5000))
print("as a pipeline:", [name for name, _ in pipeline.steps])

figure, axes = plt.subplots(figsize=(5.2, 2.2))
axes.barh(list(accuracies), list(accuracies.values()), color=[GREY, ORANGE, BLUE])
axes.axvline(0.1, color=ACCENT, lw=1, ls="--")
axes.set(xlim=(0, 1), xlabel=f"accuracy with {labels_known} labels (dashed: chance)")
axes.invert_yaxis()
chapter.show(figure, "34-few-labels")

# %% [markdown]
# ## All at once
#
# The report that `pushforward latent RUN` prints, with its pictures in a folder:

# %%
if not chapter.smoke:
    print(tour(run, whole, out=chapter.out / "34-tour"))

# %%
best = float(LogisticRegression(max_iter=5000).fit(pixels, classes).score(test_pixels, test_classes))
within = 1.0 if chapter.smoke else 0.2
chapter.known("accuracy from codes / from all pixels", probe / best, 1.0, source="nothing lost", within=within)

# %%
chapter.end()
