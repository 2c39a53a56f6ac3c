"""Recordings as windows of 16-bit samples."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pushforward.core.errors import InputError
from pushforward.core.modality import Modality

__all__ = ["LOUDEST", "Audio"]

#: Samples are whole numbers from -32,768 to 32,767, as in an ordinary ``.wav``.
LOUDEST = 2**15 - 1


@dataclass(frozen=True, kw_only=True)
class Audio(Modality):
    """Waveforms of one channel and one length, 16 bits a sample; what is shorter ends in silence.

    Args:
        length: samples in one example.
        rate: samples per second.

    Example:
        >>> audio = Audio(length=4, rate=8000)
        >>> audio.pack([np.array([1, -2, 3], np.int16)]).tolist(), audio.seconds
        ([[1, -2, 3, 0]], 0.0005)
    """

    length: int
    rate: int

    def __post_init__(self) -> None:
        """Check the two numbers."""
        for name in ("length", "rate"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: got {getattr(self, name)}, expected at least 1")

    @property
    def seconds(self) -> float:
        """How long an example lasts."""
        return self.length / self.rate

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.length,)

    @property
    def dtype(self) -> torch.dtype:
        return torch.int16

    @property
    def gridded(self) -> tuple[bool, bool]:
        return True, True

    def describe(self) -> str:
        return f"waveforms of {self.length:,} samples at {self.rate:,} Hz ({self.seconds:.3g} s)"

    def pack(self, user: Any) -> Tensor:
        """Waveforms, each a row of whole 16-bit samples, or of numbers in [-1, 1].

        Raises:
            InputError: if one is longer than an example, or no waveform.
        """
        storage = torch.zeros(len(user), self.length, dtype=torch.int16)
        for row, waveform in zip(storage, user, strict=True):
            samples = sixteen_bits(np.asarray(waveform))
            if len(samples) > self.length:
                raise InputError(f"audio: got {len(samples):,} samples, expected at most {self.length:,}")
            row[: len(samples)] = torch.from_numpy(samples)
        return storage

    def unpack(self, storage: Tensor) -> np.ndarray:
        """Waveforms as int16 (B, length)."""
        return storage.cpu().numpy()


def sixteen_bits(samples: np.ndarray) -> np.ndarray:
    """A waveform (T,) of any type that a ``.wav`` can hold, as int16.

    Raises:
        InputError: if it is no waveform.

    Example:
        >>> sixteen_bits(np.array([-1.0, 0.0, 1.0])).tolist(), sixteen_bits(np.array([128, 255], np.uint8)).tolist()
        ([-32767, 0, 32767], [0, 32512])
    """
    if samples.ndim != 1:
        raise InputError(f"audio: got an array of shape {samples.shape}, expected one channel of samples")
    match samples.dtype.name:
        case "int16":
            return samples.copy()
        case "uint8":  # eight bits have their silence at 128
            return (samples.astype(np.int16) - 128) * 256
        case "int32":  # of which 24 bits are the upper ones
            return (samples >> 16).astype(np.int16)
        case "int64" if not samples.size or np.abs(samples).max() <= LOUDEST:
            return samples.astype(np.int16)
        case "float32" | "float64":
            if not np.isfinite(samples).all():
                raise InputError("audio: holds NaN or infinite numbers, expected finite ones")
            return np.rint(np.clip(samples, -1.0, 1.0).astype(np.float64) * LOUDEST).astype(np.int16)
        case kind:
            raise InputError(f"audio: got {kind} samples, expected 16-bit whole numbers or numbers in [-1, 1]")
