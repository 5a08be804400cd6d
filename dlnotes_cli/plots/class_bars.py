"""Images next to the probabilities of their classes, as bars."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.plots.figure import BLUE, FRAME, GRAY, new_figure, png
from dlnotes_cli.plots.names import distinct_names, plain, shortened
from dlnotes_cli.plots.sheet import gray_to_rgb

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_SHEET_IMAGES, MOST_BARS = 24, 10
_WIDTH, _HEIGHT = 5.2, 2.1  # inches of an image with its bars
_NAME_COLUMNS, _ITEM_COLUMNS = 18, 30
_ROOM = 0.14  # of the axis, for the percentage behind a bar of 100 %


@dataclass(frozen=True)
class ClassBars:
    """An image uint8 (C, H, W), its name, and the classes with their probabilities, from top to bottom."""

    image: NDArray[np.uint8]
    name: str
    classes: tuple[tuple[str, float], ...]


def draw_class_bars(shown: Sequence[ClassBars]) -> bytes:
    """A sheet of images, each with bars of its classes; the most probable class has a darker one."""
    columns = min(len(shown), 2)
    rows = -(-len(shown) // columns)
    figure = new_figure(columns * _WIDTH, rows * _HEIGHT)
    grid = figure.subplots(rows, 2 * columns, squeeze=False, width_ratios=[1, 1.1] * columns).ravel()
    for axes in grid:
        axes.set_visible(False)
    for bars, left, right in zip(shown, grid[::2], grid[1::2], strict=False):
        left.set(visible=True, xticks=[], yticks=[])
        left.set_title(plain(shortened(bars.name, _ITEM_COLUMNS)), fontsize=9)
        left.imshow(gray_to_rgb(bars.image))
        for spine in left.spines.values():
            spine.set(edgecolor=FRAME, linewidth=0.5)
        _draw_bars(right, bars)
    return png(figure, margin=0.12)


def _draw_bars(axes: "Axes", bars: ClassBars) -> None:
    names = distinct_names([name for name, _ in bars.classes], _NAME_COLUMNS)
    values = [probability for _, probability in bars.classes]
    best = max(range(len(values)), key=values.__getitem__)
    places = range(len(values))
    axes.barh(places, values, height=0.72, color=[BLUE if i == best else "#9CC9E3" for i in places])
    axes.set_yticks(places, [plain(name) for name in names])
    axes.set(visible=True, xlim=(0, 1 + _ROOM), ylim=(max(len(values), 3) - 0.5, -0.5), xticks=[0, 0.5, 1])
    axes.tick_params(labelsize=8, length=2)
    axes.spines[["top", "right"]].set_visible(False)
    for place, value in zip(places, values, strict=True):
        color = "black" if place == best else GRAY
        axes.text(value + 0.015, place, f"{value:.1%}", va="center", fontsize=7, color=color)
