"""What the critic of a VQ-VAE is for: reconstructions of photographs that are less blurred, at a price in error."""

import numpy as np
import pytest
import torch
from torch import Tensor

import pushforward as pf

#: Updates of the codes; the prior gets few, as it has no part in reconstructions.
STEPS, PRIOR = 320, 0.05


def fine(x: Tensor) -> float:
    """Energy above a quarter of the sampling frequency: what blur takes away."""
    centred = x.double() - x.double().mean((2, 3), keepdim=True)
    energy = torch.fft.fft2(centred).abs().square().mean((0, 1))
    rows, columns = (torch.fft.fftfreq(size) for size in x.shape[2:])
    return float(energy[(rows[:, None] ** 2 + columns**2).sqrt() >= 0.25].sum())


@pytest.mark.slow
def test_a_critic_gives_back_fine_detail(shared_data, tmp_path):
    with np.load(shared_data / "cifar10-cats" / "cats32.npz") as file:
        cats = pf.load_data(file["train"], name="cats")
    x = cats.test[torch.arange(300)].x
    share, error = {}, {}
    for weight in (0.0, 1.0):
        sizes = {"codes": 256, "width": 64, "depth": 1, "prior": "independent", "prior_share": PRIOR}
        settings = pf.Settings(steps=round(STEPS / (1 - PRIOR)), batch_size=32, seed=0, threads=1)
        options = {**sizes, "adversarial": weight}
        model = pf.fit("vqvae", cats, out=tmp_path / str(weight), settings=settings, options=options).model
        back = model.decode(model.encode(x))
        share[weight] = fine(back) / fine(x)
        error[weight] = float((back.double() - x.double()).square().mean().sqrt())
        print(f"adversarial {weight}: {share[weight]:.3f} of the fine detail, error {error[weight]:.1f} levels")
    # 0.217 and 0.314 when this was written, 21.8 and 23.8 levels.
    assert 1.2 * share[0.0] < share[1.0] <= 1
    assert error[1.0] > error[0.0], "sharpness has its price"
