"""The critic of patches: its odds against a known log-ratio, what it sees, and who learns from whom."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from pushforward.autoencoders import patch_critic
from pushforward.autoencoders.patch_critic import GAMMA, PatchCritic


def flat(bright: int, of: int) -> Tensor:
    """Pictures of one grey each, so many of them bright."""
    value = torch.where(torch.arange(of) < bright, 1.0, -1.0)
    return value[:, None, None, None].expand(of, 1, 4, 4).contiguous()


def learned(critic: PatchCritic, real: Tensor, fake: Tensor, *, steps: int, lr: float = 5e-3) -> PatchCritic:
    optimiser = torch.optim.Adam(critic.parameters(), lr=lr)
    for _ in range(steps):
        loss = torch.stack(list(critic.terms(real, fake).values())).sum(0).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return critic


def test_the_odds_are_the_log_ratio(monkeypatch):
    """Bright pictures are 8 of 10 real ones and 2 of 10 others: every patch has log-odds of log 4 or -log 4."""
    monkeypatch.setattr(patch_critic, "GAMMA", 0.0)  # with it the odds are flatter, as they should be
    torch.manual_seed(0)
    critic = PatchCritic((1, 4, 4))
    optimiser = torch.optim.LBFGS(critic.parameters(), max_iter=40, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        found = torch.stack(list(critic.terms(flat(8, 10), flat(2, 10)).values())).sum(0).mean()
        found.backward()
        return found

    optimiser.step(loss)
    bright, dark = critic(flat(1, 2)).detach() / math.log(4)
    assert (bright - 1).abs().max() < 0.05 and (dark + 1).abs().max() < 0.05


def test_it_tells_sharp_pictures_from_blurred_ones_it_has_not_seen():
    def pictures() -> tuple[Tensor, Tensor]:
        sharp = torch.rand(32, 1, 16, 16) * 2 - 1
        return sharp, F.avg_pool2d(sharp, 3, 1, padding=1)

    torch.manual_seed(0)
    critic = learned(PatchCritic((1, 16, 16)), *pictures(), steps=25)
    sharp, blurred = pictures()
    with torch.no_grad():
        assert (critic(sharp).mean((1, 2)) > 0).float().mean() > 0.95
        assert (critic(blurred).mean((1, 2)) < 0).float().mean() > 0.95
        assert critic.unconvinced(blurred).mean() > math.log(2) > critic.unconvinced(sharp).mean()


def test_a_patch_is_15_pixels_a_side():
    critic, x = PatchCritic((1, 32, 32)).double(), torch.rand(1, 1, 32, 32).double().requires_grad_()
    critic(x)[0, 4, 4].backward()
    seen = (x.grad[0, 0] != 0).nonzero()
    assert (seen.max(0).values - seen.min(0).values + 1).tolist() == [15, 15]


def test_the_terms_are_what_the_formula_says():
    critic = PatchCritic((1, 8, 8)).double()
    real, fake = torch.rand(2, 3, 1, 8, 8).double()
    terms = critic.terms(real, fake)
    assert torch.allclose(terms["real"], -critic(real).sigmoid().log().mean((1, 2)))
    assert torch.allclose(terms["fake"], -(1 - critic(fake).sigmoid()).log().mean((1, 2)))
    assert torch.allclose(critic.unconvinced(fake), -critic(fake).sigmoid().log().mean((1, 2)))
    slopes = [torch.func.grad(lambda x: critic(x[None]).sum())(x).square().sum() for x in real]
    assert torch.allclose(terms["r1"], 0.5 * GAMMA / 16 * torch.stack(slopes), rtol=1e-10)


def test_who_judges_does_not_learn_and_who_learns_is_not_judged():
    critic, fake = PatchCritic((1, 8, 8)), torch.rand(2, 1, 8, 8, requires_grad=True)
    critic.unconvinced(fake).sum().backward()
    assert fake.grad is not None and fake.grad.abs().sum() > 0
    assert all(p.grad is None for p in critic.parameters())
    fake.grad, real = None, torch.rand(2, 1, 8, 8, requires_grad=True)
    sum(critic.terms(real, fake).values()).sum().backward()
    assert fake.grad is None and real.grad is None
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in critic.parameters())


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 2, 2), (3, 1, 40), (2, 9, 13)])
def test_pictures_of_any_size_have_patches(shape):
    assert PatchCritic(shape)(torch.zeros(2, *shape)).isfinite().all()
