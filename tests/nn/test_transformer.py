import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pushforward.nn.transformer import Block, Transformer

SPLITS = {
    "one by one": [1] * 12,
    "prompt, then one by one": [7, 1, 1, 1, 1, 1],
    "in pieces": [2, 5, 1, 4],
    "at once": [12],
}


def stepped(net: Transformer, x: torch.Tensor, sizes: list[int]) -> torch.Tensor:
    cache = net.cache(batch=len(x), length=sum(sizes))
    return torch.cat([net.step(piece, cache) for piece in x.split(sizes, dim=1)], dim=1)


@pytest.mark.parametrize("sizes", SPLITS.values(), ids=SPLITS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_the_cache_changes_nothing(dtype: torch.dtype, tolerance: float, sizes: list[int]):
    """Outputs are normalised, so of size one: the tolerance is relative."""
    torch.manual_seed(0)
    net, x = Transformer(32, depth=3, heads=4).to(dtype), torch.randn(3, 12, 32, dtype=dtype)
    assert torch.allclose(stepped(net, x, sizes), net(x), rtol=0, atol=tolerance)


def test_steps_run_in_inference_mode_and_keep_no_graph():
    net, x = Transformer(8, depth=1, heads=2), torch.randn(1, 3, 8)
    outside = stepped(net, x, [1, 2])
    assert not outside.requires_grad
    with torch.inference_mode():
        assert torch.equal(stepped(net, x, [1, 2]), outside)


def test_a_full_cache_says_so():
    net = Transformer(8, depth=1, heads=2)
    cache = net.cache(batch=1, length=3)
    net.step(torch.zeros(1, 2, 8), cache)
    with pytest.raises(ValueError, match="got 2 positions, the cache has room for 1 more"):
        net.step(torch.zeros(1, 2, 8), cache)
    assert cache.length == 2  # nothing was written


def test_outputs_do_not_depend_on_later_inputs():
    net, x = Transformer(16, depth=2, heads=2).double(), torch.randn(1, 8, 16, dtype=torch.float64)
    expected = net(x)
    for t in range(1, 8):
        changed = x.clone()
        changed[:, t:] = torch.randn(8 - t, 16, dtype=torch.float64)
        y = net(changed)
        assert torch.allclose(y[:, :t], expected[:, :t], rtol=0, atol=1e-12)
        assert (y[:, t] - expected[:, t]).abs().max() > 1e-3  # but on the input at their own position they do


def test_the_order_of_earlier_inputs_counts():
    net, x = Transformer(16, depth=1, heads=2).double(), torch.randn(1, 5, 16, dtype=torch.float64)
    swapped = x[:, [1, 0, 2, 3, 4]]
    assert (net(swapped)[:, -1] - net(x)[:, -1]).abs().max() > 1e-3


def test_a_block_is_made_of_the_attention_of_torch_and_a_gated_perceptron():
    block, x = Block(16, heads=2).double(), torch.randn(2, 5, 16, dtype=torch.float64)
    attention = nn.MultiheadAttention(16, 2, bias=False, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        attention.in_proj_weight.copy_(block.attention.qkv.weight)
        attention.out_proj.weight.copy_(block.attention.out.weight)
    normed = F.layer_norm(x, (16,))
    later = torch.ones(5, 5, dtype=torch.bool).triu(1)
    h = x + attention(normed, normed, normed, attn_mask=later, need_weights=False)[0]
    gate, up = block.first.weight.chunk(2)
    n = F.layer_norm(h, (16,))
    expected = h + (F.silu(n @ gate.T) * (n @ up.T)) @ block.second.weight.T
    assert torch.allclose(block(x), expected, rtol=0, atol=1e-12)


def test_it_has_about_twelve_times_depth_width_squared_parameters():
    depth, width = 3, 96
    total = sum(weight.numel() for weight in Transformer(width, depth=depth, heads=2).parameters())
    assert total == depth * (12 * width**2 + 4 * width) + 2 * width  # 96 is a multiple of 3: the hidden width is exact


def test_what_the_blocks_add_up_to_does_not_grow_with_depth():
    torch.manual_seed(0)
    x = torch.randn(4, 16, 64)
    added = []
    for depth in (1, 16):
        net, h = Transformer(64, depth=depth, heads=4), x
        for block in net.blocks:
            h = block(h)
        added.append((h - x).std().item())
    assert added[1] < 1.5 * added[0]  # without the scaling of the residual weights it is five times as large


def test_dropout_drops_in_training_alone_and_never_in_a_step():
    net, x = Transformer(16, depth=1, heads=2, dropout=0.5), torch.randn(2, 4, 16)
    assert not torch.equal(net(x), net(x))
    in_training = stepped(net, x, [4])
    net.eval()
    assert torch.equal(net(x), net(x))
    assert torch.allclose(in_training, net(x), atol=1e-5)


def test_half_precision_comes_near():
    """Under autocast products are bfloat16, of 8 bits: errors of outputs of size one stay below a tenth."""
    torch.manual_seed(0)
    net, x = Transformer(32, depth=2, heads=2), torch.randn(2, 9, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = net(x)
    assert (rough - net(x)).abs().max() < 0.1
