"""AdamW's groups, the schedules in closed form, the moving average."""

import math

import pytest
import torch
from torch import nn

from pushforward.core.modality import Points
from pushforward.core.stages import Phase
from pushforward.training.optimizers import Average, adamw, learning_rate
from tests.training.learners import Bell


def rates(schedule, total=100, warmup=0.1):
    return [learning_rate(step, total, warmup=warmup, schedule=schedule) for step in range(total)]


@pytest.mark.parametrize("schedule", ["cosine", "wsd", "constant"])
def test_the_rate_rises_linearly_to_one(schedule):
    assert rates(schedule)[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert learning_rate(0, 100, warmup=0.0, schedule=schedule) == 1.0


def test_cosine():
    assert rates("cosine")[10:] == pytest.approx([0.5 * (1 + math.cos(math.pi * s / 90)) for s in range(90)])


def test_warmup_stable_decay():
    after = rates("wsd")[10:]
    assert after[:72] == [1.0] * 72  # four fifths of the 90 steps that are left
    assert after[72:] == pytest.approx([(90 - s) / 18 for s in range(72, 90)])


def test_constant():
    assert rates("constant")[9:] == [1.0] * 91


@pytest.mark.parametrize("schedule", ["cosine", "wsd"])
def test_the_rate_ends_near_zero_and_a_run_of_one_step_works(schedule):
    # The last of 90 steps after the rise: sin^2(pi/180) = 3e-4 for the cosine, 1/18 for the linear decay.
    assert 0 < rates(schedule)[-1] < 0.06
    assert learning_rate(0, 1, warmup=0.02, schedule=schedule) == 1.0


def test_an_unknown_schedule_is_refused():
    with pytest.raises(ValueError, match="expected cosine, wsd or constant"):
        learning_rate(5, 10, warmup=0.0, schedule="linear")


def test_only_matrices_decay():
    layer = nn.Linear(3, 2)
    layer.weight.grad, layer.bias.grad = torch.zeros(2, 3), torch.zeros(2)
    weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    adamw(Phase(name="p", terms=lambda: {}, parameters=list(layer.parameters()), lr=0.1, weight_decay=0.5)).step()
    assert torch.allclose(layer.weight, weight * (1 - 0.1 * 0.5))  # decoupled: w <- w - lr * decay * w
    assert torch.equal(layer.bias, bias)


def test_parameters_that_do_not_learn_are_left_out():
    layer = nn.Linear(3, 2)
    layer.weight.requires_grad_(False)
    optimizer = adamw(Phase(name="p", terms=lambda: {}, parameters=list(layer.parameters())))
    assert [p is layer.bias for group in optimizer.param_groups for p in group["params"]] == [True]


def test_an_early_average_holds_no_initial_weights():
    """After 8 steps the warm-up has decayed to (9/18)^8 = 0.4 % of the first weights, not the 99 % of a decay 0.999."""
    model = Bell(example=Points(dim=1), start=100.0)
    average = Average(model, 0.999)
    model.mean.data.fill_(0.0)
    average.update(8)
    assert float(average.model.mean.detach()) == pytest.approx(100 * 0.5**8)


def test_the_average_reaches_its_decay():
    model = Bell(example=Points(dim=1), start=1.0)
    average = Average(model, 0.99)
    model.mean.data.fill_(0.0)
    average.update(80_000)  # (1 + t) / (10 + t) is above 0.99 from t = 890 on
    assert float(average.model.mean.detach()) == pytest.approx(0.99**8)


def test_buffers_are_copied_and_the_average_takes_no_gradient():
    model = Bell(example=Points(dim=1))
    model.register_buffer("count", torch.zeros(1))
    average = Average(model, 0.9)
    model.count += 5
    average.update(8)
    assert float(average.model.count) == 5
    assert not any(p.requires_grad for p in average.model.parameters())
    assert not average.model.training
