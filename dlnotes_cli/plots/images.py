"""Sheets of images: predictions, augmented variants, images with bars of classes, and with pixel values."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.plots.figure import BLUE, FRAME, GRAY, RED, new_figure, png
from dlnotes_cli.plots.names import distinct_names, plain, shortened
from dlnotes_cli.plots.sheet import Panel, Section, Sheet, gray_to_rgb

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PREDICTIONS_SHOWN = 24  # images in the grid of predictions, of which up to half are mistakes
_PER_ROW = 6
_SIDE = 180  # pixels of an image
_NAME_COLUMNS = 32  # of two lines
MOST_SHEET_IMAGES, MOST_BARS = 24, 10
_BARS_WIDTH, _BARS_HEIGHT = 5.2, 2.1  # inches of an image with its bars
_BAR_COLUMNS, _ITEM_COLUMNS = 18, 30
_ROOM = 0.14  # of the axis, for the percentage behind a bar of 100 %
_CELL, _FONT = 0.27, 6.0  # inches of a pixel, and points of its number
_GAP = 0.3  # inches between two images, with the line above one
_MOST_WIDTH = 20.0  # inches of a sheet with more than one column
_DARK = 140  # pixel values up to which numbers are white
_CHANNELS = ("red", "green", "blue")


@dataclass(frozen=True)
class ShownPrediction:
    """An image uint8 (C, H, W), its class, the predicted class and its probability."""

    image: NDArray[np.uint8]
    label: int
    predicted: int
    probability: float

    @property
    def is_correct(self) -> bool:
        """Whether the predicted class is the true one."""
        return self.label == self.predicted


def draw_predictions(
    shown: Sequence[ShownPrediction], classes: Sequence[str], mistakes: int, samples: int, title: str = "Predictions"
) -> bytes:
    """A sheet of images with the predicted class and its probability: mistakes in red with their class, correct ones.

    `mistakes` of all `samples` are wrong, of which `shown` has some.
    """
    names = distinct_names(classes, _NAME_COLUMNS)
    wrong = [
        Panel(
            gray_to_rgb(one.image), f"{names[one.predicted]}\n({names[one.label]})", f"{one.probability:.1%}", color=RED
        )
        for one in shown
        if not one.is_correct
    ]
    correct = [
        Panel(gray_to_rgb(one.image), names[one.predicted], f"{one.probability:.1%}") for one in shown if one.is_correct
    ]
    sections = [
        Section(wrong, f"mistakes: {len(wrong):,} of {mistakes:,}, the most confident first"),
        Section(correct, f"correct: {len(correct):,} of {samples - mistakes:,}"),
    ]
    caption = "Below: the predicted class, of a mistake also the true class in brackets, and the probability."
    return Sheet(title, [one for one in sections if one.panels], caption, _PER_ROW, _SIDE).png()


def draw_variants(
    rows: NDArray[np.uint8], names: Sequence[str], captions: Sequence[Sequence[str]], title: str
) -> bytes:
    """A sheet of images uint8 (N, 1 + V, C, H, W): each row has a name, an original and its V variants.

    `captions` (N, V) are lines below the variants, or empty.
    """
    labels = ["original", *(f"variant {j}" for j in range(1, rows.shape[1]))]
    sections = [
        Section(
            [
                Panel(gray_to_rgb(image), label, note)
                for image, label, note in zip(images, labels, ["", *notes], strict=True)
            ],
            name,
        )
        for images, notes, name in zip(rows, captions, distinct_names(names, 60), strict=True)
    ]
    return Sheet(title, sections, columns=len(labels), side=_SIDE).png()


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
    figure = new_figure(columns * _BARS_WIDTH, rows * _BARS_HEIGHT)
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
    names = distinct_names([name for name, _ in bars.classes], _BAR_COLUMNS)
    values = [probability for _, probability in bars.classes]
    best = max(range(len(values)), key=values.__getitem__)
    places = range(len(values))
    axes.barh(places, values, height=0.72, color=[BLUE if i == best else "#9CC9E3" for i in places])
    axes.set_yticks(places, [plain(name) for name in names])
    axes.set(visible=True, xlim=(0, 1 + _ROOM), ylim=(max(len(values), 3) - 0.5, -0.5), xticks=[0, 0.5, 1])
    axes.set_xlabel("probability", fontsize=8, labelpad=1)
    axes.tick_params(labelsize=8, length=2)
    axes.spines[["top", "right"]].set_visible(False)
    for place, value in zip(places, values, strict=True):
        color = "black" if place == best else GRAY
        axes.text(value + 0.015, place, f"{value:.1%}", va="center", fontsize=7, color=color)


def draw_pixel_numbers(
    images: NDArray[np.uint8], names: Sequence[str], title: str, text: Callable[[int], str]
) -> bytes:
    """A sheet of images uint8 (N, C, H, W), the channels of a color image side by side; `text` writes a pixel value."""
    count, channels, height, width = images.shape
    side = width * _CELL + _GAP
    columns = channels * max(1, min(count, int(_MOST_WIDTH / (channels * side))))
    rows = -(-count * channels // columns)
    figure = new_figure(columns * side, rows * (height * _CELL + 2 * _GAP))
    figure.suptitle(plain(title), fontsize=11)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for i, (axes, pixels) in enumerate(zip(grid, images.reshape(-1, height, width), strict=False)):
        heading = shortened(names[i // channels], max(int(side / 0.1), 8))
        heading += f", {_CHANNELS[i % channels]}" if channels > 1 else ""
        axes.set_title(plain(heading), fontsize=9)
        axes.pcolormesh(pixels, cmap="gray", vmin=0, vmax=255, edgecolors=FRAME, linewidth=0.3)
        axes.set(aspect="equal", ylim=(height, 0))
        for (y, x), value in np.ndenumerate(pixels):
            color = "white" if value <= _DARK else "black"
            style = {"ha": "center", "va": "center", "fontsize": _FONT, "color": color, "in_layout": False}
            axes.text(x + 0.5, y + 0.5, text(int(value)), **style)
    return png(figure, margin=0.12)
