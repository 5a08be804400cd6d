"""The points of a table, for each category of a column, with the regions that a classifier gives to each class."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.plots.boundary import MOST_IN_LEGEND, Regions, draw_points, draw_regions
from dlnotes_cli.plots.figure import new_figure, png
from dlnotes_cli.plots.names import plain, shortened

_PANEL = 3.6, 3.3  # inches
_MOST_COLUMNS = 3
_TITLE_COLUMNS = 36


class CategoryPanel(NamedTuple):
    """The points (N, 2) and labels (N,) of one category, and the predicted classes there."""

    title: str
    regions: Regions
    points: NDArray[np.float64]
    labels: NDArray[np.int64]


def draw_scatter(
    panels: Sequence[CategoryPanel], everything: tuple[NDArray[np.float64], NDArray[np.int64]], classes: Sequence[str],
    axes_names: tuple[str, str],
) -> bytes:  # fmt: skip
    """A PNG with a panel of all points, then one for each category, whose regions are those of the classifier."""
    columns = min(len(panels) + 1, _MOST_COLUMNS)
    rows = -(-(len(panels) + 1) // columns)
    figure = new_figure(_PANEL[0] * columns + 1.2, _PANEL[1] * rows)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    draw_points(grid[0], *everything, classes)
    grid[0].set_title(f"all {len(everything[1]):,} rows", fontsize=10)
    for axes, panel in zip(grid[1:], panels, strict=False):
        draw_regions(axes, panel.regions, panel.points, panel.labels, classes)
        axes.set_title(plain(shortened(f"{panel.title} ({len(panel.labels):,} rows)", _TITLE_COLUMNS)), fontsize=10)
    for i, axes in enumerate(grid):
        if i > len(panels):
            axes.set_visible(False)
        if i + columns > len(panels):  # the lowest panel of its column
            axes.set_xlabel(plain(axes_names[0]))
            axes.tick_params(labelbottom=True)
        if i % columns == 0:
            axes.set_ylabel(plain(axes_names[1]))
    if len(classes) <= MOST_IN_LEGEND:
        grid[columns - 1].legend(frameon=False, bbox_to_anchor=(1.0, 1.0), loc="upper left")
    return png(figure)
