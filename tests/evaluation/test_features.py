"""Features: which data get which, known decompositions, and the same vectors whatever the batch."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import TfidfVectorizer

from pushforward.core.data import Rows
from pushforward.core.errors import InputError
from pushforward.core.modality import Label
from pushforward.core.table import Column, Table
from pushforward.core.text import Text
from pushforward.datasets.load import load_data
from pushforward.evaluation.features import BLOCK, choose_features, fit_ngrams, fit_pca
from tests.small_data import KINDS, digits, points, small, split, table, text

NAMES = {
    "points": r"raw \(2\)",
    "grid": r"raw \(2\)",
    "images": r"classifier \(64 of 128, accuracy 0\.\d\d\d\)",
    "tables": r"raw \(9\)",
    "text": r"n-grams \((6[0-4]|[1-5]\d)\)",
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_data_has_features_that_do_not_depend_on_the_batch(kind: str):
    data = small(kind)
    features = choose_features(data)
    assert re.fullmatch(NAMES[kind], features.name)
    x = data.test.spread(40).x
    whole = features(x)
    assert whole.dtype == torch.float32
    assert whole.ndim == 2
    assert bool(torch.isfinite(whole).all())
    # Sums are taken in another order for another batch: equal to rounding.
    torch.testing.assert_close(torch.cat([features(x[:1]), features(x[1:])]), whole, rtol=1e-4, atol=1e-5)
    assert torch.equal(choose_features(data)(x), whole)
    assert features(x[:0]).shape == (0, whole.shape[1])
    many = x.repeat(BLOCK // 40 + 2, *[1] * (x.ndim - 1))  # more than one block
    torch.testing.assert_close(features(many)[-40:], whole, rtol=1e-4, atol=1e-5)


def test_labels_give_probabilities_of_their_classes():
    data = points()
    features = choose_features(data)
    assert features.classes == ("a", "b")
    assert features.accuracy > 0.95
    probabilities = features.probabilities(data.test.x)
    assert (probabilities.argmax(1) == data.test.condition).double().mean() > 0.95
    assert choose_features(replace(data, condition=None)).probabilities(data.test.x) is None


def test_a_classifier_that_learned_nothing_judges_nothing():
    features = choose_features(table())  # its regions are drawn by a coin
    assert features.classes == ()
    assert features.probabilities(table().test.x) is None
    noise = digits(300)
    coin = torch.from_numpy(np.random.default_rng(0).integers(0, 2, 240))
    # All of the validation split is of one class: knowing nothing cannot be beaten.
    blind = replace(noise, train=Rows(noise.train.x, coin), valid=Rows(noise.valid.x, torch.zeros(30).long()))
    assert choose_features(blind).name.startswith("PCA (")
    assert "a classifier reached only 0." in choose_features(blind).name


def test_principal_components_are_those_of_scikit_learn():
    data = replace(digits(), condition=None)
    features = choose_features(data)
    pixels = ((2 * data.train.x.double() + 1) / 17 - 1).flatten(1).numpy()
    rank = int(np.linalg.matrix_rank(pixels - pixels.mean(0)))
    assert features.name == f"PCA ({rank} of 64)"  # some pixels at the rim are always blank
    test = ((2 * data.test.x.double() + 1) / 17 - 1).flatten(1).numpy()
    reference = PCA(rank, svd_solver="full").fit(pixels).transform(test)
    ours = features(data.test.x).double().numpy()
    # Directions are determined up to their sign.
    signs = np.sign((ours * reference).sum(0))
    np.testing.assert_allclose(ours * signs, reference, atol=1e-4)


def test_principal_components_of_wide_tables_and_of_equal_examples():
    rng = np.random.default_rng(0)
    wide = Table(columns=tuple(Column(name=str(i), categories=tuple(range(8))) for i in range(10)))
    data = split("wide", wide, torch.from_numpy(rng.integers(0, 8, (500, 10)).astype(np.float64)))
    assert choose_features(data).name == "PCA (64 of 80)"
    flat = fit_pca(lambda x: x, torch.ones(5, 3))
    assert flat.name == "PCA (1 of 3)"
    assert flat(torch.tensor([[1.0, 1.0, 1.0], [2.0, 1.0, 1.0]])).tolist() == [[0.0], [1.0]]


def test_one_class_makes_no_classifier_and_says_so():
    data = digits(200)
    parts = {n: Rows(s.x, torch.zeros(len(s)).long()) for n, s in (("train", data.train), ("valid", data.valid))}
    one = replace(data, condition=Label(names=("it",)), **parts)
    assert choose_features(one).name.endswith("of 64; one class only)")
    with pytest.raises(InputError, match=r"^features: a classifier cannot be trained on digits \(one class only\), ex"):
        choose_features(one, wish="classifier")


@pytest.mark.parametrize(
    ("kind", "wish", "name"),
    [
        ("images", "raw", r"raw \(64\)"),
        ("images", "pca", r"PCA \(\d\d of 64\)"),
        ("points", "pca", r"PCA \(2 of 2\)"),
        ("points", "classifier", r"classifier \(64, accuracy [01]\.\d\d\d\)"),
        ("tables", "pca", r"PCA \(\d of 9\)"),
    ],
)
def test_wishes_are_met(kind: str, wish, name: str):
    assert re.fullmatch(name, choose_features(small(kind), wish=wish).name)


@pytest.mark.parametrize("wish", ["classifier", "pca", "raw"])
def test_texts_have_n_grams_only(wish):
    with pytest.raises(InputError, match=f"^features: {wish} is not for texts, expected auto$"):
        choose_features(text(), wish=wish)


def test_an_unknown_wish_is_refused():
    wish: str = "resnet"
    with pytest.raises(InputError, match="^features: got 'resnet', expected auto, classifier, pca, raw or inception$"):
        choose_features(points(), **{"wish": wish})


def test_n_grams_are_the_weighted_counts_of_scikit_learn():
    example = Text(vocabulary=tuple("abc \n"), length=8)
    texts = ["abc\nabc", "a  b\nc", "cab cab", "bbb", "ccc\n\n", "abcabc"]
    x = example.pack(texts)
    h = fit_ngrams(example, x)(x).double()
    # As many directions as texts lose nothing: inner products are those of the unprojected vectors.
    grams = TfidfVectorizer(
        analyzer=lambda t: [t[i : i + n] for n in (1, 2, 3) for i in range(len(t) - n + 1)]
    ).fit_transform(texts)
    np.testing.assert_allclose((h @ h.T).numpy(), (grams @ grams.T).toarray(), atol=1e-5)


def test_texts_of_one_letter_have_features():
    example = Text(vocabulary=("a",), length=5, stream=True)
    x = torch.zeros(20, 5, dtype=torch.int64)
    h = fit_ngrams(example, x)(x)
    assert h.shape == (20, 1)
    torch.testing.assert_close(h.abs(), torch.ones(20, 1))


def test_noise_that_leaves_the_class_alone_is_seen_in_the_maps():
    """Digits with every pixel drawn anew from its column within the class: a linear map of the last layer alone is
    nearly blind to it, averages of fine maps are not."""
    from pushforward.evaluation.two_sample import accuracy

    data = load_data("digits")
    features = choose_features(data)
    x, labels = data.test.x, data.test.condition
    shuffled = x.clone()
    generator = torch.Generator().manual_seed(0)
    for label in range(10):
        rows = (labels == label).nonzero()[:, 0]
        for i in range(8):
            for j in range(8):
                shuffled[rows, 0, i, j] = x[rows[torch.randperm(len(rows), generator=generator)], 0, i, j]
    assert accuracy(features(x), features(shuffled), "linear").accuracy > 0.65
