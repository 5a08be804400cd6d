"""The features of images: the outputs of a frozen backbone, computed once and cached."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from dlnotes_cli.data.batches import Augmenter, Normalizer
from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.folder import FeatureExtractor
from dlnotes_cli.data.images.augment_parser import Operation
from dlnotes_cli.data.images.image_io import write_npz
from dlnotes_cli.data.preprocessing import ImagePreprocessing
from dlnotes_cli.device import Runtime
from dlnotes_cli.networks.backbones import TransferModel
from dlnotes_cli.plots.embedding import EmbeddedPoints, draw_embedding_map
from dlnotes_cli.shell import files
from dlnotes_cli.training.evaluation import cached_features
from dlnotes_cli.training.metrics import Evaluation
from dlnotes_cli.training.projection import drawn_points, project


@torch.no_grad()
def feature_extraction(
    network: TransferModel, name: str, preprocessing: ImagePreprocessing, runtime: Runtime,
    operations: Sequence[Operation] = (), seed: int = 0, view: int = 0,
) -> FeatureExtractor:  # fmt: skip
    """The computation of features (n, F) from pixels (n, C, H, W), for the cache.

    `name` identifies backbone and weights. View 0 is the images themselves, view N their augmentation by `operations`
    as in epoch N of training. The augmentation of an image depends on its content and not on its index, so that it
    stays the same when other images are added or removed.
    """
    network = network.to(runtime.device).eval()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # which its stubs do not know
    normalizer, augmenter = Normalizer(preprocessing, runtime.device), Augmenter(tuple(operations), seed)

    def features(samples: Tensor, seeds: Tensor) -> Tensor:
        if view:
            samples = augmenter(samples, seeds, view)
        with runtime.autocast():
            return network.features(normalizer(samples))

    augmentation = f"{','.join(map(str, operations))} {seed}"
    suffix = f"-view{view}-{hashlib.sha256(augmentation.encode()).hexdigest()[:8]}" if view else ""
    return cached_features(f"{name}-{preprocessing.image_shape}", network.width, features, runtime, suffix=suffix)


def export_features(path: Path, dataset: DataSet) -> None:
    """Write an .npz file of the samples in a split: features (N, F), labels (N,), classes, names (N,), splits (N,).

    `classes` are the class names; `names` are the files, or the indices in a named set; `splits` are their splits.
    """
    splits = np.full(len(dataset.labels), "", dtype="<U6")
    for split, indices in dataset.splits.items():
        splits[indices] = split
    used = np.flatnonzero(splits != "")
    names = dataset.files or tuple(map(str, range(len(dataset.labels))))
    write_npz(
        path,
        features=np.asarray(dataset.samples[used], np.float32),
        labels=dataset.labels[used],
        classes=np.array(dataset.classes),
        names=np.array(names)[used],
        splits=splits[used],
    )


def draw_map(
    path: Path, dataset: DataSet, evaluated: tuple[str, Evaluation], method: Literal["pca", "tsne"], seed: int
) -> None:
    """Draw the images as points in a plane, by their features; similar images are close to each other.

    `evaluated` is a split and its evaluation: the map marks its images, and those that are classified wrongly.
    """
    split, evaluation = evaluated
    is_evaluated, is_wrong = np.zeros((2, len(dataset.labels)), dtype=bool)
    is_evaluated[dataset.splits[split]] = True
    if evaluation.predictions is not None:
        is_wrong[dataset.splits[split]] = ~evaluation.predictions.is_correct
    used = np.sort(np.concatenate(list(dataset.splits.values())))
    used = used[drawn_points(len(used), method, seed)]
    features = np.asarray(dataset.samples[used], np.float64)
    points, axes = project(features, method, seed)
    name = "validation" if split == "val" else split
    embedded = EmbeddedPoints(points, dataset.labels[used], is_evaluated[used], is_wrong[used], name)
    files.atomic_write(path, draw_embedding_map(embedded, dataset.classes, axes))
