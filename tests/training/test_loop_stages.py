"""The loop over several stages: what passes from one to the next, and how a budget is shared."""

from types import SimpleNamespace

import pytest
import torch

from pushforward.core.stages import Phase, Stage
from tests.small_data import points
from tests.training.watched import Watched, make_loop


def test_a_budget_is_shared_by_stages_of_unlike_pace(monkeypatch):
    """A quarter of the steps takes 10 ms each, the others 50 ms: 40 ms on average."""
    now = [0.0]
    monkeypatch.setattr("pushforward.training.loop.time", SimpleNamespace(perf_counter=lambda: now[0]))

    class Staged(Watched):
        def slow(self, x, condition, *, noise):
            now[0] += 0.04
            return self.terms(x, condition, noise=noise)

        def terms(self, x, condition, *, noise):
            now[0] += 0.01
            return super().terms(x, condition, noise=noise)

        def stages(self):
            weights = list(self.parameters())
            quick, slow = (Phase(name=t.__name__, terms=t, parameters=weights) for t in (self.terms, self.slow))
            return [Stage(name="first", phases=[quick], share=1.0), Stage(name="then", phases=[slow], share=3.0)]

    def validate(model):
        now[0] += 0.5
        return -now[0]

    data = points()
    model = Staged(example=data.example, condition=data.condition)
    loop = make_loop(model, data, steps=0, batch_size=8, validate=validate)
    steps = loop.calibrate(40.0).steps
    assert loop.pace == pytest.approx(0.04)
    loop.run()
    assert loop.position.step == steps
    assert 0.9 * 40 < now[0] <= 40


def test_the_best_weights_of_a_stage_are_those_the_next_one_starts_from():
    """The first stage gets worse from its second validation on; what the second stage sees is the best of the first."""
    seen = []

    class Staged(Watched):
        def terms(self, x, condition, *, noise):
            seen.append(next(self.parameters()).detach().clone())
            return super().terms(x, condition, noise=noise)

        def stages(self):
            phases = [Phase(name="fit", terms=self.terms, parameters=list(self.parameters()), lr=0.1)]
            return [Stage(name="first", phases=phases), Stage(name="then", phases=phases)]

    figures = iter([1.0, *[2.0] * 100])
    data = points()
    model = Staged(example=data.example, condition=data.condition)
    loop = make_loop(
        model, data, steps=20, batch_size=8, validate_every=2, ema=0.0, validate=lambda model: next(figures)
    )
    loop.run()
    assert torch.equal(seen[10], seen[2])  # two steps were made before the first validation
