import torch

from pushforward.nn.transformer import Transformer


def test_the_memory_of_a_cache_is_taken_once_and_is_as_large_as_said():
    depth, batch, length, width = 2, 3, 7, 8
    net = Transformer(width, depth=depth, heads=2)
    cache = net.cache(batch=batch, length=length)
    rooms = [room for block in cache.blocks for room in (block.keys, block.values)]
    assert sum(room.numel() for room in rooms) == 2 * depth * batch * length * width
    places = [room.data_ptr() for room in rooms]
    net.step(torch.randn(batch, length, width), cache)
    assert [room.data_ptr() for block in cache.blocks for room in (block.keys, block.values)] == places
    assert cache.length == cache.capacity == length


def test_keys_and_values_of_positions_to_come_are_not_touched():
    net = Transformer(8, depth=1, heads=2)
    cache = net.cache(batch=1, length=5)
    net.step(torch.randn(1, 3, 8), cache)
    block = cache.blocks[0]
    assert block.keys[:, :, :3].all() and block.values[:, :, :3].all()
    assert not block.keys[:, :, 3:].any() and not block.values[:, :, 3:].any()


def test_a_cache_takes_the_type_of_the_weights():
    assert Transformer(8, depth=1, heads=2).double().cache(1, 2).blocks[0].keys.dtype == torch.float64
