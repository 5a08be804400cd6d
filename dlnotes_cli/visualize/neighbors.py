"""The images of a data set that are nearest to given images in feature space."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dlnotes_cli.data.images.sample_images import sample_image
from dlnotes_cli.plots.contact_sheet import ContactSheet, Panel, Section, gray_to_rgb
from dlnotes_cli.shell import files
from dlnotes_cli.training.inspection.images import PlacedImage, read_batches
from dlnotes_cli.training.inspection.layers import NamedLayer
from dlnotes_cli.training.inspection.network import InspectedNetwork
from dlnotes_cli.training.inspection.opening import open_network
from dlnotes_cli.visualize.features import feature_extractor, feature_layer, normalized
from dlnotes_cli.visualize.layers import described
from dlnotes_cli.visualize.options import NeighborsConfig
from dlnotes_cli.visualize.sources import ImageSource, open_source

_CHUNK = 1 << 14  # images of the data set that are compared at once
_BATCH = 64
_COLUMNS = 9


@dataclass(frozen=True)
class Neighbor:
    """An image of the data set, and its cosine distance from the query: 0 for equal directions, 1 for orthogonal."""

    position: int  # in the data set
    file: str
    class_name: str | None
    distance: float

    def as_json(self) -> dict[str, Any]:
        """An entry of `neighbors`."""
        return {"file": self.file, "class": self.class_name, "distance": self.distance}


@dataclass(frozen=True)
class QueryNeighbors:
    """The neighbors of one image, the nearest first."""

    query: PlacedImage
    neighbors: tuple[Neighbor, ...]

    def as_json(self) -> dict[str, Any]:
        """An entry of `results`."""
        return {"file": str(self.query.path), "neighbors": [neighbor.as_json() for neighbor in self.neighbors]}


@dataclass(frozen=True)
class NeighborsResult:
    """The neighbors of each image."""

    network: InspectedNetwork
    layer: NamedLayer
    data: str
    images: int
    features: int
    results: tuple[QueryNeighbors, ...]
    sheet: str

    def as_json(self) -> dict[str, Any]:
        """The fields of the document."""
        return described(self.network) | {
            "layer": self.layer.name,
            "data": self.data,
            "images": self.images,
            "features": self.features,
            "results": [result.as_json() for result in self.results],
            "sheet": self.sheet,
        }


def find_neighbors(config: NeighborsConfig) -> NeighborsResult:
    """Find the nearest images and draw them. Raises InputError for the layer, images, data and the output file."""
    files.check_output_file("--sheet", config.sheet, overwrite=config.overwrite)
    network = open_network(config)
    layer = feature_layer(network, config.layer)
    extractor = feature_extractor(network, layer)
    paths = config.images or (str(sample_image("flower.jpg", "IMAGE")),)
    queries = [image for batch in read_batches(paths, network, config, _BATCH) for image in batch.images]
    source = open_source(config, network.preprocessing)
    found = source.features(extractor)
    vectors = extractor.run(np.stack([query.pixels for query in queries]), range(len(queries)))
    distances, rows = nearest(torch.from_numpy(vectors), found.features, config.count)
    results = tuple(
        QueryNeighbors(query, _neighbors(source, found.positions, rows[i].tolist(), distances[i].tolist()))
        for i, query in enumerate(queries)
    )
    result = NeighborsResult(
        network, layer, source.name, len(found.features), extractor.width, results, str(config.sheet)
    )
    files.atomic_write(config.sheet, _sheet(result, source).png())
    return result


def nearest(queries: Tensor, features: NDArray[np.float32], count: int) -> tuple[Tensor, Tensor]:
    """Cosine distances (Q, count) of the nearest features (N, F) of each query (Q, F), and their rows.

    Memory does not grow with N: the features, which may be memory-mapped, are compared in chunks.
    """
    directions = normalized(queries)
    best = torch.zeros(len(queries), 0, dtype=torch.float64)
    rows = torch.zeros(len(queries), 0, dtype=torch.int64)
    for start in range(0, len(features), _CHUNK):
        chunk = torch.tensor(features[start : start + _CHUNK])
        similarities = directions @ normalized(chunk).T
        candidates = torch.cat([best, similarities], dim=1)
        numbers = torch.arange(start, start + len(chunk)).expand(len(queries), -1)
        order = candidates.argsort(dim=1, descending=True, stable=True)[:, :count]
        best, rows = candidates.gather(1, order), torch.cat([rows, numbers], dim=1).gather(1, order)
    return (1 - best).clamp(0, 2), rows


def _neighbors(
    source: ImageSource, positions: Sequence[int], rows: list[int], distances: list[float]
) -> tuple[Neighbor, ...]:
    return tuple(
        Neighbor(positions[row], source.name_of(positions[row]), source.class_of(positions[row]), distance)
        for row, distance in zip(rows, distances, strict=True)
    )


def _sheet(result: NeighborsResult, source: ImageSource) -> ContactSheet:
    sections = []
    for found in result.results:
        panels = [Panel(gray_to_rgb(found.query.pixels), "query", is_marked=True)]
        for neighbor in found.neighbors:
            pixels, _ = source.image(neighbor.position)
            name = neighbor.class_name or Path(neighbor.file).name
            panels.append(Panel(gray_to_rgb(pixels), name, f"{neighbor.distance:.3f}"))
        sections.append(Section(panels, found.query.path.name))
    caption = (
        f"The nearest of {result.images:,} images of {result.data} by {result.features} features, with their cosine "
        "distance: 0 for the same direction, 1 for orthogonal ones. Features keep texture, color and background next "
        "to the content, so that neighbors may share any of these."
    )
    title = f"Neighbors by {result.layer.name} of {result.network.name}"
    return ContactSheet(title, sections, caption, columns=_COLUMNS, side=112)
