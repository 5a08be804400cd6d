"""Features of images: what a frozen backbone sees, computed once and kept."""

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from dlnotes_cli import plots
from dlnotes_cli.data.batches import Normalizer
from dlnotes_cli.data.cache.request import FeatureExtractor
from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.images.augment import Augmenter
from dlnotes_cli.data.images.augment_parser import Operation
from dlnotes_cli.data.preprocessing import ImagePreprocessing
from dlnotes_cli.device import Runtime
from dlnotes_cli.models.backbones import TransferModel
from dlnotes_cli.shell import files, output

_BATCH = 16  # always as many, so that an image's features are the same bytes whichever images are beside it
_MOST_MAPPED = 5000  # points that t-SNE places in minutes
_PERPLEXITY = 30.0  # neighbors that t-SNE counts, as in scikit-learn


@dataclass(frozen=True)
class View:
    """One of several looks at the same images: augmented as in an epoch of training; 0 is the image itself."""

    number: int
    operations: tuple[Operation, ...] = ()
    seed: int = 0

    def __str__(self) -> str:
        if not self.number:
            return ""
        words = ",".join(map(str, self.operations))
        return f"-view{self.number}-{hashlib.sha256(f'{words} {self.seed}'.encode()).hexdigest()[:8]}"


@torch.no_grad()
def extraction_of(
    network: TransferModel, name: str, preprocessing: ImagePreprocessing, runtime: Runtime, view: View = View(0)
) -> FeatureExtractor:
    """How images in `preprocessing` become features (F,); `name` tells backbone and weights.

    A view's draws depend on the image's content, so that they stay the same when other images come or go.
    """
    network = network.to(runtime.device).eval()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # which its stubs do not know
    normalizer, augmenter = Normalizer(preprocessing, runtime.device), Augmenter(view.operations, view.seed)

    def features(pixels: NDArray[np.uint8], seeds: Sequence[int]) -> NDArray[np.float32]:
        filled = np.zeros((_BATCH, *pixels.shape[1:]), np.uint8)
        filled[: len(pixels)] = pixels
        numbers = torch.zeros(_BATCH, dtype=torch.int64)
        numbers[: len(seeds)] = torch.tensor(list(seeds))
        samples = torch.from_numpy(filled).to(runtime.device)
        if view.number:
            samples = augmenter(samples, numbers.to(runtime.device), view.number)
        with runtime.autocast():
            found = network.features(normalizer(samples))
        return found[: len(pixels)].float().cpu().numpy()

    @torch.no_grad()
    def run(pixels: NDArray[np.uint8], seeds: Sequence[int]) -> NDArray[np.float32]:
        starts = range(0, len(pixels), _BATCH)
        return np.concatenate([features(pixels[i : i + _BATCH], seeds[i : i + _BATCH]) for i in starts])

    where = "" if runtime.device.type == "cpu" else f"-{runtime.device.type}"
    form = f"{name}-{preprocessing.image_shape}-{runtime.precision}{where}{view}"
    return FeatureExtractor(f"features-{form}", network.width, _BATCH, run)


def export_features(path: Path, dataset: DataSet) -> None:
    """Write features (N, F), labels (N,), class names, names and parts of what was used to an .npz file."""
    parts = np.full(len(dataset.labels), "", dtype="<U6")
    for part, indices in dataset.splits.items():
        parts[indices] = part
    used = np.flatnonzero(parts != "")
    names = dataset.files or tuple(map(str, range(len(dataset.labels))))
    stream = io.BytesIO()
    np.savez(
        stream,
        features=np.asarray(dataset.samples[used], np.float32),
        labels=dataset.labels[used],
        classes=np.array(dataset.classes),
        names=np.array(names)[used],
        parts=parts[used],
    )
    files.atomic_write(path, stream.getvalue())


def draw_map(path: Path, dataset: DataSet, method: Literal["pca", "tsne"], seed: int) -> None:
    """Draw the images as points in two dimensions, near to each other where their features are (scikit-learn)."""
    used = np.sort(np.concatenate(list(dataset.splits.values())))
    if method == "tsne" and len(used) > _MOST_MAPPED:
        output.warn(f"t-SNE draws {_MOST_MAPPED:,} of {len(used):,} images")
        used = np.sort(np.random.default_rng(seed).permutation(used)[:_MOST_MAPPED])
    features = np.asarray(dataset.samples[used], np.float64)
    points, axes = _PLACE[method](features, seed)
    files.atomic_write(path, plots.embedding_map(points, dataset.labels[used], dataset.classes, axes))


def _principal(features: NDArray[np.float64], seed: int) -> tuple[NDArray[np.float64], tuple[str, str]]:
    from sklearn.decomposition import PCA

    found = PCA(min(2, *features.shape), random_state=seed).fit(features)
    points = np.zeros((len(features), 2))
    points[:, : found.n_components_] = found.transform(features)
    shares = [*found.explained_variance_ratio_, 0.0][:2]
    first, second = (f"principal component {i + 1} ({share:.0%} of the variance)" for i, share in enumerate(shares))
    return points, (first, second)


def _neighbors(features: NDArray[np.float64], seed: int) -> tuple[NDArray[np.float64], tuple[str, str]]:
    from sklearn.manifold import TSNE

    perplexity = min(_PERPLEXITY, (len(features) - 1) / 3)
    placer = TSNE(2, perplexity=perplexity, init="pca", random_state=seed)
    return placer.fit_transform(features), ("t-SNE 1", "t-SNE 2")


_PLACE: dict[str, Callable[[NDArray[np.float64], int], tuple[NDArray[np.float64], tuple[str, str]]]] = {
    "pca": _principal,
    "tsne": _neighbors,
}
