"""Maps and clusters of codes that are three clouds far apart."""

import math

import pytest
import torch
from sklearn.decomposition import PCA

from pushforward.core.errors import InputError
from pushforward.core.noise import Noise
from pushforward.evaluation.latent_maps import cluster, latent_map

LABELS = torch.arange(90) % 3
CLOUDS = 20 * torch.nn.functional.one_hot(LABELS, 5).float() + Noise(0, rows=90).normal(5)


def separated(plane: torch.Tensor) -> bool:
    """Whether the nearest neighbour on the plane is always of the same cloud."""
    gaps = torch.cdist(plane, plane).fill_diagonal_(math.inf)
    return bool((LABELS[gaps.argmin(1)] == LABELS).all())


def test_the_map_by_principal_components_is_that_of_scikit_learn():
    known = torch.from_numpy(PCA(2).fit_transform(CLOUDS.double().numpy()))
    made = latent_map(CLOUDS.double())
    assert torch.allclose(made.abs(), known.abs(), atol=1e-9)  # the sign of a direction is free


def test_a_code_of_one_unit_lies_on_a_line():
    made = latent_map(CLOUDS[:, :1])
    assert made.shape == (90, 2) and (made[:, 1] == 0).all()


def test_tsne_keeps_clouds_apart_and_repeats():
    made = latent_map(CLOUDS, "tsne", seed=1)
    assert made.shape == (90, 2) and separated(made)
    assert torch.equal(made, latent_map(CLOUDS, "tsne", seed=1))


@pytest.mark.slow
def test_umap_keeps_clouds_apart_and_repeats():
    pytest.importorskip("umap")
    made = latent_map(CLOUDS, "umap", seed=1)
    assert made.shape == (90, 2) and separated(made)
    assert torch.equal(made, latent_map(CLOUDS, "umap", seed=1))


def test_umap_is_named_where_it_is_not_installed(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "umap", None)
    with pytest.raises(InputError, match="pip install 'pushforward\\[maps\\]'"):
        latent_map(CLOUDS, "umap")


@pytest.mark.parametrize("how", ["kmeans", "mixture"])
def test_three_clouds_are_three_clusters(how):
    found = cluster(CLOUDS, 3, how=how, labels=LABELS)
    assert found.rand == 1.0 and found.information == pytest.approx(1.0)
    assert found.silhouette > 0.8  # b is about 28, a about 3
    assert len(found.assigned.unique()) == 3


def test_clusters_of_noise_are_none():
    noise = Noise(5, rows=400).normal(5)
    found = cluster(noise, 3, labels=torch.arange(400) % 3)
    assert abs(found.rand) < 0.03 and found.information < 0.05  # chance: 0 give or take 1/sqrt(400) or less
    assert found.silhouette < 0.25
    alone = cluster(noise, 1)
    assert math.isnan(alone.silhouette) and math.isnan(alone.rand)


def test_what_cannot_be_used_is_refused():
    with pytest.raises(InputError, match="^k: got 91, expected at most the 90 codes"):
        cluster(CLOUDS, 91)
    with pytest.raises(InputError, match="^how: got 'lda'"):
        latent_map(CLOUDS, "lda")
    with pytest.raises(InputError, match="^how: got 'dbscan'"):
        cluster(CLOUDS, 3, how="dbscan")
    with pytest.raises(InputError, match="^z: got 2 codes, expected at least 3"):
        latent_map(CLOUDS[:2])
