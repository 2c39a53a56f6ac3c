# %% [markdown]
# # Discrete codes: the VQ-VAE
#
# An autoencoder whose code is a handful of *whole numbers*. An encoder gives a vector for every place of a small map,
# each vector is replaced by the nearest of K learned ones, its **codes**, and a decoder sees the codes alone. A second
# model then learns which maps of codes there are: it is a language model whose words are patches of pictures.
#
# Three things have to be understood: what a codebook learns, how a gradient passes a step that has none, and why most
# of the codes die if nobody looks after them.

# %%
import math

import matplotlib.pyplot as plt
import torch
from torch import nn

import pushforward as pf
from pushforward.autoencoders.code_use import CodeUse, code_use
from pushforward.autoencoders.codebook import Codebook, nearest
from pushforward.autoencoders.quantizer import passed
from pushforward.chapter import ACCENT, BLUE, GREEN, GREY, ORANGE, Chapter
from pushforward.core.data import Batch
from pushforward.core.noise import Noise
from pushforward.training.batches import Batches
from pushforward.zoo import create

chapter = Chapter("Discrete codes: the VQ-VAE")

# %% Try: change one number and run again.
size = 64  # codes: with 16 pictures come back blurred, with 512 the codebook has to be looked after even more
steps = chapter.size(300, smoke=12)  # of training: the collapse happens within the first fifty
spread = 1.0  # of the codes that start at random: at 0.1 even fewer survive, since all vectors prefer the same one
prior_steps = chapter.size(500, smoke=8)  # for the model of the codes: with more, its samples become digits
torch.set_num_threads(1)  # small tensors: sharing them out costs more than it gains

# %% [markdown]
# ## A codebook is k-means
#
# Each code e moves to the mean of the vectors that chose it, as a moving average over batches:
#
# $$u \leftarrow \gamma u + (1-\gamma)\tfrac{nK}{N}, \qquad e \leftarrow e + \tfrac{1-\gamma}{u}\tfrac{K}{N}(s - n e)$$
#
# for n of N vectors with sum s; u is how often the code is used, as a multiple of the even share. It rests where
# k-means does: every code is the mean of its cell. For a standard normal variable the best two codes are known,
# $\pm\sqrt{2/\pi}$ with a mean squared error of $1 - 2/\pi$, and so is the error of the best four, 0.1175 (Max 1960,
# table 1).

# %%
line = Noise(0, rows=chapter.size(20_000, smoke=4_000)).normal(1).double()
for count, error in ((2, 1 - 2 / math.pi), (4, 0.1175)):
    codebook = Codebook(count, 1).double()
    for _ in range(250):
        codebook(line)
        codebook.learn()
    codes = codebook.codes[:, 0].sort().values
    squares = (line[:, 0, None] - codes).square().amin(1)
    chapter.known(
        f"mean squared error with {count} codes",
        squares.mean(),
        error,
        source="Lloyd and Max",
        error=float(squares.std()) / math.sqrt(len(line)),
    )
    if count == 2:
        error = 2 / math.sqrt(len(line))
        chapter.known(
            "the upper of two codes", codes[1], math.sqrt(2 / math.pi), source="half-normal mean", error=error
        )

# %%
angle = 2 * math.pi * Noise(1, rows=1500).uniform()
ring = torch.stack([angle.cos(), angle.sin()], 1) + 0.15 * Noise(2, rows=1500).normal(2)
codebook = Codebook(12, 2)
with torch.no_grad():
    codebook(ring)
    codebook.learn()
side = torch.linspace(-1.6, 1.6, 200)
cell = nearest(torch.cartesian_prod(side, side), codebook.codes).reshape(200, 200)
figure, panes = plt.subplots(1, 2, figsize=(9.5, 4.4))
for k in range(12):
    panes[0].contour(side, side, (cell == k).float().T, levels=[0.5], colors=GREY, linewidths=0.6)
panes[0].scatter(*ring.T, s=3, lw=0, color=BLUE, alpha=0.5)
panes[0].scatter(*codebook.codes.T, s=60, color=ORANGE, edgecolor="white", zorder=3)
panes[0].set(aspect="equal", title="12 codes and their cells")

# %% [markdown]
# ## A gradient through a step
#
# The map from z to its code is flat, so its true gradient is zero and the encoder would learn nothing. What is passed
# on instead is a decision:
#
# * **straight-through**: the gradient at the code, as it is. All vectors of a cell are pushed alike, wherever they are;
# * **rotation**: as if the code were z *turned and stretched* onto it. The push keeps its angle to z, so vectors on
#   different sides of the code are moved apart or together.
#
# On the right, one cell: the arrow in orange is the gradient at the code, those in blue and green are what arrives.

# %%
code = torch.tensor([[1.0, 0.0]])
push = torch.tensor([[0.12, 0.3]])
around = torch.tensor([[0.7, 0.55], [1.35, 0.4], [0.75, -0.5], [1.3, -0.45], [1.1, 0.75]])
panes[1].scatter(*code.T, s=70, color=ORANGE, zorder=3)
panes[1].quiver(*code.T, *push.T, color=ORANGE, angles="xy", scale_units="xy", scale=1, width=0.008, zorder=3)
for way, colour in (("straight-through", BLUE), ("rotation", GREEN)):
    z = around.clone().requires_grad_()
    (passed(z, code.expand(5, 2), way) * push).sum().backward()
    arrows = z.grad
    panes[1].quiver(*around.T, *arrows.T, color=colour, angles="xy", scale_units="xy", scale=1, width=0.006, label=way)
panes[1].scatter(*around.T, s=25, color=ACCENT, zorder=3)
panes[1].plot(*torch.zeros(2, 1), "+", color=GREY)
panes[1].set(aspect="equal", xlim=(-0.2, 1.8), ylim=(-0.9, 1.3), title="What arrives at vectors of one cell")
panes[1].legend(fontsize=8, loc="upper left")
chapter.show(figure, "31-codebook-and-gradient")

z = around.double().requires_grad_()
q = code.double().expand(5, 2)
(passed(z, q, "straight-through") * push.double()).sum().backward()
unlike = (z.grad - push.double()).abs().max()
chapter.known("straight-through: gradient at z less that at q", unlike, 0.0, source="the identity", within=1e-12)
z.grad = None
(passed(z, q, "rotation") * push.double()).sum().backward()
before = nn.functional.cosine_similarity(push.double().expand(5, 2), q)
turned = (nn.functional.cosine_similarity(z.grad, z.detach()) - before).abs().max()
chapter.known("rotation: angle to z less that to q (cosine)", turned, 0.0, source="a rotation", within=1e-12)

# %% [markdown]
# ## Codebook collapse
#
# Codes that start at random lie where the encoder's vectors are not. A few of them win everything, are moved to where
# the vectors are, and win again; the others are never chosen, so they never learn: they are **dead**. The picture comes
# back blurred, and the loss does not say why.
#
# The repair has two parts. The codes *start* at the means that k-means finds in the first batch. And a code used less
# than a tenth of the even share is *moved* to a vector that is badly served, with its record of use set back: without
# that, the old average calls it dead again at once. A third way is to have no codebook: **FSQ** rounds each of a few
# numbers to a few levels, a grid on which no code can die.
#
# Use has to be counted over a *split*. A batch of a few pictures cannot show more codes than it has vectors.

# %%
data = pf.load_data("digits")


def trained(**options):
    """The first stage of a VQ-VAE on the digits, and the share of codes that the validation split uses on the way."""
    torch.manual_seed(0)
    model = create("vqvae", data, {"codes": size, "width": 64, "depth": 2, "halvings": 1, **options})
    if options.get("start") == "normal":
        with torch.no_grad():
            model.quantize.codes.mul_(spread)
    (phase,) = model.stages()[0].phases
    optimizer = torch.optim.AdamW(phase.parameters, lr=2e-3)
    batches, uses = Batches(data.train, 64, seed=0), []
    for step in range(steps):
        if step % max(steps // 12, 1) == 0:
            uses.append((step, float(code_use(model, data.valid).share)))
        x, _ = model.units.encode(data.train[batches.indices(step)].x, noise=Noise(0, step + 1, rows=64))
        loss = torch.stack(list(model.train().fit_codes(x, None, noise=Noise(0, step + 1, rows=64)).values())).sum(0)
        optimizer.zero_grad()
        loss.mean().backward()
        optimizer.step()
        model.after_step()
    uses.append((steps, float(code_use(model, data.valid).share)))
    return model.eval(), uses


def wall(digits):
    """Digits in rows of ten with a frame around each, as one array."""
    framed = nn.functional.pad(digits[:, 0], (1, 1, 1, 1))
    return framed.reshape(-1, 10, 10, 10).permute(0, 2, 1, 3).reshape(-1, 100).numpy()


ways = {
    "random start, no care": {"start": "normal", "revive": False},
    "k-means start, revival": {},
    "FSQ": {"quantizer": "fsq"},
}
found = {name: trained(**options) for name, options in ways.items()}

# %%
test = data.test.x
figure, panes = plt.subplots(1, 2, figsize=(10, 3.8), width_ratios=[1, 1.25])
shown = [test[:10]]
for (name, (model, uses)), colour in zip(found.items(), (ORANGE, BLUE, GREEN), strict=True):
    use = code_use(model, data.train)
    back = model.decode(model.encode(test))
    rmse = float((back.double() - test.double()).square().mean().sqrt())
    panes[0].plot(*zip(*uses, strict=True), color=colour, marker="o", ms=3, label=name)
    shown.append(back[:10])
    figures = f"{float(use.share):.0%} of the codes used, perplexity {float(use.perplexity):.0f}, error {rmse:.2f}"
    print(f"{name:>24}: {figures}")
panes[0].set(xlabel="step", ylabel="share of codes in use", ylim=(0, 1.05), title="Use over the validation split")
panes[0].legend(fontsize=8, loc="center right")
panes[1].imshow(wall(torch.cat(shown)), cmap="gray_r")
panes[1].set(title="Digits, and what each gives back", xticks=[], yticks=[5, 15, 25, 35])
panes[1].set_yticklabels(["data", "no care", "care", "FSQ"])
chapter.show(figure, "31-collapse")

cared, _ = found["k-means start, revival"]
whole = code_use(cared, data.train)
within = 1.0 if chapter.smoke else 0.05
chapter.known("share of codes used, with care", whole.share.min(), 1.0, source="no code is dead", within=within)
even = CodeUse(size, 1)
even.add(torch.arange(size)[:, None])
chapter.known("perplexity of even use", even.perplexity[0], size, source="exp of ln K", within=1e-9)
few = CodeUse(size, 1)
few.add(cared.encode_indices(data.train.x[:2]))
counted = f"{float(few.perplexity):.0f} by a batch of 2 pictures, {float(whole.perplexity):.0f} by the split"
print(f"perplexity {counted}")

# %% [markdown]
# ## A prior makes it a generative model
#
# The decoder knows what each map of codes looks like, but most maps are nonsense. A prior $p(k)$ over maps says which
# are not. Any model of codes will do, and what it is worth can be read in nats: since $p(x) = \sum_k p(x|k)\,p(k)$,
#
# $$\log p(x) \ge \log p(x \mid k(x)) + \log p(k(x)).$$
#
# The first term does not know the prior, so a better prior shows in the bound one to one. Below, codes drawn each on
# their own, and by a transformer that reads the map like a text.

# %%
figure, panes = plt.subplots(1, 2, figsize=(10, 2.2))
bounds = {}
for (name, prior), pane in zip({"independent codes": "independent", "transformer": "gpt"}.items(), panes, strict=True):
    torch.manual_seed(0)
    model = create("vqvae", data, {"codes": size, "width": 64, "depth": 2, "halvings": 1, "prior": prior})
    learned = {key: t for key, t in cared.state_dict().items() if not key.startswith("prior.")}
    model.load_state_dict(learned, strict=False)
    if prior == "independent":
        train = model.encode_indices(data.train.x).flatten(1)
        known = Batch(train, data.train[torch.arange(len(train))].condition)
        list(model.prior.solve(known, known, noise=Noise(0, rows=len(train))))
    else:
        (phase,) = model.stages()[1].phases
        optimizer = torch.optim.AdamW(phase.parameters, lr=phase.lr, betas=phase.betas, weight_decay=phase.weight_decay)
        batches = Batches(data.train, 32, seed=1)
        for step in range(prior_steps):
            rows = data.train[batches.indices(step)]
            x, _ = model.units.encode(rows.x, noise=Noise(1, step + 1, rows=32))
            loss = torch.stack(list(model.fit_prior(x, rows.condition, noise=Noise(1, step + 1, rows=32)).values()))
            optimizer.zero_grad()
            loss.sum(0).mean().backward()
            torch.nn.utils.clip_grad_norm_(phase.parameters, 1.0)
            optimizer.step()
    model.eval()
    labels = data.test[torch.arange(len(data.test))].condition.value
    bounds[name] = float(model.log_prob(test, labels).mean())
    drawn = model.sample(30, condition=torch.arange(30) % 10, seed=0)
    pane.imshow(wall(drawn), cmap="gray_r")
    pane.set(title=f"{name}: bound {bounds[name]:.1f} nats", xticks=[], yticks=[])
chapter.show(figure, "31-samples")

# %% [markdown]
# The gain of the transformer is what the places of a map tell about each other. It costs time: codes are drawn one
# after another, though there are four times fewer than pixels here, and sixteen times fewer with two halvings.

# %%
gain = bounds["transformer"] - bounds["independent codes"]
print(f"what the places tell about each other, as far as the transformer has learned it: {gain:.1f} nats")
exact = cared.log_prob(test[:50], samples=5) - cared.log_prob(test[:50])
chapter.known("spread of the bound over draws", exact.abs().max(), 0.0, source="one map, no noise", within=1e-9)
chapter.end()
