# %% [markdown]
# # Loss functions compared: every loss is a promise about the noise
#
# "Mean squared error or cross-entropy?" is asked as if it were a matter of taste. It is not: a loss $L(x, \hat x)$ that
# is minus the logarithm of a density says which noise you believe in, and with it *what the best answer is*.
#
# | loss | minus log-density of | best single answer |
# |---|---|---|
# | squared error $(x - \hat x)^2$ | a Gaussian of fixed variance | the mean |
# | absolute error $\lvert x - \hat x\rvert$ | a Laplace distribution of fixed scale | the median |
# | pinball loss at level $q$ | an asymmetric Laplace distribution | the $q$-quantile |
# | binary cross-entropy | a Bernoulli distribution | the mean, of numbers in [0, 1] |
#
# The part that hurts in practice is hidden in "of fixed variance". This chapter makes both visible: what a loss
# aims at, and how its *scale* decides how much of a VAE's code is used.

# %%
import math

import matplotlib.pyplot as plt
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from pushforward.chapter import ACCENT, BLUE, GREEN, GREY, ORANGE, Chapter
from pushforward.probability.entry_likelihoods import GaussianLikelihood

chapter = Chapter("Loss functions compared")

# %% Try: change one number and run again.
level = 0.8  # of the pinball loss: at 0.5 it is half the absolute error, and its answer the median
outliers = 0.1  # share of numbers that are 8 too large: the mean moves with them, the median hardly
spectrum = [8.0, 4.0, 2.0, 1.0, 0.5, 0.25, 0.1, 0.05]  # variances of the directions of the data below
steps = 400  # of the descent of the linear VAEs, at most: with 20 the small directions are not yet found
seed = torch.Generator().manual_seed(2)

# %% [markdown]
# ## What a loss aims at
#
# One unknown constant $a$ is fitted to skewed numbers, by gradient descent on each loss. Nothing else differs, and the
# answers do: a network trained with one of these losses gives *that* summary of what it cannot know. A reconstruction
# that is undecided between two sharp pictures becomes their blurred mean under squared error.

# %%
n = 4000
x = -(1 - torch.rand(n, generator=seed, dtype=torch.float64)).log()  # exponential: mean 1, median ln 2
x = torch.where(torch.rand(n, generator=seed) < outliers, x + 8, x)
unit = x / x.max()  # for the cross-entropy, which wants numbers in [0, 1]


def pinball(a):
    """q of the error where the answer is too small, 1 - q where it is too large."""
    return torch.where(x > a, level * (x - a), (1 - level) * (a - x))


losses = {
    "squared error": lambda a: (x - a) ** 2,
    "absolute error": lambda a: (x - a).abs(),
    f"pinball at {level:g}": pinball,
    "cross-entropy": lambda a: binary_cross_entropy_with_logits(a.expand(n), unit, reduction="none"),
}
answers = {
    "squared error": (x.mean(), "the mean"),
    "absolute error": (x.median(), "the median"),
    f"pinball at {level:g}": (x.quantile(level), f"the {level:g}-quantile"),
    "cross-entropy": (x.mean(), "the mean again"),
}


def fitted(loss):
    """The constant at which the mean loss is smallest, by gradient descent with a decaying step."""
    a = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([a], lr=0.2, betas=(0.9, 0.9))  # a short memory: slopes shrink near the answer
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 400)
    for _ in range(400):
        optimizer.zero_grad()
        loss(a).mean().backward()
        optimizer.step()
        schedule.step()
    return a.detach()


found = {name: fitted(loss) for name, loss in losses.items()}
found["cross-entropy"] = found["cross-entropy"].sigmoid() * x.max()  # of a logit, in the units of x
for name, (answer, source) in answers.items():
    # The last steps of the descent are a few thousandths long; a quantile lies between two numbers.
    chapter.known(f"best constant, {name}", found[name], answer, source=source, within=0.02)

figure, axis = plt.subplots(figsize=(8, 3))
axis.hist(x, bins=120, color=GREY, alpha=0.5)
for (name, value), colour in zip(found.items(), (BLUE, ORANGE, GREEN, ACCENT), strict=True):
    axis.axvline(value, color=colour, ls="--" if name == "cross-entropy" else "-", label=f"{name}: {value:.2f}")
axis.set(xlabel="x", ylabel="numbers", title="One set of numbers, four best answers", xlim=(0, 12))
axis.legend()
chapter.show(figure, "33-best-answers")

# %% [markdown]
# ## The scale of a loss is a variance
#
# A VAE adds its reconstruction to the KL term, so now the *size* of the loss counts. With $D$ numbers per example,
#
# $$\frac{1}{2\sigma^2} \sum_d (x_d - \hat x_d)^2 + \tfrac{D}{2} \log 2\pi\sigma^2$$
#
# is the Gaussian one. Whoever writes ``sum of squares + KL`` has said $\sigma^2 = \tfrac12$. Whoever writes ``mean of
# squares + KL``, as many tutorials do, has said $\sigma^2 = \tfrac D2$: noise with a variance of 32 on 8 x 8 pictures
# of variance 1. It is the same as a $\beta$ of $2\sigma^2$ on the KL term, hidden in a reduction.
#
# For a *linear* VAE the result is known in closed form, because it is probabilistic PCA: with the eigenvalues
# $\lambda_1 > \lambda_2 > \dots$ of the covariance of the data, the decoder keeps direction $j$ at strength
# $\sqrt{\lambda_j - \sigma^2}$, and **not at all where $\lambda_j \le \sigma^2$**. What the noise is believed to
# explain, the code does not: that is posterior collapse, from a reduction (Lucas et al. 2019, "Don't blame the ELBO!").

# %%
dim = len(spectrum)
turn, _ = torch.linalg.qr(torch.randn(dim, dim, generator=seed, dtype=torch.float64))
covariance = turn @ torch.diag(torch.tensor(spectrum, dtype=torch.float64)) @ turn.T


def linear_vae(variance, codes=dim):
    """Weights W of a linear VAE by descent on its loss, and the variance, which is learned if it is None.

    The loss needs no samples: with the encoder z = V x and the decoder W z, its mean over x ~ N(0, S) is
    tr((I - W V) S (I - W V)^T) / 2v + tr(W diag(s) W^T) / 2v + D/2 log(2 pi v) + KL.
    """
    decode = (0.5 * torch.randn(dim, codes, generator=seed, dtype=torch.float64)).requires_grad_()
    encode = (0.5 * torch.randn(codes, dim, generator=seed, dtype=torch.float64)).requires_grad_()
    log_s = torch.zeros(codes, dtype=torch.float64, requires_grad=True)
    log_v = torch.tensor(math.log(variance or 1.0), dtype=torch.float64, requires_grad=variance is None)
    free = [p for p in (decode, encode, log_s, log_v) if p.requires_grad]
    optimizer = torch.optim.LBFGS(free, max_iter=steps, tolerance_change=1e-12, line_search_fn="strong_wolfe")

    def mean_loss():
        optimizer.zero_grad()
        rest = torch.eye(dim, dtype=torch.float64) - decode @ encode
        v, s = log_v.exp(), log_s.exp()
        errors = (rest @ covariance @ rest.T).trace() + (decode**2 * s).sum()
        kl = 0.5 * ((encode @ covariance @ encode.T).trace() + (s - log_s - 1).sum())
        loss = errors / (2 * v) + dim / 2 * (math.log(2 * math.pi) + log_v) + kl
        loss.backward()
        return loss

    optimizer.step(mean_loss)
    return decode.detach(), log_v.exp().item()


believed = {"mean of squares + KL": dim / 2, "sum of squares + KL": 0.5, "a smaller variance": 0.2}
strengths = {}
for name, variance in believed.items():
    decode, _ = linear_vae(variance)
    strengths[name] = torch.linalg.svdvals(decode) ** 2
    kept = int((strengths[name] > 0.01).sum())
    expected = sum(eigenvalue > variance for eigenvalue in spectrum)
    chapter.known(f"directions kept, {name}", kept, expected, source="eigenvalues above the variance", within=0.5)
    known = sum(max(eigenvalue - variance, 0.0) for eigenvalue in spectrum)
    # The loss is flat where a direction is about to vanish, so descent comes to within a few hundredths.
    chapter.known(f"tr W W^T, {name}", strengths[name].sum(), known, source="sum of (eigenvalue - v)+", within=0.05)

figure, axis = plt.subplots(figsize=(8, 3.2))
places = torch.arange(1, dim + 1)
axis.plot(places, spectrum, color=GREY, marker="o", label="variance in the data")
for (name, strength), colour in zip(strengths.items(), (ORANGE, BLUE, GREEN), strict=True):
    axis.plot(places, strength + 1e-9, marker="o", color=colour, label=f"{name}: v = {believed[name]:g}")
axis.set(yscale="log", ylim=(0.01, 20), xlabel="direction", ylabel="variance through the code")
axis.set_title("What the noise is believed to explain, the code does not")
axis.legend(fontsize=8)
chapter.show(figure, "33-hidden-variance")

# %% [markdown]
# ## Let the variance be learned
#
# There is no need to guess. The best $\sigma^2$ of a Gaussian likelihood is *the mean squared error itself*, so a
# learned variance weighs the two terms as the bound asks. The loss then is no longer "the error" but $\tfrac D2
# \log(\text{error}) + \mathrm{KL}$ up to constants, and halving a small error counts as much as halving a large one.
# That is why the gaussian likelihood here always learns it: one variance for all entries
# (``variance="shared"``), one each, or one from the decoder for every entry of every example.

# %%
errors = torch.randn(chapter.size(20_000, smoke=5000), 4, generator=seed, dtype=torch.float64) * 0.3
gaussian = GaussianLikelihood(shape=(4,))
raw = torch.zeros((), dtype=torch.float64, requires_grad=True)
optimizer = torch.optim.LBFGS([raw], max_iter=50, line_search_fn="strong_wolfe")


def closure():
    """Minus the mean log-density of the errors around 0, all with the same log-variance."""
    optimizer.zero_grad()
    theta = torch.stack([torch.zeros_like(errors), raw.expand_as(errors)], 1)
    loss = -gaussian.log_prob(errors, theta).mean()
    loss.backward()
    return loss


optimizer.step(closure)
learned = math.exp(15 * math.tanh(raw.item() / 15))  # the likelihood bends far log-variances back
chapter.known("learned variance", learned, (errors**2).mean(), source="the mean squared error", within=1e-4)

# With a code of four numbers something is left for the noise: the mean of the eigenvalues that have no place in it.
small = 4
_, variance = linear_vae(None, codes=small)
rest = sum(spectrum[small:]) / (dim - small)
chapter.known(
    "variance of a linear VAE with 4 codes", variance, rest, source="mean of the other eigenvalues", within=0.01
)

# %% [markdown]
# ## What to remember
#
# * Write the loss as $-\log p(x \mid \theta)$, **summed** over the numbers of an example, with its constants. Then it
#   has units (nats), its size is not a matter of taste, and two models can be compared.
# * When somebody's VAE "ignores its code", look at the reduction of the loss before anything else.
# * Squared error blurs because the mean of sharp pictures is blurred. Sharper answers need a likelihood with more than
#   one hump (chapter 29), a better code, or a loss that looks at more than single pixels.

# %%
chapter.end()
