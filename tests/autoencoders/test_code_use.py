"""The use of codes is counted over a whole split, and does not depend on how that is cut in batches."""

import math

import pytest
import torch

from pushforward.autoencoders.code_use import CodeUse, code_use
from pushforward.autoencoders.vqvae import VQVAE
from tests.small_data import digits


def test_the_perplexity_of_known_counts():
    use = CodeUse(4, 2)
    first = torch.tensor([0] * 4 + [1] * 2 + [2] * 2)  # p = 1/2, 1/4, 1/4: the entropy is 3/2 ln 2
    second = torch.arange(8) % 4  # even
    use.add(torch.stack([first, second], 1))
    assert use.perplexity.tolist() == pytest.approx([2**1.5, 4.0])
    assert use.share.tolist() == [0.75, 1.0]
    one = CodeUse(512, 1)
    one.add(torch.zeros(10, 3, 1, dtype=torch.int64))
    assert one.perplexity.item() == 1 and one.share.item() == 1 / 512


def test_a_batch_shows_too_little_and_a_split_shows_it_whatever_the_batches():
    data = digits(300)
    model = VQVAE(example=data.example, codes=64, width=16).eval()
    with torch.no_grad():  # untrained vectors are alike: spread the codes over what there is
        y, _ = model.fitted.encode(data.train.x, noise=None, dtype=torch.float32)
        model.quantize.codes.copy_(model._vectors(y)[torch.arange(64) * 57])
    whole, parts = (code_use(model, data.train, batch_size=size) for size in (1000, 7))
    assert torch.equal(whole.counts, parts.counts)
    assert int(whole.counts.sum()) == len(data.train) * 16
    few = CodeUse(64, 1)
    few.add(model.indices(y[:2], None))
    assert few.perplexity.item() < min(whole.perplexity.item(), math.prod((2, 16)) + 1)
