import pytest
import torch

from pushforward.nn.modulation import Modulation


def test_each_channel_is_scaled_and_shifted_by_what_the_condition_says():
    modulation = Modulation(2, condition=1)
    with torch.no_grad():
        modulation.affine.weight.copy_(torch.tensor([[1.0], [2.0], [3.0], [4.0]]))  # scales, then shifts
        modulation.affine.bias.zero_()
    h = torch.ones(2, 2, 1, 3)
    assert modulation(h, torch.tensor([[0.0], [1.0]])).mean((2, 3)).tolist() == [[1.0, 1.0], [2 + 3, 3 + 4]]


def test_without_condition_it_is_the_identity_and_has_no_parameters():
    modulation, h = Modulation(4), torch.randn(2, 4)
    assert modulation(h) is h
    assert not list(modulation.parameters())


def test_a_condition_is_neither_ignored_nor_forgotten():
    with pytest.raises(ValueError, match=r"got \(2, 3\), this network accepts None"):
        Modulation(4)(torch.zeros(2, 4), torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"got None, this network accepts a tensor \(batch, 3\)"):
        Modulation(4, condition=3)(torch.zeros(2, 4))
