"""The monitor against a model whose information, mismatch and KL terms have closed forms."""

import json
import math

import pytest
import torch

from pushforward.autoencoders.vae import VAE
from pushforward.core.data import Rows
from pushforward.core.errors import InputError
from pushforward.core.modality import Points
from pushforward.core.noise import Noise
from pushforward.evaluation.collapse import latent_use, observe
from pushforward.evaluation.collapse_words import advice
from tests.evaluation.codes import Echo, Lens, Levels

NORMAL = Rows(Noise(0, rows=2000).normal(2).double())


def echo(gain, deviation) -> Echo:
    return Echo(example=Points(dim=2), gain=gain, deviation=deviation)


def test_information_mismatch_and_kl_are_those_of_a_gaussian_channel():
    gain, deviation = (1.0, 0.0), 0.6
    use = latent_use(echo(gain, deviation), NORMAL, rows=2000)
    # z_j = g x_j + d e: I = 1/2 log(1 + g^2/d^2), and the aggregate is N(0, g^2 + d^2).
    information = 0.5 * math.log(1 + (1 / 0.6) ** 2)
    mismatch = sum(0.5 * (v - 1 - math.log(v)) for v in (1 + 0.36, 0.36))
    assert use.information == pytest.approx(information, abs=0.06)  # deviation 0.8 over 2,000 draws, 3 errors
    assert use.mismatch == pytest.approx(mismatch, abs=0.06)
    # KL of unit j: 1/2 (g^2 E x^2 + d^2 - 1 - log d^2).
    kl = [0.5 * (g**2 + 0.36 - 1 - math.log(0.36)) for g in gain]
    assert use.kl == pytest.approx(kl, abs=0.05)  # E x^2 of 2,000 draws, 3 errors of sqrt(2 / 2000) / 2
    assert sum(use.kl) == pytest.approx(use.information + use.mismatch, abs=0.08)


def test_units_are_counted_by_variance_and_by_nats():
    use = latent_use(echo((1.0, 0.12), 1.0), NORMAL)
    assert use.active == 2  # 0.0144 is above 0.01
    assert use.active_by_kl == 1  # and worth 0.007 nats
    assert use.rows == 256 and use.needed == 2


@pytest.mark.parametrize("gain", [10.0, 0.0])
def test_under_a_prior_of_one_piece_units_are_counted_by_their_means(gain: float):
    """Nats are known of all four units together: that they come in one number does not make them one unit."""
    torch.manual_seed(0)
    vae = VAE(example=Points(dim=2), latent_dim=4, width=8, prior="mixture", prior_components=2)
    with torch.no_grad():  # the means of the first two units move with x, or none do
        last = vae.encoder.net.layers[-1]
        last.weight.mul_(gain)
        last.weight[2:4] = 0
    use = latent_use(vae, NORMAL)
    means = vae.encode(NORMAL.spread(256).x).double().var(0)
    assert len(use.kl) == 1 and use.joint and use.units == 4 and use.needed == 2
    assert use.active == use.active_by_kl == int((means > 0.01).sum()) == (2 if gain else 0)
    assert str(use).startswith(f"{use.active} of 4 units have a mean that moves with the example, all together carry")
    assert use.collapsed or gain
    seen = observe(vae, NORMAL)
    assert seen is not None and seen.record["units"] == 4 and seen.record["active_by_kl"] == use.active
    assert seen.record["kl_each"] == [] and seen.record["kl"] == pytest.approx(use.kl[0])


def test_only_what_the_model_uses_is_advised():
    fields = {"example": Points(dim=2), "latent_dim": 2, "width": 8}
    plain = advice(VAE(**fields), "...")
    assert "set free_bits to 0.1 (it is 0), or fit with remedy='auto'" in plain
    weighted = advice(VAE(**fields, objective="iwae", warm_up=0.0), "...")
    assert "set warm_up to 0.2 (it is 0), or fit" in weighted and "free_bits" not in weighted
    capacity = VAE(**fields, objective="capacity", capacity=2.0)
    assert advice(capacity, "...").endswith("set free_bits to 0.1 (it is 0) and capacity to 25 (it is 2)")
    assert capacity.ease(1) == "", "what it says about a remedy is so"
    assert "remedy" not in advice(echo((1.0, 1.0), 1.0), "...")


def test_a_capacity_is_given_time_to_rise():
    fields = {"example": Points(dim=2), "latent_dim": 2, "width": 8}
    capacity, plain = (observe(VAE(**fields, objective=name), NORMAL) for name in ("capacity", "elbo"))
    assert (capacity.settling, plain.settling) == (0.5, 0.1)


def test_information_is_at_most_the_logarithm_of_the_examples():
    use = latent_use(echo((1.0, 1.0), 1e-3), NORMAL)
    assert use.information == pytest.approx(math.log(256), abs=1e-3)


def test_a_code_that_says_less_than_a_bit_has_collapsed():
    told = latent_use(echo((1.0, 1.0), 0.5), NORMAL)
    idle = latent_use(echo((0.05, 0.05), 1.0), NORMAL)
    assert not told.collapsed and idle.collapsed
    assert "0 of 2 units" in str(idle)


def test_the_sentence_says_what_to_set():
    lens = Lens(example=Points(dim=2), beta=4.0)
    with torch.no_grad():
        lens.into.zero_()
    seen = observe(lens, NORMAL)
    assert seen is not None and seen.collapsed
    assert seen.said.startswith("posterior collapse: 0 of 1 units carry 0.00 nats per example")
    assert "set beta to 1 (it is 4)" in seen.said and "remedy" in seen.said
    assert seen.record["active"] == 0 and json.loads(json.dumps(seen.record)) == seen.record


def test_a_healthy_code_is_recorded_without_a_word():
    seen = observe(echo((1.0, 1.0), 0.3), NORMAL)
    assert seen is not None and not seen.collapsed and seen.said == ""
    assert seen.record["active_by_kl"] == 2 and len(seen.record["kl_each"]) == 2


def test_codes_used_evenly_have_the_perplexity_of_the_codebook():
    seen = observe(Levels(example=Points(dim=2)), NORMAL)
    assert seen is not None and not seen.collapsed
    assert seen.record["used"] == 1.0
    assert seen.record["perplexity"] == pytest.approx(8, abs=0.1)  # entropy bias (K - 1) / 2n of 2,048 counts: 0.002


def test_a_codebook_of_which_one_code_is_used_has_collapsed():
    seen = observe(Levels(example=Points(dim=2), stuck=True), NORMAL)
    assert seen is not None and seen.collapsed
    assert seen.record["used"] == 1 / 8 and seen.record["perplexity"] == pytest.approx(1)
    assert seen.said.startswith("codebook collapse: 12 % of the 8 codes occur")


def test_a_split_too_small_to_tell_is_passed_over_or_refused():
    one = Rows(torch.zeros(1, 2).double())
    assert observe(echo((1.0, 1.0), 1.0), one) is None
    with pytest.raises(InputError, match="^split: got 1 examples, expected at least 2"):
        latent_use(echo((1.0, 1.0), 1.0), one)
