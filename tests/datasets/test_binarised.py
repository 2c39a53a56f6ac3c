"""Dynamic binarisation: bits with the right probabilities, new ones for every update, fixed ones to judge on."""

import math

import pytest
import torch

from pushforward.core.data import Rows
from pushforward.core.errors import InputError
from pushforward.core.noise import Noise
from pushforward.datasets.binarised import Binarised, binarise
from pushforward.datasets.load import load_data


def ramp(n: int, levels: int = 256) -> Rows:
    """n images of the grey levels in order, with a label."""
    x = torch.arange(levels, dtype=torch.uint8).view(1, 1, 1, levels).expand(n, -1, -1, -1)
    return Rows(x.contiguous(), torch.arange(n))


def test_a_bit_has_its_grey_level_as_probability():
    n = 20_000
    split = Binarised(ramp(1), levels=256)
    share = split.fresh(torch.zeros(n, dtype=torch.int64), Noise(3, 7, rows=n)).x.double().mean(0).flatten()
    known = torch.arange(256).double() / 255
    # Five standard errors: of 256 levels, the worst is past four once in sixty seeds.
    assert ((share - known).abs() <= 5 * (known * (1 - known) / n).sqrt()).all()
    assert share[0] == 0 and share[-1] == 1


def test_looked_up_bits_stay_and_those_of_an_update_are_its_own():
    split, rows = Binarised(ramp(9000, 4), levels=4), torch.tensor([8999, 0, 17])
    assert torch.equal(split[rows].x, split[torch.arange(9000)].x[rows])
    assert split[rows].condition.value.tolist() == split.fresh(rows, Noise(0, 1, rows=3)).condition.value.tolist()
    first, again, other = (split.fresh(rows, Noise(0, step, rows=3)).x for step in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    # 9,000 rows are drawn in three chunks: the mean of each is that of the levels, 1/2 (four standard errors).
    for part in split.bits.split(3000):
        assert part.double().mean().item() == pytest.approx(0.5, abs=4 * math.sqrt(0.14 / (3000 * 4)))


def test_splits_have_noise_of_their_own_and_a_digest_of_their_own():
    one, two = (Binarised(ramp(500), levels=256, step=step) for step in (0, 1))
    assert not torch.equal(one.bits, two.bits) and one.digest() != two.digest()
    assert one.digest() == Binarised(ramp(500), levels=256).digest()


def test_what_are_no_images_is_refused():
    with pytest.raises(InputError, match="only images can be binarised"):
        binarise(load_data("moons"))


@pytest.mark.parametrize("name", ["mnist", pytest.param("fashion-mnist", marks=pytest.mark.slow)])
def test_the_named_ones_are_read_from_the_published_files(name, shared_data, monkeypatch):
    monkeypatch.setenv("PUSHFORWARD_DATA", str(shared_data))
    grey, data = load_data(name), load_data(f"{name}-binary")
    assert (len(data.train), len(data.valid), len(data.test)) == (54_000, 6_000, 10_000)
    assert data.example.levels == 2 and data.name == f"{name}-binary" and data.condition == grey.condition
    rows = torch.arange(2000)
    batch, levels = data.test[rows], grey.test[rows]
    assert batch.x.max() == 1 and torch.equal(batch.condition.value, levels.condition.value)
    share = levels.x.double() / 255
    # The bits of 1.6 million pixels against the sum of their probabilities, four standard errors.
    error = (share * (1 - share)).sum().sqrt().item()
    assert batch.x.double().sum().item() == pytest.approx(share.sum().item(), abs=4 * error)
    assert data.recipe == {"source": f"{name}-binary"}
    again = load_data(**data.recipe, seed=1)
    assert torch.equal(again.test.bits, data.test.bits) and again.fingerprint != data.fingerprint
