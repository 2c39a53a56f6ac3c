"""One conformance test for all distributions: each has to keep the same promises, and what it lacks it must say."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.distributions import Distribution, biject_to, constraints

from pushforward.core.errors import InputError
from pushforward.probability.distributions import (
    Banana,
    EnergyBased,
    Funnel,
    NormalMixture,
    Ring,
    UniformAnnulus,
    UniformBall,
    UniformDisk,
)


def d64(*values: float | list) -> Tensor:
    return torch.tensor(values if len(values) > 1 else values[0], dtype=torch.float64)


def mixture(root: Tensor) -> NormalMixture:
    """Any matrix gives a covariance, so that finite differences stay in the set of parameters."""
    covariances = root @ root.mT + 0.1 * torch.eye(2).double()
    return NormalMixture(d64(0.3, 0.7), d64([[-1.0, 0.0], [1.0, 1.0]]), covariances)


def double_well(x: Tensor) -> Tensor:
    return (x[:, 0] ** 2 - 1) ** 2 + 0.5 * (x[:, 1] - x[:, 0]) ** 2


@dataclass
class Case:
    """A distribution as a function of its parameters, and where its mass is.

    ``box`` holds all but 1e-6 of the mass and is the range of the quadrature; ``bins`` is a smaller one for samples.
    """

    make: Callable[..., Distribution]
    parameters: tuple[Tensor, ...]
    box: list[tuple[float, float]]
    bins: list[tuple[float, float]]
    nodes: int = 401
    tolerance: float = 1e-6  # of the trapezoid rule on a smooth density
    stretch: bool = False  # nodes of the last axis crowd at 0

    def __call__(self) -> Distribution:
        return self.make(*self.parameters)


BOX = [(-12.0, 12.0), (-12.0, 12.0)]
CASES = {
    # A discontinuous density: the rule is off by the cells that the boundary cuts.
    "disk": Case(UniformDisk, (d64(0.5, -0.3), d64(1.5)), [(-2, 3), (-2.5, 2)], [(-1, 2), (-1.8, 1.2)], 801, 2e-3),
    "ball": Case(UniformBall, (d64(0.5, 0.0, 1.0), d64(1.2)), [(-1, 2), (-1.5, 1.5), (-0.5, 2.5)],
                 [(-0.7, 1.7), (-1.2, 1.2), (-0.2, 2.2)], 101, 1e-2),
    "annulus": Case(UniformAnnulus, (d64(0.0, 1.0), d64(0.7), d64(1.3)), [(-2, 2), (-1, 3)],
                    [(-1.3, 1.3), (-0.3, 2.3)], 801, 4e-3),
    "shell in 3-D": Case(UniformAnnulus, (d64(0.0, 0.0, 0.0), d64(0.7), d64(1.3)), [(-1.5, 1.5)] * 3,
                         [(-1.3, 1.3)] * 3, 101, 1e-2),
    "banana": Case(Banana, (d64(1.3), d64(0.7), d64(0.6)), [(-9, 9), (-5, 60)], [(-3, 3), (-2, 6)], 1201),
    "funnel": Case(lambda s: Funnel(s, dim=2), (d64(1.5),), [(-9, 9), (-1500, 1500)], [(-3, 4), (-5, 5)], 1201,
                   stretch=True),
    "ring": Case(Ring, (d64(0.5, -0.5), d64(2.0), d64(0.4)), [(-5, 6), (-6, 5)], [(-2.5, 3.5), (-3.5, 2.5)]),
    "mixture": Case(mixture, (d64([[[1.0, 0.6], [0.2, 0.5]], [[0.3, 0.0], [0.1, 0.4]]]),), BOX, [(-3, 3), (-2, 3)]),
    "energy": Case(
        lambda: EnergyBased(double_well, 2).normalized([-4.0, -9.0], [4.0, 9.0]), (), [(-4, 4), (-9, 9)], [(-2, 2)] * 2
    ),
}  # fmt: skip
ALL = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def has(case: Case, what: str) -> bool:
    p = case()
    if what == "rsample":
        return p.has_rsample
    return getattr(type(p), what) is not getattr(Distribution, what)


def having(what: str) -> pytest.MarkDecorator:
    names = [name for name, case in CASES.items() if has(case, what)]
    return pytest.mark.parametrize("case", [CASES[name] for name in names], ids=names)


def seeded(seed: int, draw: Callable[[], Tensor]) -> Tensor:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return draw()


def draws(p: Distribution, n: int, seed: int = 0) -> Tensor:
    return seeded(seed, lambda: p.sample((n,)))


def density(p: Distribution, x: Tensor) -> Tensor:
    inside = p.support.check(x)
    return torch.zeros(x.shape[:-1]).double().masked_scatter(inside, p.log_prob(x[inside]).exp())


@ALL
def test_it_integrates_to_one(case: Case):
    axes = [torch.linspace(a, b, case.nodes, dtype=torch.float64) for a, b in case.box]
    volume = torch.ones(case.nodes).double()
    places = list(axes)
    if case.stretch:  # x = sinh(t) / 100
        end = math.asinh(case.box[-1][1] / 1e-2)
        axes[-1] = torch.linspace(-end, end, case.nodes, dtype=torch.float64)
        places[-1], volume = 1e-2 * axes[-1].sinh(), 1e-2 * axes[-1].cosh()
    values = density(case(), torch.stack(torch.meshgrid(*places, indexing="ij"), -1)) * volume
    for axis in reversed(axes):
        values = torch.trapezoid(values, axis)
    assert values.item() == pytest.approx(1, abs=case.tolerance)


@having("sample")
def test_samples_match_the_density(case: Case):
    # Pearson's test on cells; the mass of each is the mean of the density over its subdivision.
    p, n = case(), 20_000
    dim = len(case.bins)
    cells, fine = {2: (10, 24), 3: (4, 16)}[dim]
    edges = [torch.linspace(a, b, cells + 1, dtype=torch.float64) for a, b in case.bins]
    middles = [a + (b - a) * (torch.arange(cells * fine).double() + 0.5) / (cells * fine) for a, b in case.bins]
    values = density(p, torch.stack(torch.meshgrid(*middles, indexing="ij"), -1))
    volume = math.prod((b - a) / (cells * fine) for a, b in case.bins)
    masses = (values * volume).reshape([cells, fine] * dim).sum(list(range(1, 2 * dim, 2))).flatten()
    x = draws(p, n)
    where = torch.stack([torch.bucketize(x[:, i].contiguous(), edges[i]) - 1 for i in range(dim)], 1)
    inside = ((where >= 0) & (where < cells)).all(1)
    index = (where[inside] * torch.tensor([cells ** (dim - 1 - i) for i in range(dim)])).sum(1)
    counts = torch.bincount(index, minlength=cells**dim).double()
    counts, masses = torch.cat([counts, d64([float((~inside).sum())])]), torch.cat([masses, (1 - masses.sum())[None]])
    expected = (n * masses).clamp(min=0)
    used = expected > 5
    rest = n - float(expected[used].sum())
    statistic = float(((counts - expected)[used] ** 2 / expected[used]).sum())
    # 1e-3 of correct samplers fail, and the seed is fixed.
    assert stats.chi2.sf(statistic, int(used.sum()) - (rest < 5)) > 1e-3
    assert abs(float(counts[~used].sum()) - rest) < 5 * math.sqrt(rest + 1) + 0.003 * n


@ALL
def test_batch_and_event_shapes(case: Case):
    p = case()
    wide = p.expand((3, 2))
    assert (p.batch_shape, wide.batch_shape, wide.event_shape) == ((), (3, 2), p.event_shape)
    x = torch.zeros(5, 3, 2, *p.event_shape).double() + p.expand((1,)).mean if has(case, "mean") else None
    if x is not None and not isinstance(p, UniformAnnulus):
        assert wide.log_prob(x).shape == (5, 3, 2)
    for what in ("mean", "variance"):
        if has(case, what):
            assert getattr(wide, what).shape == (3, 2, *p.event_shape)
    if has(case, "entropy"):
        assert p.entropy().shape == () and wide.entropy().shape == (3, 2)
    if has(case, "sample"):
        assert draws(p, 4).shape == (4, *p.event_shape) and draws(wide, 4).shape == (4, 3, 2, *p.event_shape)
        assert torch.allclose(wide.log_prob(draws(p, 6)[:, None, None]), p.log_prob(draws(p, 6))[:, None, None])
    assert wide.expand((4, 3, 2)).batch_shape == (4, 3, 2)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.parameters and name != "mixture"])
def test_a_batch_is_its_members(name: str):
    case = CASES[name]
    scales = d64(1.0, 1.1, 1.3)
    batch = case.make(*(v * scales.view(3, *[1] * v.ndim) for v in case.parameters))
    assert batch.batch_shape == (3,)
    x = draws(batch, 7)
    for i, scale in enumerate(scales):
        one = case.make(*(v * scale for v in case.parameters))
        assert torch.allclose(batch.log_prob(x)[:, i], one.log_prob(x[:, i]))
        assert torch.allclose(batch.mean[i], one.mean) and torch.allclose(batch.variance[i], one.variance)


@having("sample")
def test_log_prob_has_the_gradients_of_finite_differences(case: Case):
    # Away from a boundary: the points of a bounded support are drawn towards the middle of the matter.
    x = draws(case(), 5, seed=1)
    if case().support is not constraints.real_vector:
        x = case().mean + 0.999 * (x - case().mean)
    inputs = [v.clone().requires_grad_() for v in (x, *case.parameters)]
    assert torch.autograd.gradcheck(lambda value, *rest: case.make(*rest).log_prob(value), inputs, atol=1e-6)


@having("rsample")
def test_rsample_has_the_gradients_of_finite_differences(case: Case):
    inputs = [v.clone().requires_grad_() for v in case.parameters]
    assert torch.autograd.gradcheck(lambda *rest: seeded(2, lambda: case.make(*rest).rsample((4,))), inputs, atol=1e-6)


def test_a_sample_without_rsample_carries_no_gradient():
    p = CASES["mixture"]()
    with pytest.raises(NotImplementedError):
        p.rsample()
    assert not p.has_rsample


@having("mean")
def test_mean_and_variance_are_those_of_the_samples(case: Case):
    p, n = case(), 40_000
    x = draws(p, n, seed=3)
    # Four standard errors: passed by chance in all but one of 16,000 numbers.
    assert ((x.mean(0) - p.mean).abs() < 4 * x.std(0) / math.sqrt(n)).all()
    squares = (x - p.mean).square()
    assert ((squares.mean(0) - p.variance).abs() < 4 * squares.std(0) / math.sqrt(n)).all()


@having("entropy")
def test_the_entropy_is_minus_the_mean_log_density(case: Case):
    p, n = case(), 40_000
    terms = -p.log_prob(draws(p, n, seed=4))
    assert abs(float(terms.mean() - p.entropy())) < 4 * float(terms.std()) / math.sqrt(n) + 1e-12


@ALL
def test_what_is_no_number_is_refused_and_outside_there_is_no_mass(case: Case):
    p = case()
    with pytest.raises(ValueError, match="support"):
        p.log_prob(torch.full(p.event_shape, math.nan).double())
    if p.support is not constraints.real_vector:
        far = torch.full(p.event_shape, 100.0).double()
        with pytest.raises(ValueError, match="support"):
            p.log_prob(far)
        free = type(p)(*case.parameters, validate_args=False)
        assert free.log_prob(far).item() == -math.inf


@having("sample")
def test_the_dtype_is_the_one_of_the_parameters(case: Case):
    p = case.make(*(v.float() for v in case.parameters)) if case is not CASES["mixture"] else case()
    kind = torch.float64 if case is CASES["mixture"] else torch.float32
    assert draws(p, 3).dtype == kind and p.log_prob(draws(p, 3)).dtype == kind


@pytest.mark.parametrize("n", [200_000])
def test_every_draw_of_a_bounded_shape_is_in_its_support(n: int):
    for p in (UniformDisk([1000.0, 0.0], 0.01), UniformAnnulus([3.0, 3.0, 3.0], 0.999, 1.0), UniformBall([0.0], 2.0)):
        assert p.support.check(draws(p, n)).all()


@pytest.mark.parametrize("p", [UniformDisk(d64(0.5, -0.3), d64(1.5)), UniformBall(d64(0.5, 0.0, 1.0), d64(1.2))])
def test_the_transform_onto_a_ball_is_one_to_one_with_its_jacobian(p: Distribution):
    onto = biject_to(p.support)
    y = torch.randn(6, *p.event_shape, generator=torch.Generator().manual_seed(0)).double()
    x = onto(y)
    assert p.support.check(x).all() and torch.allclose(onto.inv(x), y)
    jacobian = torch.func.vmap(torch.func.jacrev(onto))(y)
    assert torch.allclose(onto.log_abs_det_jacobian(y, x), torch.linalg.slogdet(jacobian).logabsdet)


def test_an_annulus_has_no_transform():
    with pytest.raises(NotImplementedError):
        biject_to(UniformAnnulus().support)


def test_a_ring_is_the_square_root_of_a_noncentral_chi_square():
    x = draws(Ring([0.0, 0.0], d64(2.0), 0.5), 20_000)
    radii = torch.linalg.vector_norm(x, dim=-1) / 0.5
    assert stats.kstest(radii.numpy() ** 2, stats.ncx2(2, 16).cdf).pvalue > 1e-3


def test_a_thin_ring_does_not_underflow():
    thin = Ring([0.0, 0.0], d64(10.0), d64(0.001))
    assert math.isfinite(thin.log_prob(d64(10.0, 0.0)))
    # Nearly a segment of length 2 pi r times a Gaussian.
    assert thin.entropy().item() == pytest.approx(math.log(2 * math.pi * 10) + stats.norm(0, 0.001).entropy(), abs=1e-4)


BAD = {
    "radius": (lambda: UniformDisk(radius=0.0), "radius: got 0.0, expected a positive"),
    "not finite": (lambda: UniformDisk([math.inf, 0.0]), "center: got .*expected finite"),
    "center of a disk": (lambda: UniformDisk([0.0, 0.0, 0.0]), r"center: got shape \(3,\)"),
    "order of radii": (lambda: UniformAnnulus(inner=2.0, outer=1.0), "inner: got 2.0, expected less than outer"),
    "batches": (lambda: Ring(radius=torch.ones(2), width=torch.ones(3)), "expected shapes that broadcast"),
    "width": (lambda: Banana(width=-1.0), "width: got -1.0"),
    "dim": (lambda: Funnel(dim=1), "dim: got 1"),
    "scale": (lambda: Funnel(scale=math.nan), "scale: got nan"),
    "singular covariance": (
        lambda: NormalMixture([1.0], torch.zeros(1, 2), torch.ones(1, 2, 2)),
        "covariances: .*positive definite matrix; if it is singular, add",
    ),
    "weights": (lambda: NormalMixture([0.5, 0.6], torch.zeros(2, 1), torch.ones(2, 1, 1)), "weights: .*sum to 1"),
    "shapes": (lambda: NormalMixture([0.5, 0.5], torch.zeros(3, 1), torch.ones(3, 1, 1)), r"means: got \(3, 1\)"),
    "no function": (lambda: EnergyBased(3.0, 1), "energy: got float"),
    "no constant": (lambda: EnergyBased(double_well, 2).log_prob(torch.zeros(2)), "log_normalizer: not known"),
    "energy is NaN": (
        lambda: EnergyBased(lambda x: x[:, 0].log(), 1).log_unnormalized(torch.tensor([[-1.0]])),
        r"energy: got nan at \[-1.0\]",
    ),
    "energy has a wrong shape": (
        lambda: EnergyBased(lambda x: x, 1).log_unnormalized(torch.zeros(4, 1)),
        r"energy: got \(4, 1\) for points \(4, 1\), expected \(4,\)",
    ),
    "box too small": (lambda: EnergyBased(double_well, 2).normalized([-1.0, -1.0], [1.0, 1.0]), "expected a wider box"),
    "box far too wide": (lambda: EnergyBased(double_well, 2).normalized([-1e3] * 2, [1e3] * 2), "a smaller box"),
    "box of wrong dimension": (lambda: EnergyBased(double_well, 2).normalized([-1.0], [1.0]), "expected 2 each"),
    "box without mass": (
        lambda: EnergyBased(lambda x: x[:, 0].abs() / 0 + 1 / 0.0001, 1).normalized([0.5], [1.0]), "zero all over"
    ),
    "box upside down": (lambda: EnergyBased(double_well, 2).normalized([1.0] * 2, [-1.0] * 2), "finite numbers below"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_named(call: Callable[[], object], message: str):
    with pytest.raises(InputError, match=message):
        call()
