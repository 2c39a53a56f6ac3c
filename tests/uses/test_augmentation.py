"""Generated examples beside real ones, where it is known whether they help."""

import pytest
import torch

from pushforward.core.errors import InputError
from pushforward.core.modality import Label, Points
from pushforward.probability.baselines import Gaussian
from pushforward.uses.augmentation import augmented_accuracy, forest
from tests.small_data import points, split, table


def two_normals(train_rows: int):
    """Two Gaussian classes in eight dimensions, few to learn from and many to be judged on."""
    generator = torch.Generator().manual_seed(0)
    n = train_rows + 3000
    label = torch.randint(2, (n,), generator=generator)
    x = torch.randn(n, 8, dtype=torch.float64, generator=generator) + 0.6 * label[:, None]
    found = split("normals", Points(dim=8), x, Label(names=("a", "b")), label)
    for part, rows in (
        ("train", slice(0, train_rows)),
        ("valid", slice(0, train_rows)),
        ("test", slice(train_rows, n)),
    ):
        half = getattr(found, part)
        half.x, half.condition, half.present = x[rows], label[rows], torch.ones(n, dtype=torch.bool)[rows]
    return found


def small_forest(seed: int):
    return forest(seed).set_params(n_estimators=30)


def right_model(data, shift: float) -> Gaussian:
    """The distribution of the examples itself, or one with the classes swapped."""
    model = Gaussian(example=data.example, condition=data.condition).double()
    model.means[1:] = torch.tensor([[0.0], [shift]]).expand(2, 8)
    model.scales[:] = torch.eye(8)
    return model


def test_a_model_that_knows_more_helps_and_one_that_is_wrong_hurts():
    data = two_normals(40)
    helped = augmented_accuracy(right_model(data, 0.6), data, added=600, seeds=4, classifier=small_forest)
    assert helped.low > 0.02
    hurt = augmented_accuracy(right_model(data, -0.6), data, added=600, seeds=4, classifier=small_forest)
    assert hurt.high < -0.02
    assert helped.without == hurt.without
    assert helped.gain == pytest.approx(sum(helped.augmented) / 4 - sum(helped.without) / 4)
    assert helped.low < helped.gain < helped.high


def test_what_cannot_be_augmented():
    data = points()
    model = Gaussian(example=data.example, condition=data.condition)
    for arguments, names in (
        ((model, data), {"added": 0}),
        ((model, data), {"seeds": 1}),
    ):
        with pytest.raises(InputError, match=next(iter(names))):
            augmented_accuracy(*arguments, **{"added": 10} | names)
    with pytest.raises(InputError, match="images or points"):
        augmented_accuracy(model, table(), added=10)
    with pytest.raises(InputError, match="given these classes"):
        augmented_accuracy(Gaussian(example=data.example), data, added=10)
