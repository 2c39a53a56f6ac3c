"""Masses of cells, against known answers."""

import pytest
import torch

from pushforward.conformance.evidence import collect, upper_tail
from pushforward.conformance.subject import left_alone
from pushforward.conformance.twin import make_twin
from pushforward.core.modality import Image, Points
from pushforward.probability.baselines import Gaussian, Independent
from tests.conformance.planted import PictureGaussian


def evidence(model):
    with left_alone():
        twin = make_twin(model, 0)
        return twin, collect(twin, None, 0)


def test_a_normal_has_boxes_of_a_27th_each_and_the_volume_of_its_covariance():
    twin, found = evidence(Gaussian(example=Points(dim=2)))
    assert found.kind == "exact" and found.counts.sum() == 3900
    total, error = found.total
    assert abs(total - 1) < 6 * error < 0.05
    # Principal axes of a normal are independent, so thirds make 27 equal boxes.
    assert torch.allclose(found.mass, torch.full((27,), 1 / 27).double(), atol=0.01)
    assert torch.allclose(found.share, torch.full((27,), 1 / 27).double(), atol=0.02)
    cov = torch.diag(torch.tensor(twin.model.units.std).double()) @ twin.model.scales[0].double()
    assert found.log_det == pytest.approx(float(torch.linalg.slogdet(cov).logabsdet), abs=0.1)
    assert found.spread == pytest.approx(1.0, abs=0.05)
    assert abs(found.score[0] - found.score[1]) < 5 * found.score[2]


def test_outcomes_have_the_masses_of_the_table():
    twin, found = evidence(Independent(example=Image(height=3, width=3, levels=3)))
    table = twin.model.table[0].double()
    expected = torch.stack([table[torch.arange(4), x.flatten().long()].prod() for x in twin.outcomes])
    assert torch.allclose(found.mass, expected, rtol=1e-5) and found.total[0] == pytest.approx(1.0, abs=1e-5)
    assert found.counts.sum() == 4000


def test_dequantised_pixels_have_masses_that_sum_to_one_at_most():
    _, found = evidence(PictureGaussian(example=Image(height=4, width=4)))
    assert found.kind == "logarithmic" and len(found.mass) == 16
    # A normal spills over the ends of [-1, 1), which belongs to no image: less than one is right.
    assert 0.3 < found.total[0] < 1.0


def test_the_level_is_six_standard_errors():
    assert upper_tail() == pytest.approx(6.0, abs=0.01)
    assert upper_tail(0.025) == pytest.approx(1.96, abs=0.001)
