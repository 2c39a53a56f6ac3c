"""The bar: a collapse made on purpose is seen in the first fifth of the training, and the remedy undoes it."""

import dataclasses
import json

import pytest
from sklearn.datasets import load_digits

from pushforward.core.data import Data
from pushforward.evaluation.collapse import LatentUse, latent_use
from pushforward.run.verbs import fit
from pushforward.training.settings import Settings
from tests.run.runs import draw_nothing
from tests.small_data import digits

STEPS = 800
COLLAPSING = {"beta": 4.0, "warm_up": 0.0}  # the KL term four times too heavy, from the first step on
STRONG = {"width": 256, "depth": 2}  # a decoder with some 90,000 weights for 64 pixels


def run_of(data: Data, path, remedy="off", **fields) -> tuple[LatentUse, float, list[dict]]:
    """How the code is used on the test split, nats per example of the 16-sample bound, and the metrics."""
    settings = Settings(threads=1, device="cpu", remedy=remedy)
    run = fit("vae", data, steps=STEPS, seed=0, out=path, settings=settings, options=STRONG | fields, show=False)
    bound = float(run.model.log_prob(data.test.x, samples=16).mean())
    lines = (path / "metrics.jsonl").read_text().splitlines()
    return latent_use(run.model, data.test), bound, [json.loads(line) for line in lines]


@pytest.mark.slow
def test_a_collapse_is_seen_early_and_repaired(tmp_path, monkeypatch):
    monkeypatch.setattr("pushforward.run.verbs.draw_samples", draw_nothing)
    monkeypatch.setattr("pushforward.run.verbs.draw_latents", lambda model, data, folder: None)
    data = dataclasses.replace(digits(len(load_digits().images)), condition=None)
    healthy, best, calm = run_of(data, tmp_path / "healthy")
    ill, worst, alarmed = run_of(data, tmp_path / "ill", **COLLAPSING)
    healed, bound, treated = run_of(data, tmp_path / "healed", "auto", **COLLAPSING)
    for name, use, value in (("healthy", healthy, best), ("collapsed", ill, worst), ("remedied", healed, bound)):
        print(f"{name}: {use}; active by variance {use.active}; test bound {value:.2f} nats")
    assert not any("collapse" in line for line in calm)
    first = next(line for line in alarmed if "collapse" in line)
    assert first["step"] <= 0.2 * STEPS and "set beta to 1 (it is 4)" in first["collapse"]
    assert ill.active_by_kl < 0.5 * healthy.active_by_kl
    remedies = [line["step"] for line in treated if "remedy" in line]
    assert remedies and remedies[0] <= 0.2 * STEPS
    assert healed.active_by_kl >= 0.8 * healthy.active_by_kl and healed.active >= 0.8 * healthy.active
    # No worse than the healthy run but for a nat of chance, of 92; the collapsed one is some ten nats worse.
    assert bound > best - 1.0 and bound > worst + 5.0
