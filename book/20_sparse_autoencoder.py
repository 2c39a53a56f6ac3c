# %% [markdown]
# # Sparse autoencoders
#
# A code need not be small to say something about the data; it can be *large and mostly silent*. Then few units answer
# to each example, and a unit that answers rarely tends to stand for something: a stroke, a note, a word.
#
# Three ways to ask for it:
#
# * **L1**: add $\lambda \sum_j |z_j|$ to the loss. Units that earn less than they cost fall silent.
# * **A target rate**: units between 0 and 1, and $\lambda \sum_j \mathrm{KL}(\rho \,\|\, \hat\rho_j)$, the divergence
#   of their mean activity from a wanted one.
# * **Top-k**: keep the k largest units of each example and set the others to 0. No weight to choose.
#
# Why should it find the *right* units? Because of what a plain code leaves open: any rotation of it is as good. A
# sparse code turned is no longer sparse, so sparsity picks the axes.

# %%
import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits

from pushforward.autoencoders.autoencoder import Autoencoder
from pushforward.autoencoders.sparsity import keep_largest
from pushforward.chapter import BLUE, GREY, ORANGE, Chapter
from pushforward.core.modality import Points
from pushforward.core.noise import Noise

chapter = Chapter("Sparse autoencoders")

# %% Try: change one number and run again.
atoms = 16  # of which the data are made
units = 32  # of the code: with no more units than atoms, some atoms stay without one, and top-k cannot mend it
together = 3  # atoms in one example: at 12 hardly anything is sparse, and the atoms are no longer found
noise = 0.02  # on top of every number
rate = 0.1  # wanted of the units of the second part: at 0.5 all of them speak half of the time
steps = chapter.size(1500, smoke=15)  # of training


def train(model, x, steps, lr, batch=256):
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


# %% [markdown]
# ## Finding what the data are made of
#
# Every example is a sum of a few atoms, directions in 32 dimensions, with random positive weights. The atoms are known
# to us and not to the model. All three autoencoders below are linear, with two units per atom, so that none need go
# without. The question is whether columns of the decoder *are* the atoms: for every atom, the cosine to the column that
# is nearest to it. The nearest of 32 directions drawn at random has a cosine of about 0.4 already.

# %%
dictionary = torch.nn.functional.normalize(Noise(5, rows=atoms).normal(32).double(), dim=1)
chosen = keep_largest(Noise(6, rows=4000).uniform(atoms), together) > 0
weights = torch.where(chosen, 0.5 + Noise(7, rows=4000).uniform(atoms), 0.0).double()
data = weights @ dictionary + noise * Noise(8, rows=4000).normal(32)

found, silent = {}, {}
for name, fields in (
    ("plain", {}),
    ("L1", {"sparsity": "l1", "sparsity_weight": 1.0}),
    ("top-k", {"sparsity": "top-k", "active": together}),
):
    torch.manual_seed(0)
    model = Autoencoder(example=Points(dim=32), latent_dim=units, network="linear", **fields)
    train(model, data, steps, lr=1e-2)
    columns = torch.nn.functional.normalize(model.decoder.net.layers[0].weight.detach().double(), dim=0)
    found[name] = (dictionary @ columns).abs().max(dim=1).values
    silent[name] = float((model.encode(data[:1000]) == 0).double().mean())
    print(f"{name:<6} mean cosine to the atoms {found[name].mean():.3f}, silent {silent[name]:.2f} of the units")

wide = 1.0 if chapter.smoke else 0.05
chapter.known("top-k: mean cosine to the atoms", found["top-k"].mean(), 1.0, source="the atoms", within=wide)
exactly = 1 - together / units
chapter.known("top-k: silent share", silent["top-k"], exactly, source="1 - k / units", within=1e-9)

figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.5))
for name, colour in (("plain", GREY), ("L1", ORANGE), ("top-k", BLUE)):
    axes[0].plot(range(1, atoms + 1), found[name].sort(descending=True).values, "o-", color=colour, label=name, ms=4)
axes[0].set(ylim=(0, 1.05), xlabel="atoms, best found first", ylabel="cosine", title="Cosine to the nearest column")
axes[0].legend()
axes[1].bar(list(silent), list(silent.values()), color=[GREY, ORANGE, BLUE], width=0.6)
axes[1].axhline(exactly, color="#222222", lw=1, ls="--")
axes[1].set(ylabel="share", ylim=(0, 1), title="Units that are exactly 0 (dashed: in truth)")
chapter.show(figure, "20-atoms")

# %% [markdown]
# The plain code brings the data back without error and its columns are mixtures: it had no reason to prefer the atoms.
# Top-k finds all of them, as only a code made of the true parts can say everything with so few units.
#
# L1 disappoints here, and the reason is worth knowing. Besides silencing units the penalty *shrinks* those that speak,
# since a smaller number costs less, and a decoder with larger weights makes up for it for free. So part of the pressure
# goes into the scale of the code instead of its sparsity. With a heavier weight more units fall silent, and then also
# those that are needed. Top-k has no such loophole, but it must know k, and it answers with k units even to an example
# that needs fewer.
#
# ## A rate for every unit
#
# Now digits, with hidden layers, and 32 units between 0 and 1. The divergence pulls the *mean* of every unit to the
# target, 0 or 1 for a single example being as good as anything else with that mean. The heavier the weight, the nearer
# the rates are to the target: a compromise with the reconstruction, until the weight wins.

# %%
pixels = torch.from_numpy(load_digits().data / 8 - 1)
rates, errors, tried = [], [], (0.0, 1.0, 10.0, 100.0)
for weight in tried:
    torch.manual_seed(0)
    fields = {"sparsity": "kl", "rate": rate, "sparsity_weight": weight}
    model = Autoencoder(example=Points(dim=64), latent_dim=32, width=64, depth=1, **fields)
    train(model, pixels[:1500], chapter.size(1000, smoke=15), lr=5e-3)
    rates.append(model.encode(pixels[:1500]).mean(0))
    errors.append(float((model.decode(model.encode(pixels[1500:])) - pixels[1500:]).square().mean()))
    print(f"weight {weight:5.1f}: mean rate {rates[-1].mean():.3f}, held-out squared error {errors[-1]:.4f}")
near = 1.0 if chapter.smoke else 0.02
off = (rates[-1] - rate).abs()
chapter.known("rates at weight 100, largest distance", off.max(), 0.0, source="the target rate", within=near)

figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.3))
for index, found_rates in enumerate(rates):
    axes[0].scatter(torch.full((32,), index) + torch.linspace(-0.2, 0.2, 32), found_rates, s=10, color=BLUE)
axes[0].axhline(rate, color="#222222", lw=1, ls="--")
axes[0].set(xticks=range(4), xticklabels=[f"{w:g}" for w in tried], xlabel="weight", ylabel="mean of a unit")
axes[0].set_title(f"Rates of 32 units (dashed: {rate:g})")
axes[1].plot(range(4), errors, "o-", color=ORANGE)
axes[1].set(xticks=range(4), xticklabels=[f"{w:g}" for w in tried], xlabel="weight", ylim=(0, None))
axes[1].set(ylabel="squared error", title="What it costs on held-out digits")
chapter.show(figure, "20-rates")

# %%
chapter.end()
