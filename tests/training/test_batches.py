"""Which examples an update sees, and which conditions are hidden from it."""

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from pushforward.core.data import Batch, Condition, Rows
from pushforward.core.noise import Noise
from pushforward.training.batches import Batches, hide_conditions


def numbers(n: int) -> Rows:
    return Rows(torch.arange(n).double()[:, None])


@given(n=st.integers(1, 200), size=st.integers(1, 250), seed=st.integers(0, 5))
def test_a_pass_shows_no_example_twice(n, size, seed):
    batches = Batches(numbers(n), size, seed)
    assert batches.size == min(n, size)
    for number in range(2):
        first = number * batches.per_pass
        seen = torch.cat([batches.indices(first + i) for i in range(batches.per_pass)]).tolist()
        assert len(set(seen)) == len(seen) == batches.per_pass * batches.size  # all of them but the remainder
        assert set(seen) <= set(range(n))
        assert n - len(seen) < batches.size


def test_an_update_depends_on_its_number_and_the_seed_alone():
    forward, backward = Batches(numbers(100), 30, seed=3), Batches(numbers(100), 30, seed=3)
    ahead = [forward.indices(u) for u in range(10)]
    behind = [backward.indices(u) for u in reversed(range(10))]
    assert all(torch.equal(a, b) for a, b in zip(ahead, reversed(behind), strict=True))
    assert not torch.equal(Batches(numbers(100), 30, seed=4).indices(0), ahead[0])


def test_passes_come_in_different_orders_and_leave_out_different_examples():
    batches = Batches(numbers(100), 30, seed=0)
    passes = [torch.cat([batches.indices(3 * p + i) for i in range(3)]) for p in range(40)]
    assert len({tuple(p.tolist()) for p in passes}) == 40
    # An example misses a pass with probability 0.1: none misses all 40 but by a chance of 1e-38.
    assert set(torch.cat(passes).tolist()) == set(range(100))


def test_every_order_is_as_likely():
    """The first example of a pass over 10 is uniform: chi-square of 2,000 passes below its 99.99 % quantile."""
    batches = Batches(numbers(10), 10, seed=0)
    first = torch.tensor([batches.indices(p)[0] for p in range(2000)])
    counts = torch.bincount(first, minlength=10).double()
    assert float(((counts - 200) ** 2 / 200).sum()) < 33.7


def test_parts_tile_the_batch():
    batches = Batches(numbers(64), 24, seed=1)
    parts = [batches.part(5, Noise(0, rows=8, start=start)).x for start in (0, 8, 16)]
    assert torch.equal(torch.cat(parts), batches.split[batches.indices(5)].x)


def test_the_share_of_hidden_conditions_and_their_values():
    n = 20_000
    present = torch.ones(n, dtype=torch.bool)
    present[: n // 2] = False  # known for the second half only
    batch = Batch(torch.zeros(n, 1), Condition(torch.arange(n), present))
    hidden = hide_conditions(batch, 0.25, Noise(0, rows=n)).condition
    assert torch.equal(hidden.value, batch.condition.value)
    assert not hidden.present[: n // 2].any()
    share = 1 - hidden.present[n // 2 :].float().mean().item()
    assert abs(share - 0.25) < 4 * math.sqrt(0.25 * 0.75 / (n // 2))  # four standard deviations


def test_hiding_is_the_same_for_a_part_of_the_batch():
    whole = Batch(torch.zeros(100, 1), Condition(torch.arange(100), torch.ones(100, dtype=torch.bool)))
    part = Batch(torch.zeros(30, 1), Condition(torch.arange(70, 100), torch.ones(30, dtype=torch.bool)))
    of_whole = hide_conditions(whole, 0.5, Noise(0, rows=100)).condition.present
    of_part = hide_conditions(part, 0.5, Noise(0, rows=30, start=70)).condition.present
    assert torch.equal(of_whole[70:], of_part)


def test_nothing_is_hidden_where_there_is_nothing_to_hide():
    plain = Batch(torch.zeros(5, 1))
    assert hide_conditions(plain, 0.5, Noise(0, rows=5)) is plain
    known = Batch(torch.zeros(5, 1), Condition(torch.arange(5), torch.ones(5, dtype=torch.bool)))
    assert hide_conditions(known, 0.0, Noise(0, rows=5)) is known
