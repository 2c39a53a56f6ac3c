import math

import pytest
import torch
from torch import nn

from pushforward.core.errors import InputError
from pushforward.nn.attention import SelfAttention, attend


@pytest.mark.parametrize(("new", "seen"), [(1, 1), (1, 7), (7, 7), (3, 7), (6, 7)])
def test_attention_is_its_formula(new: int, seen: int):
    query = torch.randn(2, 3, new, 4, dtype=torch.float64)
    key, value = torch.randn(2, 2, 3, seen, 4, dtype=torch.float64)
    scores = query @ key.mT / math.sqrt(4)
    later = torch.arange(seen) > torch.arange(seen - new, seen)[:, None]
    expected = torch.softmax(scores.masked_fill(later, -math.inf), dim=-1) @ value
    assert torch.allclose(attend(query, key, value), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_it_is_multi_head_attention_of_torch_with_the_same_weights(heads: int):
    ours = SelfAttention(16, heads=heads).double()
    theirs = nn.MultiheadAttention(16, heads, bias=False, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.qkv.weight)
        theirs.out_proj.weight.copy_(ours.out.weight)
    x = torch.randn(3, 6, 16, dtype=torch.float64)
    later = torch.ones(6, 6, dtype=torch.bool).triu(1)
    expected, _ = theirs(x, x, x, attn_mask=later, need_weights=False)
    assert torch.allclose(ours(x), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("width", "heads"), [(8, 3), (6, 2), (8, 8), (8, 0)])
def test_heads_that_do_not_fit_are_refused(width: int, heads: int):
    with pytest.raises(InputError, match=f"heads: got {heads} for a width of {width}"):
        SelfAttention(width, heads=heads)
