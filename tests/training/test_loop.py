"""The loop against what it says it does: phases, batches, averages, schedules, the best weights, the records."""

import itertools
import math
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from torch.optim.optimizer import register_optimizer_step_pre_hook

from pushforward.core.data import Data, Rows
from pushforward.core.errors import InputError
from pushforward.core.stages import Stage
from pushforward.training.checkpoint import load_checkpoint
from pushforward.training.metrics import Diverged
from pushforward.training.optimizers import learning_rate
from pushforward.training.pace import VALIDATIONS
from tests.small_data import digits, points
from tests.training.learners import Bell, Duel
from tests.training.watched import Watched, make_loop, metrics


def watched(data: Data, **fields) -> Watched:
    return Watched(example=data.example, condition=data.condition, **fields)


def test_phases_alternate_and_move_only_their_own_parameters():
    data = points()
    model = watched(data)
    make_loop(model, data, steps=3, batch_size=16).run()
    assert [phase for phase, *_ in model.calls] == ["one", "two", "two"] * 3  # in order, with their repeats
    for phase, changing, *_ in model.calls:
        assert changing == {"first": phase == "one", "second": phase == "two"}
    assert all(p.requires_grad for p in model.parameters())


def test_a_phase_leaves_the_other_parameters_as_they_are():
    model = watched(data := points())
    one = model.stages()[0].phases[0]
    model.stages = lambda: [Stage(name="alone", phases=[one])]
    make_loop(model, data, steps=5, batch_size=16).run()
    assert torch.equal(model.second, torch.ones(2))
    assert not torch.equal(model.first, torch.zeros(2))


def test_every_update_sees_a_batch_of_its_own():
    data = points()
    model = watched(data)
    loop = make_loop(model, data, steps=4, batch_size=16)
    loop.run()
    wanted = [data.train[loop.batches.indices(update)].x.float() for update in range(12)]
    assert all(torch.equal(x, y) for (_, _, x, _), y in zip(model.calls, wanted, strict=True))


@pytest.mark.parametrize("kind", [Bell, Duel])
def test_accumulation_equals_the_whole_batch(kind):
    data, weights = points(), []
    for parts in (1, 3):
        torch.manual_seed(0)
        model = kind(example=data.example, condition=data.condition)
        make_loop(model, data, steps=10, batch_size=48, accumulate=parts, precision="64").run()
        weights.append(torch.cat([p.flatten() for p in model.parameters()]))
    # Sums of 48 doubles in another order, through ten steps of Adam.
    assert torch.allclose(weights[0], weights[1], rtol=1e-10, atol=1e-13)
    assert weights[0].dtype == torch.float64


@contextmanager
def at_every_step(look):
    """Show every optimiser to ``look`` when it is about to step."""
    hook = register_optimizer_step_pre_hook(lambda optimizer, args, kwargs: look(optimizer.param_groups))
    try:
        yield
    finally:
        hook.remove()


@pytest.mark.parametrize(("phase", "setting", "limit"), [(None, 0.0, math.inf), (0.01, 0.0, 0.01), (5.0, 0.002, 0.002)])
def test_gradients_are_clipped_to_their_norm(phase, setting, limit):
    norms = []
    with at_every_step(lambda groups: norms.append(float(torch.cat([p.grad for p in groups[0]["params"]]).norm()))):
        make_loop(watched(data := points(), clip=phase), data, steps=4, batch_size=16, clip=setting).run()
    if limit == math.inf:
        assert min(norms) > 0.1
    else:
        assert norms == pytest.approx([limit] * 12, rel=1e-4)  # every gradient here is longer than the limit


def test_the_learning_rate_is_the_schedule_of_the_phase_or_of_the_settings():
    def rates(**settings):
        seen = []
        with at_every_step(lambda groups: seen.append(groups[0]["lr"])):
            make_loop(watched(data := points()), data, steps=10, batch_size=16, **settings).run()
        return seen[::3]  # three updates per step

    wanted = [learning_rate(step, 10, warmup=0.2, schedule="wsd") for step in range(10)]
    assert rates(schedule="wsd", warmup=0.2) == pytest.approx([1e-3 * share for share in wanted])  # Phase.lr
    assert rates(schedule="wsd", warmup=0.2, lr=0.5) == pytest.approx([0.5 * share for share in wanted])


def test_the_average_follows_its_formula():
    data = points()
    model = watched(data)
    loop = make_loop(model, data, steps=21, batch_size=16, ema=0.9, precision="64")
    average = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    loop.run()
    for step in (8, 16, 21):  # every eighth, and the last
        decay = min(0.9, (1 + step) / (10 + step)) ** 8
        average = {name: decay * average[name] + (1 - decay) * model.steps[step - 1][name] for name in average}
    held = loop.average.model.state_dict()
    assert all(torch.allclose(held[name], average[name], rtol=1e-12, atol=0) for name in average)


def test_the_average_goes_on_after_a_closed_form():
    data = points()
    model = watched(data)
    phases = model.stages()

    def solve(train, valid, *, noise):
        model.first.data.copy_(train.x.mean(0))
        yield 0.0

    model.stages = lambda: [Stage(name="solve", solve=solve), *phases]
    loop = make_loop(model, data, steps=9, batch_size=16, ema=0.9, precision="64")
    loop.run()
    average = data.train.x.mean(0)
    for step in (8, 9):
        decay = min(0.9, (1 + step) / (10 + step)) ** 8
        average = decay * average + (1 - decay) * model.steps[step - 1]["first"]
    assert torch.allclose(loop.average.model.first, average, rtol=1e-12, atol=0)


def test_without_decay_the_average_is_the_weights():
    model = watched(data := points())
    loop = make_loop(model, data, steps=5, batch_size=16, ema=0.0)
    loop.run()
    held = loop.average.model.state_dict()
    assert all(torch.equal(held[name], model.steps[-1][name]) for name in held)


def test_the_best_weights_by_validation_are_kept_and_saved(tmp_path):
    data, seen = points(), []
    figures = iter([3.0, 1.0, 2.0, 1.5])

    def validate(model):
        seen.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return next(figures)

    model = watched(data)
    loop = make_loop(model, data, folder=tmp_path, validate=validate, steps=8, validate_every=2, batch_size=16, ema=0.0)
    position = loop.run()
    assert (position.best, position.best_step) == (1.0, 4)
    for held in (load_file(tmp_path / "model.safetensors"), model.state_dict()):
        assert all(torch.equal(held[name], seen[1][name]) for name in seen[1])
    assert not torch.equal(seen[1]["first"], seen[3]["first"])
    _, tensors = load_checkpoint(tmp_path / "checkpoint")
    assert torch.equal(tensors["best.first"], seen[1]["first"])
    assert torch.equal(tensors["model.first"], model.steps[-1]["first"])


def test_metrics_have_a_line_per_validation_with_the_means_of_the_terms(tmp_path):
    data = points()
    figures = itertools.count(5.0, -1.0)
    model = watched(data)
    options = {"steps": 7, "validate_every": 3, "batch_size": 16}
    make_loop(model, data, folder=tmp_path, validate=lambda model: next(figures), **options).run()
    lines = metrics(tmp_path)
    assert [(line["step"], line["stage"], line["validation"]) for line in lines] == [
        (3, "pull", 5.0),
        (6, "pull", 4.0),
        (7, "pull", 3.0),
    ]
    assert set(lines[0]["loss"]) == {"one/pull", "one/constant", "two/push"}
    first = [x for phase, _, x, _ in model.calls[:9] if phase == "one"]
    before = [{"first": torch.zeros(2)}, *model.steps[:2]]
    means = [float(((x - w["first"]) ** 2).sum(1).mean()) for x, w in zip(first, before, strict=True)]
    assert lines[0]["loss"]["one/pull"] == pytest.approx(sum(means) / 3, rel=1e-6)


def test_a_run_validates_twenty_times_unless_told():
    data, calls = points(), []
    make_loop(watched(data), data, steps=100, batch_size=16, validate=lambda model: len(calls.append(0) or calls)).run()
    assert len(calls) == VALIDATIONS == 20


@pytest.mark.parametrize("every", [0, 40])
def test_a_budget_is_kept(every, monkeypatch):
    """On a clock of our own, a step takes 30 ms and a validation 0.5 s, now and then much longer."""
    now = [0.0]
    monkeypatch.setattr("pushforward.training.loop.time", SimpleNamespace(perf_counter=lambda: now[0]))

    class Timed(Watched):
        def terms(self, x, condition, *, noise):
            now[0] += 0.5 if len(self.calls) % 400 == 399 else 0.03
            return super().terms(x, condition, noise=noise)

    def validate(model):
        now[0] += 0.5
        return -now[0]

    data = points()
    model = Timed(example=data.example, condition=data.condition)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    loop = make_loop(model, data, steps=0, batch_size=8, validate_every=every, validate=validate)
    steps = loop.calibrate(40.0).steps
    assert loop.pace == pytest.approx(0.03)
    assert now[0] == pytest.approx(2.5, abs=0.04)  # two seconds of steps, one validation
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in before)
    assert loop.position.step == 0
    loop.run()
    assert loop.position.step == steps
    assert 0.9 * 40 < now[0] <= 40


def test_progress_goes_from_zero_to_just_below_one():
    seen, model = [], watched(data := points())
    model.after_step = lambda: seen.append(model.progress)
    make_loop(model, data, steps=4, batch_size=16).run()
    assert seen == [0.0, 0.25, 0.5, 0.75]


def test_the_stated_share_of_conditions_is_hidden():
    data = points()
    model = watched(data)
    make_loop(model, data, steps=60, batch_size=100, drop_condition=0.3).run()
    present = torch.cat([flags for *_, flags in model.calls])
    # 18,000 coins of bias 0.3: four standard deviations of their mean.
    assert abs(1 - present.float().mean().item() - 0.3) < 4 * math.sqrt(0.3 * 0.7 / len(present))
    always = watched(data)
    make_loop(always, data, steps=3, batch_size=100, drop_condition=0.0).run()
    assert all(flags.all() for *_, flags in always.calls)


def test_a_condition_missing_in_the_data_stays_absent():
    whole = points()
    absent = Rows(whole.train.x, whole.train.condition, torch.zeros(len(whole.train), dtype=torch.bool))
    data = Data(name="p", example=whole.example, condition=whole.condition, train=absent, valid=absent, test=absent)
    model = watched(data)
    make_loop(model, data, steps=2, batch_size=100, drop_condition=0.0).run()
    assert not any(flags.any() for *_, flags in model.calls)


def test_a_model_without_condition_is_given_none():
    model = Watched(example=(data := points()).example)
    make_loop(model, data, steps=2, batch_size=100).run()
    assert all(flags is None for *_, flags in model.calls)


def test_images_reach_the_model_dequantised_in_its_units():
    data = digits(200)
    model = watched(data)
    loop = make_loop(model, data, steps=1, batch_size=32)
    loop.run()
    levels = (model.calls[0][2] + 1) / 2 * 17  # affine pixels: y = 2 (k + u) / 17 - 1
    assert torch.equal(levels.floor().to(torch.uint8), data.train[loop.batches.indices(0)].x)
    assert 0.45 < (levels - levels.floor()).mean() < 0.55  # u is uniform: 2,048 of them, eight standard errors


def test_a_term_that_is_no_number_stops_the_run_and_keeps_the_last_good_state(tmp_path):
    data = points()
    model = watched(data, explodes=True)
    loop = make_loop(model, data, folder=tmp_path, steps=20, validate_every=4, batch_size=16)
    with pytest.raises(Diverged, match=r"at step 10 of phase 'one' the term 'pull' made the loss nan"):
        loop.run()
    position, tensors = load_checkpoint(tmp_path / "checkpoint")
    assert position.step == 8
    assert all(torch.isfinite(t).all() for t in tensors.values() if t.is_floating_point())
    assert all(torch.isfinite(t).all() for t in load_file(tmp_path / "model.safetensors").values())
    assert torch.equal(tensors["model.first"], model.steps[7]["first"])


def test_a_validation_figure_that_is_no_number_stops_the_run():
    data = points()
    loop = make_loop(watched(data), data, steps=4, validate_every=2, batch_size=16, validate=lambda model: math.nan)
    with pytest.raises(Diverged, match="after step 2 the validation figure is nan"):
        loop.run()


def test_weights_that_are_no_numbers_are_never_a_checkpoint(tmp_path):
    model = watched(data := points())
    loop = make_loop(model, data, folder=tmp_path, steps=2, validate_every=1, batch_size=16)
    model.after_step = lambda: model.first.data.fill_(math.inf)
    with pytest.raises(Diverged, match="after step 1 a weight is no longer finite"):
        loop.run()
    assert not (tmp_path / "checkpoint" / "state.safetensors").exists()


def test_a_loss_a_million_times_its_first_size_has_diverged():
    data = points()
    model = watched(data)
    with pytest.raises(Diverged, match="'pull' made the loss"):
        make_loop(model, data, steps=50, lr=1e6, warmup=0.0, schedule="constant", batch_size=16).run()
    assert len(model.steps) < 50


def test_stages_of_the_same_name_start_with_fresh_optimisers(tmp_path):
    """Stopped in the first of two stages and resumed: the moments of the first must not reach the second."""
    data = points()
    options = {"steps": 8, "validate_every": 1, "batch_size": 16}
    whole = watched(data, rounds=2)
    make_loop(whole, data, **options).run()
    part = watched(data, rounds=2)
    loop = make_loop(part, data, folder=tmp_path, **options)
    part.after_step = lambda: loop.interrupts._ask(2, None) if loop.position.step == 1 else None
    with pytest.raises(KeyboardInterrupt):
        loop.run()
    again = watched(data, rounds=2)
    loop = make_loop(again, data, folder=tmp_path, **options)
    loop.resume()
    assert loop.position.step == 2
    loop.run()
    assert len(again.steps) == 6
    assert all(torch.equal(again.steps[-1][name], whole.steps[-1][name]) for name in ("first", "second"))


def test_an_interrupted_run_writes_the_same_metrics(tmp_path):
    data = points()
    options = {"steps": 9, "validate_every": 4, "batch_size": 16}
    whole, part, again = tmp_path / "whole", tmp_path / "part", watched(data)
    whole.mkdir(), part.mkdir()
    make_loop(watched(data), data, folder=whole, **options).run()
    stopped = watched(data)
    loop = make_loop(stopped, data, folder=part, **options)
    stopped.after_step = lambda: loop.interrupts._ask(2, None) if loop.position.step == 5 else None
    with pytest.raises(KeyboardInterrupt):
        loop.run()
    assert len(metrics(part)) == 1
    with open(part / "metrics.jsonl", "a") as file:
        file.write('{"step": 7, "cut off by a ki')
    loop = make_loop(again, data, folder=part, **options)
    loop.resume()
    loop.run()
    assert metrics(part) == metrics(whole)


def test_a_batch_that_cannot_be_cut_is_refused():
    data = points(10)  # eight of them to train on
    with pytest.raises(InputError, match="batch_size: 8 examples cannot be cut in 16"):
        make_loop(watched(data), data, steps=1, batch_size=32, accumulate=16)


def test_float64_reaches_model_average_and_optimiser():
    data = points()
    model = watched(data)
    loop = make_loop(model, data, steps=3, batch_size=16, precision="64")
    loop.run()
    assert {p.dtype for m in (model, loop.average.model) for p in m.parameters()} == {torch.float64}
    assert model.calls[0][2].dtype == torch.float64
