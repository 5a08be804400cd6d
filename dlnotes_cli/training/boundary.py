"""The decision boundary of a classifier of tables with two numeric columns."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dlnotes_cli.data.dataset import DataSet
from dlnotes_cli.data.preprocessing import TablePreprocessing
from dlnotes_cli.plots.boundary import Regions, draw_boundary

BOUNDARY = "boundary.png"
_PLANE = 2  # columns that have one
_CELLS = 240  # of the grid, along each axis
_MARGIN = 0.08  # of the range of the points
_MOST_POINTS = 2000


def boundary_plot(network: nn.Module, dataset: DataSet) -> bytes | None:
    """The regions of the classes with the points of the table, in its own units; None for other data."""
    preprocessing = dataset.preprocessing
    if not isinstance(preprocessing, TablePreprocessing) or len(preprocessing.columns) != _PLANE:
        return None
    columns = preprocessing.columns
    if any(column.categories for column in columns):
        return None
    shown = slice(None, None, -(-len(dataset.labels) // _MOST_POINTS))
    points = np.asarray(dataset.samples, np.float64)
    axes = [_axis(points[:, i]) for i in range(_PLANE)]
    x, y = np.meshgrid(*axes)
    regions = _predicted(network, np.stack([x.ravel(), y.ravel()], axis=1)).reshape(x.shape)
    mean, std = np.array([column.mean for column in columns]), np.array([column.std for column in columns])
    own_axes = [axis * std[i] + mean[i] for i, axis in enumerate(axes)]
    names = (columns[0].name, columns[1].name)
    return draw_boundary(
        Regions(own_axes[0], own_axes[1], regions),
        points[shown] * std + mean,
        dataset.labels[shown],
        dataset.classes,
        names,
    )


def _axis(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Positions a little beyond the range of the values."""
    low, high = float(values.min()), float(values.max())
    margin = _MARGIN * (high - low or 1.0)
    return np.linspace(low - margin, high + margin, _CELLS)


@torch.no_grad()
def _predicted(network: nn.Module, samples: NDArray[np.float64]) -> NDArray[np.int64]:
    device = next(network.parameters()).device
    was_training = network.training
    logits = network.eval()(torch.from_numpy(samples.astype(np.float32)).to(device))
    network.train(was_training)
    return np.asarray(logits.argmax(1).cpu().numpy(), np.int64)
