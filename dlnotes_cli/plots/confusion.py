"""The plot of a confusion matrix."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.data.images.image_io import LUMA
from dlnotes_cli.plots.figure import GRAY, POINTS, new_figure, png
from dlnotes_cli.plots.names import columns, distinct_names, plain, shortened, words_in_lines, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_NUMBERED = 39  # classes up to which the cells show counts; for more, there is a list of confusions
_MOST_ZEROS = 12  # classes up to which zeros are shown
_MOST_LISTED = 10  # confusions
_CELL, _LARGEST_CELL = 0.3, 1.3  # inches of a cell with a number, at least and at most
_SIDE, _LARGEST_SIDE = 6.0, 9.5  # inches of the matrix, with numbers at least, and without numbers
_DIGIT, _LETTER = 0.64, 0.6  # width of a digit, and of a letter on average, as a fraction of the font size
_LARGEST_FONT, _LARGEST_NUMBER, _SMALLEST_FONT = 10.0, 18.0, 5.5  # points
_NAME_COLUMNS, _WRAPPED_COLUMNS, _LISTED_COLUMNS = 24, 36, 34
_MOST_LINES = 3  # of a name below a column
_EMPTY = 0.93  # gray of the row of a class without samples
_DARK = 0.55  # luminance below which numbers are white
_GAP, _SCALE_WIDTH, _SCALE_HEIGHT = 0.3, 0.5, 2.6  # inches next to the matrix, and of the scale of the colors
_SHARES = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0)  # on that scale
_LIST_TOP, _LIST_PITCH, _COUNT_WIDTH = 0.36, 0.47, 0.58  # inches


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


def draw_confusion(matrix: NDArray[np.int64], classes: Sequence[str], title: str = "") -> bytes:
    """Confusion matrix (K, K) with true classes in rows; numbers are counts, or from 40 classes on in a list.

    Colors show the share of the true class, in blue what is correct, in orange what is confused, both on one scale: of
    two cells the darker one has the larger share. `title` says which data and which split it is.
    """
    count = len(classes)
    has_numbers = count <= _MOST_NUMBERED
    cell = min(max(_SIDE / count, _CELL), _LARGEST_CELL) if has_numbers else _LARGEST_SIDE / count
    side = cell * count
    figure = new_figure(side, side, layout=None)  # names, scale and list are outside, and `png` extends it to them
    axes = figure.add_axes((0, 0, 1, 1))
    colors = _colors(matrix)
    axes.imshow(colors, aspect="auto")
    axes.set_xlabel("predicted class", fontsize=11, labelpad=8)
    axes.set_ylabel("true class", fontsize=11, labelpad=8)
    axes.tick_params(length=2)
    _name_classes(axes, classes, cell * POINTS)
    if has_numbers:
        for draw in (axes.hlines, axes.vlines):
            draw(np.arange(0.5, count - 1), -0.5, count - 0.5, colors="#d8d8d8", linewidth=0.6)
        _draw_numbers(axes, matrix, colors, cell * POINTS)
    else:
        _draw_list(figure, side, matrix, classes)
    total, correct = int(matrix.sum()), int(np.trace(matrix))
    accuracy = f"accuracy {correct / total:.3f} ({correct:,} of {total:,})" if total else "no samples"
    lines = [plain(shortened(title, max(int(9 * side), 30))), accuracy] if title else [accuracy]
    axes.set_title("\n".join(lines), loc="left", fontsize=12)
    _draw_scale(figure, side)
    return png(figure, margin=0.12)


def _shaded(name: str, shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shares in colors RGBA; their square root keeps a single error visible next to a class that is always confused."""
    from matplotlib import colormaps

    return np.asarray(colormaps[name](0.05 + 0.85 * np.sqrt(shares)))


def _colors(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    """The colors RGBA (K, K, 4) of a matrix."""
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    is_correct = np.eye(len(matrix), dtype=bool)
    colors = np.where(is_correct[..., None], _shaded("Blues", shares), _shaded("Oranges", shares))
    colors[(shares == 0) & ~is_correct] = 1.0
    colors[matrix.sum(axis=1) == 0, :, :3] = _EMPTY
    return colors


def _name_classes(axes: "Axes", classes: Sequence[str], cell: float) -> None:
    """Names next to the rows and below the columns, in cells of so many points; where many, every second or third."""
    font = max(min(_LARGEST_FONT, 0.8 * cell), _SMALLEST_FONT)
    shown = range(0, len(classes), int(np.ceil(1.1 * font / cell)))
    short = [plain(name) for name in distinct_names(classes, _NAME_COLUMNS)]
    long = distinct_names(classes, _WRAPPED_COLUMNS)
    has_lines = cell >= 3 * font
    left = [_lines(wrapped(name, _NAME_COLUMNS, 2)) for name in long] if has_lines else short
    axes.set_yticks(shown, [left[i] for i in shown], fontsize=font)
    width = int(0.92 * cell / (_LETTER * font))
    rows = [words_in_lines(name, width) for name in long]
    below, style = short, dict[str, Any](rotation=90)
    if all(len(lines) <= _MOST_LINES and max(map(columns, lines)) <= width for lines in rows):
        below, style = [_lines(lines) for lines in rows], {}
    elif cell > 1.5 * font:  # room for slanted names
        style = {"rotation": 45, "rotation_mode": "anchor", "ha": "right", "va": "top"}
    axes.set_xticks(shown, [below[i] for i in shown], fontsize=font, **style)


def _lines(rows: Sequence[str]) -> str:
    return "\n".join(map(plain, rows))


def _draw_numbers(axes: "Axes", matrix: NDArray[np.int64], colors: NDArray[np.float64], cell: float) -> None:
    size = min(_LARGEST_NUMBER, 0.42 * cell, 0.86 * cell / (_DIGIT * len(str(matrix.max()))))
    style: dict[str, Any] = {"ha": "center", "va": "center_baseline", "fontsize": size}
    is_dark = colors[..., :3] @ LUMA < _DARK
    for (row, column), count in np.ndenumerate(matrix):
        if row == column or count:
            axes.text(column, row, f"{count}", color="white" if is_dark[row, column] else "black", **style)
        elif len(matrix) <= _MOST_ZEROS:
            axes.text(column, row, "0", color="#a0a0a0", **style)


def _draw_scale(figure: "Figure", side: float) -> None:
    """The colors of correct and of confused shares next to each other, right of the lower end of the matrix."""
    height = min(_SCALE_HEIGHT, side)
    axes = figure.add_axes((1 + _GAP / side, 0, _SCALE_WIDTH / side, height / side))
    shares = np.linspace(1, 0, 256)[:, None] ** 2
    axes.imshow(
        np.concatenate([_shaded("Blues", shares), _shaded("Oranges", shares)], 1), aspect="auto", extent=(0, 2, 0, 1)
    )
    ticks = [share for share in _SHARES if side > 2 or share in {0, 0.1, 0.5, 1}]  # noqa: PLR2004  # inches
    axes.set_yticks(np.sqrt(ticks), [f"{share:.0%}" for share in ticks], fontsize=8)
    axes.yaxis.tick_right()
    axes.set_ylabel("share of the true class", fontsize=8, color=GRAY)
    axes.set_xticks([0.5, 1.5], ["correct", "confused"], fontsize=8, rotation=45, ha="right", rotation_mode="anchor")
    axes.tick_params(length=2)


def _draw_list(figure: "Figure", side: float, matrix: NDArray[np.int64], classes: Sequence[str]) -> None:
    """The most frequent confusions, right of the upper end of the matrix."""
    names, support = distinct_names(classes, _LISTED_COLUMNS), matrix.sum(axis=1)

    def write(x: float, y: float, text: str, **style: Any) -> None:
        figure.text(1 + (_GAP + x) / side, 1 - y / side, text, va="top", **style)

    confusions = most_frequent_confusions(matrix)
    write(0, 0, "most frequent confusions" if confusions else "no confusions", fontsize=12)
    for i, confusion in enumerate(confusions):
        y = _LIST_TOP + i * _LIST_PITCH
        write(_COUNT_WIDTH, y, f"{confusion.count:,}", ha="right", fontsize=10, fontweight="bold")
        write(_COUNT_WIDTH, y + 0.18, f"of {support[confusion.true]:,}", ha="right", fontsize=8, color=GRAY)
        pair = f"{plain(names[confusion.true])}\n→ {plain(names[confusion.predicted])}"
        write(_COUNT_WIDTH + 0.14, y, pair, fontsize=10, linespacing=1.15)
