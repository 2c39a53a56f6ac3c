# %% [markdown]
# # What a classifier gains: codes as features, examples as data
#
# A generative model learns the shape of the data without labels. A classifier can use that in two ways:
#
# * **features**: replace an example by its code, and learn the labels on that;
# * **augmentation**: draw more examples of each class, and learn on real and drawn ones together.
#
# Both help where labels are few, and neither makes information. What is gained is measured here, with intervals.

# %%
import dataclasses
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

import pushforward as pf
from pushforward.chapter import BLUE, GREY, ORANGE, Chapter
from pushforward.core.data import Rows
from pushforward.core.modality import Label, Points
from pushforward.probability.baselines import Gaussian
from pushforward.probability.ppca import PPCA
from pushforward.uses.augmentation import augmented_accuracy, forest
from pushforward.uses.features import features, probe

chapter = Chapter("What a classifier gains: codes as features, examples as data")

# %% Try: change one number and run again.
steps = chapter.size(1000, smoke=4)  # of training a VAE without labels
latent_dim = 10  # numbers in a code; with 2 the classes overlap
few = 100  # labelled digits for the generated ones to help; with 1,400 they hardly do
shift = 0.6  # between two Gaussian classes; at 3 any classifier is right

# %% [markdown]
# ## Features
#
# A **probe** is a linear classifier on top of features that are left as they are. Three sets of them: the codes of a
# VAE that saw all images but no label, as many principal components (the best *linear* code), and the 64 pixels. The
# number of labels grows from left to right; the accuracy is on the same test digits throughout.

# %%
digits = pf.load_data("digits")
unlabelled = dataclasses.replace(digits, condition=None, recipe=None)
with tempfile.TemporaryDirectory() as folder:
    options = {"latent_dim": latent_dim, "likelihood": "discretised-logistic"}
    vae = pf.fit("vae", unlabelled, steps=steps, seed=0, out=Path(folder) / "run", options=options, show=False).model

counts = [30, 60, 120, 300, 600, len(digits.train)]
repeats = chapter.size(4, smoke=1)
found = {count: [probe(vae, digits, labels=count, seed=seed) for seed in range(repeats)] for count in counts}
figure, axes = plt.subplots(1, 2, figsize=(9.6, 3.7), width_ratios=[1.2, 1])
for place, (name, colour) in enumerate((("codes", BLUE), ("principal components", ORANGE), ("pixels", GREY))):
    every = np.array([[one[place].accuracy for one in found[count]] for count in counts])
    axes[0].plot(counts, every.mean(1), "o-", ms=4, color=colour, label=f"{found[counts[0]][0][place].size} {name}")
    axes[0].fill_between(counts, every.min(1), every.max(1), color=colour, alpha=0.15, lw=0)
axes[0].set(xscale="log", xlabel="labelled digits", ylabel="test accuracy", title="A linear classifier on features")
axes[0].legend(fontsize=8, loc="lower right")

codes = features(vae, digits.test[torch.arange(len(digits.test))].x)
labels = digits.test[torch.arange(len(digits.test))].condition.value
centred = codes - codes.mean(0)
plane = centred @ torch.linalg.svd(centred, full_matrices=False).Vh[:2].T
axes[1].scatter(*plane.T, c=labels, cmap="tab10", s=10, lw=0)
for digit in range(10):
    middle = plane[labels == digit].median(0).values
    axes[1].text(*middle.tolist(), str(digit), fontsize=13, weight="bold", ha="center", va="center")
axes[1].set(title="Test codes, two main directions; colour: class", xticks=[], yticks=[])
chapter.show(figure, "37-features")

# %% [markdown]
# An honest result: the codes of the VAE lose to principal components, and both lose to the pixels once there are a
# hundred labels. A code is made to draw the image again, and nobody asked it to lay the classes out so that *planes*
# part them; the directions of largest variance happen to do that well for digits. With thirty labels ten components
# beat 64 pixels: fewer numbers, fewer ways to be led astray. Always set a probe beside PCA before you praise a code.
#
# What a probe says is known where the code is: one direction holds the class, three larger ones know nothing of it.

# %%
generator = torch.Generator().manual_seed(0)
label = torch.randint(2, (2000,), generator=generator)
large = 5 * torch.randn(2000, 3, dtype=torch.float64, generator=generator)
x = torch.cat([large, 2.0 * label[:, None] - 1 + 0.1 * torch.randn(2000, 1, generator=generator)], 1)
halves = {"train": slice(0, 1000), "valid": slice(1000, 1000), "test": slice(1000, 2000)}
hidden = pf.Data(
    name="hidden",
    example=Points(dim=4),
    condition=Label(names=("a", "b")),
    **{name: Rows(x[rows], label[rows]) for name, rows in halves.items()},
)
knows = PPCA(example=Points(dim=4), latent_dim=1)
knows.maps[:] = torch.tensor([[[0.0], [0.0], [0.0], [1.0]]])  # a code that is the last entry
on_code, on_component, on_all = probe(knows, hidden)
chapter.known("accuracy on the code that holds the class", on_code.accuracy, 1.0, source="by construction", within=0)
reach = (on_component.high - on_component.low) / 2 / 1.96
chapter.known("accuracy on the first component", on_component.accuracy, 0.5, source="it knows nothing", error=reach)

# %% [markdown]
# ## Augmentation
#
# Where the answer is known: two Gaussian classes in 8 dimensions, 40 labelled examples, a random forest. Give it 600
# more examples from the *true* distribution, and it must get better; give it 600 from a model with the classes the
# wrong way round, and it must get worse. The interval is over seeds: what was drawn, and the chance in the forest.


# %%
def two_normals(rows):
    """So many labelled examples to learn from and 3,000 to be judged on."""
    n = rows + 3000
    label = torch.randint(2, (n,), generator=generator)
    x = torch.randn(n, 8, dtype=torch.float64, generator=generator) + shift * label[:, None]
    parts = {"train": slice(0, rows), "valid": slice(0, 0), "test": slice(rows, n)}
    splits = {name: Rows(x[part], label[part]) for name, part in parts.items()}
    return pf.Data(name="normals", example=Points(dim=8), condition=Label(names=("a", "b")), **splits)


def small_forest(seed):
    """A forest of few trees, which is quick."""
    return forest(seed).set_params(n_estimators=50)


normals = two_normals(40)
outcomes = {}
for name, at in (("the truth", shift), ("nothing: both classes alike", 0.0), ("the classes swapped", -shift)):
    model = Gaussian(example=normals.example, condition=normals.condition)
    model.means[2] = at  # row 0 is the model without class, rows 1 and 2 are the classes
    added = chapter.size(600, smoke=300)
    seeds = chapter.size(6, smoke=3)
    outcomes[name] = augmented_accuracy(model, normals, added=added, seeds=seeds, classifier=small_forest)
right, wrong = outcomes["the truth"], outcomes["the classes swapped"]
chapter.known("the interval is above 0 for the truth", right.low > 0, 1, source="more data of the kind", within=0)
chapter.known("the interval is below 0 for a wrong model", wrong.high < 0, 1, source="wrong labels", within=0)

# %% [markdown]
# ## Digits
#
# Now models that have to *learn* from the same few labels: one Gaussian for each class, and a VAE given the class. Each
# is fitted to the labelled digits alone and draws new ones of every class, and a forest learns from real and drawn
# ones.

# %%
subset = digits.train.spread(few)
labelled = dataclasses.replace(
    digits, name="few", recipe=None, train=Rows(subset.x, subset.condition.value), valid=digits.valid
)
with tempfile.TemporaryDirectory() as folder:
    for name in ("gaussian", "vae"):
        options = {} if name == "gaussian" else {"latent_dim": latent_dim, "width": 64}
        steps_few = None if name == "gaussian" else chapter.size(400, smoke=4)
        run = pf.fit(name, labelled, steps=steps_few, seed=0, out=Path(folder) / name, options=options, show=False)
        outcomes[f"digits: {name} of {few} digits"] = augmented_accuracy(
            run.model, labelled, added=4 * few, seeds=chapter.size(6, smoke=2), classifier=small_forest
        )
        if name == "gaussian":
            drawn = run.model.sample(20, condition=torch.arange(10).repeat(2), seed=0)

figure, axis = plt.subplots(figsize=(7.4, 3.0))
for place, (name, outcome) in enumerate(outcomes.items()):
    colour = BLUE if outcome.low > 0 else ORANGE if outcome.high < 0 else GREY
    axis.plot([outcome.low, outcome.high], [place, place], color=colour, lw=3)
    axis.plot(outcome.gain, place, "o", color=colour)
    print(f"{name}: {np.mean(outcome.without):.3f} without, {np.mean(outcome.augmented):.3f} with generated examples")
axis.axvline(0, color=GREY, lw=1)
axis.set_yticks(range(len(outcomes)), list(outcomes))
axis.invert_yaxis()
axis.set(xlabel="gain in test accuracy, 95 % interval over seeds", title="Generated examples beside the labelled ones")
chapter.show(figure, "37-augmentation")

figure, axes = plt.subplots(2, 10, figsize=(9, 2.1))
for axis, image in zip(axes.flat, drawn, strict=True):
    axis.imshow(image[0].numpy(), cmap="gray_r", vmin=0, vmax=16)
    axis.axis("off")
axes[0, 0].set_title(f"drawn digits, 0 to 9, after {few} real ones", loc="left", fontsize=9)
chapter.show(figure, "37-drawn")

# %% [markdown]
# With the true distribution the forest gains, with a model that has forgotten the class or swapped it, it loses. For
# the digits the intervals hold 0: neither a Gaussian of each class nor a VAE, learned from the same 100 digits, tells
# the forest what it did not know, and the drawn digits show why: they are smeared versions of the few real ones. Ask
# for the interval before you believe in a gain.

# %%
chapter.end()
