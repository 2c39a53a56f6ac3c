"""Waveforms: packing, eight to thirty-two bits, and their units."""

import math

import numpy as np
import pytest
import torch

from pushforward.core.audio import Audio, sixteen_bits
from pushforward.core.errors import InputError
from pushforward.core.fit_units import default_units, fit_units
from pushforward.core.noise import Noise
from pushforward.core.waveform_units import Waveforms

AUDIO = Audio(length=6, rate=100)


def test_short_waveforms_end_in_silence_and_come_back():
    storage = AUDIO.pack([np.array([1, -2], np.int16), np.arange(6, dtype=np.int16)])
    AUDIO.check(storage)
    assert storage.tolist() == [[1, -2, 0, 0, 0, 0], [0, 1, 2, 3, 4, 5]]
    assert AUDIO.unpack(storage).tolist() == storage.tolist()
    assert AUDIO.gridded == (True, True)
    assert AUDIO.describe() == "waveforms of 6 samples at 100 Hz (0.06 s)"


@pytest.mark.parametrize("kind", ["uint8", "int16", "int32", "int64", "float32", "float64"])
def test_every_kind_of_sample_becomes_sixteen_bits(kind: str):
    quarter = {"uint8": 160, "int16": 8192, "int32": 2**29, "int64": 8192}.get(kind, 0.25)
    (found,) = sixteen_bits(np.array([quarter], kind))
    assert abs(int(found) - 8192) <= 1


def test_what_is_too_loud_is_clipped():
    assert sixteen_bits(np.array([-3.0, 3.0])).tolist() == [-32767, 32767]


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((2, 2)), r"audio: got an array of shape \(2, 2\), expected one channel"),
        (np.array([math.nan]), "audio: holds NaN"),
        (np.array([1j]), "audio: got complex128 samples"),
        (np.array([70_000]), "audio: got int64 samples"),
    ],
)
def test_what_is_no_waveform_is_refused(samples: np.ndarray, message: str):
    with pytest.raises(InputError, match=message):
        sixteen_bits(samples)


def test_numbers_that_cannot_be_are_refused():
    with pytest.raises(InputError, match="audio: got 7 samples, expected at most 6"):
        AUDIO.pack([np.zeros(7, np.int16)])
    with pytest.raises(InputError, match="rate: got 0, expected at least 1"):
        Audio(length=6, rate=0)


def test_units_are_of_order_one_and_every_sample_comes_back():
    loud = torch.tensor([[-32768, -3, 0, 1, 7, 32767]] * 64, dtype=torch.int16)
    units = fit_units(AUDIO, "real", loud)
    assert isinstance(units, Waveforms)
    noise = Noise(0, rows=64)
    y, log_det = units.encode(loud, noise=noise, dtype=torch.float64)
    assert y.shape == (64, 1, 1, 6)
    assert abs(y.square().mean() - 1) < 1e-4  # dequantisation adds 1/12 to a mean square of 3e8
    assert torch.equal(units.decode(y, noise=noise), loud)
    assert log_det[0] == pytest.approx(-6 * math.log(units.scale))
    assert not units.exact


def test_a_uniform_density_gives_a_sample_the_mass_of_its_cell():
    """A density that is 1/65,536 for every sample in storage form is s/65,536 in units of s."""
    units = Waveforms(example=Audio(length=1, rate=1), scale=50.0)
    y, log_det = units.encode(torch.tensor([[12]], dtype=torch.int16), noise=Noise(0, rows=1))
    assert math.log(50.0 / 2**16) + log_det.item() == pytest.approx(-16 * math.log(2), rel=1e-6)
    assert abs(y.item() * 50 - 12) <= 0.5


def test_silence_has_units_and_codes_have_none():
    assert fit_units(AUDIO, "real", torch.zeros(2, 6, dtype=torch.int16)) == Waveforms(example=AUDIO, scale=1.0)
    assert default_units(AUDIO, "logit").shape == (1, 1, 6)
    with pytest.raises(InputError, match="data: this model works on codes and cannot take waveforms"):
        default_units(AUDIO, "codes")
