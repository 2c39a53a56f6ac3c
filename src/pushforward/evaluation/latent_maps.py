"""Latent codes on a plane, and in clusters.

A map by principal components shows true directions and distances of what lies in its plane. t-SNE (van der Maaten and
Hinton 2008) and UMAP (McInnes et al. 2018) keep neighbours together instead: their clusters may be believed, the
distances between them may not.
"""

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pushforward.core.errors import InputError, check_count

__all__ = ["Clusters", "cluster", "latent_map"]

#: Examples a silhouette looks at: it needs all their distances.
SILHOUETTE = 2000


@dataclass(frozen=True)
class Clusters:
    """A clustering of codes and how good it is.

    Args:
        assigned: the cluster of every code.
        silhouette: mean of (b - a) / max(a, b), with a the distance to one's own cluster and b to the next one: 1 for
            clusters far apart, 0 for none (Rousseeuw 1987); NaN for a single cluster.
        rand: adjusted Rand index against the classes: 1 if they are the clusters, 0 by chance; NaN without classes.
        information: normalised mutual information with the classes, from 0 to 1; NaN without classes.
    """

    assigned: Int[Tensor, "n"]
    silhouette: float
    rand: float
    information: float


def latent_map(
    z: Float[Tensor, "n latent"], how: Literal["pca", "tsne", "umap"] = "pca", *, seed: int = 0
) -> Float[Tensor, "n 2"]:
    """Codes on a plane.

    Args:
        z: the codes.
        how: "pca", "tsne", or "umap", which needs the package umap-learn.
        seed: of t-SNE and UMAP.

    Raises:
        InputError: if there are fewer than 3 codes, ``how`` is unknown, or umap-learn is not installed.

    Example:
        >>> latent_map(torch.tensor([[0.0, 0.0, 1.0], [0.0, 2.0, 1.0], [0.0, -2.0, 1.0]])).abs()[:, 0]
        tensor([0., 2., 2.])
    """
    if len(z) < 3:
        raise InputError(f"z: got {len(z)} codes, expected at least 3")
    match how:
        case "pca":
            centred = z.double() - z.double().mean(0)
            _, _, directions = torch.linalg.svd(centred, full_matrices=False)
            found = centred @ directions[:2].T
            return torch.nn.functional.pad(found, (0, 2 - found.shape[1])).to(z.dtype)  # a code of one unit: a line
        case "tsne":
            from sklearn.manifold import TSNE

            perplexity = min(30.0, (len(z) - 1) / 3)  # its default, as far as so few neighbours allow
            plane = latent_map(z, "pca")
            start: Any = (1e-4 * plane / plane[:, 0].std().clamp(min=1e-12)).float().numpy()  # as the authors start it
            made = TSNE(perplexity=perplexity, init=start, random_state=seed, n_jobs=1)
            return torch.from_numpy(made.fit_transform(z.float().numpy())).to(z.dtype)
        case "umap":
            return _umap(z, seed)
    raise InputError(f"how: got {how!r}, expected pca, tsne or umap")


def cluster(
    z: Float[Tensor, "n latent"],
    k: int,
    *,
    how: Literal["kmeans", "mixture"] = "kmeans",
    labels: Int[Tensor, "n"] | None = None,
    seed: int = 0,
) -> Clusters:
    """Cluster codes, and score the clusters by themselves and against classes.

    Args:
        z: the codes.
        k: how many clusters.
        how: k-means, or a mixture of Gaussians with full covariances, for clusters that are not round.
        labels: classes to compare with.
        seed: of the starts, of which the best of ten (k-means) or three counts.

    Raises:
        InputError: if ``k`` is not between 1 and the number of codes.

    Example:
        >>> z = torch.tensor([[0.0], [0.1], [5.0], [5.1]])
        >>> cluster(z, 2, labels=torch.tensor([1, 1, 0, 0])).rand
        1.0
    """
    from sklearn import metrics

    check_count(k, "k")
    if k > len(z):
        raise InputError(f"k: got {k}, expected at most the {len(z)} codes there are")
    points = z.double().numpy()
    assigned = _clustered(points, k, how, seed)
    several = 1 < len(np.unique(assigned)) < len(points)
    sample = min(SILHOUETTE, len(points))
    silhouette = (
        metrics.silhouette_score(points, assigned, sample_size=sample, random_state=seed) if several else np.nan
    )
    known = None if labels is None else labels.numpy()
    rand = np.nan if known is None else metrics.adjusted_rand_score(known, assigned)
    information = np.nan if known is None else metrics.normalized_mutual_info_score(known, assigned)
    return Clusters(torch.from_numpy(assigned).long(), float(silhouette), float(rand), float(information))


def _clustered(points: np.ndarray, k: int, how: str, seed: int) -> np.ndarray:
    match how:
        case "kmeans":
            from sklearn.cluster import KMeans

            starts: Any = 10
            return KMeans(k, n_init=starts, random_state=seed).fit_predict(points)
        case "mixture":
            from sklearn.mixture import GaussianMixture

            # A thousandth of the mean variance on the diagonal: a cluster of a few codes has no full covariance.
            floor = 1e-3 * float(points.var(0).mean()) + 1e-12
            return GaussianMixture(k, n_init=3, reg_covar=floor, random_state=seed).fit_predict(points)
    raise InputError(f"how: got {how!r}, expected kmeans or mixture")


def _umap(z: Tensor, seed: int) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numba and TensorFlow, which umap asks for, on import
        try:
            from umap import UMAP
        except ImportError:
            raise InputError("how: 'umap' needs a package, expected it from: pip install 'pushforward[maps]'") from None
        neighbours = min(15, len(z) - 1)  # its default, as far as there are so many
        made = UMAP(n_neighbors=neighbours, random_state=seed, n_jobs=1).fit_transform(z.float().numpy())
    return torch.from_numpy(np.asarray(made)).to(z.dtype)
