"""The Inception network of the published FID and Inception score, through torch-fidelity, where its weights are.

The 2,048 pooled features give the Fréchet distance of Heusel et al. 2017, the logits the score of Salimans et al. 2016,
both with the weights of 2015 converted from TensorFlow, so numbers can be set beside published ones.
"""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from pushforward.core.errors import InputError
from pushforward.core.modality import Image

__all__ = ["find_weights", "load_inception", "to_rgb"]

#: As torch-fidelity names the file and torch.hub keeps it.
FILE = "weights-inception-2015-12-05-6726825d.pth"

#: The environment variable that names another place.
VARIABLE = "PUSHFORWARD_INCEPTION"

Map = Callable[[Tensor], Tensor]


def load_inception(example: Image, weights: Path | None = None) -> tuple[Map, Map]:
    """Two maps from stored images: to 2,048 features, and to the probabilities of Inception's 1,008 classes.

    Args:
        example: what the images are.
        weights: the file of the weights; otherwise ``PUSHFORWARD_INCEPTION``, or the cache of torch.hub.

    Raises:
        InputError: if torch-fidelity or the weights are not there, or the file holds something else.
    """
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError as error:
        raise InputError(
            f"features: inception needs torch-fidelity ({error}), "
            "expected it after: pip install torch-fidelity torchvision"
        ) from None
    path = find_weights(weights)
    try:
        # torch-fidelity unpickles the file with all its powers. What this safe reader takes holds tensors only, and
        # cannot do harm in the second reading.
        torch.load(path, map_location="cpu", weights_only=True)
        layers = ["2048", "logits_unbiased"]  # the score of Salimans et al. is taken without the last bias
        network = FeatureExtractorInceptionV3("inception-v3-compat", layers, feature_extractor_weights_path=str(path))
    except (OSError, RuntimeError, AttributeError, TypeError, ValueError, EOFError, pickle.UnpicklingError):
        raise InputError(f"features: {path} does not hold Inception's weights, expected the file {FILE}") from None

    def features(x: Tensor) -> Tensor:
        return torch.cat([network(part)[0] for part in to_rgb(x, example).split(32)])

    def probabilities(x: Tensor) -> Tensor:
        return torch.cat([network(part)[1].softmax(1) for part in to_rgb(x, example).split(32)])

    return features, probabilities


def find_weights(weights: Path | None = None) -> Path:
    """The file of Inception's weights: the one given, or ``PUSHFORWARD_INCEPTION``, or the one in torch.hub's cache.

    Raises:
        InputError: if it is not there, saying where it must lie.
    """
    named = os.environ.get(VARIABLE)
    path = weights or (Path(named).expanduser() if named else Path(torch.hub.get_dir()) / "checkpoints" / FILE)
    if not path.is_file():
        raise InputError(
            f"features: inception needs its weights, and {path} is no file, expected {FILE} of torch-fidelity "
            f"there or where {VARIABLE} says"
        )
    return path


def to_rgb(x: Int[Tensor, "batch c h w"], example: Image) -> Int[Tensor, "batch 3 h w"]:
    """Stored images as red, green and blue from 0 to 255: grey is repeated, an alpha channel left out.

    Example:
        >>> two = Image(height=1, width=2, levels=17)
        >>> to_rgb(torch.tensor([[[[0, 16]]]], dtype=torch.uint8), two).tolist()
        [[[[0, 255]], [[0, 255]], [[0, 255]]]]
    """
    if example.channels not in (1, 2, 3, 4):
        raise InputError(f"features: inception takes grey or colour images, got {example.channels} channels")
    colours = x[:, :1].expand(-1, 3, -1, -1) if example.channels < 3 else x[:, :3]
    return (colours.float() * (255 / (example.levels - 1))).round().to(torch.uint8)
