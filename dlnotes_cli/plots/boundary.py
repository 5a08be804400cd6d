"""The regions of a plane that a classifier gives to each class, with the points, in one or several panels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.plots.figure import COLORS, new_figure, png
from dlnotes_cli.plots.names import distinct_names, plain, shortened
from dlnotes_cli.plots.sheet import in_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKERS = "oxs^vD"
_MOST_IN_LEGEND, _LEGEND_ROWS = 28, 14  # classes
_NAME_COLUMNS = 18
_PER_INCH = 8.5  # columns of a title or of the name of an axis
_SINGLE, _ONE_OF_ROW, _ONE_OF_GRID = (5.6, 5.0), (4.2, 4.0), (3.6, 3.3)  # inches of a panel
_MOST_COLUMNS = 3

Points = NDArray[np.float64]  # (N, 2)
Labels = NDArray[np.int64]  # (N,)


@dataclass(frozen=True)
class Regions:
    """The predicted class (H, W) at each position of a grid, whose axes are (W,) and (H,)."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    predicted: NDArray[np.int64]


class RegionsPanel(NamedTuple):
    """Points (N, 2) with their labels (N,), and the regions that a classifier gives to each class, if any."""

    points: Points
    labels: Labels
    regions: Regions | None
    title: str = ""


def draw_regions(panels: Sequence[RegionsPanel], classes: Sequence[str], axes_names: tuple[str, str]) -> bytes:
    """A PNG of panels: regions in light colors, and points with a color and a marker for each class."""
    columns = in_rows(len(panels), _MOST_COLUMNS)
    rows = -(-len(panels) // columns)
    width, height = _SINGLE if len(panels) == 1 else _ONE_OF_ROW if rows == 1 else _ONE_OF_GRID
    figure = new_figure(width * columns + 1.0, height * rows)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    for i, (axes, panel) in enumerate(zip(grid, panels, strict=False)):
        if panel.regions is not None:
            _draw_regions(axes, panel.regions, len(classes))
        _draw_points(axes, panel.points, panel.labels, classes)
        lines = [plain(shortened(line, int(_PER_INCH * width))) for line in panel.title.splitlines()]
        axes.set_title("\n".join(lines), fontsize=10)
        if i + columns >= len(panels):  # the lowest panel of its column
            axes.set_xlabel(plain(shortened(axes_names[0], int(_PER_INCH * width))))
            axes.tick_params(labelbottom=True)
        if i % columns == 0:
            axes.set_ylabel(plain(shortened(axes_names[1], int(_PER_INCH * height))))
    if len(classes) <= _MOST_IN_LEGEND:
        style = {"frameon": False, "bbox_to_anchor": (1.0, 1.0), "loc": "upper left"}
        grid[columns - 1].legend(ncols=-(-len(classes) // _LEGEND_ROWS), **style)
    return png(figure)


def _draw_regions(axes: "Axes", regions: Regions, classes: int) -> None:
    """Draw regions in light colors."""
    from matplotlib.colors import ListedColormap

    if classes > 1:
        colors = ListedColormap([COLORS[i % len(COLORS)] for i in range(classes)])
        edges = np.arange(classes + 1) - 0.5
        axes.contourf(regions.x, regions.y, regions.predicted, levels=edges, cmap=colors, alpha=0.18, antialiased=False)
    axes.set(xlim=(regions.x[0], regions.x[-1]), ylim=(regions.y[0], regions.y[-1]))


def _draw_points(axes: "Axes", points: Points, labels: Labels, classes: Sequence[str]) -> None:
    """Draw points with a color and a marker for each class."""
    for i, name in enumerate(distinct_names(classes, _NAME_COLUMNS)):
        chosen = points[labels == i]
        marker = _MARKERS[i // len(COLORS) % len(_MARKERS)] if len(classes) > len(_MARKERS) else _MARKERS[i]
        color = COLORS[i % len(COLORS)]
        axes.scatter(chosen[:, 0], chosen[:, 1], s=22, color=color, marker=marker, label=plain(name), linewidths=1.2)
