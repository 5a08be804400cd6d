"""All plots, drawn with matplotlib without a display and returned as PNG bytes, reproducible for equal values."""

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.shell import output

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Blue and orange of Okabe and Ito, distinct for any color vision; red is always combined with bold type or a star.
_BLUE, _ORANGE, _RED, _GRAY = "#0072B2", "#E69F00", "#CC0000", "#666666"
_OKABE_ITO = (_BLUE, _ORANGE, "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
_TEXT_COLUMNS, _TEXT_LINES = 80, 200  # of a heat map
_MOST_BITS, _DARK_BITS = 8.0, 4.0  # where the colors of a heat map end; below which its background is dark
_MARKERS = "o^sv"  # one after the other for each set of colors
_MOST_LARGE_POINTS = 2000
_MOST_IN_LEGEND = 30  # classes
_DPI = 120
PREDICTIONS_SHOWN = 24  # images in the grid of predictions
_GRID_COLUMNS = 6
_MOST_NUMBERED_CLASSES = 12  # up to which a confusion matrix shows its counts
_LONGEST_NAME = 14  # characters
_MOST_HORIZONTAL_NAMES = 4  # class names below a confusion matrix; more are rotated
_SMALLEST_FONT = 4.5  # points; legible at this resolution
_KERNEL_SIDE = 145  # smallest side of a kernel in a sheet of filters, in points
_MOST_NUMBERED_WEIGHTS = 9  # rows and columns up to which a kernel shows its weights
_DECIBELS = 100  # range of the colors of a spectrum
_FALLBACK_FONTS = (
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Source Han Sans", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "IPAGothic",
    "Droid Sans Fallback", "Hiragino Sans", "PingFang SC", "Arial Unicode MS", "Noto Sans Arabic", "Noto Sans Hebrew",
    "Noto Sans Devanagari", "Noto Sans Thai", "Unifont",
)  # fmt: skip


def curves(history: Sequence[dict[str, Any]], best: int | None, over: str = "epoch") -> bytes:
    """Training and validation curves of loss and accuracy over the field `over` of the history.

    `best` is the index of the chosen entry. Weight decay is drawn on a logarithmic axis, decreasing to the right.
    """
    figure = _figure(9.6, 4.0)
    for column, measure in enumerate(("loss", "accuracy")):
        axes = figure.add_subplot(1, 2, column + 1)
        _draw_splits(axes, history, measure, over)
        if best is not None:
            _mark_best(axes, history[best], measure, over)
        axes.set_xlabel(over.replace("_", " "))
        axes.set_ylabel("cross-entropy (nats)" if measure == "loss" else measure)
        _scale_history_axis(axes, history, over)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    return png(figure)


def _draw_splits(axes: "Axes", history: Sequence[dict[str, Any]], measure: str, over: str) -> None:
    positions = [entry[over] for entry in history]
    marker = "o" if len(positions) <= 15 else None  # noqa: PLR2004  # few enough for markers
    for split, color, style in (("train", _ORANGE, "--"), ("validation", _BLUE, "-")):
        values = [np.nan if entry[split].get(measure) is None else entry[split][measure] for entry in history]
        axes.plot(positions, values, style, color=color, label=split, marker=marker, ms=3)


def _mark_best(axes: "Axes", entry: dict[str, Any], measure: str, over: str) -> None:
    position, title = entry[over], over.replace("_", " ")
    axes.axvline(position, color=_GRAY, linewidth=1, linestyle=":")
    label = f"chosen: {title} {position:g}"
    axes.plot([position], [entry["validation"][measure]], "*", color=_RED, ms=11, label=label, zorder=5)


def _scale_history_axis(axes: "Axes", history: Sequence[dict[str, Any]], over: str) -> None:
    from matplotlib.ticker import MaxNLocator

    if over not in {"epoch", "step"}:
        if len(history) > 1:  # a single value, which may be 0, has no logarithmic scale
            axes.set_xscale("log")
            axes.invert_xaxis()
        return
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(history) == 1:  # the locator has no ticks for a single position
        axes.set_xticks([history[0][over]])


def confusion(matrix: NDArray[np.int64], classes: Sequence[str]) -> bytes:
    """Confusion matrix (K, K) with true classes in rows: colors show the fraction of the row, numbers the counts."""
    count = len(classes)
    names = [_short(name) for name in classes]
    side = min(max(3.2 + 0.42 * count, 4.2), 14.0)
    margin = 0.08 * max(map(len, names))  # inches for the class names
    figure = _figure(side + 1.0 + margin, side + (margin if count > _MOST_HORIZONTAL_NAMES else 0))
    axes = figure.add_subplot()
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="share of the true class", fraction=0.046, pad=0.03)
    step = 1 if count <= 40 else 5  # noqa: PLR2004  # class names that fit
    size = 9 if count <= 20 else 6  # noqa: PLR2004  # at this font size
    axes.set_xticks(
        range(0, count, step), names[::step], rotation=90 if count > _MOST_HORIZONTAL_NAMES else 0, fontsize=size
    )
    axes.set_yticks(range(0, count, step), names[::step], fontsize=size)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(f"{int(np.trace(matrix)):,} of {int(matrix.sum()):,} right")
    if count <= _MOST_NUMBERED_CLASSES:
        for (row, column), value in np.ndenumerate(matrix):
            color = "black" if shares[row, column] > 0.6 else "white"  # noqa: PLR2004  # contrast with the background
            axes.text(column, row, f"{value}", ha="center", va="center", fontsize=8, color=color)
    return png(figure)


def predictions(
    images: NDArray[np.uint8], labels: Sequence[int], predicted: Sequence[int], classes: Sequence[str]
) -> bytes:
    """A grid of images uint8 (N, C, H, W), each titled "predicted (true)"; errors in red."""
    rows = -(-len(images) // _GRID_COLUMNS)
    figure = _figure(9.6, 1.85 * rows)
    for i, image in enumerate(images):
        axes = figure.add_subplot(rows, _GRID_COLUMNS, i + 1)
        _show(axes, image)
        is_correct = labels[i] == predicted[i]
        title = f"{_short(classes[predicted[i]])}\n({_short(classes[labels[i]])})"
        color, weight = ("black", "normal") if is_correct else (_RED, "bold")
        axes.set_title(title, fontsize=9, color=color, fontweight=weight)
    return png(figure)


def variants(rows: NDArray[np.uint8], names: Sequence[str], title: str) -> bytes:
    """A contact sheet of images uint8 (N, 1 + V, C, H, W): each row has a name, an original and its V variants."""
    count, width = rows.shape[:2]
    figure = _figure(1.2 * width + 1.2, 1.25 * count + 0.5)
    figure.suptitle(plain(title), fontsize=11)
    for i, images in enumerate(rows):
        for j, image in enumerate(images):
            axes = figure.add_subplot(count, width, i * width + j + 1)
            _show(axes, image)
            if i == 0:
                axes.set_title("original" if j == 0 else f"variant {j}", fontsize=9)
            if j == 0:
                axes.text(-0.1, 0.5, _short(names[i]), transform=axes.transAxes, ha="right", va="center", fontsize=9)
    return png(figure)


def embedding_map(
    points: NDArray[np.floating[Any]], labels: NDArray[np.int64], classes: Sequence[str], axes_names: tuple[str, str]
) -> bytes:
    """Scatter plot of points (N, 2) with a color and marker for each class."""
    figure = _figure(8.0, 6.4)
    axes = figure.add_subplot()
    size = 18 if len(points) <= _MOST_LARGE_POINTS else 7
    for i, name in enumerate(classes):
        chosen = points[labels == i]
        color, marker = _OKABE_ITO[i % len(_OKABE_ITO)], _MARKERS[i // len(_OKABE_ITO) % len(_MARKERS)]
        axes.scatter(chosen[:, 0], chosen[:, 1], s=size, alpha=0.75, color=color, marker=marker, label=_short(name))
    axes.set_xlabel(axes_names[0])
    axes.set_ylabel(axes_names[1])
    axes.set_title(f"features of {len(points):,} images")
    if len(classes) <= _MOST_IN_LEGEND:
        scale = 18 / size  # so that the legend's points stay large
        axes.legend(frameon=False, bbox_to_anchor=(1.0, 1.0), loc="upper left", markerscale=scale**0.5)
    return png(figure)


def text_heatmap(text: str, values: NDArray[np.floating[Any]], title: str) -> bytes:
    """The first lines of a text, each character on a background colored by its value (N,) in bits; nan has no color."""
    lines = _wrapped(text, values)[:_TEXT_LINES]
    width = max(map(len, lines))
    figure = _figure(0.115 * max(width, 30) + 1.6, 0.22 * len(lines) + 0.9)
    axes = figure.add_subplot()
    grid = np.full((len(lines), width), np.nan)
    for row, cells in enumerate(lines):
        for column, (character, value) in enumerate(cells):
            grid[row, column] = value
            shown = {"\n": "¶", " ": "", "\t": "→"}.get(character, character if character.isprintable() else "·")
            color = "white" if value < _DARK_BITS else "black"
            axes.text(column, row, plain(shown), ha="center", va="center", fontsize=8, color=color)
    image = axes.imshow(grid, cmap="cividis", vmin=0, vmax=_MOST_BITS, aspect="auto")
    figure.colorbar(image, ax=axes, label="surprisal (bits)", fraction=0.046, pad=0.02, extend="max")
    axes.set_axis_off()
    axes.set_title(plain(title), fontsize=10)
    return png(figure)


def _wrapped(text: str, values: NDArray[np.floating[Any]]) -> list[list[tuple[str, float]]]:
    """Pairs of character and value in lines that end at a newline or after 80 characters."""
    lines: list[list[tuple[str, float]]] = [[]]
    for character, value in zip(text, values.tolist(), strict=True):
        lines[-1].append((character, value))
        if character == "\n" or len(lines[-1]) == _TEXT_COLUMNS:
            lines.append([])
    return [line for line in lines if line]


def side_by_side(images: Sequence[tuple[str, NDArray[np.uint8]]], columns: int | None = None) -> bytes:
    """A grid of named images uint8 (H, W, C) with `columns` columns, by default at most 6."""
    columns = columns or min(len(images), _GRID_COLUMNS)
    rows = -(-len(images) // columns)
    figure = _figure(3.2 * columns, 3.0 * rows)
    for i, (name, values) in enumerate(images):
        axes = figure.add_subplot(rows, columns, i + 1)
        _show(axes, values.transpose(2, 0, 1))
        axes.set_title(plain(name), fontsize=10)
    return png(figure)


@dataclass(frozen=True)
class FilterRow:
    """An image, the kernels applied to it and the result; images are uint8 (C, H, W), spectra (h, w) in decibels."""

    original: NDArray[np.uint8]
    kernels: Sequence[tuple[str, NDArray[np.float64], float]]  # name, weights and their sum
    result: NDArray[np.uint8]
    name: str
    spectra: Sequence[NDArray[np.floating[Any]]] = ()


def filters(rows: Sequence[FilterRow]) -> bytes:
    """A contact sheet with a row for each result: image, kernels, result, and spectra before and after."""
    most_kernels = max(len(row.kernels) for row in rows)
    columns = 2 + most_kernels + len(rows[0].spectra)
    figure = _figure(2.9 * columns, 2.7 * len(rows))
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for cells, row in zip(grid, rows, strict=True):
        for axes in cells:
            axes.set_axis_off()
        _show(cells[0], row.original)
        cells[0].set_title("original", fontsize=9)
        for axes, (name, weights, total) in zip(cells[1:], row.kernels, strict=False):
            _show_weights(axes, name, weights, total)
        rest = cells[1 + len(row.kernels) :]
        _show(rest[0], row.result)
        rest[0].set_title(plain(row.name), fontsize=9)
        for axes, spectrum, when in zip(rest[1:], row.spectra, ("before", "after"), strict=False):
            _show_spectrum(axes, spectrum, f"frequencies {when}", float(row.spectra[0].max()))
    return png(figure)


def _show_weights(axes: "Axes", name: str, weights: NDArray[np.float64], total: float) -> None:
    largest = np.abs(weights).max() or 1.0
    axes.imshow(weights, cmap="gray", vmin=-largest, vmax=largest)
    axes.set_title(f"{plain(name)}, sum {total:.4g}", fontsize=9)
    if max(weights.shape) > _MOST_NUMBERED_WEIGHTS:
        return
    room = _KERNEL_SIDE / max(weights.shape)
    for digits in (3, 2, 1):
        texts = [f"{weight:.{digits}g}" for weight in weights.flat]
        size = min(11, room / 4, room / (0.62 * max(map(len, texts)) + 0.6))  # a digit is about 0.62 of its height wide
        if size >= _SMALLEST_FONT:
            break
    else:
        return
    for ((y, x), weight), text in zip(np.ndenumerate(weights), texts, strict=True):
        color = "black" if weight > -0.1 * largest else "white"
        axes.text(x, y, text, ha="center", va="center", fontsize=size, color=color)


def _show_spectrum(axes: "Axes", spectrum: NDArray[np.floating[Any]], title: str, top: float) -> None:
    axes.imshow(spectrum, cmap="magma", vmin=top - _DECIBELS, vmax=top, extent=(-0.5, 0.5, 0.5, -0.5))
    axes.set_title(title, fontsize=9)
    axes.set_axis_on()
    axes.set_xticks([-0.5, 0, 0.5])
    axes.set_yticks([-0.5, 0, 0.5])
    axes.tick_params(labelsize=7)
    axes.set_xlabel("cycles per pixel", fontsize=7)


def _show(axes: "Axes", image: NDArray[np.uint8]) -> None:
    pixels = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_axis_off()


def _short(name: str) -> str:
    shown = output.printable(name)
    return plain(shown if len(shown) <= _LONGEST_NAME else shown[: _LONGEST_NAME - 1] + "…")


def plain(text: str) -> str:
    """Escape a text for matplotlib: one line, without math mode."""
    return output.printable(text).replace("$", r"\$")


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=_DPI, layout="constrained")


@cache
def fonts() -> list[str]:
    """The default font of matplotlib, then the installed fonts with more glyphs."""
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in _FALLBACK_FONTS if name in installed)]


def png(figure: "Figure") -> bytes:
    """A figure as a PNG file; a warning names characters for which no font is installed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    FigureCanvasAgg(figure)
    for text in figure.findobj(Text):
        text.set_fontfamily(fonts())
    stream = io.BytesIO()
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", "Glyph .* missing", UserWarning)
        figure.savefig(stream, format="png", metadata={"Software": None})
    if caught:
        _warn_of_missing_glyphs()
    return stream.getvalue()


@cache
def _warn_of_missing_glyphs() -> None:
    """Warn once that some characters are drawn as boxes."""
    output.warn("no installed font has some characters of the names, which are drawn as boxes; install Noto Sans CJK")
