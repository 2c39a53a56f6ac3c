# %% [markdown]
# # Importance sampling, and when it lies
#
# An expectation under $p$ is one under any other density $q$ that covers it, with a weight:
#
# $$E_p f(x) = \int f(x) \frac{p(x)}{q(x)}\, q(x)\, dx = E_q\bigl[ w(x) f(x) \bigr], \qquad w(x) = \frac{p(x)}{q(x)}.$$
#
# So one may draw where it is easy, or where it *matters*, and correct by the weights. If $p$ is known only up to its
# constant, the weights are normalised to sum to 1. The price is written in the weights: if a few of them have
# everything, the many draws are worth a few.

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.distributions import Exponential, Normal, StudentT, TransformedDistribution
from torch.distributions.transforms import AffineTransform

from pushforward.chapter import ACCENT, BLUE, GREY, ORANGE, Chapter
from pushforward.probability.weights import monte_carlo_mean, trustworthy_k
from pushforward.sampling.direct import draws_of
from pushforward.sampling.importance import importance_sample

chapter = Chapter("Importance sampling, and when it lies")

# %% Try: change one number and run again.
far = 4.0  # the rare event is x > far: at 6, plain draws never see it at all
width = 0.5  # of the bad proposal, the target's being 1: at 0.8 all is well, below 0.7 the weights have no variance
heavy = 4.0  # degrees of freedom of the good proposal: fewer, heavier tails
draws = chapter.size(20_000, smoke=2_000)
repeats = chapter.size(200, smoke=20)  # independent repetitions of the same estimate
seed = torch.Generator().manual_seed(1)
zero = torch.tensor(0.0, dtype=torch.float64)
normal = Normal(zero, 1.0)

# %% [markdown]
# ## Drawing where it matters: a rare event
#
# $P(x > 4)$ of a standard Gaussian is 3 in 100,000. Of 20,000 plain draws one expects 0.6 there, so that the estimate
# is 0, or 1/20,000, or 2/20,000. Draw beyond 4 instead, from an exponential that starts there, and weigh: every draw
# counts.


# %%
beyond = TransformedDistribution(Exponential(zero + far), AffineTransform(zero + far, zero + 1.0))
tail = importance_sample(normal.log_prob, beyond, draws, generator=seed)
answer = float(torch.special.ndtr(-zero - far))
value, error = tail.integral(torch.ones_like)
plain, plain_error = monte_carlo_mean((draws_of(normal, draws, generator=seed) > far).double())
print(f"plain draws: {float(plain):.2g} +- {float(plain_error):.1g}")
print(f"weighted draws: {float(value):.4g} +- {float(error):.1g}")
chapter.known(f"P(x > {far:g}) x 10^5", 1e5 * float(value), 1e5 * answer, source="normal CDF", error=1e5 * float(error))

# %% [markdown]
# ## What the weights are worth
#
# The **effective sample size** $(\sum w)^2 / \sum w^2$ says how many equally weighted draws would do as well. For a
# target $N(0, 1)$ and a proposal $N(0, s^2)$ with $s > 1$ it tends to the share $\sqrt{2 s^2 - 1} / s^2$ of the draws.

# %%
wide = importance_sample(lambda x: -(x**2) / 2, Normal(zero, 2.0), draws, generator=seed)
chapter.known(
    "ESS / n, proposal twice as wide",
    wide.effective_sample_size / draws,
    math.sqrt(7) / 4,
    source="sqrt(2 s^2 - 1) / s^2",
    within=0.03,
)
value, error = wide.mean(torch.square)
chapter.known("E[x^2], proposal twice as wide", float(value), 1.0, source="variance of the target", error=float(error))
log_z, error = wide.log_normaliser()
chapter.known(
    "log of the integral of exp(-x^2/2)",
    float(log_z),
    0.5 * math.log(2 * math.pi),
    source="Gaussian integral",
    error=float(error),
)
print(f"wide: {wide.diagnosis()}")

# %% [markdown]
# ## When it lies
#
# Now a proposal *narrower* than the target. In its middle all looks well. But $w = p/q$ grows without bound outside,
# and $E_q w^2 = \int p^2 / q$ is **infinite** for $s < 1/\sqrt2$. The sample never shows it: any finite set of numbers
# has a finite variance. So the estimate mostly comes out too small, with a small standard error and a large effective
# sample size, and once in a while a single draw from far out blows it up.
#
# The tail of the weights tells. The largest of them follow a generalised Pareto law whose shape $k$ says which moments
# exist: the weights have a variance only for $k < 1/2$, and from about 0.7 on no number of draws helps. ($\hat k$ is
# estimated from the largest few hundred weights, and a finite sample shows the tail milder than it is: take 0.5 as a
# warning.) The remedy is a proposal with *heavier* tails than the target: its weights are bounded.


# %%
def second_moments(proposal: torch.distributions.Distribution) -> tuple[torch.Tensor, torch.Tensor, list[float]]:
    """Estimates of E[x^2] = 1, their standard errors and k, over independent repetitions."""
    found = [importance_sample(normal.log_prob, proposal, 2_000, generator=seed) for _ in range(repeats)]
    pairs = [weighted.mean(torch.square) for weighted in found]
    return torch.stack([v for v, _ in pairs]), torch.stack([e for _, e in pairs]), [weighted.k for weighted in found]


narrow = Normal(zero, width)
student = StudentT(zero + heavy)
results = {"narrow": second_moments(narrow), "heavy tails": second_moments(student)}

grid = torch.linspace(-5, 5, 501, dtype=torch.float64)
figure, axes = plt.subplots(1, 3, figsize=(11.5, 3.8))
axes[0].semilogy(grid, normal.log_prob(grid).exp(), color=ACCENT, label="target $p$")
axes[0].semilogy(grid, narrow.log_prob(grid).exp(), color=ORANGE, label="narrow proposal")
axes[0].semilogy(grid, student.log_prob(grid).exp(), color=BLUE, label="heavy-tailed proposal")
axes[0].set(xlabel="$x$", ylabel="density (per unit of $x$)", title="Tails decide", ylim=(1e-7, 3))
axes[0].legend(fontsize=8, loc="lower center")
for (label, (values, errors, ks)), colour in zip(results.items(), (ORANGE, BLUE), strict=True):
    axes[1].hist(values.clamp(max=2).numpy(), bins=np.linspace(0.4, 2, 41), color=colour, alpha=0.6, label=label)
    axes[2].hist(np.clip(ks, -3, 1.2), bins=np.linspace(-3, 1.2, 43), color=colour, alpha=0.6, label=label)
    inside = float(((values - 1).abs() <= 1.96 * errors).double().mean())
    print(
        f"{label}: mean of the estimates {float(values.mean()):.3f}, {inside:.0%} of the 95 % intervals hold the answer"
    )
axes[1].axvline(1, color=ACCENT, label="answer")
axes[1].set(xlabel=r"estimate of $E[x^2]$ (all above 2 at 2)", ylabel="repetitions", title="2,000 draws, many times")
axes[1].legend(fontsize=8)
axes[2].axvline(trustworthy_k(2_000), color=ACCENT, linestyle="--", label="not to be trusted above")
axes[2].axvline(0.5, color=GREY, linestyle="--", label="no variance above")
axes[2].set(xlabel=r"$\hat k$", ylabel="repetitions", title="The tail of the weights tells")
axes[2].legend(fontsize=8)
chapter.show(figure, "12-when-it-lies")

values, errors, ks = results["heavy tails"]
spread = float(values.std() / math.sqrt(repeats))
chapter.known("E[x^2], heavy-tailed proposal", float(values.mean()), 1.0, source="variance of the target", error=spread)
inside = float(((values - 1).abs() <= 1.96 * errors).double().mean())
chapter.known(
    "share of intervals that hold it",
    inside,
    0.95,
    source="they are 95 % intervals",
    error=math.sqrt(0.95 * 0.05 / repeats),
)
light = float(np.mean(np.array(ks) < 0.5))
chapter.known("share with k < 1/2, heavy tails", light, 1.0, source="bounded weights", within=0.02)
values, _, ks = results["narrow"]
chapter.known(
    "E[x^2], narrow proposal", float(values.median()), 1.0, source="typically too small: no error allowed for"
)

# %% [markdown]
# ## From weights to draws
#
# Choosing among the weighted draws in proportion to their weights gives plain ones again (**sampling-importance-
# resampling**). They repeat, and are as good as the weights were.

# %%
resampled = importance_sample(normal.log_prob, student, draws, generator=seed).resampled(draws // 10, generator=seed)
value, error = monte_carlo_mean(resampled**2)
chapter.known("E[x^2], resampled", float(value), 1.0, source="variance of the target", error=float(error))
chapter.end()
