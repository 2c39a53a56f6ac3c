"""Units of images: levels that come back, and log-determinants that are those of the map."""

import math

import pytest
import torch
from torch import Tensor

from pushforward.core.fit_units import default_units
from pushforward.core.modality import Image
from pushforward.core.noise import Noise
from pushforward.core.pixel_units import PixelCodes, Pixels
from pushforward.core.units import Units


class Fixed(Noise):
    """Noise whose uniforms are given."""

    def __init__(self, uniforms: Tensor) -> None:
        super().__init__(0, rows=len(uniforms))
        self.uniforms = uniforms

    def uniform(self, *event: int, like: Tensor | None = None) -> Tensor:
        return self.uniforms.reshape(len(self.uniforms), *event).to(like.dtype)


def all_levels(levels: int) -> tuple[Image, Tensor]:
    """Two images that between them hold every level."""
    image = Image(height=4, width=levels // 4 + 1, channels=2, levels=levels)
    size = math.prod(image.shape)
    return image, (torch.arange(2 * size) % levels).reshape(2, *image.shape).to(torch.uint8)


@pytest.mark.parametrize("levels", [2, 17, 256])
@pytest.mark.parametrize("scale", ["affine", "logit"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_levels_come_back(levels, scale, dtype):
    """Also from the ends of their cells: u = 0 and the largest uniform below 1."""
    image, x = all_levels(levels)
    units = Pixels(example=image, scale=scale)
    assert not units.exact
    # The logit of a float32 is off by 1e-7, which is 2e-5 of a level of 256 cells: from the very ends it may slip.
    margin = 0.0 if scale == "affine" and dtype == torch.float64 else 1e-4
    for u in (margin, 0.5, 1 - 2.0**-24 - margin):
        y, _ = units.encode(x, noise=Fixed(torch.full(x.shape, u).double()), dtype=dtype)
        assert y.dtype == dtype and torch.equal(units.decode(y, noise=Noise(0, rows=2)), x)
    y, _ = units.encode(x, noise=Noise(5, rows=2), dtype=torch.float64)
    assert torch.equal(units.decode(y, noise=Noise(0, rows=2)), x)
    assert -1 <= units.encode(x, noise=Noise(5, rows=2))[0].min() or scale == "logit"


@pytest.mark.parametrize("levels", [2, 17, 256])
@pytest.mark.parametrize("scale", ["affine", "logit"])
def test_log_det_is_that_of_the_map(levels, scale):
    """The slope of each pixel in its level, by central differences in u: the map is diagonal."""
    image, x = all_levels(levels)
    units = Pixels(example=image, scale=scale)
    u = 0.1 + 0.8 * torch.rand(x.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    h = 1e-5
    up, down = (units.encode(x, noise=Fixed(u + sign * h), dtype=torch.float64)[0] for sign in (1, -1))
    slope = ((up - down) / (2 * h)).log().flatten(1).sum(1)
    log_det = units.encode(x, noise=Fixed(u), dtype=torch.float64)[1]
    # Relative error of a central difference: h² times a third derivative of order one, and rounding 1e-16 / h.
    assert torch.allclose(log_det, slope, atol=1e-8 * x[0].numel())


@pytest.mark.parametrize("scale", ["affine", "logit"])
def test_uniform_noise_has_the_mass_of_uniform_levels(scale):
    """q = the law of y for v uniform on [0, 1): every image then has mass L^-D, exactly and for every draw of u."""
    image, x = all_levels(17)
    units = Pixels(example=image, scale=scale)
    y, log_det = units.encode(x, noise=Noise(0, rows=2), dtype=torch.float64)
    if scale == "affine":
        log_q = torch.full((2,), -math.log(2) * math.prod(image.shape)).double()
    else:
        s = torch.sigmoid(y)
        log_q = (s.log() + (1 - s).log() - math.log(1 - 2 * 0.05)).flatten(1).sum(1)
    assert torch.allclose(log_q + log_det, torch.tensor(-math.log(17) * math.prod(image.shape)).double(), atol=1e-9)


def test_samples_beyond_the_range_are_clipped():
    image = Image(height=1, width=2, levels=17)
    y = torch.tensor([[[[-1.5, 1.0]]], [[[-math.inf, math.inf]]]])
    for scale in ("affine", "logit"):
        decoded = Pixels(example=image, scale=scale).decode(y, noise=Noise(0, rows=2))
        assert decoded.min() >= 0 and decoded[1].flatten().tolist() == [0, 16]


def test_codes_are_pixels_in_reading_order():
    image = Image(height=2, width=2, channels=3, levels=256)
    x = torch.arange(12).reshape(1, 2, 2, 3).permute(0, 3, 1, 2).to(torch.uint8)  # channels of a pixel side by side
    units: Units = default_units(image, "codes")
    codes, log_det = units.encode(x, noise=Noise(0, rows=1))
    assert isinstance(units, PixelCodes) and units.exact and units.sizes == (256,) * 12
    assert codes.tolist() == [list(range(12))] and log_det.tolist() == [0.0]
    assert torch.equal(units.decode(codes, noise=Noise(0, rows=1)), x)


def test_an_unknown_scale_raises():
    with pytest.raises(ValueError, match="scale"):
        Pixels(example=Image(height=1, width=1), scale="other").encode(
            torch.zeros(1, 1, 1, 1, dtype=torch.uint8), noise=Noise(0, rows=1)
        )
