"""The plots of tables with two numeric columns: regions of the classes, and points by category."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.preprocessing import Column, TablePreprocessing
from dlnotes_cli.plots.boundary import Regions, RegionsPanel, draw_regions
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.training.model_file import TrainedModel

BOUNDARY, BOUNDARIES, SCATTER = "boundary.png", "boundaries.png", "scatter.png"
_CELLS = 240  # of the grid, along each axis
_MARGIN = 0.08  # of the range of the points
_MOST_POINTS = 2000
_MOST_CATEGORIES = 12
Array = NDArray[np.float64]
Labels = NDArray[np.int64]


class Plane(NamedTuple):
    """The two numeric columns of a table and its categorical one, if any, each with the first input that encodes it."""

    numeric: tuple[tuple[Column, int], ...]
    categorical: tuple[Column, int] | None
    inputs: int  # of all columns

    @classmethod
    def of(cls, preprocessing: object) -> Self | None:
        """The plane of a table; None for data without two numeric columns, or with more than 12 categories.

        None too without a categorical column where numbers are missing: the input that says so is no axis of the plane.
        """
        if not isinstance(preprocessing, TablePreprocessing):
            return None
        *starts, inputs = np.cumsum([0, *(column.width for column in preprocessing.columns)]).tolist()
        located = list(zip(preprocessing.columns, starts, strict=True))
        categorical = [place for place in located if place[0].categories]
        if len(located) - len(categorical) != 2 or len(categorical) > 1:  # noqa: PLR2004  # axes
            return None
        numeric = tuple(place for place in located if not place[0].categories)
        if categorical and categorical[0][0].width > _MOST_CATEGORIES:
            return None
        if not categorical and any(column.median is not None for column, _ in numeric):
            return None
        return cls(numeric, categorical[0] if categorical else None, inputs)

    @property
    def names(self) -> tuple[str, str]:
        """The names of the axes."""
        (x, _), (y, _) = self.numeric
        return x.name, y.name

    def points(self, samples: NDArray[np.generic]) -> Array:
        """The points (N, 2) of samples (N, inputs), in the units of the table."""
        values = np.asarray(samples, np.float64)
        return np.stack([values[:, place] * column.std + column.mean for column, place in self.numeric], axis=1)

    def encoded(self, points: Array, category: int) -> Array:
        """Points (N, 2) of one category as samples (N, inputs)."""
        samples = np.zeros((len(points), self.inputs))
        for i, (column, place) in enumerate(self.numeric):
            samples[:, place] = (points[:, i] - column.mean) / column.std
        if self.categorical is not None:
            samples[:, self.categorical[1] + category] = 1
        return samples


@dataclass(frozen=True)
class PlaneClassifier:
    """A classifier of a plane, with the preprocessing that it was trained with."""

    name: str
    network: nn.Module
    plane: Plane

    @torch.no_grad()
    def predicted(self, points: Array, category: int = 0) -> Labels:
        """The class (N,) of each point (N, 2) in the units of the table."""
        device, was_training = next(self.network.parameters()).device, self.network.training
        samples = torch.from_numpy(self.plane.encoded(points, category).astype(np.float32)).to(device)
        logits = self.network.eval()(samples)
        self.network.train(was_training)
        return np.asarray(logits.argmax(1).cpu().numpy(), np.int64)

    def regions(self, points: Array, category: int = 0) -> Regions:
        """The classes around points (N, 2)."""
        low, high = points.min(0), points.max(0)
        margin = _MARGIN * np.where(high > low, high - low, 1)
        x_axis, y_axis = np.linspace(low - margin, high + margin, _CELLS).T
        x, y = np.meshgrid(x_axis, y_axis)
        predicted = self.predicted(np.stack([x.ravel(), y.ravel()], axis=1), category)
        return Regions(x_axis, y_axis, predicted.reshape(x.shape))


def draw_plane(
    network: nn.Module, dataset: DataSet, beside: Sequence[PlaneClassifier] = (), configuration: object = None
) -> dict[str, bytes]:
    """For a table of two numeric columns: the regions of the classes, and next to those of earlier runs, if any.

    With a categorical column too, a panel with all points, and one with the points and regions of each category. The
    keys are file names.
    """
    plane = Plane.of(dataset.preprocessing)
    if plane is None:
        return {}
    own = PlaneClassifier(hidden_layers(configuration), network, plane)
    points, labels, classes = plane.points(dataset.samples), dataset.labels, dataset.classes
    shown = _thinned(points, labels)
    if plane.categorical is not None:
        column, first = plane.categorical
        category = np.asarray(dataset.samples)[:, first : first + column.width].argmax(1)
        panels = [RegionsPanel(*shown, None, f"all {len(labels):,} rows")]
        for i, name in enumerate(column.categories):
            rows = category == i
            title = f"{column.name} {name} ({np.count_nonzero(rows):,} rows)"
            panels.append(RegionsPanel(*_thinned(points, labels, rows), own.regions(points, i), title))
        return {SCATTER: draw_regions(panels, classes, plane.names)}
    plots = {BOUNDARY: draw_regions([RegionsPanel(*shown, own.regions(points))], classes, plane.names)}
    if beside:
        splits = {"train": "train", **({"test": "test"} if "test" in dataset.splits else {"val": "validation"})}
        panels = []
        for one in (*beside, own):
            is_right = one.predicted(points) == labels
            accuracies = [f"{name} {is_right[dataset.splits[split]].mean():.3f}" for split, name in splits.items()]
            title = f"{one.name}\naccuracy: {', '.join(accuracies)}"
            panels.append(RegionsPanel(*shown, one.regions(points), title))
        plots[BOUNDARIES] = draw_regions(panels, classes, plane.names)
    return plots


def _thinned(points: Array, labels: Labels, chosen: NDArray[np.bool_] | None = None) -> tuple[Array, Labels]:
    """The points and labels to draw: all, or those that are chosen, or some of them, evenly spaced."""
    indices = np.arange(len(points)) if chosen is None else np.flatnonzero(chosen)
    indices = indices[:: max(1, -(-len(indices) // _MOST_POINTS))]
    return points[indices], labels[indices]


def check_beside(option: str, model: TrainedModel, dataset: DataSet) -> PlaneClassifier:
    """A trained model as a classifier of the same table. Raises InputError where its columns or classes differ."""
    own, other = Plane.of(dataset.preprocessing), Plane.of(model.preprocessing)
    if own is None or own.categorical is not None:
        raise InputError(option, f"{dataset.name} is no table of two numeric columns without gaps", "drop it")
    is_same = other is not None and other.categorical is None and other.names == own.names
    if other is None or not is_same or model.classes != dataset.classes:
        raise InputError(option, f"{model.path} was trained on other columns or classes", "name runs on the same table")
    return PlaneClassifier(hidden_layers(model.metadata.get("configuration")), model.network, other)


def hidden_layers(configuration: object) -> str:
    """The name of a model on a sheet: the hidden layers of a network."""
    if isinstance(configuration, dict) and "trees" in configuration:
        return "boosted trees"
    hidden = configuration.get("hidden") if isinstance(configuration, dict) else None
    return f"hidden units: {', '.join(map(str, hidden))}" if hidden else "no hidden layer"
