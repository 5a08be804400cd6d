"""The plots of tables with two numeric columns: regions of the classes, and points by category."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.preprocessing import Column, TablePreprocessing
from dlnotes_cli.plots.boundary import CategoryPanel, Regions, draw_boundaries, draw_boundary, draw_scatter
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.model_file import TrainedModel

BOUNDARY, BOUNDARIES, SCATTER = "boundary.png", "boundaries.png", "scatter.png"
_PLANE = 2  # columns that have one
_CELLS = 240  # of the grid, along each axis
_MARGIN = 0.08  # of the range of the points
_MOST_POINTS = 2000
_MOST_CATEGORIES = 12
Array = NDArray[np.float64]


@dataclass(frozen=True)
class PlaneClassifier:
    """A classifier of two numeric columns, with the preprocessing that it was trained with."""

    name: str
    network: nn.Module
    preprocessing: TablePreprocessing

    def predicted(self, points: Array) -> NDArray[np.int64]:
        """The class (N,) of each point (N, 2) in the units of the table."""
        mean, std = _scale(self.preprocessing)
        return _predicted(self.network, (points - mean) / std)


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
    return draw_scatter(panels, _shown(points, dataset.labels), dataset.classes, (x.name, y.name))


def _places(preprocessing: object) -> _Places | None:
    if not isinstance(preprocessing, TablePreprocessing):
        return None
    starts = np.cumsum([0, *(column.width for column in preprocessing.columns)]).tolist()
    located = list(zip(preprocessing.columns, starts, strict=False))
    numeric = tuple(place for place in located if not place[0].categories)
    categorical = [place for place in located if place[0].categories]
    if len(numeric) != _PLANE or len(categorical) != 1 or categorical[0][0].width > _MOST_CATEGORIES:
        return None
    return _Places(numeric, categorical[0])


def _encoded(grid: Array, places: _Places, category: int, width: int) -> Array:
    """Points (N, 2) in the units of the table as samples (N, width) of one category."""
    samples = np.zeros((len(grid), width))
    for i, (column, place) in enumerate(places.numeric):
        samples[:, place] = (grid[:, i] - column.mean) / column.std
    samples[:, places.categorical[1] + category] = 1
    return samples


def _shown(
    points: Array, labels: NDArray[np.int64], chosen: NDArray[np.bool_] | None = None
) -> tuple[Array, NDArray[np.int64]]:
    """The points and labels to draw: all, or those that are chosen, or some of them, evenly spaced."""
    indices = np.arange(len(points)) if chosen is None else np.flatnonzero(chosen)
    indices = indices[:: max(1, -(-len(indices) // _MOST_POINTS))]
    return points[indices], labels[indices]


def boundary_plot(network: nn.Module, dataset: DataSet) -> bytes | None:
    """The regions of the classes with the points of the table, in its own units; None for other data."""
    plane = plane_of(dataset.preprocessing)
    if plane is None:
        return None
    points, names = _points(dataset, plane)
    regions = _regions(PlaneClassifier("", network, plane), points)
    return draw_boundary(regions, *_shown(points, dataset.labels), dataset.classes, names)


def boundary_sheet(classifiers: Sequence[PlaneClassifier], dataset: DataSet, plane: TablePreprocessing) -> bytes:
    """The regions of several classifiers side by side, each with its accuracy on the splits of a table."""
    points, names = _points(dataset, plane)
    splits = {"train": "train", **({"test": "test"} if "test" in dataset.splits else {"val": "validation"})}
    sheet = []
    for one in classifiers:
        is_right = one.predicted(points) == dataset.labels
        accuracies = [f"{name} {is_right[dataset.splits[split]].mean():.3f}" for split, name in splits.items()]
        title = f"{one.name}\naccuracy: {', '.join(accuracies)}"
        sheet.append(replace(_regions(one, points), title=title))
    return draw_boundaries(sheet, *_shown(points, dataset.labels), dataset.classes, names)


def plane_of(preprocessing: object) -> TablePreprocessing | None:
    """The preprocessing of a table with two numeric columns; None for other data."""
    if not isinstance(preprocessing, TablePreprocessing) or len(preprocessing.columns) != _PLANE:
        return None
    has_more = any(column.categories or column.median is not None for column in preprocessing.columns)
    return None if has_more else preprocessing


def check_beside(option: str, model: TrainedModel, dataset: DataSet) -> PlaneClassifier:
    """A trained model as a classifier of the same table. Raises InputError where its columns or classes differ."""
    own, other = plane_of(dataset.preprocessing), plane_of(model.preprocessing)
    if own is None:
        raise InputError(option, f"{dataset.name} has no two numeric columns", "drop it")
    names = None if other is None else [column.name for column in other.columns]
    if other is None or names != [column.name for column in own.columns] or model.classes != dataset.classes:
        raise InputError(option, f"{model.path} was trained on other columns or classes", "name runs on the same table")
    return PlaneClassifier(hidden_layers(model.metadata.get("configuration")), model.network, other)


def hidden_layers(configuration: object) -> str:
    """The name of a network on a sheet: its hidden layers."""
    hidden = configuration.get("hidden") if isinstance(configuration, dict) else None
    return f"hidden units: {', '.join(map(str, hidden))}" if hidden else "no hidden layer"


def _scale(plane: TablePreprocessing) -> tuple[Array, Array]:
    return np.array([column.mean for column in plane.columns]), np.array([column.std for column in plane.columns])


def _points(dataset: DataSet, plane: TablePreprocessing) -> tuple[Array, tuple[str, str]]:
    """The points (N, 2) of a table in its own units, and the names of the columns."""
    mean, std = _scale(plane)
    return np.asarray(dataset.samples, np.float64) * std + mean, (plane.columns[0].name, plane.columns[1].name)


def predicted_regions(network: nn.Module, points: Array, encode: Callable[[Array], Array]) -> Regions:
    """The classes that a network predicts around points (N, 2); `encode` makes samples (N, F) of such points."""
    x_axis, y_axis = (_axis(points[:, i]) for i in range(_PLANE))
    x, y = np.meshgrid(x_axis, y_axis)
    predicted = _predicted(network, encode(np.stack([x.ravel(), y.ravel()], axis=1))).reshape(x.shape)
    return Regions(x_axis, y_axis, predicted)


def _regions(classifier: PlaneClassifier, points: Array) -> Regions:
    mean, std = _scale(classifier.preprocessing)
    return predicted_regions(classifier.network, points, lambda grid: (grid - mean) / std)


def _axis(values: Array) -> Array:
    """Positions a little beyond the range of the values."""
    low, high = float(values.min()), float(values.max())
    margin = _MARGIN * (high - low or 1.0)
    return np.linspace(low - margin, high + margin, _CELLS)


@torch.no_grad()
def _predicted(network: nn.Module, samples: Array) -> NDArray[np.int64]:
    device = next(network.parameters()).device
    was_training = network.training
    logits = network.eval()(torch.from_numpy(samples.astype(np.float32)).to(device))
    network.train(was_training)
    return np.asarray(logits.argmax(1).cpu().numpy(), np.int64)
