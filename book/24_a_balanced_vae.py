# %% [markdown]
# # A balanced VAE
#
# The loss of a variational autoencoder has two terms that pull against each other:
#
# $$-\mathrm{ELBO} = \underbrace{\mathbb{E}_q[-\log p(x \mid z)]}_{\text{reconstruction: the code says what x was}}
#   + \underbrace{\mathrm{KL}(q(z \mid x) \,\|\, p(z))}_{\text{price: it looks like the prior}}.$$
#
# If the price is too low, codes scatter over places the prior does not know: reconstructions are sharp, samples are
# nonsense. If it is too high, the code says nothing: every reconstruction is the average digit. Both fail for the same
# reason, a wrong exchange rate, and there is a right one. With both terms in **nats per example, summed over pixels,**
# and a likelihood that can really have made the data, it is 1. No hidden constant is needed.
#
# This chapter trains one model at the right rate, shows what a healthy one looks like, and then spoils it both ways.

# %%
import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits

from pushforward.autoencoders.vae import VAE
from pushforward.chapter import ACCENT, BLUE, GREEN, GREY, ORANGE, Chapter
from pushforward.core.modality import Image, Points
from pushforward.core.noise import Noise
from pushforward.evaluation.held_out import energy_distance

chapter = Chapter("A balanced VAE")

# %% Try: change one number and run again.
weights = (0.02, 1.0, 10.0)  # of the price: too cheap, right, too dear
latent_dim = 10  # of the code: units that are not needed switch themselves off, so more do no harm
warm_up = 0.1  # share of the training over which the price comes in: at 0 watch units that never wake up
steps = chapter.size(2_000, smoke=15)

# %%
pixels = torch.from_numpy(load_digits().images).to(torch.uint8)[:, None]
bits = (pixels >= 8).to(torch.uint8)
shuffled = torch.randperm(len(bits), generator=torch.Generator().manual_seed(0))
train, test = bits[shuffled[:1400]], bits[shuffled[1400:]]


def trained(model, x, count, batch=64, lr=3e-3):
    """Plain training; returns the model and its two terms at every step, with the price unweighted."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=lr, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, count)
    curve = []
    for step in range(count):
        model.progress = step / count
        noise = Noise(0, step + 1, rows=batch)
        rows = (noise.uniform() * len(x)).long()
        y = x[rows].to(model.dtype)
        terms = model.terms(y, None, noise=noise)
        optimiser.zero_grad()
        sum(terms.values()).mean().backward()
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            price = model.kl_each(y, None, noise=noise).sum(1).mean()
        curve.append([float(terms["reconstruction"].detach().mean()), float(price)])
    model.progress = 1.0
    return model.eval(), torch.tensor(curve)


def new(beta):
    """A small VAE of digits."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        image = Image(height=8, width=8, levels=2)
        return VAE(example=image, latent_dim=latent_dim, width=128, beta=beta, warm_up=warm_up)


found = {beta: trained(new(beta), train, steps) for beta in weights}
vae, curve = found[weights[1]]

# %% [markdown]
# ## What a healthy training looks like
#
# While the price is nearly nil, the code takes all the nats it can get. As the price comes in, it gives back those
# that did not pay. Then *both* terms settle: the reconstruction falls slowly, and the KL hardly moves.

# %%
smooth = torch.nn.functional.avg_pool1d(curve.T[:, None], max(steps // 40, 1), 1)[:, 0]
figure, axis = plt.subplots(figsize=(7, 3.6))
axis.plot(smooth.sum(0), color=BLUE, label="$-$ELBO")
axis.plot(smooth[0], color=GREEN, lw=1.3, label="reconstruction")
axis.plot(smooth[1], color=ORANGE, lw=1.3, label="KL")
axis.axvspan(0, warm_up * steps, color=GREY, alpha=0.2, lw=0, label="the price comes in")
axis.set(xlabel="step", ylabel="nats per digit", title="Two terms that settle", ylim=(0, 45))
axis.legend(fontsize=8)
chapter.show(figure, "24-training")

# %% [markdown]
# ## Four signs of health
#
# 1. *Reconstructions* look like their digits, and *samples* look like digits.
# 2. The held-out bound is near the training bound.
# 3. Each unit either carries nats or is switched off (its KL is 0); nothing in between is forced.
# 4. Codes fill the prior. The variance of a unit over all examples is
#    $\mathrm{Var}_x[m_j(x)] + \mathbb{E}_x[s_j^2(x)]$, and it should be 1, the prior's. A unit that is off has it too,
#    all of it from the second part.
#
# For a linear model the fourth sign is a theorem: at the optimum q is the true posterior, and true posteriors add up to
# the prior. So it is checked there, in a model of ten numbers with three directions.

# %%
with torch.random.fork_rng():
    torch.manual_seed(0)
    plain = (
        Noise(1, rows=1000).normal(3).double()
        * torch.tensor([3.0, 2.0, 1.2])
        @ torch.linalg.qr(torch.randn(10, 3))[0].T.double()
    )
    plain = plain + 0.5 * Noise(2, rows=1000).normal(10)
    ppca = {"network": "linear", "variance": "shared", "posterior": "full"}
    linear = VAE(example=Points(dim=10), latent_dim=3, **ppca).double()
linear, _ = trained(linear, plain, chapter.size(1_500, smoke=15), batch=1000, lr=2e-2)
with torch.no_grad():
    q = linear.posterior_of(plain, None)
    total = q.mean.var(0) + q.log_variance.exp()
allowed = 2.0 if chapter.smoke else 0.04  # the last steps of the training are noisy
for unit, value in enumerate(total.tolist(), 1):
    chapter.known(
        f"linear: variance of unit {unit}", value, 1.0, source="posteriors add up to the prior", within=allowed
    )


def looks(model):
    """KL of each unit, the two parts of its variance, and three figures in nats."""
    with torch.no_grad():
        y = test.float()
        q = model.posterior_of(y, None)
        kl = q.kl_each()
        log_p = float(model.log_prob(test, samples=chapter.size(100, smoke=5)).mean())
        terms = model.terms(y, None, noise=Noise(3, rows=len(y)))
        return kl.mean(0), q.mean.var(0), q.log_variance.exp().mean(0), float(terms["reconstruction"].mean()), log_p


kl, of_means, of_noise, _, _ = looks(vae)
order = kl.argsort(descending=True)
kl, of_means, of_noise = (values[order].tolist() for values in (kl, of_means, of_noise))
figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.4))
axes[0].bar(range(1, latent_dim + 1), kl, color=BLUE)
axes[0].set(xlabel="unit, sorted", ylabel="nats", title="KL of each unit")
axes[1].bar(range(1, latent_dim + 1), of_means, color=BLUE, label="variance of its mean")
axes[1].bar(range(1, latent_dim + 1), of_noise, bottom=of_means, color=GREY, label="its own variance")
axes[1].axhline(1.0, color=ACCENT, ls="--", lw=1.2, label="the prior's")
axes[1].set(xlabel="unit, sorted", title="Variance of each unit over the data", ylim=(0, 1.6))
axes[1].legend(fontsize=8)
chapter.show(figure, "24-units")
print(
    f"held-out nats: {float(vae.log_prob(test).mean()):.2f}, on training digits {float(vae.log_prob(train).mean()):.2f}"
)

# %% [markdown]
# ## Spoiled both ways
#
# Columns: price too low, right, too high. Top, test digits (left half) and what comes back (right half). Bottom,
# samples.


# %%


def sheet(images):
    """64 images as a square of 8 x 8, with a thin line between them."""
    padded = torch.nn.functional.pad(images.reshape(8, 8, 8, 8).double(), (0, 1, 0, 1), value=0.5)
    return padded.permute(0, 2, 1, 3).reshape(72, 72)


figure, axes = plt.subplots(2, 3, figsize=(10, 6.8))
print("weight, reconstruction, KL, log p(x), distance of samples:")
for column, (beta, (model, _)) in enumerate(found.items()):
    shown = test[:32].view(8, 4, 8, 8)
    back = model.decode(model.encode(test[:32])).view(8, 4, 8, 8)
    drawn = model.sample(len(test), seed=0)
    for row, (images, title) in enumerate(
        ((torch.cat((shown, back), 1), f"weight {beta:g}: digits, reconstructed"), (drawn[:64], "samples"))
    ):
        axes[row, column].imshow(sheet(images).numpy(), cmap="Greys", vmin=0, vmax=1)
        axes[row, column].set(xticks=[], yticks=[], title=title)
    price, _, _, reconstruction, log_p = looks(model)
    distance = energy_distance(test.flatten(1).double(), drawn.flatten(1).double())
    print(f"{beta:6g} {reconstruction:14.2f} {float(price.sum()):6.2f} {log_p:9.2f} {distance:8.3f}")
chapter.show(figure, "24-spoiled")

# %% [markdown]
# The printed table says the same in nats. At a low price the reconstruction is best and log p(x) is bad: what is saved
# in the first term is lost in the second. At a high price the KL is near 0. Only at weight 1 is the loss the bound, and
# there log p(x) is largest.
#
# ## What goes wrong
#
# - *A mean instead of a sum* over pixels divides one term by 64 and leaves the other: that is weight 64.
# - *Squared error with a fixed variance of 1* is a likelihood that no pixel has; it acts like a high price. Let the
#   variance be learned, or take a likelihood of what pixels are.
# - *Judging by reconstructions alone.* The left column has the best ones.

# %%
chapter.end()
