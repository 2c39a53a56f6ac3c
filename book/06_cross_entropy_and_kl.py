# %% [markdown]
# # Cross-entropy and the Kullback-Leibler divergence
#
# You believe $q$, the world is $p$. Your mean surprise is the **cross-entropy**
#
# $$H(p, q) = -E_p \ln q(x),$$
#
# which is never below $H(p)$, the surprise of someone who knows. What your mistake costs is the difference, the
# **Kullback-Leibler divergence**
#
# $$KL(p \,\|\, q) = H(p, q) - H(p) = E_p \ln \frac{p(x)}{q(x)} \;\ge\; 0,$$
#
# zero only if $q = p$. Why not negative: $\ln u \le u - 1$, so $E_p \ln (q/p) \le E_p (q/p - 1) \le 0$.
#
# Nearly all models of this library are fitted by minimising the cross-entropy of data: "maximum likelihood" is the same
# thing, and as $H(p)$ does not depend on the model, it minimises $KL(\text{data} \,\|\, \text{model})$.

# %%
import math

import matplotlib.pyplot as plt
import torch
from torch.distributions import Categorical, MixtureSameFamily, Normal, Uniform

from pushforward.chapter import ACCENT, BLUE, GREEN, GREY, ORANGE, Chapter
from pushforward.probability.information import cross_entropy, entropy, jensen_shannon, kl
from pushforward.probability.nats import draw_points

chapter = Chapter("Cross-entropy and the Kullback-Leibler divergence")

# %% Try: change one number and run again.
distance = 6.0  # between the two modes: below about 2 both directions find the same Gaussian
share = 0.6  # of the mass in the right-hand mode; the cost of missing the other is -ln(share)
start = 2.0  # where the mode-seeking fit begins; -2 ends in the other mode
draws = chapter.size(100_000, smoke=5_000)
steps = 300  # of gradient descent
seed = torch.Generator().manual_seed(0)  # another seed, other draws: the table says how far they may be off


def gaussian(mean: float, deviation: float) -> Normal:
    """In double precision, so that what is exact is exact to many digits."""
    return Normal(torch.tensor(mean, dtype=torch.float64), torch.tensor(deviation, dtype=torch.float64))


# %% [markdown]
# ## Two Gaussians
#
# $$KL\bigl(N(\mu_1, \sigma_1^2) \,\|\, N(\mu_2, \sigma_2^2)\bigr)
#   = \ln \frac{\sigma_2}{\sigma_1} + \frac{\sigma_1^2 + (\mu_1 - \mu_2)^2}{2 \sigma_2^2} - \frac12$$
#
# The figure shows what is integrated. It may be negative in places, where $q > p$; the integral never is. And look at
# the two numbers: the direction matters. A wide $q$ that covers a narrow $p$ costs little; a narrow $q$ calls almost
# everything from a wide $p$ impossible.

# %%
narrow, wide = gaussian(0.0, 1.0), gaussian(1.0, 2.5)


def formula(p: Normal, q: Normal) -> float:
    """The equation above."""
    ratio = (p.variance + (p.mean - q.mean) ** 2) / (2 * q.variance)
    return float((q.stddev / p.stddev).log() + ratio - 0.5)


x = torch.linspace(-7, 9, 1601, dtype=torch.float64)
figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True)
for axis, (p, q, names) in zip(axes, ((narrow, wide, "narrow || wide"), (wide, narrow, "wide || narrow")), strict=True):
    log_p, log_q = p.log_prob(x), q.log_prob(x)
    integrand = log_p.exp() * (log_p - log_q)
    axis.plot(x, log_p.exp(), color=BLUE, label="$p$")
    axis.plot(x, log_q.exp(), color=ORANGE, label="$q$")
    axis.fill_between(x, integrand, color=GREY, alpha=0.45, lw=0, label=r"$p \,\ln (p / q)$")
    axis.set(xlabel="$x$", title=f"KL({names}) = {kl(p, q).value:.2f} nats")
    drawn = kl(p, q, method="monte carlo", draws=draws, generator=seed)
    chapter.known(f"KL({names}), Monte Carlo", drawn.value, formula(p, q), source="formula", error=drawn.standard_error)
axes[0].set_ylabel("density; nats per unit of $x$")
axes[0].legend()
chapter.show(figure, "06-two-gaussians")
chapter.known(
    "KL by quadrature",
    kl(narrow, wide, method="quadrature").value,
    formula(narrow, wide),
    source="formula",
    within=1e-5,
)
scored = cross_entropy(draw_points(narrow, draws, seed), wide)
answer = entropy(narrow).value + formula(narrow, wide)
chapter.known("H(p, q) of data", scored.value, answer, source="H(p) + KL", error=scored.standard_error)

# %% [markdown]
# ## The direction decides what a fit does
#
# Now fit one Gaussian $q$ to a density $p$ with two modes, once in each direction.
#
# * $KL(p \,\|\, q)$ asks $q$ to be large **wherever** $p$ **is**: missing a mode costs without bound. The best $q$ has
#   the mean and the variance of $p$ and covers both modes, and the empty middle. This is maximum likelihood.
# * $KL(q \,\|\, p)$ asks $q$ to be small **wherever** $p$ **is not**: the empty middle costs without bound, a missed
#   mode only $-\ln$ of the share that was found. The best $q$ sits in one mode. This is variational inference.
#
# A model that blurs (covers too much) and one that forgets (covers too little) often differ in nothing but this.


# %%
def two_modes(apart: float) -> MixtureSameFamily:
    """Two Gaussians of deviation 0.7, the right-hand one with the given share."""
    weights = torch.tensor([1 - share, share], dtype=torch.float64)
    modes = torch.tensor([-apart / 2, apart / 2], dtype=torch.float64)
    return MixtureSameFamily(Categorical(weights), Normal(modes, torch.full_like(modes, 0.7)))


p = two_modes(distance)
covering = Normal(p.mean, p.variance.sqrt())
grid = torch.linspace(-15, 15, 3001, dtype=torch.float64)


def divergence(q: Normal) -> torch.Tensor:
    """KL(q || p) by the trapezoid rule, with gradients."""
    log_q = q.log_prob(grid)
    return torch.trapezoid(log_q.exp() * (log_q - p.log_prob(grid)), grid)


mean, log_deviation = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (start, 0.0))
optimiser = torch.optim.Adam([mean, log_deviation], lr=0.05)
for _ in range(steps):
    optimiser.zero_grad()
    divergence(Normal(mean, log_deviation.exp())).backward()
    optimiser.step()
seeking = Normal(mean.detach(), log_deviation.detach().exp())

figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.8))
left.fill_between(x, p.log_prob(x).exp(), color=GREY, alpha=0.45, lw=0, label="$p$, two modes")
left.plot(x, covering.log_prob(x).exp(), color=BLUE, label=r"least $KL(p \,\|\, q)$: covers")
left.plot(x, seeking.log_prob(x).exp(), color=ORANGE, label=r"least $KL(q \,\|\, p)$: seeks a mode")
left.set(xlabel="$x$", ylabel="density", title="Two best Gaussians", ylim=(0, 0.75))
left.legend(fontsize=8)
centres = torch.linspace(-5, 5, chapter.size(41, smoke=11))
for deviation, style in ((0.7, "-"), (2.0, ":")):
    values = torch.tensor([float(divergence(gaussian(float(c), deviation))) for c in centres])
    right.plot(centres, values, style, color=ORANGE, label=rf"$KL(q \,\|\, p)$, $\sigma = {deviation}$")
    values = torch.tensor([kl(p, gaussian(float(c), deviation), generator=seed).value for c in centres])
    right.plot(centres, values, style, color=BLUE, label=rf"$KL(p \,\|\, q)$, $\sigma = {deviation}$")
right.set(xlabel=r"mean $\mu$ of $q$", ylabel="nats", title="Two valleys or one", ylim=(0, 12))
right.legend(fontsize=8)
chapter.show(figure, "06-direction")

# %% [markdown]
# What the fits must be: the covering one has the moments of $p$, and its divergence is all the entropy it has in
# excess, $H(q) - H(p)$, since $-\ln q$ is quadratic and averages to the same over $p$ and $q$. The seeking one, when
# the modes are far apart, is the mode itself, and its divergence is $-\ln$ of the mode's share: on the mode, $q / p = 1
# / \text{share}$.

# %%
found = share if float(seeking.mean) > 0 else 1 - share
middle = (2 * share - 1) * distance / 2
variance = 0.7**2 + share * (1 - share) * distance**2
chapter.known("mean of the covering fit", covering.mean, middle, source="moments of the mixture", within=1e-9)
chapter.known("its variance", covering.variance, variance, source="moments of the mixture", within=1e-9)
least = entropy(covering).value - entropy(p, generator=seed).value
chapter.known(
    "KL(p || q) of the covering fit", kl(p, covering, generator=seed).value, least, source="H(q) - H(p)", within=1e-5
)
chapter.known("KL(q || p) of the seeking fit", divergence(seeking), -math.log(found), source="-ln share", within=0.01)

# %% [markdown]
# ## Infinite, and the symmetric cousin
#
# Where $p$ has mass and $q$ has none, the divergence is infinite: one outcome that was called impossible refutes $q$
# for good. The **Jensen-Shannon divergence** compares both with their mean $m$ instead, so it is symmetric, and never
# above $\ln 2$, which it reaches when the two have nothing in common. It is $\ln 2$ less the loss of the best
# classifier that tells the two apart: chapter 15 begins there.

# %%
print(kl(gaussian(0.0, 1.0), Uniform(torch.tensor(-1.0).double(), torch.tensor(1.0).double())))
shifts = torch.linspace(0, 8, chapter.size(33, smoke=9))
values = [jensen_shannon(gaussian(0.0, 1.0), gaussian(float(s), 1.0), generator=seed).value for s in shifts]
figure, axis = plt.subplots(figsize=(6.4, 3.6))
axis.plot(shifts, shifts**2 / 2, color=ORANGE, label=r"$KL = \delta^2 / 2$, either way")
axis.plot(shifts, values, color=GREEN, label="Jensen-Shannon")
axis.plot(shifts, shifts**2 / 8, ":", color=ACCENT, lw=1.2, label=r"$\delta^2 / 8$: the same near 0")
axis.axhline(math.log(2), color=GREY, lw=1, label=r"$\ln 2$")
axis.set(xlabel=r"shift $\delta$ in standard deviations", ylabel="nats", ylim=(0, 2.5), title="One has no end, one has")
axis.legend()
chapter.show(figure, "06-jensen-shannon")
kept = jensen_shannon(gaussian(0.0, 1.0), gaussian(1.0, 1.0), generator=seed).value
chapter.known("JS of Gaussians 8 apart", values[-1], math.log(2), source="ln 2 when apart", within=1e-3)
drawn = jensen_shannon(gaussian(0.0, 1.0), gaussian(1.0, 1.0), method="monte carlo", draws=draws, generator=seed)
chapter.known("JS at shift 1, Monte Carlo", drawn.value, kept, source="quadrature", error=drawn.standard_error)
chapter.end()
