# %% [markdown]
# # Cats
#
# Everything of this part on one small set of real photographs: a VQ-VAE is trained on a few thousand cats, codes and
# decoder first, then a transformer over the codes. What it draws is measured, and held beside the nearest training
# picture: a model that copies is no model.
#
# Bring your own: set `source` to a folder of pictures (of anything) or to an `.npz` of arrays. Without one, and without
# the CIFAR-10 cats in the folder that `PUSHFORWARD_DATA` names, the chapter draws digits.

# %%
import math
import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

import pushforward as pf
from pushforward.autoencoders.code_use import code_use
from pushforward.chapter import BLUE, GREY, ORANGE, Chapter
from pushforward.core.noise import Noise
from pushforward.zoo import create

chapter = Chapter("Cats")

# %% Try: change one number and run again.
source = None  # "photos/", "cats.npz": your own pictures
side = 32  # pixels a side that pictures of a folder are brought to; twice as many take four times as long
steps = chapter.size(300, smoke=6)  # half for the codes, half for the prior: the more, the more colour and shape
codes = 512  # that a patch of 4 x 4 pixels can be: with 32 the colours go, with 4,096 the prior has more to learn
quantizer = "codebook"  # or "fsq", "lfq", "residual", "product"
threads = 1  # 2 on a machine with nothing else to do: a shorter wait for more processor time

# %%
cats = Path(os.environ.get("PUSHFORWARD_DATA", "../shared/data")) / "cifar10-cats" / "cats32.npz"
if source is not None:
    data = pf.load_data(source, size=None if str(source).endswith(".npz") else side, labels=False)
elif cats.is_file() and not chapter.smoke:
    with np.load(cats) as file:
        data = pf.load_data(file["train"], name="cats")
else:
    data = pf.load_data("digits", labels=False)
print("\n".join(data.describe()))
entries, levels = math.prod(data.example.shape), data.example.levels
test = data.test.spread(chapter.size(256, smoke=16)).x


def wall(pictures, columns):
    """Pictures in rows, as one array."""
    shown = pictures.permute(0, 2, 3, 1).numpy() / (levels - 1)
    rows = [np.concatenate(list(shown[i : i + columns]), 1) for i in range(0, len(shown), columns)]
    return np.concatenate(rows, 0).squeeze()


# %% [markdown]
# ## How well has anyone to do?
#
# A model that calls all pixel values equally likely pays $\log_2 256 = 8$ bits for each. One that knows how often each
# pixel has which value, but nothing of its neighbours, pays a little less. What is below that has been learned about
# *pictures*.

# %%
bits = {}
independent = create("independent", data)
bits["all values alike"] = -float(independent.log_prob(test).mean()) / entries / math.log(2)
source_of = f"log2({levels})"
chapter.known(
    "bits a pixel, all values alike", bits["all values alike"], math.log2(levels), source=source_of, within=1e-4
)
x, _ = independent.units.encode(data.train.spread(4000).x, noise=Noise(0, rows=min(4000, len(data.train))))
batch = data.train.spread(1)._replace(x=x, condition=None)
list(independent.solve(batch, batch, noise=Noise(0, rows=len(x))))
bits["each pixel on its own"] = -float(independent.log_prob(test).mean()) / entries / math.log(2)

# %% [markdown]
# ## Codes first, then a model of the codes
#
# One call trains both. On a picture of 32 x 32 the codes are a map of 8 x 8: what the decoder paints of a code is a
# patch of about 4 x 4 pixels, with what its neighbours add.

# %%
with tempfile.TemporaryDirectory() as folder:
    run = pf.fit(
        "vqvae",
        data,
        out=Path(folder) / "run",
        settings=pf.Settings(steps=steps, validate_every=max(steps // 2, 1), threads=threads, device="cpu"),
        options={"codes": codes, "quantizer": quantizer, "width": 64},
        show=False,
    )
model = run.model
use = code_use(model, data.test)
k = model.encode_indices(test)
spent = k[0].numel() * math.log2(model.codebook_size)
raw = entries * math.log2(levels)
print(f"codes in use over the test split: {float(use.share.min()):.0%}, perplexity {float(use.perplexity.min()):.0f}")
print(f"a picture is {spent:.0f} bits of codes, {spent / raw:.1%} of its {raw:,.0f} bits of pixels")
known = k[0].numel() * math.log2(codes) if quantizer in ("codebook", "residual", "product") else spent
chapter.known("bits of codes for a picture", spent, known, source="places x log2 K", within=1e-9)

back = model.decode(model.encode(test))
rmse = float((back.double() - test.double()).square().mean().sqrt())
flat = float((test.double() - test.double().mean((2, 3), keepdim=True)).square().mean().sqrt())
print(f"error of the codes: {rmse:.1f} levels; of painting each picture in its mean colour: {flat:.1f}")

# %%
figure, panes = plt.subplots(3, 1, figsize=(9, 4.4), height_ratios=[1, 1, 2])
ink = {"cmap": "gray_r"} if data.example.channels == 1 else {}
panes[0].imshow(wall(test[:12], 12), **ink)
panes[0].set_title("Test pictures")
panes[1].imshow(wall(back[:12], 12), **ink)
panes[1].set_title("The same, from their codes")
drawn = model.sample(chapter.size(24, smoke=12), seed=0)
panes[2].imshow(wall(drawn, 12), **ink)
panes[2].set_title("Drawn: codes from the transformer, pictures from the decoder")
for pane in panes:
    pane.set_axis_off()
chapter.show(figure, "39-cats")

# %% [markdown]
# ## The bound, in its parts
#
# $\log p(x) \ge \log p(x \mid k) + \log p(k)$, in bits a pixel. The codes themselves are cheap; nearly all is spent on
# what the decoder does not know of the pixels, their fine texture. That is why samples, which are drawn from
# $p(x \mid k)$, have grain, and why people show its mean. A likelihood weighs every bit alike, an eye does not.

# %%
given = model.given(None, len(test))
with torch.no_grad():
    y, _ = model.units.encode(test, noise=Noise(0, rows=len(test)))
    parts = {name: float(term.mean()) for name, term in model.terms(y, given, noise=Noise(0, rows=len(test))).items()}
bound = -float(model.log_prob(test).mean())
chapter.known("the bound less its two parts (nats)", bound - sum(parts.values()), 0.0, source="by hand", within=0.1)
bits["VQ-VAE (bound)"] = bound / entries / math.log(2)
shares = {name: part / entries / math.log(2) for name, part in parts.items()}
print(f"of {bits['VQ-VAE (bound)']:.2f} bits a pixel the codes are {shares['prior']:.3f}")

# %% [markdown]
# ## Is it copying?
#
# For every drawn picture the nearest training picture is looked up, and so for pictures of the test split, which were
# never seen. A model that copies has draws much nearer to the training set than new pictures are. Noise is left out by
# decoding the mean. A blurred picture is near to everything, so a ratio below 1 alone is no proof: look at them.

# %%
means = model.decode(model.encode(drawn))
train = data.train.spread(chapter.size(4000, smoke=200)).x.flatten(1).float()


def nearest(pictures):
    """Distance to the nearest training picture in levels a pixel, and which it is."""
    distance = torch.cdist(pictures.flatten(1).float(), train) / math.sqrt(entries)
    return distance.min(1)


ours, which = nearest(means)
fresh, _ = nearest(back)
copies, _ = nearest(train[:10].reshape(-1, *data.example.shape))
figure, panes = plt.subplots(1, 3, figsize=(11, 3.2), width_ratios=[1.4, 1, 1])
pairs = torch.cat([means[:8], train[which[:8]].reshape(-1, *data.example.shape).to(torch.uint8)])
panes[0].imshow(wall(pairs, 8), **ink)
panes[0].set(title="Drawn (mean), and the nearest training picture", xticks=[], yticks=[])
bins = np.linspace(0, float(torch.cat([ours, fresh]).max()) * 1.05, 25)
panes[1].hist(fresh, bins, color=GREY, density=True, label="test, from codes")
panes[1].hist(ours, bins, color=BLUE, density=True, alpha=0.7, label="drawn")
panes[1].set(xlabel="distance to the training set", yticks=[], title="Copies would be at 0")
panes[1].legend(fontsize=8)
panes[2].barh(list(bits)[::-1], list(bits.values())[::-1], color=[ORANGE, GREY, GREY])
panes[2].set(xlabel="bits a pixel (less is better)", title="What has been learned")
chapter.show(figure, "39-measured")

chapter.known("distance of a training picture to its nearest", copies.max(), 0.0, source="it is one", within=0.5)
colour = drawn.double().mean((0, 2, 3)) - data.train.spread(1000).x.double().mean((0, 2, 3))
rough = (levels - 1) * (1.0 if chapter.smoke else 0.15)
chapter.known("mean colour, drawn less data (levels)", colour.abs().max(), 0.0, source="the data", within=rough)

# %% [markdown]
# After a minute the codes know where a picture is light and where it is dark, but hardly its colours, and the draws are
# soft blobs in the browns of cats, with grain. Colours come with more steps, eyes and ears with hours. From here: more
# steps, `--model.width 128`, more codes, two threads for longer; or the same in one line,
#
#     pushforward fit vqvae --data cats/ --size 32 --budget 1h
#     pushforward sample runs/vqvae-cats -n 64 --out cats.png

# %%
chapter.end()
