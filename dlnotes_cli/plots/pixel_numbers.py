"""Images with the value of each pixel written into it."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.plots.figure import FRAME, Sheet
from dlnotes_cli.plots.names import plain, shortened

_CELL, _FONT = 0.27, 6.0  # inches of a pixel, and points of its number
_GAP, _HEADING = 0.3, 0.3  # inches between two images, and of the line above one
_MOST_WIDTH = 20.0  # inches of a sheet with more than one column
_DARK = 140  # pixel values up to which numbers are white
_CHANNELS = ("red", "green", "blue")


def draw_pixel_numbers(
    images: NDArray[np.uint8], names: Sequence[str], title: str, text: Callable[[int], str]
) -> bytes:
    """A sheet of images uint8 (N, C, H, W), the channels of a color image side by side; `text` writes a pixel value."""
    count, channels, rows, columns = images.shape
    width, height = columns * _CELL, rows * _CELL
    group = channels * (width + _GAP)
    per_row = max(1, min(count, int(_MOST_WIDTH / group)))
    pitch = height + _HEADING + _GAP
    sheet = Sheet(per_row * group - _GAP, _HEADING + -(-count // per_row) * pitch - _GAP)
    sheet.text(0, 0, plain(title), fontsize=11)
    for i, (image, name) in enumerate(zip(images, names, strict=True)):
        row, column = divmod(i, per_row)
        for channel, pixels in enumerate(image):
            left, top = column * group + channel * (width + _GAP), 2 * _HEADING + row * pitch
            heading = shortened(name, max(int(width / 0.09), 8))
            heading += f", {_CHANNELS[channel]}" if channels > 1 else ""
            sheet.text(left + width / 2, top - 0.05, plain(heading), ha="center", va="bottom")
            _draw_channel(sheet, pixels, left, top, text)
    return sheet.png()


def _draw_channel(sheet: Sheet, pixels: NDArray[np.uint8], left: float, top: float, text: Callable[[int], str]) -> None:
    rows, columns = pixels.shape
    sheet.image(pixels.repeat(8, axis=0).repeat(8, axis=1)[None], left, top, columns * _CELL, rows * _CELL)
    lines: dict[str, Any] = {"colors": FRAME, "linewidth": 0.3}
    sheet.canvas.vlines([left + i * _CELL for i in range(columns + 1)], top, top + rows * _CELL, **lines)
    sheet.canvas.hlines([top + i * _CELL for i in range(rows + 1)], left, left + columns * _CELL, **lines)
    for (y, x), value in np.ndenumerate(pixels):
        color = "white" if value <= _DARK else "black"
        style = {"ha": "center", "va": "center", "fontsize": _FONT, "color": color, "in_layout": False}
        sheet.text(left + (x + 0.5) * _CELL, top + (y + 0.5) * _CELL, text(int(value)), **style)
