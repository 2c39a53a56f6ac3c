"""Recordings: folders with classes, one that is cut up, other rates and channels, and files that are broken."""

import io
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import wavfile

from pushforward.core.audio import Audio
from pushforward.core.errors import InputError
from pushforward.core.modality import Label
from pushforward.datasets.audio import read_wav, resampled
from pushforward.datasets.load import load_data
from pushforward.datasets.read_as import read_as
from pushforward.datasets.save import endings_for, write_samples
from pushforward.evaluation.vectors import fit_vectors
from pushforward.plotting import draw_examples


def tone(samples: int, rate: int = 8000, frequency: float = 440.0, loud: float = 0.5) -> np.ndarray:
    return np.rint(loud * 32767 * np.sin(2 * np.pi * frequency * np.arange(samples) / rate)).astype(np.int16)


def folder_of(path: Path, count: int = 12) -> Path:
    """Two classes of short tones, no two alike."""
    for index in range(count):
        place = path / ("low", "high")[index % 2]
        place.mkdir(exist_ok=True)
        wavfile.write(place / f"{index}.wav", 8000, tone(200 + 10 * index, frequency=200 + 400 * (index % 2)))
    return path


def test_a_folder_has_classes_and_one_length(tmp_path: Path):
    (folder_of(tmp_path) / "notes.md").write_text("made of tones")
    data = load_data(tmp_path)
    assert data.example == Audio(length=512, rate=8000)  # 95 % of 200 ... 310 samples, in steps of 256
    assert data.condition == Label(names=("high", "low"), title="folder")
    assert len(data.train) + len(data.valid) + len(data.test) == 12
    assert any("12 filled up with silence" in note for note in data.notes)
    assert any("skipped 1 files that are no recordings" in note for note in data.notes)
    assert load_data(tmp_path, length=100).train.spread(1).x.shape == (1, 100)


def test_the_odd_rate_out_is_brought_to_that_of_the_others(tmp_path: Path):
    folder_of(tmp_path)
    wavfile.write(tmp_path / "low" / "fine.wav", 16000, tone(600, rate=16000))
    data = load_data(tmp_path)
    assert data.example == Audio(length=512, rate=8000)
    assert any(note.startswith("1 of 13 recordings brought to 8,000 Hz") for note in data.notes)


def test_a_tone_stays_the_same_tone_at_half_the_rate():
    away_from_ends = slice(50, -50)  # where the filter reaches beyond the recording
    half = resampled(tone(2000, rate=16000), 16000, 8000)[away_from_ends]
    # The low-pass keeps 440 Hz to within a hundredth, and the whole-number samples add a step.
    assert np.abs(half.astype(float) - tone(1000)[away_from_ends]).max() < 0.01 * 16384 + 1


def test_one_recording_is_cut_into_windows_in_order(tmp_path: Path):
    wavfile.write(tmp_path / "song.wav", 8000, np.arange(10 * 50 + 7, dtype=np.int16))
    data = load_data(tmp_path / "song.wav", length=50)
    assert [len(split) for split in (data.train, data.valid, data.test)] == [8, 1, 1]
    assert data.test.spread(1).x[0, 0] == 450
    assert data.train.spread(8).x.flatten().tolist() == list(range(400))
    with pytest.raises(InputError, match=r"song.wav: has 507 samples, three windows of 200 expected at least 600"):
        load_data(tmp_path / "song.wav", length=200)


@pytest.mark.parametrize("kind", ["uint8", "int16", "int32", "float32"])
def test_files_of_any_kind_and_two_channels(tmp_path: Path, kind: str):
    left = {"uint8": 192, "int16": 16384, "int32": 2**30, "float32": 0.5}[kind]
    silent = 128 if kind == "uint8" else 0
    wavfile.write(tmp_path / "x.wav", 100, np.array([[left, silent]] * 5, kind))
    rate, samples = read_wav(tmp_path / "x.wav")
    assert rate == 100
    assert np.abs(samples.astype(int) - 8192).max() <= 1  # the mean of a half and silence


def broken(path: Path, how: str) -> Path:
    good = io.BytesIO()
    wavfile.write(good, 8000, tone(1000))
    contents = good.getvalue()
    path.write_bytes({"text": b"this is no sound", "header": contents[:30], "cut": contents[:900]}[how])
    return path


@pytest.mark.parametrize("how", ["text", "header", "cut"])
def test_a_broken_file_is_one_sentence_that_names_it(tmp_path: Path, how: str):
    with pytest.raises(InputError) as error:
        load_data(broken(tmp_path / "bad.wav", how))
    said = str(error.value)
    assert "bad.wav" in said and "\n" not in said and "expected a whole .wav file" in said


def test_a_file_without_samples_is_refused(tmp_path: Path):
    with wave.open(str(tmp_path / "empty.wav"), "wb") as out:
        out.setparams((1, 2, 8000, 0, "NONE", ""))
        out.writeframes(b"")
    with pytest.raises(InputError, match=r"empty.wav: holds no sound|empty.wav: cannot be read"):
        read_wav(tmp_path / "empty.wav")


def test_samples_become_one_recording_with_pauses(tmp_path: Path):
    audio = Audio(length=40, rate=80)
    x = audio.pack([tone(40), -tone(40)])
    assert endings_for(audio)[0] == ".wav"
    write_samples(audio, x, tmp_path / "two.wav")
    rate, samples = wavfile.read(tmp_path / "two.wav")
    assert (rate, samples.dtype) == (80, np.int16)
    assert np.array_equal(samples, np.concatenate([x[0], np.zeros(20, np.int16), x[1]]))
    write_samples(audio, x, tmp_path / "two.npy")
    assert torch.equal(read_as(tmp_path / "two.npy", audio)[torch.tensor([0, 1])].x, x)


def test_new_recordings_are_read_as_a_model_knows_them(tmp_path: Path):
    audio = Audio(length=100, rate=8000)
    wavfile.write(tmp_path / "a.wav", 8000, tone(250))
    windows = read_as(tmp_path / "a.wav", audio)
    assert len(windows) == 3 and not windows[torch.tensor([2])].x[0, 50:].any()
    assert len(read_as(tmp_path, audio)) == 1  # of a folder, each recording is an example
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="holds no recording"):
        read_as(tmp_path / "none", audio)


def test_the_picture_of_waveforms_is_drawn(tmp_path: Path):
    from PIL import Image as Picture

    audio = Audio(length=200, rate=8000)
    path = draw_examples(audio, audio.pack([tone(200)] * 5), tmp_path / "five")
    with Picture.open(path) as picture:
        assert min(picture.size) > 100
        assert np.asarray(picture.convert("L")).std() > 5  # curves on white


def test_a_tone_is_one_line_of_the_spectrogram():
    audio = Audio(length=4096, rate=8000)
    (seen,) = fit_vectors(audio, torch.empty(0))(audio.pack([tone(4096, frequency=1000.0, loud=1.0)]))
    middle = seen[0, :, 5:-5]
    assert (middle.argmax(0) == 32).all()  # 1,000 Hz of 8,000 in windows of 256
    # A full-scale tone has power 1: 0 decibels, which is 1 here; the other end of the band hears nothing.
    assert (middle[32] - 1).abs().max() < 0.01
    assert middle[100].max() < -0.5
