"""Where the loop computes."""

import pytest
import torch

from pushforward.core.errors import InputError
from pushforward.training.fabric import launch
from pushforward.training.settings import Settings
from pushforward.zoo import create
from tests.small_data import points
from tests.training.learners import Bell
from tests.training.watched import Watched, make_loop


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("chosen", [{"device": "cuda"}, {"precision": "16"}])
def test_what_needs_a_gpu_is_refused_without_one(chosen):
    with pytest.raises(InputError, match="GPU"):
        launch(Settings(**chosen))


def test_threads_are_set():
    before = torch.get_num_threads()
    try:
        launch(Settings(threads=before + 1, device="cpu"))
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_mixed_precision_reaches_the_losses():
    """With bf16 a matrix product inside a loss is computed in bfloat16, whether or not the model is wrapped."""
    data, seen = points(), []

    class Product(Watched):
        def terms(self, x, condition, *, noise):
            seen.append((x @ x.T).dtype)
            return super().terms(x, condition, noise=noise)

    model = Product(example=data.example, condition=data.condition)
    make_loop(model, data, steps=2, batch_size=16, precision="bf16").run()
    assert set(seen) == {torch.bfloat16}
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_bell_learns_in_mixed_precision():
    data = points(4000)
    model = create(Bell, data, {"start": 2.0})
    make_loop(model, data, steps=400, batch_size=128, precision="bf16", lr=0.05).run()
    # Standardised data has mean 0 and deviation 1; bfloat16 carries 8 bits, and the batches are noisy.
    assert torch.allclose(model.mean.detach(), torch.zeros(2), atol=0.1)
    assert torch.allclose(model.log_std.detach(), torch.zeros(2), atol=0.1)
