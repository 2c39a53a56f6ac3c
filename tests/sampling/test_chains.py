import math
import os
import signal
import threading

import pytest
import torch
from torch import distributions as D

from pushforward.core.errors import InputError
from pushforward.core.modality import Points
from pushforward.probability.baselines import Gaussian
from pushforward.sampling.chains import METHODS, sample, starting_points
from pushforward.sampling.nuts import NUTS
from pushforward.sampling.target import Target
from tests.probability.solving import solved


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def quadratic(x):
    return -0.5 * x.square().sum(1)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_draws_a_gaussian(method):
    draws = sample(quadratic, method=method, dim=3, chains=64, warmup=100, draws=50, generator=generator())
    assert draws.values.shape == (64, 50, 3) and draws.method == method
    assert draws.log_density.shape == draws.acceptance.shape == draws.divergent.shape == (64, 50)
    assert torch.allclose(draws.log_density, quadratic(draws.flat()).reshape(64, 50), atol=1e-4)
    assert bool(((draws.acceptance >= 0) & (draws.acceptance <= 1)).all())
    summary = draws.summary()
    assert bool((summary["mean"].abs() < 5 * summary["mean_error"] + 0.02).all())
    assert bool((summary["sd"] - 1 < 0.1).all()) and bool((summary["sd"] - 1 > -0.1).all())
    assert (draws.gradients == 0) == (method == "rwm")


@pytest.mark.parametrize("method", METHODS)
def test_a_run_is_decided_by_its_generator(method):
    one, two = (
        sample(quadratic, method=method, dim=2, chains=8, warmup=20, draws=5, generator=generator(7)) for _ in range(2)
    )
    assert torch.equal(one.values, two.values)


@pytest.mark.parametrize(
    ("distribution", "mean"),
    [
        (D.Gamma(torch.tensor(3.0), torch.tensor(2.0)), torch.tensor(1.5)),
        (D.Dirichlet(torch.tensor([1.0, 2.0, 3.0]).double()), torch.tensor([1.0, 2.0, 3.0]).double() / 6),
        (D.Beta(torch.tensor([2.0, 1.0]), torch.tensor([2.0, 4.0])), torch.tensor([0.5, 0.2])),
        (
            D.MixtureSameFamily(D.Categorical(torch.tensor([0.25, 0.75])), D.Normal(torch.tensor([-1.0, 1.0]), 1.0)),
            torch.tensor(0.5),
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_distributions_with_their_support(distribution, mean):
    draws = sample(distribution, method="hmc", chains=200, warmup=100, draws=50, generator=generator())
    assert bool(distribution.support.check(draws.values).all())
    assert draws.values.dtype == mean.dtype
    assert torch.allclose(draws.flat().mean(0), mean, atol=0.05)  # 1,000 effective draws of a deviation below 1.2


def test_a_model_of_ours_gives_storage_examples():
    x = torch.randn(500, 2, generator=generator(), dtype=torch.float64) * torch.tensor([1.0, 50.0]) + 7
    model = solved(Gaussian, Points(dim=2), x)
    draws = sample(model, method="hmc", chains=100, warmup=100, draws=50, generator=generator())
    assert draws.values.dtype == torch.float64
    standardised = (draws.flat() - x.mean(0)) / x.std(0)
    assert float(standardised.mean(0).abs().max()) < 0.08 and float((standardised.std(0) - 1).abs().max()) < 0.08


def test_an_event_of_any_shape_and_a_dtype_from_the_start():
    start = torch.zeros(16, 2, 2, dtype=torch.float64)
    draws = sample(lambda x: -x.square().sum((1, 2)), start=start, warmup=20, draws=10, generator=generator())
    assert draws.values.shape == (16, 10, 2, 2) and draws.values.dtype == torch.float64
    assert list(draws.summary().index) == ["x[0, 0]", "x[0, 1]", "x[1, 0]", "x[1, 1]"]


def test_a_start_is_not_changed():
    start = torch.zeros(4, 2)
    sample(quadratic, start=start, warmup=5, draws=5, method="hmc", generator=generator())
    assert torch.equal(start, torch.zeros(4, 2))


def test_starts_without_density_are_drawn_again():
    half = Target(lambda x: torch.where((x > 0).all(1), -x.sum(1), -torch.inf), 3)
    assert bool((starting_points(half, 50, generator()) > 0).all())
    nowhere = Target(lambda x: torch.where(x[:, 0] > 100, -x[:, 0], -torch.inf), 1)
    with pytest.raises(InputError, match="start: got None, and log_prob is -inf at all.*give points as start="):
        starting_points(nowhere, 4, generator())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "gibbs"}, "method: got 'gibbs', expected one of rwm, mala, hmc, nuts, .*or a method object"),
        ({"draws": 0}, "draws: got 0"),
        ({"warmup": -1}, "warmup: got -1"),
        ({"chains": 0}, "chains: got 0"),
        ({"dim": None}, "dim: got None"),
        ({"start": torch.zeros(3, 2), "chains": 4}, "start: got 3 points for 4 chains"),
        ({"start": torch.tensor(1.0)}, r"start: got \(\), expected a tensor of points"),
        ({"start": torch.full((3, 2), math.nan)}, "start: got a number that is not finite"),
        ({"start": [0.0, 0.0]}, "start: got list"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(InputError, match=message):
        sample(quadratic, **({"dim": 2} | arguments))


@pytest.mark.parametrize(
    ("log_prob", "message"),
    [
        (lambda x: quadratic(x) * math.nan, "log_prob: got NaN"),
        (lambda x: x, r"log_prob: got \(4, 2\)"),
        (lambda x: quadratic(x.detach()), "log_prob: has no gradient"),
        (lambda x: quadratic(x) - math.inf, "start: got None, and log_prob is -inf"),
    ],
)
def test_a_bad_log_density_is_named_before_anything_is_drawn(log_prob, message):
    with pytest.raises(InputError, match=message):
        sample(log_prob, dim=2)


def test_without_a_gradient_the_random_walk_still_works():
    draws = sample(lambda x: quadratic(x.detach()), dim=2, method="rwm", warmup=5, draws=5, generator=generator())
    assert draws.values.shape == (4, 5, 2)


def test_a_density_that_breaks_down_on_the_way_is_told():
    """log(1 - |x|) is NaN outside the ball: rejected, counted, said."""
    draws = sample(
        lambda x: torch.log(1 - x.norm(dim=1)),
        start=torch.full((8, 2), 0.1),
        method="rwm",
        warmup=50,
        draws=50,
        generator=generator(),
    )
    assert bool((draws.flat().norm(dim=1) < 1).all()) and draws.invalid > 0
    assert any("NaN or +inf" in sentence for sentence in draws.diagnosis())


def test_ctrl_c_keeps_what_was_drawn():
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    draws = sample(quadratic, dim=2, method="mala", chains=2, warmup=1, draws=10_000_000 // 8, generator=generator())
    assert 0 < draws.values.shape[1] < 10_000_000 // 8
    assert draws.diagnosis()[0].startswith("The run was interrupted after")


def test_it_converts_to_arviz_and_prints_itself():
    draws = sample(quadratic, dim=2, method=NUTS(max_depth=3), chains=4, warmup=20, draws=10, generator=generator())
    data = draws.to_inference_data()
    assert data.posterior["x"].shape == (4, 10, 2) and data.sample_stats["diverging"].shape == (4, 10)
    assert repr(draws).startswith("Draws(NUTS: 4 chains of 10 draws of shape (2,)")
    assert set(draws.settings) == {"step_size", "scale", "target_acceptance"}


def test_a_bar_on_a_terminal_only(capsys, monkeypatch):
    sample(quadratic, dim=2, method="mala", warmup=2, draws=2, generator=generator())
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("FORCE_COLOR", "1")  # how rich is told that it writes to a terminal
    monkeypatch.setenv("TERM", "xterm")
    sample(quadratic, dim=2, method="mala", warmup=2, draws=2, generator=generator())
    assert "4/4" in capsys.readouterr().err
    sample(quadratic, dim=2, method="mala", warmup=2, draws=2, generator=generator(), progress=False)
    assert capsys.readouterr().err == ""
