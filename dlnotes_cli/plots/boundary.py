"""The regions of a plane that a classifier gives to each class, with the points."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.plots.figure import COLORS, new_figure, png
from dlnotes_cli.plots.names import distinct_names, plain

_MARKERS = "oxs^vD"
_MOST_IN_LEGEND = 12  # classes
_NAME_COLUMNS = 18


@dataclass(frozen=True)
class Regions:
    """The predicted class (H, W) at each position of a grid, whose axes are (W,) and (H,)."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    predicted: NDArray[np.int64]


def draw_boundary(
    regions: Regions, points: NDArray[np.float64], labels: NDArray[np.int64], classes: Sequence[str],
    axes_names: tuple[str, str],
) -> bytes:  # fmt: skip
    """Regions in light colors, and points (N, 2) of known classes with a color and a marker for each class."""
    from matplotlib.colors import ListedColormap

    figure = new_figure(6.6, 5.0)
    axes = figure.add_subplot()
    colors = [COLORS[i % len(COLORS)] for i in range(len(classes))]
    edges = np.arange(len(classes) + 1) - 0.5
    if len(classes) > 1:
        axes.contourf(
            regions.x,
            regions.y,
            regions.predicted,
            levels=edges,
            cmap=ListedColormap(colors),
            alpha=0.18,
            antialiased=False,
        )
    for i, name in enumerate(distinct_names(classes, _NAME_COLUMNS)):
        chosen = points[labels == i]
        marker = _MARKERS[i // len(COLORS) % len(_MARKERS)] if len(classes) > len(_MARKERS) else _MARKERS[i]
        axes.scatter(
            chosen[:, 0], chosen[:, 1], s=22, color=colors[i], marker=marker, label=plain(name), linewidths=1.2
        )
    axes.set(xlim=(regions.x[0], regions.x[-1]), ylim=(regions.y[0], regions.y[-1]))
    axes.set_xlabel(plain(axes_names[0]))
    axes.set_ylabel(plain(axes_names[1]))
    if len(classes) <= _MOST_IN_LEGEND:
        axes.legend(frameon=False, bbox_to_anchor=(1.0, 1.0), loc="upper left")
    return png(figure)
