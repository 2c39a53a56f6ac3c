"""The catalogue, and what every model in it keeps: one contract, on data of every kind.

Nothing here names a model but for what it is expected to work on: a new one is held to the contract as it stands.
"""

import dataclasses
import math
import subprocess
import sys
from functools import cache

import pytest
import torch
from torch import Tensor

from pushforward.core.capabilities import HasCompletion, HasDensity, HasLatent
from pushforward.core.data import Condition, Data
from pushforward.core.errors import InputError
from pushforward.core.model import Model
from pushforward.core.noise import Noise
from pushforward.zoo import create, find, models, resolve
from tests.small_data import KINDS, points, small
from tests.training.learners import Bell
from tests.training.watched import make_loop

NAMES = [entry.name for entry in models()]

#: What a model must work on; on anything else it works or says in one sentence that it does not.
EXPECTED = {"gpt": set(KINDS)}
USUAL = {"points", "grid", "images", "tables"}

#: Sizes that make any model small, where it has such a field.
SMALL = {"width": 16, "depth": 1, "layers": 2, "heads": 2, "latent_dim": 2, "components": 2, "steps": 20}

CASES = [(name, kind) for name in NAMES for kind in KINDS if kind in EXPECTED.get(name, USUAL)]
OTHERS = [(name, kind) for name in NAMES for kind in KINDS if kind not in EXPECTED.get(name, USUAL)]
SCORED = [case for case in CASES if issubclass(find(case[0]), HasDensity)]
ENCODED = [case for case in CASES if issubclass(find(case[0]), HasLatent)]
each_case = pytest.mark.parametrize(("name", "kind"), CASES)

data_of = cache(small)


def new(name: str, data: Data, seed: int = 0) -> Model:
    """A small model with its initial weights."""
    # One component is small, and the likelihood may have just one.
    known = dataclasses.fields(find(name))
    fields = {field.name for field in known if (field.name, field.default) != ("components", 1)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return create(name, data, {field: size for field, size in SMALL.items() if field in fields})


def trained(name: str, kind: str, seed: int = 0) -> Model:
    """A small model after eight steps."""
    model = new(name, data_of(kind), seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        make_loop(model, data_of(kind), steps=8, batch_size=32, seed=seed).run()
    return model.eval()


fitted = cache(trained)


def draws(model: Model, n: int, **chosen) -> Tensor:
    """Samples, in the quick way where the model has one."""
    return model.sample(n, seed=7, sampler=model.preview, **chosen)


def units(model: Model, n: int, start: int = 0) -> Tensor:
    """Samples in model units."""
    noise = Noise(7, rows=n, start=start)
    with model.at_rest():
        return model.draw(n, model.given(None, n), noise=noise, sampler=model.preview)


def batch(model: Model, data: Data, n: int = 16) -> tuple[Tensor, Condition | None]:
    """Training examples in model units, every third of them without its condition."""
    rows = data.train[torch.arange(n)]
    x, _ = model.fitted.encode(rows.x, noise=Noise(3, rows=n), dtype=model.dtype)
    if model.condition is None:
        return x, None
    return x, Condition(rows.condition.value, torch.arange(n) % 3 != 0)


# --- the catalogue ------------------------------------------------------------------------------------------------


def test_names_are_the_classes_and_nothing_is_imported_for_the_list():
    script = """
import sys
from pushforward.zoo import models
print(*(entry.name for entry in models()))
assert not any(name == "torch" or name.startswith("pushforward.flows") for name in sys.modules)
"""
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert sorted(said) == sorted(NAMES)
    for entry in models():
        cls = find(entry.name)
        assert issubclass(cls, Model) and cls.__name__ == entry.cls and cls.__module__ == entry.module
        assert entry.summary and (cls.__doc__ or "").startswith(entry.summary)


def test_a_name_is_found_in_any_case_and_a_wrong_one_is_answered_with_the_nearest():
    assert find("Gaussian") is find("gaussian")
    with pytest.raises(
        InputError, match=r"^model: there is no 'gausian' \(did you mean 'gaussian'\?\), expected one of"
    ):
        find("gausian")


def test_a_class_from_outside_is_found_by_its_module():
    assert find("tests.training.learners:Bell").__name__ == "Bell"
    with pytest.raises(InputError, match="has no class 'Bel'"):
        find("tests.training.learners:Bel")


@pytest.mark.parametrize("path", ["secrets:SystemRandom", "no.such:Thing", "os.path:join", "builtins:eval"])
def test_an_untrusted_class_is_not_imported(path, monkeypatch):
    monkeypatch.delitem(sys.modules, "secrets", raising=False)
    with pytest.raises(InputError, match="import it first, or pass trust="):
        resolve(path)
    assert "secrets" not in sys.modules


def test_units_are_fitted_on_the_training_split():
    data = points()
    bell = create(Bell, data, {"start": 1.5})
    assert bell.start == 1.5 and bell.condition == data.condition
    assert bell.units.mean == pytest.approx(data.train.x.mean(0).tolist())


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("gaussian", {"shrinkag": 0.1}, r"^Gaussian: has no field 'shrinkag' \(did you mean 'shrinkage'\?\)"),
        (Bell, {"units": None}, "^Bell: has no field 'units'"),
        (dict, {}, "^model: 'dict' is no model, expected a class made with @model"),
        (5, {}, "^model: 5 is no model"),
    ],
)
def test_what_cannot_be_made_is_named(model, options, message):
    with pytest.raises(InputError, match=message):
        create(model, points(), options)


# --- what every model keeps -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "kind"), OTHERS)
def test_data_that_a_model_cannot_take_is_refused_in_one_sentence(name, kind):
    try:
        model = new(name, data_of(kind))
    except InputError as error:
        assert str(error).startswith("data: ") and "\n" not in str(error)
    else:
        data_of(kind).example.check(draws(model, 5))


@each_case
def test_samples_are_examples_on_the_grid_of_the_data(name, kind):
    model, data = fitted(name, kind), data_of(kind)
    x = draws(model, 200)
    assert x.shape == (200, *data.example.shape) and x.dtype == data.example.dtype
    data.example.check(x)
    steps = {"grid": [(0, 0.5)], "tables": [(0, 1.0)]}.get(kind, [])
    for column, step in steps:
        assert torch.equal(x[:, column] % step, torch.zeros(200).double())
    if kind == "tables":
        assert not x[:, [0, 2, 4]].isnan().any() and torch.equal(x[:, 4], torch.zeros(200).double())
    assert not torch.equal(x[0], x[1]) or kind == "text"


@each_case
def test_a_sample_has_the_same_noise_whatever_is_drawn_beside_it(name, kind):
    model = fitted(name, kind)
    whole, alone = units(model, 150), torch.cat([units(model, 70), units(model, 80, start=70)])
    if model.space == "codes":
        assert torch.equal(whole, alone)
    else:
        # Sums of a few hundred float32 products in another order.
        assert torch.allclose(whole, alone, rtol=1e-5, atol=1e-5 * float(whole.abs().nanmean()), equal_nan=True)


@each_case
def test_public_samples_depend_on_neither_n_nor_start_nor_batch_size(name, kind):
    model = fitted(name, kind)
    whole = draws(model, 100).double()
    parts = torch.cat([draws(model, 37, batch_size=10), draws(model, 63, start=37, batch_size=64)]).double()
    agree = torch.isclose(whole, parts, rtol=1e-5, atol=1e-6, equal_nan=True)
    # On a grid a difference of 1e-6 moves a value that lies on the edge of its cell: one in thousands.
    assert agree.double().mean() > 0.999 if any(data_of(kind).example.gridded) else agree.all()
    assert not torch.equal(draws(model, 100)[:50], draws(model, 100)[50:])


@each_case
def test_a_saved_model_draws_and_scores_the_same(name, kind, tmp_path):
    model, data = fitted(name, kind), data_of(kind)
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    assert torch.equal(draws(model, 20).nan_to_num(-1), draws(again, 20).nan_to_num(-1))
    if isinstance(model, HasDensity):
        x = data.test[torch.arange(20)].x
        assert torch.equal(model.log_prob(x), again.log_prob(x))


@pytest.mark.parametrize(("name", "kind"), SCORED)
def test_scores_are_numbers_that_depend_on_the_example_alone(name, kind):
    model, data = fitted(name, kind), data_of(kind)
    assert isinstance(model, HasDensity)
    rows = data.test[torch.arange(40)]
    given = None if model.condition is None else rows.condition.value
    for condition in (None, given):
        whole = model.log_prob(rows.x, condition)
        assert whole.shape == (40,) and whole.dtype == torch.float64 and torch.isfinite(whole).all()
        assert torch.allclose(whole, model.log_prob(rows.x, condition, batch_size=7), rtol=1e-5, atol=1e-5)
    assert torch.equal(whole, model.log_prob(rows.x, given))
    density = model.density()
    assert density.measure == {"points": "density", "grid": "mixed", "tables": "mixed"}.get(kind, "mass")


@each_case
def test_the_loss_is_nats_per_example_and_of_each_example_alone(name, kind):
    model, data = fitted(name, kind), data_of(kind)
    model.progress = 0.5
    for stage in model.stages():
        for phase in stage.phases:
            x, condition = batch(model, data)
            part = None if condition is None else Condition(*(t[:5] for t in condition))
            with torch.enable_grad():
                whole = phase.terms(x, condition, noise=Noise(1, rows=16))
                few = phase.terms(x[:5], part, noise=Noise(1, rows=5))
            assert whole and set(whole) == set(few)
            for term in whole:
                assert whole[term].shape == (16,) and torch.isfinite(whole[term]).all()
                if not model.couples_batch:
                    assert torch.allclose(whole[term][:5], few[term], rtol=1e-4, atol=1e-5), term


@each_case
def test_every_parameter_gets_a_gradient(name, kind):
    model, data = trained(name, kind).train(), data_of(kind)
    model.progress = 0.5
    moved = {name: False for name, p in model.named_parameters() if p.requires_grad}
    for stage in model.stages():
        for phase in stage.phases:
            x, condition = batch(model, data, 64)
            loss = sum(phase.terms(x, condition, noise=Noise(1, rows=64)).values()).mean()
            model.zero_grad()
            loss.backward()
            theirs = {id(p) for p in phase.parameters}
            for key, p in model.named_parameters():
                if id(p) in theirs and p.grad is not None:
                    assert torch.isfinite(p.grad).all(), key
                    moved[key] |= bool((p.grad != 0).any())
    assert [key for key, got in moved.items() if not got] == []


@each_case
def test_doubles_work_throughout(name, kind):
    model, data = trained(name, kind).double(), data_of(kind)
    x, condition = batch(model, data)
    loss = model.loss(x, condition, noise=Noise(1, rows=16))
    assert loss.dtype == torch.float64 and torch.isfinite(loss).all()
    data.example.check(draws(model, 10))
    if model.space != "codes":
        assert units(model, 3).dtype == torch.float64
    if isinstance(model, HasDensity):
        single = fitted(name, kind).log_prob(data.test[torch.arange(20)].x)
        double = model.log_prob(data.test[torch.arange(20)].x)
        # The same model with the same noise, but for seven digits; nats add up over the dimensions.
        assert torch.allclose(single, double, rtol=1e-3, atol=1e-3)


@each_case
def test_global_random_numbers_are_neither_used_nor_moved(name, kind):
    model, data = fitted(name, kind), data_of(kind)
    torch.manual_seed(1)
    first = draws(model, 5).nan_to_num(-1)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    assert torch.equal(first, draws(model, 5).nan_to_num(-1))
    model.sample(1, sampler=model.preview)
    if isinstance(model, HasDensity):
        model.log_prob(data.test[torch.arange(5)].x)
    x, condition = batch(model, data)
    model.loss(x, condition, noise=Noise(1, rows=16))
    assert torch.equal(torch.get_rng_state(), before)


@each_case
def test_two_fits_with_one_seed_have_the_same_weights(name, kind):
    one, two = fitted(name, kind).state_dict(), trained(name, kind).state_dict()
    assert all(torch.equal(one[key], two[key]) for key in one)
    if any(stage.phases for stage in fitted(name, kind).stages()):
        other = trained(name, kind, seed=1).state_dict()
        assert any(not torch.equal(one[key], other[key]) for key in one)


@each_case
def test_a_condition_chooses_what_is_drawn(name, kind):
    model, data = fitted(name, kind), data_of(kind)
    if data.condition is None:
        with pytest.raises(InputError, match="^condition: got one, but"):
            model.sample(2, condition=1)
        return
    mixed = draws(model, 6, condition=torch.tensor([0, 1, 0, 1, 0, 1])).double()
    zeros, ones = draws(model, 6, condition=0).double(), draws(model, 6, condition=1).double()
    wanted = torch.stack([zeros[0], ones[1], zeros[2], ones[3], zeros[4], ones[5]])
    assert torch.isclose(mixed, wanted, rtol=1e-5, atol=1e-5, equal_nan=True).double().mean() > 0.99
    for wrong in (data.condition.size, -1, torch.zeros(5, dtype=torch.int64), torch.zeros(6)):
        with pytest.raises(InputError, match="^condition: "):
            draws(model, 6, condition=wrong)


@pytest.mark.parametrize(("name", "kind"), ENCODED)
def test_codes_of_latents_have_a_row_per_example(name, kind):
    model, data = fitted(name, kind), data_of(kind)
    assert isinstance(model, HasLatent)
    z = model.encode(data.test[torch.arange(12)].x)
    assert len(z) == 12 and torch.isfinite(z).all()
    data.example.check(model.decode(z))


# --- ten thousand draws -------------------------------------------------------------------------------------------


def near_tie(model: HasCompletion, row: Tensor, other: Tensor, index: int) -> bool:
    """Whether two samples of one noise part where its uniform lies within 1e-6 of the edge between two codes."""
    t = int((row != other).nonzero()[0])
    uniform = float(Noise(7, rows=1, start=index).uniform(len(row), like=row.double())[0, t])
    candidates = row.repeat(model.fitted.sizes[t], 1)
    candidates[:, t] = torch.arange(model.fitted.sizes[t])
    with model.at_rest():
        p = model.log_likelihood_each(candidates, model.given(None, len(candidates)))[:, t].double().exp()
    return float((p.cumsum(0) - uniform).abs().min()) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), [case for case in CASES if case[1] in ("points", "text", "tables")])
def test_ten_thousand_draws_agree(name, kind):
    """In batches of 250 and of 97: real numbers to 1e-5 of their size, codes in all but near ties."""
    model, n = fitted(name, kind), 10_000
    one = torch.cat([units(model, 250, start) for start in range(0, n, 250)])
    two = torch.cat([units(model, min(97, n - start), start) for start in range(0, n, 97)])
    if model.space == "codes":
        for index in (one != two).any(1).nonzero().flatten().tolist():
            assert isinstance(model, HasCompletion) and near_tie(model, one[index], two[index], index)
    else:
        assert torch.allclose(one, two, rtol=1e-5, atol=1e-5 * float(one.abs().mean()))
    assert math.isfinite(float(one.double().mean()))
