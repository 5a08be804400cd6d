"""The plot of a confusion matrix."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.images.image_io import LUMA
from dlnotes_cli.plots.figure import GRAY, POINTS, Sheet
from dlnotes_cli.plots.names import columns, distinct_names, plain, words_in_lines, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize

_MOST_NUMBERED = 39  # classes up to which the cells show counts; for more, there is a list of confusions
_MOST_ZEROS = 12  # classes up to which zeros are shown
_MOST_LISTED = 10  # confusions
_CELL, _LARGEST_CELL = 0.3, 1.3  # inches of a cell with a number, at least and at most
_SIDE, _LARGEST_SIDE = 6.0, 9.5  # inches of the matrix, with numbers at least, and without numbers
_DIGIT = 0.64  # width of a digit, as a fraction of the font size
_LETTER = 0.6  # width of a letter, on average
_LARGEST_FONT, _LARGEST_NUMBER, _SMALLEST_FONT = 10.0, 18.0, 5.5  # points
_NAME_COLUMNS, _WRAPPED_COLUMNS, _LISTED_COLUMNS = 24, 36, 34
_MOST_LINES = 3  # of a name below a column
_EMPTY = 0.93  # gray of the row of a class without samples
_DARK = 0.55  # luminance below which numbers are white
_BAR_GAP, _BAR_WIDTH = 0.3, 0.18  # inches
_LIST_HEIGHT, _LIST_TOP, _LIST_PITCH, _COUNT_WIDTH = 5.4, 0.36, 0.47, 0.58  # inches


@dataclass(frozen=True)
class Confusion:
    """A true class, and a class that was predicted for some of its samples."""

    true: int
    predicted: int
    count: int


def most_frequent_confusions(matrix: NDArray[np.int64], most: int = _MOST_LISTED) -> list[Confusion]:
    """The most frequent confusions in a matrix (K, K) with true classes in rows, in falling order of their counts."""
    errors = matrix * (1 - np.eye(len(matrix), dtype=np.int64))
    order = np.argsort(-errors, axis=None, kind="stable")[:most]
    cells = [divmod(int(i), len(matrix)) for i in order]
    return [Confusion(*cell, int(errors[cell])) for cell in cells if errors[cell]]


@dataclass(frozen=True)
class _Layout:
    """Sizes in inches, and font sizes in points."""

    classes: int

    @property
    def has_numbers(self) -> bool:
        return self.classes <= _MOST_NUMBERED

    @property
    def cell(self) -> float:
        if not self.has_numbers:
            return _LARGEST_SIDE / self.classes
        return min(max(_SIDE / self.classes, _CELL), _LARGEST_CELL)

    @property
    def side(self) -> float:
        return self.cell * self.classes

    @property
    def font(self) -> float:
        return max(min(_LARGEST_FONT, 0.8 * self.cell * POINTS), _SMALLEST_FONT)

    @property
    def name_step(self) -> int:
        """Every how many classes there is room for a name."""
        return int(np.ceil(1.1 * self.font / (self.cell * POINTS)))

    def number_font(self, digits: int) -> float:
        """The size of numbers that fit into a cell."""
        cell = self.cell * POINTS
        return min(_LARGEST_NUMBER, 0.42 * cell, 0.86 * cell / (_DIGIT * digits))


def draw_confusion(matrix: NDArray[np.int64], classes: Sequence[str]) -> bytes:
    """Confusion matrix (K, K) with true classes in rows; numbers are counts, or from 40 classes on in a list.

    Colors show the share of the true class, in blue what is correct, in orange what is confused. The oranges have a
    scale of their own, so that the errors of a classifier that makes few are visible.
    """
    layout = _Layout(len(classes))
    sheet = Sheet(layout.side, layout.side)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    scales = _scales(shares)
    is_correct = np.eye(len(classes), dtype=bool)
    colors = np.where(is_correct[..., None], _colors(scales[0], shares), _colors(scales[1], shares))
    colors[(shares == 0) & ~is_correct] = 1.0
    colors[matrix.sum(axis=1) == 0, :, :3] = _EMPTY
    axes = _draw_matrix(sheet, layout, colors, classes)
    if layout.has_numbers:
        _draw_numbers(axes, layout, matrix, colors)
    total, correct = int(matrix.sum()), int(np.trace(matrix))
    accuracy = f"accuracy {correct / total:.3f} ({correct:,} of {total:,})" if total else "no samples"
    sheet.text(0, -0.1, accuracy, va="bottom", fontsize=13)
    _draw_scales(sheet, layout, scales)
    if not layout.has_numbers:
        _draw_list(sheet, layout, matrix, classes)
    return sheet.png()


def _scales(shares: NDArray[np.float64]) -> tuple[tuple["Normalize", "Colormap"], tuple["Normalize", "Colormap"]]:
    """Normalization and colors of correct and of confused shares."""
    from matplotlib import colormaps
    from matplotlib.colors import LinearSegmentedColormap, Normalize, PowerNorm

    def part(name: str, start: float, stop: float) -> "Colormap":
        return LinearSegmentedColormap.from_list(name, colormaps[name](np.linspace(start, stop, 256)))

    most = (shares * (1 - np.eye(len(shares)))).max()
    # The square root keeps a single error visible next to a class that is always confused.
    return (Normalize(0, 1), part("Blues", 0.05, 0.9)), (PowerNorm(0.5, 0, most or 1.0), part("Oranges", 0.1, 0.75))


def _colors(scale: tuple["Normalize", "Colormap"], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """RGBA (K, K, 4) of shares."""
    normalize, colormap = scale
    return np.asarray(colormap(normalize(shares)))


def _draw_matrix(sheet: Sheet, layout: _Layout, colors: NDArray[np.float64], classes: Sequence[str]) -> "Axes":
    axes = sheet.axes(0, 0, layout.side, layout.side)
    axes.imshow(colors, aspect="auto")
    if layout.has_numbers:
        for draw in (axes.hlines, axes.vlines):
            draw(np.arange(0.5, layout.classes - 1), -0.5, layout.classes - 0.5, colors="#d8d8d8", linewidth=0.6)
    axes.set_xlabel("predicted class", fontsize=11, labelpad=8)
    axes.set_ylabel("true class", fontsize=11, labelpad=8)
    axes.tick_params(length=2)
    positions = range(0, layout.classes, layout.name_step)
    left, (below, style) = _names_of_rows(layout, classes), _names_of_columns(layout, classes)
    axes.set_yticks(positions, [left[i] for i in positions], fontsize=layout.font)
    axes.set_xticks(positions, [below[i] for i in positions], fontsize=layout.font, **style)
    return axes


def _names_of_rows(layout: _Layout, classes: Sequence[str]) -> list[str]:
    if layout.cell * POINTS < 3 * layout.font:  # no room for a second line
        return [plain(name) for name in distinct_names(classes, _NAME_COLUMNS)]
    return [_lines(wrapped(name, _NAME_COLUMNS, 2)) for name in distinct_names(classes, _WRAPPED_COLUMNS)]


def _names_of_columns(layout: _Layout, classes: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Names below the columns and their style: in lines if they fit without breaking a word, otherwise rotated."""
    width = int(0.92 * layout.cell * POINTS / (_LETTER * layout.font))
    lines = [words_in_lines(name, width) for name in distinct_names(classes, _WRAPPED_COLUMNS)]
    if all(len(rows) <= _MOST_LINES and max(map(columns, rows)) <= width for rows in lines):
        return [_lines(rows) for rows in lines], {}
    names = [plain(name) for name in distinct_names(classes, _NAME_COLUMNS)]
    if layout.cell * POINTS > 1.5 * layout.font:  # room for slanted names
        return names, {"rotation": 45, "rotation_mode": "anchor", "ha": "right", "va": "top"}
    return names, {"rotation": 90}


def _lines(rows: Sequence[str]) -> str:
    return "\n".join(map(plain, rows))


def _draw_numbers(axes: "Axes", layout: _Layout, matrix: NDArray[np.int64], colors: NDArray[np.float64]) -> None:
    style: dict[str, Any] = {
        "ha": "center",
        "va": "center_baseline",
        "fontsize": layout.number_font(len(str(matrix.max()))),
    }
    is_dark = colors[..., :3] @ LUMA < _DARK
    for (row, column), count in np.ndenumerate(matrix):
        if row == column or count:
            axes.text(column, row, f"{count}", color="white" if is_dark[row, column] else "black", **style)
        elif layout.classes <= _MOST_ZEROS:
            axes.text(column, row, "0", color="#a0a0a0", **style)


def _draw_scales(sheet: Sheet, layout: _Layout, scales: Sequence[tuple["Normalize", "Colormap"]]) -> None:
    """The color bars, one above the other: right of the matrix, or below the list."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    height = layout.side / 2 if layout.has_numbers else (layout.side - _LIST_HEIGHT) / 2
    left = layout.side + _BAR_GAP
    for (normalize, colormap), place, name in zip(scales, (2, 1), ("correct", "confused"), strict=True):
        top = layout.side - place * height
        sheet.text(left, top, name, fontsize=10)
        sheet.text(left, top + 0.18, "share of the true class", fontsize=8, color=GRAY)
        axes = sheet.axes(left, top + 0.42, _BAR_WIDTH, height - 0.42 - (place - 1) * 0.2)
        bar = sheet.figure.colorbar(ScalarMappable(normalize, colormap), cax=axes)
        bar.locator = MaxNLocator(4, steps=[1, 2, 5, 10])
        bar.formatter = FuncFormatter(lambda share, _: f"{100 * share:.3g} %")
        bar.update_ticks()
        bar.ax.tick_params(labelsize=9, length=2)


def _draw_list(sheet: Sheet, layout: _Layout, matrix: NDArray[np.int64], classes: Sequence[str]) -> None:
    """The most frequent confusions, in the upper half of the right side."""
    left, names = layout.side + _BAR_GAP, distinct_names(classes, _LISTED_COLUMNS)
    confusions, support = most_frequent_confusions(matrix), matrix.sum(axis=1)
    sheet.text(left, 0, "most frequent confusions" if confusions else "no confusions", fontsize=12)
    for i, confusion in enumerate(confusions):
        right, y = left + _COUNT_WIDTH, _LIST_TOP + i * _LIST_PITCH
        sheet.text(right, y, f"{confusion.count:,}", ha="right", fontsize=10, fontweight="bold")
        sheet.text(right, y + 0.18, f"of {support[confusion.true]:,}", ha="right", fontsize=8, color=GRAY)
        pair = f"{plain(names[confusion.true])}\n→ {plain(names[confusion.predicted])}"
        sheet.text(right + 0.14, y, pair, fontsize=10, linespacing=1.15)
