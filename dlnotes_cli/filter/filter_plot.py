"""The sheet of filtered images: original, kernels, result and spectra."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.plots.figure import FRAME, GRAY, POINTS, PlacedFigure
from dlnotes_cli.plots.names import plain, shortened

_IMAGE, _SQUARE = 3.0, 2.1  # inches of the longer side of an image, and of a kernel or spectrum
_GAP, _HEADING = 0.25, 0.46  # inches between columns, and above a row for its titles
_AXIS, _BAR, _BAR_LABELS = 0.5, 0.1, 0.55  # inches of the labels of a spectrum, its color bar and the bar's labels
_LARGEST_FONT, _SMALLEST_FONT = 11.0, 4.5  # points; legible at this resolution
_MOST_NUMBERED_WEIGHTS = 9  # rows and columns up to which a kernel shows its weights
_DIGIT = 0.62  # width of a digit, as a fraction of the font size
_DECIBELS = 100  # range of the colors of a spectrum
_TITLE_COLUMNS, _KERNEL_COLUMNS = 40, 20


@dataclass(frozen=True)
class FilterRow:
    """An image, the kernels applied to it and the result; images are uint8 (C, H, W), spectra (h, w) in decibels.

    A result of floats (1, H, W) is drawn in colors with a scale: blue below 0, white at 0, red above.
    """

    original: NDArray[np.uint8]
    kernels: Sequence[tuple[str, NDArray[np.float64], float]]  # name, weights and their sum
    result: NDArray[np.uint8] | NDArray[np.float32]
    name: str
    note: str = ""  # about the result
    spectra: Sequence[NDArray[np.floating[Any]]] = ()


def draw_filters(rows: Sequence[FilterRow]) -> bytes:
    """A contact sheet with a row for each result: image, kernels, result, and spectra before and after."""
    kernels, spectra = max(len(row.kernels) for row in rows), len(rows[0].spectra)
    heights = [max(_SQUARE, *(_height(image) for image in (row.original, row.result))) for row in rows]
    below = _HEADING if spectra else _GAP
    result_left = _IMAGE + _GAP + kernels * (_SQUARE + _GAP)
    result_width = _IMAGE + (_BAR + _BAR_LABELS if any(_is_raw(row) for row in rows) else 0)
    width = result_left + result_width + spectra * (_SQUARE + _AXIS + _BAR + _BAR_LABELS + _GAP)
    sheet = PlacedFigure(width, sum(heights) + len(rows) * (_HEADING + below))
    top = 0.0
    for row, height in zip(rows, heights, strict=True):
        top += _HEADING
        _draw_image(sheet, row.original, 0, top, height, "original")
        for i, (name, weights, total) in enumerate(row.kernels):
            left = _IMAGE + _GAP + i * (_SQUARE + _GAP)
            title = f"{plain(shortened(name, _KERNEL_COLUMNS))}\nsum {total:.4g}"
            _draw_weights(sheet, weights, left, top + (height - _SQUARE) / 2, title)
        _draw_result(sheet, row, result_left, top, height)
        for i, (spectrum, of) in enumerate(zip(row.spectra, ("original", "result"), strict=False)):
            left = result_left + result_width + _GAP + i * (_SQUARE + _AXIS + _BAR + _BAR_LABELS + _GAP) + _AXIS
            _draw_spectrum(
                sheet,
                spectrum,
                left,
                top + (height - _SQUARE) / 2,
                f"spectrum of the {of}",
                float(row.spectra[0].max()),
            )
        top += height + below
    return sheet.png()


def _is_raw(row: FilterRow) -> bool:
    return bool(np.issubdtype(row.result.dtype, np.floating))


def _draw_result(sheet: PlacedFigure, row: FilterRow, left: float, top: float, height: float) -> None:
    """The result: pixels as they are, other values in colors with a scale."""
    title = plain(shortened(row.name, _TITLE_COLUMNS))
    if not _is_raw(row):
        _draw_image(sheet, row.result, left, top, height, title, row.note)
        return
    values = row.result[0]
    limit = float(np.abs(values).max()) or 1.0
    shown = sheet.colored(values, left, top, _IMAGE, height, cmap="RdBu_r", vmin=-limit, vmax=limit)
    _, shown_height = shown.size
    bar_top = top + (height - shown_height) / 2
    bar = sheet.figure.colorbar(shown.image, cax=sheet.axes(left + _IMAGE + 0.08, bar_top, _BAR, shown_height))
    bar.ax.set_ylim(min(float(values.min()), 0), max(float(values.max()), 0) or limit)
    bar.ax.tick_params(labelsize=7, length=2)
    _draw_title(sheet, left + _IMAGE / 2, bar_top, title, row.note)


def _height(image: NDArray[Any]) -> float:
    """The height in inches of an image (C, H, W) on the sheet."""
    return float(_IMAGE * image.shape[1] / max(image.shape[1:]))


def _draw_image(
    sheet: PlacedFigure, image: NDArray[Any], left: float, top: float, height: float, title: str, note: str = ""
) -> None:
    _, shown_height = sheet.image(image, left, top, _IMAGE, height)
    _draw_title(sheet, left + _IMAGE / 2, top + (height - shown_height) / 2, title, note)


def _draw_title(sheet: PlacedFigure, center: float, top: float, title: str, note: str = "") -> None:
    """A title, and a note in a line below it, above `top`."""
    sheet.text(center, top - (0.21 if note else 0.05), title, ha="center", va="bottom")
    if note:
        sheet.text(center, top - 0.05, note, ha="center", va="bottom", fontsize=8, color=GRAY)


def _draw_weights(sheet: PlacedFigure, weights: NDArray[np.float64], left: float, top: float, title: str) -> None:
    """A kernel whose cells are framed, since white ones would merge with the page."""
    rows, columns = weights.shape
    cell = _SQUARE / max(weights.shape)
    left, top = left + (_SQUARE - columns * cell) / 2, top + (_SQUARE - rows * cell) / 2
    right, bottom = left + columns * cell, top + rows * cell
    largest = np.abs(weights).max() or 1.0
    style: dict[str, Any] = {"cmap": "gray", "vmin": -largest, "vmax": largest, "aspect": "auto", "origin": "upper"}
    sheet.canvas.imshow(weights, extent=(left, right, bottom, top), interpolation="nearest", **style)
    lines: dict[str, Any] = {"colors": FRAME, "linewidth": 0.7}
    sheet.canvas.vlines([left + i * cell for i in range(columns + 1)], top, bottom, **lines)
    sheet.canvas.hlines([top + i * cell for i in range(rows + 1)], left, right, **lines)
    _draw_title(sheet, (left + right) / 2, top, title)
    if max(weights.shape) > _MOST_NUMBERED_WEIGHTS:
        return
    texts, size = _numbers(weights, cell * POINTS)
    for ((row, column), weight), text in zip(np.ndenumerate(weights), texts, strict=False):
        color = "black" if weight > -0.1 * largest else "white"
        x, y = left + (column + 0.5) * cell, top + (row + 0.5) * cell
        sheet.text(x, y, text, ha="center", va="center", fontsize=size, color=color)


def _numbers(weights: NDArray[np.float64], cell: float) -> tuple[list[str], float]:
    """Texts of the weights, and the font size in points with which they fit into a cell; none if none fits."""
    for digits in (3, 2, 1):
        texts = [f"{weight:.{digits}g}" for weight in weights.flat]
        size = min(_LARGEST_FONT, cell / 4, cell / (_DIGIT * max(map(len, texts)) + 0.6))
        if size >= _SMALLEST_FONT:
            return texts, size
    return [], 0.0


def _draw_spectrum(
    sheet: PlacedFigure, spectrum: NDArray[np.floating[Any]], left: float, top: float, title: str, largest: float
) -> None:
    """A spectrum in decibels below `largest`, with frequency 0 in the center."""
    axes = sheet.axes(left, top, _SQUARE, _SQUARE)
    image = axes.imshow(spectrum - largest, cmap="magma", vmin=-_DECIBELS, vmax=0, extent=(-0.5, 0.5, 0.5, -0.5))
    axes.set_xticks([-0.5, 0, 0.5])
    axes.set_yticks([-0.5, 0, 0.5])
    axes.tick_params(labelsize=7, length=2)
    axes.set_xlabel("horizontal frequency (cycles per pixel)", fontsize=7)
    axes.set_ylabel("vertical frequency", fontsize=7, labelpad=1)
    bar = sheet.figure.colorbar(image, cax=sheet.axes(left + _SQUARE + 0.08, top, _BAR, _SQUARE))
    bar.ax.tick_params(labelsize=7, length=2)
    bar.set_label("magnitude (dB, 0 = largest of the original)", fontsize=7)
    _draw_title(sheet, left + _SQUARE / 2, top, title)
