"""The images of a data set that are nearest to given images in feature space."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # PyTorch's own abbreviation
from numpy.typing import NDArray
from torch import Tensor

from dlnotes_cli.inference.inspection import PlacedImage, open_network, read_batches, upright_pixels
from dlnotes_cli.plots.sheet import Panel, Section, Sheet, gray_to_rgb
from dlnotes_cli.shell import files, output
from dlnotes_cli.shell.codec import HIDDEN, in_json, named
from dlnotes_cli.shell.show import Detail, Table, check_outputs
from dlnotes_cli.visualize.layers import NetworkResult
from dlnotes_cli.visualize.options import NeighborsConfig
from dlnotes_cli.visualize.sources import ImageSource, decode_settings, feature_extractor, feature_layer, open_source

_BATCH = 64
_COLUMNS = 10
_OWN_QUERIES = 3  # images of the data set that are looked up where none is given
_MOST_COMPARED = 1000  # images of the data set whose own nearest neighbors are found
_QUERIES = 256  # that are compared with all images at a time
_RARE = 99  # percentile of their distances, above which a query is unlike the data


@dataclass(frozen=True)
class Neighbor:
    """An image of the data set, and its cosine distance from the query: 0 for equal directions, 1 for orthogonal."""

    position: int = field(metadata=HIDDEN)  # in the data set
    file: str
    class_name: str | None = field(metadata=named("class"))
    distance: float


@dataclass(frozen=True)
class QueryNeighbors:
    """The neighbors of one image, the nearest first."""

    query: PlacedImage = field(metadata=HIDDEN)
    neighbors: tuple[Neighbor, ...]
    unlike_data: bool  # farther than almost all images of the data set are from their nearest neighbors

    @property
    @in_json
    def file(self) -> str:
        """The image."""
        return str(self.query.path)


@dataclass(frozen=True)
class TypicalDistances:
    """The distances of images of the data set from the nearest other one: their median and 99th percentile."""

    median: float
    percentile_99: float

    def explain_unlike(self, distance: float) -> str:
        """Why a query with this nearest distance is unlike the data."""
        return (
            f"unlike the data: its nearest distance {distance:.3f} exceeds {self.percentile_99:.3f}, the {_RARE}th "
            "percentile within the data"
        )


@dataclass(frozen=True)
class NeighborsResult(NetworkResult):
    """The neighbors of each image."""

    layer: str
    data: str
    images: int
    features: int
    results: tuple[QueryNeighbors, ...]
    typical: TypicalDistances | None = field(metadata=named("typical_distance"))  # None for a single image
    sheet: Path

    def table(self) -> Iterator[Table | str]:
        """The neighbors of each image, and which images are unlike the data."""
        rows = [
            (found.file, one.file, one.class_name or "-", f"{one.distance:.4f}")
            for found in self.results
            for one in found.neighbors
        ]
        yield Table(("image", "neighbor", "class", "distance"), rows, ("distance",))
        images = output.counted(self.images, "image")
        yield Detail(f"{output.counted(self.features, 'feature')} of {self.layer}, {images} of {self.data}")
        if self.typical is not None:
            median, rare = self.typical.median, self.typical.percentile_99
            yield Detail(f"nearest distance within the data: median {median:.4f}, 99th percentile {rare:.4f}")
            for found in self.results:
                if found.unlike_data:
                    yield Detail(f"{found.file} is {self.typical.explain_unlike(found.neighbors[0].distance)}")


def find_neighbors(config: NeighborsConfig) -> NeighborsResult:
    """Find the nearest images and draw them. Raises InputError for the layer, images, data and the output file."""
    check_outputs(config)
    network = open_network(config)
    layer = feature_layer(network, config.layer)
    extractor = feature_extractor(network, layer)
    given = read_batches(config.images, network, decode_settings(config), _BATCH) if config.images else ()
    queries = [image for batch in given for image in batch.images]
    source = open_source(config, network.preprocessing)
    features, positions = source.features(extractor)
    if queries:
        vectors = extractor.run(np.stack([query.pixels for query in queries]), range(len(queries)))
        distances, rows = nearest(vectors, features, config.count)
    else:  # some images of the data set, without themselves among their neighbors
        own = _spread(len(features), _OWN_QUERIES)
        queries = [_own_query(source, positions[row]) for row in own.tolist()]
        distances, rows = nearest(features[own], features, config.count, own)
    typical = typical_distances(features)
    results = tuple(
        QueryNeighbors(
            query,
            tuple(
                Neighbor(position, source.name_of(position), source.class_of(position), distance)
                for position, distance in zip([positions[row] for row in found], apart, strict=True)
            ),
            typical is not None and apart[0] > typical.percentile_99,
        )
        for query, found, apart in zip(queries, rows.tolist(), distances.tolist(), strict=True)
    )
    result = NeighborsResult(
        network.info, layer.name, source.name, len(features), extractor.width, results, typical, config.sheet
    )
    title = f"Neighbors by the features of {layer.name}, {network.title}"
    files.atomic_write(config.sheet, _sheet(title, result, source, config.max_pixels).png())
    return result


def typical_distances(features: NDArray[np.float32]) -> TypicalDistances | None:
    """The distances of features (N, F) from the nearest other ones, of at most 1,000 of them; None for one."""
    if len(features) < 2:  # noqa: PLR2004  # there is no other one
        return None
    chosen = _spread(len(features), _MOST_COMPARED)
    others = nearest(features[chosen], features, 1, chosen)[0][:, 0].numpy()
    return TypicalDistances(float(np.median(others)), float(np.percentile(others, _RARE)))


def nearest(
    queries: NDArray[np.float32], features: NDArray[np.float32], count: int, own: NDArray[np.int64] | None = None
) -> tuple[Tensor, Tensor]:
    """Cosine distances (Q, count) of the nearest features (N, F) of each query (Q, F), and their rows.

    `own` are the rows of the queries themselves, which are left out if there are others.
    """
    directions = F.normalize(torch.tensor(features), dim=1)
    leaves_out = own is not None and len(features) > 1
    found = []
    for start in range(0, len(queries), _QUERIES):
        block = F.normalize(torch.tensor(queries[start : start + _QUERIES]), dim=1)
        distances = (1 - block @ directions.T).clamp(min=0)
        if leaves_out and own is not None:
            distances.scatter_(1, torch.from_numpy(own[start : start + _QUERIES])[:, None], torch.inf)
        found.append(distances.topk(min(count, len(features) - leaves_out), largest=False))
    return torch.cat([one.values for one in found]), torch.cat([one.indices for one in found])


def _spread(count: int, most: int) -> NDArray[np.int64]:
    """At most so many of the first `count` integers, at equal distances."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def _own_query(source: ImageSource, position: int) -> PlacedImage:
    return PlacedImage(Path(source.name_of(position)), *source.image(position))


def _sheet(title: str, result: NeighborsResult, source: ImageSource, max_pixels: int) -> Sheet:
    sections = []
    for found in result.results:
        height, width = found.query.pixels.shape[1:]
        seen = gray_to_rgb(found.query.pixels)
        panels = [Panel(seen, "query", is_marked=True)]
        if found.query.path.is_file():
            original = Panel(upright_pixels(found.query.path, max_pixels), "query", is_marked=True)
            panels = [original, Panel(seen, "as the network", f"sees it, {width}x{height}")]
        for neighbor in found.neighbors:
            pixels, _ = source.image(neighbor.position)
            label = neighbor.class_name or Path(neighbor.file).name
            panels.append(Panel(gray_to_rgb(pixels), label, f"distance {neighbor.distance:.3f}"))
        name = "/".join(found.query.path.parts[-2:])
        heading = name if found.query.path.is_file() else f"image {name} of {result.data}"
        if found.unlike_data and result.typical is not None:
            heading += f" is {result.typical.explain_unlike(found.neighbors[0].distance)}"
        sections.append(Section(panels, heading))
    typical = ""
    if result.typical is not None:
        typical = (
            f" Within the data, the nearest other image is typically {result.typical.median:.3f} away (median), and "
            f"for 99 % of the images less than {result.typical.percentile_99:.3f}."
        )
    has_classes = all(near.class_name is not None for found in result.results for near in found.neighbors)
    caption = (
        f"The nearest of {result.images:,} images of {result.data} by {result.features} features, with their "
        f"{'class' if has_classes else 'file'} and cosine distance: 0 for the same direction, 1 for orthogonal ones."
        f"{typical} Features keep texture, color and background next to the content, so that neighbors may share any "
        "of these."
    )
    return Sheet(title, sections, caption, columns=_COLUMNS, side=112)
