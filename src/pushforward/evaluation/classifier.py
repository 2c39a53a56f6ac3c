r"""A small classifier, trained once on the user's own labelled training split: a ruler, not a generative model.

.. math:: h = \mathrm{body}(x) \in \mathbb{R}^{64}, \qquad p(c \mid x) = \mathrm{softmax}(W\,\mathrm{SiLU}(h) + b)

The body is a small convolutional network for images and a perceptron for vectors. The 64 numbers h, before their
non-linearity, are features in which examples of one kind lie close: what does not matter to the class (noise, the
texture of a stroke) is lost there, and is seen in the *activations*, the averages over an image of all maps on the way.
The probabilities tell which class a sample belongs to. Trained by AdamW on the cross-entropy; of ten moments the one
with the lowest cross-entropy on the validation split is kept, before the classes collapse to points.

The result is a function of the data, the seed and the number of threads. It can be kept in a folder, named by
fingerprint, seed and version; what is damaged or belongs to other data is trained again.
"""

import contextlib
import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from pushforward.core.data import Batch, Data
from pushforward.core.errors import InputError
from pushforward.core.files import digest, read_json, read_tensors, write_json, write_tensors
from pushforward.core.modality import Label, Value
from pushforward.core.saving import load_weights
from pushforward.core.text import Text
from pushforward.evaluation.vectors import Vectors
from pushforward.nn.backbones import encoder
from pushforward.nn.convnet import ConvEncoder
from pushforward.training.batches import Batches
from pushforward.training.optimizers import learning_rate

__all__ = ["WIDTH", "Classifier", "TrainedClassifier", "obstacle", "train_classifier"]

#: Changes when the same data and seed would give another network.
VERSION = 1

#: Length of h: enough for a hundred classes, few enough for a covariance matrix of some hundred samples.
WIDTH = 64

#: Passes over the training split at most: scanned digits have stopped improving after ten.
PASSES = 20

#: Examples times pixels at most: 100,000 images of 28 x 28, about 35 s on one core; accuracy then grows only slowly.
PIXELS = 80_000_000

#: Rows of vectors at most: about five seconds on one core.
ROWS = 300_000

#: Validation examples looked at: an accuracy of 0.9 is then known to 0.7 %.
HELD_OUT = 2_000

#: Examples per update: small data sets need many updates per pass, large ones stable steps.
BATCH = 128


class Classifier(nn.Module):
    """The network.

    Args:
        shape: (C, H, W) of an image, (D,) of a vector.
        classes: K.

    Example:
        >>> Classifier((1, 8, 8), 10)(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2, 10])
    """

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        image = len(shape) == 3
        # A pyramid of 32 channels costs four times one of 16: for small pictures it is affordable.
        width = (32 if math.prod(shape[1:]) <= 256 else 16) if image else 128
        self.body = encoder(shape, WIDTH, width=width, depth=1 if image else 2)
        self.head = nn.Linear(WIDTH, classes)

    def features(self, y: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch 64"]:
        """h."""
        return self.body(y)

    def activations(self, y: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch activations"]:
        """How strongly every map of a convolutional body answers on average, mean SiLU over all places; and h."""
        assert isinstance(self.body, ConvEncoder)
        answers = [F.silu(part).mean((2, 3)) for part in self.body.maps(y)]
        return torch.cat([*answers, self.body(y)], dim=1)

    def forward(self, y: Float[Tensor, "batch *shape"]) -> Float[Tensor, "batch classes"]:
        """The logits W SiLU(h) + b."""
        return self.head(F.silu(self.body(y)))


@dataclass(frozen=True, kw_only=True)
class TrainedClassifier:
    """A trained network, with what it takes to use it on storage examples.

    Args:
        network: in evaluation mode.
        vectors: storage to its inputs.
        classes: the names of the K classes.
        accuracy: on the validation split.
        majority: share of the most frequent class of the validation split: the accuracy of knowing nothing.
    """

    network: Classifier
    vectors: Vectors
    classes: tuple[Value, ...]
    accuracy: float
    majority: float

    @torch.no_grad()
    def features(self, x: Shaped[Tensor, "batch *storage"]) -> Float[Tensor, "batch 64"]:
        """h of storage examples."""
        return self.network.features(self.vectors(x))

    @torch.no_grad()
    def activations(self, x: Shaped[Tensor, "batch *storage"]) -> Float[Tensor, "batch activations"]:
        """Average answers of all maps, and h, of storage images."""
        return self.network.activations(self.vectors(x))

    @torch.no_grad()
    def probabilities(self, x: Shaped[Tensor, "batch *storage"]) -> Float[Tensor, "batch classes"]:
        """p(c | x) of storage examples."""
        return self.network(self.vectors(x)).softmax(1)


def obstacle(data: Data) -> str:
    """Why no classifier can be trained on some data, as a few words; empty if one can.

    Example:
        >>> from pushforward.core.data import Rows
        >>> from pushforward.core.modality import Points
        >>> rows = Rows(torch.zeros(3, 1).double())
        >>> obstacle(Data(name="x", example=Points(dim=1), train=rows, valid=rows, test=rows))
        'no labels'
    """
    if not isinstance(data.condition, Label):
        return "no labels"
    if isinstance(data.example, Text):
        return "text"
    if len(_known(data.train.spread(HELD_OUT))[1].unique()) < 2:
        return "one class only"
    if len(_known(data.valid.spread(HELD_OUT))[1]) == 0:
        return "no labelled validation examples"
    return ""


def train_classifier(data: Data, vectors: Vectors, *, seed: int = 0, cache: Path | None = None) -> TrainedClassifier:
    """Train the classifier of some data, or take it from the cache.

    Args:
        data: with labels.
        vectors: storage to real vectors, as ``fit_vectors`` gives them.
        seed: of the initial weights and the order of the examples.
        cache: a folder to keep it in.

    Raises:
        InputError: if the data allow none (see ``obstacle``).
    """
    if (reason := obstacle(data)) or not isinstance(data.condition, Label):
        raise InputError(f"classifier: {data.name} has {reason}, expected examples of several classes")
    with torch.inference_mode(False):  # the caller may be in it, and nothing made there can learn
        network = _network(data, vectors, seed, cache)
    x, labels = _known(data.valid.spread(HELD_OUT))
    right = torch.cat([network(vectors(part)) for part in x.split(BATCH)]).argmax(1) == labels
    return TrainedClassifier(
        network=network,
        vectors=vectors,
        classes=data.condition.names,
        accuracy=float(right.double().mean()),
        majority=float(labels.bincount().max() / len(labels)),
    )


def _network(data: Data, vectors: Vectors, seed: int, cache: Path | None) -> Classifier:
    """The network with its weights, from the cache or from training."""
    assert isinstance(data.condition, Label)
    shape = tuple(vectors(data.valid.spread(1).x).shape[1:])
    with torch.random.fork_rng(devices=[]):  # layers take their first weights from the global generator
        torch.manual_seed(seed)
        network = Classifier(shape, data.condition.size)
    place = None if cache is None else _Place(cache, data.fingerprint, seed)
    if place is None or not place.fill(network):
        with torch.enable_grad():
            _train(network, data, vectors, seed)
        if place is not None:
            place.store(network)
    return network.eval().requires_grad_(False)


def _known(batch: Batch) -> tuple[Tensor, Int[Tensor, "batch"]]:
    """The examples whose class is known, and their classes."""
    if batch.condition is None:
        return batch.x[:0], torch.empty(0, dtype=torch.int64)
    value, present = batch.condition
    return batch.x[present], value[present]


def _train(network: Classifier, data: Data, vectors: Vectors, seed: int) -> None:
    """AdamW with warm-up and cosine decay on the cross-entropy; leaves the weights that were best on validation."""
    shape = vectors(data.valid.spread(1).x).shape[1:]
    most = PIXELS // math.prod(shape[1:]) if len(shape) == 3 else ROWS
    batches = Batches(data.train, BATCH, seed)
    total = max(min(PASSES * len(data.train), most) // batches.size, 50)  # tiny data still need some steps
    # The rate is thrice Adam's default, which warm-up and normalisation allow; the decay keeps the features small.
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.05, fused=True)
    x, labels = _known(data.valid.spread(HELD_OUT))
    best, weights = math.inf, network.state_dict()
    for step in range(total):
        optimizer.param_groups[0]["lr"] = 3e-3 * learning_rate(step, total, warmup=0.1, schedule="cosine")
        inputs, targets = _known(data.train[batches.indices(step)])
        if len(targets):
            loss = F.cross_entropy(network(vectors(inputs)), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if (step + 1) % max(total // 10, 1) == 0 or step + 1 == total:
            with torch.no_grad():
                logits = torch.cat([network(vectors(part)) for part in x.split(BATCH)])
            figure = float(F.cross_entropy(logits, labels))
            if figure < best:
                best, weights = figure, {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.load_state_dict(weights)


class _Place:
    """Where a classifier is kept: weights as safetensors, and beside them what they belong to as JSON."""

    def __init__(self, folder: Path, fingerprint: str, seed: int) -> None:
        self.belongs = {"version": VERSION, "fingerprint": fingerprint, "seed": seed}
        key = hashlib.sha256(repr(self.belongs).encode()).hexdigest()[:16]
        self.weights, self.record = folder / f"classifier-{key}.safetensors", folder / f"classifier-{key}.json"

    def fill(self, network: Classifier) -> bool:
        """Whether whole weights of this very data and seed were there; the network then has them."""
        try:
            tensors, _ = read_tensors(self.weights)
            if read_json(self.record) != {**self.belongs, "sha256": digest(tensors)}:
                return False
            load_weights(network, tensors, self.weights)
        except InputError:
            return False
        return True

    def store(self, network: Classifier) -> None:
        """Keep the weights; a place that cannot be written costs time at the next call, and nothing now."""
        with contextlib.suppress(InputError, OSError):
            self.weights.parent.mkdir(parents=True, exist_ok=True)
            sha = write_tensors(self.weights, network.state_dict())
            write_json(self.record, {**self.belongs, "sha256": sha})
