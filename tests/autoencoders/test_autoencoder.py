"""The autoencoder against principal components, a posterior mean that is known, and a surface in space."""

import math

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness

from pushforward.autoencoders.autoencoder import Autoencoder, squared_jacobian
from pushforward.core.audio import Audio
from pushforward.core.capabilities import HasDensity
from pushforward.core.data import Condition
from pushforward.core.errors import InputError
from pushforward.core.fit_units import fit_units
from pushforward.core.modality import Image, Label, Points
from pushforward.core.noise import Noise
from pushforward.core.table import Column, Table
from pushforward.core.text import Text
from tests.helpers import train

LABEL = Label(names=("left", "right"))


def linear(x: torch.Tensor, latent_dim: int, *, steps: int, **fields) -> Autoencoder:
    """A linear autoencoder in units of the data themselves, in float64 and full batches."""
    torch.manual_seed(0)
    model = Autoencoder(example=Points(dim=x.shape[1]), latent_dim=latent_dim, network="linear", **fields).double()
    train(model, x, steps=steps, batch=len(x), lr=0.02)
    return model


def tilted(n: int) -> torch.Tensor:
    """Five numbers: two directions of variances 4 and 2 and noise of variance 1/4, turned and moved."""
    turn, _ = torch.linalg.qr(Noise(3, rows=5).normal(5).double())
    codes = Noise(0, rows=n).normal(2).double() * torch.tensor([2.0, 2.0**0.5]).double()
    return codes @ turn[:2] + 0.5 * Noise(1, rows=n).normal(5).double() + torch.linspace(-1, 1, 5).double()


def test_the_linear_one_finds_the_principal_subspace():
    x = tilted(300)
    model = linear(x, 2, steps=300)
    (layer,) = model.decoder.net.layers
    ours, _ = torch.linalg.qr(layer.weight.detach())
    theirs = torch.from_numpy(PCA(2).fit(x.numpy()).components_.T.copy())
    smallest = torch.linalg.svdvals(ours.T @ theirs).min().clamp(max=1)
    angle = math.degrees(math.acos(smallest))
    print(f"largest principal angle to the principal components: {angle:.3f} degrees")
    assert angle < 1


def test_its_samples_have_the_moments_of_gaussian_data():
    x = tilted(1000)
    model = linear(x, 2, steps=300, mixture=1)
    drawn = model.sample(20_000, seed=0)
    # Both sides are estimates: 5 standard errors of a mean of 1,000, and 10 % of the largest covariance, of which a
    # standard error is 4.5 %. One noise variance is taken for all five directions, as the data have it.
    assert ((drawn.mean(0) - x.mean(0)).abs() < 5 * x.std(0) / 1000**0.5).all()
    assert (drawn.T.cov() - x.T.cov()).abs().max() < 0.1 * x.T.cov().max()


def test_a_denoising_one_approaches_the_posterior_mean():
    """Of x ~ N(0, S) given x + a e it is S (S + a^2 I)^-1 (x + a e)."""
    covariance = torch.tensor([[2.0, 0.8], [0.8, 0.5]]).double()
    x = Noise(0, rows=2000).normal(2).double() @ torch.linalg.cholesky(covariance).T
    model = linear(x, 2, steps=300, corruption="gaussian", corruption_level=0.7)
    seen = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]).double()
    found = model.decode(model.encode(seen))
    known = seen @ torch.linalg.solve(covariance + 0.49 * torch.eye(2).double(), covariance)
    # S is known from 2,000 points, to 3 %.
    assert (found - known).abs().max() < 0.05


def test_the_contraction_is_the_squared_norm_of_the_jacobian():
    torch.manual_seed(0)
    model = Autoencoder(example=Points(dim=3), latent_dim=2, width=8, contraction=0.5).double()
    x = torch.randn(4, 3).double()
    jacobian = torch.func.vmap(torch.func.jacrev(lambda row: model.infer(row[None], None)[0]))(x)
    term = model.terms(x, None, noise=Noise(0, rows=4))["contraction"]
    assert torch.allclose(term, 0.5 * jacobian.square().sum((1, 2)))
    with torch.no_grad():  # as a validation asks for it
        assert torch.allclose(model.terms(x, None, noise=Noise(0, rows=4))["contraction"], term)


def test_contraction_makes_the_code_move_less():
    x = tilted(200)
    norms = []
    for weight in (0.0, 2.0):
        torch.manual_seed(0)
        model = Autoencoder(example=Points(dim=5), latent_dim=2, width=16, depth=1, contraction=weight)
        train(model, x, steps=150, batch=200)
        norms.append(squared_jacobian(lambda some, m=model: m.infer(some, None), x.float()).mean().item())
    assert norms[1] < 0.5 * norms[0]


def test_rates_reach_their_target():
    torch.manual_seed(0)
    x = Noise(0, rows=256).normal(6).double()
    model = Autoencoder(
        example=Points(dim=6), latent_dim=10, width=32, depth=1, sparsity="kl", rate=0.1, sparsity_weight=200.0
    )
    train(model, x, steps=400, batch=256, lr=5e-3)
    rates = model.encode(x).mean(0)
    assert ((rates - 0.1).abs() < 0.02).all()  # at this weight a rate of 0.12 costs 0.4 nats


def test_a_norm_silences_units_and_top_k_leaves_k():
    x = Noise(0, rows=256).normal(6).double()
    silent = {}
    for kind, weight in (("l1", 0.0), ("l1", 1.0), ("top-k", 1.0)):
        torch.manual_seed(0)
        fields = {"sparsity": kind, "sparsity_weight": weight, "active": 3}
        model = Autoencoder(example=Points(dim=6), latent_dim=12, width=32, depth=1, **fields)
        train(model, x, steps=200, batch=256, lr=5e-3)
        silent[kind, weight] = (model.encode(x) == 0).double().mean(1)
    assert (silent["top-k", 1.0] == 9 / 12).all()
    assert silent["l1", 1.0].mean() > silent["l1", 0.0].mean() + 0.1


def hat(n: int, seed: int) -> torch.Tensor:
    """The clean surface of the toy data set: (x, y) uniform on [-4, 4]^2, z = 3 sin(2r)/(2r)."""
    ground = torch.from_numpy(np.random.default_rng(seed).uniform(-4, 4, (n, 2)))
    return torch.cat([ground, 3 * torch.sinc(2 * ground.norm(dim=1, keepdim=True) / math.pi)], 1)


@pytest.mark.slow
def test_a_code_of_two_numbers_orders_the_sombrero():
    """In units of the surface itself: standardised, its flanks are ten times as steep, and the code is crumpled."""
    torch.manual_seed(0)
    model = Autoencoder(example=Points(dim=3), latent_dim=2, width=64, depth=3)
    train(model, hat(4000, 0), steps=1500, lr=1e-2)
    held_out = hat(1000, 1)
    codes = model.encode(held_out)
    error = (model.decode(codes) - held_out).square().mean().sqrt().item() / (3 + 3 * 0.2172)  # from least to top
    order = trustworthiness(held_out[:, :2].numpy(), codes.numpy(), n_neighbors=10)
    print(f"held-out RMSE {100 * error:.2f} % of the height, trustworthiness {order:.4f}")
    assert error < 0.02
    assert order > 0.99


TABLE = Table(
    columns=(
        Column(name="size", missing=True),
        Column(name="pet", categories=("cat", "dog", "fox")),
    )
)


def examples(name: str) -> tuple:
    """A modality, and examples of it in storage form."""
    rows = Noise(0, rows=40)
    match name:
        case "points":
            return Points(dim=3), rows.normal(3).double()
        case "image":
            return Image(height=5, width=4, levels=17), (rows.uniform(1, 5, 4) * 17).to(torch.uint8)
        case "bits":
            return Image(height=5, width=4, levels=2), (rows.uniform(1, 5, 4) * 2).to(torch.uint8)
        case "table":
            cells = torch.stack([rows.normal().double(), (rows.uniform() * 3).floor().double()], 1)
            cells[::5, 0] = torch.nan
            return TABLE, cells
        case "text":
            return Text(vocabulary=tuple("abc"), length=6, stream=True), (rows.uniform(6) * 3).long()
        case _:
            return Audio(length=64, rate=100), (rows.normal(64) * 3000).to(torch.int16)


@pytest.mark.parametrize(
    ("name", "network"),
    [
        ("points", "auto"),
        ("image", "auto"),
        ("image", "conv"),
        ("bits", "mlp"),
        ("table", "auto"),
        ("text", "auto"),
        ("text", "recurrent"),
        ("text", "mlp"),
        ("audio", "auto"),
        ("audio", "conv"),
    ],
)
def test_every_modality_goes_there_and_back_under_a_condition(name: str, network):
    example, x = examples(name)
    space = Autoencoder.space_for(example, {})
    torch.manual_seed(0)
    model = Autoencoder(
        example=example,
        condition=LABEL,
        units=fit_units(example, space, x),
        latent_dim=3,
        width=16,
        depth=1,
        network=network,
        mixture=2,
        contraction=0.1,
    )
    labels = torch.arange(40) % 2
    train(model, x, steps=2, batch=40, condition=labels)
    codes = model.encode(x, labels)
    assert codes.shape == (40, 3)
    example.check(model.decode(codes, labels))
    drawn = model.sample(5, condition=1, seed=0)
    example.check(drawn)
    few = model.sample(3, condition=1, seed=0)
    # Kernels of another batch size round differently, which moves a sample of sound by one step at most.
    assert torch.allclose(few.double(), drawn[:3].double(), rtol=1e-4, atol=float(name == "audio"), equal_nan=True)
    assert len(model.sample(2, seed=0)) == 2
    y, _ = model.fitted.encode(x, noise=Noise(0, rows=40))
    given = Condition(labels, torch.ones(40, dtype=torch.bool))
    for parameter, slope in zip(
        model.parameters(),
        torch.autograd.grad(model.loss(y, given, noise=Noise(0, rows=40)).sum(), list(model.parameters())),
        strict=True,
    ):
        assert torch.isfinite(slope).all()
        assert slope.shape == parameter.shape


def test_a_text_can_be_learned_by_heart():
    example, x = examples("text")
    torch.manual_seed(0)
    model = Autoencoder(example=example, latent_dim=8, width=64, depth=1)
    train(model, x[:16], steps=200, batch=16, lr=5e-3)
    assert (model.decode(model.encode(x[:16])) == x[:16]).double().mean() > 0.95


def test_only_rates_couple_the_batch():
    kinds = ("none", "l1", "kl", "top-k")
    coupled = [Autoencoder(example=Points(dim=2), sparsity=kind).couples_batch for kind in kinds]
    assert coupled == [False, False, True, False]


def test_it_claims_no_density():
    assert not isinstance(Autoencoder(example=Points(dim=2), latent_dim=1), HasDensity)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"latent_dim": 0}, "latent_dim: got 0, expected at least 1"),
        ({"sparsity": "top-k", "active": 5, "latent_dim": 4}, "active: got 5, expected at most the latent_dim, 4"),
        ({"sparsity": "l0"}, "sparsity: got 'l0'"),
        ({"corruption": "blur"}, "corruption: got 'blur'"),
        ({"rate": 1.0}, "rate: got 1.0"),
        ({"contraction": -1.0}, "contraction: got -1.0"),
        ({"variance": "each"}, "variance: got 'each'"),
        ({"network": "unet"}, "network: got 'unet'"),
        ({"likelihood": "count"}, "likelihood: got 'count'"),
    ],
)
def test_what_cannot_be_is_refused(fields: dict, message: str):
    with pytest.raises(InputError, match=message):
        Autoencoder(example=Points(dim=3), **fields)
