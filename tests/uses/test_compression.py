"""Files that come back bit by bit, as long as the model says, and refused when they are something else."""

import dataclasses
import math

import pytest
import torch

from pushforward.autoencoders.vae import VAE
from pushforward.autoencoders.vqvae import VQVAE
from pushforward.core.errors import InputError
from pushforward.core.modality import Image, Label, Points
from pushforward.core.noise import Noise
from pushforward.probability.baselines import Gaussian, Independent
from pushforward.transformers.gpt import GPT
from pushforward.uses.compression import compress, decompress, picture_bytes, picture_files_of
from tests.small_data import digits

DIGITS = digits(200)
GREY, X = DIGITS.example, DIGITS.train.x
BLACK_AND_WHITE = Image(height=8, width=8, levels=2)
#: The middles of the digits: a transformer reads one code at a time, and 16 are enough.
MIDDLE, MIDDLES = Image(height=4, width=4, levels=17), X[:, :, 2:6, 2:6].contiguous()


def vae(**fields) -> VAE:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return VAE(**{"example": GREY, "latent_dim": 3, "width": 16, "depth": 1, "likelihood": "auto"} | fields)


def gpt(**fields) -> GPT:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return GPT(example=MIDDLE, width=16, depth=1, heads=2, **fields)


def vqvae(**fields) -> VQVAE:
    """Codes of 4 x 4 places whose prior knows something: the tables are uneven."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = VQVAE(**{"example": GREY, "codes": 16, "code_dim": 4, "width": 16, "depth": 1} | fields)
        if isinstance(model.prior, Independent):
            model.prior.table.copy_(torch.rand_like(model.prior.table).square() + 1e-3)
            model.prior.table /= model.prior.table.sum(-1, keepdim=True)
    return model.eval()


def small_gpt(**fields) -> GPT:
    return GPT(example=Image(height=4, width=4, levels=16), width=16, depth=1, heads=2, **fields)


LOSSY = {
    "independent codes": vqvae,
    "a transformer of codes": lambda: vqvae(prior=small_gpt()),
    "two codebooks": lambda: vqvae(quantizer="residual"),
    "a grid": lambda: vqvae(quantizer="fsq"),
    "reals": lambda: vqvae(likelihood="gaussian"),
    "with classes": lambda: vqvae(condition=Label(names=("a", "b")), prior=small_gpt()),
}


@pytest.mark.parametrize("kind", LOSSY)
def test_of_a_vqvae_the_decoders_picture_comes_back_at_the_price_of_its_indices(kind):
    model = LOSSY[kind]()
    x, names = X[:150], [f"{i}.png" for i in range(150)]  # more than go through the networks together
    found = compress(model, x, names=names)
    restored = decompress(model, found.contents)
    exact = model.double()
    assert torch.equal(restored.x, exact.decode(exact.encode(x))) and restored.names == tuple(names)
    off = (restored.x.double() - x.double()).square().mean().sqrt().item()
    assert found.distortion == restored.distortion == pytest.approx(off, rel=1e-12) and off > 0
    y, _ = exact.fitted.encode(x, noise=Noise(0, rows=len(x)), dtype=torch.float64)
    with torch.no_grad():
        codes, nobody = exact.indices(y, None).flatten(1), exact.given(None, len(x))
        information = -float(exact.prior.log_likelihood(codes, nobody, noise=Noise(0, rows=len(x))).sum()) / math.log(2)
    payload = 8 * (len(found.contents) - found.header)
    # The head of the stack is written in 64 bits, of which 32 hold what a coder rounds up to.
    assert information - 1 < payload < information + 96 and found.borrowed == 0


def test_a_lossless_file_states_no_distortion():
    found = compress(vae(), X[:3])
    assert found.distortion is None and decompress(vae(), found.contents).distortion is None


MODELS = {
    "logistic": vae,
    "logistic mixture": lambda: vae(likelihood="discretised-logistic", components=3),
    "categorical": lambda: vae(likelihood="categorical", network="conv", width=32),
    "bernoulli": lambda: vae(example=BLACK_AND_WHITE),
    "with classes": lambda: vae(condition=Label(names=("a", "b"))),
    "gpt": gpt,
    "gpt with classes": lambda: gpt(condition=Label(names=("a", "b"))),
}


@pytest.mark.parametrize("kind", MODELS)
def test_images_come_back_with_their_names(kind):
    model = MODELS[kind]()
    x = {"bernoulli": (X > 7).to(torch.uint8), "gpt": MIDDLES, "gpt with classes": MIDDLES}.get(kind, X)[:20]
    names = [f"a/{i}.png" for i in range(20)]
    found = compress(model, x, names=names)
    before = torch.get_num_threads()
    restored = decompress(model, found.contents)
    assert torch.equal(restored.x, x) and restored.names == tuple(names)
    assert (found.count, found.entries) == (20, x[0].numel()) and torch.get_num_threads() == before
    assert found.bits_per_entry == 8 * len(found.contents) / x.numel()


def test_a_vae_needs_its_bound():
    """Untrained, but a bound all the same: what a chain costs is one draw of it."""
    model = vae()
    found = compress(model, X)
    payload = 8 * (len(found.contents) - found.header) - found.borrowed
    y, _ = model.fitted.encode(X, noise=Noise(0, rows=len(X)))
    with torch.no_grad():
        draws = model.log_weights(y, None, samples=100, noise=Noise(1, rows=len(X))).sum(1) / -math.log(2)
    # Four standard deviations of such a draw, and the head of the stack, which is written in 64 bits.
    assert abs(payload - float(draws.mean())) < 4 * float(draws.std()) + 64


def test_a_transformer_needs_its_likelihood():
    model = gpt()
    found = compress(model, MIDDLES)
    payload = 8 * (len(found.contents) - found.header)
    information = -float(model.log_prob(MIDDLES).sum()) / math.log(2)
    assert information - 1 < payload < information + 96 and found.borrowed == 0


def test_a_png_beside_it_holds_the_same_and_is_not_smaller_than_black_and_white_allows():
    from io import BytesIO

    import numpy as np
    from PIL import Image as Picture

    bits = (X[:9] > 7).to(torch.uint8)
    for x, example in ((bits, BLACK_AND_WHITE), (X[:9] * 15, dataclasses.replace(GREY, levels=256))):
        first = next(picture_files_of(x, example))
        shown = np.array(Picture.open(BytesIO(first)).convert("L"))
        assert (shown == (x[0, 0] * (255 // (example.levels - 1))).numpy()).all()
        apart, together = picture_bytes(x, example), picture_bytes(x, example, together=True)
        assert together < apart and picture_bytes(x, example, quality=50) > 0
    with pytest.raises(InputError, match="5 channels"):
        picture_bytes(X[:2].expand(-1, 5, -1, -1), Image(height=8, width=8, channels=5, levels=17))


@pytest.fixture(scope="module")
def a_file() -> bytes:
    return compress(vae(), X[:5]).contents


@pytest.mark.parametrize(
    ("spoil", "names"),
    [
        (lambda raw: b"", "not one that pushforward compress wrote"),
        (lambda raw: b"\x89PNG" + raw, "not one that pushforward compress wrote"),
        (lambda raw: raw[:3], "not one that pushforward compress wrote"),
        (lambda raw: raw[:6], "damaged or cut short"),
        (lambda raw: raw[:-4], "damaged or cut short"),
        (lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]), "damaged or cut short"),
        (lambda raw: raw[:20] + bytes([raw[20] ^ 255]) + raw[21:], "damaged or cut short"),
        (lambda raw: raw[:4] + b"\xff\xff\xff\xff" + raw[8:], "damaged or cut short"),
    ],
)
def test_a_file_that_is_not_what_was_written(a_file, spoil, names):
    with pytest.raises(InputError, match=names):
        decompress(vae(), spoil(a_file))


def test_another_model_is_refused(a_file):
    with pytest.raises(InputError, match="was written with the model"):
        decompress(vae(latent_dim=2), a_file)


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda: vae(likelihood="gaussian"), "needs likelihood bernoulli"),
        (lambda: vae(prior="vamp"), "needs prior normal"),
        (lambda: vae(posterior="full"), "needs posterior diagonal"),
        (lambda: VAE(example=Points(dim=2)), "compression is of images"),
        (lambda: Gaussian(example=GREY), "Gaussian gives no code, expected a vae, a gpt or a vqvae"),
    ],
)
def test_a_model_that_is_no_code(make, names):
    model = make()
    x = X[:2] if isinstance(model.example, Image) else torch.zeros(2, 2).double()
    with pytest.raises(InputError, match=names):
        compress(model, x)


def test_nothing_and_names_that_are_too_few():
    with pytest.raises(InputError, match="at least one"):
        compress(vae(), X[:0])
    with pytest.raises(InputError, match="one for each"):
        compress(vae(), X[:2], names=["a"])
