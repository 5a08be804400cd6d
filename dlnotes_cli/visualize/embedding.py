"""A map of a data set: the features of its images, projected to a plane."""

import csv
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.array_files import write_npz
from dlnotes_cli.plots.embedding import EmbeddedPoints, draw_embedding_map
from dlnotes_cli.shell import files
from dlnotes_cli.training.inspection.layers import NamedLayer
from dlnotes_cli.training.inspection.network import InspectedNetwork
from dlnotes_cli.training.inspection.opening import open_network
from dlnotes_cli.training.projection import Axes, ProjectedPoints, check_projection, drawn_points, project
from dlnotes_cli.visualize.features import feature_extractor, feature_layer
from dlnotes_cli.visualize.layers import described
from dlnotes_cli.visualize.options import EmbeddingConfig
from dlnotes_cli.visualize.sources import open_source

_METHOD_NAMES = {"pca": "PCA", "tsne": "t-SNE", "umap": "UMAP"}
_WITHOUT_CLASS = "images"  # in the legend of a folder without class folders


@dataclass(frozen=True)
class EmbeddingResult:
    """The points of the images in the plane."""

    network: InspectedNetwork
    layer: NamedLayer
    data: str
    method: str
    points: ProjectedPoints  # (N, 2)
    names: tuple[str, ...]
    classes: tuple[str, ...]  # of each image
    axes: Axes
    features: int
    seed: int
    outputs: dict[str, str | None]  # sheet, csv and out

    @property
    def counts(self) -> dict[str, int]:
        """Number of images of each class."""
        return {name: self.classes.count(name) for name in dict.fromkeys(self.classes)}

    def as_json(self) -> dict[str, Any]:
        """The fields of the document."""
        return described(self.network) | {
            "layer": self.layer.name,
            "data": self.data,
            "method": self.method,
            "axes": list(self.axes),
            "features": self.features,
            "images": len(self.names),
            "classes": self.counts,
            "seed": self.seed,
            **self.outputs,
        }


def embed(config: EmbeddingConfig) -> EmbeddingResult:
    """Project the features of a data set and draw them; raises InputError for layer, data, method and output files."""
    check_projection(config.method)
    outputs = {"--sheet": config.sheet, "--csv": config.csv, "--out": config.out}
    for option, path in outputs.items():
        if path is not None:
            files.check_output_file(option, path, overwrite=config.overwrite)
    network = open_network(config)
    layer = feature_layer(network, config.layer)
    extractor = feature_extractor(network, layer)
    source = open_source(config, network.preprocessing)
    found = source.features(extractor)
    drawn = drawn_points(len(found.features), config.method, config.seed)
    points, axes = project(found.features[drawn], config.method, config.seed)
    positions = [found.positions[i] for i in drawn.tolist()]
    result = EmbeddingResult(
        network, layer, source.name, config.method, points, tuple(map(source.name_of, positions)),
        tuple(source.class_of(position) or _WITHOUT_CLASS for position in positions), axes, extractor.width,
        config.seed,
        {option.lstrip("-"): None if path is None else str(path) for option, path in outputs.items()},
    )  # fmt: skip
    _write(result, config, np.asarray(found.features)[drawn])
    return result


def _write(result: EmbeddingResult, config: EmbeddingConfig, features: NDArray[np.float32]) -> None:
    names = tuple(result.counts)
    labels = np.array([names.index(name) for name in result.classes])
    embedded = EmbeddedPoints.unevaluated(result.points, labels)
    files.atomic_write(config.sheet, draw_embedding_map(embedded, names, result.axes, _title(result, features)))
    if config.csv is not None:
        files.write_text(config.csv, _csv(result))
    if config.out is not None:
        write_npz(
            config.out, points=result.points, features=features, labels=labels, classes=np.array(names),
            names=np.array(result.names),
        )  # fmt: skip


def _title(result: EmbeddingResult, features: NDArray[np.float32]) -> str:
    """What was projected, and how; of PCA with the fraction of the variance in the plane."""
    method = _METHOD_NAMES[result.method]
    total = float(features.var(axis=0, dtype=np.float64).sum())
    if result.method == "pca" and total > 0:
        method += f", {float(result.points.var(axis=0).sum()) / total:.0%} of the variance in the plane"
    data = f"{len(result.names):,} images of {result.data}"
    return f"Features of {data}, {result.layer.name} of {result.network.title}: {method}"


def _csv(result: EmbeddingResult) -> str:
    """A row for each image: file, class and coordinates."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["file", "class", "x", "y"])
    for name, label, (x, y) in zip(result.names, result.classes, result.points.tolist(), strict=True):
        writer.writerow([name, label, f"{x:.6g}", f"{y:.6g}"])
    return stream.getvalue()
