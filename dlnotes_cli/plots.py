"""Every figure, drawn without a display and returned as PNG bytes that are the same for the same numbers."""

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

# Okabe and Ito's blue and orange, told apart with any color vision; red never stands without bold type or a star.
_BLUE, _ORANGE, _RED, _GREY = "#0072B2", "#E69F00", "#CC0000", "#666666"
_OKABE_ITO = (_BLUE, _ORANGE, "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
_HEAT_COLUMNS, _HEAT_LINES = 80, 200
_HEAT_TOP, _HEAT_DARK = 8.0, 4.0  # bits at which the colors end; and turn
_MARKS = "o^sv"
_MOST_IN_LEGEND = 30
_DPI = 120
SHOWN = 24  # images on the sheet of predictions
_COLUMNS = 6
_MOST_NUMBERED_CLASSES = 12  # classes up to which a confusion matrix has room for its counts
_LONGEST_NAME = 14
_MOST_LEVEL_NAMES = 4  # class names that stand side by side below a confusion matrix
_SMALLEST_FONT = 4.5  # points that can still be read at our resolution
_SHEET_CELL = 145  # points on a side that a kernel has at least on a sheet of filters
_MOST_NUMBERED_WEIGHTS = 9  # rows and columns up to which a kernel has room for its numbers
_DECIBELS = 100  # range of a spectrum's colors
_FURTHER_FONTS = (
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Source Han Sans", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "IPAGothic",
    "Droid Sans Fallback", "Hiragino Sans", "PingFang SC", "Arial Unicode MS", "Noto Sans Arabic", "Noto Sans Hebrew",
    "Noto Sans Devanagari", "Noto Sans Thai", "Unifont",
)  # fmt: skip


def curves(history: Sequence[dict[str, Any]], best: int | None, over: str = "epoch") -> bytes:
    """Loss and accuracy of training and validation over the epochs, or another field of the history.

    `best` is the index of the chosen entry. Weight decay falls from left to right, on a logarithmic scale.
    """
    from matplotlib.ticker import MaxNLocator

    figure = _figure(9.6, 4.0)
    places = [entry[over] for entry in history]
    title = over.replace("_", " ")
    for position, name in enumerate(("loss", "accuracy")):
        axes = figure.add_subplot(1, 2, position + 1)
        for part, color, style in (("train", _ORANGE, "--"), ("validation", _BLUE, "-")):
            values = [entry[part].get(name) for entry in history]
            dot = "o" if len(places) <= 15 else None  # noqa: PLR2004  # few enough to mark
            axes.plot(
                places, [np.nan if v is None else v for v in values], style, color=color, label=part, marker=dot, ms=3
            )
        if best is not None:
            axes.axvline(places[best], color=_GREY, linewidth=1, linestyle=":")
            axes.plot(
                [places[best]],
                [history[best]["validation"][name]],
                "*",
                color=_RED,
                ms=11,
                label=f"chosen: {title} {places[best]:g}",
                zorder=5,
            )
        axes.set_xlabel(title)
        axes.set_ylabel("cross-entropy (nats)" if name == "loss" else name)
        if over in {"epoch", "step"}:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            if len(places) == 1:  # of which no axis can be made
                axes.set_xticks(places)
        else:
            axes.set_xscale("log")
            axes.invert_xaxis()
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    return _png(figure)


def confusion(matrix: NDArray[np.int64], classes: Sequence[str]) -> bytes:
    """Confusion matrix (K, K): rows are true classes, shades their share, numbers the counts where there is room."""
    count = len(classes)
    names = [_short(name) for name in classes]
    side = min(max(3.2 + 0.42 * count, 4.2), 14.0)
    margin = 0.08 * max(map(len, names))  # for the names, in inches
    figure = _figure(side + 1.0 + margin, side + (margin if count > _MOST_LEVEL_NAMES else 0))
    axes = figure.add_subplot()
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="share of the true class", fraction=0.046, pad=0.03)
    step = 1 if count <= 40 else 5  # noqa: PLR2004  # names that still fit
    size = 9 if count <= 20 else 6  # noqa: PLR2004  # likewise
    axes.set_xticks(
        range(0, count, step), names[::step], rotation=90 if count > _MOST_LEVEL_NAMES else 0, fontsize=size
    )
    axes.set_yticks(range(0, count, step), names[::step], fontsize=size)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(f"{int(np.trace(matrix)):,} of {int(matrix.sum()):,} right")
    if count <= _MOST_NUMBERED_CLASSES:
        for (row, column), value in np.ndenumerate(matrix):
            color = "black" if shares[row, column] > 0.6 else "white"  # noqa: PLR2004  # readable on the shade
            axes.text(column, row, f"{value}", ha="center", va="center", fontsize=8, color=color)
    return _png(figure)


def predictions(
    images: NDArray[np.uint8], labels: Sequence[int], predicted: Sequence[int], classes: Sequence[str]
) -> bytes:
    """A sheet of images uint8 (N, C, H, W), each titled "predicted (true)"; wrong ones in red."""
    rows = -(-len(images) // _COLUMNS)
    figure = _figure(9.6, 1.85 * rows)
    for i, image in enumerate(images):
        axes = figure.add_subplot(rows, _COLUMNS, i + 1)
        _show(axes, image)
        right = labels[i] == predicted[i]
        title = f"{_short(classes[predicted[i]])}\n({_short(classes[labels[i]])})"
        axes.set_title(title, fontsize=9, color="black" if right else _RED, fontweight="normal" if right else "bold")
    return _png(figure)


def variants(rows: NDArray[np.uint8], names: Sequence[str], title: str) -> bytes:
    """A sheet of images uint8 (N, 1 + V, C, H, W): in each row an original, then its variants; `names` are (N,)."""
    count, width = rows.shape[:2]
    figure = _figure(1.2 * width + 1.2, 1.25 * count + 0.5)
    figure.suptitle(_plain(title), fontsize=11)
    for i, images in enumerate(rows):
        for j, image in enumerate(images):
            axes = figure.add_subplot(count, width, i * width + j + 1)
            _show(axes, image)
            if i == 0:
                axes.set_title("original" if j == 0 else f"variant {j}", fontsize=9)
            if j == 0:
                axes.text(-0.1, 0.5, _short(names[i]), transform=axes.transAxes, ha="right", va="center", fontsize=9)
    return _png(figure)


def feature_map(
    points: NDArray[np.floating[Any]], labels: NDArray[np.int64], classes: Sequence[str], axes_names: tuple[str, str]
) -> bytes:
    """Points (N, 2) in the colors and marks of their classes."""
    from matplotlib import colormaps

    figure = _figure(8.0, 6.4)
    axes = figure.add_subplot()
    colors = [*_OKABE_ITO, *colormaps["tab20"].colors]  # type: ignore[attr-defined]  # a list of colors
    for i, name in enumerate(classes):
        chosen = points[labels == i]
        color, mark = colors[i % len(colors)], _MARKS[i // len(colors) % len(_MARKS)]
        axes.scatter(chosen[:, 0], chosen[:, 1], s=18, alpha=0.75, color=color, marker=mark, label=_short(name))
    axes.set_xlabel(axes_names[0])
    axes.set_ylabel(axes_names[1])
    axes.set_title(f"features of {len(points):,} images")
    if len(classes) <= _MOST_IN_LEGEND:
        axes.legend(frameon=False, bbox_to_anchor=(1.0, 1.0), loc="upper left")
    return _png(figure)


def heat(text: str, values: NDArray[np.floating[Any]], title: str) -> bytes:
    """The first lines of a text, each character on a ground colored by its value (N,), in bits; nan has none."""
    lines, line = [], []  # type: list[list[tuple[str, float]]], list[tuple[str, float]]
    for character, value in zip(text, values.tolist(), strict=True):
        line.append((character, value))
        if character == "\n" or len(line) == _HEAT_COLUMNS:
            lines.append(line)
            line = []
    lines = ([*lines, line] if line else lines)[:_HEAT_LINES]
    width = max(map(len, lines))
    figure = _figure(0.115 * max(width, 30) + 1.6, 0.22 * len(lines) + 0.9)
    axes = figure.add_subplot()
    grid = np.full((len(lines), width), np.nan)
    for row, cells in enumerate(lines):
        for column, (character, value) in enumerate(cells):
            grid[row, column] = value
            shown = {"\n": "¶", " ": "", "\t": "→"}.get(character, character if character.isprintable() else "·")
            color = "white" if value < _HEAT_DARK else "black"
            axes.text(column, row, _plain(shown), ha="center", va="center", fontsize=8, color=color)
    image = axes.imshow(grid, cmap="cividis", vmin=0, vmax=_HEAT_TOP, aspect="auto")
    figure.colorbar(image, ax=axes, label="surprise (bits)", fraction=0.046, pad=0.02, extend="max")
    axes.set_axis_off()
    axes.set_title(_plain(title), fontsize=10)
    return _png(figure)


def side_by_side(images: Sequence[tuple[str, NDArray[np.uint8]]], columns: int | None = None) -> bytes:
    """Named images uint8 (H, W, C) in rows of `columns`, or of as many as are well seen."""
    columns = columns or min(len(images), _COLUMNS)
    rows = -(-len(images) // columns)
    figure = _figure(3.2 * columns, 3.0 * rows)
    for i, (name, values) in enumerate(images):
        axes = figure.add_subplot(rows, columns, i + 1)
        _show(axes, values.transpose(2, 0, 1))
        axes.set_title(_plain(name), fontsize=10)
    return _png(figure)


@dataclass(frozen=True)
class FilterRow:
    """An image, the kernels laid on it and the result; images are uint8 (C, H, W), spectra (h, w) in decibels."""

    original: NDArray[np.uint8]
    kernels: Sequence[tuple[str, NDArray[np.float64], float]]  # name, weights, sum
    result: NDArray[np.uint8]
    name: str
    spectra: Sequence[NDArray[np.floating[Any]]] = ()


def filters(rows: Sequence[FilterRow]) -> bytes:
    """A sheet with a row for each result: image, kernels with their numbers, result, frequencies before and after."""
    most = max(len(row.kernels) for row in rows)
    columns = 2 + most + len(rows[0].spectra)
    figure = _figure(2.9 * columns, 2.7 * len(rows))
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for places, row in zip(grid, rows, strict=True):
        for axes in places:
            axes.set_axis_off()
        _show(places[0], row.original)
        places[0].set_title("original", fontsize=9)
        for axes, (name, weights, total) in zip(places[1:], row.kernels, strict=False):
            _show_weights(axes, name, weights, total)
        rest = places[1 + len(row.kernels) :]
        _show(rest[0], row.result)
        rest[0].set_title(_plain(row.name), fontsize=9)
        for axes, spectrum, when in zip(rest[1:], row.spectra, ("before", "after"), strict=False):
            _show_spectrum(axes, spectrum, f"frequencies {when}", float(row.spectra[0].max()))
    return _png(figure)


def _show_weights(axes: "Axes", name: str, weights: NDArray[np.float64], total: float) -> None:
    largest = np.abs(weights).max() or 1.0
    axes.imshow(weights, cmap="gray", vmin=-largest, vmax=largest)
    axes.set_title(f"{_plain(name)}, sum {total:.4g}", fontsize=9)
    if max(weights.shape) > _MOST_NUMBERED_WEIGHTS:
        return
    room = _SHEET_CELL / max(weights.shape)
    for digits in (3, 2, 1):
        texts = [f"{weight:.{digits}g}" for weight in weights.flat]
        size = min(11, room / 4, room / (0.62 * max(map(len, texts)) + 0.6))  # a digit is about 0.62 as wide as high
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
    return _plain(shown if len(shown) <= _LONGEST_NAME else shown[: _LONGEST_NAME - 1] + "…")


def _plain(text: str) -> str:
    """A text as matplotlib draws it on one line, without formulas."""
    return output.printable(text).replace("$", r"\$")


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=_DPI, layout="constrained")


@cache
def _fonts() -> list[str]:
    """The font of matplotlib, then those here that have the letters it lacks."""
    from matplotlib.font_manager import fontManager

    here = {font.name for font in fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in _FURTHER_FONTS if name in here)]


def _png(figure: "Figure") -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    FigureCanvasAgg(figure)
    for text in figure.findobj(Text):
        text.set_fontfamily(_fonts())
    stream = io.BytesIO()
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", "Glyph .* missing", UserWarning)
        figure.savefig(stream, format="png", metadata={"Software": None})
    if caught:
        _warn_of_boxes()
    return stream.getvalue()


@cache
def _warn_of_boxes() -> None:
    """Say once why some letters are boxes."""
    output.warn("no font here has some letters of the names, drawn as boxes; Noto Sans CJK has most")
