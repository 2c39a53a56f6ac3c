# %% [markdown]
# # Learning a density ratio
#
# Two samples, one from $p$ and one from $q$, and neither density is known. Their **ratio** can be learned all the same,
# and without learning either density: train a classifier to tell the two samples apart. If it sees as many of the one
# as of the other, the best possible answer to "how probable is it that $x$ came from $p$?" is
#
# $$D(x) = \frac{p(x)}{p(x) + q(x)} \qquad\text{so that}\qquad \ln \frac{p(x)}{q(x)} = \ln \frac{D(x)}{1 - D(x)},$$
#
# the **logit**: the number inside the sigmoid. Every classifier trained on the logistic loss is a density ratio. The
# discriminator of a GAN is one; so is the guidance of a diffusion model by a classifier.

# %%
import math

import matplotlib.pyplot as plt
import torch
from torch.distributions import Normal

from pushforward.chapter import ACCENT, BLUE, GREEN, GREY, ORANGE, Chapter
from pushforward.probability.critic import logistic_loss
from pushforward.probability.density_ratio import fit_ratio, two_sample_test
from pushforward.probability.information import jensen_shannon, kl
from pushforward.probability.nats import draw_points

chapter = Chapter("Learning a density ratio")

# %% Try: change one number and run again.
shift = 1.0  # from q to p in standard deviations: at 3 few samples of q are where p is, and all methods suffer
narrower = 0.6  # deviation of p over that of q; above 1.4 the ratio has no mean square, and the weights no worth
n = chapter.size(4_000, smoke=400)  # samples of each side
noise = 0.3  # of the task below
seed = torch.Generator().manual_seed(0)  # another seed, other samples

# %% [markdown]
# ## The logit is the log-ratio
#
# For two Gaussians the log-ratio is a parabola. The classifier finds it where there are samples of both; beyond, it
# guesses. **KLIEP** and **uLSIF** build the ratio directly, as a sum of bumps; far from all bumps they are level.

# %%
p, q = Normal(torch.tensor(shift), narrower), Normal(torch.tensor(0.0), 1.0)
x_p, x_q = draw_points(p, n, seed), draw_points(q, n, seed)
grid = torch.linspace(-3.2, 3.2, 321)
exact = p.log_prob(grid) - q.log_prob(grid)
methods = {"classifier": BLUE, "kliep": GREEN, "ulsif": ORANGE}
ratios = {method: fit_ratio(x_p, x_q, method=method, generator=seed) for method in methods}

figure, (left, right) = plt.subplots(2, 1, figsize=(6.8, 5.4), sharex=True, height_ratios=(1, 2))
for samples, law, color, name in ((x_p, p, BLUE, "p"), (x_q, q, GREY, "q")):
    left.hist(samples, bins=60, range=(-3.2, 3.2), density=True, color=color, alpha=0.4)
    left.plot(grid, law.log_prob(grid).exp(), color=color, label=f"${name}$")
left.set(ylabel="density", title="What is given: samples")
left.legend()
right.plot(grid, exact, color=ACCENT, lw=2.5, label="exact")
for method, color in methods.items():
    right.plot(grid, ratios[method].log_ratio(grid), color=color, lw=1.4, label=method)
right.axhline(0, color=GREY, lw=0.8)
right.set(xlabel="$x$", ylabel=r"$\ln\, p(x) / q(x)$", ylim=(-10, 3), title="What is learned")
right.legend()
chapter.show(figure, "15-log-ratio")

truth = kl(p, q).value
within = {"classifier": 0.1, "kliep": 0.15, "ulsif": 0.3}
for method, ratio in ratios.items():
    allowed = within[method] + 4 * ratio.kl.standard_error
    chapter.known(f"KL(p || q), {method}", ratio.kl.value, truth, source="closed form", within=allowed)
fresh_p, fresh_q = draw_points(p, n, seed), draw_points(q, n, seed)
best_loss = math.log(2) - jensen_shannon(p, q, generator=seed).value
loss = float(logistic_loss(*(ratios["classifier"].log_ratio(x) for x in (fresh_p, fresh_q))))
chapter.known("loss of the classifier", loss, best_loss, source="ln 2 - JS", within=0.02 + 2 / math.sqrt(n))

# %% [markdown]
# Two details decide whether the numbers can be used, and the library takes care of both. The ratio is scored on samples
# it was not learned from (each third by what was learned from the other two), else it believes its own memory. And it
# is **calibrated** on those scores: a network that is too sure of itself has logits that are all too large by a factor,
# which two more numbers undo.
#
# ## Covariate shift
#
# You train on inputs from $q$, but will be asked about inputs from $p$. Only the inputs differ; the answer to an input
# is the same as ever. A rich model would not mind. A simple one must choose where to be good, and chooses where the
# training inputs are. Weight each training example by $r(x) = p(x) / q(x)$, and it chooses as if trained on $p$:
# $E_q[r(x) \, \ell(x)] = E_p[\ell(x)]$.
#
# Here a straight line is fitted to a curve.


# %%
def curve(x: torch.Tensor) -> torch.Tensor:
    """What is to be learned."""
    return x - 0.4 * x**2


def line(x: torch.Tensor, y: torch.Tensor, weights: torch.Tensor) -> tuple[float, float]:
    """Slope and offset with the least weighted squared error."""
    mean_x, mean_y = (weights @ x) / weights.sum(), (weights @ y) / weights.sum()
    slope = (weights * (x - mean_x)) @ (y - mean_y) / ((weights * (x - mean_x)) @ (x - mean_x))
    return float(slope), float(mean_y - slope * mean_x)


y_q = curve(x_q) + noise * torch.randn(n, generator=seed)
weights = ratios["classifier"].weights(x_q)
fits = {"unweighted": (torch.ones(n), ORANGE), "weighted": (weights, BLUE)}
# The best line at N(m, s^2) touches the slope of the curve at m: 1 - 0.8 m.
best = (1 - 0.8 * shift, float(curve(torch.tensor(shift))) - 0.4 * narrower**2 - (1 - 0.8 * shift) * shift)

figure, axis = plt.subplots(figsize=(6.8, 4))
axis.scatter(
    x_q[:600], y_q[:600], s=10 * weights[:600].clamp(max=8), color=GREY, alpha=0.6, lw=0, label="training; size: weight"
)
axis.plot(grid, curve(grid), color=GREEN, lw=1.2, label="the curve")
axis.plot(grid, best[0] * grid + best[1], color=ACCENT, lw=3, alpha=0.4, label="best line where $p$ is")
for name, (w, color) in fits.items():
    slope, offset = line(x_q, y_q, w)
    axis.plot(grid, slope * grid + offset, color=color, label=f"{name} line")
    chapter.known(
        f"slope, {name}",
        slope,
        1.0 if name == "unweighted" else best[0],
        source=f"closed form at {'q' if name == 'unweighted' else 'p'}",
        within=8 / math.sqrt(n),
    )
axis.axvspan(shift - narrower, shift + narrower, color=BLUE, alpha=0.08, lw=0, label=r"where $p$ is, $\pm\sigma$")
axis.set(xlabel="$x$", ylabel="$y$", ylim=(-4, 2.5), title="Weights move the line to where it will be used")
axis.legend(fontsize=8, loc="lower right")
chapter.show(figure, "15-covariate-shift")

# %% [markdown]
# The price is variance. Unequal weights are worth fewer samples: the **effective sample size**
# $(\sum w)^2 / \sum w^2$ says how many. Its share of $n$ tends to $1 / E_q[r^2]$, for these Gaussians in closed form.

# %%
s2 = narrower**2
share = narrower * math.sqrt(2 - s2) * math.exp(-(shift**2) / (2 - s2))
left_over = ratios["classifier"].effective_sample_size(x_q) / n
chapter.known(
    "effective share of the samples", left_over, share, source="1 / E r^2", within=0.4 * share + 2 / math.sqrt(n)
)
print(f"{n} weighted samples are worth {left_over * n:.0f}")

# %% [markdown]
# ## A two-sample test
#
# If $p = q$, nothing can be learned. So learn from one half, and see on the other whether the log-ratio is larger over
# $p$ than over $q$; shuffling the labels says how large it gets by chance. No distribution is assumed, and the p-value
# is exact however bad the learner is. A bad learner only has little power.
#
# The figure shows the share of pairs of samples that are found different at the level 0.05. With no shift it must be
# 0.05.

# %%
shifts, pairs, size = (0.0, 0.25, 0.5, 0.75, 1.0), chapter.size(100, smoke=4), 60
rates = []
for delta in shifts:
    found = [
        two_sample_test(
            torch.randn(size, generator=seed) + delta,
            torch.randn(size, generator=seed),
            method="ulsif",
            shuffles=99,
            generator=seed,
        ).p_value
        for _ in range(pairs)
    ]
    rates.append(sum(value <= 0.05 for value in found) / pairs)
figure, axis = plt.subplots(figsize=(6.4, 3.4))
spread = [2 * math.sqrt(max(r * (1 - r), 0.01) / pairs) for r in rates]
axis.errorbar(shifts, rates, spread, fmt="o-", color=BLUE, capsize=3, label=f"found different, {size} samples a side")
axis.axhline(0.05, color=ACCENT, lw=1.2, label="level 0.05: the share by chance")
axis.set(
    xlabel=r"shift $\delta$ in standard deviations",
    ylabel="share of tests",
    ylim=(-0.05, 1.1),
    title="Power of the test",
)
axis.legend(loc="upper left")
chapter.show(figure, "15-two-sample-test")
chapter.known(
    "found different without a shift", rates[0], 0.05, source="exact test", error=math.sqrt(0.05 * 0.95 / pairs)
)

# %% [markdown]
# ## What goes wrong
#
# Take $p$ so far away that the samples never mix. Any threshold between them is always right; the loss is near 0
# whatever the logits beyond, and nothing fixes their size. **Telescoping** puts samples in between (mixing each $x_q$
# with an $x_p$) and adds up the ratios from step to step, each of which is easy. In the table below, the true
# divergence is $\delta^2 / 2$.

# %%
far = 5.0
x_far = draw_points(Normal(far, 1.0), n, seed)
for method, allowed in (("classifier", None), ("telescoping", 0.5 if n > 1000 else 0.8)):
    found = fit_ratio(x_far, x_q, method=method, generator=seed).kl.value
    within_far = None if allowed is None else allowed * far**2 / 2
    chapter.known(f"KL at a shift of {far:g}, {method}", found, far**2 / 2, source="closed form", within=within_far)
chapter.end()
