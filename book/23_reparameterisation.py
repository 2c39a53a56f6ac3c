# %% [markdown]
# # The reparameterisation trick
#
# Training a latent-variable model needs the gradient of an average over random draws, by the parameters of the very
# distribution that is drawn from:
#
# $$\nabla_\phi\, \mathbb{E}_{z \sim q_\phi}[f(z)].$$
#
# One cannot differentiate a random draw. There are two ways out, and they are not equally good.
#
# **The score function.** Differentiate the density instead of the draw: since $\nabla q = q\, \nabla \log q$,
#
# $$\nabla_\phi \mathbb{E}_q[f] = \mathbb{E}_q\bigl[f(z)\, \nabla_\phi \log q_\phi(z)\bigr].$$
#
# It works for anything that can be drawn and scored, even if f has no derivative. But it only learns *that* a draw was
# good, not which way to move it.
#
# **Reparameterisation.** Write the draw as a function of noise that knows nothing of $\phi$, here
# $z = \mu + s\,\epsilon$ with $\epsilon \sim N(0, 1)$. The average is now over $\epsilon$, and the gradient goes in:
#
# $$\nabla_\phi \mathbb{E}_\epsilon[f(\mu + s\,\epsilon)]
#   = \mathbb{E}_\epsilon\bigl[f'(z)\, \nabla_\phi (\mu + s\,\epsilon)\bigr].$$
#
# It uses the slope of f at the draw, and that is worth a great deal. This chapter measures how much.

# %%
import math

import matplotlib.pyplot as plt
import torch
from torch.distributions import Normal

from pushforward.autoencoders.objectives import importance_bound
from pushforward.autoencoders.posteriors import Diagonal
from pushforward.chapter import ACCENT, BLUE, GREEN, GREY, ORANGE, Chapter
from pushforward.core.noise import Noise

chapter = Chapter("The reparameterisation trick")

# %% Try: change one number and run again.
mu, s = 1.0, 0.5  # of q: with a smaller s the score function gets noisier, as 1 / s, the other quieter
target = 3.0  # f is (z - target)^2: moved further away, the score function pays for the size of f, the other does not
draws = chapter.size(100_000, smoke=5_000)  # gradients that are compared
dims = (1, 2, 5, 10, 20, 50, 100)  # of z: the noise of the score function grows with it

# %% [markdown]
# ## One number, in closed form
#
# For $f(z) = (z - t)^2$ the average is $(\mu - t)^2 + s^2$, so the gradients are $2(\mu - t)$ and $2 s$. Both
# estimators must give these; what differs is their spread. That of the reparameterised one for $\mu$ is known too:
# $f'(z) = 2(\mu - t) + 2 s\,\epsilon$ has standard deviation $2 s$.

# %%
epsilon = Noise(0, rows=draws).normal().double()
z = mu + s * epsilon
score_mu, score_s = epsilon / s, (epsilon**2 - 1) / s  # the derivatives of log q by its mean and deviation
f, slope = (z - target) ** 2, 2 * (z - target)
found = {
    "score": (f * score_mu, f * score_s),
    "score, less a constant": ((f - f.mean()) * score_mu, (f - f.mean()) * score_s),
    "reparameterised": (slope, slope * epsilon),
}
for name, (by_mu, by_s) in found.items():
    error = 1 / math.sqrt(draws)
    chapter.known(f"d/dmu, {name}", by_mu.mean(), 2 * (mu - target), source="2 (mu - t)", error=by_mu.std() * error)
    chapter.known(f"d/ds, {name}", by_s.mean(), 2 * s, source="2 s", error=by_s.std() * error)
chapter.known("spread, reparameterised", slope.std(), 2 * s, source="2 s", error=2 * s / math.sqrt(2 * draws))
exact = math.sqrt(15 * s**2 + 14 * (mu - target) ** 2 + (mu - target) ** 4 / s**2)
chapter.known(
    "spread, score",
    found["score"][0].std(),
    exact,
    source="moments of a normal",
    within=(0.1 if chapter.smoke else 0.02) * exact,
)

# %% [markdown]
# The middle one subtracts a constant from f, a **baseline**: it changes nothing on average, because the score has mean
# zero, and takes away the part of the noise that comes from f being far from 0. It helps, and it is not enough.

# %%
figure, axis = plt.subplots(figsize=(7, 3.6))
edges = torch.linspace(-30, 10, 101)
for (name, (by_mu, _)), colour in zip(found.items(), (ORANGE, GREEN, BLUE), strict=True):
    counts = torch.histc(by_mu.float(), bins=100, min=-30, max=10) / draws
    axis.stairs(counts, edges, color=colour, lw=1.4, label=f"{name}: spread {by_mu.std():.1f}")
axis.axvline(2 * (mu - target), color=ACCENT, ls="--", lw=1.2, label="the gradient")
axis.set(
    xlabel="estimate of $d/d\\mu$ from one draw", ylabel="share", yscale="log", title="Same mean, not the same noise"
)
axis.legend(fontsize=8)
chapter.show(figure, "23-spread")

# %% [markdown]
# ## More dimensions
#
# With D independent coordinates, f is a sum of D terms. The gradient by $\mu_1$ needs only the first. The
# reparameterised estimator knows that, since the slope by $z_1$ does not see the others; the score function multiplies
# the noise of *all* terms into it, and its spread grows with D. A code has tens of units, and an image hundreds of
# pixels: this is why VAEs became possible when they did.

# %%
rows = chapter.size(20_000, smoke=2_000)
spreads = {"score, less a constant": [], "reparameterised": []}
for dim in dims:
    e = Noise(1, dim, rows=rows).normal(dim).double()
    values = ((mu + s * e - target) ** 2).sum(1)
    spreads["score, less a constant"].append(float(((values - values.mean()) * e[:, 0] / s).std()))
    spreads["reparameterised"].append(float((2 * (mu + s * e[:, 0] - target)).std()))

figure, axis = plt.subplots(figsize=(6, 3.6))
for (name, values), colour in zip(spreads.items(), (ORANGE, BLUE), strict=True):
    axis.plot(dims, values, color=colour, marker="o", ms=4, label=name)
axis.plot(
    dims,
    [spreads["score, less a constant"][-1] * math.sqrt(d / dims[-1]) for d in dims],
    color=GREY,
    lw=1,
    label="$\\sqrt{D}$",
)
axis.set(xscale="log", yscale="log", xlabel="D", ylabel="spread of one estimate", title="The price of a dimension")
axis.legend(fontsize=8)
chapter.show(figure, "23-dimensions")
chapter.known("spread at D = 100, reparameterised", spreads["reparameterised"][-1], 2 * s, source="2 s", within=0.1)

# %% [markdown]
# ## What is left of the noise: doubly reparameterised
#
# With K draws, the importance-weighted bound is $\log \tfrac1K \sum_k w_k$ with $w_k = p(x, z_k) / q(z_k \mid x)$. Its
# reparameterised gradient still holds a score function: q stands in the weight as well as in the draw, and
# $\nabla_\phi \log q_\phi(z)$ at fixed z is one. As K grows that part takes over: the gradient of the *encoder* becomes
# relatively noisier the better the bound is. Reparameterise that part a second time and it is gone,
#
# $$\nabla_\phi = \mathbb{E} \sum_k \tilde w_k^2\, \frac{\partial \log w_k}{\partial z_k}\,
#   \frac{\partial z_k}{\partial \phi},
#   \qquad \tilde w_k = \frac{w_k}{\sum_j w_j}.$$
#
# Below: $x \mid z \sim N(z, 1)$, $z \sim N(0, 1)$, and an encoder that is a little wrong. Signal to noise is the mean
# of the gradient over its spread.


# %%
def encoder_gradients(k, gradient):
    """Gradients by the mean of q, one for each of many independent sets of k draws."""
    many = chapter.size(10_000, smoke=1_000)
    phi = torch.tensor([0.3, -0.4]).double().expand(many, 2).clone().requires_grad_()
    q = Diagonal(phi[:, :1], phi[:, 1:])
    z, log_q = q.draw(Noise(2, k, rows=many).normal(k, 1).double().transpose(0, 1))
    scored = q.detached().log_prob(z) if gradient == "dreg" else log_q.sum(-1)
    joint = Normal(0.0, 1.0).log_prob(z[..., 0]) + Normal(z[..., 0], 1.0).log_prob(torch.tensor(1.3).double())
    importance_bound(joint - scored, z, gradient).sum().backward()
    return phi.grad[:, 0]


ks = (1, 2, 4, 8, 16, 32, 64)
gradients = {name: [encoder_gradients(k, name) for k in ks] for name in ("plain", "dreg")}
figure, axis = plt.subplots(figsize=(6, 3.6))
for (name, each), colour in zip(gradients.items(), (ORANGE, BLUE), strict=True):
    ratio = [float(g.mean().abs() / g.std()) for g in each]
    axis.plot(ks, ratio, color=colour, marker="o", ms=4, label={"plain": "reparameterised once", "dreg": "twice"}[name])
axis.set(xscale="log", yscale="log", xlabel="K", ylabel="signal to noise", title="The encoder's gradient")
axis.legend(fontsize=8)
chapter.show(figure, "23-doubly")

for k, plain, doubly in zip(ks, *gradients.values(), strict=True):
    if k in (8, 64):
        error = math.sqrt((plain.var() + doubly.var()) / len(plain))
        chapter.known(f"mean of the two, K = {k}", doubly.mean(), plain.mean(), source="both are unbiased", error=error)
        print(f"K = {k}: the plain gradient is {plain.std() / doubly.std():.1f} times as noisy")

# %% [markdown]
# ## What goes wrong
#
# - *Drawing z with `sample()` in a framework that cuts gradients there.* Everything runs, and the encoder never learns.
#   Draw the noise, and compute z from it.
# - *Discrete codes* have no $z = g(\epsilon)$ with a slope. Straight-through gradients or the score function with good
#   baselines are the ways left; see the chapter on VQ-VAE.

# %%
chapter.end()
