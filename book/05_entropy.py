# %% [markdown]
# # Entropy
#
# How surprised are you by an outcome $x$? The less probable it was, the more; and two independent surprises should add
# up. Only the logarithm does that: the **surprise** of $x$ is $-\ln p(x)$. **Entropy** is the surprise to expect,
#
# $$H(p) = -\sum_x p(x) \ln p(x) \qquad\text{or}\qquad H(p) = -\int p(x) \ln p(x)\, dx .$$
#
# With natural logarithms the unit is the **nat**; divided by $\ln 2$ it is the **bit**: the number of fair yes-or-no
# questions that an outcome answers.

# %%
import math

import matplotlib.pyplot as plt
import torch
from torch.distributions import Bernoulli, Laplace, MixtureSameFamily, MultivariateNormal, Normal, Uniform
from torch.distributions import Categorical as Weights

from pushforward.chapter import ACCENT, BLUE, GREEN, GREY, ORANGE, Chapter
from pushforward.probability.information import entropy
from pushforward.probability.nats import draw_points

chapter = Chapter("Entropy")

# %% Try: change one number and run again.
head = 0.1  # probability of heads: at 0.5 a throw is worth 1 bit, at 0 or 1 nothing
deviation = 0.2  # of the densities below: under 0.24 the Gaussian has a negative entropy
apart = 3.0  # between the two modes of the mixture: from about 6 on its entropy no longer grows
draws = chapter.size(10_000, smoke=1_000)
repeats = chapter.size(20, smoke=2)  # of every estimate from samples
seed = torch.Generator().manual_seed(0)  # another seed, other draws: the table says how far they may be off


def number(value: float) -> torch.Tensor:
    """A parameter in double precision, so that what is exact is exact to many digits."""
    return torch.tensor(value, dtype=torch.float64)


# %% [markdown]
# ## A coin
#
# A fair coin is the least predictable: 1 bit a throw. One that shows heads in one throw of ten is worth less than half
# of that. This is no philosophy but a price: a file of its throws can be packed to 0.47 bits a throw, and no further.

# %%
p = torch.linspace(0.001, 0.999, 400, dtype=torch.float64)
curve = torch.tensor([entropy(Bernoulli(value)).bits for value in p])
coin = entropy(Bernoulli(number(head)))
throws = draw_points(Bernoulli(number(head)), draws, seed)
surprise = -Bernoulli(number(head)).log_prob(throws) / math.log(2)

figure, axis = plt.subplots(figsize=(6.4, 3.6))
axis.plot(p, -p.log2(), color=GREY, lw=1.2, label=r"surprise at heads, $-\log_2 p$")
axis.plot(p, curve, color=ACCENT, label="entropy, exact")
axis.errorbar(
    head,
    float(surprise.mean()),
    2 * float(surprise.std()) / math.sqrt(draws),
    fmt="o",
    color=BLUE,
    label="mean surprise",
)
axis.set(xlabel="probability $p$ of heads", ylabel="bits", ylim=(0, 4), title="Rare heads surprise, but rarely")
axis.legend()
chapter.show(figure, "05-coin")
by_hand = -(head * math.log2(head) + (1 - head) * math.log2(1 - head))
chapter.known("H(coin) in bits", coin.bits, by_hand, source="-sum p log2 p", within=1e-9)
chapter.known(
    "mean surprise of throws in bits", surprise.mean(), by_hand, source="same", error=surprise.std() / math.sqrt(draws)
)

# %% [markdown]
# ## Densities: the integral, and two warnings
#
# For a density the formula is the same with an integral (**differential entropy**). It says how wide the density is:
# stretching $x$ by a factor $a$ adds $\ln a$. Two things are different from coins:
#
# * it depends on the **unit** of $x$: in millimetres every entropy is $\ln 1000$ larger than in metres;
# * it can be **negative**: a density above 1 has negative surprise.
#
# Among all densities of one variance the **Gaussian has the largest entropy**, $\frac12 \ln 2\pi e \sigma^2$. It claims
# nothing beyond the variance, which is one reason why it is everybody's first model.

# %%
width = deviation * math.sqrt(12)
same_variance = {
    "Gaussian": Normal(number(0.0), deviation),
    "uniform": Uniform(number(-width / 2), number(width / 2)),
    "Laplace": Laplace(number(0.0), deviation / math.sqrt(2)),
}
exact = {
    "Gaussian": 0.5 * math.log(2 * math.pi * math.e * deviation**2),
    "uniform": math.log(width),
    "Laplace": 1 + math.log(2 * deviation / math.sqrt(2)),
}
x = torch.linspace(-4 * deviation, 4 * deviation, 2001, dtype=torch.float64)
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6))
for (name, law), color in zip(same_variance.items(), (ACCENT, GREEN, ORANGE), strict=True):
    inside = law.support.check(x)
    density = torch.where(inside, law.log_prob(torch.where(inside, x, 0.0)).exp(), 0.0)
    left.plot(x, density, color=color, label=f"{name}: {entropy(law).value:+.3f} nats")
    right.plot(x, torch.where(density > 0, -density * density.clamp(min=1e-300).log(), 0.0), color=color)
    found = entropy(law, method="quadrature", generator=seed)
    chapter.known(f"H({name}) by quadrature", found.value, exact[name], source="closed form", within=1e-5)
left.set(xlabel="$x$", ylabel="density $p(x)$", title="One variance, three entropies")
left.legend(fontsize=8)
right.axhline(0, color=GREY, lw=0.8)
right.set(xlabel="$x$", ylabel=r"$-p(x) \ln p(x)$", title="What is integrated: negative where $p > 1$")
chapter.show(figure, "05-densities")
stretched = entropy(Normal(number(0.0), 1000 * deviation)).value - entropy(same_variance["Gaussian"]).value
chapter.known("H(1000 x) - H(x)", stretched, math.log(1000), source="change of variables", within=1e-9)

# %% [markdown]
# ## Where there is no formula
#
# A mixture of two Gaussians has no closed form. With modes far apart it must be the entropy of one Gaussian plus
# $\ln 2$, the answer to *which one?*; between that and one mode only a number will do. `entropy` chooses the way itself
# and says which: a closed form, else quadrature (which checks that the density integrates to 1), else the mean surprise
# of draws, with a standard error.


# %%
def two_modes(distance: float) -> MixtureSameFamily:
    """Two standard Gaussians so far apart, equally likely."""
    return MixtureSameFamily(Weights(torch.ones(2).double()), Normal(torch.tensor([0.0, distance]).double(), 1.0))


mixture = two_modes(apart)
integrated = entropy(mixture, generator=seed)
drawn = entropy(mixture, method="monte carlo", draws=draws, generator=seed)
print(integrated, drawn, sep="\n")
chapter.known("H(mixture), Monte Carlo", drawn.value, integrated.value, source="quadrature", error=drawn.standard_error)
far = 0.5 * math.log(2 * math.pi * math.e) + math.log(2)
chapter.known(
    "H(mixture) 12 apart", entropy(two_modes(12.0), generator=seed).value, far, source="H(one) + ln 2", within=1e-5
)

# %% [markdown]
# ## From samples alone
#
# Often there are only samples. A histogram needs bins, and bins need a dimension of at most two. The
# **Kozachenko-Leonenko** estimate needs no bins: where the density is high, the nearest neighbours are near. The
# distance $\rho_i$ to the $k$-th neighbour says $p(x_i) \approx k / (n\,V \rho_i^d)$, and the mean surprise follows.
#
# Look at the figure: on a line the error is chance alone, and falls as $1/\sqrt n$. In ten dimensions the neighbours
# are so far away that the density is not constant in between: a bias remains that falls slowly, and **no error bar
# shows it**.

# %%
sizes = [30, 100, 300, 1000] if chapter.smoke else [30, 100, 300, 1000, 3000]
figure, axis = plt.subplots(figsize=(6.4, 3.6))
for dim, color in ((1, BLUE), (10, ORANGE)):
    law = MultivariateNormal(torch.zeros(dim).double(), torch.eye(dim).double())
    truth = 0.5 * dim * math.log(2 * math.pi * math.e)
    errors = torch.tensor([[entropy(draw_points(law, n, seed)).value - truth for _ in range(repeats)] for n in sizes])
    label = f"{dim} dimension{'s' if dim > 1 else ''}: mean and spread"
    axis.errorbar(sizes, errors.mean(1), errors.std(1), fmt="o-", color=color, capsize=3, label=label)
axis.axhline(0, color=ACCENT, lw=1.2, label="exact")
axis.set(xscale="log", xlabel="samples $n$", ylabel="error in nats", title="Entropy of a Gaussian from samples alone")
axis.legend()
chapter.show(figure, "05-from-samples")
found = entropy(draw_points(Normal(number(0.0), deviation), draws, seed))
chapter.known(
    "H(Gaussian) from samples", found.value, exact["Gaussian"], source="closed form", error=1.3 * found.standard_error
)

# %% [markdown]
# ## What goes wrong
#
# Samples that repeat (rounded numbers, categories) have neighbours at distance 0, where the estimate would be minus
# infinity. A density is not what they have; count them instead. The library refuses them by name.

# %%
try:
    entropy(draw_points(Normal(0.0, 1.0), 100, seed).round())
except ValueError as error:
    print(error)

chapter.end()
