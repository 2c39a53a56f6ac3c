"""Quantisers by name."""

import pytest
import torch

from pushforward.autoencoders.quantizers import code_counts, quantizer_of
from pushforward.core.errors import InputError

NAMES = ("codebook", "residual", "product", "fsq", "lfq")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("codes", [2, 100, 512])
def test_a_quantiser_has_the_counts_that_are_said_before_it_is_made(name, codes):
    quantizer = quantizer_of(name, codes=codes, dim=6, levels=3)
    assert (quantizer.size, quantizer.count) == code_counts(name, codes=codes, levels=3)
    assert codes / 2 < quantizer.size <= codes
    found = quantizer.eval()(torch.randn(7, quantizer.dim))
    assert found.vectors.shape == (7, quantizer.dim) and found.loss.shape == (7,)
    assert found.indices.shape == (7, quantizer.count) and found.indices.dtype == torch.int64


def test_what_cannot_be_made_is_refused():
    for options, message in (
        ({"name": "vq"}, "quantizer: got 'vq', expected 'codebook', 'residual', 'product', 'fsq' or 'lfq'"),
        ({"codes": 1}, "codes: got 1, expected at least 2"),
        ({"levels": 0}, "levels: got 0, expected at least 1"),
        ({"name": "product", "levels": 4}, "levels: got 4 groups of vectors of length 6, expected a divisor of it"),
    ):
        with pytest.raises(InputError, match=message):
            quantizer_of(**{"name": "codebook", "codes": 8, "dim": 6, **options})
