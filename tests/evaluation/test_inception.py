"""Inception through torch-fidelity: where the weights must be, what is refused, and the maps with random weights."""

import pickle
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from pushforward.core.errors import InputError
from pushforward.core.modality import Image
from pushforward.evaluation.features import choose_features
from pushforward.evaluation.inception import FILE, VARIABLE, find_weights, load_inception, to_rgb
from tests.small_data import digits, points

EXTRACTOR = "torch_fidelity.feature_extractor_inceptionv3"
GREY = Image(height=8, width=8, levels=17)


class Network(torch.nn.Module):
    """In the place of Inception: the mean of each channel, and two logits."""

    def __init__(self, name: str, features_list: list[str], *, feature_extractor_weights_path: str) -> None:
        super().__init__()
        assert features_list == ["2048", "logits_unbiased"]
        self.shift = torch.load(feature_extractor_weights_path, weights_only=True)["shift"]

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        assert x.dtype == torch.uint8
        mean = x.float().mean((2, 3)) + self.shift
        return mean, torch.stack([mean[:, 0] * 0, mean[:, 0] * 0 + 3**0.5], 1)


@pytest.fixture
def small_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A stand-in for torch-fidelity, and its weights."""
    module = ModuleType(EXTRACTOR)
    module.FeatureExtractorInceptionV3 = Network
    monkeypatch.setitem(sys.modules, "torch_fidelity", ModuleType("torch_fidelity"))
    monkeypatch.setitem(sys.modules, EXTRACTOR, module)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.delenv(VARIABLE, raising=False)
    path = tmp_path / "weights.pth"
    torch.save({"shift": torch.tensor(1.0)}, path)
    return path


def test_the_features_are_those_of_the_network(small_network: Path):
    data = digits(100)
    features = choose_features(data, wish="inception", weights=small_network)
    assert features.name == "Inception (2048)"
    assert features.classes == ()
    x = data.test.x
    expected = (x.float() * 255 / 16).round().mean((1, 2, 3)) + 1
    torch.testing.assert_close(features(x), expected[:, None].expand(-1, 3))
    torch.testing.assert_close(features.probabilities(x).log().diff()[:, 0], torch.full((len(x),), 3**0.5))


def test_the_weights_are_found_by_argument_variable_and_cache(small_network: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(InputError, match=rf"^features: inception needs its weights, and .*{FILE} is no file, expected"):
        find_weights()
    kept = small_network.parent / "hub" / "checkpoints" / FILE
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"")
    assert find_weights() == kept
    monkeypatch.setenv(VARIABLE, str(small_network))
    assert find_weights() == small_network
    assert find_weights(kept) == kept


class Harm:
    """Unpickled with all powers, it would leave a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


def test_a_file_that_would_run_code_is_refused_and_does_not(small_network: Path):
    mark = small_network.parent / "mark"
    torch.save({"shift": Harm(mark)}, small_network)
    with pytest.raises(InputError, match=f"does not hold Inception's weights, expected the file {FILE}"):
        load_inception(GREY, small_network)
    assert not mark.exists()
    for contents in (b"", b"no weights", pickle.dumps([1], protocol=2)):
        small_network.write_bytes(contents)
        with pytest.raises(InputError, match="does not hold Inception's weights"):
            load_inception(GREY, small_network)


def test_what_is_missing_is_named_with_its_install_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, EXTRACTOR, None)  # an import of it fails
    with pytest.raises(InputError, match=r"^features: inception needs torch-fidelity .*: pip install torch-fidelity t"):
        load_inception(GREY)


def test_points_have_no_inception():
    with pytest.raises(InputError, match=r"^features: inception is for images, got points of 2 numbers$"):
        choose_features(points(50), wish="inception")


def test_pictures_become_red_green_and_blue():
    x = torch.tensor([[[[10]], [[20]], [[30]], [[40]]]], dtype=torch.uint8)
    assert to_rgb(x, Image(height=1, width=1, channels=4)).flatten().tolist() == [10, 20, 30]
    assert to_rgb(x[:, :3], Image(height=1, width=1, channels=3)).flatten().tolist() == [10, 20, 30]
    assert to_rgb(x[:, :2], Image(height=1, width=1, channels=2)).flatten().tolist() == [10, 10, 10]
    with pytest.raises(InputError, match="got 5 channels"):
        to_rgb(x.repeat(1, 2, 1, 1)[:, :5], Image(height=1, width=1, channels=5))


@pytest.mark.slow
def test_the_real_architecture_with_random_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("torchvision", "torchvision.datasets", "torchvision.transforms", "torchvision.transforms.functional"):
        stub = ModuleType(name)
        stub.CIFAR10 = stub.CIFAR100 = stub.STL10 = object
        monkeypatch.setitem(sys.modules, name, stub)
    extractor = pytest.importorskip(EXTRACTOR)
    monkeypatch.setattr(extractor, "load_state_dict_from_url", lambda *_, **__: None)
    with monkeypatch.context() as patch:
        patch.setattr(torch.nn.Module, "load_state_dict", lambda *_: None)
        network = extractor.FeatureExtractorInceptionV3("inception", ["2048"])
    path = tmp_path / FILE
    torch.save(network.state_dict(), path)
    embed, predict = load_inception(GREY, path)
    x = digits(10).train.x[:2]
    assert embed(x).shape == (2, 2048)
    torch.testing.assert_close(embed(x), network((x.float() * 255 / 16).round().byte().repeat(1, 3, 1, 1))[0])
    assert predict(x).shape == (2, 1008)
    torch.testing.assert_close(predict(x).sum(1), torch.ones(2))
