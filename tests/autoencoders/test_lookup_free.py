"""Grids without a codebook: round trips between indices and vectors, gradients, and entropies by enumeration."""

import itertools
import math

import pytest
import torch

from pushforward.autoencoders.lookup_free import (
    DECAY,
    EVERY,
    FiniteScalar,
    LookupFree,
    Whitening,
    each_entropy,
    even_levels,
    mean_entropy,
)
from pushforward.core.errors import InputError
from pushforward.core.noise import Noise


@pytest.mark.parametrize("quantizer", [FiniteScalar((8, 8, 8)), FiniteScalar((5, 4, 3)), LookupFree(9)])
def test_every_index_is_one_vector_and_comes_back(quantizer):
    quantizer.eval()
    indices = torch.arange(quantizer.size)[:, None]
    vectors = quantizer.vectors(indices)
    assert len(vectors.unique(dim=0)) == quantizer.size and vectors.shape == (quantizer.size, quantizer.dim)
    # A grid of [-1, 1] is reached from its arctanh; the ends, from far out.
    z = vectors.clamp(-0.999999, 0.999999).atanh()
    found = quantizer(z)
    assert torch.equal(found.indices, indices)
    assert torch.allclose(found.vectors, vectors, atol=1e-6)


def test_every_entry_goes_to_its_nearest_level():
    quantizer = FiniteScalar((4, 7)).eval()
    z = 2 * Noise(0, rows=500).normal(2)
    levels = [torch.linspace(-1, 1, 4), torch.linspace(-1, 1, 7)]
    found = quantizer(z).vectors
    for entry, grid in enumerate(levels):
        nearest = grid[(z[:, entry].tanh()[:, None] - grid).abs().argmin(1)]
        assert torch.allclose(found[:, entry], nearest, atol=1e-6)


def test_gradients_pass_the_rounding_as_if_it_were_not_there():
    z = Noise(0, rows=20).normal(3).requires_grad_()
    (through,) = torch.autograd.grad(FiniteScalar((8, 5, 5)).eval()(z).vectors.sum(), z)
    assert torch.allclose(through, 1 - z.detach().tanh() ** 2)
    (through,) = torch.autograd.grad(LookupFree(3).eval()(z).vectors.sum(), z)
    assert torch.equal(through, torch.ones_like(z))


def test_entropies_agree_with_a_list_of_all_codes():
    logits = 2 * Noise(0, rows=30).normal(4).double()
    bits = torch.tensor(list(itertools.product((0.0, 1.0), repeat=4))).double()
    p = logits.sigmoid()[:, None]
    joint = (bits * p + (1 - bits) * (1 - p)).prod(2)  # 30 x 16
    assert torch.allclose(joint.sum(1), torch.ones(30).double())
    assert torch.allclose(each_entropy(logits), -(joint * joint.log()).sum(1))
    mean = joint.mean(0)
    assert torch.allclose(mean_entropy(logits), -(mean * mean.log()).sum())


def test_more_than_nine_bits_are_bounded_by_groups():
    logits = Noise(0, rows=50).normal(12).double()
    whole = mean_entropy(logits[:, :9]) + mean_entropy(logits[:, 9:])
    assert torch.allclose(mean_entropy(logits), whole)


def test_the_loss_of_a_lookup_free_quantiser_wants_sure_and_even_codes():
    sure = 3.0 * (2 * torch.tensor(list(itertools.product((0.0, 1.0), repeat=3))) - 1)
    quantizer = LookupFree(3, commitment=0.0)
    quantizer.whiten = torch.nn.Identity()
    # All eight codes once, each certain: E H = 0, H[E] = 3 ln 2.
    assert quantizer(sure).loss.mean().item() == pytest.approx(-3 * math.log(2), abs=1e-3)
    assert quantizer(sure[:1].expand(8, 3)).loss.mean().item() == pytest.approx(0, abs=1e-3)
    assert quantizer.couples_batch and not FiniteScalar((2, 2)).couples_batch
    near = LookupFree(3, entropy=0.0).eval()(sure)
    assert torch.allclose(near.loss, torch.full((8,), 0.25 * 3 * 4.0))


@pytest.mark.parametrize(
    ("codes", "levels"), [(512, (8, 8, 8)), (64, (8, 8)), (8, (8,)), (1024, (11, 9, 9)), (3, (3,)), (4096, (8,) * 4)]
)
def test_levels_come_up_to_the_number_of_codes(codes, levels):
    found = even_levels(codes)
    assert math.prod(found) <= codes and math.prod(found) > 0.8 * codes
    assert max(found) - min(found) <= 1
    if math.prod(levels) == codes:
        assert found == levels


def test_what_a_grid_cannot_be_is_refused():
    for made, message in (
        (lambda: FiniteScalar(()), "levels: got"),
        (lambda: FiniteScalar((1, 3)), "levels: got"),
        (lambda: LookupFree(0), "dim: got 0, expected 1 to 30 bits"),
        (lambda: LookupFree(3, entropy=-1.0), "entropy: got -1.0"),
        (lambda: even_levels(1), "codes: got 1"),
    ):
        with pytest.raises(InputError, match=message):
            made()


@pytest.mark.parametrize("quantizer", [FiniteScalar((8, 8, 8)), LookupFree(9)])
def test_vectors_in_a_corner_are_spread_over_the_grid(quantizer):
    """Far from 0, narrow, and nearly on a line; the running averages follow them when they move."""
    mix = 0.01 * (torch.eye(quantizer.dim) + 0.9)
    z = Noise(0, rows=20_000).normal(quantizer.dim) @ mix
    # A code has 39 of the 20,000 on average and, by the shape of a normal, at least 20.
    for move in (3.0, -2.0):
        for _ in range(200):
            quantizer.train()(z[:500] + move)
            quantizer.learn()
        used = quantizer.eval()(z + move).indices.unique()
        assert len(used) == quantizer.size
    eye = quantizer.whiten(z + move).T.cov()
    # 500 vectors know a covariance of one to 4 sqrt(2 / 500), and the averages have 0.97^200 = 2e-3 of the move left.
    assert torch.allclose(eye, torch.eye(quantizer.dim), atol=0.3)


def test_whitening_looks_now_and_then_and_forgets_as_much_as_it_would_at_every_step():
    whiten = Whitening(2).double()
    start = Noise(0, rows=400).normal(2).double()
    whiten(start)
    mean, moved = start.mean(0), start + 10
    for step in range(1, 3 * EVERY + 1):
        whiten(moved)
        whiten.learn()
        whiten.learn()  # nothing was seen since
        # By the looks, what is left of the first mean is the power of the memory that steps would have left.
        left = DECAY ** (step - step % EVERY)
        assert torch.allclose(whiten.mean, mean + 10 * (1 - left))
    still = {name: t.clone() for name, t in whiten.state_dict().items()}
    whiten.eval()(start - 50)
    whiten.learn()
    assert all(torch.equal(t, still[name]) for name, t in whiten.state_dict().items()), "use leaves no trace"


def test_a_whitening_that_was_stopped_looks_at_the_same_steps():
    whole, first, then = (Whitening(3) for _ in range(3))
    steps = [Noise(step, rows=50).normal(3) + step for step in range(3 * EVERY)]

    def learn(whiten, some):
        for z in some:
            whiten(z)
            whiten.learn()

    learn(whole, steps)
    learn(first, steps[: EVERY + 3])
    then.load_state_dict(first.state_dict())
    learn(then, steps[EVERY + 3 :])
    assert all(torch.equal(a, b) for a, b in zip(whole.buffers(), then.buffers(), strict=True))


def test_whitening_in_single_precision_is_right_far_from_zero():
    """Squares of vectors at 1000 +- 0.1 would lose all digits; the covariance is taken about the mean."""
    z = 1000 + 0.1 * Noise(0, rows=4000).normal(3)
    covariance = Whitening(3)(z).T.cov()
    # A float32 at 1000 has steps of 6e-5, a share of 6e-4 of the deviation; FLAT adds 1e-4 to the variance.
    assert torch.allclose(covariance, torch.eye(3), atol=5e-3)


def test_whitening_without_variance_is_harmless():
    quantizer = FiniteScalar((8, 8))
    found = quantizer(torch.ones(5, 2))
    quantizer.learn()
    assert found.vectors.isfinite().all() and quantizer(torch.ones(5, 2)).vectors.isfinite().all()
