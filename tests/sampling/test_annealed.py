import math

import pytest
import torch

from pushforward.core.errors import InputError
from pushforward.sampling.annealed import annealed_importance_sampling
from pushforward.sampling.bridge import StudentReference
from tests.sampling.test_smc import seeded, two_modes


def test_two_far_modes_keep_their_shares_and_the_integral_is_found():
    found = annealed_importance_sampling(two_modes, dim=2, generator=seeded())
    assert abs(found.log_z - math.log(4 * 2 * math.pi)) < 4 * found.log_z_error < 0.4
    share, error = found.mean((found.values[:, 0] > 0).double())
    assert abs(float(share) - 0.75) < 4 * float(error) < 0.25


@pytest.mark.slow
def test_the_interval_of_the_integral_covers_it():
    """Of 400 runs, 95 % intervals cover the truth in 366 to 392."""
    covered = 0
    reference = StudentReference.round(2, 8.0)
    for seed in range(400):
        found = annealed_importance_sampling(
            two_modes, reference=reference, particles=512, temperatures=60, generator=seeded(seed)
        )
        covered += abs(found.log_z - math.log(4 * 2 * math.pi)) < 1.96 * found.log_z_error
    assert 366 <= covered <= 392


def test_more_temperatures_are_better_weights():
    few, many = (
        annealed_importance_sampling(two_modes, dim=2, particles=512, temperatures=t, generator=seeded()).effective
        for t in (10, 100)
    )
    assert 512 > many > 1.2 * few


def test_a_target_that_is_the_reference_has_equal_weights():
    reference = StudentReference.round(3, 1.0, dof=math.inf, dtype=torch.float64)
    found = annealed_importance_sampling(reference.log_prob, reference=reference, particles=64, generator=seeded())
    assert found.effective == pytest.approx(64)
    assert found.log_z == pytest.approx(0, abs=1e-9)
    assert found.betas[0] == 0 and found.betas[-1] == 1


def test_a_run_depends_on_its_generator_alone():
    one, same, other = (
        annealed_importance_sampling(two_modes, dim=2, particles=64, generator=seeded(seed)).log_weights
        for seed in (3, 3, 4)
    )
    assert torch.equal(one, same) and not torch.equal(one, other)


@pytest.mark.parametrize("settings", [{"particles": 1}, {"temperatures": 0}, {"moves": 0}])
def test_settings_out_of_range(settings):
    with pytest.raises(InputError, match=next(iter(settings))):
        annealed_importance_sampling(two_modes, dim=2, **settings)
