"""The named data sets: what the published files hold."""

import numpy as np
import pytest
import torch

from pushforward.core.errors import InputError
from pushforward.datasets.load import load_data


@pytest.fixture
def real(shared_data, monkeypatch):
    """The published files as the user's own."""
    monkeypatch.setenv("PUSHFORWARD_DATA", str(shared_data))
    return shared_data


def sizes(data) -> tuple[int, int, int]:
    return len(data.train), len(data.valid), len(data.test)


def test_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    data, bunch = load_data("digits"), load_digits()
    assert sizes(data) == (1437, 180, 180) and data.example.levels == 17
    assert data.condition.names == tuple("0123456789")
    known = {image.astype(np.uint8).tobytes(): label for image, label in zip(bunch.images, bunch.target, strict=True)}
    for split in (data.train, data.valid, data.test):
        assert [known[x.numpy().tobytes()] for x in split.x] == split.condition.tolist()
    assert load_data("digits", seed=1).fingerprint != data.fingerprint == load_data("digits").fingerprint


@pytest.mark.parametrize(("name", "first"), [("mnist", "7"), ("fashion-mnist", "ankle boot")])
def test_mnists(real, name, first):
    data = load_data(name)
    assert sizes(data) == (54_000, 6_000, 10_000) and data.example.shape == (1, 28, 28)
    # The first test image of each, and what is known of its class.
    assert data.condition.names[data.test.condition[0]] == first
    assert torch.bincount(data.test.condition).sum() == 10_000 and data.condition.size == 10
    assert data.condition.names[0] in ("0", "T-shirt")  # codes are those of the files
    # The means that are used everywhere to normalise: 0.1307 and 0.2860 on the 60,000 training images.
    mean = torch.cat([data.train.x, data.valid.x]).double().mean() / 255
    assert mean.item() == pytest.approx({"mnist": 0.1307, "fashion-mnist": 0.2860}[name], abs=5e-5)


def test_tinyshakespeare(real):
    data = load_data("tinyshakespeare")
    assert len(data.example.vocabulary) == 65 and data.example.stream and data.example.length == 128
    codes = [len(split.stream) for split in (data.train, data.valid, data.test)]
    assert sum(codes) == 1_115_394 and codes[1:] == [111_539, 111_539]
    assert data.example.string(data.train.stream[:14].tolist()) == "First Citizen:"


def test_multi30k(real):
    data = load_data("multi30k")
    assert sizes(data) == (29_000, 1_014, 1_000) and data.condition is None
    first = data.example.unpack(data.train[torch.tensor([0])].x)
    assert first == ["Two young, White males are outside near many bushes."]
    both = load_data("multi30k-de-en")
    batch = both.train[torch.tensor([0])]
    assert both.example == data.example and both.example.unpack(batch.x) == first
    assert both.condition.unpack(batch.condition.value) == [
        "Zwei junge weiße Männer sind im Freien in der Nähe vieler Büsche."
    ]
    assert data.example.end is not None and (data.train.x[:, -1] == data.example.end).all()


def test_adult(real):
    data = load_data("adult")
    assert sum(sizes(data)[:2]) == 32_561 and sizes(data)[2] == 16_281
    columns = {column.name: column for column in data.example.columns}
    assert len(columns) == 15 and sum(column.numeric for column in columns.values()) == 6
    assert [name for name, column in columns.items() if column.missing] == ["workclass", "occupation", "native-country"]
    assert columns["income"].categories == ("<=50K", ">50K")
    assert columns["age"].resolution == 1.0 and columns["age"].whole
    # From adult.names: above 50K are 24.78 % of the rows without unknown cells.
    x = torch.cat([data.train.x, data.valid.x, data.test.x])
    names = list(columns)
    assert torch.isnan(x[:, names.index("workclass")]).sum() == 2_799
    complete = x[~torch.isnan(x).any(1)]
    assert complete[:, names.index("income")].mean().item() == pytest.approx(0.2478, abs=5e-5)


def test_adult_given_income(real):
    data = load_data("adult", condition_column="income")
    assert data.condition.names == ("<=50K", ">50K") and len(data.example.columns) == 14
    assert data.train.present.all() and data.test.condition.double().mean().item() == pytest.approx(0.236, abs=1e-3)
    with pytest.raises(InputError, match="did you mean income"):
        load_data("adult", condition_column="incme")


def test_own_files_of_the_real_world(shared_data):
    cats = load_data(shared_data / "cifar10-cats" / "cats32.npz")
    assert sizes(cats) == (4_500, 500, 103) and cats.example.shape == (3, 32, 32)
    assert "not used in cats32.npz: test_jpeg, train_index, test_index" in cats.notes
    wine = load_data(shared_data / "wine-quality" / "winequality-red.csv", condition_column="quality")
    assert wine.condition.names == (3, 4, 5, 6, 7, 8) and sum(sizes(wine)) == 1_599
    folder = load_data(shared_data / "mnist")
    assert sizes(folder) == (54_000, 6_000, 10_000) and folder.condition.names == tuple(range(10))


@pytest.mark.slow
def test_molecules(shared_data):
    molecules = load_data(shared_data / "molecules" / "qm9_smiles.csv.gz")
    assert sum(sizes(molecules)) == 133_247 and molecules.example.length == 38
    assert len(molecules.example.vocabulary) == 26 and "337 exact repeats" in molecules.notes[-1]
