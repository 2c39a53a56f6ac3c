"""Files that are whole or absent: JSON and safetensors, written beside their place and moved there in one step.

Weights carry a SHA-256 of their own contents in the header, so a file that changed after it was written is refused.
Nothing is ever unpickled.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from pushforward.core.errors import InputError

__all__ = ["digest", "read_json", "read_tensors", "write_bytes", "write_json", "write_tensors"]


def write_bytes(path: Path, contents: bytes) -> None:
    """Write ``contents`` so that ``path`` is at any moment the old file or the new one, never part of one.

    Raises:
        InputError: if the place cannot be written (no room, no permission); what was there stays.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with open(beside, "wb") as file:
            file.write(contents)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        with contextlib.suppress(OSError):  # a name too long, or below a file, cannot be removed either
            beside.unlink()
        raise InputError(f"{path}: cannot be written ({error.strerror}), expected a writable place with room") from None


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, whole or not at all."""
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: if it is missing or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError):
        raise InputError(f"{path}: cannot be read as JSON, expected a file written by pushforward") from None


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and contents, in the order of the names."""
    sha = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().contiguous().cpu()
        sha.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else b"")
    return sha.hexdigest()


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> str:
    """Write named tensors as safetensors, whole or not at all.

    Returns:
        Their SHA-256, which also stands in the header.
    """
    contents = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    sha = digest(contents)
    write_bytes(path, _settled(save(contents, metadata={**(metadata or {}), "format": "pt", "sha256": sha})))
    return sha


def _settled(raw: bytes) -> bytes:
    """The same safetensors file with its header in alphabetical order, so that equal weights are equal files.

    The format is the length of a JSON header in 8 bytes, the header (padded to 8 bytes), and the tensors.
    """
    size = int.from_bytes(raw[:8], "little")
    header = json.dumps(json.loads(raw[8 : 8 + size]), sort_keys=True).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + raw[8 + size :]


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read named tensors and the metadata of a safetensors file.

    Raises:
        InputError: if the file is missing, is not safetensors, or its contents do not match their SHA-256.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}
            metadata = dict(file.metadata() or {})
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (SafetensorError, OSError, ValueError):
        raise InputError(f"{path}: is not a safetensors file, expected weights written by pushforward") from None
    if "sha256" not in metadata:
        raise InputError(f"{path}: carries no SHA-256, expected weights written by pushforward")
    if digest(tensors) != metadata["sha256"]:
        raise InputError(f"{path}: its contents do not match the recorded SHA-256, expected the file as it was written")
    return tensors, metadata
