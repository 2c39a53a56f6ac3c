"""The run folder comes to be in one step or not at all."""

import errno
import os

import pytest

from pushforward.core.errors import InputError
from pushforward.run.folder import choose_folder, data_record, is_run, new_folder, read_record, versions
from tests.small_data import points, table


def test_a_folder_appears_when_the_block_ends_well(tmp_path):
    with new_folder(tmp_path / "deep" / "run") as folder:
        (folder / "part").write_text("x")
        assert not (tmp_path / "deep" / "run").exists()
    assert (tmp_path / "deep" / "run" / "part").read_text() == "x"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["run"]
    assert (tmp_path / "deep" / "run").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt(), InputError("no")])
def test_a_failure_inside_leaves_nothing(error, tmp_path):
    with pytest.raises(type(error)), new_folder(tmp_path / "run") as folder:
        (folder / "part").write_text("x")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_inside_is_an_input_error_and_leaves_nothing(tmp_path):
    with (
        pytest.raises(InputError, match="cannot be made .No space left"),
        new_folder(tmp_path / "run") as folder,
    ):
        (folder / "part").write_text("x")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_place_taken_in_the_meantime_is_kept(tmp_path):
    with pytest.raises(InputError, match="^out: .* exists"), new_folder(tmp_path / "run"):
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "precious").write_text("kept")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert (tmp_path / "run" / "precious").read_text() == "kept"


def test_a_place_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(InputError, match="^out: .*file/run cannot be made"), new_folder(tmp_path / "file" / "run"):
        pass

    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(InputError, match="cannot be made .Permission denied"), new_folder(tmp_path / "run"):
        pass


def test_a_free_number_is_chosen(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("vae-digits", "vae-digits-2", "vae-digits-3"):
        assert str(choose_folder(None, "vae", "digits")) == f"runs/{name}"
        (tmp_path / "runs" / name).mkdir(parents=True)


def test_a_folder_that_exists_is_not_chosen(tmp_path):
    with pytest.raises(InputError, match="exists; to go on with it use --resume"):
        choose_folder(tmp_path, "vae", "digits")


@pytest.mark.parametrize("make", [points, table])
def test_the_record_of_the_data_is_json(make):
    import json

    data = make()
    record = json.loads(json.dumps(data_record(data), allow_nan=False))
    assert record["fingerprint"] == data.fingerprint
    assert record["examples"] == {"train": 480, "valid": 60, "test": 60}
    assert record["recipe"] is None


@pytest.mark.parametrize("contents", ["[]", "{}", '{"settings": 1, "model": {}, "versions": {}}', "not json"])
def test_a_foreign_record_is_refused(contents, tmp_path):
    for name in ("config.json", "data.json", "model.safetensors"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "training.json").write_text(contents)
    assert is_run(tmp_path)
    with pytest.raises(InputError, match=r"training\.json: (is not a record of a run|cannot be read as JSON)"):
        read_record(tmp_path)


def test_versions_are_those_of_this_process():
    import torch

    assert versions()["torch"] == torch.__version__
