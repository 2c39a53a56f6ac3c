# %% [markdown]
# # Imputation: fill the gaps with draws, not with guesses
#
# A table with empty cells is an example of which a part $x_o$ is known and a part $x_m$ is missing. A model of whole
# rows knows what stands in the gaps, as far as anyone can: the **conditional** $p(x_m \mid x_o)$. Filling each gap with
# *one draw* from it gives a table that looks like a table without gaps; filling it several times (**multiple
# imputation**) shows which cells are sure and which are not.
#
# This chapter draws from conditionals that are known in closed form, from one with two branches, and from that of a
# VAE, where it takes a Markov chain; and it shows what goes wrong with the popular short cut, the mean.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_wine

import pushforward as pf
from pushforward.chapter import ACCENT, BLUE, GREEN, GREY, ORANGE, Chapter
from pushforward.core.modality import Points
from pushforward.probability.baselines import Gaussian
from pushforward.uses.imputation import impute

chapter = Chapter("Imputation: fill the gaps with draws, not with guesses")

# %% Try: change one number and run again.
correlation = 0.8  # of two columns; at 0 a gap is filled with the column's own distribution
missing_share = 0.25  # of the cells of the wine table; with 0.6 intervals get wide, and stay honest
draws = chapter.size(40, smoke=5)  # fillings of every gap: their spread is the uncertainty
sweeps = chapter.size(30, smoke=3)  # of the chain through a VAE; with 1 it has hardly left its start

# %% [markdown]
# ## Two columns
#
# Let $(x_1, x_2)$ be Gaussian with unit variances and correlation $\rho$. Then
#
# $$x_2 \mid x_1 \sim N(\rho\, x_1,\; 1 - \rho^2).$$
#
# Fill the gaps in $x_2$ with the best guess, $\rho x_1$, and the column has variance $\rho^2$ instead of 1, and a
# correlation of 1 with $x_1$: every test on that table finds more than is there. Draws have the right spread.

# %%
generator = torch.Generator().manual_seed(0)
covariance = torch.tensor([[1.0, correlation], [correlation, 1.0]], dtype=torch.float64)
pair = Gaussian(example=Points(dim=2)).double()
pair.scales[:] = torch.linalg.cholesky(covariance)
n = chapter.size(20_000, smoke=2_000)
x = torch.randn(n, 2, dtype=torch.float64, generator=generator) @ torch.linalg.cholesky(covariance).T
gaps = x.clone()
gaps[:, 1] = torch.nan
filled = impute(pair, gaps, seed=0)[0]
guessed = torch.stack([x[:, 0], correlation * x[:, 0]], 1)

rest = filled[:, 1] - correlation * filled[:, 0]
error = (2 / n) ** 0.5 * (1 - correlation**2)
chapter.known("Var of a gap given x_1", rest.var(), 1 - correlation**2, source="closed form", error=error)
chapter.known("E of a gap - rho x_1", rest.mean(), 0.0, source="closed form", error=((1 - correlation**2) / n) ** 0.5)
found = torch.corrcoef(filled.T)[0, 1]
chapter.known("correlation, drawn", found, correlation, source="that of the data", error=(1 - correlation**2) / n**0.5)
chapter.known("correlation, guessed", torch.corrcoef(guessed.T)[0, 1], 1.0, source="a line", within=1e-9)
print(f"variance of the column: true 1, guessed {guessed[:, 1].var():.2f}, drawn {filled[:, 1].var():.2f}")

# %% [markdown]
# ## Two branches
#
# On the two moons a gap in $x_2$ often has two answers. The mean lies between them, where no data is; draws choose one.
# A mixture of Gaussians has its conditionals in closed form. A VAE has not: a Markov chain alternates between codes $z
# \sim p(z \mid x_o, x_m)$, which the encoder proposes and a Metropolis step accepts or refuses, and gaps $x_m \sim
# p(x_m \mid z)$. Its limit is the model's own conditional, even where the encoder is poor. To check it, draw whole
# examples from the VAE and keep those with $x_1$ near the known value: slow, but without any chain.

# %%
moons = pf.load_data("moons")
with tempfile.TemporaryDirectory() as folder:
    mixture = pf.fit("mixture", moons, out=Path(folder) / "mixture", show=False).model
    options = {"latent_dim": 2, "width": 64}
    steps = chapter.size(1000, smoke=4)
    vae = pf.fit("vae", moons, steps=steps, seed=0, out=Path(folder) / "vae", options=options, show=False).model
rows = moons.test.spread(chapter.size(400, smoke=100)).x
known = rows.clone()
known[:, 1] = torch.nan
ways = {
    "mean of draws": impute(mixture, known, draws=chapter.size(50, smoke=5), seed=0).mean(0),
    "draws, mixture": impute(mixture, known, seed=1)[0],
    "draws, VAE": impute(vae, known, seed=1, sweeps=sweeps)[0],
}
figure, axes = plt.subplots(1, 4, figsize=(11, 3.0), sharex=True, sharey=True)
axes[0].scatter(*rows.T, s=5, lw=0, color=GREY)
axes[0].set(title="Data", xlabel="$x_1$, known", ylabel="$x_2$, taken away")
for axis, (name, made), colour in zip(axes[1:], ways.items(), (ORANGE, BLUE, GREEN), strict=True):
    axis.scatter(*rows.T, s=5, lw=0, color=GREY, alpha=0.4)
    axis.scatter(*made.T, s=5, lw=0, color=colour)
    axis.set(title=name, xlabel="$x_1$")
chapter.show(figure, "38-moons")

# %% [markdown]
# The draws of the VAE are blurred, and that is the VAE, not the chain: so are the examples it draws freely. A chain can
# only be as good as the model whose conditional it draws from. That it draws from just that is seen below.

# %%
at = float(rows[:, 0].median())
free = vae.sample(chapter.size(60_000, smoke=3_000), seed=2)
kept = free[(free[:, 0] - at).abs() < 0.03, 1]
one = torch.tensor([[at, torch.nan]], dtype=torch.float64).expand(chapter.size(2000, smoke=100), 2)
chained = impute(vae, one, seed=3, sweeps=sweeps)[0, :, 1]
error = (float(kept.var()) / len(kept) + float(chained.var()) / len(chained)) ** 0.5
allowed = None if chapter.smoke else error
chapter.known("mean gap of the chain", chained.mean(), kept.mean(), source="draws near x_1", error=allowed)
figure, axis = plt.subplots(figsize=(6, 3.0))
bins = np.linspace(float(kept.quantile(0.002)), float(kept.quantile(0.998)), 50)
axis.hist(kept.numpy(), bins, density=True, color=GREY, alpha=0.7, label="whole draws, $x_1$ near the value")
axis.hist(chained.numpy(), bins, density=True, histtype="step", color=GREEN, lw=1.8, label="the chain")
axis.set(xlabel=f"$x_2$ given $x_1 = {at:.2f}$", yticks=[], title="The conditional of the VAE, two ways")
axis.legend(fontsize=8)
chapter.show(figure, "38-chain")

# %% [markdown]
# ## A real table
#
# Wine: 178 rows of 13 measurements and the vineyard. A quarter of the cells is taken away at random from rows that
# training did not see, and filled. Three figures judge it: the error of the *mean of the draws* (what a guess is good
# for), the share of true values inside the central 80 % of the draws (which an honest model has at 0.8), and the error
# of the correlations of the filled table.

# %%
frame = load_wine(as_frame=True).frame
frame["target"] = frame["target"].map({0: "a", 1: "b", 2: "c"})
wine = pf.load_data(frame)
numbers = [i for i, column in enumerate(wine.example.columns) if column.numeric]
held = torch.cat([wine.valid[torch.arange(len(wine.valid))].x, wine.test[torch.arange(len(wine.test))].x])
held = held[: chapter.size(len(held), smoke=12)]
mask = torch.rand(held.shape, generator=generator) < missing_share
scale = wine.train[torch.arange(len(wine.train))].x[:, numbers].std(0)
truth = (held[:, numbers] / scale)[mask[:, numbers]]

x_train = wine.train[torch.arange(len(wine.train))].x
picks = torch.randint(len(x_train), (draws, *held.shape), generator=generator)
fillings = {"the column alone": torch.where(mask, x_train.gather(0, picks.flatten(0, 1)).view(picks.shape), held)}
with tempfile.TemporaryDirectory() as folder:
    for name, count in (("gaussian", None), ("mixture", None), ("vae", chapter.size(600, smoke=4))):
        fields = {"latent_dim": 4, "width": 64} if name == "vae" else {}
        model = pf.fit(name, wine, steps=count, seed=0, out=Path(folder) / name, options=fields, show=False).model
        fillings[name] = impute(model, held, mask, draws=draws, sweeps=sweeps, seed=0)

# %%
figure, axes = plt.subplots(1, 3, figsize=(10, 3.0), sharey=True)
true_correlation = np.corrcoef(held[:, numbers].T)
for place, (name, made) in enumerate(fillings.items()):
    values = (made[:, :, numbers] / scale)[:, mask[:, numbers]]
    error = float((values.mean(0) - truth).square().mean().sqrt())
    low, high = values.quantile(0.1, dim=0), values.quantile(0.9, dim=0)
    inside = float(((low <= truth) & (truth <= high)).double().mean())
    apart = np.mean([np.abs(np.corrcoef(one[:, numbers].T) - true_correlation).mean() for one in made[:10]])
    for axis, number in zip(axes, (error, inside, apart), strict=True):
        axis.barh(place, number, color=GREY if place == 0 else GREEN if name == "vae" else BLUE)
        axis.text(number, place, f" {number:.2f}", va="center", fontsize=9)
    if name in ("gaussian", "vae") and not chapter.smoke:
        # Cells of a row are not independent, and a model of 142 rows is not exact: within 0.1 is honest.
        chapter.known(f"share inside the 80 % interval, {name}", inside, 0.8, source="calibration", within=0.1)
axes[1].axvline(0.8, color=ACCENT, lw=1)
axes[0].set_yticks(range(len(fillings)), list(fillings))
axes[0].invert_yaxis()
titles = ("error of the mean (sd of column)", "inside the 80 % interval", "error of correlations")
for axis, title in zip(axes, titles, strict=True):
    axis.set_title(title, fontsize=10)
    axis.set_xlim(0, 1.25 * axis.get_xlim()[1])
chapter.show(figure, "38-wine")

# %% [markdown]
# About 80 % of the values lie inside the intervals, as they should; the VAE, with 142 rows to learn from, is a little
# too sure of itself. They differ in how much they know. The column alone gives wide intervals and loses the
# correlations; a model of rows has two thirds of its error. Here a network does not beat a Gaussian of the columns'
# normal scores, nor does a mixture: where the numbers are alike, take the simpler model.
#
# On the command line: `pushforward sample RUN --given partial.csv -n 5 --out filled.csv`.

# %%
chapter.end()
