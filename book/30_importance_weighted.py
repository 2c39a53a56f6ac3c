# %% [markdown]
# # Importance-weighted autoencoders
#
# The evidence lower bound asks a single draw of z to explain x. With K draws from the same encoder one can do better:
#
# $$L_K = \mathbb{E}\,\log \frac1K \sum_{k=1}^K w_k, \qquad w_k = \frac{p(z_k)\, p(x \mid z_k)}{q(z_k \mid x)}.$$
#
# Each $w_k$ has mean p(x), so their average is an estimate of p(x), and its logarithm is on average too low (Jensen).
# The more weights, the less their average scatters, the less is lost: $L_1$ is the ELBO, $L_K$ grows with K, and it
# reaches log p(x). So it serves twice: to *judge* a trained model by many draws, and to *train* one with a few.

# %%
import math

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from torch.distributions import Normal

from pushforward.autoencoders.vae import VAE
from pushforward.chapter import ACCENT, BLUE, GREEN, GREY, ORANGE, Chapter
from pushforward.core.modality import Image
from pushforward.core.noise import Noise

chapter = Chapter("Importance-weighted autoencoders")

# %% Try: change one number and run again.
width = 0.6  # standard deviation of the encoder below; the true posterior has 0.71. Above it, the bound closes fast
shift = 0.5  # how far its mean is off
trained_k = (1, 5, 20)  # draws in training: watch the last table; 50 is the usual choice for the best figure
steps = chapter.size(1_200, smoke=15)  # of each training
judged = chapter.size(500, smoke=20)  # draws for the final figure
few = chapter.size(0, smoke=5)  # exceptions allowed: a quick run has noisy averages

# %% [markdown]
# ## How fast the gap closes
#
# $x \mid z \sim N(z, 1)$ and $z \sim N(0, 1)$, so that $p(x) = N(x; 0, 2)$ and the posterior is $N(x/2, 1/2)$. The
# encoder is wrong in mean and width. For large K the logarithm is nearly straight over the scatter of the average, and
#
# $$\log p(x) - L_K \approx \frac{1}{2K}\, \frac{\mathrm{Var}[w]}{p(x)^2}.$$
#
# The variance is an integral over z, done here on a grid. It is infinite if q is much narrower than the posterior:
# set `width` to 0.45 and the gap hardly closes. An encoder should rather be too wide than too narrow, and ELBO training
# pulls it the other way.

# %%
x, root_half = 1.3, math.sqrt(0.5)
evidence = float(Normal(0.0, math.sqrt(2.0)).log_prob(torch.tensor(x, dtype=torch.float64)))
mean = x / 2 + shift
grid = torch.linspace(-8, 9, 20_001, dtype=torch.float64)


def log_weight(z):
    """log w of codes drawn from the wrong encoder, less log p(x): the posterior over the encoder."""
    two = torch.tensor([x / 2, mean], dtype=torch.float64)
    return Normal(two[0], root_half).log_prob(z) - Normal(two[1], width).log_prob(z)


encoder_density = Normal(torch.tensor(mean, dtype=torch.float64), width).log_prob(grid).exp()
variance = float(torch.trapezoid(encoder_density * (2 * log_weight(grid)).exp(), grid)) - 1
ks, repeats = (1, 2, 5, 10, 20, 50, 100, 200), chapter.size(20_000, smoke=1_000)
gaps, errors = [], []
for k in ks:
    z = mean + width * Noise(0, k, rows=repeats).normal(k).double()
    loss = math.log(k) - log_weight(z).logsumexp(1)
    gaps.append(float(loss.mean()))
    errors.append(float(loss.std()) / math.sqrt(repeats))

figure, axis = plt.subplots(figsize=(6.5, 3.6))
axis.errorbar(ks, gaps, yerr=errors, color=BLUE, marker="o", ms=4, label="$\\log p(x) - L_K$")
axis.plot(
    ks, [variance / (2 * k) for k in ks], color=ACCENT, ls="--", lw=1.2, label="relative variance of $w$ over $2K$"
)
axis.set(xscale="log", yscale="log", xlabel="K", ylabel="nats", title="The gap of the bound")
axis.legend(fontsize=8)
chapter.show(figure, "30-gap")
violations = sum(later > earlier for earlier, later in zip(gaps, gaps[1:], strict=False))
chapter.known("steps of K at which the bound fell", violations, 0, source="Burda et al. 2016, theorem 1", within=few)
chapter.known(
    "gap at K = 200, times 400", 400 * gaps[-1], variance, source="grid over z", error=400 * errors[-1] + 0.01
)
average = float(torch.trapezoid(encoder_density * log_weight(grid).exp(), grid))
chapter.known("mean of w / p(x)", average, 1.0, source="the weights are unbiased", within=1e-6)

# %% [markdown]
# ## Training with K draws
#
# Handwritten digits, 8 x 8 pixels in black and white. The same small network is trained with K = 1 (an ordinary VAE), 5
# and 20 draws, and all are judged alike, by many draws on held-out digits. Two effects to look at:
#
# - *Better likelihood.* The encoder need not be the posterior, only cover it. So the model may use posteriors that no
#   Gaussian fits, where the ELBO would punish it.
# - *More units in use.* A unit of the code is **active** when its mean varies with x. The ELBO switches off units that
#   do not earn their price; a looser demand on the encoder keeps more of them.
#
# The gradient of the encoder is the doubly reparameterised one of the chapter on that trick. With `gradient="plain"` it
# gets noisier with K.

# %%
pixels = torch.from_numpy(load_digits().images).to(torch.uint8)[:, None]
bits = (pixels >= 8).to(torch.uint8)
order = torch.randperm(len(bits), generator=torch.Generator().manual_seed(0))
train_bits, test_bits = bits[order[: chapter.size(1400, smoke=200)]], bits[order[1400:]][: chapter.size(397, smoke=60)]


def trained(k):
    """A VAE trained with K draws for every example and step."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        fields = {"objective": "iwae", "samples": k} if k > 1 else {}
        vae = VAE(example=Image(height=8, width=8, levels=2), latent_dim=12, width=128, **fields)
    optimiser = torch.optim.AdamW(vae.parameters(), lr=3e-3, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for step in range(steps):
        vae.progress = step / steps
        noise = Noise(0, step + 1, rows=64)
        rows = (noise.uniform() * len(train_bits)).long()
        loss = vae.loss(train_bits[rows].float(), noise=noise).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    vae.progress = 1.0
    return vae.eval()


models = {k: trained(k) for k in trained_k}
judged_at = [k for k in (1, 2, 5, 10, 20, 50, 100, 200, 500) if k <= judged]
curves = {k: [float(vae.log_prob(test_bits, samples=j).mean()) for j in judged_at] for k, vae in models.items()}
codes = {k: vae.encode(test_bits) for k, vae in models.items()}

figure, axes = plt.subplots(1, 2, figsize=(10, 3.8))
for (k, curve), colour in zip(curves.items(), (ORANGE, GREEN, BLUE), strict=False):
    axes[0].plot(judged_at, curve, color=colour, marker="o", ms=3, label=f"trained with K = {k}")
    spread = codes[k].var(0).sort(descending=True)[0]
    axes[1].plot(range(1, 13), spread, color=colour, marker="o", ms=3, label=f"{int((spread > 0.01).sum())} active")
axes[0].set(xscale="log", xlabel="draws when judged", ylabel="nats per digit", title="Held-out bound")
axes[1].axhline(0.01, color=GREY, lw=1)
axes[1].set(yscale="log", xlabel="unit, sorted", ylabel="variance of its mean", title="Units of the code")
for axis in axes:
    axis.legend(fontsize=8)
chapter.show(figure, "30-digits")

print("trained with K, ELBO, nats by many draws, active units:")
for k, curve in curves.items():
    print(f"{k:>4} {curve[0]:8.2f} {curve[-1]:8.2f} {int((codes[k].var(0) > 0.01).sum()):>4}")
falls = sum(later < earlier - 0.05 for c in curves.values() for earlier, later in zip(c, c[1:], strict=False))
chapter.known("falls of a held-out bound with K", falls, 0, source="Burda et al. 2016, theorem 1", within=few)

# %% [markdown]
# ## What goes wrong
#
# - *Comparing an ELBO with a 5,000-draw figure.* Name K whenever you name nats: on this page each model has several.
# - *Too few draws to judge.* The estimate is a bound: where q misses part of the posterior it stays too low, and
#   quietly. If the figure still rises from 500 to 5,000 draws, it has not arrived.
# - *Costs.* K draws cost K passes of the decoder, and one of the encoder: in a fixed time, fewer steps.

# %%
chapter.end()
