# %% [markdown]
# # The conditional VAE
#
# An ordinary VAE draws some digit; one would like to order a seven. Give the class c to *both* networks,
#
# $$q(z \mid x, c), \qquad p(x \mid z, c),$$
#
# and keep the prior p(z) free of it. The bound is the one we know, with c in every place,
# $\log p(x \mid c) \ge \mathbb{E}_q[\log p(x \mid z, c)] - \mathrm{KL}(q(z \mid x, c) \,\|\, p(z))$.
#
# Since the decoder is told the class, the code need not spend nats on it: z is left to say *how* the seven was written.
# That is a second use of the model: take the code of one digit, change the class, and the style stays.
#
# The condition need not be a label. It can be numbers, a row of a table with missing cells, or a picture; the library
# turns each into a vector. An *absent* condition is a vector of its own that is learned too, so one model has both
# p(x | c) and p(x).

# %%
import math

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from torch.distributions import MultivariateNormal

from pushforward.autoencoders.labels import class_posterior
from pushforward.autoencoders.vae import VAE
from pushforward.chapter import BLUE, ORANGE, Chapter
from pushforward.core.data import Condition
from pushforward.core.modality import Image, Label, Points
from pushforward.core.noise import Noise

chapter = Chapter("The conditional VAE")

# %% Try: change one number and run again.
ordered = 7  # the class that is drawn on command
latent_dim = 8  # of z: with 2 the styles are few, but every one of them is a place in the plane
dropped = 0.1  # share of labels hidden in training: at 0 the model without a class is never taught
steps = chapter.size(2_500, smoke=15)  # of training on digits

# %% [markdown]
# ## On command

# %%
digits = load_digits()
pixels = torch.from_numpy(digits.images).to(torch.uint8)[:, None]
bits, classes = (pixels >= 8).to(torch.uint8), torch.from_numpy(digits.target).long()
shuffled = torch.randperm(len(bits), generator=torch.Generator().manual_seed(0))
train, test = shuffled[: chapter.size(1400, smoke=200)], shuffled[1400:][: chapter.size(397, smoke=50)]
ten = Label(names=tuple(range(10)))


def descend(model, x, given, count, lr, batch=64):
    """Plain training: ``given`` is (labels, which of them are known)."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=lr, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, count)
    for step in range(count):
        model.progress = step / count
        noise = Noise(0, step + 1, rows=batch)
        rows = (noise.uniform() * len(x)).long()
        known = given[1][rows] & (noise.uniform() >= dropped)
        loss = model.loss(x[rows].to(model.dtype), Condition(given[0][rows], known), noise=noise).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    model.progress = 1.0
    return model.eval()


with torch.random.fork_rng():
    torch.manual_seed(0)
    vae = VAE(example=Image(height=8, width=8, levels=2), condition=ten, latent_dim=latent_dim, width=192)
every = torch.ones(len(train), dtype=torch.bool)
vae = descend(vae, bits[train], (classes[train], every), steps, lr=3e-3)

figure, axes = plt.subplots(1, 3, figsize=(11, 4.2), width_ratios=[1, 1, 1.25])


def tiles(axis, images, rows, title):
    """Images in a grid."""
    columns = len(images) // rows
    sheet = images.view(rows, columns, 8, 8)
    sheet = torch.nn.functional.pad(sheet.double(), (0, 1, 0, 1), value=0.5)  # a thin line between tiles
    axis.imshow(sheet.permute(0, 2, 1, 3).reshape(9 * rows, 9 * columns).numpy(), cmap="Greys", vmin=0, vmax=1)
    axis.set(title=title, xticks=[], yticks=[])


tiles(axes[0], vae.sample(64, condition=ordered, seed=0).view(-1, 8, 8), 8, f"Drawn: class {ordered}")
tiles(axes[1], vae.sample(64, seed=0).view(-1, 8, 8), 8, "Drawn: no class given")

# Codes of eight digits, each decoded as every class.
sources = test[:8]
codes = vae.encode(bits[sources], classes[sources])
swapped = torch.stack([vae.generate(codes, vae.given(c, 8)) for c in range(10)], 1).detach()
tiles(
    axes[2],
    torch.cat((bits[sources][:, None].double(), swapped.double()), 1).reshape(-1, 8, 8),
    8,
    "First column: test digit; then 0 to 9",
)
chapter.show(figure, "28-digits")

# %% [markdown]
# Left, one class as ordered. Right, each row has the style of its first digit: slanted stays slanted, wide stays wide.
#
# ## A classifier for nothing
#
# A model of p(x | c) knows the class by Bayes' rule, $p(c \mid x) \propto p(c)\, p(x \mid c)$: score x under each class
# and compare. It was never trained to classify, and it also says when *no* class explains x, which a classifier cannot.
#
# Where x leaves no doubt about its class, being told it saves the nats of the class and no more: $\ln 10 = 2.30$. The
# sum over classes is also the better p(x). The null saw a tenth of the examples, those whose label was hidden.

# %%
draws = chapter.size(50, smoke=2)
scores = torch.stack([vae.log_prob(bits[test], k, samples=draws) for k in range(10)], 1)  # log p(x | c)
right = (scores.argmax(1) == classes[test]).double()
told = scores.gather(1, classes[test][:, None])[:, 0]
summed = scores.logsumexp(1) - math.log(10)  # log p(x), the classes being equally likely
alone = vae.log_prob(bits[test], samples=draws)
print(f"held-out digits: {right.mean():.3f} classified right; nats: {told.mean():.2f} given the class, ", end="")
print(f"{summed.mean():.2f} by the sum over classes, {alone.mean():.2f} with the null")
gain = (told - summed).median()
allowed = 3.0 if chapter.smoke else 0.02
chapter.known("median gain of knowing c", gain, math.log(10), source="H(c), where x tells c", within=allowed)
order_test = vae.sample(200, condition=ordered, seed=1)
taken = class_posterior(vae, order_test, samples=10).argmax(1) == ordered
print(f"samples of class {ordered} that the model itself takes for one: {taken.double().mean():.3f}")

# %% [markdown]
# ## Few labels: sum over the missing ones
#
# Labels cost money, pictures do not. An example *without* its label still says something about the classes, because it
# must come from one of them:
#
# $$\log p(x) = \log \sum_c p(c)\, p(x \mid c).$$
#
# With `absent="marginal"` that sum is the loss of an unlabelled example. It is Kingma's semi-supervised VAE with the
# exact $p(c \mid x)$ in place of a network.
#
# Below are two long stripes, labelled only at opposite ends. By the labels alone the border would run across both. The
# sum over labels finds that each stripe is one thing.

# %%
n = chapter.size(300, smoke=100)
c = torch.arange(n) % 2
along = 4 * Noise(0, rows=n).uniform().double() - 2
stripes = torch.stack((along, 1.5 * c - 0.75 + 0.15 * Noise(1, rows=n).normal().double()), 1)
present = torch.zeros(n, dtype=torch.bool)
present[torch.where(c == 0, along, -along).argsort()[:20]] = True
two = Label(names=("lower", "upper"))

figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.4), sharey=True)
accuracy = {}
for axis, absent in zip(axes, ("null", "marginal"), strict=True):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        linear = {"network": "linear", "variance": "dimension", "latent_dim": 1}
        model = VAE(example=Points(dim=2), condition=two, absent=absent, **linear)
    model = descend(model, stripes, (c, present), chapter.size(500, smoke=10), lr=1e-2, batch=n)
    share = class_posterior(model, stripes, samples=10)[:, 1].exp()
    accuracy[absent] = float(((share > 0.5) == c).double().mean())
    axis.scatter(*stripes.T, c=share.tolist(), cmap="coolwarm", vmin=0, vmax=1, s=12, lw=0)
    axis.scatter(
        *stripes[present].T, s=40, facecolors="none", edgecolors=[(BLUE, ORANGE)[k] for k in c[present]], lw=1.2
    )
    title = {"null": "labelled examples only", "marginal": "sum over missing labels"}[absent]
    axis.set(xlabel="$x_1$", title=f"{title}: {accuracy[absent]:.2f} right")
axes[0].set(ylabel="$x_2$")
chapter.show(figure, "28-few-labels")
chapter.known(
    "accuracy, labels summed over",
    accuracy["marginal"],
    1.0,
    source="the stripes do not touch",
    within=1.0 if chapter.smoke else 0.03,
)

# %% [markdown]
# The decoder here is linear, so that one class can be one stripe only. A flexible decoder can put both stripes into
# each class and explain the data as well: *what a class is* must come from somewhere, from enough labels or from a
# model that cannot bend.
#
# ## A vector as condition, with a known answer
#
# Let x and c be jointly normal, and condition a linear VAE on c. Then p(x | c) has a closed form, mean and covariance
# of a conditional normal. Conditions are numbers far from zero, as they come; the library finds their scale.

# %%
joint = MultivariateNormal(
    torch.zeros(3).double(), torch.tensor([[2.0, 0.6, 1.2], [0.6, 1.0, 0.3], [1.2, 0.3, 1.0]]).double()
)
with torch.random.fork_rng():
    torch.manual_seed(1)
    sample = joint.sample((chapter.size(4_000, smoke=300),))
    model = VAE(example=Points(dim=2), condition=Points(dim=1), network="linear", latent_dim=1, variance="dimension")
x, given = sample[:, :2], 50 + 10 * sample[:, 2:]
model.embed.standardise_(given)
model = descend(
    model, x, (given, torch.ones(len(x), dtype=torch.bool)), chapter.size(1_500, smoke=10), lr=1e-2, batch=256
)
gain = torch.linalg.inv(joint.covariance_matrix[2:, 2:]) * joint.covariance_matrix[:2, 2]
rest = joint.covariance_matrix[:2, :2] - joint.covariance_matrix[:2, 2:] @ gain
truth = MultivariateNormal(sample[:, 2:] @ gain, rest).log_prob(x).mean()
reached = model.log_prob(x, given, samples=20).mean()
print(
    f"mean log p(x | c): {reached:.3f} reached, {truth:.3f} true, "
    f"{MultivariateNormal(torch.zeros(2).double(), joint.covariance_matrix[:2, :2]).log_prob(x).mean():.3f} without c"
)
chapter.known("mean log p(x | c)", reached, truth, source="conditional normal", within=2.0 if chapter.smoke else 0.05)

# %% [markdown]
# ## What goes wrong
#
# - *The condition is ignored.* If z can say everything, nothing forces the decoder to listen to c. It does, because
#   nats spent in z cost and c is free; with a KL weight near 0 it does not.
# - *No label is hidden in training*, and p(x) is asked for afterwards: the learned null was never trained.

# %%
chapter.end()
