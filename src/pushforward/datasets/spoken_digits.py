"""The Free Spoken Digit Dataset: 3,000 recordings of ten digits by six speakers, takes 0 to 4 of each for testing.

Its home is https://github.com/Jakobovski/free-spoken-digit-dataset (CC BY-SA 4.0), where every recording is a file
``recordings/DIGIT_SPEAKER_TAKE.wav``. A clone of it named ``fsdd`` in ``PUSHFORWARD_DATA`` is read as it is; so is
``fsdd/fsdd.npz``, the same recordings as one zero-padded array with their lengths, digits and test marks.
"""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from pushforward.core.audio import Audio
from pushforward.core.data import Data
from pushforward.core.errors import InputError
from pushforward.datasets.audio import fit_notes, fitted, read_wav, usual_length, wav_files
from pushforward.datasets.catalogue import ENTRIES
from pushforward.datasets.download import find_files
from pushforward.datasets.labels import join_labels, labelled
from pushforward.datasets.options import Options
from pushforward.datasets.places import data_folder
from pushforward.datasets.splits import Found, hash_rows, split_up

__all__ = ["load_spoken_digits"]

RATE = 8000

#: The official test set are the takes below this.
TEST_TAKES = 5

#: Waveforms, digits, and which are for testing.
Recordings = tuple[list[np.ndarray], np.ndarray, np.ndarray]


def load_spoken_digits(options: Options) -> Data:
    """The recordings with their digits as classes; ``length`` samples each, otherwise 5,376.

    Raises:
        InputError: if they are not there or not whole.
    """
    options.allow("fsdd", "length")
    place = data_folder()
    if place is not None and (clone := place / "fsdd" / "recordings").is_dir():
        waves, digits, test = _clone(clone)
    else:
        waves, digits, test = _archive(find_files(ENTRIES["fsdd"])["fsdd.npz"])
    lengths = [len(wave) for wave in waves]
    audio = Audio(length=options.length or usual_length(lengths), rate=RATE)
    x = fitted(waves, audio)
    rows = {"train": np.flatnonzero(~test), "test": np.flatnonzero(test)}
    given = {split: (len(some), digits[some].astype(str)) for split, some in rows.items()}
    label, labels = join_labels(given, "digit", tuple("0123456789"))
    return split_up(
        Found(
            example=audio,
            rows=labelled(x[rows["train"]], labels["train"]),
            hashes=hash_rows(x[rows["train"]].numpy()),
            condition=label,
            test=labelled(x[rows["test"]], labels["test"]),
            notes=("its own test split", *fit_notes(lengths, audio.length)),
        ),
        options,
        "fsdd",
    )


def _clone(folder: Path) -> Recordings:
    files = wav_files(sorted(folder.iterdir()))
    names = [path.stem.split("_") for path in files]
    strange = next((path for path, name in zip(files, names, strict=True) if len(name) != 3), None)
    if strange is not None or not files:
        raise InputError(f"fsdd: {strange or folder} is no recording of it, expected files such as 7_jackson_32.wav")
    digits, takes = (np.array([int(name[part]) for name in names]) for part in (0, 2))
    return [read_wav(path)[1] for path in files], digits, takes < TEST_TAKES


def _archive(path: Path) -> Recordings:
    try:
        with np.load(path, allow_pickle=False) as found:
            audio, lengths = found["audio"], found["length"]
            digits, test = found["label"], found["is_test"]
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error):
        raise InputError(f"{path}: cannot be read, expected the arrays audio, length, label and is_test") from None
    return [row[:length] for row, length in zip(audio, lengths, strict=True)], digits, test
