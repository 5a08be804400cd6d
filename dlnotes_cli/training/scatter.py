"""The plots of tables with two numeric columns: regions of the classes, and points by category."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import nn

from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.preprocessing import Column, TablePreprocessing
from dlnotes_cli.plots.scatter import CategoryPanel, draw_scatter
from dlnotes_cli.training.boundary import (
    BOUNDARIES,
    BOUNDARY,
    PlaneClassifier,
    boundary_plot,
    boundary_sheet,
    hidden_layers,
    plane_of,
    predicted_regions,
)

SCATTER = "scatter.png"
_MOST_CATEGORIES = 12
_MOST_POINTS = 2000
_NUMERIC = 2


class _Places(NamedTuple):
    """The columns of a table with a plane and categories, and the first network input of each."""

    numeric: tuple[tuple[Column, int], ...]  # two of them
    categorical: tuple[Column, int]


def draw_plane(
    network: nn.Module, dataset: DataSet, beside: Sequence[PlaneClassifier], configuration: object
) -> dict[str, bytes]:
    """For a table of two numeric columns: the regions of the classes, and next to those of earlier runs, if any.

    With a categorical column too, the points and regions of each category. The keys are file names.
    """
    scatter = scatter_plot(network, dataset)
    if scatter is not None:
        return {SCATTER: scatter}
    plane, boundary = plane_of(dataset.preprocessing), boundary_plot(network, dataset)
    if plane is None or boundary is None:
        return {}
    if not beside:
        return {BOUNDARY: boundary}
    own = PlaneClassifier(hidden_layers(configuration), network, plane)
    return {BOUNDARY: boundary, BOUNDARIES: boundary_sheet([*beside, own], dataset, plane)}


def scatter_plot(network: nn.Module, dataset: DataSet) -> bytes | None:
    """A panel with all points of a table, and one for each category with its points and the predicted classes.

    None for data without two numeric columns and a categorical one of at most 12 categories.
    """
    places = _places(dataset.preprocessing)
    if places is None:
        return None
    samples = np.asarray(dataset.samples, np.float64)
    (x, x_place), (y, y_place) = places.numeric
    points = np.stack([samples[:, x_place] * x.std + x.mean, samples[:, y_place] * y.std + y.mean], axis=1)
    column, first = places.categorical
    category = samples[:, first : first + column.width].argmax(1)
    panels = []
    for i, name in enumerate(column.categories):
        regions = predicted_regions(network, points, lambda grid, i=i: _encoded(grid, places, i, samples.shape[1]))  # type: ignore[misc]
        panels.append(CategoryPanel(f"{column.name} {name}", regions, *_shown(points, dataset.labels, category == i)))
    everything = _shown(points, dataset.labels, np.ones(len(points), bool))
    return draw_scatter(panels, everything, dataset.classes, (x.name, y.name))


def _places(preprocessing: object) -> _Places | None:
    if not isinstance(preprocessing, TablePreprocessing):
        return None
    starts = np.cumsum([0, *(column.width for column in preprocessing.columns)]).tolist()
    located = list(zip(preprocessing.columns, starts, strict=False))
    numeric = tuple(place for place in located if not place[0].categories)
    categorical = [place for place in located if place[0].categories]
    if len(numeric) != _NUMERIC or len(categorical) != 1 or categorical[0][0].width > _MOST_CATEGORIES:
        return None
    return _Places(numeric, categorical[0])


def _encoded(grid: NDArray[np.float64], places: _Places, category: int, width: int) -> NDArray[np.float64]:
    """Points (N, 2) in the units of the table as samples (N, width) of one category."""
    samples = np.zeros((len(grid), width))
    for i, (column, place) in enumerate(places.numeric):
        samples[:, place] = (grid[:, i] - column.mean) / column.std
    samples[:, places.categorical[1] + category] = 1
    return samples


def _shown(
    points: NDArray[np.float64], labels: NDArray[np.int64], chosen: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The points and labels to draw: all that are chosen, or some of them, evenly spaced."""
    indices = np.flatnonzero(chosen)
    indices = indices[:: max(1, -(-len(indices) // _MOST_POINTS))]
    return points[indices], labels[indices]
