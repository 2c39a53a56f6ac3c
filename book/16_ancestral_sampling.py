# %% [markdown]
# # Ancestral sampling
#
# Any joint density is a product of conditionals, and often each variable needs only a few others, its **parents**:
#
# $$p(x_1, \dots, x_d) = \prod_i p(x_i \mid \text{parents of } x_i).$$
#
# Draw the variables parents first, each from its conditional, and the result is an *exact* draw of the joint: no
# envelope, no weights, no chain. It is how a language model writes (each token given those before it) and how a
# latent-variable model draws (the latent first, then the picture).

# %%
import math

import matplotlib.pyplot as plt
import torch
from torch.distributions import Bernoulli, Categorical, Normal

from pushforward.chapter import ACCENT, BLUE, GREEN, GREY, ORANGE, Chapter
from pushforward.probability.weights import (
    effective_sample_size,
    log_mean_weight,
    monte_carlo_mean,
    self_normalised_mean,
)
from pushforward.sampling.ancestral import DirectedModel

chapter = Chapter("Ancestral sampling")

# %% Try: change one number and run again.
rain = 0.2  # how often it rains: near 0, a wet lawn means the sprinkler
leak = 0.05  # how often the lawn is wet without reason: at 0, a wet lawn has a reason for sure
memory = 0.95  # of the walk, between 0 and 1: near 1, it forgets slowly
draws = chapter.size(100_000, smoke=5_000)
seed = torch.Generator().manual_seed(0)

# %% [markdown]
# ## A small graph
#
# Rain keeps the sprinkler off; either of them wets the lawn. Each variable is a function of its parents, named as they
# are, that returns a distribution. The order of drawing is found from the names; a circle among them is an error.


# %%
lawn = DirectedModel(
    {
        "wet": lambda rain, sprinkler: Bernoulli(leak + (0.95 - leak) * torch.maximum(rain, sprinkler)),
        "sprinkler": lambda rain: Bernoulli(0.4 - 0.35 * rain),
        "rain": lambda: Bernoulli(torch.tensor(rain)),
    }
)
print("order of drawing:", ", ".join(lawn.order))
days = lawn.sample(draws, generator=seed)

# By hand: the sum over the four cases.
p_sprinkler = {1: 0.05, 0: 0.4}  # given rain or none
cases = [
    (r, s, (rain if r else 1 - rain) * (p_sprinkler[r] if s else 1 - p_sprinkler[r])) for r in (0, 1) for s in (0, 1)
]
p_wet = sum(p * (0.95 if r or s else leak) for r, s, p in cases)
p_rain_wet = sum(p * 0.95 for r, _, p in cases if r) / p_wet
value, error = monte_carlo_mean(days["wet"].double())
chapter.known("P(wet)", float(value), p_wet, source="sum over four cases", error=float(error))

# %% [markdown]
# ## Backwards: given that the lawn is wet
#
# Drawing goes from cause to effect. To learn about a *cause* from an effect one can
#
# 1. draw days and keep those with a wet lawn (rejection: wasteful if what was seen is rare), or
# 2. hold the lawn wet, draw only the rest, and **weigh** every draw by the probability that its lawn is wet. That is
#    importance sampling with the prior as proposal, and the mean weight is the probability of what was seen.

# %%
kept = days["rain"][days["wet"] == 1].double()
value, error = monte_carlo_mean(kept)
chapter.known("P(rain | wet), by keeping", float(value), p_rain_wet, source="Bayes' rule", error=float(error))
some, log_weights = lawn.weigh(draws, {"wet": 1.0}, generator=seed)
value, error = self_normalised_mean(some["rain"], log_weights)
chapter.known("P(rain | wet), by weights", float(value), p_rain_wet, source="Bayes' rule", error=float(error))
log_p, error = log_mean_weight(log_weights)
chapter.known("log P(wet), by weights", float(log_p), math.log(p_wet), source="sum over four cases", error=float(error))
print(
    f"of {draws} draws, {len(kept)} are kept; weighted, they are worth {float(effective_sample_size(log_weights)):.0f}"
)

# %% [markdown]
# ## A latent variable: a mixture
#
# First the component, then the point. Forgetting the component leaves a density with three bumps that has no simple
# quantile function; drawing it takes two lines.

# %%
weights = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
centres = torch.tensor([[-2.0, 0.0], [1.5, 1.5], [1.0, -1.5]], dtype=torch.float64)
widths = torch.tensor([0.5, 0.8, 0.3], dtype=torch.float64)
mixture = DirectedModel(
    {
        "component": lambda: Categorical(weights),
        "point": lambda component: Normal(centres[component], widths[component, None]),
    }
)
points = mixture.sample(draws, generator=seed)
for axis in range(2):
    value, error = monte_carlo_mean(points["point"][:, axis])
    known = float(weights @ centres[:, axis])
    chapter.known(f"E[x_{axis + 1}], mixture", float(value), known, source="weights times centres", error=float(error))

# %% [markdown]
# ## A chain: each given the last
#
# $x_t = a x_{t-1} + \sqrt{1 - a^2}\, \varepsilon_t$ with $x_0 \sim N(0, 1)$ keeps the variance 1 at all times, and
# times $s$ apart have the correlation $a^s$. The rule is the same at every step, so a loop draws it, all paths at
# once; this is how a language model writes a text.

# %%
steps = 40
noise = math.sqrt(1 - memory**2)
paths = [torch.randn(draws // 10, dtype=torch.float64, generator=seed)]
for _ in range(steps):
    paths.append(memory * paths[-1] + noise * torch.randn(draws // 10, dtype=torch.float64, generator=seed))
path = torch.stack(paths, dim=1)
value, error = monte_carlo_mean(path[:, -1] ** 2)
chapter.known(f"E[x_{steps}^2]", float(value), 1.0, source="a^2 + (1 - a^2)", error=float(error))
value, error = monte_carlo_mean(path[:, 10] * path[:, 20])
chapter.known("Cov[x_10, x_20]", float(value), memory**10, source="a^10", error=float(error))

figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4))
shown = points["point"][:1500]
for k, colour in enumerate((BLUE, ORANGE, GREEN)):
    of_k = points["component"][:1500] == k
    left.scatter(*shown[of_k].T, s=4, color=colour, alpha=0.6, label=f"component {k}")
    left.plot(*centres[k], marker="+", color=ACCENT, markersize=12, markeredgewidth=2)
left.set(xlabel="$x_1$", ylabel="$x_2$", title="First the component, then the point", aspect="equal")
left.legend(fontsize=8, markerscale=2)
right.fill_between(range(steps + 1), -1.96, 1.96, color=GREY, alpha=0.2, label="95 % of $N(0, 1)$, exact")
right.plot(path[:12].T, color=BLUE, alpha=0.5, linewidth=1)
share = path.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64), dim=0)
right.plot(share.T, color=ACCENT, linewidth=1.2, label="95 % of the paths")
handles, labels = right.get_legend_handles_labels()
right.set(xlabel="time $t$ (steps)", ylabel="$x_t$", title="Each given the last", xlim=(0, steps), ylim=(-3.6, 4.4))
right.legend(handles[:2], labels[:2], fontsize=8, loc="upper right", ncols=2)
chapter.show(figure, "16-first-the-parents")

# %%
chapter.end()
