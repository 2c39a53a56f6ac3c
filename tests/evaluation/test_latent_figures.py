"""Pictures of latent spaces, of models with a posterior, with a codebook, with a code and without."""

import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image as Picture

from pushforward.evaluation.collapse import LatentUse
from pushforward.evaluation.latent_figures import draw_latents, draw_map, draw_use, two_units
from pushforward.evaluation.latents import Codes, codes_of
from pushforward.probability.baselines import Gaussian
from tests.evaluation.codes import Echo, Levels, Mirror
from tests.small_data import digits, points

#: Of a unit that carries something, and of one that does not.
BLUE, ORANGE = (42, 111, 176), (209, 102, 28)


@pytest.mark.parametrize(
    ("kind", "fields", "colour"),
    [(Echo, {"gain": (1.0, 1.0)}, BLUE), (Echo, {"gain": (0.1, 0.1)}, ORANGE), (Levels, {}, BLUE), (Mirror, {}, BLUE)],
    ids=["active", "idle", "codes", "plain"],
)
def test_every_kind_of_code_is_drawn(kind, fields, colour, tmp_path):
    data = points()
    path = draw_latents(kind(example=data.example, **fields), data, tmp_path)
    assert path == tmp_path / "latents.png"
    picture = Picture.open(path).convert("RGB")
    assert picture.size == (990, 440)
    found = {seen for _, seen in picture.getcolors(2**20)}
    assert colour in found and ({BLUE, ORANGE} - {colour}).isdisjoint(found)


def test_a_model_without_a_code_is_not_drawn(tmp_path):
    assert draw_latents(Gaussian(example=points().example), points(), tmp_path) is None
    assert not list(tmp_path.iterdir())


def test_two_units_are_the_plane_themselves_and_many_are_projected():
    data = points()
    codes = codes_of(Mirror(example=data.example), data.valid)
    plane, names = two_units(Mirror(example=data.example), codes)
    assert (plane == codes.z).all() and names == ("unit 0", "unit 1")
    data = digits()
    codes = codes_of(Mirror(example=data.example), data.valid)
    plane, names = two_units(Mirror(example=data.example), codes)
    assert plane.shape == (60, 2) and "principal" in names[0]


@pytest.mark.parametrize(("count", "area"), [(30, 36.0), (1000, 8.0), (100_000, 2.0)])
@pytest.mark.parametrize("classes", [1, 2])
def test_the_fewer_codes_the_larger_their_points(count, area, classes):
    """A thousand points are 8 square points each; fewer cover as much together, within what a point can be."""
    plane = torch.randn(count, 2, generator=torch.Generator().manual_seed(0))
    labels = None if classes == 1 else torch.arange(count) % 2
    axes = Figure().subplots()
    draw_map(axes, plane, Codes(plane, plane, labels, ("a", "b"), (2,)))
    assert [float(points.get_sizes()[0]) for points in axes.collections] == [area] * classes
    if classes == 2:  # the marks of the legend are of one size
        assert [float(mark.get_sizes()[0]) for mark in axes.get_legend().legend_handles] == pytest.approx([36.0] * 2)


@pytest.mark.parametrize(("kl", "label"), [((3.0, 0.0), "KL (nats)"), ((3.0,), "variance of the posterior mean")])
def test_a_bar_for_every_unit_even_where_nats_are_those_of_all_together(kl, label):
    use = LatentUse(kl=kl, variance=(1.0, 0.001), information=1.0, mismatch=0.1, needed=2, rows=9)
    axes = Figure().subplots()
    draw_use(axes, use)
    assert axes.get_title() == "1 of 2 units active" and axes.get_ylabel() == label
    assert len(axes.patches) == 2
