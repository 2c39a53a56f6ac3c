# %% [markdown]
# # Posterior collapse: made, seen, repaired
#
# A variational autoencoder pays for its code, $\mathrm{KL}(q(z \mid x) \,\|\, p(z))$ nats per example, and pays less
# for a code it does not use. **Posterior collapse** is a model that pays nothing: $q(z \mid x) = p(z)$ for every $x$,
# and a decoder that has learned to do without. Its samples may look passable, its loss is finite, and nothing crashes:
# one has to look.
#
# Two things bring it about. Some units *should* be silent, because what they could tell is worth less than it costs.
# And in the beginning, when $z$ is still noise to the decoder, ignoring it is the quickest way down, for all units.

# %%
import dataclasses
import math
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

import pushforward as pf
from pushforward.chapter import ACCENT, BLUE, GREEN, GREY, ORANGE, Chapter
from pushforward.evaluation.collapse import latent_use
from pushforward.run.loaded import metrics

chapter = Chapter("Posterior collapse: made, seen, repaired")

# %% Try: change one number and run again.
beta = 4.0  # weight of the KL term of the model that is made ill; at 1 it stays well, at 8 it never recovers
steps = chapter.size(500, smoke=4)  # of training; with 2,000 the ill model finds two or three units by itself
width = 128  # hidden units of the decoder; a wider one explains more without a code
latent_dim = 16  # units of the code; the data can use about ten of them
noise = 0.5  # variance of the linear model; a direction of less variance than beta times this is not worth a unit

# %% [markdown]
# ## What a unit is worth
#
# Take a linear decoder $x = W z + \text{noise of variance } \sigma^2$ and data with variances $\lambda_1 > \lambda_2 >
# \dots$ along their principal directions. The bound with the KL term weighted by $\beta$ is, up to a constant, $\beta$
# times that of probabilistic PCA with noise $\beta \sigma^2$. So the optimum is known: direction $j$ gets a unit if
# $\lambda_j > \beta \sigma^2$, and that unit carries
#
# $$\mathrm{KL}_j = \tfrac12 \ln \frac{\lambda_j}{\beta \sigma^2}, \quad\text{else nothing.}$$
#
# This silence is no accident of training. The cure is a smaller $\beta$, or less noise.

# %%
variances = torch.tensor([8.0, 4.0, 2.0, 1.2, 0.7, 0.3], dtype=torch.float64)


def best_kl(beta):
    """Nats of every direction at the optimum."""
    return 0.5 * (variances / (beta * noise)).log().clamp(min=0)


def trained_kl(beta):
    """The same by gradient descent on W, the encoder V and the posterior variances s; all expectations are exact."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        w, v = (0.5 * torch.randn(6, 6, dtype=torch.float64) for _ in range(2))
    log_s = torch.zeros(6, dtype=torch.float64)
    parameters = [t.requires_grad_() for t in (w, v, log_s)]
    optimizer = torch.optim.Adam(parameters, lr=0.02)
    for _ in range(chapter.size(2000, smoke=200)):
        means = v @ (variances[:, None] * v.T)  # covariance of the posterior means
        error = variances.sum() - 2 * (w @ v).diagonal() @ variances + ((means + log_s.exp().diag()) * (w.T @ w)).sum()
        kl = 0.5 * (means.diagonal() + log_s.exp() - log_s - 1)
        optimizer.zero_grad()
        (error / (2 * noise) + beta * kl.sum()).backward()
        optimizer.step()
    return kl.detach().sort(descending=True).values


grid = torch.logspace(-0.5, 1.3, 100, dtype=torch.float64)
figure, axes = plt.subplots(figsize=(6.4, 3.6))
axes.plot(grid, torch.stack([best_kl(b) for b in grid]), color=GREY, lw=1.4)
for b in (0.5, 1.0, 2.0, 4.0, 8.0):
    found = trained_kl(b)
    axes.plot([b] * 6, found, "o", ms=4, color=BLUE)
    if b in (1.0, 4.0):
        allowed = 0.6 if chapter.smoke else 0.01
        chapter.known(f"nats of the code at beta = {b:g}", found.sum(), best_kl(b).sum(), source="pPCA", within=allowed)
axes.set(xscale="log", xlabel=r"$\beta$", ylabel="KL of a unit (nats)", title="Closed form (lines), trained (dots)")
axes.set_xticks([0.5, 1, 2, 4, 8, 16], ["0.5", "1", "2", "4", "8", "16"])
chapter.show(figure, "25-linear")

# %% [markdown]
# ## Made
#
# Now digits, and a decoder that is not linear. The first model is trained as usual: $\beta = 1$, the KL term growing
# from nothing over the first tenth of the training. The second has $\beta = 4$ from the first step on: before the
# decoder has learned what $z$ is good for, the encoder has learned to send none. The third is the second with
# `remedy="auto"`.

# %%
digits = dataclasses.replace(pf.load_data("digits"), condition=None)  # not told the class: the code has to say it
folder = Path(tempfile.mkdtemp())


def fitted(name, remedy="off", **fields):
    """A run and how its code was used at every validation."""
    settings = pf.Settings(remedy=remedy, threads=1, device="cpu")
    options = {"latent_dim": latent_dim, "width": width} | fields
    run = pf.fit("vae", digits, steps=steps, seed=0, out=folder / name, settings=settings, options=options, show=False)
    return run, metrics(run.path)


ill = {"beta": beta, "warm_up": 0.0}
runs = {
    "healthy": fitted("healthy"),
    "collapsed": fitted("collapsed", **ill),
    "remedied": fitted("remedied", "auto", **ill),
}
uses = {name: latent_use(run.model, digits.test) for name, (run, _) in runs.items()}
bounds = {name: float(run.model.log_prob(digits.test.x, samples=8).mean()) for name, (run, _) in runs.items()}
for name, use in uses.items():
    print(f"{name}: {use}; bound {bounds[name]:.2f} nats")

# %% [markdown]
# ## Seen
#
# Four figures are written at every validation, from a few hundred held-out examples:
#
# - the **KL of each unit**, and how many are *active*: a mean that moves with $x$, or more than 0.05 nats;
# - the **information** $I(x; z)$ the code carries about the example, estimated by asking how well one can tell, from
#   $z$, which of the $N$ examples it came from. It cannot exceed $\ln N$;
# - the **mismatch** $\mathrm{KL}(q(z) \,\|\, p(z))$, the rest of what is paid: chapter 26.
#
# A code of less than one bit, three validations in a row, is called a collapse, and the sentence says what to set.

# %%
colours = {"healthy": GREEN, "collapsed": ORANGE, "remedied": BLUE}
figure, axes = plt.subplots(1, 2, figsize=(10, 3.8))
for name, (_, lines) in runs.items():
    at = [line["step"] / steps for line in lines]
    axes[0].plot(at, [line["latent"]["information"] for line in lines], color=colours[name], label=name)
    axes[1].plot(np.sort(uses[name].kl)[::-1], color=colours[name], marker="o", ms=3, label=name)
first = next((line for line in runs["collapsed"][1] if "collapse" in line), None)
if first is not None:
    axes[0].axvline(first["step"] / steps, color=GREY, lw=1, ls="--")
    axes[0].text(first["step"] / steps + 0.01, 4.6, "said here", fontsize=8, color=ACCENT)
    print(first["collapse"])
axes[0].axhline(math.log(2), color=ACCENT, lw=0.8, ls=":", label="one bit")
axes[0].set(xlabel="share of the training", ylabel="$I(x; z)$ in nats", title="What the code tells", ylim=(-0.1, 5.3))
axes[0].legend(fontsize=8)
axes[1].set(xlabel="unit, by what it carries", ylabel="KL (nats)", title="Units at the end")
chapter.show(figure, "25-digits")

# %% [markdown]
# ## Repaired
#
# What the remedy does is what one would do by hand: $\beta$ back to 1, and the KL term once more from nothing, now over
# half of what is left, so that the decoder learns to use the code before it has to pay for it. (Where that does not
# help it goes further and lets every unit have a tenth of a nat for free.) The metrics say at which step it was done.
#
# Look at what is lost by a collapse: the collapsed model answers every digit with the same blur, the mean of all.

# %%
shown = digits.test.x[:8]
figure, panes = plt.subplots(4, 8, figsize=(7.2, 3.8))
rows = [("data", shown)] + [(name, run.model.decode(run.model.encode(shown))) for name, (run, _) in runs.items()]
for pane_row, (name, images) in zip(panes, rows, strict=True):
    for pane, image in zip(pane_row, images, strict=True):
        pane.imshow(image[0].numpy(), cmap="gray_r", vmin=0, vmax=16)
        pane.set(xticks=[], yticks=[])
        pane.spines[:].set_visible(False)
    pane_row[0].set_ylabel(name, rotation=0, ha="right", va="center")
chapter.show(figure, "25-reconstructions")

# %% [markdown]
# The table ends with the promise of the monitor: it speaks within the first fifth of the training, and the remedied
# model has as many active units as the healthy one, give or take a fifth, at a bound that is no worse.

# %%
said = 1.0 if first is None else first["step"] / steps
loose = chapter.smoke  # a dozen steps teach nothing: only that everything runs
within = 1.0 if loose else 0.05
chapter.known("share of training when it is said", said, 0.15, source="3 validations of 20", within=within)
ratio = uses["remedied"].active_by_kl / max(uses["healthy"].active_by_kl, 1)
chapter.known("active units, remedied / healthy", ratio, 1.0, source="a full recovery", within=20 if loose else 0.5)
gap = min(bounds["remedied"] - bounds["healthy"], 0.0)
chapter.known("bound lost by the detour, in nats", gap, 0.0, source="a full recovery", within=1e4 if loose else 1.5)

# %%
chapter.end()
