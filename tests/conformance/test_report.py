"""check: no false alarm on a sound model, and every planted fault found and named for what it is."""

import dataclasses
import json
import random
import re

import numpy as np
import pytest
import torch

from pushforward.conformance.report import PROPERTIES, check
from pushforward.conformance.subject import left_alone
from pushforward.core.errors import InputError
from pushforward.core.modality import Points
from pushforward.core.model import Model
from pushforward.probability.baselines import Gaussian
from pushforward.zoo import create, find, models
from tests.conformance import planted
from tests.small_data import KINDS, small
from tests.training.watched import make_loop

NAMES = [entry.name for entry in models()]

#: Sizes that make any model small, where it has such a field.
SMALL = {"width": 16, "depth": 1, "layers": 4, "heads": 2, "latent_dim": 2, "steps": 20, "components": 4}


def new(cls, kind: str, seed: int = 0) -> Model:
    """A small model with its initial weights."""
    # One component is small, and the likelihood may have just one.
    fields = {field.name for field in dataclasses.fields(cls) if (field.name, field.default) != ("components", 1)}
    sizes = SMALL | {"layers": 2, "width": 1} if cls.__name__ == "HVAE" else SMALL  # its vectors: 16 times its width
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return create(cls, small(kind), {name: size for name, size in sizes.items() if name in fields})


def complaints(report) -> str:
    """What fails, for the message of a test."""
    return "\n".join(f"{p.name}: {p.found} ({p.meaning}; {p.where})" for p in report.failures)


# --- no false alarm -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_model_of_the_catalogue_conforms(name):
    """A new model file is held to this as soon as it is there."""
    report = check(new(find(name), "points"))
    assert report.ok, complaints(report)
    assert [p.name for p in report.properties] == list(PROPERTIES)
    assert sum(p.outcome == "holds" for p in report.properties) >= 8


def test_a_model_of_nothing_but_images_conforms_by_a_twin_of_images():
    report = check(new(planted.PictureGaussian, "images"))
    assert report.ok, complaints(report)
    found = {p.name: p for p in report.properties}
    assert "images 2 x 2" in found["the bound stays below the exact value"].found
    assert "images 2 x 2" in found["samples agree with the density"].found


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_no_false_alarm_on_any_data_and_seed(name, kind, seed):
    """Nominally 1e-9 per statistical test; 8 models, 5 kinds, 5 seeds and 6 tests each make 1.2e-6 altogether."""
    data = small(kind)
    try:
        model = new(find(name), kind, seed)
    except InputError as error:
        pytest.skip(str(error))
    with torch.random.fork_rng(devices=[]):
        make_loop(model, data, steps=8, batch_size=32, seed=seed).run()
    for report in (check(model, seed=seed), check(model, data=data, seed=seed)):
        assert report.ok, complaints(report)


# --- planted faults -------------------------------------------------------------------------------------------------

MEANS = ("samples agree with the density", "means .* are returned instead of draws")
SIGN = ("log-determinant has the wrong sign",)
SUM = ("scores do not depend on the batch", "summed over the batch")
LOSS = "the loss is minus the log-likelihood"
UNUSED = ("every parameter receives gradient", "an unused parameter")
IGNORES = ("determinism under a seed", "the sampler ignores its generator")
BATCH = ("samples do not depend on the batch", "sample i depends on the batch it is drawn in")
ABOVE = ("the bound stays below the exact value", "the bound is above the exact value")

#: (class, the first property that fails, what its meaning says); those of the first table are quick.
QUICK = [
    ("MeanVAE", *MEANS),
    ("SignGaussian", "the density integrates to one", *SIGN),
    ("SumGaussian", *SUM),
    ("AverageVAE", LOSS, "averaged over the 3 dimensions"),
    ("HalfVAE", LOSS, "a hidden constant: the term 'kl' has a factor of (0.5|0.49|0.50)"),
    ("IdleVAE", *UNUSED),
    ("IdleGAN", *UNUSED),
    ("GlobalVAE", *IGNORES),
    ("GlobalGAN", *IGNORES),
    ("BatchGAN", *BATCH),
    ("HighVAE", *ABOVE),
]
SLOW = [
    ("MeanMixture", *MEANS),
    ("MeanDDPM", *MEANS),
    ("GreedyGPT", *MEANS),
    ("SignRealNVP", "log-determinant against autograd", *SIGN),
    ("SumRealNVP", *SUM),
    ("SumVAE", *SUM),
    ("AverageGPT", LOSS, "averaged over the 4 dimensions"),
    ("AverageDDPM", LOSS, "averaged over the 3 dimensions"),
    ("ShiftVAE", LOSS, r"a hidden constant: (8|7\.99|8\.01) nats? are added|a hidden constant: 1 nats"),
    ("ConstantDDPM", LOSS, "a hidden constant: 1.[456]. nats are added"),
    ("WeightDDPM", LOSS, r"a hidden constant: the term 'diffusion' has a factor of (3|2\.9|3\.0)"),
    ("FrozenRealNVP", *UNUSED),
    ("ConstantGPT", *IGNORES),
    ("BatchRealNVP", *BATCH),
    ("BatchGPT", *BATCH),
    ("HighDDPM", *ABOVE),
]


def made(cls: str, kind: str, seed: int) -> Model:
    """A model with a planted fault."""
    model = new(getattr(planted, cls), kind, seed)
    if cls == "MeanMixture":  # all its components are one before it is fitted
        make_loop(model, small(kind), steps=1, batch_size=32, seed=seed).run()
    return model


@pytest.mark.parametrize(("cls", "name", "meaning"), QUICK, ids=[row[0] for row in QUICK])
def test_a_planted_fault_is_found_and_named(cls, name, meaning):
    """As far as the first failure, which is what a person reads first."""
    subject = planted.subject(made(cls, "points", 0))
    with left_alone():
        answers = (question(subject) for question in PROPERTIES.values())
        first = next(answer for answer in answers if answer.outcome == "fails")
    assert first.name == name, first
    assert re.search(meaning, first.meaning) and first.where.startswith(cls), first


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["points", "images"])
@pytest.mark.parametrize(("cls", "name", "meaning"), QUICK + SLOW, ids=[row[0] for row in QUICK + SLOW])
def test_all_planted_faults_are_named_on_points_and_images(cls, name, meaning, kind):
    report = check(made(cls, kind, 1), seed=1)
    assert not report.ok
    first = report.failures[0]
    assert first.name == name, complaints(report)
    assert re.search(meaning, first.meaning) and first.where.startswith(cls), complaints(report)


FLAT = [
    ("realnvp", "images", "FlatPixels"),
    ("vae", "points", "FlatStandardise"),
    ("gaussian", "tables", "FlatScores"),
    ("gpt", "points", "FlatBins"),
]


@pytest.mark.parametrize(("name", "kind", "units"), FLAT)
def test_units_without_their_log_determinant_are_named(name, kind, units):
    model = new(find(name), kind)
    fields = {field.name: getattr(model.units, field.name) for field in dataclasses.fields(model.units)}
    model.units = getattr(planted, units)(**fields)
    found = PROPERTIES["units: log-determinant"](planted.subject(model))
    assert found.outcome == "fails" and "log-determinant of the units is left out" in found.meaning
    assert found.where == f"{units}.encode"
    assert PROPERTIES["units: round trip"](planted.subject(model)).outcome == "holds"


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind", "units"), FLAT)
def test_such_units_are_the_first_failure_of_a_report(name, kind, units):
    model = new(find(name), kind)
    fields = {field.name: getattr(model.units, field.name) for field in dataclasses.fields(model.units)}
    model.units = getattr(planted, units)(**fields)
    assert check(model).failures[0].name == "units: log-determinant"


# --- manners ----------------------------------------------------------------------------------------------------


def test_neither_the_model_nor_the_world_is_changed():
    model = new(find("vae"), "points").train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.progress = 0.25
    torch.manual_seed(5)
    np.random.seed(6)
    random.seed(7)
    expected = torch.rand(1), np.random.rand(), random.random()
    torch.manual_seed(5)
    np.random.seed(6)
    random.seed(7)
    check(model)
    assert (torch.rand(1), np.random.rand(), random.random()) == expected
    assert model.training and model.progress == 0.25
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_one_seed_makes_one_report():
    model = Gaussian(example=Points(dim=2))
    assert check(model, seed=3) == check(model, seed=3) != check(model, seed=4)


def test_a_report_is_read_by_people_and_by_programs():
    report = check(Gaussian(example=Points(dim=2)))
    assert str(report).startswith("Gaussian of points of 2 numbers: ") and "0 fail" in str(report)
    read = json.loads(json.dumps(report.to_json()))
    assert read["ok"] and {p["outcome"] for p in read["properties"]} == {"holds", "does not apply"}
    assert all(p["tested"] and p["found"] and p["meaning"] and p["where"] for p in read["properties"])


def test_an_error_of_the_model_is_an_answer_that_says_where():
    report = check(new(planted.BrokenGaussian, "points"))
    first = report.failures[0]
    assert (
        "ZeroDivisionError" in first.found and "planted.py" in first.where and "in BrokenGaussian.draw" in first.where
    )
    assert len(report.properties) == len(PROPERTIES)


def test_a_model_that_has_learned_a_single_example_is_no_fault():
    model = new(find("independent"), "images")
    model.table = torch.nn.Buffer(torch.zeros_like(model.table))
    model.table[..., 0] = 1.0  # every pixel is 0
    assert PROPERTIES["determinism under a seed"](planted.subject(model)).outcome == "holds"


def test_a_model_of_nan_is_named_first():
    model = new(find("vae"), "points")
    with torch.no_grad():
        next(model.decoder.parameters()).fill_(float("nan"))
    assert check(model).failures[0].name == "finite numbers, samples on the grid"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": 5}, "^model: got int, expected a model"),
        ({"seed": -1}, "^seed: got -1, expected a whole number"),
        ({"seed": True}, "^seed: got True"),
        ({"data": 5}, "^data: got int, expected what load_data returns"),
        ({"data": small("images")}, "^data: is of images 8 x 8, grey, 17 levels, the model of points of 2 numbers"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    given = {"model": Gaussian(example=Points(dim=2)), **arguments}
    with pytest.raises(InputError, match=message):
        check(given.pop("model"), **given)
