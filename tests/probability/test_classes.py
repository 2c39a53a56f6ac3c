import pytest
import torch

from pushforward.core.data import Condition
from pushforward.core.errors import InputError
from pushforward.core.modality import Label, Points
from pushforward.probability.classes import class_rows, count_classes

CPU = torch.device("cpu")


def test_a_class_has_the_row_after_its_code_and_the_unknown_row_0():
    condition = Condition(torch.tensor([2, 0, 1]), torch.tensor([True, True, False]))
    assert class_rows(condition, 3, device=CPU).tolist() == [3, 1, 0]
    assert class_rows(None, 2, device=CPU).tolist() == [0, 0]


def test_only_labels_have_rows():
    assert count_classes(None) == 0
    assert count_classes(Label(names=("a", "b", "c"))) == 3
    with pytest.raises(InputError, match="condition: got points of 2 numbers, this model accepts class labels"):
        count_classes(Points(dim=2))
