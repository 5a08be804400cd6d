"""The drawings of `perceptron`: points with the line of every epoch or step, and the errors over the epochs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from dlnotes_cli.lessons.perceptron import LabeledPoints, Line, LineResult, PerceptronResult
from dlnotes_cli.plots.figure import COLORS, gif, new_figure, png
from dlnotes_cli.plots.names import plain, shortened
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.output import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PLANE = 2  # coordinates that can be drawn
_MOST_LINES, _MOST_FRAMES = 40, 60
_FRAME_S, _SLOWEST_FRAME_S = 0.15, 1.0
_SHORTEST_S = 5.0  # of an animation, unless it has very few frames
_NAME_COLUMNS = 14
_MARKERS = "ox"
_MARGIN = 0.25  # of the range of the points


def draw(result: PerceptronResult | LineResult) -> bytes:
    """The lines of all epochs or steps, the later ones darker, and the curve of the errors."""
    return png(_figure(result, result.lines))


def animate(result: PerceptronResult | LineResult) -> bytes:
    """An animation that adds the epochs or steps one by one."""
    count = len(result.lines)
    counts = sorted(set(np.linspace(1, count, min(count, _MOST_FRAMES)).round().astype(int).tolist()))
    figures = (_figure(result, result.lines[:shown]) for shown in counts)
    return gif(figures, max(_FRAME_S, min(_SLOWEST_FRAME_S, _SHORTEST_S / count)))


def _figure(result: PerceptronResult | LineResult, lines: Sequence[Line]) -> "Figure":
    if isinstance(result, LineResult):
        points = LabeledPoints(np.array([result.point]), np.array([result.label]), ("x1", "x2"), ("0", "1"))
    else:
        points = result.points
    in_plane = points.x.shape[1] == _PLANE
    if not in_plane and isinstance(result, LineResult):
        raise InputError("--plot", f"a point of {points.x.shape[1]} coordinates has no plane", "give 2 coordinates")
    figure = new_figure(9.6 if in_plane else 5.2, 4.4)
    grid = figure.subplots(1, 2 if in_plane else 1, squeeze=False)[0]
    if in_plane:
        _draw_plane(grid[0], points, lines)
    if isinstance(result, LineResult):
        _draw_scores(grid[-1], result, len(lines))
    else:
        _draw_errors(grid[-1], result, len(lines))
    return figure


def _draw_plane(axes: "Axes", points: LabeledPoints, lines: Sequence[Line]) -> None:
    blue, orange, *_ = COLORS
    low, high = points.x.min(axis=0), points.x.max(axis=0)
    margin = _MARGIN * np.maximum(high - low, 1e-9) if len(points.y) > 1 else np.full(_PLANE, 0.6) * (abs(high) + 1)
    (left, bottom), (right, top) = low - margin, high + margin
    corners = np.array([(left, bottom), (left, top), (right, bottom), (right, top)])
    last = lines[-1]
    x, y = np.meshgrid(np.linspace(left, right, 200), np.linspace(bottom, top, 200))
    scores = last.weights[0] * x + last.weights[1] * y + last.bias
    axes.contourf(x, y, scores, levels=[-np.inf, 0, np.inf], colors=[orange, blue], alpha=0.12)
    stride = -(-len(lines) // _MOST_LINES)
    shown = [*lines[:-1][::stride], last]
    for i, line in enumerate(shown):
        is_last = line is last
        strength = 1.0 if is_last else 0.1 + 0.5 * (i / len(shown)) ** 2
        segment = _segment(line, corners)
        if segment is not None:
            axes.plot(*segment, color="black" if is_last else "#666666", alpha=strength, linewidth=2 if is_last else 1)
    for label, color in ((0, orange), (1, blue)):
        chosen = points.x[points.y == label]
        name = plain(shortened(points.classes[label], _NAME_COLUMNS))
        axes.scatter(chosen[:, 0], chosen[:, 1], color=color, marker=_MARKERS[label], s=45, label=name, zorder=3)
    axes.set(xlim=(left, right), ylim=(bottom, top))
    axes.set_xlabel(_axis_name(points.columns[0]))
    axes.set_ylabel(_axis_name(points.columns[1]))
    w1, w2 = last.weights
    axes.set_title(f"{w1:.4g} x1 + {w2:.4g} x2 + {last.bias:.4g} = 0".replace("+ -", "- "), fontsize=10)
    axes.legend(title="class", frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _axis_name(column: str) -> str:
    """The name of a column; of a table without names, x1 and x2."""
    return f"x{column}" if column in {"1", "2"} else plain(shortened(column, _NAME_COLUMNS))


def _segment(
    line: Line, corners: "np.ndarray[tuple[int, int], np.dtype[np.float64]]"
) -> tuple[list[float], list[float]] | None:
    """Two points of a line far enough apart to cross the rectangle of these corners; None where it has no direction."""
    w = np.array(line.weights)
    length = float(w @ w)
    if not length:
        return None
    center = corners.mean(axis=0)
    foot = center - (w @ center + line.bias) / length * w  # the point of the line nearest to the center
    along = np.array([-w[1], w[0]]) / length**0.5 * 2 * np.ptp(corners, axis=0).sum()
    (x0, y0), (x1, y1) = foot - along, foot + along
    return [x0, x1], [y0, y1]


def _draw_errors(axes: "Axes", result: PerceptronResult, count: int) -> None:
    from matplotlib.ticker import MaxNLocator

    blue, *_ = COLORS
    shown = result.epochs[:count]
    loss = result.rule == "sigmoid"
    values = [epoch.loss if loss else epoch.errors for epoch in result.epochs]
    marker = "o" if len(values) <= 15 else None  # noqa: PLR2004  # few enough for markers
    axes.plot([epoch.epoch for epoch in shown], values[:count], color=blue, marker=marker, ms=4)
    axes.set_xlabel("epoch")
    axes.set_ylabel("log-loss (nats)" if loss else "wrong points")
    axes.set_xlim(-0.5, result.epochs[-1].epoch + 0.5)
    for axis in (axes.xaxis, *([] if loss else [axes.yaxis])):
        axis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(0, max(values) * 1.08 or 1.0)
    axes.set_title(f"epoch {shown[-1].epoch}: {shown[-1].errors} of {len(result.points.y)} points wrong", fontsize=10)
    axes.grid(alpha=0.3)


def _draw_scores(axes: "Axes", result: LineResult, count: int) -> None:
    blue, *_ = COLORS
    scores = [step.score for step in result.steps]
    axes.axhline(0, color="black", linewidth=0.8)
    axes.plot(range(count), scores[:count], "o-", color=blue, ms=4)
    axes.set_xlim(-0.5, len(scores) - 0.5)
    axes.margins(y=0.1)
    axes.set_xlabel("update")
    axes.set_ylabel("score of the point")
    side = "positive" if result.label else "negative"
    axes.set_title(f"score {number(scores[count - 1])}; it must become {side}", fontsize=10)
    axes.grid(alpha=0.3)
