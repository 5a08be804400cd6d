"""Images next to the probabilities of their classes, as bars."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.plots.figure import BLUE, GRAY, Sheet
from dlnotes_cli.plots.names import columns as text_columns
from dlnotes_cli.plots.names import distinct_names, plain, shortened

MOST_SHEET_IMAGES, MOST_BARS = 24, 10
_SIDE, _BARS, _GAP = 1.75, 1.9, 0.35  # inches of an image, of the bars, and between columns
_COLUMN = 0.065  # inches of a character of a class name
_HEADING = 0.32
_NAME_COLUMNS, _ITEM_COLUMNS = 18, 52
_ROOM = 0.14  # of the axis, for the percentage behind a bar of 100 %


@dataclass(frozen=True)
class ClassBars:
    """An image uint8 (C, H, W), its name, and the classes with their probabilities, from top to bottom."""

    image: NDArray[np.uint8]
    name: str
    classes: tuple[tuple[str, float], ...]


def draw_class_bars(shown: Sequence[ClassBars]) -> bytes:
    """A sheet of images, each with bars of its classes; the most probable class has a darker one."""
    columns = 1 if len(shown) < 2 else 2  # noqa: PLR2004  # one image, or several side by side
    longest = max(min(text_columns(name), _NAME_COLUMNS) for bars in shown for name, _ in bars.classes)
    names = 0.3 + _COLUMN * longest
    width, pitch = _SIDE + names + _BARS + _GAP, _SIDE + _HEADING + _GAP
    sheet = Sheet(columns * width - _GAP, -(-len(shown) // columns) * pitch - _GAP)
    for i, bars in enumerate(shown):
        row, column = divmod(i, columns)
        left, top = column * width, row * pitch + _HEADING
        sheet.text(left, top - 0.08, plain(shortened(bars.name, _ITEM_COLUMNS)), va="bottom")
        sheet.image(bars.image, left, top, _SIDE, _SIDE)
        _draw_bars(sheet, bars, left + _SIDE + names, top)
    return sheet.png()


def _draw_bars(sheet: Sheet, bars: ClassBars, left: float, top: float) -> None:
    names = distinct_names([name for name, _ in bars.classes], _NAME_COLUMNS)
    values = [probability for _, probability in bars.classes]
    best = max(range(len(values)), key=values.__getitem__)
    axes = sheet.axes(left, top, _BARS, _SIDE)
    places = range(len(values))
    axes.barh(places, values, height=0.72, color=[BLUE if i == best else "#9CC9E3" for i in places])
    axes.set_yticks(places, [plain(name) for name in names], fontsize=7)
    axes.set_ylim(max(len(values), 3) - 0.5, -0.5)
    axes.set_xlim(0, 1 + _ROOM)
    axes.set_xticks([0, 0.5, 1])
    axes.tick_params(labelsize=7, length=2)
    axes.spines[["top", "right"]].set_visible(False)
    for place, value in zip(places, values, strict=True):
        axes.text(
            value + 0.015, place, f"{value:.1%}", va="center", fontsize=6, color="black" if place == best else GRAY
        )
