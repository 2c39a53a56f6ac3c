"""What the tests of ``fit`` and of ``resume`` share."""

from pathlib import Path

from safetensors.torch import load_file

from pushforward.training.checkpoint import load_checkpoint
from pushforward.training.settings import Settings

__all__ = ["QUICK", "draw_nothing", "final", "weights"]

QUICK = Settings(threads=1, device="cpu", batch_size=32, validate_every=5)


def draw_nothing(model, data, folder, *, seed):
    """Stands for the picture of samples, which takes longer than all else here, and only says what it would show."""
    (folder / "samples.txt").write_text(str(model.sample(3, seed=seed).tolist()))


def weights(folder: Path) -> dict[str, bytes]:
    """What samples are drawn with, byte for byte."""
    return {name: tensor.numpy().tobytes() for name, tensor in load_file(folder / "model.safetensors").items()}


def final(folder: Path) -> dict[str, bytes]:
    """Everything in the last checkpoint, byte for byte: raw, averaged and best weights, and the random state."""
    return {name: tensor.numpy().tobytes() for name, tensor in load_checkpoint(folder / "checkpoint")[1].items()}
