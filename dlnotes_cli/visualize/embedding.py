"""A map of a data set: the features of its images, projected to a plane."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.images.image_io import write_npz
from dlnotes_cli.inference.inspection import open_network
from dlnotes_cli.plots.embedding import EmbeddedPoints, draw_embedding_map
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.codec import HIDDEN, in_json, named
from dlnotes_cli.shell.show import Detail, Table, check_outputs, csv_text
from dlnotes_cli.training.projection import Axes, ProjectedPoints, check_projection, drawn_points, project
from dlnotes_cli.visualize.layers import NetworkResult
from dlnotes_cli.visualize.options import EmbeddingConfig
from dlnotes_cli.visualize.sources import feature_extractor, feature_layer, open_source

_METHOD_NAMES = {"pca": "PCA", "tsne": "t-SNE", "umap": "UMAP"}
_WITHOUT_CLASS = "images"  # in the legend of a folder without class folders


@dataclass(frozen=True)
class EmbeddingResult(NetworkResult):
    """The points of the images in the plane."""

    layer: str
    data: str
    method: str
    points: ProjectedPoints = field(metadata=HIDDEN)  # (N, 2)
    names: tuple[str, ...] = field(metadata=HIDDEN)
    class_names: tuple[str, ...] = field(metadata=HIDDEN)  # of each image
    axes: Axes
    features: int
    seed: int
    sheet: Path
    csv_file: Path | None = field(metadata=named("csv"))
    out: Path | None

    @property
    @in_json
    def images(self) -> int:
        """Number of images."""
        return len(self.names)

    @property
    @in_json
    def classes(self) -> dict[str, int]:
        """Number of images of each class."""
        return {name: self.class_names.count(name) for name in dict.fromkeys(self.class_names)}

    def table(self) -> Iterator[Table | str]:
        """The number of images of each class."""
        yield Table(("class", "images"), list(self.classes.items()), ("images",))
        features = output.counted(self.features, "feature")
        yield Detail(f"{features} of {self.layer}, {self.method}: {' and '.join(self.axes)}")


def embed(config: EmbeddingConfig) -> EmbeddingResult:
    """Project the features of a data set and draw them; raises InputError for layer, data, method and output files."""
    check_projection(config.method)
    check_outputs(config)
    network = open_network(config)
    layer = feature_layer(network, config.layer)
    extractor = feature_extractor(network, layer)
    source = open_source(config, network.preprocessing)
    features, positions = source.features(extractor)
    drawn = drawn_points(len(features), config.method, config.seed)
    features, positions = features[drawn], [positions[i] for i in drawn.tolist()]
    points, axes = project(features, config.method, config.seed)
    result = EmbeddingResult(
        network.info, layer.name, source.name, config.method, points, tuple(map(source.name_of, positions)),
        tuple(source.class_of(position) or _WITHOUT_CLASS for position in positions), axes, extractor.width,
        config.seed, config.sheet, config.csv, config.out,
    )  # fmt: skip
    _write(result, network.title, features)
    return result


def _write(result: EmbeddingResult, network: str, features: NDArray[np.float32]) -> None:
    names = tuple(result.classes)
    labels = np.array([names.index(name) for name in result.class_names])
    embedded, title = EmbeddedPoints.unevaluated(result.points, labels), _title(result, network, features)
    files.atomic_write(result.sheet, draw_embedding_map(embedded, names, result.axes, title))
    if result.csv_file is not None:
        points = zip(result.names, result.class_names, result.points.tolist(), strict=True)
        rows = [(name, label, f"{x:.6g}", f"{y:.6g}") for name, label, (x, y) in points]
        files.write_text(result.csv_file, csv_text(("file", "class", "x", "y"), rows))
    if result.out is not None:
        write_npz(
            result.out, points=result.points, features=features, labels=labels, classes=np.array(names),
            names=np.array(result.names),
        )  # fmt: skip


def _title(result: EmbeddingResult, network: str, features: NDArray[np.float32]) -> str:
    """What was projected, and how; of PCA with the fraction of the variance in the plane."""
    method = _METHOD_NAMES[result.method]
    total = float(features.var(axis=0, dtype=np.float64).sum())
    if result.method == "pca" and total > 0:
        method += f", {float(result.points.var(axis=0).sum()) / total:.0%} of the variance in the plane"
    data = f"{len(result.names):,} images of {result.data}"
    return f"Features of {data}, {result.layer} of {network}: {method}"
