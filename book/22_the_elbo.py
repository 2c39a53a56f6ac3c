# %% [markdown]
# # The evidence lower bound
#
# A latent-variable model explains an example x by a code z that nobody sees: draw $z \sim p(z)$, then
# $x \sim p(x \mid z)$. Its density is an integral over all codes,
#
# $$p(x) = \int p(z)\, p(x \mid z)\, dz,$$
#
# and for almost every model that is out of reach: most codes have nothing to do with x. The way round it is to *guess*
# which codes could have made x. Let $q(z \mid x)$ be the guess. Multiply and divide by it, and use that the logarithm
# is concave (Jensen):
#
# $$\log p(x) = \log \mathbb{E}_{q}\!\left[\frac{p(z)\,p(x \mid z)}{q(z \mid x)}\right]
#   \;\ge\; \mathbb{E}_{q}\!\left[\log \frac{p(z)\,p(x \mid z)}{q(z \mid x)}\right] = \mathrm{ELBO}.$$
#
# What Jensen gives away has a name. It is exactly $\mathrm{KL}(q(z \mid x) \,\|\, p(z \mid x))$, the distance of the
# guess from the true posterior. So raising the bound does two things at once: the model gets better, and so does the
# guess. This chapter takes a model in which everything is known, and measures every term.

# %%
import math

import matplotlib.pyplot as plt
import torch
from torch.distributions import Normal, kl_divergence

from pushforward.autoencoders.vae import VAE
from pushforward.chapter import ACCENT, BLUE, GREEN, GREY, ORANGE, Chapter
from pushforward.core.modality import Points
from pushforward.core.noise import Noise
from pushforward.probability.ppca import fit_ppca

chapter = Chapter("The evidence lower bound")

# %% Try: change one number and run again.
noise = 0.5  # standard deviation of x given z: at 0.1 the posterior is a needle, and a wrong guess costs far more
x0 = 1.5  # the example that is looked at
draws = chapter.size(200_000, smoke=5_000)  # of z, for the averages
steps = chapter.size(1_500, smoke=60)  # of training, in the last part

# %% [markdown]
# ## A model in which nothing is hidden
#
# $z \sim N(0, 1)$ and $x \mid z \sim N(z, \sigma^2)$. Then x is normal with variance $1 + \sigma^2$, and the posterior
# is normal too, with mean $x / (1 + \sigma^2)$ and variance $\sigma^2 / (1 + \sigma^2)$. Against these we hold a guess
# $q = N(m, s^2)$ and split the bound in two ways:
#
# $$\mathrm{ELBO} = \underbrace{\mathbb{E}_q[\log p(x \mid z)]}_{-\text{reconstruction}}
#   - \underbrace{\mathrm{KL}(q \,\|\, p(z))}_{\text{price of the code}}
#   \qquad\text{and}\qquad \mathrm{ELBO} = \log p(x) - \underbrace{\mathrm{KL}(q \,\|\, p(z \mid x))}_{\text{gap}}.$$
#
# The first is what training computes; the second says what it is worth.


# %%
def normal(mean, deviation):
    """N(mean, deviation^2) in 64 bits."""
    return Normal(torch.tensor(mean, dtype=torch.float64), torch.tensor(deviation, dtype=torch.float64))


prior, example = normal(0.0, 1.0), torch.tensor(x0, dtype=torch.float64)
evidence = normal(0.0, math.sqrt(1 + noise**2)).log_prob(example)
posterior = normal(x0 / (1 + noise**2), noise / math.sqrt(1 + noise**2))


def bound(q, epsilon):
    """The two parts of the bound, at many draws of z from q."""
    z = q.loc + q.scale * epsilon
    return Normal(z, noise).log_prob(example), q.log_prob(z) - prior.log_prob(z)


epsilon = Noise(0, rows=draws).normal().double()
guess = normal(0.6, 0.8)
fit, price = bound(guess, epsilon)
elbo, error = (fit - price).mean(), (fit - price).std() / math.sqrt(draws)
chapter.known(
    "ELBO of a wrong guess + its gap", elbo + kl_divergence(guess, posterior), evidence, source="log p(x)", error=error
)
chapter.known(
    "price of the code",
    price.mean(),
    kl_divergence(guess, prior),
    source="closed form",
    error=price.std() / math.sqrt(draws),
)
fit, price = bound(posterior, epsilon)
chapter.known("ELBO of the true posterior", (fit - price).mean(), evidence, source="log p(x)", within=1e-9)
chapter.known("spread of its draws", (fit - price).std(), 0.0, source="p(x, z) / p(z | x) is p(x)", within=1e-9)

# %% [markdown]
# The last two rows deserve a look. Under the *true* posterior, $p(z)\,p(x \mid z) / q(z \mid x)$ does not depend on z
# at all: it is p(x), whatever z was drawn. One draw is as good as a million. The noise of the bound measures how wrong
# the guess is.
#
# On the left the guess is moved, on the right it is widened. The solid line is what training sees; it touches log p(x)
# in one place, where the guess is right. The distance between them is the gap.

# %%
means = torch.linspace(-0.5, 2.5, 61, dtype=torch.float64)
widths = torch.linspace(0.1, 1.5, 61, dtype=torch.float64)


def parts(q):
    """(fit, price) in closed form, for normal guesses."""
    fit = Normal(q.loc, noise).log_prob(example) - q.scale**2 / (2 * noise**2)
    return fit, kl_divergence(q, prior)


figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.8), sharey=True)
for axis, across, qs, truth, name in (
    (axes[0], means, Normal(means, posterior.scale), posterior.loc, "mean of the guess"),
    (axes[1], widths, Normal(posterior.loc, widths), posterior.scale, "standard deviation of the guess"),
):
    fit, price = parts(qs)
    axis.plot(across, fit, color=GREEN, lw=1.2, label="$E_q[\\log p(x|z)]$: rises as the code fits x")
    axis.plot(across, -price, color=ORANGE, lw=1.2, label="$-$KL$(q||p(z))$: falls as the code says more")
    axis.plot(across, fit - price, color=BLUE, label="their sum, the bound")
    axis.axhline(float(evidence), color=ACCENT, lw=1.2, ls="--", label="$\\log p(x)$")
    axis.axvline(float(truth), color=GREY, lw=1)
    axis.set(xlabel=name, ylim=(float(evidence) - 5, 0.4))
axes[0].set(ylabel="nats", title="Moving the guess")
axes[1].set(title="Widening it (grey: the true posterior)")
axes[1].legend(fontsize=8, loc="lower left")
chapter.show(figure, "22-bound")

# %% [markdown]
# ## Many examples: one encoder for all, and what the KL is made of
#
# A variational autoencoder does not fit a guess to each example; one network, the **encoder**, gives $m(x)$ and
# $s(x)$ for any x. Averaged over the data, the price of the code splits once more,
#
# $$\mathbb{E}_x\, \mathrm{KL}(q(z \mid x) \,\|\, p(z)) \;=\; I(x; z) + \mathrm{KL}(q(z) \,\|\, p(z)),
#   \qquad q(z) = \mathbb{E}_x\, q(z \mid x).$$
#
# The first part is information: nats that the code carries about which example it is. The second is waste: the
# *aggregate* posterior q(z), from which the decoder has learned, differs from the prior, from which samples are drawn.
# A good model pays for the first and not for the second.
#
# In our model with its true posteriors, both are known: q(z) is the prior, so the waste is 0, and
# $I = \tfrac12 \ln(1 + 1/\sigma^2)$.

# %%
count = chapter.size(3_000, smoke=400)
z_true = Noise(1, rows=count).normal().double()
x = z_true + noise * Noise(2, rows=count).normal().double()
q = Normal(x / (1 + noise**2), posterior.scale)
z = q.loc + q.scale * Noise(3, rows=count).normal().double()
log_q = q.log_prob(z)
log_aggregate = Normal(q.loc[None], q.scale).log_prob(z[:, None]).logsumexp(1) - math.log(count)
information, waste = log_q - log_aggregate, log_aggregate - prior.log_prob(z)
exact = 0.5 * math.log(1 + 1 / noise**2)
allowed = 4 * information.std() / math.sqrt(count) + 5 / count
chapter.known(
    "I(x; z), by the aggregate posterior", information.mean(), exact, source="ln(1 + 1/s^2) / 2", within=allowed
)
chapter.known("KL(q(z) || p(z))", waste.mean(), 0.0, source="true posteriors add up to the prior", within=allowed)

# %% [markdown]
# ## Trained: a linear VAE is probabilistic PCA
#
# With linear encoder and decoder and one noise variance, the model is *probabilistic PCA*, whose best likelihood has a
# closed form. So we know where training must end. `full` gives q any covariance, which the true posterior needs here;
# with the usual independent units the model can still turn its axes until the posterior has none.

# %%
n, dim = chapter.size(400, smoke=100), 4
turn, _ = torch.linalg.qr(Noise(4, rows=dim).normal(dim).double())
data = Noise(5, rows=n).normal(2).double() * torch.tensor([2.0, 1.2]).double() @ turn[:2]
data = data + 0.5 * Noise(6, rows=n).normal(dim).double()
with torch.random.fork_rng():
    torch.manual_seed(0)
    vae = VAE(example=Points(dim=dim), latent_dim=2, network="linear", variance="shared", posterior="full").double()
optimiser = torch.optim.Adam(vae.parameters(), lr=0.02)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
curve = []
for step in range(steps):
    terms = vae.terms(data, None, noise=Noise(7, step + 1, rows=n))
    loss = sum(terms.values()).mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    schedule.step()
    curve.append([float(loss.detach()), float(terms["kl"].mean().detach())])
curve = torch.tensor(curve)
best = fit_ppca(data, 2).log_likelihood

figure, axis = plt.subplots(figsize=(6.5, 3.6))
axis.plot(-curve[:, 0], color=BLUE, lw=1, label="the bound, one draw of z a step")
axis.plot(curve[:, 1], color=ORANGE, lw=1.2, label="KL: nats that the code carries")
axis.axhline(best, color=ACCENT, ls="--", lw=1.2, label="best $\\log p(x)$, in closed form")
axis.set(xlabel="step", ylabel="nats per example", xscale="log", ylim=(1.6 * best, 4), title="A linear VAE")
axis.legend(fontsize=8)
chapter.show(figure, "22-training")

reached = vae.log_prob(data, samples=10).mean()
chapter.known(
    "log p(x) of the trained VAE", reached, best, source="probabilistic PCA", within=3.0 if chapter.smoke else 0.01
)

# %% [markdown]
# ## What goes wrong
#
# - *Averaging the reconstruction over pixels.* Then the KL weighs hundreds of times too much, and the code is ignored.
#   In this library every term is a sum over entries, in nats per example.
# - *Reading a low KL as good news.* It says that the code carries little. Zero is **collapse**: see the chapter on it.
# - *Comparing bounds as if they were likelihoods.* A bound mixes how good the model is with how good its encoder is.
#   Importance sampling with many draws takes the second away.

# %%
chapter.end()
