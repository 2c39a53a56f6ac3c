# %% [markdown]
# # Compression: a model of probabilities is a file format
#
# Shannon: whoever knows the probability $p(x)$ of what comes can write it in $-\log_2 p(x)$ bits, and nobody can do
# with less on average. A generative model with a likelihood is therefore a compressor, and its bits/dim are bits on a
# disk. This chapter writes the files, reads them back, and weighs them.
#
# Three steps: a stack that codes symbols at the price of their information; **bits-back coding**, which makes a stack
# of a *latent-variable* model although it sends the code too; and the chain rule, which does it for a transformer.

# %%
import dataclasses
import lzma
import math
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

import pushforward as pf
from pushforward.chapter import ACCENT, BLUE, GREEN, ORANGE, Chapter
from pushforward.uses.ans import Ans, frequencies
from pushforward.uses.compression import compress, decompress, picture_bytes
from pushforward.uses.denoising import psnr

chapter = Chapter("Compression: a model of probabilities is a file format")

# %% Try: change one number and run again.
steps = chapter.size(800, smoke=4)  # of training the VAE; at 4 it compresses all the same, into more bytes
latent_dim = 12  # numbers in the code; the code is sent too, yet more of them do not cost more
gpt_steps = chapter.size(100, smoke=2)  # of training the transformer
probabilities = [0.7, 0.2, 0.07, 0.03]  # of the symbols in the first example; all alike is 2 bits each

# %% [markdown]
# ## A stack that is a number
#
# **Asymmetric numeral systems** keep all symbols in one large whole number $a$. Pushing a symbol of probability $p$
# makes $a$ about $1/p$ times as large, which is $-\log_2 p$ bits longer; popping divides again and leaves what was
# there before. Symbols come back in the opposite order. In a message of many symbols the rounding does not count.

# %%
rng = np.random.default_rng(0)
n = chapter.size(20_000, smoke=2_000)
symbols = rng.choice(4, size=n, p=probabilities)
table = frequencies(np.log(np.tile(probabilities, (n, 1))))
stack = Ans()
stack.push_table(symbols, table)
information = -np.log2(np.array(probabilities))[symbols].sum()
assert Ans(stack.to_bytes()).pop_table(table) == symbols.tolist()
chapter.known("bits of the message", stack.bits, information, source="its information", within=1.0)
print(f"{n:,} symbols: {len(stack.to_bytes()):,} bytes; two bits each would be {n // 4:,}")

# %% [markdown]
# ## Popping what was never pushed
#
# Pop a symbol from a stack of *random* bits, and it comes out distributed as the table says: popping is sampling. Push
# it again, and the bits are back, every one. So a sender can *draw* something with bits that are on the stack anyway,
# and the receiver returns them.

# %%
stack = Ans()
drawn = stack.pop_table(table)
share = np.bincount(drawn, minlength=4)[0] / n
error = math.sqrt(probabilities[0] * (1 - probabilities[0]) / n)
chapter.known("share of the first symbol, popped", share, probabilities[0], source="its probability", error=error)
stack.push_table(np.array(drawn), table)
chapter.known("bits after pushing it again", stack.bits, stack.borrowed, source="what was taken", within=1e-9)

# %% [markdown]
# ## Bits back
#
# A VAE does not know $p(x) = \int p(x \mid z)\, p(z)\, dz$. It could send *some* code $z$, at $-\log_2 p(z)$ bits, and
# then $x$ given $z$. That wastes bits: many codes would do, and choosing one of them tells nothing about $x$. Bits-back
# coding gets the waste back. The sender **pops** $z$ from the stack with the table of $q(z \mid x)$. The receiver, who
# has $x$ in the end, knows $q(z \mid x)$ as well, and **pushes** $z$ back. The price of an image is
#
# $$-\log_2 p(x \mid z) - \log_2 p(z) + \log_2 q(z \mid x),$$
#
# which is in expectation minus the **evidence lower bound**: the number that training descended on.

# %%
digits = dataclasses.replace(pf.load_data("digits"), condition=None)
x = digits.test.spread(chapter.size(100, smoke=8)).x
with tempfile.TemporaryDirectory() as folder:
    options = {"latent_dim": latent_dim, "likelihood": "discretised-logistic"}
    vae = pf.fit("vae", digits, steps=steps, seed=0, out=Path(folder) / "vae", options=options, show=False).model
    gpt = pf.fit("gpt", digits, steps=gpt_steps, seed=0, out=Path(folder) / "gpt", show=False).model

found = compress(vae, x)
again = decompress(vae, found.contents)
chapter.known("pixels that came back otherwise", (again.x != x).sum(), 0, source="lossless", within=0)

draws = torch.stack([vae.log_prob(x, samples=1, seed=seed).sum() for seed in range(10)]) / -math.log(2)
bound = float(draws.mean())
chain = 8 * (len(found.contents) - found.header)
chapter.known("bits of the chain / bound", chain / bound, 1.0, source="bits-back coding", within=0.02 + 5.0 / len(x))
print(f"bound {bound / 8:,.0f} bytes, chain {chain / 8:,.0f}, the whole file {len(found.contents):,}")

# %% [markdown]
# The first image finds an empty stack and has nothing to pop $z$ from: it borrows random bits. Below, the bits per
# image against the number of images in the chain. The loan is paid once, and after some tens of images it is forgotten.

# %%
counts = [1, 2, 4, 8, 16, 32, 64, 100]
counts = [count for count in counts if count <= len(x)]
chains = [compress(vae, x[:count]) for count in counts]
bits = [8 * (len(one.contents) - one.header) / one.count for one in chains]
each = torch.stack([vae.log_prob(x, samples=1, seed=seed) for seed in range(10)]).mean(0) / -math.log(2)
bounds = [float(each[:count].mean()) for count in counts]
figure, axis = plt.subplots(figsize=(6.6, 3.4))
axis.plot(counts, bits, "o-", ms=4, color=BLUE, label="bits-back chain")
axis.plot(counts, bounds, color=ACCENT, lw=1.4, label="bound of these images")
axis.set(
    xscale="log", xlabel="images in the chain", ylabel="bits per image", ylim=(0, None), title="The loan of the start"
)
axis.legend()
chapter.show(figure, "36-chain")

# %% [markdown]
# ## A transformer, and the usual formats
#
# An autoregressive model needs no trick: the table of pixel $t$ is $p(x_t \mid x_{<t})$, and the price is the
# likelihood itself. It pays in time: reading back takes one pass of the network for every pixel.
#
# Both sides must compute the *same* table to the last bit, or everything after the first difference is noise. So the
# networks run in 64 bits on one thread, with the same shapes on both sides, and a file carries a checksum of its
# contents and of the weights. Without the weights it is worthless: they are the dictionary, and they are not counted
# here. It is a format for many files of one kind.

# %%
few = x[: chapter.size(24, smoke=2)]  # reading back takes 64 passes
by_gpt = compress(gpt, few)  # which has been decoded and compared
exact = float(gpt.log_prob(few).sum()) / -math.log(2)
chain = 8 * (len(by_gpt.contents) - by_gpt.header)
# The head is written in 64 bits, of which 32 to 64 say nothing; the rounding of frequencies adds next to nothing.
chapter.known("bits of gpt's stack - likelihood", chain - exact, 48, source="chain rule, head", within=18)

image, entries = digits.example, x.numel()
sizes = {
    "PNG, a file each": picture_bytes(x, image),
    "PNG, all in one": picture_bytes(x, image, together=True),
    "LZMA of the pixels": len(lzma.compress(x.numpy().tobytes())),
    "JPEG 75, all in one (lossy)": picture_bytes(x, image, quality=75, together=True),
    "VAE, bits back": len(found.contents),
}
rates = {name: 8 * size / entries for name, size in sizes.items()}
rates["GPT, chain rule (stack alone)"] = chain / few.numel()
figure, axis = plt.subplots(figsize=(7.4, 3.0))
bars = axis.barh(list(rates), list(rates.values()), color=[ORANGE] * 4 + [BLUE, GREEN])
axis.bar_label(bars, [f"{rate:.2f}" for rate in rates.values()], padding=3, fontsize=8)
axis.invert_yaxis()
title = f"{len(x)} digits that training never saw; 8 is one byte a pixel"
axis.set(xlabel="bits/dim, header and all", xlim=(0, 1.15 * max(rates.values())), title=title)
chapter.show(figure, "36-sizes")

# %% [markdown]
# JPEG may change the image. A VAE can do that, too: store the code alone and accept what it decodes to. Below, digits
# and what their codes (rounded to one decimal) decode to, with the peak signal-to-noise ratio.

# %%
codes = (10 * vae.encode(x)).round() / 10
decoded = vae.decode(codes)
quality = psnr(x, decoded, peak=image.levels - 1)
rough = float(quality.mean())
figure, axes = plt.subplots(2, 10, figsize=(9, 2.2))
for column, (real, made) in enumerate(zip(x[:10], decoded[:10], strict=True)):
    for axis, picture in zip(axes[:, column], (real, made), strict=True):
        axis.imshow(picture[0].numpy(), cmap="gray_r", vmin=0, vmax=16)
        axis.axis("off")
axes[0, 0].set_title("digits", loc="left", fontsize=9)
axes[1, 0].set_title(f"{latent_dim} rounded numbers each: {rough:.1f} dB on average", loc="left", fontsize=9)
chapter.show(figure, "36-lossy")

# %% [markdown]
# On the command line: `pushforward compress RUN FOLDER --out pictures.pfz`, and back with `pushforward decompress
# pictures.pfz --run RUN --out FOLDER`.

# %%
chapter.end()
