# %% [markdown]
# # Likelihoods compared: what a decoder promises
#
# A decoder turns a code $z$ into numbers $\theta$. They mean nothing until a **likelihood** says how an example is
# distributed given them, $p(x \mid \theta)$. The choice is part of the model: it decides what "a good reconstruction"
# is, how samples look, and whether the number you report is a probability at all.
#
# This chapter looks at one pixel first, then trains one small VAE per likelihood on the same digits, with the same
# networks and the same steps, and compares what can be compared: **bits per pixel of the data as they are stored**.

# %%
import math

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

import pushforward as pf
from pushforward.chapter import ACCENT, BLUE, GREY, ORANGE, Chapter
from pushforward.core.fit_units import default_units
from pushforward.core.noise import Noise
from pushforward.probability.likelihoods import likelihood_of, space_of

chapter = Chapter("Likelihoods compared")

# %% Try: change one number and run again.
latent = 8  # length of the code: with 2 every likelihood gets worse, and their order stays
components = 3  # logistics in the mixture: with 1 a pixel cannot be "black or bright", only something in between
steps = chapter.size(1000, smoke=15)  # of training each: more of them lower all five
draws = chapter.size(20, smoke=2)  # of the code per test image, to average the bound over

# %% [markdown]
# ## One pixel
#
# The digits have 17 levels, 0 to 16, so the outcomes of a pixel are 17 and their masses must sum to 1. Three ways:
#
# * **categorical**: 17 numbers, any masses at all; it does not know that 7 lies between 6 and 8.
# * **discretised logistic**: a smooth density on $[-1, 1]$, each level taking the mass of its cell, the two end levels
#   the tails as well: $P(k) = \sigma\big(\tfrac{b_k - \mu}{s}\big) - \sigma\big(\tfrac{a_k - \mu}{s}\big)$. Two numbers
#   per pixel; a mixture has more than one hump.
# * a **density** (gaussian, continuous Bernoulli) of the level plus uniform noise on its cell. Its mean logarithm is
#   a *lower bound* on that of the mass, by Jensen's inequality.

# %%
digits = pf.load_data("digits")
levels, pixels = digits.example.levels, 64
one = type(digits.example)(height=1, width=1, levels=levels)


def of_one_pixel(name, count=1):
    """The likelihood of a single pixel, and its units."""
    units = default_units(one, space_of(name, one))
    return likelihood_of(name, one, units, components=count), units


def masses(name, theta, count=1):
    """P(k) of all levels; of a density, its integral over every cell."""
    likelihood, _ = of_one_pixel(name, count)
    theta = torch.tensor(theta, dtype=torch.float64).reshape(1, *likelihood.theta)
    if likelihood.space == "native":
        y = torch.arange(levels, dtype=torch.float64).reshape(-1, 1, 1, 1)
        return likelihood.log_prob(y, theta.expand(levels, *likelihood.theta)).exp()
    fine = 400  # points of the midpoint rule in a cell
    y = (2 * (torch.arange(levels * fine, dtype=torch.float64) + 0.5) / (levels * fine) - 1).reshape(-1, 1, 1, 1)
    density = likelihood.log_prob(y, theta.expand(len(y), *likelihood.theta)).exp()
    return density.reshape(levels, fine).mean(1) * 2 / levels


shown = {
    "categorical": masses("categorical", torch.linspace(-1, 1, levels).cos().mul(4).tolist()),
    "discretised logistic": masses("discretised-logistic", [0.3, 0.0]),
    "mixture of two": masses("discretised-logistic", [1.0, 0.0, -0.6, 0.2, -1.0, -0.5], 2),
    "gaussian": masses("gaussian", [0.3, -2.0]),
    "continuous Bernoulli": masses("continuous-bernoulli", [3.0]),
}
figure, axes = plt.subplots(1, 5, figsize=(12, 2.4), sharey=True)
for axis, (title, mass) in zip(axes, shown.items(), strict=True):
    axis.bar(range(levels), mass.tolist(), color=BLUE, width=0.9)
    axis.set(title=title, xlabel="level")
    missing = " (the rest lies beyond the ends)" if title == "gaussian" else ""
    if not missing:
        chapter.known(f"sum of the masses, {title}", mass.sum(), 1.0, source="a probability", within=1e-4)
axes[0].set_ylabel("P(level)")
chapter.show(figure, "29-one-pixel")
print(f"the gaussian keeps {shown['gaussian'].sum():.3f} on the levels and wastes the rest beyond black and white")

# %% [markdown]
# ## A loss that is no likelihood
#
# Binary cross-entropy between grey values $v \in [0, 1]$ and an intensity $\lambda = \sigma(\ell)$ is what many
# examples train with. Read as $-\log p(v)$ it is no density: $\int_0^1 \lambda^v (1 - \lambda)^{1 - v}\,dv =
# \tanh(\ell/2)/\ell$, which is at most $1/2$. The **continuous Bernoulli** divides by that number. The difference is no
# constant: it depends on $\ell$, so the two losses have different best logits, and neither number says anything about
# the other. The right panel shows what goes wrong when they are mixed: a logit that the cross-entropy made right for a
# mean of 0.95 stands for a density with a much greyer mean.

# %%
logits = torch.linspace(-8, 8, 81, dtype=torch.float64)
v = torch.linspace(0, 1, 2001, dtype=torch.float64)
unnormalised = (
    -binary_cross_entropy_with_logits(logits[:, None].expand(-1, 2001), v.expand(81, -1), reduction="none")
).exp()
integral = torch.trapezoid(unnormalised, v, dim=1)
for logit in (1.0, 4.0):
    place = int((logits - logit).abs().argmin())
    answer = math.tanh(logit / 2) / logit
    chapter.known(f"integral of exp(-BCE), logit {logit:g}", integral[place], answer, source="tanh(l/2)/l", within=1e-5)
corrected, _ = of_one_pixel("continuous-bernoulli")
means = (corrected.mean(logits.reshape(-1, 1, 1, 1, 1)).flatten() + 1) / 2

figure, axes = plt.subplots(1, 2, figsize=(9, 3))
axes[0].plot(logits, integral, color=ORANGE, label="exp(-BCE)")
axes[0].axhline(1, color=ACCENT, lw=1, label="a density")
axes[0].set(xlabel="logit", ylabel="integral over [0, 1]", ylim=(0, 1.1), title="What the cross-entropy integrates to")
axes[0].legend()
axes[1].plot(logits, logits.sigmoid(), color=ORANGE, label=r"$\sigma(\ell)$, of the cross-entropy")
axes[1].plot(logits, means, color=BLUE, label="of the continuous Bernoulli")
axes[1].set(xlabel="logit", ylabel="intensity", title="The mean that a logit stands for")
axes[1].legend()
chapter.show(figure, "29-cross-entropy")

# %% [markdown]
# ## What a density pays on a grid
#
# A corner pixel of the digits is always 0. A mass says so: $P(0) = 1$, zero bits. A Gaussian cannot: spread over its
# cell, the pixel is *uniform*, and the best Gaussian for a uniform law costs $\tfrac12 \log\tfrac{2 \pi e}{12}$ nats
# more than it, a quarter of a bit, however wide the cell is. Sixty-four pixels pay it sixty-four times.

# %%
gaussian, units = of_one_pixel("gaussian")
count = chapter.size(400_000, smoke=100_000)
black = torch.zeros(count, 1, 1, 1, dtype=torch.uint8)
y, log_det = units.encode(black, noise=Noise(0, rows=count), dtype=torch.float64)
centre, variance = 1 / levels - 1, (2 / levels) ** 2 / 12
raw = 15 * math.atanh(math.log(variance) / 15)  # the likelihood bends far log-variances back; this undoes it
best = torch.tensor([centre, raw], dtype=torch.float64).reshape(1, 2, 1, 1, 1)
cost = -(gaussian.log_prob(y, best.expand(count, 2, 1, 1, 1)) + log_det)
lowest = 0.5 * math.log(2 * math.pi * math.e / 12)
error = cost.std() / math.sqrt(count)
chapter.known(
    "nats of a pixel that never varies, gaussian", cost.mean(), lowest, source="1/2 ln(2 pi e/12)", error=error
)
certain = masses("discretised-logistic", [-1.0, -30.0])
chapter.known("the same, discretised logistic", -certain[0].log(), 0.0, source="P(0) = 1", within=1e-3)

# %% [markdown]
# ## The same VAE five times
#
# Ten lines are the whole model: read the inputs, draw a code, ask the likelihood. Only its name changes. Everything is
# brought to one unit, bits per pixel of the stored levels: a density adds the log-determinant of its units, and all
# numbers are averages of the lower bound. Two that need no training stand beside them: equal masses, $\log_2 17$, and
# pixels that know nothing of each other.


# %%
class SmallVAE(nn.Module):
    """A code of 8 numbers, one hidden layer on either side, and a likelihood."""

    def __init__(self, name, count):
        super().__init__()
        self.units = default_units(digits.example, space_of(name, digits.example))
        self.likelihood = likelihood_of(name, digits.example, self.units, components=count)
        theta = self.likelihood.theta
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(pixels, 128), nn.SiLU(), nn.Linear(128, 2 * latent))
        self.decoder = nn.Sequential(
            nn.Linear(latent, 128), nn.SiLU(), nn.Linear(128, math.prod(theta)), nn.Unflatten(1, theta)
        )

    def bound(self, x, noise, weight=1.0):
        """The bound on log P(x) in nats, at one draw of the code; the KL term counts ``weight`` times."""
        y, log_det = self.units.encode(x, noise=noise)
        mean, log_variance = self.encoder(self.likelihood.inputs(y)).chunk(2, 1)
        z = mean + (0.5 * log_variance).exp() * noise.normal(latent)
        kl = 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum(1)
        return self.likelihood.log_prob(y, self.decoder(z)) + log_det - weight * kl


def fitted(name, count=1):
    """A trained model, and its bits per pixel on test images with their standard error."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vae = SmallVAE(name, count)
    optimizer = torch.optim.Adam(vae.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    order = torch.Generator().manual_seed(1)
    for step in range(steps):
        x = digits.train.x[torch.randint(len(digits.train), (128,), generator=order)]
        loss = -vae.bound(x, Noise(0, 1 + step, rows=128), min(1.0, 5 * step / steps)).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(vae.parameters(), 4.0 * pixels)
        optimizer.step()
        schedule.step()
    x = digits.test.x
    with torch.no_grad():
        nats = -torch.stack([vae.bound(x, Noise(9, k, rows=len(x))) for k in range(draws)]).mean(0)
    bits = nats / pixels / math.log(2)
    return vae, float(bits.mean()), float(bits.std() / math.sqrt(len(x)))


kinds = {
    "gaussian": ("gaussian", 1),
    "continuous Bernoulli": ("continuous-bernoulli", 1),
    "categorical": ("categorical", 1),
    "discretised logistic": ("discretised-logistic", 1),
    f"mixture of {components}": ("discretised-logistic", components),
}
found = {title: fitted(*kind) for title, kind in kinds.items()}

train, test = (split.x.flatten(1).long() for split in (digits.train, digits.test))
shares = torch.stack([torch.bincount(train[:, i], minlength=levels) + 0.5 for i in range(pixels)])
shares = shares / shares.sum(1, keepdim=True)
alone = -shares.log2()[torch.arange(pixels), test].mean().item()
likelihood = likelihood_of("categorical", digits.example, default_units(digits.example, "native"))
flat = -likelihood.log_prob(digits.test.x.float(), torch.zeros(len(test), *likelihood.theta)).mean().item()
chapter.known(
    "bits per pixel of equal masses", flat / pixels / math.log(2), math.log2(17), source="log2 17", within=1e-4
)
print(f"pixels alone: {alone:.3f} bits per pixel")
for title, (_, bits, error) in found.items():
    print(f"{title:<22} {bits:.3f} +- {error:.3f}")

# %%
figure, axes = plt.subplots(figsize=(8, 3))
for place, (_, bits, error) in enumerate(found.values()):
    axes.barh(place, bits, color=BLUE, xerr=error)
    axes.text(bits + 0.06, place, f"{bits:.2f}", va="center")
for value, name in ((math.log2(17), "equal masses"), (alone, "pixels alone")):
    axes.axvline(value, color=GREY, ls="--", lw=1)
    axes.text(value, -0.75, name, ha="center", color=GREY)
axes.set(yticks=range(len(found)), yticklabels=found, xlabel="bits per pixel on test images (lower is better)")
axes.invert_yaxis()
axes.set_xlim(0, max(4.4, *(bits + 0.4 for _, bits, _ in found.values())))
chapter.show(figure, "29-bits")

# %% [markdown]
# ## Means are not samples
#
# The decoder's mean is a clean picture whatever the likelihood. A *sample* adds the noise that the likelihood
# promises, and only that shows what was learned: a Gaussian puts static everywhere, even where the pixel is always
# black; the logistic mixture keeps black black. A paper that shows means hides the difference, and what a model
# **can draw** is what its bits per pixel measure.

# %%
shown_images = 8
noise = Noise(4, rows=shown_images)
z = noise.normal(latent)
figure, axes = plt.subplots(len(found), 2, figsize=(9, 0.6 * len(found) + 0.3))
for (title, (vae, _, _)), (left, right) in zip(found.items(), axes, strict=True):
    with torch.no_grad():
        theta = vae.decoder(z)
        for axis, y in ((left, vae.likelihood.mean(theta)), (right, vae.likelihood.draw(theta, noise))):
            images = vae.units.decode(y, noise=noise)[:, 0]
            axis.imshow(torch.cat(list(images), 1).numpy(), cmap="gray", vmin=0, vmax=levels - 1)
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
    left.set_ylabel(title, rotation=0, ha="right", va="center", fontsize=9)
axes[0, 0].set_title("means of p(x | z)")
axes[0, 1].set_title("samples of p(x | z)")
chapter.show(figure, "29-means-and-samples")

# %% [markdown]
# ## Which one to take
#
# * Black and white: **bernoulli**. Grey or colour levels: **discretised logistic**, with a mixture where one pixel can
#   be one of two things. Codes without an order (letters, categories): **categorical**.
# * Continuous measurements: **gaussian**, its variance learned. Counts: **count** (a negative binomial). A table: one
#   likelihood for each **column**, which is what `likelihood="auto"` takes.
# * Compare nats or bits only of likelihoods of the *same* data in the same units, and never a cross-entropy on grey
#   values with either.

# %%
chapter.end()
