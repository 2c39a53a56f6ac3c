import math

import pytest
import torch

from pushforward.core.errors import InputError
from pushforward.sampling.bridge import StudentReference
from pushforward.sampling.smc import sequential_monte_carlo


def two_modes(x):
    """Three quarters of the mass at (8, 8, ...), one at (-8, -8, ...): the integral is 4 (2 pi)^(d/2)."""
    return torch.logaddexp(math.log(3.0) - 0.5 * (x - 8).square().sum(1), -0.5 * (x + 8).square().sum(1))


def banana(x):
    """x ~ N(1, 10), y | x ~ N(x^2, 0.1), times 2 pi."""
    return -0.05 * (x[:, 0] - 1) ** 2 - 5 * (x[:, 1] - x[:, 0] ** 2) ** 2


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("move", ["rwm", "hmc"])
def test_two_far_modes_keep_their_shares_and_the_integral_is_found(move):
    found = sequential_monte_carlo(two_modes, dim=2, particles=2048, move=move, generator=seeded())
    assert abs(found.log_z - math.log(4 * 2 * math.pi)) < 4 * found.log_z_error < 0.3
    share, error = found.mean((found.values[:, 0] > 0).double())
    assert abs(float(share) - 0.75) < 4 * float(error) < 0.15


def test_the_banana_within_five_percent():
    """The median of six seeds, each in some 0.3 s."""
    errors = []
    for seed in range(6):
        found = sequential_monte_carlo(
            banana, dim=2, particles=16384, islands=32, keep=0.9, moves=5, generator=seeded(seed)
        )
        errors.append(abs(float(found.mean().value[1]) - 11) / 11)
    assert sorted(errors)[3] < 0.05


@pytest.mark.slow
def test_the_interval_of_the_integral_covers_it():
    """Of 400 runs, 95 % intervals from 16 islands (t with 15 degrees of freedom) cover the truth in 366 to 392."""
    covered = 0
    reference = StudentReference.round(2, 8.0)
    for seed in range(400):
        found = sequential_monte_carlo(
            two_modes, reference=reference, particles=1024, moves=3, keep=0.8, generator=seeded(seed)
        )
        covered += abs(found.log_z - math.log(4 * 2 * math.pi)) < 2.131 * found.log_z_error
    assert 366 <= covered <= 392


def test_temperatures_rise_from_the_reference_to_the_target():
    found = sequential_monte_carlo(two_modes, dim=5, particles=512, generator=seeded())
    betas = [stage.beta for stage in found.stages]
    assert betas == sorted(betas) and 0 < betas[0] and betas[-1] == 1
    assert found.log_weights.exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_a_distribution_on_the_positive_numbers():
    """A gamma distribution is normalised: log Z = 0; the values are in its own space."""
    gamma = torch.distributions.Gamma(torch.tensor(3.0), torch.tensor(2.0))
    found = sequential_monte_carlo(gamma, particles=2048, generator=seeded())
    assert abs(found.log_z) < 4 * found.log_z_error < 0.3
    mean, error = found.mean()
    assert bool((found.values > 0).all()) and abs(float(mean) - 1.5) < 4 * float(error)


def test_a_run_depends_on_its_generator_alone():
    one, same, other = (
        sequential_monte_carlo(two_modes, dim=2, particles=128, generator=seeded(seed)).values for seed in (3, 3, 4)
    )
    assert torch.equal(one, same) and not torch.equal(one, other)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"particles": 0}, "particles"),
        ({"particles": 100, "islands": 16}, "islands"),
        ({"islands": 1}, "islands"),
        ({"keep": 1.0}, "keep"),
        ({"moves": 0}, "moves"),
    ],
)
def test_settings_out_of_range(settings, named):
    with pytest.raises(InputError, match=named):
        sequential_monte_carlo(two_modes, dim=2, **settings)


def test_a_density_that_is_zero_everywhere_it_looks():
    def far(x):
        return torch.where(x[:, 0] > 1e6, 0.0, -math.inf) + 0 * x.sum(1)

    with pytest.raises(InputError, match="zero at all"):
        sequential_monte_carlo(far, dim=2, particles=64, islands=4, move="rwm", generator=seeded())
