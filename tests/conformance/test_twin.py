"""Small sisters of models, on data whose density can be integrated."""

import pytest
import torch

from pushforward.conformance.subject import left_alone
from pushforward.conformance.twin import curved, every_outcome, has_defaults, make_twin
from pushforward.core.errors import InputError
from pushforward.core.modality import Image, Label, Points
from pushforward.core.table import Column, Table
from pushforward.core.text import Text
from pushforward.probability.baselines import Gaussian, Independent
from tests.conformance.planted import PictureGaussian


def test_every_outcome_is_listed_once():
    table = Table(columns=(Column(name="a", categories=("x", "y"), missing=True), Column(name="b", categories=("u",))))
    assert every_outcome(table).nan_to_num(9).tolist() == [[0, 0], [1, 0], [9, 0]]
    image = every_outcome(Image(height=2, width=1, levels=3))
    assert image.shape == (9, 1, 2, 1) and len(image.unique(dim=0)) == 9
    ended = every_outcome(Text(vocabulary=("a",), length=3))  # aaa is without an end, and a window may be
    assert ended.tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 1], [1, 1, 1]]


def test_the_toy_points_are_those_of_the_formula():
    x = torch.cat([curved(seed) for seed in range(100)])  # 51,200 rows: means to 0.01 of a standard deviation
    assert torch.allclose(x.mean(0), torch.tensor([1.0, -3.0, 0.0]).double(), atol=0.05)
    variance = torch.tensor([4.0, 0.25 * (0.49 + 0.36 + 0.18), 1.25]).double()
    assert torch.allclose(x.var(0) / variance, torch.ones(3).double(), atol=0.06)


def test_a_twin_has_the_class_the_fields_and_classes_of_its_own():
    model = Gaussian(example=Points(dim=9), condition=Label(names=tuple(range(10))), shrinkage=0.5)
    with left_alone():
        twin, plain = make_twin(model, 0), make_twin(model, 0, defaults=True)
    assert type(twin.model) is Gaussian and twin.model.shrinkage == 0.5 and twin.model.example == Points(dim=3)
    assert twin.model.condition == Label(names=("a", "b")) and twin.conditions == (None, 1)
    assert plain.model.shrinkage is None and has_defaults(plain.model) and not has_defaults(model)
    assert torch.linalg.slogdet(plain.model.scales[0]).logabsdet.abs() > 0.5  # it had a volume to learn


def test_a_twin_is_of_data_the_class_takes():
    with left_alone():
        codes = make_twin(Independent(example=Text(vocabulary=("a",), length=9)), 0)
        pictures = make_twin(PictureGaussian(example=Image(height=4, width=4)), 0)
    assert isinstance(codes.model.example, Text) and codes.model.example.end is not None
    assert isinstance(pictures.model.example, Image) and len(pictures.outcomes) == 16


def test_no_twin_says_why(monkeypatch):
    model = PictureGaussian(example=Image(height=4, width=4))

    def build(self):
        raise InputError("data: never")

    monkeypatch.setattr(PictureGaussian, "build", build)
    with left_alone(), pytest.raises(InputError, match="^twin: no small PictureGaussian could be made .*data: never"):
        make_twin(model, 0)
