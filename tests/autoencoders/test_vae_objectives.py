"""Every objective of the variational autoencoder on the linear Gaussian model, whose solution is known."""

import math

import pytest
import torch

from pushforward.autoencoders.posteriors import HIGHEST, LOWEST, bounded
from pushforward.autoencoders.vae import VAE
from pushforward.core.errors import InputError
from pushforward.core.modality import Image, Label, Points
from pushforward.core.noise import Noise
from pushforward.flows.realnvp import RealNVP
from pushforward.probability.baselines import Gaussian
from pushforward.probability.ppca import LinearGaussian, fit_ppca
from tests.autoencoders.test_vae import linear_data
from tests.helpers import train

#: A raw number r that ``bounded`` takes to a log-variance, as a multiple of the parameter.
STRIDE = 30.0


def raw(log_variance: torch.Tensor) -> torch.Tensor:
    """The parameter whose log-variance this is."""
    limit = torch.where(log_variance < 0, -LOWEST, HIGHEST)
    found = limit * torch.atanh(log_variance / limit) / STRIDE
    assert torch.allclose(bounded(STRIDE * found), log_variance)
    return found


def solved(x: torch.Tensor, latent_dim: int, **fields) -> tuple[VAE, LinearGaussian]:
    """A linear VAE with the weights of the closed form, and the posterior that is exact for them."""
    known = fit_ppca(x, latent_dim)
    linear = {"network": "linear", "variance": "shared", "posterior": "full"}
    model = VAE(example=Points(dim=x.shape[1]), latent_dim=latent_dim, **linear, **fields).double()
    (encode,), (decode,) = model.encoder.net.layers, model.decoder.net.net.layers
    inner = known.weights.T @ known.weights + known.variance * torch.eye(latent_dim).double()
    scale = torch.linalg.cholesky(known.variance * torch.linalg.inv(inner))
    below = torch.tril_indices(latent_dim, latent_dim, offset=-1)
    with torch.no_grad():
        decode.weight.copy_(known.weights)
        decode.bias.copy_(known.mean)
        model.decoder.log_v.copy_(raw(torch.tensor(known.variance, dtype=torch.float64).log()))
        encode.weight.copy_(torch.linalg.solve(inner, known.weights.T))
        encode.bias.copy_(-encode.weight @ known.mean)
        model.head.spread.copy_(torch.cat((raw(2 * scale.diagonal().log()), scale[below[0], below[1]])))
    return model, known


@pytest.mark.parametrize("objective", ["elbo", "iwae-dreg", "iwae-plain", "mixture", "elbo-3"])
def test_the_closed_form_is_where_every_bound_is_tight_and_stands_still(objective: str):
    fields = {
        "elbo": {},
        "elbo-3": {"samples": 3},
        "iwae-dreg": {"objective": "iwae", "samples": 5},
        "iwae-plain": {"objective": "iwae", "samples": 5, "gradient": "plain"},
        "mixture": {"prior": "mixture", "prior_components": 1},
    }[objective]
    x = linear_data(400, 5, 2)
    model, known = solved(x, 2, **fields)
    if model.mixture is not None:  # one part, the standard normal
        with torch.no_grad():
            model.mixture.means.zero_()
            model.mixture.log_variances.zero_()
    exact = known.log_likelihood
    # Under the exact posterior p(x, z) / q(z | x) is p(x) whatever z: a single draw has no noise at all.
    assert model.log_prob(x, seed=3, batch_size=400).mean().item() == pytest.approx(exact, abs=1e-9)
    loss = model.loss(x, noise=Noise(0, rows=400))
    noisy = objective.startswith("elbo")  # its KL is in closed form, and the draw is not that of the reconstruction
    error = 4 * loss.std().item() / math.sqrt(400) if noisy else 1e-9
    assert loss.mean().item() == pytest.approx(-exact, abs=error)
    loss.mean().backward()
    if objective == "iwae-dreg":  # d log w / dz is zero, draw by draw
        assert max(p.grad.abs().max().item() for p in (*model.encoder.parameters(), model.head.spread)) < 1e-12
        # Noise of variance 1/4 gives a draw's gradient a spread of about 2: four standard errors over 2,000 draws.
        assert model.decoder.net.net.layers[0].weight.grad.abs().max().item() < 4 * 2 / math.sqrt(2000)


@pytest.mark.parametrize(
    "fields",
    [
        {"posterior": "full"},
        {"objective": "iwae", "samples": 4},
        pytest.param({"objective": "iwae", "samples": 4, "gradient": "plain"}, marks=pytest.mark.slow),
        pytest.param({"posterior": "iaf"}, marks=pytest.mark.slow),
        pytest.param({"prior": "mixture", "prior_components": 3}, marks=pytest.mark.slow),
        pytest.param({"prior": "vamp", "prior_components": 10}, marks=pytest.mark.slow),
        pytest.param({"objective": "iwae", "samples": 4, "posterior": "iaf"}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_every_objective_that_is_a_bound_finds_probabilistic_pca(fields):
    """Its value within a twentieth of a nat, and its subspace within a degree."""
    x = linear_data(200, 4, 2)
    torch.manual_seed(0)
    model = VAE(example=Points(dim=4), latent_dim=2, network="linear", variance="shared", **fields)
    richer = "prior" in fields  # a mixture of Gaussians fits 200 examples of a Gaussian a little better than it does
    train(model, x, steps=500, batch=len(x), lr=0.02)
    known = fit_ppca(x, 2)
    gap = model.log_prob(x, samples=500, batch_size=len(x)).mean().item() - known.log_likelihood
    assert -0.05 < gap < (0.1 if richer else 0.01)
    weights = model.decoder.net.net.layers[0].weight.detach().double()
    angle = principal_angle(weights, known.weights)
    print(f"{fields}: {gap:+.4f} nats, largest principal angle {angle:.2f} degrees")
    # A mixture has more to say than the covariance: its best subspace may be another.
    assert angle < (5.0 if richer else 1.0)


def principal_angle(a: torch.Tensor, b: torch.Tensor) -> float:
    """The largest angle between two subspaces, in degrees."""
    cosines = torch.linalg.svdvals(torch.linalg.qr(a)[0].T @ torch.linalg.qr(b)[0])
    return math.degrees(math.acos(min(1.0, cosines.min().item())))


def test_the_terms_of_an_objective_add_up_to_what_it_says():
    x = linear_data(50, 4, 2)
    plain, _ = solved(x, 2)
    parts = plain.terms(x, None, noise=Noise(0, rows=50))

    def terms(**fields) -> dict[str, torch.Tensor]:
        other = VAE(example=Points(dim=4), latent_dim=2, network="linear", variance="shared", **fields).double()
        fitting = {n: t for n, t in plain.state_dict().items() if n != "head.spread" or fields.get("posterior")}
        other.load_state_dict(fitting, strict=False)
        return other.terms(x, None, noise=Noise(0, rows=50))

    full = {"posterior": "full"}
    assert torch.allclose(terms(beta=3.0, **full)["kl"], 3 * parts["kl"])
    capacity = terms(objective="capacity", gamma=2.0, capacity=1.0, **full)
    assert torch.allclose(capacity["capacity"], 2 * (parts["kl"] - 1).abs())
    mmd = terms(objective="mmd", gamma=2.0, beta=0.5, **full)
    assert torch.allclose(mmd["kl"], 0.5 * parts["kl"]) and (mmd["mmd"] > 0).all()
    free = terms(free_bits=50.0, **full)
    assert torch.allclose(free["kl"], torch.full_like(free["kl"], 100.0)), "two units of 50"
    one, four = terms(objective="beta-tc"), terms(objective="beta-tc", beta=4.0)
    assert (one["total_correlation"] == 0).all() and torch.allclose(one["kl"], four["kl"])
    assert four["total_correlation"].abs().max() > 0


def test_warm_up_and_remedy_weigh_the_kl():
    model = VAE(example=Points(dim=3), latent_dim=2, width=8, beta=4.0, warm_up=0.2)
    x = torch.randn(10, 3)

    def weight() -> float:
        with torch.no_grad():
            kl = model.posterior_of(x, None).kl_each().sum(1)
            return float((model.terms(x, None, noise=Noise(0, rows=10))["kl"] / kl).mean())

    model.progress = 0.1
    assert weight() == pytest.approx(2.0)
    assert model.ease(1) == "beta=1, warm_up=0.5"
    assert weight() == pytest.approx(0.2)
    assert model.ease(2) == "beta=1, warm_up=0.5, free_bits=0.1" and weight() > 0.2
    assert model.beta == 4.0, "what was asked for stays on record"


def test_a_weighted_kl_term_has_its_own_doubly_reparameterised_gradient():
    """Beside the plain one, over 40 batches of a thousand draws; without the weight in it, it points elsewhere."""
    grads = {}
    for gradient in ("plain", "dreg"):
        torch.manual_seed(0)
        fields = {"objective": "iwae", "samples": 3, "gradient": gradient, "beta": 3.0}
        model = VAE(example=Points(dim=2), latent_dim=1, width=8, **fields).double()
        bias = model.encoder.net.layers[-1].bias
        x = torch.tensor([[1.5, -1.0]]).double().expand(1000, 2)
        losses = (model.loss(x, noise=Noise(0, step, rows=1000)).mean() for step in range(40))
        grads[gradient] = torch.stack([torch.autograd.grad(loss, bias)[0] for loss in losses])
    plain, doubly = grads.values()
    error = ((plain.var(0) + doubly.var(0)) / 40).sqrt()
    assert ((plain.mean(0) - doubly.mean(0)).abs() < 4 * error).all()


def test_free_bits_are_those_of_every_unit_even_if_the_prior_has_no_units():
    model = VAE(example=Points(dim=3), latent_dim=4, width=8, prior="mixture", prior_components=2, free_bits=50.0)
    kl = model.terms(torch.randn(10, 3), None, noise=Noise(0, rows=10))["kl"]
    assert torch.equal(kl, torch.full((10,), 200.0))


def test_a_remedy_names_no_free_bits_where_there_are_none():
    model = VAE(example=Points(dim=3), latent_dim=2, width=8, objective="iwae", samples=2)
    assert model.ease(2) == "beta=1, warm_up=0.5"


def test_a_capacity_has_nothing_to_ease_and_stays_as_it_is():
    model = VAE(example=Points(dim=3), latent_dim=2, width=8, objective="capacity", capacity=1.0)
    x = torch.randn(10, 3)
    before = model.loss(x, noise=Noise(0, rows=10))
    assert model.ease(1) == model.ease(2) == ""
    assert torch.equal(model.loss(x, noise=Noise(0, rows=10)), before)


@pytest.mark.parametrize("objective", ["beta-tc", "mmd"])
def test_terms_of_a_batch_are_averaged_over_all_draws(objective: str):
    torch.manual_seed(0)
    model = VAE(example=Points(dim=3), latent_dim=2, width=8, objective=objective, beta=4.0, samples=40)
    one = VAE(example=Points(dim=3), latent_dim=2, width=8, objective=objective, beta=4.0)
    one.load_state_dict(model.state_dict())
    x, name = torch.randn(20, 3), "mmd" if objective == "mmd" else "total_correlation"
    found = {
        m.samples: torch.stack([m.terms(x, None, noise=Noise(s, rows=20))[name].mean() for s in range(30)])
        for m in (model, one)
    }
    assert found[40].mean().item() == pytest.approx(found[1].mean().item(), abs=4 * found[1].std().item() / 30**0.5)
    assert found[40].std() < 0.5 * found[1].std()  # the root of 40 draws is a sixth


def test_the_importance_bound_does_not_depend_on_the_batch_and_grows():
    torch.manual_seed(0)
    model = VAE(example=Image(height=6, width=6, levels=2), latent_dim=3, width=16).double()
    x = (torch.rand(70, 1, 6, 6) < 0.4).to(torch.uint8)
    whole, parts = (model.log_prob(x, samples=37, batch_size=size) for size in (70, 9))
    assert torch.allclose(whole, parts)
    bounds = [model.log_prob(x, samples=k).mean().item() for k in (1, 16, 200)]
    assert bounds == sorted(bounds)


def test_a_flow_made_for_another_condition_is_refused():
    label, other = Label(names=("a", "b")), Label(names=("a", "b", "c"))

    def vae(condition: Label | None, of_flow: Label | None) -> VAE:
        flow = RealNVP(example=Points(dim=2), condition=of_flow, width=4)
        return VAE(example=Points(dim=3), condition=condition, latent_dim=2, width=4, prior="flow", flow=flow)

    for condition, of_flow in ((None, label), (label, other)):
        with pytest.raises(InputError, match="^flow: got RealNVP, which was made for another condition than this mod"):
            vae(condition, of_flow)
    for condition, of_flow in ((None, None), (label, label), (label, None)):
        assert vae(condition, of_flow).sample(2, seed=0).shape == (2, 3)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"prior": "vamp", "posterior": "full"}, "posterior: got 'full', prior='vamp' accepts 'diagonal'"),
        ({"objective": "beta-tc", "posterior": "iaf"}, "posterior: got 'iaf', objective='beta-tc' accepts 'diagonal'"),
        ({"prior": "flow"}, "flow: got None, prior='flow' needs a model of points of 2 numbers"),
        ({"flow": RealNVP(example=Points(dim=2))}, "flow: got RealNVP, which only prior='flow' uses"),
        ({"prior": "flow", "flow": RealNVP(example=Points(dim=3))}, "flow: got RealNVP, prior='flow' needs"),
        (
            {"prior": "flow", "flow": Gaussian(example=Points(dim=2))},
            "flow: got Gaussian, which is fitted in closed form",
        ),
        (
            {"objective": "iwae", "gradient": "dreg", "posterior": "iaf"},
            "gradient: got 'dreg', posterior='iaf' accepts",
        ),
        ({"beta": math.inf}, "beta: got inf, expected a finite number"),
        (
            {"objective": "capacity", "beta": 2.0},
            "beta: got 2.0, which only objective='elbo', 'iwae', 'beta-tc' or 'mmd' uses",
        ),
        ({"objective": "capacity", "warm_up": 0.3}, "warm_up: got 0.3, which only objective="),
        ({"objective": "capacity", "cycles": 2}, "cycles: got 2, which only objective="),
        ({"gamma": 5.0}, "gamma: got 5.0, which only objective='mmd' or 'capacity' uses"),
        ({"objective": "mmd", "capacity": 5.0}, "capacity: got 5.0, which only objective='capacity' uses"),
        ({"prior_components": 5}, "prior_components: got 5, which only prior='mixture' or 'vamp' uses"),
        ({"gradient": "plain"}, "gradient: got 'plain', which only objective='iwae' uses"),
        ({"objective": "iwae", "free_bits": 0.1}, "free_bits: got 0.1, which only objective='elbo', 'beta-tc', "),
        ({"absent": "marginal"}, "absent: got 'marginal', summing over labels needs a class label"),
        ({"warm_up": 1.5}, "warm_up: got 1.5, expected a share from 0 to 1"),
        ({"samples": 0}, "samples: got 0, expected at least 1"),
        ({"objective": "vae"}, "objective: got 'vae', expected 'elbo', 'iwae', 'beta-tc', 'mmd' or 'capacity'"),
        ({"components": 2}, "components: got 2, the gaussian likelihood accepts 1"),
    ],
    ids=lambda value: "" if isinstance(value, str) else str(list(value)),
)
def test_what_does_not_go_together_is_refused(fields, message: str):
    with pytest.raises(InputError, match=message):
        VAE(example=Points(dim=2), latent_dim=2, **fields)
    if "absent" in fields:
        label = Label(names=("a", "b"))
        VAE(example=Points(dim=2), condition=label, **fields)
        with pytest.raises(InputError, match="gradient: got 'dreg', absent='marginal' accepts 'plain'"):
            VAE(example=Points(dim=2), condition=label, objective="iwae", gradient="dreg", **fields)
