# %% [markdown]
# # Mixtures by EM
#
# Data often come in groups that nobody labelled. A **mixture** says so: first a group $k$ is drawn with probability
# $w_k$, then the point from the group's own Gaussian,
#
# $$p(x) = \sum_{k=1}^{K} w_k \, N(x;\, \mu_k, \Sigma_k).$$
#
# If the groups were known, each Gaussian would be fitted to its own points, and if the Gaussians were known, each point
# would belong to each group with the probability
#
# $$r_{ik} = \frac{w_k N(x_i; \mu_k, \Sigma_k)}{\sum_j w_j N(x_i; \mu_j, \Sigma_j)} \qquad \text{(its shares)}.$$
#
# **Expectation-maximisation** does one after the other, again and again: shares from the Gaussians (E), Gaussians from
# the points weighted by their shares (M). It never lowers the likelihood of the data.

# %%
import math

import matplotlib.pyplot as plt
import torch
from matplotlib.patches import Ellipse
from torch import Tensor

from pushforward.chapter import ACCENT, BLUE, GREEN, GREY, ORANGE, Chapter
from pushforward.core.data import Batch
from pushforward.core.fit_units import fit_units
from pushforward.core.modality import Points
from pushforward.core.noise import Noise
from pushforward.probability.information import entropy
from pushforward.probability.mixture import Mixture
from pushforward.probability.ppca import PPCA
from pushforward.probability.targets import GaussianMixture

chapter = Chapter("Mixtures by EM")

# %% Try: change one number and run again.
weights = [0.5, 0.3, 0.2]  # of the groups
means = [[-2.0, 0.0], [2.0, 1.5], [2.0, -2.0]]  # closer together, EM needs more passes and the groups blur
deviations = [1.0, 0.6, 0.5]
components = 3  # of the fit by hand: with 2, two groups share one; with 4, one group is split
passes = 40
few = 150  # points for "How many?" below: with 2,000 of them the curves hardly part
n = chapter.size(6_000, smoke=600)
seed = 0  # another seed, other points and another start

truth = GaussianMixture.of(weights=weights, means=means, stds=deviations)
x, held_out, fresh = (truth.sample(Noise(seed, step=step, rows=n)) for step in range(3))

# %% [markdown]
# ## By hand, in ten lines
#
# The steps below are the two formulas. What to watch: the log-likelihood climbs at every pass, fast at first, then
# slowly while neighbouring components settle who owns the points between them.


# %%
def log_shares(x: Tensor, w: Tensor, mu: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """The logarithm of each share, and that of the density: the E step."""
    joint = w.log() + torch.distributions.MultivariateNormal(mu, sigma).log_prob(x[:, None])
    return joint - joint.logsumexp(1, keepdim=True), joint.logsumexp(1)


def refit(x: Tensor, r: Tensor, least: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
    """Weights, means and covariances (with so much variance at least) that suit the shares: the M step."""
    n_k = r.sum(0)
    mu = (r.T @ x) / n_k[:, None]
    apart = x[:, None] - mu
    sigma = torch.einsum("ik,ikd,ike->kde", r, apart, apart) / n_k[:, None, None]
    return n_k / len(x), mu, sigma + least * torch.eye(2).double()


start = x[torch.randperm(n, generator=torch.Generator().manual_seed(seed))[:components]]
w, mu = torch.full((components,), 1 / components).double(), start
sigma = torch.eye(2).double().repeat(components, 1, 1)
path, states = [], []
for _ in range(passes):
    log_r, log_p = log_shares(x, w, mu, sigma)
    path.append(float(log_p.mean()))
    states.append((w, mu, sigma))
    w, mu, sigma = refit(x, log_r.exp())

COLOURS = (BLUE, ORANGE, GREEN, ACCENT, GREY)


def draw(axis: plt.Axes, w: Tensor, mu: Tensor, sigma: Tensor, title: str) -> None:
    """Points in the colour of their largest share, and the ellipse of two deviations of each component."""
    r = log_shares(x[:1500], w, mu, sigma)[0].argmax(1)
    for k in range(len(w)):
        color = COLOURS[k % len(COLOURS)]
        axis.scatter(*x[:1500][r == k].T, s=4, color=color, alpha=0.35, lw=0)
        variances, axes = torch.linalg.eigh(sigma[k])
        angle = math.degrees(math.atan2(float(axes[1, 1]), float(axes[0, 1])))
        size = 4 * variances.sqrt()
        axis.add_patch(
            Ellipse(mu[k].tolist(), float(size[1]), float(size[0]), angle=angle, fill=False, color=color, lw=2)
        )
    axis.set(title=title, xlabel="$x_1$", aspect="equal", xlim=(-5.5, 4.5), ylim=(-4.5, 4.2))


figure, axes = plt.subplots(1, 3, figsize=(10, 3.8), sharey=True)
for axis, step in zip(axes, (0, 3, passes - 1), strict=True):
    draw(axis, *states[step], "start" if step == 0 else f"after {step} passes")
axes[0].set_ylabel("$x_2$")
chapter.show(figure, "17-passes")

exact = float(truth.log_density(x).mean())
figure, axis = plt.subplots(figsize=(6.4, 3.4))
axis.plot(path, color=BLUE, marker=".", label="EM")
axis.axhline(exact, color=ACCENT, lw=1.2, label="the truth on the same points")
axis.set(xlabel="pass", ylabel="mean log-likelihood in nats", title="It never falls")
axis.legend(loc="lower right")
chapter.show(figure, "17-climb")
falls = max((before - after for before, after in zip(path[:-1], path[1:], strict=True)), default=0.0)
chapter.known("largest fall of the likelihood in a pass", max(falls, 0.0), 0.0, source="EM never falls", within=1e-9)
chapter.known(
    "sum of the shares of a point", log_r.exp().sum(1).mean(), 1.0, source="they are probabilities", within=1e-9
)

# %% [markdown]
# EM climbs to the *nearest* top. From a bad start that is a poor one: two components in one group, one across the other
# two. So it is started several times. And the fitted likelihood on its own points is *above* that of the truth: it has
# adapted to them, by about half a nat per parameter and data set. On fresh points it must be below.
#
# ## How many?
#
# More components always fit their own points better. What they are worth shows on points they have not seen: in the
# figure, the fit by hand to a few points gets better and better on these, and worse and worse on fresh ones. `Mixture`
# grows until held-out points no longer gain more than chance, with several starts each, and a little pull that keeps a
# component from collapsing on one point, where the likelihood would be infinite.

# %%
plane = Points(dim=2)


def solved(model: Mixture | PPCA) -> Mixture | PPCA:
    """The model, fitted in closed form or by EM: all of its one stage."""
    train, valid = (
        Batch(model.fitted.encode(points, noise=Noise(seed, rows=n), dtype=model.dtype)[0]) for points in (x, held_out)
    )
    (stage,) = model.stages()
    for _ in stage.solve(train, valid, noise=Noise(seed + 1, rows=n)):
        pass
    return model.eval()


units = fit_units(plane, "real", x)
counts = range(1, 9)
scores = {"train": [], "held out": []}
own, starts = x[:few], torch.Generator().manual_seed(seed)
for count in counts:
    tried = []
    for _ in range(5):  # of several starts the one that fits best
        w, mu = torch.full((count,), 1 / count).double(), own[torch.randperm(few, generator=starts)[:count]]
        sigma = torch.eye(2).double().repeat(count, 1, 1)
        for _ in range(passes):
            w, mu, sigma = refit(own, log_shares(own, w, mu, sigma)[0].exp(), least=0.01)
        tried.append((float(log_shares(own, w, mu, sigma)[1].mean()), (w, mu, sigma)))
    fit, parts = max(tried, key=lambda pair: pair[0])
    scores["train"].append(fit)
    scores["held out"].append(float(log_shares(fresh, *parts)[1].mean()))
chosen = solved(Mixture(example=plane, units=units))

figure, axis = plt.subplots(figsize=(6.4, 3.6))
axis.plot(counts, scores["train"], "o-", color=GREY, label=f"the {few} points it was fitted to")
axis.plot(counts, scores["held out"], "o-", color=BLUE, label="fresh points")
axis.axhline(float(truth.log_density(fresh).mean()), color=ACCENT, lw=1.2, label="the truth on fresh points")
axis.axvline(chosen.components, color=ORANGE, ls=":", label="chosen on held-out points, from all")
axis.set(
    xlabel="components $K$",
    ylabel="mean log-likelihood in nats",
    title="After three, only its own points are fitted better",
)
axis.legend(loc="lower right")
chapter.show(figure, "17-how-many")
chapter.known("components chosen", chosen.components, len(weights), source="the truth", within=0 if n > 2000 else 1)
log_q, log_truth = chosen.log_prob(fresh, batch_size=n), truth.log_density(fresh)
gap = (log_truth - log_q).mean()
parameters = 6 * len(weights) - 1
chapter.known(
    "KL(truth || fit) on fresh points",
    gap,
    parameters / (2 * n),
    source="parameters / 2n",
    error=(log_truth - log_q).std() / math.sqrt(n) + parameters / (2 * n) / 2,
)
hidden = sorted(chosen.weights[0].tolist())
if chosen.components == len(weights):
    for found, answer in zip(hidden, sorted(weights), strict=True):
        chapter.known("a weight", found, answer, source="the truth", error=1.5 * math.sqrt(answer * (1 - answer) / n))
surprise = -log_truth
about = entropy(fresh)
chapter.known(
    "H(p) from neighbours",
    about.value,
    surprise.mean(),
    source="mean surprise, exact p",
    error=1.3 * about.standard_error,
)

# %% [markdown]
# ## One hidden number instead of one hidden group
#
# If what is hidden is not *which group* but *how far along a direction*, $z \sim N(0, I)$ and $x = W z + \mu + \sigma
# \varepsilon$, the same EM would work, but here the answer is known at once: $W$ spans the leading eigenvectors of the
# covariance. This is **probabilistic PCA**. On three groups it is one stretched Gaussian: fine as a summary, wrong as a
# model, and the likelihood says by how much.

# %%
line = solved(PPCA(example=plane, units=units, latent_dim=1))
figure, axes = plt.subplots(1, 2, figsize=(9, 4), sharey=True, sharex=True)
for axis, (model, title) in zip(axes, ((chosen, "mixture"), (line, "probabilistic PCA")), strict=True):
    drawn = model.sample(1500, seed=seed, batch_size=1500)
    score = float(model.log_prob(fresh, batch_size=n).mean())
    axis.scatter(*x[:1500].T, s=4, color=GREY, alpha=0.4, lw=0, label="data")
    axis.scatter(*drawn.T, s=4, color=BLUE, alpha=0.4, lw=0, label="samples of the model")
    axis.set(title=f"{title}: {score:.2f} nats", xlabel="$x_1$", aspect="equal")
axes[0].set_ylabel("$x_2$")
axes[0].legend(markerscale=3, loc="upper left", fontsize=8)
chapter.show(figure, "17-two-models")
whole = torch.distributions.MultivariateNormal(x.mean(0), torch.cov(x.T, correction=0)).log_prob(fresh).mean()
chapter.known(
    "pPCA on fresh points, nats",
    line.log_prob(fresh, batch_size=n).mean(),
    whole,
    source="a Gaussian: in 2-D, 1 direction is all",
    within=1e-4,
)
chapter.end()
