"""Maps: their sizes, that a place sees its own patch, and the way back to any image."""

import pytest
import torch

from pushforward.nn.maps import MapDecoder, MapEncoder, map_size


@pytest.mark.parametrize("size", [(28, 28), (32, 32), (9, 5), (8, 8), (2, 2), (1, 40), (1, 1)])
@pytest.mark.parametrize("steps", [0, 1, 2, 5])
def test_there_and_back_for_every_size(size, steps):
    rows, columns = map_size(size, steps)
    if steps <= 2 and min(size) >= 28:
        assert (rows, columns) == tuple(side // 2**steps for side in size)
    z = MapEncoder((3, *size), 5, steps=steps, width=8, depth=1)(torch.randn(2, 3, *size))
    assert z.shape == (2, 5, rows, columns)
    x = MapDecoder(5, (3, *size), steps=steps, parameters=2, width=8, depth=1)(z)
    assert x.shape == (2, 2, 3, *size) and x.isfinite().all()


def test_every_parameter_is_used():
    encoder = MapEncoder((1, 8, 8), 4, steps=2, width=8, depth=2)
    decoder = MapDecoder(4, (1, 8, 8), steps=2, parameters=1, width=8, depth=2)
    decoder(encoder(torch.randn(2, 1, 8, 8))).square().sum().backward()
    assert all(p.grad is not None and (p.grad != 0).any() for p in (*encoder.parameters(), *decoder.parameters()))


def test_a_moved_picture_moves_its_map():
    """Away from the borders and by the stride of the map; norms are left out, whose means take in the borders."""
    encoder = MapEncoder((1, 64, 64), 4, steps=2, width=8, depth=1).double()
    for module in list(encoder.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, torch.nn.GroupNorm):
                setattr(module, name, torch.nn.Identity())
    x = torch.zeros(1, 1, 64, 64).double()
    x[..., 28:32, 28:32] = torch.randn(4, 4).double()
    here, there = encoder(x), encoder(x.roll(4, 3))
    # A place of the map sees 15 pixels to each side: these do not see the border.
    assert torch.allclose(here[..., 6:9, 6:9], there[..., 6:9, 7:10])
    assert not torch.allclose(here[..., 6:9, 6:9], there[..., 6:9, 6:9])


def test_examples_do_not_depend_on_each_other():
    encoder = MapEncoder((1, 8, 8), 4, steps=2, width=8, depth=1).double()
    x = torch.randn(5, 1, 8, 8).double()
    assert torch.allclose(encoder(x)[:1], encoder(x[:1]))
