"""Models in the folder convention of the Hugging Face Hub, without a network."""

import shutil
from pathlib import Path

import huggingface_hub
import pytest
import torch

from pushforward.core.errors import InputError
from pushforward.core.model import Model
from pushforward.core.saving import locate
from pushforward.zoo import create
from tests.small_data import points
from tests.training.learners import Bell, Duel


@pytest.fixture
def bell() -> Bell:
    made = create(Bell, points(), {"start": 0.5})
    made.log_std.data.fill_(-1.0)
    return made


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Path:
    """A Hub that is a folder."""
    place = tmp_path / "hub"

    class FakeApi:
        def __init__(self, token=None):
            assert token == "secret"

        def create_repo(self, repo_id, *, private, exist_ok):
            (place / repo_id).mkdir(parents=True, exist_ok=exist_ok)
            return f"https://hub.test/{repo_id}{'?private' if private else ''}"

        def upload_folder(self, *, repo_id, folder_path, commit_message):
            shutil.copytree(folder_path, place / repo_id, dirs_exist_ok=True)

    def fake_download(repo_id, *, revision, allow_patterns):
        if not (place / repo_id).is_dir():
            raise huggingface_hub.errors.LocalEntryNotFoundError(f"no {repo_id}")
        assert set(allow_patterns) == {"config.json", "model.safetensors"}
        return str(place / repo_id)

    monkeypatch.setattr(huggingface_hub, "HfApi", FakeApi)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fake_download)
    return place


def same(one: Model, two: Model) -> bool:
    assert torch.equal(one.sample(20, seed=3), two.sample(20, seed=3))
    return one.fitted == two.fitted and one.condition == two.condition and type(one) is type(two)


def test_a_folder_round_trips(bell, tmp_path):
    bell.save_pretrained(tmp_path / "new" / "model")
    assert sorted(path.name for path in (tmp_path / "new" / "model").iterdir()) == ["config.json", "model.safetensors"]
    assert same(bell, Bell.from_pretrained(tmp_path / "new" / "model"))
    assert same(bell, Model.from_pretrained(str(tmp_path / "new" / "model")))


def test_a_run_folder_is_a_saved_model(tmp_path):
    from pushforward.run.verbs import fit
    from pushforward.training.settings import Settings

    run = fit(Bell, points(), steps=2, out=tmp_path / "run", settings=Settings(threads=1, device="cpu"))
    assert same(run.model, Bell.from_pretrained(run.path))


def test_a_model_goes_to_the_hub_and_comes_back(bell, hub):
    address = bell.push_to_hub("someone/bell", token="secret")
    assert address == "https://hub.test/someone/bell"
    assert sorted(path.name for path in (hub / "someone/bell").iterdir()) == ["config.json", "model.safetensors"]
    assert same(bell, Bell.from_pretrained("someone/bell"))
    assert bell.push_to_hub("someone/bell", token="secret", private=True).endswith("?private")


def test_another_class_is_refused(bell, tmp_path):
    bell.save_pretrained(tmp_path / "model")
    with pytest.raises(InputError, match="holds a Bell, expected a Duel"):
        Duel.from_pretrained(tmp_path / "model")


@pytest.mark.parametrize("source", ["nothing", "./nothing", "/no/such/folder", "a/b/c", Path("owner/model")])
def test_what_is_neither_folder_nor_repository_is_named(source):
    with pytest.raises(InputError, match="no such folder, expected a saved model or a name such as owner/model"):
        locate(source)


def test_a_repository_that_cannot_be_reached_is_named(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="^nobody/nothing: neither a folder nor a repository that can be reached"):
        Bell.from_pretrained("nobody/nothing")


def test_a_repository_that_is_not_there_is_named(hub):
    with pytest.raises(InputError, match="^someone/else: neither a folder nor a repository"):
        Bell.from_pretrained("someone/else")


def test_a_full_disk_leaves_the_saved_model(bell, tmp_path, monkeypatch):
    import errno
    import os

    bell.save_pretrained(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    bell.mean.data.fill_(9.0)

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="cannot be written .No space left on device"):
        bell.save_pretrained(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
