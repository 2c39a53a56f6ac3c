"""The VQ-VAE: its bound against a sum over all maps of codes, its two stages, and its prior from outside."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from pushforward.autoencoders.vqvae import VQVAE
from pushforward.cli.flags import options_of
from pushforward.core.audio import Audio
from pushforward.core.capabilities import Density
from pushforward.core.data import Batch
from pushforward.core.errors import InputError
from pushforward.core.modality import Image, Label, Points
from pushforward.core.noise import Noise
from pushforward.core.text import Text
from pushforward.flows.realnvp import RealNVP
from pushforward.probability.baselines import Gaussian, Independent
from pushforward.transformers.gpt import GPT
from pushforward.zoo import create
from tests.helpers import train
from tests.small_data import digits, points

TINY = Image(height=2, width=2, levels=2)
LABEL = Label(names=("dark", "light"))


def every(image: Image) -> Tensor:
    """All pictures of a small modality."""
    pixels = itertools.product(range(image.levels), repeat=math.prod(image.shape))
    return torch.tensor(list(pixels), dtype=torch.uint8).view(-1, *image.shape)


def tiny(**options) -> VQVAE:
    """Two codes at four places, with everything moved off its start, the prior too."""
    torch.manual_seed(0)
    model = VQVAE(example=TINY, codes=2, code_dim=3, width=16, depth=1, **options).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
        if isinstance(model.prior, Independent):
            model.prior.table.copy_(torch.rand_like(model.prior.table))
            model.prior.table /= model.prior.table.sum(-1, keepdim=True)
        vectors = model._vectors(every(TINY).double())
        model.quantize.codes.copy_(vectors[[3, 40]])
    return model


def joint(model: VQVAE) -> Tensor:
    """p(x, k) of every picture and every map of codes, 16 x 16."""
    maps = torch.tensor(list(itertools.product(range(2), repeat=4)))
    x = every(TINY).double()
    with torch.no_grad():
        theta = model.decode_theta(model._of_codes(maps))
        given = torch.stack([model.observed.log_prob(x, one.expand(16, *one.shape)) for one in theta], 1)
        return (given + model.prior.log_likelihood(maps, None, noise=Noise(0, rows=16))).exp()


@pytest.mark.parametrize("prior", [None, GPT(example=TINY, width=8, depth=1, heads=1)], ids=["independent", "gpt"])
def test_the_bound_is_one_part_of_the_sum_over_all_maps_of_codes(prior):
    model = tiny(prior=prior)
    table = joint(model)
    exact = table.sum(1)
    assert exact.sum().item() == pytest.approx(1), "it is a distribution"
    x = every(TINY)
    bound = model.log_prob(x).exp()
    chosen = (model.encode_indices(x)[..., 0] * torch.tensor([8, 4, 2, 1])).sum(1)
    assert torch.allclose(bound, table[torch.arange(16), chosen])
    assert len(chosen.unique()) > 1 and (bound < exact).all()
    assert torch.allclose(model.log_prob(x, samples=3), model.log_prob(x)), "a bound without noise"
    assert model.density() == Density("bound", "mass")


def test_samples_are_drawn_from_the_sum():
    model = tiny()
    exact, n = joint(model).sum(1), 20_000
    drawn = model.sample(n, seed=0, batch_size=n).flatten(1).long() @ torch.tensor([8, 4, 2, 1])
    share = torch.bincount(drawn, minlength=16).double() / n
    assert ((share - exact).abs() < 4 * (exact * (1 - exact) / n).sqrt()).all()


def test_the_terms_are_minus_the_bound_and_the_stages_have_their_own():
    model = tiny()
    x = every(TINY).double()
    terms = model.terms(x, None, noise=Noise(0, rows=16))
    assert torch.allclose(-sum(terms.values()), model.log_likelihood(x, None, noise=Noise(0, rows=16)))
    first = model.fit_codes(x, None, noise=Noise(0, rows=16))
    assert torch.allclose(first["reconstruction"], terms["reconstruction"])
    found = model.quantize(model._vectors(x))
    assert torch.allclose(first["quantisation"], found.loss.view(16, 4).sum(1))


def patterns(n: int) -> tuple[Tensor, float]:
    """Three pictures with shares 1/2, 1/4, 1/4, and the entropy in nats."""
    kept = every(TINY)[[3, 6, 12]]
    return kept[torch.tensor([0, 0, 1, 2]).repeat(n // 4)], 1.5 * math.log(2)


def test_a_few_patterns_are_modelled_at_their_entropy():
    """Bits of a pattern hang together, so only a prior that knows of the other places gets there."""
    x, entropy = patterns(256)
    torch.manual_seed(0)
    prior = GPT(example=TINY, width=16, depth=1, heads=2)
    model = train(
        VQVAE(example=TINY, codes=4, code_dim=4, width=32, depth=1, prior=prior), x, steps=150, batch=64, lr=1e-2
    )
    bound = model.log_prob(x).mean().item()
    independent = Independent(example=model.codes_are)
    codes = Batch(model.encode_indices(x).flatten(1))
    (figure,) = independent.solve(codes, codes, noise=Noise(0, rows=len(x)))
    print(f"bound {bound:.4f}, minus the entropy {-entropy:.4f}; codes that are independent: {-figure:.4f}")
    assert -entropy - 0.1 < bound < -entropy + 1e-6
    assert figure > entropy + 0.3


def test_the_second_stage_leaves_the_codes_alone():
    model = create("vqvae", digits(100), {"codes": 8, "width": 16})
    codes, prior = model.stages()
    assert (codes.name, prior.name, codes.share, prior.share) == ("codes", "prior", 0.5, 0.5)
    own = {id(p) for p in codes.phases[0].parameters}
    theirs = {id(p) for p in prior.phases[0].parameters}
    assert not own & theirs and own | theirs == {id(p) for p in model.parameters()}
    model.train()
    before = {name: t.clone() for name, t in model.named_buffers()}
    x = model.fitted.encode(digits(100).train.x[:8], noise=Noise(0, rows=8), dtype=model.dtype)[0]
    given = digits(100).train[torch.arange(8)].condition
    sum(model.fit_prior(x, given, noise=Noise(1, rows=8)).values()).sum().backward()
    model.after_step()
    assert all(p.grad is None for p in codes.phases[0].parameters)
    assert any(p.grad is not None for p in prior.phases[0].parameters)
    assert all(torch.equal(t, before[name]) for name, t in model.named_buffers())


def test_the_zoo_makes_the_prior_by_its_name_for_the_codes_of_the_model():
    data = digits(50)
    model = create("vqvae", data, {"codes": 8, "quantizer": "residual", "levels": 3, "width": 16})
    assert isinstance(model.prior, GPT) and model.prior.condition == data.condition
    assert model.prior.example == Image(height=4, width=4, channels=3, levels=8)
    assert model.codebook_size == 8
    plain = create("vqvae", data, {"codes": 8, "prior": "independent", "width": 16})
    assert isinstance(plain.prior, Independent) and plain.stages()[1].solve is not None
    flat = create("vqvae", points(), {"codes": 8, "places": 3, "width": 16})
    assert flat.prior.example == Image(height=1, width=3, levels=8)
    options = options_of(VQVAE, "Options")()
    assert options.prior == "gpt" and not hasattr(options, "example")
    with pytest.raises(InputError, match="model: there is no 'gtp'"):
        create("vqvae", data, {"prior": "gtp"})


def test_a_prior_for_other_codes_is_made_anew_with_its_fields():
    given = GPT(example=TINY, width=24, depth=2, heads=3)
    model = VQVAE(example=TINY, condition=LABEL, codes=5, width=16, prior=given)
    assert isinstance(model.prior, GPT) and model.prior is not given
    assert (model.prior.width, model.prior.depth, model.prior.heads) == (24, 2, 3)
    assert model.prior.example == Image(height=2, width=2, levels=5) and model.prior.condition == LABEL
    same = VQVAE(example=TINY, codes=2, width=16, prior=given)
    assert same.prior is given


@pytest.mark.parametrize("quantizer", ["codebook", "residual", "product", "fsq", "lfq"])
def test_a_saved_model_comes_back_with_its_prior_and_codes(quantizer, tmp_path):
    data = digits(60)
    torch.manual_seed(0)
    model = create("vqvae", data, {"quantizer": quantizer, "codes": 16, "width": 16, "depth": 1})
    train(model, data.train.x, steps=2, batch=16, condition=data.train.condition)
    model.save_pretrained(tmp_path)
    again = VQVAE.from_pretrained(tmp_path)
    x = data.test.x
    assert type(again.prior) is GPT and torch.equal(model.log_prob(x), again.log_prob(x))
    assert torch.equal(model.sample(3, seed=1, condition=2), again.sample(3, seed=1, condition=2))
    codes = model.encode_indices(x)
    places = model.codes_are.height * model.codes_are.width
    assert codes.shape == (len(x), places, model.quantize.count) and int(codes.max()) < model.codebook_size
    z = model.encode(x)
    assert torch.allclose(model.quantize.vectors(codes.flatten(0, 1)).view(len(x), -1), z)
    data.example.check(model.decode(z))


@pytest.mark.parametrize(
    "example",
    [
        Points(dim=3),
        Text(vocabulary=("a", "b"), length=6),
        Audio(length=40, rate=8000),
        Image(height=5, width=9, channels=3),
    ],
    ids=lambda example: type(example).__name__,
)
def test_every_kind_of_example_becomes_codes(example):
    model = VQVAE(example=example, codes=8, width=16, depth=1, halvings=3)
    x = model.sample(4, seed=0)
    example.check(x)
    assert model.encode_indices(x).shape[2] == 1 and model.log_prob(x).isfinite().all()
    loss = sum(
        model.fit_codes(model.fitted.encode(x, noise=Noise(0, rows=4))[0], None, noise=Noise(1, rows=4)).values()
    )
    loss.sum().backward()
    assert all(p.grad is not None for p in model.stages()[0].phases[0].parameters)


def test_a_class_is_drawn_on_command():
    x = torch.tensor([0, 1], dtype=torch.uint8).repeat(100)[:, None, None, None].expand(200, 1, 2, 2).contiguous()
    torch.manual_seed(0)
    model = VQVAE(example=TINY, condition=LABEL, codes=4, width=32, depth=1)
    train(model, x, steps=80, batch=64, lr=2e-2, condition=torch.arange(200) % 2)
    for code in (0, 1):
        assert (model.sample(100, condition=code, seed=0) == code).double().mean() > 0.95


def test_what_a_vqvae_cannot_be_is_refused():
    for options, message in (
        ({"code_dim": 0}, "code_dim: got 0, expected at least 1"),
        ({"halvings": -1}, "halvings: got -1"),
        ({"prior_share": 1.0}, "prior_share: got 1.0, expected a number between 0 and 1"),
        ({"quantizer": "vq"}, "quantizer: got 'vq'"),
        ({"prior": "gpt"}, "prior: got 'gpt', expected a model of codes"),
        ({"prior": RealNVP(example=Points(dim=2))}, "prior: got RealNVP, expected a model of codes"),
        ({"prior": Gaussian(example=Points(dim=2))}, "prior: got Gaussian, expected a model of codes"),
    ):
        with pytest.raises(InputError, match=message):
            VQVAE(example=TINY, **options)
