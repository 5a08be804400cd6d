"""The sheet of `filter`: original, kernels and result side by side, optionally with their spectra."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dlnotes_cli.data.images.image_io import LoadedImage
from dlnotes_cli.filter.kernel import weight_sum
from dlnotes_cli.filter.response import KernelChain, Response, intensities
from dlnotes_cli.plots.figure import FRAME, GRAY, POINTS, new_figure, png
from dlnotes_cli.plots.names import plain, shortened
from dlnotes_cli.shell.parse import Matrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

_CHANNELS = (", red", ", green", ", blue")
_MAX_SIDE = 640  # pixels of an image on the sheet
_STRETCHED = 0.99  # fraction of a signed response that is not clipped on the sheet
_SPECTRUM_SIDE = 512  # pixels of the central square whose spectrum is shown
_MIN_MAGNITUDE = 1e-3  # smaller magnitudes of a spectrum are black in any case
_DECIBELS = 100  # range of the colors of a spectrum
_IMAGE, _SQUARE, _SPECTRUM = 3.0, 2.1, 3.4  # inches of an image, a kernel and a spectrum with its labels
_GAP, _LABELS, _AXIS = 0.15, 0.5, 0.4  # inches between columns, above and below an image, and more below a spectrum
_MOST_ROWS = 3  # of results below each other; more are in two blocks
_LARGEST_FONT, _SMALLEST_FONT = 11.0, 4.5  # points; legible at this resolution
_MOST_NUMBERED = 9  # rows and columns up to which a kernel shows its weights
_DIGIT = 0.62  # width of a digit, as a fraction of the font size
_TITLE_COLUMNS, _KERNEL_COLUMNS = 40, 20


@dataclass(frozen=True, eq=False)
class SheetRow:
    """A result and how it was made.

    `result` is gray or RGB of uint8; values (H, W) of floats are drawn in colors with a scale: blue below 0, white at
    0, red above. Spectra, of the original and of the result, are in decibels below the largest of the original.
    """

    name: str
    note: str  # about the result
    kernels: Sequence[tuple[str, Matrix]]
    result: NDArray[Any]
    spectra: Sequence[NDArray[np.float64]]


def rows_of(response: Response, chain: KernelChain, image: LoadedImage) -> Iterator[SheetRow]:
    """The row of a chain of kernels; of raw values one for each channel."""
    config, values = chain.config, response.values
    kernels = [
        (kernel.name if kernel.second_matrix is None else f"{kernel.name}, matrix {i}", matrix)
        for kernel in chain.kernels
        for i, matrix in enumerate(kernel.matrices, 1)
    ]
    spectra = _spectra(image.values, values) if config.spectrum else ()
    height, width, channels = values.shape
    notes = [f"{width}x{height}"] if (height, width) != image.values.shape[:2] else []
    if config.result == "raw":
        raw = intensities(values, np.float32, response.white, "raw")
        for i, channel in enumerate([""] if channels == 1 else _CHANNELS):
            reach = f"from {raw[..., i].min():.4g} to {raw[..., i].max():.4g}"
            shown = _reduced(raw[..., i])
            yield SheetRow(f"{chain.name}{channel}, raw", ", ".join([*notes, reach]), kernels, shown, spectra)
        return
    limits = None
    if config.result == "signed" and config.threshold is None:  # a few large values would leave the others gray
        step = -(-max(height, width) // _MAX_SIDE)
        limit = float(np.quantile(np.abs(values[::step, ::step]), _STRETCHED))
        limits = -limit, limit
        notes.append(f"stretched: gray 0, black and white ±{limit * 255 / response.white:.3g}")
    mode = config.result or "clip"
    shown = _reduced(intensities(values, np.uint8, response.white, mode, config.threshold, limits))
    yield SheetRow(f"{chain.name}, {mode}", ", ".join(notes), kernels, shown, spectra)


def draw_sheet(image: LoadedImage, rows: Sequence[SheetRow]) -> bytes:
    """A PNG with the image at the top left, and next to it each kernel or chain with its result, and spectra."""
    original = _reduced(intensities(image.values, np.uint8, image.white, None))
    kernels, spectra = max(len(row.kernels) for row in rows), len(rows[0].spectra)
    blocks = 1 if spectra or len(rows) <= _MOST_ROWS else 2
    group = [_SQUARE] * kernels + [_IMAGE] + [_SPECTRUM] * spectra
    widths, lines = [_IMAGE, *group * blocks], -(-len(rows) // blocks)
    height = max(_SQUARE, *(_IMAGE * len(shown) / max(shown.shape) for shown in (original, *(r.result for r in rows))))
    figure = new_figure(sum(widths) + len(widths) * _GAP, lines * (height + _LABELS + (_AXIS if spectra else 0)))
    grid = figure.subplots(lines, len(widths), squeeze=False, width_ratios=widths)
    for axes in grid.flat:
        axes.set_visible(False)
    _show(grid[0][0], original, "original")
    for i, row in enumerate(rows):
        cells = grid[i // blocks][1 + i % blocks * len(group) :]
        for axes, (name, weights) in zip(cells[kernels - len(row.kernels) :], row.kernels, strict=False):
            _show_weights(axes, name, weights)
        _show_result(cells[kernels], row)
        for k, (spectrum, of) in enumerate(zip(row.spectra, ("original", "result"), strict=False)):
            if k or not i:  # the spectrum of the original once
                _show_spectrum(cells[kernels + 1 + k], spectrum, f"spectrum of the {of}")
    return png(figure, margin=0.12)


def _show(axes: "Axes", pixels: NDArray[Any], title: str, note: str = "", **colors: Any) -> "AxesImage":
    """Pixels, or values in colors, in a frame, since white ones would merge with the page."""
    style: dict[str, Any] = {"cmap": "gray", "vmin": 0, "vmax": 255}
    shown = axes.imshow(pixels, **style | colors)
    axes.set(visible=True, xticks=[], yticks=[])
    axes.spines[:].set(color=FRAME, linewidth=0.5)
    axes.set_title(plain(title), fontsize=9)
    axes.set_xlabel(note, fontsize=8, color=GRAY)
    return shown


def _show_result(axes: "Axes", row: SheetRow) -> None:
    """The result: pixels as they are, other values in colors with a scale."""
    title, values = shortened(row.name, _TITLE_COLUMNS), row.result
    if values.dtype == np.uint8:
        _show(axes, values, title, row.note)
        return
    limit = float(np.abs(values).max()) or 1.0
    shown = _show(axes, values, title, row.note, cmap="RdBu_r", vmin=-limit, vmax=limit)
    bar = axes.figure.colorbar(shown, ax=axes, fraction=0.05, pad=0.03)
    bar.ax.set_ylim(min(float(values.min()), 0), max(float(values.max()), 0) or limit)
    bar.ax.tick_params(labelsize=7, length=2)


def _show_weights(axes: "Axes", name: str, matrix: Matrix) -> None:
    """A kernel; a small one has its weights as numbers, if they fit."""
    weights = np.array(matrix)
    largest = float(np.abs(weights).max()) or 1.0
    title = f"{shortened(name, _KERNEL_COLUMNS)}, sum {weight_sum(matrix):.4g}"
    _show(axes, weights, title, vmin=-largest, vmax=largest)
    if max(weights.shape) > _MOST_NUMBERED:
        return
    style: dict[str, Any] = {"color": FRAME, "linewidth": 0.7}
    for y in range(1, len(weights)):
        axes.axhline(y - 0.5, **style)
    for x in range(1, weights.shape[1]):
        axes.axvline(x - 0.5, **style)
    texts, size = _numbers(weights, _SQUARE * POINTS / max(weights.shape))
    for ((y, x), weight), text in zip(np.ndenumerate(weights), texts, strict=False):
        color = "black" if weight > -0.1 * largest else "white"
        axes.text(x, y, text, ha="center", va="center", fontsize=size, color=color)


def _numbers(weights: NDArray[np.float64], cell: float) -> tuple[list[str], float]:
    """Texts of the weights, and the font size in points with which they fit into a cell; none if none fits."""
    for digits in (3, 2, 1):
        texts = [f"{weight:.{digits}g}" for weight in weights.flat]
        size = min(_LARGEST_FONT, cell / 4, cell / (_DIGIT * max(map(len, texts)) + 0.6))
        if size >= _SMALLEST_FONT:
            return texts, size
    return [], 0.0


def _show_spectrum(axes: "Axes", spectrum: NDArray[np.float64], title: str) -> None:
    """A spectrum with frequency 0 in the center."""
    image = _show(axes, spectrum, title, cmap="magma", vmin=-_DECIBELS, vmax=0, extent=(-0.5, 0.5, 0.5, -0.5))
    axes.set(xticks=[-0.5, 0, 0.5], yticks=[-0.5, 0, 0.5])
    axes.set_xlabel("horizontal frequency (cycles per pixel)", fontsize=7)
    axes.set_ylabel("vertical frequency", fontsize=7, labelpad=1)
    bar = axes.figure.colorbar(image, ax=axes, fraction=0.05, pad=0.03)
    bar.set_label("magnitude (dB, 0 = largest of the original)", fontsize=7)
    for one in (axes, bar.ax):
        one.tick_params(labelsize=7, length=2)


def _reduced(pixels: NDArray[Any]) -> NDArray[Any]:
    """(H, W, C), or (H, W), reduced by a whole number to the size on the sheet."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels)
    return np.asarray(image.reduce(-(-max(image.size) // _MAX_SIDE)))


def _spectra(original: NDArray[Any], result: NDArray[Any]) -> list[NDArray[np.float64]]:
    """20 log10 |F| of the central squares, averaged over the channels, with frequency 0 in the center.

    A Hann window suppresses the edges of the square; 0 is the largest value of the original.
    """
    side = min(_SPECTRUM_SIDE, *original.shape[:2], *result.shape[:2])
    window = np.hanning(side + 2)[1:-1]
    spectra = []
    for values in (original, result):
        top, left = ((length - side) // 2 for length in values.shape[:2])
        center = values[top : top + side, left : left + side].mean(axis=2, dtype=np.float64)
        magnitude = np.abs(np.fft.fftshift(np.fft.fft2(center * window[:, None] * window)))
        spectra.append(20 * np.log10(np.maximum(magnitude, _MIN_MAGNITUDE)))
    return [spectrum - spectra[0].max() for spectrum in spectra]
