import pytest
import torch

from pushforward.core.data import Condition
from pushforward.core.errors import InputError
from pushforward.core.modality import Image, Label, Points
from pushforward.core.table import Column, Table
from pushforward.core.text import Text
from pushforward.nn.conditioning import Conditioner, ImageConditioner, PrefixConditioner, RowConditioner, conditioner

LABEL = Label(names=("a", "b", "c"))
TEXT = Text(vocabulary=("x", "y"), length=4)
SOME = torch.tensor([True, False])


def test_a_label_is_its_row_and_an_absent_one_the_last():
    conditioner = Conditioner(LABEL, 5)
    vectors = conditioner(Condition(torch.tensor([2, 1]), SOME), 2)
    assert torch.equal(vectors, conditioner.table.weight[[2, 3]])
    assert torch.equal(conditioner(None, 4), conditioner.table.weight[[3, 3, 3, 3]])


def test_a_label_as_a_prefix_is_one_vector():
    conditioner = PrefixConditioner(LABEL, 5)
    vectors = conditioner(Condition(torch.tensor([2, 1]), SOME), 2)
    assert torch.equal(vectors, conditioner.table.weight[torch.tensor([[2], [3]])])
    assert torch.equal(conditioner(None, 2), conditioner.table.weight[torch.tensor([[3], [3]])])


def test_a_text_as_a_prefix_is_one_vector_per_code():
    conditioner = PrefixConditioner(TEXT, 5)
    codes = TEXT.pack(["xy", "yy"])
    vectors = conditioner(Condition(codes, SOME), 2)
    null = [TEXT.size] * TEXT.length
    assert torch.equal(vectors, conditioner.table.weight[torch.tensor([codes[0].tolist(), null])])
    assert torch.equal(conditioner(None, 1), conditioner.table.weight[torch.tensor([null])])


@pytest.mark.parametrize(
    ("conditioner", "value"),
    [
        (Conditioner(LABEL, 5), torch.tensor([0, -1])),
        (PrefixConditioner(LABEL, 5), torch.tensor([0, 99])),
        (PrefixConditioner(TEXT, 5), torch.tensor([[0, 1, 2, 2], [-1, 99, 0, 0]])),
    ],
)
def test_what_stands_in_for_an_absent_condition_is_not_read(conditioner, value):
    present = conditioner(Condition(value, SOME), 2)
    assert torch.equal(present[1:], conditioner(None, 1))


@pytest.mark.parametrize("kind", [Conditioner, PrefixConditioner])
def test_the_null_is_learned(kind):
    conditioner = kind(LABEL, 5)
    conditioner(None, 2).sum().backward()
    assert conditioner.table.weight.grad.sum(1).tolist() == [0, 0, 0, 2 * 5]


def test_other_modalities_are_refused_with_what_is_accepted():
    with pytest.raises(InputError, match=r"got points of 2 numbers, this model accepts class labels$"):
        Conditioner(Points(dim=2), 5)
    with pytest.raises(InputError, match=r"got texts of up to 3 .*, this model accepts class labels$"):
        Conditioner(TEXT, 5)
    with pytest.raises(InputError, match=r"got points of 2 numbers, this model accepts class labels and texts$"):
        PrefixConditioner(Points(dim=2), 5)


TABLE = Table(columns=(Column(name="age", missing=True), Column(name="pet", categories=("cat", "dog"), missing=True)))


def test_a_row_says_its_numbers_its_categories_and_what_is_missing():
    rows = RowConditioner(TABLE, 5)
    values = torch.tensor([[1000.0, 1.0], [3000.0, 0.0], [torch.nan, torch.nan]]).double()
    rows.standardise_(values)
    assert rows.centre.tolist()[0] == 2000 and rows.spread.tolist()[0] == 1000
    one = torch.asinh(torch.tensor(1.0)).item()
    known = [[-one, 0, 0, 1, 0], [one, 0, 1, 0, 0], [0, 1, 0, 0, 1]]
    assert torch.allclose(rows.features(values), torch.tensor(known).float())
    vectors = rows(Condition(values, torch.tensor([True, False, True])), 3)
    assert torch.equal(vectors[1], rows.null) and torch.equal(rows(None, 1)[0], rows.null)
    vectors.sum().backward()
    assert all(p.grad.isfinite().all() for p in rows.parameters()), "a missing cell leaves no NaN in a gradient"


def test_a_constant_or_unseen_column_keeps_its_scale():
    rows = RowConditioner(Points(dim=2), 3)
    rows.standardise_(torch.tensor([[7.0, torch.nan], [7.0, torch.nan]]).double())
    assert rows.centre.tolist() == [7.0, 0.0] and rows.spread.tolist() == [1.0, 1.0]


def test_an_image_is_a_vector_and_an_absent_one_the_null():
    torch.manual_seed(0)
    pictures = ImageConditioner(Image(height=8, width=8, levels=17), 6)
    x = torch.randint(17, (3, 1, 8, 8)).to(torch.uint8)
    vectors = pictures(Condition(x, torch.tensor([True, True, False])), 3)
    assert vectors.shape == (3, 6) and torch.equal(vectors[2], pictures.null)
    assert not torch.allclose(vectors[0], vectors[1])
    assert torch.equal(pictures(None, 2)[1], pictures.null)


def test_the_conditioner_of_a_modality():
    kinds = {LABEL: Conditioner, Points(dim=2): RowConditioner, TABLE: RowConditioner}
    for modality, kind in {**kinds, Image(height=8, width=8): ImageConditioner}.items():
        assert type(conditioner(modality, 4)) is kind
    with pytest.raises(InputError, match="condition: got .*, this model accepts class labels, points, tables and imag"):
        conditioner(TEXT, 4)
