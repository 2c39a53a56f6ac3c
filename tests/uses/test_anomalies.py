"""Scores of strangeness on cases whose answer is known."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from pushforward.core.errors import InputError
from pushforward.core.modality import Image, Points
from pushforward.gans.gan import GAN
from pushforward.probability.baselines import Gaussian, Independent
from pushforward.probability.ppca import PPCA
from pushforward.uses.anomalies import anomaly_scores, auroc, false_alarm_threshold, usual_score


def normal(n: int, seed: int) -> torch.Tensor:
    return torch.randn(n, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_auroc_of_two_normals():
    """Under a standard normal a point is as strange as it is far: |x| of N(0,1) against |x| of N(0,9)."""
    model = Gaussian(example=Points(dim=1))
    found = auroc(anomaly_scores(model, normal(3000, 0)), anomaly_scores(model, 3 * normal(3000, 1)))
    exact = 2 / math.pi * math.atan(3.0)  # |b| > |a| / 3: the angle of the plane in which it holds
    assert found.low < exact < found.high
    assert found.high - found.low < 0.03


def test_auroc_is_that_of_scikit_learn_and_its_interval_holds():
    rng = np.random.default_rng(0)
    a, b = (
        torch.from_numpy(rng.integers(0, 5, 40).astype(float)),
        torch.from_numpy(rng.integers(1, 7, 30).astype(float)),
    )
    labels = np.r_[np.zeros(40), np.ones(30)]
    assert auroc(a, b).value == pytest.approx(roc_auc_score(labels, np.r_[a, b]), abs=1e-12)  # ties count half
    exact = norm.cdf(1 / math.sqrt(2))
    held = 0
    for _ in range(300):
        found = auroc(torch.from_numpy(rng.normal(size=60)), torch.from_numpy(rng.normal(1.0, size=50)))
        held += found.low < exact < found.high
    assert held / 300 > 0.95 - 4 * math.sqrt(0.95 * 0.05 / 300)


def test_the_threshold_keeps_its_promise_at_every_n():
    """Of exchangeable scores the expected share above it is 1 - k / (n + 1), computed exactly."""
    for n, rate in ((19, 0.05), (99, 0.01), (250, 0.1), (1000, 0.013)):
        uniform = torch.linspace(0, 1, n + 2)[1:-1]  # the expected order statistics
        threshold = false_alarm_threshold(uniform, rate)
        assert rate - 1 / (n + 1) - 1e-6 <= 1 - threshold <= rate + 1e-6
    rng = np.random.default_rng(1)
    usual, new = torch.from_numpy(rng.exponential(size=(2000, 40))), torch.from_numpy(rng.exponential(size=2000))
    alarms = np.mean([float(s) > false_alarm_threshold(row, 0.1) for row, s in zip(usual, new, strict=True)])
    assert abs(alarms - 4 / 41) < 4 * math.sqrt(0.1 * 0.9 / 2000)  # k = 37 of 40


def test_a_threshold_that_cannot_be_promised():
    with pytest.raises(InputError, match="at least 99"):
        false_alarm_threshold(torch.zeros(98), 0.01)
    for rate in (0.0, 1.0, -1.0, math.nan):
        with pytest.raises(InputError, match="false_alarms"):
            false_alarm_threshold(torch.zeros(98), rate)


def test_what_is_off_the_plane_reconstructs_badly():
    """Data on a line: along it a far point is reconstructed, off it a near one is not."""
    model = PPCA(example=Points(dim=2), latent_dim=1).double()
    model.maps[:] = torch.tensor([[[1.0], [0.0]]])
    model.variances[:] = 1e-6
    scores = anomaly_scores(model, torch.tensor([[5.0, 0.0], [0.0, 0.5]]).double(), "reconstruction")
    assert scores[0] < 1e-6 and abs(float(scores[1]) - 0.25) < 1e-6


def images(n: int, share: float, seed: int) -> torch.Tensor:
    """Black and white noise, white with probability ``share``."""
    return (torch.rand(n, 1, 16, 16, generator=torch.Generator().manual_seed(seed)) < share).to(torch.uint8)


def independent(share: float) -> Independent:
    model = Independent(example=Image(height=16, width=16, levels=2))
    model.table[:] = torch.tensor([1 - share, share])
    return model


def test_a_ratio_sees_what_a_likelihood_misses():
    """Simple images are likelier than the usual ones: blank ones under a model of pixels that are white one in five."""
    model, usual, blank = independent(0.2), images(200, 0.2, 0), torch.zeros(200, 1, 16, 16, dtype=torch.uint8)
    assert auroc(anomaly_scores(model, usual), anomaly_scores(model, blank)).value == 0.0
    for background in (None, independent(0.02)):  # PNG, and a model of images that are nearly blank
        scores = [anomaly_scores(model, x, "ratio", background=background) for x in (usual, blank)]
        assert auroc(*scores).value == 1.0
    # Against another model it is the log-odds, in closed form.
    share = usual.double().mean((1, 2, 3))
    exact = 256 * (share * math.log(0.02 / 0.2) + (1 - share) * math.log(0.98 / 0.8))
    torch.testing.assert_close(
        anomaly_scores(model, usual, "ratio", background=independent(0.02)), exact, rtol=1e-4, atol=1e-3
    )


def test_what_a_model_can_give():
    assert usual_score(Gaussian(example=Points(dim=2))) == "likelihood"
    gan = GAN(example=Points(dim=2))
    x = torch.zeros(3, 2).double()
    for make, names in (
        (lambda: usual_score(gan), "neither"),
        (lambda: anomaly_scores(gan, x, "likelihood"), "has no likelihood"),
        (lambda: anomaly_scores(Gaussian(example=Points(dim=2)), x, "reconstruction"), "no code"),
        (lambda: anomaly_scores(Gaussian(example=Points(dim=2)), x, "ratio"), "background"),
        (
            lambda: anomaly_scores(
                independent(0.5), images(2, 0.5, 0), "ratio", background=Gaussian(example=Points(dim=2))
            ),
            "background",
        ),
        (lambda: anomaly_scores(Gaussian(example=Points(dim=2)), x, "novelty"), "novelty"),
        (lambda: auroc(torch.zeros(1), torch.zeros(5)), "two of each"),
    ):
        with pytest.raises(InputError, match=names):
            make()
