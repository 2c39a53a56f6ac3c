import pytest
import torch

from pushforward.core.data import Condition
from pushforward.core.errors import InputError
from pushforward.core.modality import Label, Points
from pushforward.core.text import Text
from pushforward.nn.conditioning import Conditioner, PrefixConditioner

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
