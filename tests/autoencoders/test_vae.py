"""The variational autoencoder against the linear Gaussian model that is known, and against itself."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from pushforward.autoencoders.vae import VAE
from pushforward.core.capabilities import Density
from pushforward.core.data import Condition
from pushforward.core.errors import InputError
from pushforward.core.fit_units import fit_units
from pushforward.core.modality import Image, Label, Points
from pushforward.core.noise import Noise
from pushforward.core.table import Column, Table
from pushforward.core.text import Text
from pushforward.probability.entry_likelihoods import FARTHEST
from pushforward.probability.ppca import fit_ppca
from tests.helpers import train

LABEL = Label(names=("left", "right"))


def linear_data(n: int, dim: int, latent_dim: int) -> torch.Tensor:
    """Directions of variances 1, 2, ..., on noise of variance 1/4, turned and moved; storage form."""
    scales = torch.arange(1.0, latent_dim + 1).sqrt().double()
    turn, _ = torch.linalg.qr(Noise(3, rows=dim).normal(dim).double())
    codes = Noise(0, rows=n).normal(latent_dim).double() * scales
    return codes @ turn[:latent_dim] + 0.5 * Noise(1, rows=n).normal(dim).double() + torch.linspace(-1, 1, dim)


def linear_vae(x: torch.Tensor, latent_dim: int, *, steps: int) -> VAE:
    """In units of the data themselves: pPCA has one noise variance, which columns scaled apart would not share."""
    torch.manual_seed(0)
    model = VAE(example=Points(dim=x.shape[1]), latent_dim=latent_dim, network="linear", variance="shared")
    train(model, x, steps=steps, batch=len(x), lr=0.02)
    return model


def against_ppca(x: torch.Tensor, latent_dim: int, *, steps: int, samples: int) -> tuple[float, float]:
    """The gap to the closed form in nats per training example, and its standard error by the noise of the estimate."""
    model = linear_vae(x, latent_dim, steps=steps)
    first, second = (model.log_prob(x, samples=samples, seed=s, batch_size=len(x)) for s in (1, 2))
    error = (first - second).std().item() / math.sqrt(2 * len(x))
    gap = first.mean().item() - fit_ppca(x, latent_dim).log_likelihood
    print(f"{samples}-sample bound - closed form of pPCA: {gap:+.5f} nats per example, standard error {error:.5f}")
    return gap, error


def test_the_linear_one_is_probabilistic_pca():
    gap, error = against_ppca(linear_data(500, 5, 2), 2, steps=800, samples=1000)
    assert -0.05 < gap < 3 * error


@pytest.mark.slow
def test_the_linear_one_is_probabilistic_pca_in_more_dimensions():
    gap, error = against_ppca(linear_data(2000, 20, 5), 5, steps=3000, samples=1000)
    assert -0.05 < gap < 3 * error


def known_linear() -> tuple[VAE, torch.Tensor, torch.Tensor]:
    """A linear decoder with chosen weights, an encoder that knows nothing, and the mean and covariance of x."""
    torch.manual_seed(0)
    model = VAE(example=Points(dim=3), latent_dim=2, network="linear", variance="shared").double()
    (encode,), (decode,) = model.encoder.net.layers, model.decoder.net.net.layers
    with torch.no_grad():
        encode.weight.zero_()  # q(z | x) is the prior
        encode.bias.zero_()
        decode.weight.copy_(torch.tensor([[1.0, 0.0], [0.5, -1.0], [0.0, 2.0]]))
        decode.bias.copy_(torch.tensor([1.0, -2.0, 0.0]))
    variance = math.exp(FARTHEST * math.tanh(30 * model.decoder.log_v.item() / FARTHEST))
    weights = decode.weight.detach()
    return model, decode.bias.detach(), weights @ weights.T + variance * torch.eye(3).double()


def test_samples_have_the_covariance_of_the_model():
    model, mean, covariance = known_linear()
    n = 40_000
    x = model.sample(n, seed=0, batch_size=10_000)
    std = covariance.diagonal().sqrt()
    # Four standard errors: std / sqrt(n) of a mean, at most sqrt(2 / n) std std of a covariance.
    assert ((x.mean(0) - mean).abs() < 4 * std / math.sqrt(n)).all()
    assert ((torch.cov(x.T) - covariance).abs() < 4 * math.sqrt(2 / n) * std[:, None] * std).all()


def test_the_bound_is_below_and_grows_to_the_likelihood_with_its_samples():
    model, mean, covariance = known_linear()
    x = model.sample(2000, seed=99, batch_size=2000)  # not the noise that z is drawn from below
    exact = MultivariateNormal(mean, covariance).log_prob(x).mean().item()
    bounds = [model.log_prob(x, samples=k, batch_size=2000).mean().item() for k in (1, 5, 50, 500)]
    assert bounds == sorted(bounds)
    assert bounds[0] < exact - 1, "the encoder is not the posterior"
    # The gap is half the relative variance of a mean of 500 weights; those of the prior vary by about 10.
    assert exact - 0.05 < bounds[-1] < exact + 0.01
    assert model.density() == Density("bound", "density")


def test_exponentials_of_the_bound_average_to_the_density():
    model, mean, covariance = known_linear()
    x = mean[None].expand(20_000, 3)
    ratio = (model.log_prob(x, batch_size=20_000) - MultivariateNormal(mean, covariance).log_prob(mean)).exp()
    assert ratio.mean().item() == pytest.approx(1, abs=4 * ratio.std().item() / math.sqrt(20_000))


def test_the_loss_is_minus_the_bound():
    """Its KL is torch's, and on average over z the terms are minus the one-draw bound."""
    torch.manual_seed(0)
    model = VAE(example=Points(dim=2), latent_dim=3, width=16).double()
    x = torch.tensor([[0.3, -1.0]]).double().expand(20_000, 2)
    terms = model.terms(x, None, noise=Noise(0, rows=20_000))
    q = model.posterior_of(x, None)
    known = kl_divergence(Normal(q.mean, (0.5 * q.log_variance).exp()), Normal(0.0, 1.0)).sum(1)
    assert torch.allclose(terms["kl"], known)
    difference = sum(terms.values()) + model.log_likelihood(x, None, noise=Noise(1, rows=20_000))
    assert difference.mean().item() == pytest.approx(0, abs=4 * difference.std().item() / math.sqrt(20_000))
    half = VAE(example=Points(dim=2), latent_dim=3, width=16, beta=0.5).double()
    half.load_state_dict(model.state_dict())
    assert torch.allclose(half.terms(x, None, noise=Noise(0, rows=20_000))["kl"], 0.5 * known)


def test_the_decoder_learns_what_a_gaussian_cannot():
    """A ring: the variance of its best Gaussian is 1/2 in each direction, its width is a tenth."""
    angle = 2 * math.pi * Noise(0, rows=4000).uniform().double()
    x = torch.stack((angle.cos(), angle.sin()), 1) + 0.1 * Noise(1, rows=4000).normal(2).double()
    torch.manual_seed(0)
    example = Points(dim=2)
    model = VAE(example=example, units=fit_units(example, "real", x), width=64)
    train(model, x, steps=800)
    gaussian = MultivariateNormal(x.mean(0), torch.cov(x.T)).log_prob(x).mean().item()
    assert model.log_prob(x, samples=20, batch_size=4000).mean().item() > gaussian + 0.5
    radii = model.sample(2000, seed=0, batch_size=2000).norm(dim=1)
    assert (radii - 1).abs().median() < 0.25  # for the Gaussian it is 0.35


def classes(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    c = torch.arange(n) % 2
    return Noise(0, rows=n).normal(2).double() + torch.stack((20.0 * c, -c), 1), c


@pytest.mark.parametrize("network", ["linear", "mlp"])
def test_classes_have_their_own_means_and_an_absent_one_is_accepted(network: str):
    x, c = classes(2000)
    example = Points(dim=2)
    torch.manual_seed(0)
    model = VAE(
        example=example,
        condition=LABEL,
        units=fit_units(example, "real", x),
        latent_dim=1,
        width=32,
        network=network,
        variance="dimension",
    )
    train(model, x, steps=500, condition=c, lr=0.01)
    for code in (0, 1):
        mean = model.sample(2000, condition=code, seed=0, batch_size=2000).mean(0)
        assert torch.allclose(mean, x[c == code].mean(0), atol=0.3)  # three tenths of a standard deviation
        right, wrong = (model.log_prob(x[c == code], k, samples=20).mean() for k in (code, 1 - code))
        assert right > wrong + 10
    assert model.log_prob(x).isfinite().all()
    assert model.sample(3, seed=0).shape == (3, 2)


def test_an_absent_condition_is_one_of_its_own():
    x, c = classes(6)
    model = VAE(example=Points(dim=2), condition=LABEL, width=8)
    present = torch.tensor([True, True, False, False, True, False])
    y, noise = x.float(), Noise(0, rows=6)
    some = sum(model.terms(y, Condition(c, present), noise=noise).values())
    none = sum(model.terms(y, Condition(c, torch.zeros(6).bool()), noise=Noise(0, rows=6)).values())
    every = sum(model.terms(y, Condition(c, torch.ones(6).bool()), noise=Noise(0, rows=6)).values())
    assert torch.allclose(some, torch.where(present, every, none))
    assert not torch.isclose(every, none).any()


def test_a_thousandfold_column_has_a_density_a_thousand_times_lower():
    x, _ = classes(500)
    scores = []
    for scale in (1.0, 1000.0):
        example = Points(dim=2)
        torch.manual_seed(0)
        model = VAE(example=example, units=fit_units(example, "real", scale * x), width=16).double()
        train(model, scale * x, steps=5)
        scores.append(model.log_prob(scale * x))
    assert torch.allclose(scores[0] - scores[1], torch.full((500,), 2 * math.log(1000)).double(), atol=1e-6)


TABLE = Table(columns=(Column(name="age", resolution=1.0, missing=True), Column(name="pet", categories=("cat", "dog"))))
CASES = [
    (Points(dim=1), "auto", "Sequential"),
    (TABLE, "auto", "Sequential"),
    (Image(height=5, width=3, levels=17), "auto", "Sequential"),
    (Image(height=32, width=33), "auto", None),
    (Image(height=8, width=8, channels=3), "conv", None),
    (Image(height=4, width=4), "linear", "Sequential"),
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


@pytest.mark.parametrize("variance", ["shared", "dimension", "network"])
@pytest.mark.parametrize(("example", "network", "layers"), CASES, ids=str)
def test_every_kind_of_example(example, network: str, layers: str | None, variance: str, tmp_path):
    x = storage(example, 40)
    torch.manual_seed(0)
    fields = {"width": 16, "latent_dim": 2, "network": network, "variance": variance, "likelihood": "gaussian"}
    model = VAE(example=example, units=fit_units(example, "real", x), **fields).double()
    assert hasattr(model.encoder, "net") == (layers is not None), "perceptron or convolutions"
    train(model, x, steps=2, batch=16)
    assert all(parameter.grad is not None for parameter in model.parameters())
    scores = model.log_prob(x)
    assert scores.isfinite().all() and scores.dtype == torch.float64
    example.check(model.sample(5, seed=0))
    codes = model.encode(x)
    assert codes.shape == (40, 2)
    example.check(model.decode(codes))
    model.float().save_pretrained(tmp_path)
    again = VAE.from_pretrained(tmp_path)
    assert torch.equal(again.log_prob(x), model.log_prob(x))
    assert torch.equal(again.sample(5, seed=1).nan_to_num(), model.sample(5, seed=1).nan_to_num())


def test_a_sample_does_not_depend_on_its_batch():
    model = VAE(example=Points(dim=2), condition=LABEL, width=16)
    c = torch.arange(10) % 2
    whole, parts = (model.sample(10, condition=c, seed=0, batch_size=size) for size in (10, 3))
    assert torch.allclose(whole, parts, rtol=1e-5)
    assert torch.allclose(model.sample(4, condition=c[6:], seed=0, start=6), whole[6:], rtol=1e-5)


def test_the_log_variance_of_a_still_pixel_is_within_its_limits():
    assert math.log((2 / 256) ** 2 / 12) > -FARTHEST  # an 8-bit pixel in [-1, 1), spread evenly over its cell


def test_what_a_vae_cannot_be_is_refused():
    for name, value in (("latent_dim", 0), ("width", 0), ("depth", -1), ("beta", -1.0), ("beta", math.nan)):
        with pytest.raises(InputError, match=f"{name}: got {value}, expected at least"):
            VAE(example=Points(dim=2), **{name: value})
    with pytest.raises(InputError, match="network: got 'unet', expected 'auto', 'mlp', .* or 'linear'"):
        VAE(example=Points(dim=2), network="unet")
    with pytest.raises(InputError, match="variance: got 'full', expected 'shared', 'dimension' or 'network'"):
        VAE(example=Points(dim=2), variance="full")
    with pytest.raises(InputError, match="network: got 'conv' for vectors"):
        VAE(example=Points(dim=2), network="conv")
    with pytest.raises(InputError, match="accepts class labels"):
        VAE(example=Points(dim=2), condition=Text(length=3))


@pytest.mark.parametrize(
    ("example", "space"),
    [
        (TABLE, "native"),
        (Image(height=5, width=3, levels=17), "native"),
        (Image(height=5, width=3, levels=2), "native"),
        (Text(length=6, vocabulary=("a", "b")), "native"),
        (Points(dim=2), "real"),
    ],
    ids=str,
)
def test_the_likelihood_that_suits_the_data_is_taken(example, space: str):
    x = torch.randint(2, (40, 6), generator=torch.Generator().manual_seed(0)) if isinstance(example, Text) else None
    x = storage(example, 40) if x is None else x
    torch.manual_seed(0)
    model = VAE(example=example, units=fit_units(example, VAE.space_for(example, {}), x), width=16, latent_dim=2)
    assert VAE.space_for(example, {}) == space
    train(model, x, steps=2, batch=16)
    assert model.log_prob(x, samples=3).isfinite().all()
    example.check(model.sample(5, seed=0))
    example.check(model.decode(model.encode(x)))
    y, _ = model.fitted.encode(x, noise=Noise(0, rows=40))
    z = model.sample_code(y, None, noise=Noise(0, rows=40))
    pairs = model.log_posterior(z, y, None)
    assert torch.allclose(pairs.diagonal(), model.posterior_of(y, None).log_prob(z), atol=1e-4)
    assert (model.kl_each(y, None, noise=Noise(0, rows=40)) >= 0).all()
    assert torch.allclose(model.log_prior(z), Normal(0.0, 1.0).log_prob(z).sum(1))


@pytest.mark.parametrize("condition", [TABLE, Points(dim=3), Image(height=8, width=8)], ids=str)
def test_a_condition_of_any_modality_is_used(condition):
    """x is its condition's first number, tenfold and shifted; a model that hears it knows x."""
    n = 300
    values = storage(condition, n)
    if isinstance(condition, Image):  # grey all over
        values = (255 * Noise(5, rows=n).uniform(1, 1, 1)).expand(n, 1, 8, 8).to(torch.uint8)
    first = values.flatten(1)[:, :1].double().nan_to_num()
    x = 10 * (first - first.mean()) / first.std() + 0.3 * Noise(1, rows=n).normal(1).double()
    torch.manual_seed(0)
    example = Points(dim=1)
    model = VAE(example=example, condition=condition, units=fit_units(example, "real", x), latent_dim=1, width=32)
    train(model, x, steps=200, condition=values, batch=128, lr=5e-3)
    told, alone = model.log_prob(x, values, samples=5).mean(), Normal(x.mean(), x.std()).log_prob(x).mean()
    assert told > alone + 0.5  # of ln(10 / 0.3) = 3.5 nats that there are to gain
    assert model.log_prob(x).isfinite().all(), "an absent condition is accepted"
