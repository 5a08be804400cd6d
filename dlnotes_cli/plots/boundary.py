"""The regions of a plane that a classifier gives to each class, with the points."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.plots.figure import COLORS, new_figure, png
from dlnotes_cli.plots.names import distinct_names, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKERS = "oxs^vD"
MOST_IN_LEGEND = 12  # classes
_NAME_COLUMNS = 18


_PANEL = 4.2, 4.0  # inches


@dataclass(frozen=True)
class Regions:
    """The predicted class (H, W) at each position of a grid, whose axes are (W,) and (H,), and a title."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    predicted: NDArray[np.int64]
    title: str = ""


def draw_boundary(
    regions: Regions, points: NDArray[np.float64], labels: NDArray[np.int64], classes: Sequence[str],
    axes_names: tuple[str, str],
) -> bytes:  # fmt: skip
    """Regions in light colors, and points (N, 2) of known classes with a color and a marker for each class."""
    figure = new_figure(6.6, 5.0)
    axes = figure.add_subplot()
    draw_regions(axes, regions, points, labels, classes)
    axes.set_xlabel(plain(axes_names[0]))
    axes.set_ylabel(plain(axes_names[1]))
    if len(classes) <= MOST_IN_LEGEND:
        axes.legend(frameon=False, bbox_to_anchor=(1.0, 1.0), loc="upper left")
    return png(figure)


def draw_boundaries(
    sheet: Sequence[Regions], points: NDArray[np.float64], labels: NDArray[np.int64], classes: Sequence[str],
    axes_names: tuple[str, str],
) -> bytes:  # fmt: skip
    """The regions of several classifiers of the same data, side by side."""
    figure = new_figure(_PANEL[0] * len(sheet) + 1.0, _PANEL[1])
    grid = figure.subplots(1, len(sheet), squeeze=False, sharex=True, sharey=True)[0]
    for axes, regions in zip(grid, sheet, strict=True):
        draw_regions(axes, regions, points, labels, classes)
        axes.set_xlabel(plain(axes_names[0]))
        axes.set_title("\n".join(map(plain, regions.title.splitlines())), fontsize=10)
    grid[0].set_ylabel(plain(axes_names[1]))
    if len(classes) <= MOST_IN_LEGEND:
        grid[-1].legend(frameon=False, bbox_to_anchor=(1.0, 1.0), loc="upper left")
    return png(figure)


def draw_regions(
    axes: "Axes", regions: Regions, points: NDArray[np.float64], labels: NDArray[np.int64], classes: Sequence[str]
) -> None:
    """Draw regions in light colors, and points (N, 2) above them."""
    from matplotlib.colors import ListedColormap

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
    draw_points(axes, points, labels, classes)
    axes.set(xlim=(regions.x[0], regions.x[-1]), ylim=(regions.y[0], regions.y[-1]))


def draw_points(axes: "Axes", points: NDArray[np.float64], labels: NDArray[np.int64], classes: Sequence[str]) -> None:
    """Draw points (N, 2) with a color and a marker for each class."""
    colors = [COLORS[i % len(COLORS)] for i in range(len(classes))]
    for i, name in enumerate(distinct_names(classes, _NAME_COLUMNS)):
        chosen = points[labels == i]
        marker = _MARKERS[i // len(COLORS) % len(_MARKERS)] if len(classes) > len(_MARKERS) else _MARKERS[i]
        axes.scatter(
            chosen[:, 0], chosen[:, 1], s=22, color=colors[i], marker=marker, label=plain(name), linewidths=1.2
        )
