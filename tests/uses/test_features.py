"""Codes as features, where it is known what they hold."""

import pytest
import torch

from pushforward.core.errors import InputError
from pushforward.core.modality import Label, Points
from pushforward.gans.gan import GAN
from pushforward.probability.ppca import PPCA
from pushforward.uses.features import features, probe
from tests.small_data import digits, split, table


def hidden_class(n: int = 1500):
    """The class is the sign of a small direction, below three large ones that know nothing of it."""
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(2, (n,), generator=generator)
    large = 5 * torch.randn(n, 3, dtype=torch.float64, generator=generator)
    small = (label * 2.0 - 1)[:, None] + 0.1 * torch.randn(n, 1, dtype=torch.float64, generator=generator)
    x = torch.cat([large, small], 1)
    return split("hidden", Points(dim=4), x, Label(names=("a", "b")), label)


def test_a_code_that_holds_the_class_is_found_and_components_of_variance_are_not():
    model = PPCA(example=Points(dim=4), latent_dim=1).double()
    model.maps[:] = torch.tensor([[[0.0], [0.0], [0.0], [1.0]]])
    codes, components, raw = probe(model, hidden_class())
    assert (codes.size, components.size, raw.size) == (1, 1, 4)
    assert codes.accuracy == raw.accuracy == 1.0
    assert components.low < 0.5 < components.high  # the largest variance knows nothing
    assert codes.low > 0.97


def test_few_labels_are_few_examples():
    model = PPCA(example=digits().example, latent_dim=8)
    every, few = probe(model, digits()), probe(model, digits(), labels=20)
    assert few[2].accuracy < every[2].accuracy - 0.1
    assert every[1].size == 8 and every[1].accuracy > 0.7


def test_codes_are_flat():
    assert features(PPCA(example=Points(dim=3), latent_dim=2), torch.zeros(3000, 3).double()).shape == (3000, 2)


def test_what_cannot_be_probed():
    model = PPCA(example=Points(dim=4), latent_dim=1)
    for arguments, names in (
        ((model, table()), "images or points"),
        ((model, digits()), "encodes points"),
    ):
        with pytest.raises(InputError, match=names):
            probe(*arguments)
    for labels in (0, 10**6):
        with pytest.raises(InputError, match="labels"):
            probe(model, hidden_class(), labels=labels)
    with pytest.raises(InputError, match="one class"):
        probe(model, hidden_class(), labels=1)
    assert not hasattr(GAN, "encode")  # what has no code cannot be asked for one
