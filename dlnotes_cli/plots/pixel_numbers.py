"""Images with the value of each pixel written into it."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.plots.figure import FRAME, new_figure, png
from dlnotes_cli.plots.names import plain, shortened

_CELL, _FONT = 0.27, 6.0  # inches of a pixel, and points of its number
_GAP = 0.3  # inches between two images, with the line above one
_MOST_WIDTH = 20.0  # inches of a sheet with more than one column
_DARK = 140  # pixel values up to which numbers are white
_CHANNELS = ("red", "green", "blue")


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
