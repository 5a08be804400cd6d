"""Project features to points in a plane, by PCA, t-SNE or UMAP."""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.shell import output
from dlnotes_cli.shell.errors import InputError

_MAX_POINTS = 5000  # which take t-SNE some minutes
_PERPLEXITY = 30.0  # of t-SNE: scikit-learn's default
_MIN_UMAP_POINTS = 4

ProjectedPoints = NDArray[np.floating[Any]]  # (N, 2)
Axes = tuple[str, str]  # their names


def check_projection(method: str) -> None:
    """Raise InputError for UMAP if its package is not installed."""
    if method == "umap" and find_spec("umap") is None:
        what = "UMAP needs the package umap-learn, which is not installed"
        raise InputError("--method", what, "run pip install umap-learn, or use tsne")


def drawn_points(count: int, method: str, seed: int) -> NDArray[np.int64]:
    """Indices of the samples that a method projects: all, but of many only a random part for t-SNE, with a warning."""
    everything = np.arange(count)
    if method != "tsne" or count <= _MAX_POINTS:
        return everything
    output.warn(f"t-SNE draws {_MAX_POINTS:,} of {count:,} images")
    return np.sort(np.random.default_rng(seed).permutation(everything)[:_MAX_POINTS])


def project(features: NDArray[np.floating[Any]], method: str, seed: int) -> tuple[ProjectedPoints, Axes]:
    """Points (N, 2) of features (N, F), and the names of the axes. Raises InputError as `check_projection` does."""
    check_projection(method)
    return _PROJECTIONS[method](np.asarray(features, np.float64), seed)


def _project_pca(features: NDArray[np.float64], seed: int) -> tuple[ProjectedPoints, Axes]:
    from sklearn.decomposition import PCA

    pca = PCA(min(2, *features.shape), random_state=seed).fit(features)
    points = np.zeros((len(features), 2))
    points[:, : pca.n_components_] = pca.transform(features)
    ratios = [*pca.explained_variance_ratio_, 0.0][:2]
    first, second = (f"principal component {i + 1} ({ratio:.0%} of the variance)" for i, ratio in enumerate(ratios))
    return points, (first, second)


def _project_tsne(features: NDArray[np.float64], seed: int) -> tuple[ProjectedPoints, Axes]:
    from sklearn.manifold import TSNE

    perplexity = min(_PERPLEXITY, (len(features) - 1) / 3)
    tsne = TSNE(2, perplexity=perplexity, init="pca", random_state=seed)
    return tsne.fit_transform(features), ("t-SNE 1", "t-SNE 2")


def _project_umap(features: NDArray[np.float64], seed: int) -> tuple[ProjectedPoints, Axes]:
    if len(features) < _MIN_UMAP_POINTS:
        raise InputError("--method", f"UMAP needs at least {_MIN_UMAP_POINTS} images", "use pca")
    neighbors = min(15, len(features) - 1)
    umap = import_module("umap").UMAP(n_components=2, n_neighbors=neighbors, random_state=seed, n_jobs=1)
    points = umap.fit_transform(features)
    return np.asarray(points), ("UMAP 1", "UMAP 2")


_PROJECTIONS: dict[str, Callable[[NDArray[np.float64], int], tuple[ProjectedPoints, Axes]]] = {
    "pca": _project_pca,
    "tsne": _project_tsne,
    "umap": _project_umap,
}
