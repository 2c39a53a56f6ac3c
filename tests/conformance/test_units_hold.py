"""Units: every kind holds, and a wrong sign or a changed entry is named."""

import dataclasses

import pytest
import torch

from pushforward.conformance.units_hold import units_count_their_volume, units_round_trip
from pushforward.core.column_units import Bins
from pushforward.core.point_units import Standardise
from pushforward.zoo import create
from tests.conformance.planted import subject
from tests.small_data import KINDS, small

CASES = [(name, kind) for name in ("gaussian", "realnvp") for kind in KINDS if kind != "text"]
CASES += [("independent", kind) for kind in KINDS]


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_units_of_every_kind_hold(name, kind):
    asked = subject(create(name, small(kind)))
    assert units_round_trip(asked).outcome == "holds"
    found = units_count_their_volume(asked)
    assert found.outcome == "holds", found


def with_units(kind, cls, name="gaussian"):
    model = create(name, small(kind))
    model.units = cls(**{f.name: getattr(model.units, f.name) for f in dataclasses.fields(model.units)})
    return subject(model)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Negative(Standardise):
    def encode(self, x, *, noise, dtype=torch.float32):
        y, log_det = Standardise.encode(self, x, noise=noise, dtype=dtype)
        return y, -log_det


@dataclasses.dataclass(frozen=True, kw_only=True)
class NegativeBins(Bins):
    def encode(self, x, *, noise, dtype=torch.float32):
        y, log_det = Bins.encode(self, x, noise=noise, dtype=dtype)
        return y, -log_det


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shifted(Standardise):
    def decode(self, y, *, noise):
        return Standardise.decode(self, y, noise=noise) + 0.001


@pytest.mark.parametrize(("cls", "name"), [(Negative, "gaussian"), (NegativeBins, "independent")])
def test_a_wrong_sign_is_named(cls, name):
    found = units_count_their_volume(with_units("points", cls, name))
    assert found.outcome == "fails" and "has the wrong sign" in found.meaning


def test_what_does_not_come_back_is_counted():
    found = units_round_trip(with_units("points", Shifted))
    assert found.outcome == "fails" and found.found == "48 of 48 entries came back changed"
