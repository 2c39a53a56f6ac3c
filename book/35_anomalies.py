# %% [markdown]
# # Anomalies: strange is not the same as unlikely
#
# Fit a model to usual examples, score new ones, and call what scores worst an **anomaly**. Three scores come from one
# VAE, and they do not agree:
#
# * **likelihood**, $-\log p(x)$: how rare is it?
# * **reconstruction**, $\|x - d(e(x))\|^2$: does the code of usual examples hold it?
# * **ratio**, $\log p_0(x) - \log p(x)$: is it stranger than what any image so simple would be?
#
# This chapter measures what each of them sees and misses, and turns a score into an alarm with a promise.

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
from pushforward.core.data import Rows
from pushforward.core.modality import Image, Points
from pushforward.probability.baselines import Gaussian, Independent
from pushforward.uses.anomalies import anomaly_scores, auroc, false_alarm_threshold

chapter = Chapter("Anomalies: strange is not the same as unlikely")

# %% Try: change one number and run again.
left_out = 4  # the digit that training never sees; 1 is hard to tell by its likelihood, being so simple
steps = chapter.size(1000, smoke=4)  # of training; a poor model finds everything strange
rate = 0.05  # of false alarms that is promised; 0.001 needs 999 usual examples and is refused
spread = 3.0  # of the strange points in the first example; at 1 nothing is strange, and the AUROC is a half

# %% [markdown]
# ## A score is judged by pairs
#
# The **AUROC** is the probability that a strange example scores higher than a usual one: a half is chance, one is
# perfect, and it needs no threshold. Where all is known: usual points are $N(0, 1)$, strange ones $N(0, s^2)$, and
# under the true density a point is as strange as it is far from 0. The pairs $(a, b)$ with $|b| > |a|$ fill two sectors
# of the plane, so
#
# $$\mathrm{AUROC} = \tfrac{2}{\pi} \arctan s.$$

# %%
generator = torch.Generator().manual_seed(0)
standard = Gaussian(example=Points(dim=1))
n = chapter.size(20_000, smoke=2_000)
usual, strange = (scale * torch.randn(n, 1, dtype=torch.float64, generator=generator) for scale in (1.0, spread))
area = auroc(anomaly_scores(standard, usual), anomaly_scores(standard, strange))
error = (area.high - area.low) / 2 / 1.96
chapter.known("AUROC of N(0, s^2)", area.value, 2 / math.pi * math.atan(spread), source="an angle", error=error)

# %% [markdown]
# ## What is simple is likely
#
# Take images of 16 x 16 pixels, each white with probability 0.2. The model knows that, to the last digit. Which image
# is the likeliest of all? The **blank** one, although it practically never comes: every white pixel costs more than a
# black one, and a usual image has fifty of them. By its likelihood a blank image is the most usual there is.
#
# The **ratio** asks what the image would cost anyone, for instance a PNG file, and takes that off. Every blank image is
# cheap in every format; what is left over is how badly *this* model does, compared with one that knows nothing.

# %%
share = 0.2
model = Independent(example=Image(height=16, width=16, levels=2))
model.table[:] = torch.tensor([1 - share, share])
coins = (torch.rand(500, 1, 16, 16, generator=generator) < share).to(torch.uint8)
blank = torch.zeros(500, 1, 16, 16, dtype=torch.uint8)
nats = {"usual": anomaly_scores(model, coins), "blank": anomaly_scores(model, blank)}
entropy = -256 * (share * math.log(share) + (1 - share) * math.log(1 - share))
error = float(nats["usual"].std()) / math.sqrt(500)
chapter.known("-log p of usual images, mean", nats["usual"].mean(), entropy, source="256 entropies", error=error)
chapter.known(
    "-log p of the blank image", nats["blank"][0], -256 * math.log(1 - share), source="256 pixels", within=1e-3
)
by_likelihood = auroc(nats["usual"], nats["blank"]).value
by_ratio = auroc(*(anomaly_scores(model, x, "ratio") for x in (coins, blank))).value
chapter.known("AUROC of blank images, likelihood", by_likelihood, 0.0, source="simple is likely", within=1e-9)
chapter.known("AUROC of blank images, ratio", by_ratio, 1.0, source="PNG knows them", within=1e-9)

# %% [markdown]
# ## One model, three scores
#
# The usual examples are digits of 8 x 8 pixels, all but one class. Three kinds of strange ones: the class left out,
# digits whose pixels were shuffled, and *forgeries*: usual digits as the model redraws them, smoother than any scan.
# Every likelihood is a bound with 16 importance samples.

# %%
digits = pf.load_data("digits")


def without(split):
    """The images of a split that show a usual digit, without their labels."""
    x, condition = split[torch.arange(len(split))]
    return x[condition.value != left_out]


def only(split):
    """The images of the digit that is left out."""
    x, condition = split[torch.arange(len(split))]
    return x[condition.value == left_out]


parts = {name: Rows(without(getattr(digits, name))) for name in ("train", "valid", "test")}
data = dataclasses.replace(digits, name="usual", condition=None, recipe=None, **parts)
options = {"latent_dim": 12, "likelihood": "discretised-logistic"}
with tempfile.TemporaryDirectory() as folder:
    model = pf.fit("vae", data, steps=steps, seed=0, out=Path(folder) / "run", options=options, show=False).model

usual = data.test.x
order = torch.rand(len(usual), 64, generator=generator).argsort(1)
kinds = {
    f"the digit {left_out}": torch.cat([only(part) for part in (digits.train, digits.valid, digits.test)]),
    "shuffled pixels": usual.flatten(1).gather(1, order).view_as(usual),
    "forged": model.decode(model.encode(usual)),
}
scores = ("likelihood", "reconstruction", "ratio")
of_usual = {score: anomaly_scores(model, usual, score) for score in scores}
of_kinds = {kind: {score: anomaly_scores(model, x, score) for score in scores} for kind, x in kinds.items()}

# %%
figure, axes = plt.subplots(len(kinds), 3, figsize=(10, 6.4), sharex="col")
for row, (kind, found) in zip(axes, of_kinds.items(), strict=True):
    for axis, score in zip(row, scores, strict=True):
        ends = torch.cat([of_usual[score], *(other[score] for other in of_kinds.values())])
        bins = np.linspace(float(ends.quantile(0.001)), float(ends.quantile(0.999)), 45)
        axis.hist(of_usual[score].numpy(), bins, density=True, color=GREY, alpha=0.7)
        axis.hist(found[score].numpy(), bins, density=True, color=ORANGE, alpha=0.6)
        area = auroc(of_usual[score], found[score])
        axis.set_title(f"AUROC {area.value:.2f} [{area.low:.2f}, {area.high:.2f}]", fontsize=9)
        axis.set_yticks([])
    row[0].set_ylabel(kind, color=ORANGE)
for axis, score in zip(axes[-1], scores, strict=True):
    axis.set_xlabel(
        {"likelihood": "$-\\log p(x)$, nats", "reconstruction": "squared error", "ratio": "ratio, nats"}[score]
    )
figure.suptitle("Scores of usual digits (grey) and of strange images (orange)", x=0.01, ha="left", fontsize=11)
chapter.show(figure, "35-scores")

# %% [markdown]
# A class that was never seen and pixels without order are found by every score. The ratio is the worst of the three at
# the digit: PNG has no idea of digits, and its size adds noise. But look at the last row. The **forgeries** are *more*
# usual than the usual digits by every score: the likelihood is highest where the noise of the scan is missing, the
# reconstruction error is all but 0, since the model draws them itself, and PNG knows nothing of the style of a scanner.
# An alarm for low likelihoods is blind to what is too typical; if forgeries matter, look at both ends.

# %%
for kind, found in of_kinds.items():
    print(kind, {score: round(auroc(of_usual[score], found[score]).value, 2) for score in scores})
if not chapter.smoke:
    shuffled = auroc(of_usual["likelihood"], of_kinds["shuffled pixels"]["likelihood"]).value
    chapter.known("AUROC of shuffled pixels, likelihood", shuffled, 1.0, source="noise is seen", within=0.02)
    forged = auroc(of_usual["reconstruction"], of_kinds["forged"]["reconstruction"]).value
    chapter.known("AUROC of forgeries, reconstruction", forged, 0.0, source="drawn by the model", within=0.05)

# %% [markdown]
# ## From a score to an alarm
#
# Where is the threshold? Take $n$ usual examples that the model was *not* trained on, the validation split, and sort
# their scores. A new usual example is as likely to fall into any of the $n + 1$ gaps between them. So above the $k$-th
# smallest, $k = \lceil (n + 1)(1 - \alpha) \rceil$, it falls with probability at most
#
# $$1 - \frac{k}{n + 1} \le \alpha,$$
#
# whatever the model, the score, and the data: bad models raise no more false alarms, they only miss more. Scores of
# *training* examples would not do: the model has seen them, they score too low, and alarms go off too often.

# %%
pool = torch.cat([data.valid.x, data.test.x])
pool_scores = anomaly_scores(model, pool)
half, alarms = len(pool) // 2, []
for _ in range(chapter.size(2000, smoke=200)):
    order = torch.randperm(len(pool), generator=generator)
    threshold = false_alarm_threshold(pool_scores[order[:half]], rate)
    alarms.append(float((pool_scores[order[half:]] > threshold).double().mean()))
rank = math.ceil((half + 1) * (1 - rate))
promised = 1 - rank / (half + 1)
# The splits share their examples, but the mean over all of them is exact: every order of the pool is as likely.
error = float(np.std(alarms)) / math.sqrt(len(alarms))
chapter.known("false alarms among usual digits", np.mean(alarms), promised, source="ranks of n + 1", error=error)

threshold = {score: false_alarm_threshold(anomaly_scores(model, data.valid.x, score), rate) for score in scores}
caught = {
    kind: [float((found[score] > threshold[score]).double().mean()) for score in scores]
    for kind, found in of_kinds.items()
}
figure, axis = plt.subplots(figsize=(7, 3.2))
for place, (score, colour) in enumerate(zip(scores, (BLUE, GREEN, ORANGE), strict=True)):
    shares = [float((of_usual[score] > threshold[score]).double().mean()), *(caught[kind][place] for kind in kinds)]
    axis.bar(np.arange(4) + 0.27 * (place - 1), shares, 0.25, color=colour, label=score)
axis.axhline(rate, color=ACCENT, lw=1)
axis.text(3.4, rate + 0.02, f"promised: {rate:g}", ha="right", fontsize=8)
axis.set_xticks(range(4), ["usual (test)", *kinds])
axis.set(ylabel="share above the threshold", ylim=(0, 1.05))
axis.set_title(f"Alarms at a promised rate of {rate:g} false ones")
axis.legend(fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.12))
chapter.show(figure, "35-alarms")

# %% [markdown]
# ## The strangest usual digits
#
# The same list is a way to look at your own data: the examples that a model finds strangest are mislabelled, badly
# scanned, or simply rare. On the command line: `pushforward anomalies RUN --data FOLDER --false-alarms 0.05`.

# %%
rows = [usual[of_usual["likelihood"].argsort(descending=True)[:12]], usual[of_usual["likelihood"].argsort()[:12]]]
figure, axes = plt.subplots(2, 12, figsize=(10, 2.1))
for line, images in zip(axes, rows, strict=True):
    for axis, image in zip(line, images, strict=True):
        axis.imshow(image[0].numpy(), cmap="gray_r", vmin=0, vmax=16)
        axis.axis("off")
axes[0, 0].set_title("least likely of the test split", fontsize=9, loc="left")
axes[1, 0].set_title("most likely: the simplest ones", fontsize=9, loc="left")
chapter.show(figure, "35-strangest")

# %%
chapter.end()
