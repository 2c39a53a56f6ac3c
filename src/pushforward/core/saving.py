"""A saved model is a folder of ``config.json`` and ``model.safetensors``, as the Hugging Face Hub keeps it."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from pushforward.core.errors import InputError
from pushforward.core.files import read_json, read_tensors, write_json, write_tensors
from pushforward.core.spec import from_spec, imported_class, to_spec

if TYPE_CHECKING:
    from pushforward.core.model import Model

__all__ = ["load_folder", "load_weights", "locate", "push_folder", "save_folder"]

CONFIG, WEIGHTS = "config.json", "model.safetensors"

#: The layout of ``config.json``; a reader refuses one it does not know.
FORMAT = 1


def save_folder(model: "Model", folder: Path) -> str:
    """Write the model's configuration and weights; returns the SHA-256 of the weights."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror}), expected a writable place") from None
    write_json(folder / CONFIG, {"format": FORMAT, "model": to_spec(model)})
    return write_tensors(folder / WEIGHTS, model.state_dict())


def load_folder(folder: Path, resolve: Callable[[str], type] = imported_class) -> Any:
    """The model saved in a folder, in evaluation mode.

    Raises:
        InputError: if a file is missing or foreign, or the weights do not fit the configuration.
    """
    config = read_json(folder / CONFIG)
    if not isinstance(config, dict) or config.get("format") != FORMAT or "model" not in config:
        raise InputError(f"{folder / CONFIG}: is not a pushforward configuration, expected 'format': {FORMAT}")
    model = from_spec(config["model"], resolve)
    if not isinstance(model, nn.Module):
        raise InputError(f"{folder / CONFIG}: describes a {type(model).__name__}, expected a model")
    tensors, _ = read_tensors(folder / WEIGHTS)
    real = next((t.dtype for t in tensors.values() if t.is_floating_point()), None)
    if real is not None:  # a model trained in 64 bits comes back in 64 bits
        model.to(real)
    load_weights(model, tensors, folder / WEIGHTS)
    return model.eval()


def load_weights(model: nn.Module, tensors: dict[str, Tensor], source: Path) -> None:
    """Fill a model with named weights.

    Raises:
        InputError: if names or shapes differ, naming the first that does.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    came = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if wanted != came:
        name = next(n for n in sorted(wanted | came) if wanted.get(n) != came.get(n))
        raise InputError(f"{source}: {name} has shape {came.get(name)}, expected {wanted.get(name)}")
    model.load_state_dict(tensors)


def locate(source: str | Path, revision: str | None = None) -> Path:
    """A local folder as it is, or the snapshot of a repository of the Hub.

    Raises:
        InputError: if there is neither.
    """
    if Path(source).is_dir():
        return Path(source)
    if not isinstance(source, str) or source.count("/") != 1 or source.startswith((".", "/", "~")):
        raise InputError(f"{source}: no such folder, expected a saved model or a name such as owner/model")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(source, revision=revision, allow_patterns=[CONFIG, WEIGHTS]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise InputError(f"{source}: neither a folder nor a repository that can be reached ({error})") from None


def push_folder(model: "Model", repo_id: str, *, token: str | None, private: bool) -> str:
    """Upload a saved model to a repository of the Hub, made if need be; returns its address."""
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    address = api.create_repo(repo_id, private=private, exist_ok=True)
    with TemporaryDirectory() as folder:
        save_folder(model, Path(folder))
        api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message="Upload a pushforward model")
    return str(address)
