"""The hierarchical VAE against a linear Gaussian one whose marginal and posterior are known, and against itself."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from pushforward.autoencoders.hvae import HVAE
from pushforward.core.capabilities import Density
from pushforward.core.data import Batch, Condition
from pushforward.core.errors import InputError
from pushforward.core.fit_units import fit_units
from pushforward.core.modality import Image, Label, Points
from pushforward.core.noise import Noise
from pushforward.core.table import Column, Table

LABEL = Label(names=("left", "right"))


class Known:
    """A linear hierarchy z_1 -> z_2 -> x of one variable each and three entries, and all that is known of it.

    x = A u + b + noise of variances v, with u standard normal: A and b are read off the network's own way down.
    """

    def __init__(self) -> None:
        torch.manual_seed(1)
        self.model = HVAE(example=Points(dim=3), latent_dim=1, layers=2, width=1, depth=0).double()
        top, below = self.model.down[0]
        with torch.no_grad():
            for layer in (top, below):  # every prior depends on what is above it, its deviation does not
                layer.prior_head.weight[0].normal_()
                layer.prior_head.bias.copy_(torch.tensor([0.5, -0.3]))
            out = self.model.upward[0].conv
            out.weight.mul_(0.5)
            out.weight[3:].zero_()
            out.bias[3:].copy_(torch.tensor([-1.0, 0.0, 0.5]))
        with torch.no_grad():
            self.b, (first, second) = self.mean(0.0, 0.0), (self.mean(1.0, 0.0), self.mean(0.0, 1.0))
            self.a = torch.stack((first - self.b, second - self.b), 1)
            assert torch.allclose(self.mean(-2.0, 3.0), self.a @ torch.tensor([-2.0, 3.0]).double() + self.b)
        self.v = torch.tensor([-1.0, 0.0, 0.5]).double().exp()  # bent back by less than a part in a thousand
        self.marginal = MultivariateNormal(self.b, self.a @ self.a.T + self.v.diag())
        #: Precision of the posterior of u, the same for every x.
        self.precision = torch.eye(2).double() + self.a.T @ (self.a / self.v[:, None])

    def mean(self, *u: float) -> torch.Tensor:
        return self.model.generate(torch.tensor([u]).double(), None)[0]


def error_of(values: torch.Tensor) -> float:
    return values.std().item() / math.sqrt(len(values))


def test_samples_have_the_moments_of_the_hierarchy():
    known, n = Known(), 40_000
    x = known.model.sample(n, seed=0, batch_size=n)
    covariance = known.marginal.covariance_matrix
    std = covariance.diagonal().sqrt()
    # Four standard errors: std / sqrt(n) of a mean, at most sqrt(2 / n) std std of a covariance.
    assert ((x.mean(0) - known.b).abs() < 4 * std / math.sqrt(n)).all()
    assert ((torch.cov(x.T) - covariance).abs() < 4 * math.sqrt(2 / n) * std[:, None] * std).all()


def test_the_bound_is_below_and_grows_to_the_likelihood_with_its_samples():
    known = Known()
    x = known.marginal.sample((500,))
    exact = known.marginal.log_prob(x)
    gaps = [(exact - known.model.log_prob(x, samples=k, batch_size=500)).mean().item() for k in (1, 10, 100, 500)]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[0] > 1, "the posterior is still the prior"
    # The gap of K samples is half the relative variance of their mean; the weights of a prior vary by about 10.
    assert -0.02 < gaps[-1] < 0.04
    assert known.model.density() == Density("bound", "density")


def test_inference_from_the_top_down_reaches_the_exact_posterior_where_independent_units_could_not():
    known = Known()
    model, x = known.model, known.marginal.sample((500,))
    best_diagonal = 0.5 * (known.precision.diagonal().log().sum() - known.precision.logdet()).item()
    assert best_diagonal > 0.1  # nats that any posterior of independent units loses
    learned = [p for name, p in model.named_parameters() if "encoder" in name or "from_" in name or "posterior" in name]
    optimiser = torch.optim.Adam(learned, lr=0.03)
    for step in range(300):
        for group in optimiser.param_groups:
            group["lr"] = 0.03 * (1 - step / 300)
        loss = model.loss(x, noise=Noise(0, step, rows=500)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    fresh = known.marginal.sample((2000,))
    gap = known.marginal.log_prob(fresh) - model.log_prob(fresh, batch_size=2000)
    print(f"bound - exact: {-gap.mean().item():+.4f} +- {error_of(gap):.4f}; best diagonal: {-best_diagonal:+.4f}")
    # With the exact posterior every draw of the bound is the likelihood itself.
    assert -4 * error_of(gap) < gap.mean().item() < 0.02 and gap.std() < 0.2


def some(n: int = 6) -> tuple[HVAE, torch.Tensor]:
    torch.manual_seed(0)
    model = HVAE(example=Points(dim=2), latent_dim=3, layers=2, width=2).double()
    with torch.no_grad():  # so that the posterior is not the prior
        for layer in model.down[0]:
            layer.posterior_head.weight.normal_(std=0.3)
    return model, Noise(1, rows=n).normal(2).double()


def test_the_parts_of_the_bound_agree_with_each_other():
    model, x = some()
    code = model.sample_code(x, None, noise=Noise(4, rows=6))
    observed = model.observed.log_prob(x, model.way_down(6, None, _following(model, code)))
    pairs = model.log_posterior(code, x, None)
    assert pairs.shape == (6, 6)
    assembled = observed + model.log_prior(code) - pairs.diagonal()
    assert torch.allclose(model.log_likelihood(x, None, noise=Noise(4, rows=6)), assembled)
    assert torch.allclose(model.log_prior(code), Normal(0.0, 1.0).log_prob(code).sum(1))
    terms = model.terms(x, None, noise=Noise(4, rows=6))
    assert torch.allclose(terms["reconstruction"], -observed)
    each = model.kl_each(x, None, noise=Noise(4, rows=6))
    assert each.shape == (6, 6) and torch.allclose(each.sum(1), terms["kl"])
    many = Noise(0, rows=20_000)
    differences = sum(model.terms(x[:1].expand(20_000, 2), None, noise=many).values())
    differences = differences + model.log_likelihood(x[:1].expand(20_000, 2), None, noise=Noise(1, rows=20_000))
    assert differences.mean().item() == pytest.approx(0, abs=4 * error_of(differences))


def _following(model: HVAE, code: torch.Tensor):
    pieces = model._pieces(code)
    return lambda layer, s, scale: next(pieces)


def test_the_kl_term_is_that_of_two_normals_comes_in_slowly_and_spares_free_bits():
    model, x = some()
    maps = model.way_up(x, None)
    posterior = model.down[0][0].posterior(model.start.expand(6, -1, -1, -1), maps[0])
    known = kl_divergence(Normal(posterior.mean, posterior.log_std.exp()), Normal(0.0, 1.0)).flatten(1)
    each = model.kl_each(x, None, noise=Noise(4, rows=6))
    assert torch.allclose(each[:, :3], known)  # the top comes first in a code
    layers = torch.stack((each[:, :3].sum(1), each[:, 3:].sum(1)))
    model.free_bits = float(layers.detach().median())
    spared = model.terms(x, None, noise=Noise(4, rows=6))["kl"]
    assert torch.allclose(spared, layers.clamp(min=model.free_bits).sum(0)) and (spared > layers.sum(0)).any()
    model.free_bits, model.progress = 0.0, 0.0
    assert (model.terms(x, None, noise=Noise(4, rows=6))["kl"] == 0).all()


def test_a_posterior_starts_as_its_prior_and_a_map_of_latents_starts_unheard():
    model = HVAE(example=Image(height=28, width=28, levels=2))
    x = (Noise(0, rows=3).uniform(1, 28, 28) < 0.3).float()
    assert (model.kl_each(x, None, noise=Noise(1, rows=3)) == 0).all()
    assert model.infer(x, None).shape == (3, 3 * 16 + 2 * 7 * 7 + 2 * 14 * 14)
    code = torch.zeros(1, 538)
    moved = code.clone()
    moved[:, 48:] = 1.0
    assert torch.equal(model.generate(code, None), model.generate(moved, None))
    moved[:, 0] = 3.0
    assert not torch.equal(model.generate(code, None), model.generate(moved, None))


TABLE = Table(columns=(Column(name="age", resolution=1.0, missing=True), Column(name="pet", categories=("cat", "dog"))))
CASES = [
    (Points(dim=1), {}),
    (TABLE, {}),
    (Image(height=5, width=3, levels=2), {}),
    (Image(height=9, width=15, channels=3), {"maps": 1, "components": 2}),
    (Image(height=8, width=8, levels=17), {"likelihood": "gaussian", "depth": 0}),
    (Image(height=28, width=28, levels=2), {"maps": 3, "map_layers": 2}),
]


def storage(example: Points | Table | Image, n: int) -> torch.Tensor:
    match example:
        case Points():
            return Noise(0, rows=n).normal(example.dim).double()
        case Image():
            return (Noise(0, rows=n).uniform(*example.shape) * example.levels).to(torch.uint8)
        case Table():
            x = (Noise(0, rows=n).uniform(2) * torch.tensor([60.0, 2.0])).floor().double()
            x[::5, 0] = math.nan
            return x


@pytest.mark.parametrize(("example", "options"), CASES, ids=str)
def test_every_kind_of_example(example, options: dict, tmp_path):
    x, c = storage(example, 12), torch.arange(12) % 2
    torch.manual_seed(0)
    fields = {"width": 3, "latent_dim": 2, "layers": 2, **options}
    units = fit_units(example, HVAE.space_for(example, fields), x)
    model = HVAE(example=example, condition=LABEL, units=units, **fields).double()
    y, _ = model.fitted.encode(x, noise=Noise(0, rows=12), dtype=torch.float64)
    given = Condition(c, torch.arange(12) % 3 > 0)
    for step in range(3):  # the heads start at zero, so that what is below them learns from the second step on
        model.zero_grad()
        terms = model.terms(y, given, noise=Noise(0, step, rows=12))
        sum(terms.values()).mean().backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.sub_(1e-3 * parameter.grad / (1 + parameter.grad.abs()))
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in model.parameters())
    whole = model.log_prob(x, c, samples=3)
    assert whole.isfinite().all() and torch.allclose(whole, model.log_prob(x, c, samples=3, batch_size=5))
    example.check(model.sample(5, condition=1, seed=0))
    samples = model.sample(5, seed=0)
    assert torch.allclose(model.sample(3, seed=0, start=2).double(), samples[2:].double(), equal_nan=True)
    codes = model.encode(x, c)
    example.check(model.decode(codes, c))
    model.float().save_pretrained(tmp_path)
    again = HVAE.from_pretrained(tmp_path)
    assert torch.equal(again.log_prob(x), model.log_prob(x))


def test_a_class_reaches_posterior_and_samples():
    torch.manual_seed(0)
    model = HVAE(example=Points(dim=2), condition=LABEL, latent_dim=2, layers=2, width=2)
    left, right = (model.sample(50, condition=code, seed=0) for code in (0, 1))
    assert (left != right).all()
    x = left[:4]
    assert not torch.isclose(model.log_prob(x, 0), model.log_prob(x, 1)).any()


def test_numbers_of_a_condition_are_heard_in_their_own_scale():
    model = HVAE(example=Points(dim=2), condition=Points(dim=1), latent_dim=1, width=2)
    given = Condition(torch.tensor([[1000.0], [3000.0], [9.0]]).double(), torch.tensor([True, True, False]))
    whole = Batch(torch.randn(3, 2), given)
    assert [stage.name for stage in model.stages()] == ["start", "fit"]
    for stage in model.stages()[:1]:
        assert all(math.isfinite(bound) for bound in stage.solve(whole, whole, noise=Noise(0, rows=3)))
    assert model.embed.centre.item() == 2000 and model.embed.spread.item() == 1000


def test_what_an_hvae_cannot_be_is_refused():
    for name in (
        "latent_dim",
        "layers",
        "maps",
        "map_layers",
        "latent_channels",
        "width",
        "depth",
        "beta",
        "free_bits",
    ):
        with pytest.raises(InputError, match=f"{name}: got -1, expected at least"):
            HVAE(example=Points(dim=2), **{name: -1})
    with pytest.raises(InputError, match="beta: got nan, expected at least"):
        HVAE(example=Points(dim=2), beta=math.nan)
    with pytest.raises(InputError, match="warm_up: got 1.5, expected a share from 0 to 1"):
        HVAE(example=Points(dim=2), warm_up=1.5)
    with pytest.raises(InputError, match="likelihood: got 'poisson'"):
        HVAE(example=Points(dim=2), likelihood="poisson")
