"""Recordings in ``.wav`` files as waveforms of one rate and one length: a folder of them, or one that is cut up."""

import math
import struct
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pushforward.core.audio import LOUDEST, Audio, sixteen_bits
from pushforward.core.data import Data, Rows
from pushforward.core.errors import InputError
from pushforward.datasets.labels import labelled
from pushforward.datasets.options import Options
from pushforward.datasets.pictures import by_split, folder_labels
from pushforward.datasets.splits import HELD_OUT, Found, hash_rows, split_up

__all__ = ["load_recording", "load_recordings", "read_recordings", "read_wav", "usual_length", "wav_files", "windows"]

#: An example is as long as this share of the recordings, and the rest are cut at their ends: one long recording among
#: a thousand words would otherwise fill all of them with silence.
COVERED = 0.95

#: Lengths are multiples of this, so that a network can halve them many times, and by themselves at most this long: one
#: second of speech at 16 kHz.
STEP, MOST = 256, 2**14


def wav_files(paths: list[Path]) -> list[Path]:
    """Those of some files that have the ending of a recording."""
    return [path for path in paths if path.suffix.lower() == ".wav" and not path.name.startswith(".")]


def read_wav(path: Path) -> tuple[int, np.ndarray]:
    """Samples per second, and the waveform as int16; several channels become their mean.

    Raises:
        InputError: naming the file, if it is no whole recording.
    """
    from scipy.io import wavfile

    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            rate, samples = wavfile.read(path)
    except (ValueError, EOFError, OSError, struct.error, MemoryError) as error:
        reason = "may not be read" if isinstance(error, PermissionError) else "cannot be read"
        raise InputError(f"{path}: {reason} as a recording, expected a whole .wav file") from None
    if any("EOF" in str(warning.message) for warning in said):
        raise InputError(f"{path}: is cut short, expected a whole .wav file")
    if rate < 1 or samples.size == 0:
        raise InputError(f"{path}: holds no sound, expected a .wav file with samples")
    try:
        return int(rate), sixteen_bits(samples if samples.ndim == 1 else _mono(samples))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def load_recordings(folder: Path, files: list[Path], others: list[Path], options: Options) -> Data:
    """Data from a folder of recordings, each an example; subfolders are classes, or splits, as with pictures.

    What is shorter than an example ends in silence, what is longer is cut at its end, and what has another rate than
    most is brought to theirs.

    Args:
        folder: of the recordings.
        files: the recordings.
        others: the files beside them.
        options: ``length`` in samples, otherwise that of 95 % of the recordings; ``condition``, one class each.

    Raises:
        InputError: naming the file, if one cannot be read.
    """
    options.allow("a folder of recordings", "length", "condition")
    found, depth = by_split(folder, files)
    read = {split: [read_wav(path) for path in paths] for split, paths in found.items()}
    every = [recording for some in read.values() for recording in some]
    rate = Counter(rate for rate, _ in every).most_common(1)[0][0]
    waves = {split: [resampled(wave, own, rate) for own, wave in some] for split, some in read.items()}
    notes = [f"skipped {len(others):,} files that are no recordings"] if others else []
    if other := sum(own != rate for own, _ in every):
        notes.append(f"{other:,} of {len(every):,} recordings brought to {rate:,} Hz, the most common rate")
    lengths = [len(wave) for some in waves.values() for wave in some]
    audio = Audio(length=options.length or usual_length(lengths), rate=rate)
    label, labels = folder_labels(folder, found, depth, options)
    if label is not None and options.condition is None:
        notes.append(f"subfolders are classes: {label.size}")
    x = {split: fitted(some, audio) for split, some in waves.items()}
    splits = {split: labelled(rows, labels.get(split)) for split, rows in x.items()}
    return split_up(
        Found(
            example=audio,
            rows=splits["train"],
            hashes=hash_rows(x["train"].numpy()),
            condition=label,
            valid=splits.get("valid"),
            test=splits.get("test"),
            notes=(*notes, *fit_notes(lengths, audio.length)),
        ),
        options,
        folder.resolve().name,
    )


def load_recording(path: Path, options: Options) -> Data:
    """Data from one recording, cut into windows one after another: the first four fifths to train, the end to test.

    Raises:
        InputError: if it cannot be read, or is too short for a window of each split.
    """
    options.allow("a recording", "length")
    rate, wave = read_wav(path)
    # Half a second unless asked for otherwise: a few syllables or notes.
    audio = Audio(length=options.length or min(STEP * max(rate // (2 * STEP), 1), MOST), rate=rate)
    x = windows(wave, audio.length)
    held_out = max(int(HELD_OUT * len(x)), 1)
    if len(x) < 3 * held_out:
        needed = f"expected at least {3 * audio.length:,}, or a smaller length"
        raise InputError(f"{path}: has {len(wave):,} samples, three windows of {audio.length:,} {needed}")
    train, valid, test = x.split([len(x) - 2 * held_out, held_out, held_out])
    return Data(
        name=options.title(path.stem),
        example=audio,
        train=Rows(train),
        valid=Rows(valid),
        test=Rows(test),
        notes=(f"{len(x):,} windows of one recording, the last two tenths held out",),
    )


def read_recordings(source: Path, example: Audio) -> Tensor:
    """New examples for a known modality: the recordings of a folder, or the windows of one.

    Raises:
        InputError: if there are none.
    """
    if source.is_dir():
        files = wav_files(sorted(source.rglob("*")))
        if not files:
            raise InputError(f"{source}: holds no recording, expected {example.describe()}")
        return fitted([resampled(wave, own, example.rate) for own, wave in map(read_wav, files)], example)
    own, wave = read_wav(source)
    wave = resampled(wave, own, example.rate)
    missing = -len(wave) % example.length
    return windows(np.pad(wave, (0, missing)), example.length)


def windows(wave: np.ndarray, length: int) -> Tensor:
    """Whole windows of a waveform, one after another.

    Example:
        >>> windows(np.arange(5, dtype=np.int16), 2).tolist()
        [[0, 1], [2, 3]]
    """
    count = len(wave) // length
    return torch.from_numpy(wave[: count * length].reshape(count, length).copy())


def fitted(waves: list[np.ndarray], audio: Audio) -> Tensor:
    """Waveforms cut at their ends or filled up with silence."""
    return audio.pack([wave[: audio.length] for wave in waves])


def fit_notes(lengths: list[int], length: int) -> list[str]:
    """What was done to bring recordings to one length."""
    cut, filled = sum(own > length for own in lengths), sum(own < length for own in lengths)
    return [f"{cut:,} recordings cut at their ends, {filled:,} filled up with silence"] if cut or filled else []


def usual_length(lengths: list[int]) -> int:
    """The length of nearly all of some recordings, as a multiple of 256.

    Example:
        >>> usual_length([300] * 99 + [9000])
        512
    """
    return min(STEP * math.ceil(np.quantile(lengths, COVERED) / STEP), MOST)


def resampled(wave: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """A waveform at another rate, low-passed where that is lower."""
    if rate == wanted:
        return wave
    from scipy.signal import resample_poly

    common = math.gcd(rate, wanted)
    samples: Any = resample_poly(wave.astype(np.float64), wanted // common, rate // common)
    return np.rint(samples.clip(-LOUDEST - 1, LOUDEST)).astype(np.int16)


def _mono(samples: np.ndarray) -> np.ndarray:
    """The mean of the channels, in the type it had."""
    mean = samples.astype(np.float64).mean(1)
    return (mean if samples.dtype.kind == "f" else np.rint(mean)).astype(samples.dtype)
