import math

import arviz
import numpy as np
import pytest
import torch

from pushforward.core.errors import InputError
from pushforward.sampling import diagnostics
from pushforward.sampling.diagnostics import autocorrelation, ess, mean_error, nested_rhat, rhat, tail_k


def autoregressive(chains, draws, phi, dim=3, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(chains, draws, dim))
    x[:, 0] /= math.sqrt(1 - phi**2)
    for i in range(1, draws):
        x[:, i] += phi * x[:, i - 1]
    x[..., -1] = x[..., -1].round()  # ties
    return torch.as_tensor(x)


CASES = [(4, 1000, 0.0), (4, 1000, 0.9), (4, 1000, -0.6), (2, 301, 0.5), (50, 100, 0.3)]


@pytest.mark.parametrize(("chains", "draws", "phi"), CASES)
@pytest.mark.parametrize("kind", ["bulk", "tail", "mean"])
def test_effective_sample_sizes_are_those_of_arviz(kind, chains, draws, phi):
    x = autoregressive(chains, draws, phi)
    theirs = [float(arviz.ess(x[..., i].numpy(), method=kind)) for i in range(3)]
    assert ess(x, kind).tolist() == pytest.approx(theirs, rel=0.01)


@pytest.mark.parametrize(("chains", "draws", "phi"), CASES)
def test_rhat_is_that_of_arviz(chains, draws, phi):
    x = autoregressive(chains, draws, phi) + torch.linspace(0, 0.3, chains)[:, None, None]
    theirs = [float(arviz.rhat(x[..., i].numpy())) for i in range(3)]
    assert rhat(x).tolist() == pytest.approx(theirs, rel=1e-5)


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
def test_the_effective_sample_size_is_the_known_one(phi):
    """Of an autoregressive chain it is n (1 - phi) / (1 + phi), and a little less for the halves of a short one."""
    x = autoregressive(200, 500, phi, dim=2)[..., :1]
    assert ess(x, "mean").item() / 100_000 == pytest.approx((1 - phi) / (1 + phi), rel=0.12)
    spread = x.mean((1, 2)).std() / math.sqrt(200)  # of the mean, from the 200 chains themselves
    assert mean_error(x).item() == pytest.approx(float(spread), rel=0.15)  # 1 / sqrt(2 * 200) is 0.05


def test_chains_too_short_to_forget_are_not_credited_with_more_than_one_draw_each():
    """Six draws of a chain that takes forty to forget: about one draw per chain, where arviz says several."""
    x = autoregressive(200, 6, 0.95, dim=2)[..., :1]
    assert 200 < ess(x, "mean").item() < 500
    assert float(arviz.ess(x[..., 0].numpy(), method="mean")) > 1500


def test_rhat_sees_place_drift_and_spread():
    x = autoregressive(4, 500, 0.0)
    assert bool((rhat(x) < 1.01).all())
    assert bool((rhat(x + torch.linspace(0, 1, 500)[:, None] * 2) > 1.1).all())
    wide = x * torch.tensor([1.0, 1.0, 1.0, 4.0])[:, None, None]
    assert bool((rhat(wide) > 1.05).all())


def test_rhat_bears_a_tail_without_a_mean():
    x = torch.tan(torch.pi * (torch.rand(4, 2000, generator=torch.Generator().manual_seed(0)).double() - 0.5))
    assert rhat(x).item() < 1.01


def test_nested_rhat_judges_one_draw_of_many_chains():
    generator = torch.Generator().manual_seed(0)
    starts = torch.randn(16, 1, 1, 1, generator=generator)
    noise = torch.randn(16, 64, 1, 1, generator=generator)
    fresh = (starts * 0 + noise).reshape(1024, 1, 1)
    stuck = (starts + noise).reshape(1024, 1, 1)
    assert nested_rhat(fresh, superchains=16).item() < 1.02  # sqrt(1 + 1/64) = 1.008
    assert nested_rhat(stuck, superchains=16).item() == pytest.approx(math.sqrt(2), rel=0.25)  # B/W = 1


def test_nested_rhat_of_single_chains_is_the_plain_one():
    x = autoregressive(4, 200, 0.5)
    between, within = x.mean(1).var(0), x.var(1).mean(0)
    assert torch.allclose(nested_rhat(x, superchains=4), (1 + between / within).sqrt())


def test_autocorrelation_of_a_known_chain():
    rho = autocorrelation(autoregressive(400, 1000, 0.8, dim=2)[..., 0]).mean(0)
    assert torch.allclose(rho[:10], 0.8 ** torch.arange(10).double(), atol=0.02)
    x = torch.randn(2, 37, 3, dtype=torch.float64)
    centred = x - x.mean(1, keepdim=True)
    direct = (centred[:, :-5] * centred[:, 5:]).sum(1) / centred.square().sum(1)
    assert torch.allclose(autocorrelation(x)[:, 5], direct)


def test_what_never_varies_has_no_diagnostics():
    x = torch.stack([torch.zeros(4, 50), torch.randn(4, 50)], 2)
    for statistic in (rhat, ess):
        assert statistic(x).isnan().tolist() == [True, False]


def test_many_coordinates_are_worked_on_in_blocks(monkeypatch):
    x = torch.randn(4, 100, 7, dtype=torch.float64)
    whole = ess(x), rhat(x)
    monkeypatch.setattr(diagnostics, "BLOCK", 1000)  # two coordinates
    assert torch.allclose(ess(x), whole[0]) and torch.allclose(rhat(x), whole[1])


@pytest.mark.parametrize(("law", "k"), [("student3", 1 / 3), ("cauchy", 1.0), ("normal", 0.0)])
def test_the_tail_index_of_known_tails(law, k):
    rng = np.random.default_rng(0)
    draw = {"student3": lambda n: rng.standard_t(3, n), "cauchy": rng.standard_cauchy, "normal": rng.standard_normal}[
        law
    ]
    x = torch.as_tensor(draw((8, 5000)))
    assert tail_k(x).item() == pytest.approx(k, abs=0.2)  # a normal's tail is still short of its limit


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ess(torch.zeros(4, 3)), r"values: got shape \(4, 3\).*4 draws or more"),
        (lambda: rhat(torch.zeros(4)), "values: got shape"),
        (lambda: ess(torch.zeros(4, 10), "median"), "kind: got 'median', expected one of bulk, tail, mean"),
        (lambda: nested_rhat(torch.zeros(10, 5), superchains=3), "superchains: got 3 for 10 chains"),
        (lambda: nested_rhat(torch.zeros(4, 1), superchains=4), "superchains"),
    ],
)
def test_what_cannot_be_judged(call, message):
    with pytest.raises(InputError, match=message):
        call()
