"""`conv-shape --draw`: a network as boxes with the shapes of their outputs, from the input down."""

import io
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

from dlnotes_cli.plots.figure import BLUE, DPI, FRAME, GRAY, ORANGE, new_figure, png
from dlnotes_cli.plots.names import plain, shortened
from dlnotes_cli.shapes.layer import INPUT, format_shape
from dlnotes_cli.shapes.report import NetworkReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROW, _BOX = 0.62, (2.8, 0.4)  # inches: from one rank to the next, and width and height of a box
_LANE, _EDGE = 0.3, 0.25  # inches: the space of a line, and around everything
_COLUMNS = 38  # of a text in a box
_MOST_PIXELS = 60_000  # of a side; matplotlib refuses more than 65,535
_WITH_WEIGHTS, _WITHOUT = "#DCEBF5", "#F4F4F4"


class Placed(NamedTuple):
    """Where a network is drawn: the rank of each box, from the top down, and its lane, from left to right.

    INPUT is the box of the input. Each line leads from a box to another one, between them in a lane of its own.
    """

    ranks: dict[int, int]
    lanes: dict[int, int]
    lines: list[tuple[int, int, int]]  # first box, second box, lane


def placed(reads: Sequence[Sequence[int]]) -> Placed:
    """Place layers, each of which reads the outputs of some earlier ones, so that no box or line covers another.

    The rank of a layer is its longest way from the input. A place, which is a rank and a lane, has one box or line.

    >>> placed([(-1,), (0,), (1, -1)]).lines  # the third layer also reads the input, past the first two
    [(-1, 0, 0), (0, 1, 0), (1, 2, 0), (-1, 2, 1)]
    """
    ranks, lanes, lines = {INPUT: 0}, {INPUT: 0}, []
    taken = {(0, 0)}

    def first_free(rows: range, wished: Iterator[int]) -> int:
        free: int = next(
            lane for lane in (*wished, *range(len(taken) + 1)) if not taken & {(row, lane) for row in rows}
        )
        taken.update((row, free) for row in rows)
        return free

    for layer, sources in enumerate(reads):
        rank = ranks[layer] = 1 + max((ranks[source] for source in sources), default=-1)
        lane = lanes[layer] = first_free(range(rank, rank + 1), (lanes[source] for source in sources))
        for source in sources:
            between = range(ranks[source] + 1, rank)
            lines.append((source, layer, first_free(between, iter((lane, lanes[source])))))
    return Placed(ranks, lanes, lines)


def draw(report: NetworkReport, kind: str) -> bytes:
    """The drawing as an `svg` or `png` file, the same bytes for the same network."""
    import matplotlib as mpl

    places = placed([one.inputs for one in report.traced])
    boxed = set(places.lanes.values())
    count = max(boxed | {lane for _, _, lane in places.lines}) + 1
    widths = [_BOX[0] + _LANE if lane in boxed else _LANE for lane in range(count)]
    centers = [right - width / 2 for right, width in zip(accumulate(widths), widths, strict=True)]
    width, height = sum(widths) + 2 * _EDGE, (max(places.ranks.values()) + 1) * _ROW + 2 * _EDGE
    figure = new_figure(width, height, layout=None)
    figure.set_dpi(min(DPI, _MOST_PIXELS / max(width, height)))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-_EDGE, width - _EDGE), ylim=(height - _ROW / 2 - _EDGE, -_ROW / 2 - _EDGE))
    axes.set_axis_off()
    _draw_lines(axes, places, centers)
    inputs = ", ".join(map(format_shape, (report.input, *(report.more_inputs or ()))))
    _draw_box(axes, (centers[0], 0), "input", inputs, ORANGE, "white")
    for position, layer in enumerate(report.layers):
        at = centers[places.lanes[position]], places.ranks[position] * _ROW
        numbers = format_shape(layer.output) or "one number"
        numbers += f", {layer.parameters:,} parameters" if layer.parameters else ""
        has_weights = layer.parameters > 0
        _draw_box(
            axes, at, layer.layer, numbers, BLUE if has_weights else FRAME, _WITH_WEIGHTS if has_weights else _WITHOUT
        )
    if kind == "png":
        return png(figure)
    stream = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "dlnotes"}):  # else, identifiers are random
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()


def _draw_lines(axes: "Axes", places: Placed, centers: Sequence[float]) -> None:
    """Lines from the bottom of a box to the top of another; each gap between two ranks is crossed straight."""
    half = _BOX[1] / 2
    for source, layer, lane in places.lines:
        first, last = places.ranks[source], places.ranks[layer]
        points = [(centers[places.lanes[source]], first * _ROW + half)]
        if last - first > 1:
            points += [(centers[lane], (first + 1) * _ROW - half), (centers[lane], (last - 1) * _ROW + half)]
        points.append((centers[places.lanes[layer]], last * _ROW - half))
        axes.plot(*zip(*points, strict=True), color=GRAY, linewidth=1, zorder=1)
        axes.plot(points[-1][0], points[-1][1] - 0.04, "v", color=GRAY, ms=5, zorder=2)


def _draw_box(axes: "Axes", at: tuple[float, float], name: str, numbers: str, edge: str, face: str) -> None:
    from matplotlib.patches import Rectangle

    (x, y), (width, height) = at, _BOX
    corner = x - width / 2, y - height / 2
    axes.add_patch(Rectangle(corner, width, height, facecolor=face, edgecolor=edge, linewidth=1, zorder=3))
    style: dict[str, Any] = {"ha": "center", "va": "center", "zorder": 4}
    axes.text(x, y - 0.09, plain(shortened(name, _COLUMNS, 0.8)), fontsize=8, weight="bold", **style)
    axes.text(x, y + 0.1, plain(shortened(numbers, _COLUMNS)), fontsize=7.5, color="#333333", **style)
