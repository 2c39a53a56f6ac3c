# %% [markdown]
# # From Metropolis to many chains
#
# Suppose that you can *evaluate* a density up to a constant, $\pi(x) \propto p(x)$, and need draws from it. A Markov
# chain goes from one point to the next by a random rule that looks only at where it is. If the rule sends as much
# probability from $a$ to $b$ as from $b$ to $a$,
#
# $$\pi(a)\, K(a \to b) = \pi(b)\, K(b \to a) \qquad \text{(detailed balance)},$$
#
# then a crowd that is spread like $\pi$ stays spread like $\pi$, and a crowd that is not gets closer to it. Chapters 7
# and 8 draw *independent* points; a chain gives that up, and in return works in hundreds of dimensions.

# %%
import math

import matplotlib.pyplot as plt
import torch

from pushforward.chapter import ACCENT, BLUE, GREEN, GREY, ORANGE, Chapter
from pushforward.sampling.chains import sample
from pushforward.sampling.diagnostics import autocorrelation, ess, mean_error, nested_rhat
from pushforward.sampling.hamiltonian import HMC, begin, leapfrog
from pushforward.sampling.metropolis import RandomWalk
from pushforward.sampling.nuts import NUTS
from pushforward.sampling.target import Target

chapter = Chapter("From Metropolis to many chains")

# %% Try: change one number and run again.
correlation = 0.95  # of the target's two coordinates; towards 1 the ridge narrows and a blind walk slows down
steps = (0.1, 1.0, 8.0)  # proposals of three walks: too timid, about right, too bold
far = 12.0  # where the crowd of the last part begins; further away, it takes longer to forget
crowd = chapter.size(2_048, smoke=256)  # chains in it
draws = chapter.size(20_000, smoke=1_000)  # of the walks
seed = torch.Generator().manual_seed(10)

# %% [markdown]
# ## Metropolis by hand
#
# Propose $b = a + h\,\xi$ with $\xi \sim N(0, I)$. The proposal is as likely in one direction as in the other, so all
# that is left to balance is $\pi$. Take the proposal with probability
#
# $$\alpha = \min\left(1, \frac{\pi(b)}{\pi(a)}\right), \qquad \text{otherwise stay (and count $a$ again).}$$
#
# Uphill always, downhill sometimes. Only a *ratio* of densities is needed, so the constant never matters.

# %%
covariance = torch.tensor([[1.0, correlation], [correlation, 1.0]], dtype=torch.float64)
precision = covariance.inverse()


def log_density(x):
    """The log of a correlated Gaussian without its constant, for points (n, 2)."""
    return -0.5 * ((x @ precision) * x).sum(1)


def metropolis(log_density, x, step, n, generator):
    """n steps of as many chains as x has rows; positions (n, chains, dim) and how often proposals were taken."""
    value, path, taken = log_density(x), [], 0.0
    for _ in range(n):
        proposal = x + step * torch.randn(x.shape, generator=generator, dtype=x.dtype)
        new = log_density(proposal)
        yes = torch.rand(len(x), generator=generator, dtype=x.dtype).log() < new - value
        x, value = torch.where(yes[:, None], proposal, x), torch.where(yes, new, value)
        path.append(x)
        taken += float(yes.double().mean()) / n
    return torch.stack(path), taken


figure, axes = plt.subplots(1, 3, figsize=(10, 3.7), sharex=True, sharey=True)
grid = torch.linspace(-3.5, 3.5, 141, dtype=torch.float64)
points = torch.cartesian_prod(grid, grid)
heights = log_density(points).exp().reshape(141, 141).T
levels = [math.exp(-0.5 * r**2) for r in (3, 2, 1)]
for axis, step in zip(axes, steps, strict=True):
    path, taken = metropolis(log_density, torch.zeros(1, 2, dtype=torch.float64), step, 500, seed)
    axis.contour(grid, grid, heights, levels=levels, colors=GREY, linewidths=0.9)
    axis.plot(path[:, 0, 0], path[:, 0, 1], color=BLUE, lw=0.5, marker=".", ms=2.5)
    axis.set(title=f"$h$ = {step:g}: {taken:.0%} taken", xlabel="$x_1$", aspect="equal")
axes[0].set_ylabel("$x_2$")
chapter.show(figure, "10-three-walks")

# %% [markdown]
# All three walks are *correct*: each would get every answer right in the end. The grey ellipses hold 39, 86 and 99 % of
# the mass. The timid walk takes nearly every proposal and goes nowhere; the bold one stays where it is for a long time.
#
# **How bold, then?** For a standard normal in one dimension the mean acceptance is known,
# $\bar\alpha(h) = \frac{2}{\pi} \arctan(2 / h)$. What counts is not how many proposals are taken but how many
# *independent* draws the chain is worth, the **effective sample size**
#
# $$S = \frac{n}{1 + 2 \sum_{t \ge 1} \rho_t},$$
#
# with $\rho_t$ the correlation of draws $t$ steps apart.

# %%
sizes = torch.logspace(-1, 1.6, chapter.size(14, smoke=4), dtype=torch.float64)
rates, worth = [], []
for step in sizes.tolist():
    start = torch.randn(64, 1, generator=seed, dtype=torch.float64)
    path, taken = metropolis(lambda x: -0.5 * x.square().sum(1), start, step, chapter.size(1_500, smoke=100), seed)
    rates.append(taken)
    worth.append(float(ess(path.transpose(0, 1)[..., 0], "mean")) / path[..., 0].numel())

figure, axes = plt.subplots(1, 2, figsize=(9, 3.4))
fine = torch.logspace(-1, 1.6, 200, dtype=torch.float64)
axes[0].plot(fine, 2 / math.pi * torch.atan(2 / fine), color=ACCENT, label=r"exact: $(2/\pi)\,\arctan(2/h)$")
axes[0].plot(sizes, rates, "o", color=BLUE, label="64 chains")
axes[0].set(xscale="log", xlabel="$h$ (standard deviations)", ylabel="share of proposals taken", ylim=(0, 1))
axes[0].legend()
axes[1].plot(sizes, worth, "o-", color=BLUE)
axes[1].axvline(2.38, color=GREY, lw=1, ls="--")
axes[1].annotate("2.38, the best\nin high dimension", (2.8, 0.25), color=ACCENT, fontsize=9)
axes[1].set(xscale="log", xlabel="$h$ (standard deviations)", ylabel="effective draws per draw", ylim=(0, 0.3))
chapter.show(figure, "10-how-bold")
middle = len(rates) // 2
chapter.known(
    f"acceptance at h = {float(sizes[middle]):.2f}",
    rates[middle],
    2 / math.pi * math.atan(2 / float(sizes[middle])),
    source="(2/pi) arctan(2/h)",
    error=0.5 / math.sqrt(64 * chapter.size(1_500, smoke=100) * worth[middle]),
)

# %% [markdown]
# Near the best step, four in ten proposals are taken, and even then four or five draws are worth one.
#
# ## Hamiltonian Monte Carlo: move far, and still be accepted
#
# A blind step must be small or it is refused. With the *gradient* a proposal can go far. Give the point a random
# momentum $u \sim N(0, I)$ and let it slide without friction over the landscape $-\log \pi$:
#
# $$\dot x = u, \qquad \dot u = \nabla \log \pi(x).$$
#
# The energy $H = -\log\pi(x) + \frac12 |u|^2$ stays the same along the slide, and volumes do too, so in exact
# arithmetic the end of the slide would always be accepted. The **leapfrog** follows it in steps of $\epsilon$ (half a
# push, a full move, half a push), and Metropolis corrects what error in $H$ it makes, which shrinks as $\epsilon^2$.

# %%
target = Target(log_density, dim=2, dtype=torch.float64)


def slide(x, u, step, n):
    """Positions of a leapfrog path and the energy error at its end."""
    state, path = begin(target, x), [x]
    energy = state.log_density - 0.5 * u.square().sum(1)
    for _ in range(n):
        state, u = leapfrog(target, state, u, torch.full((2,), step, dtype=x.dtype))
        path.append(state.x)
    return torch.stack(path), (state.log_density - 0.5 * u.square().sum(1) - energy).abs()


origin = torch.tensor([[-1.5, -1.2]], dtype=torch.float64)
push = torch.tensor([[1.2, 0.4]], dtype=torch.float64)
figure, axes = plt.subplots(1, 2, figsize=(9, 3.8))
axes[0].contour(grid, grid, heights, levels=levels, colors=GREY, linewidths=0.9)
path, _ = slide(origin, push, 0.02, 250)
axes[0].plot(path[:, 0, 0], path[:, 0, 1], color=ACCENT, lw=1, label=r"fine: $\epsilon$ = 0.02")
path, _ = slide(origin, push, 0.2, 25)
axes[0].plot(path[:, 0, 0], path[:, 0, 1], "o-", color=BLUE, ms=3.5, lw=0.8, label=r"leapfrog: $\epsilon$ = 0.2")
axes[0].plot(*origin[0], "s", color=ORANGE, label="start")
axes[0].set(xlabel="$x_1$", ylabel="$x_2$", aspect="equal", xlim=(-3.5, 3.5), ylim=(-3.5, 3.5))
axes[0].legend(loc="lower right", fontsize=8)
counts = [20, 40, 80, 160]
many, pushes = (torch.randn(200, 2, generator=seed, dtype=torch.float64) for _ in range(2))
many = many @ torch.linalg.cholesky(covariance).T
errors = [float(slide(many, pushes, 2 / count, count)[1].mean()) for count in counts]
small = [2 / count for count in counts]
axes[1].loglog(small, errors, "o", color=BLUE, label="mean over 200 slides of length 2")
axes[1].loglog(
    small, [errors[-1] * (e / small[-1]) ** 2 for e in small], color=ACCENT, lw=1, label=r"$\propto\epsilon^2$"
)
axes[1].set(xlabel=r"step size $\epsilon$", ylabel="energy error (nats)")
axes[1].set_xticks(small, [f"{e:g}" for e in small])
axes[1].minorticks_off()
axes[1].legend()
chapter.show(figure, "10-leapfrog")
order = math.log(errors[-2] / errors[-1], 2)
chapter.known("order of the leapfrog", order, 2, source="Taylor expansion", within=0.1)

# %% [markdown]
# How long to slide? Too short and it is a walk again, too long and the path comes back. **NUTS** doubles the path until
# it turns round, and picks a point of it. Both tune $\epsilon$, and the scale of every coordinate, while they warm up.
# Below, the memory of the three methods, each draw of HMC and NUTS being dearer than one of Metropolis: compare the
# effective draws *per evaluation* of the density.

# %%
chains = 16
start = torch.randn(chains, 2, generator=seed, dtype=torch.float64) @ torch.linalg.cholesky(covariance).T
figure, axis = plt.subplots(figsize=(7, 3.6))
for method, name, colour in (
    (RandomWalk(step_size=0.5), "Metropolis, tuned", ORANGE),
    (HMC(), "HMC", GREEN),
    (NUTS(), "NUTS", BLUE),
):
    kept = draws // chains if method == RandomWalk(step_size=0.5) else draws // chains // 4
    run = sample(
        log_density, method=method, start=start, warmup=chapter.size(200, smoke=50), draws=max(kept, 50), generator=seed
    )
    rho = autocorrelation(run.values[..., 0]).mean(0)[:40]
    price = max(run.gradients, run.values.shape[1])
    gain = float(ess(run.values, "mean").min()) / (price * chains)
    axis.plot(rho, color=colour, label=f"{name}: {gain:.3f} effective draws per evaluation")
    mean, error = run.flat().mean(0)[0], mean_error(run.values)[0]
    chapter.known(f"E[x1], {name}", float(mean), 0, source="symmetry", error=float(error))
    product = run.values[..., 0] * run.values[..., 1]
    chapter.known(
        f"E[x1 x2], {name}",
        float(product.mean()),
        correlation,
        source="the covariance",
        error=float(mean_error(product)),
    )
axis.axhline(0, color=GREY, lw=0.8)
axis.set(xlabel="lag (draws)", ylabel=r"autocorrelation of $x_1$", title="How long a chain remembers")
axis.legend()
chapter.show(figure, "10-memory")

# %% [markdown]
# In two dimensions the walk holds its own, because here it knows the covariance and an evaluation is all it pays. NUTS
# is poor on so narrow a ridge in the plane: the quick swing *across* it turns round first and ends the path, and a
# batch of chains waits for the longest path. In many dimensions no single swing decides, and the balance tips: in $d$
# of them the walk's step must shrink as $1/\sqrt d$, so an independent draw costs about $d$ evaluations; a slide needs
# steps that shrink only as $d^{-1/4}$.

# %%
dimensions = [2, 4] if chapter.smoke else [2, 8, 32, 128]
warmup = chapter.size(150, smoke=25)
cost: dict[str, list[float]] = {"Metropolis": [], "NUTS": []}
for dim in dimensions:
    begin_at = torch.randn(32, dim, generator=seed, dtype=torch.float64)
    walk, _ = metropolis(lambda x: -0.5 * x.square().sum(1), begin_at, 2.38 / math.sqrt(dim), 40 * dim + 100, seed)
    cost["Metropolis"].append(walk[..., 0].numel() / float(ess(walk.transpose(0, 1), "mean").mean()))
    kept = chapter.size(60, smoke=20)
    run = sample(lambda x: -0.5 * x.square().sum(1), start=begin_at, warmup=warmup, draws=kept, generator=seed)
    cost["NUTS"].append(32 * run.gradients / float(ess(run.values, "mean").mean()))

figure, axis = plt.subplots(figsize=(6, 3.6))
for name, colour, power in (("Metropolis", ORANGE, 1.0), ("NUTS", BLUE, 0.25)):
    axis.loglog(dimensions, cost[name], "o", color=colour, label=name)
    line = [cost[name][-1] * (d / dimensions[-1]) ** power for d in dimensions]
    axis.loglog(dimensions, line, color=colour, lw=1, ls="--", label=rf"$\propto d^{{{power:g}}}$")
axis.set(xlabel="dimension $d$", ylabel="evaluations per independent draw", title="What a draw costs")
axis.legend()
chapter.show(figure, "10-dimension")

# %% [markdown]
# ## Why many chains
#
# One chain says little about itself: it cannot tell a density it has explored from one it is stuck in. A *crowd* of
# chains moves as one batch of numbers, at nearly the price of one, and shows two different errors apart:
#
# * **bias**: the crowd has not yet forgotten where it began. More chains do not help; more steps do.
# * **noise**: the mean over the crowd is that of finitely many points. More steps hardly help; more chains do, as
#   $1/\sqrt{\text{chains}}$.
#
# All chains begin at one far point. Watch the crowd become the density.

# %%
length = 61
first = torch.full((crowd, 1), far, dtype=torch.float64)
path, _ = metropolis(lambda x: -0.5 * x.square().sum(1), first, 2.38, length, seed)
moments = [1, 4, 12, 60]
figure, axes = plt.subplots(1, 4, figsize=(11, 2.9), sharey=True)
line = torch.linspace(-4.5, far + 1, 300, dtype=torch.float64)
for axis, moment in zip(axes, moments, strict=True):
    axis.hist(path[moment - 1, :, 0], bins=60, range=(-4.5, far + 1), density=True, color=BLUE, alpha=0.5)
    axis.plot(line, torch.exp(-0.5 * line**2) / math.sqrt(2 * math.pi), color=ACCENT)
    axis.set(title=f"after {moment} step{'s' * (moment > 1)}", xlabel="$x$", ylim=(0, 0.6))
axes[0].set_ylabel("density")
chapter.show(figure, "10-crowd")

# %% [markdown]
# To *measure* whether the start is forgotten, send groups of chains from different points: **nested R-hat** compares
# the groups' means with the spread inside them and falls to 1 when the starting point no longer shows. It needs no long
# chains; one draw of each is enough.

# %%
groups = 16
places = torch.linspace(-far, far, groups, dtype=torch.float64).repeat_interleave(crowd // groups)[:, None]
path, _ = metropolis(lambda x: -0.5 * x.square().sum(1), places, 2.38, length, seed)
nested = [float(nested_rhat(now[:, None, 0], superchains=groups)) for now in path]
squares = path[..., 0].square().mean(1)

figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), sharex=True)
moment_axis = range(1, length + 1)
axes[0].semilogy(moment_axis, [value - 1 for value in nested], color=BLUE)
floor = math.sqrt(1 + groups / crowd) - 1
axes[0].axhline(floor, color=ACCENT, lw=1, ls="--")
axes[0].annotate("nothing left but noise", (25, floor * 2.5), color=ACCENT, fontsize=9)
axes[0].set(xlabel="step", ylabel=r"nested $\hat R - 1$", title="Is the start forgotten?")
axes[1].semilogy(moment_axis, (squares - 1).abs(), color=BLUE)
axes[1].axhline(math.sqrt(2 / crowd), color=ACCENT, lw=1, ls="--")
axes[1].annotate("noise of the crowd", (25, math.sqrt(2 / crowd) * 4), color=ACCENT, fontsize=9)
axes[1].set(xlabel="step", ylabel=r"$|\overline{x^2} - 1|$ over the crowd", title="The error it would have caused")
chapter.show(figure, "10-forgetting")
chapter.known(
    "E[x^2] of the crowd's last draws", float(squares[-1]), 1, source="unit variance", error=math.sqrt(2 / crowd)
)
chapter.known("nested R-hat at the end", nested[-1], 1 + floor, source="sqrt(1 + groups / chains)", within=5 * floor)

# %% [markdown]
# Beware of the opposite mistake: the *effective sample size* of thousands of very short chains comes out near their
# number whatever they have seen, since a chain of a few draws has no memory to measure. Look at nested R-hat first.
#
# In practice all of this is one call. `diagnosis()` says in words what is wrong, if something is; chapter 11 makes
# things go wrong on purpose.

# %%
run = sample(
    torch.distributions.Gamma(torch.tensor(3.0, dtype=torch.float64), 2.0),  # on (0, inf): unconstrained for you
    chains=128,
    warmup=chapter.size(100, smoke=30),
    draws=chapter.size(200, smoke=20),
    generator=seed,
)
print(run)
print(run.summary().round(3))
print(*run.diagnosis(), sep="\n")
chapter.known("mean of Gamma(3, 2)", float(run.flat().mean()), 1.5, source="3 / 2", error=float(mean_error(run.values)))
chapter.end()
