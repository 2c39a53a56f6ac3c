"""Every failure is planted, and has to be called by its name; a sound run has to be left alone."""

import torch

from pushforward.sampling.diagnosis import diagnose, find_funnel, find_groups
from pushforward.sampling.method import Chains

NAMES = ["x[0]", "x[1]", "x[2]"]


def chains_of(x, *, acceptance=0.8, divergent=None):
    shape = x.shape[:2]
    return Chains(
        positions=x,
        log_density=torch.zeros(shape),
        acceptance=torch.full(shape, acceptance),
        divergent=torch.zeros(shape, dtype=torch.bool) if divergent is None else divergent,
        gradients=0,
        warmup_gradients=0,
    )


def normal(chains=4, draws=1000, dim=3, seed=0):
    return torch.randn(chains, draws, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def funnel():
    x = normal()
    return torch.cat([3 * x[..., :1], (1.5 * x[..., :1]).exp() * x[..., 1:]], 2)


def slow(phi=0.99):
    x = normal()
    for i in range(1, x.shape[1]):
        x[:, i] = phi * x[:, i - 1] + (1 - phi**2) ** 0.5 * x[:, i]
    return x


def test_a_sound_run_is_left_alone():
    (sentence,) = diagnose(chains_of(normal()), NAMES, target_acceptance=0.8, asked=1000)
    assert sentence.startswith("No problem found: R-hat at most 1.0") and sentence.endswith("0 divergences.")


def test_a_correlated_or_bent_density_is_no_funnel():
    x = normal()
    assert find_funnel(x @ torch.tensor([[1.0, 0.9, 0.9], [0.0, 0.4, 0.0], [0.0, 0.0, 0.4]]).double()) is None
    bent = torch.cat([x[..., :1], x[..., :1].square() + 0.3 * x[..., 1:2], x[..., 2:]], 2)
    assert find_funnel(bent) is None


def test_a_funnel_and_its_neck_are_named():
    divergent = torch.zeros(4, 1000, dtype=torch.bool)
    x = funnel()
    divergent[x[..., 0] < -5] = True
    sentences = diagnose(chains_of(x, divergent=divergent), NAMES, target_acceptance=0.8)
    named = [s for s in sentences if s.startswith("A funnel: x[0] sets the spread of 2 other coordinates")]
    assert named and "non-centred" in named[0] and "standard deviations along it" in named[0]
    assert any("trajectories diverged" in s for s in sentences)


def test_modes_that_no_chain_leaves_are_named_with_their_places():
    x = normal(chains=6)
    x[2:, :, 1] += 20
    sentences = diagnose(chains_of(x), NAMES)
    assert any(
        s.startswith("Several modes: the chains stay in 2 groups along x[1] (2 near") and "tempering" in s
        for s in sentences
    )
    assert find_groups(x[..., 1]) == [[0, 1], [2, 3, 4, 5]]


def test_a_step_too_large_is_named():
    sentences = diagnose(chains_of(normal(), acceptance=0.2), NAMES, target_acceptance=0.8)
    assert sentences[0].startswith("The step is too large: 0.20 of the proposals were accepted where 0.80")


def test_slow_chains_are_said_to_be_too_few_draws():
    sentences = diagnose(chains_of(slow()), NAMES)
    assert any(s.startswith("Not enough draws:") and "times as many" in s for s in sentences)
    assert not any("modes" in s for s in sentences)


def test_chains_that_all_begin_elsewhere_disagree_but_are_no_modes():
    x = normal(chains=8) + torch.linspace(0, 2, 8)[:, None, None]
    sentences = diagnose(chains_of(x), NAMES)
    assert any(s.startswith("The chains disagree about x[") for s in sentences)
    assert not any("modes" in s for s in sentences)


def test_many_short_chains_are_told_that_their_starts_are_counted():
    x = normal(chains=1000, draws=1).expand(1000, 6, 3) + 0.2 * normal(chains=1000, draws=6, seed=1)
    assert any(s.startswith("The chains are too short:") for s in diagnose(chains_of(x), NAMES))


def test_heavy_tails_are_named():
    x = torch.tan(1.5 * torch.atan(normal()))
    sentences = diagnose(chains_of(x), NAMES)
    assert any(s.startswith("Heavy tails: k-hat of x[") for s in sentences)


def test_chains_that_never_move_invalid_values_and_interrupts_are_told():
    x = normal(draws=100)
    x[1] = 0.0
    sentences = diagnose(chains_of(x), NAMES, asked=1000, invalid=3)
    assert sentences[0] == "The run was interrupted after 100 of 1000 draws per chain."
    assert sentences[1].startswith("The log-density was NaN or +inf at 3 proposals")
    assert sentences[2].startswith("1 of 4 chains never moved")


def test_too_few_to_judge():
    assert diagnose(chains_of(normal(draws=2)), NAMES) == [
        "There are 2 draws per chain, too few to judge: draw at least 4."
    ]
