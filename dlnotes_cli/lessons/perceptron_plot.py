"""The drawings of `perceptron`: points with the line of every epoch or step, and the errors over the epochs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dlnotes_cli.lessons.drawings import frame_lengths
from dlnotes_cli.lessons.perceptron import Epoch, LabeledPoints, Line, LineResult, PerceptronResult
from dlnotes_cli.plots.figure import COLORS, gif, new_figure, png
from dlnotes_cli.plots.names import plain, shortened
from dlnotes_cli.shell.errors import InputError
from dlnotes_cli.shell.output import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PLANE = 2  # coordinates that can be drawn
_MOST_LINES, _MOST_MARKERS = 40, 15
_FRAME_S, _SLOWEST_FRAME_S = 0.15, 1.0
_SHORTEST_S = 5.0  # of an animation, unless it has very few frames
_NAME_COLUMNS = 14
_MARGIN = 0.25  # of the range of the points
_BLUE, _ORANGE, *_ = COLORS


def draw(result: PerceptronResult | LineResult) -> bytes:
    """The lines of all epochs or steps, the later ones darker, and the curve of the errors."""
    return png(_figure(result, len(_lines(result))))


def animate(result: PerceptronResult | LineResult) -> bytes:
    """An animation that adds the epochs or steps one by one."""
    count = len(_lines(result))
    seconds = max(_FRAME_S, min(_SLOWEST_FRAME_S, _SHORTEST_S / count))
    return gif((_figure(result, shown) for shown in frame_lengths(count)), seconds)


def _lines(result: PerceptronResult | LineResult) -> Sequence[Line]:
    return result.steps if isinstance(result, LineResult) else result.epochs


def _figure(result: PerceptronResult | LineResult, count: int) -> "Figure":
    """The first `count` lines; that of the best of these epochs is emphasized where it is kept, else the last one."""
    lines, points = _lines(result)[:count], result.points
    epochs = [line for line in lines if isinstance(line, Epoch)]
    is_best = epochs and result.rule == "step"
    kept = min(epochs, key=lambda one: one.errors) if is_best else lines[-1]
    in_plane = points.x.shape[1] == _PLANE
    if not in_plane and isinstance(result, LineResult):
        raise InputError("--plot", f"a point of {points.x.shape[1]} coordinates has no plane", "give 2 coordinates")
    figure = new_figure(9.6 if in_plane else 5.2, 4.4)
    grid = figure.subplots(1, 2 if in_plane else 1, squeeze=False)[0]
    if in_plane:
        _draw_plane(grid[0], points, lines, kept)
    if isinstance(result, LineResult):
        _draw_scores(grid[-1], result, count)
    elif isinstance(kept, Epoch):
        _draw_errors(grid[-1], result, count, kept)
    grid[-1].grid(alpha=0.3)
    return figure


def _draw_plane(axes: "Axes", points: LabeledPoints, lines: Sequence[Line], kept: Line) -> None:
    low, high = points.x.min(axis=0), points.x.max(axis=0)
    margin = _MARGIN * np.maximum(high - low, 1e-9) if len(points.y) > 1 else np.full(_PLANE, 0.6) * (abs(high) + 1)
    (left, bottom), (right, top) = low - margin, high + margin
    x, y = np.meshgrid(np.linspace(left, right, 200), np.linspace(bottom, top, 200))
    w1, w2 = kept.weights
    levels = [-np.inf, 0, np.inf]
    axes.contourf(x, y, w1 * x + w2 * y + kept.bias, levels=levels, colors=[_ORANGE, _BLUE], alpha=0.12)
    shown = [line for line in lines[:: -(-len(lines) // _MOST_LINES)] if line is not kept]
    styles = [("#666666", 0.1 + 0.5 * (i / len(shown)) ** 2, 1) for i in range(len(shown))]
    for line, (color, strength, width) in zip([*shown, kept], [*styles, ("black", 1.0, 2)], strict=True):
        w = np.array(line.weights)
        if w.any():
            foot = -line.bias / (w @ w) * w  # the point of the line nearest to the origin
            along = np.array([-w[1], w[0]]) / np.linalg.norm(w) * (1 + np.linalg.norm(foot))
            axes.axline(foot, foot + along, color=color, alpha=strength, linewidth=width)
    for label, color, marker in ((0, _ORANGE, "o"), (1, _BLUE, "x")):
        chosen = points.x[points.y == label]
        name = plain(shortened(points.classes[label], _NAME_COLUMNS))
        axes.scatter(chosen[:, 0], chosen[:, 1], color=color, marker=marker, s=45, label=name, zorder=3)
    first, second = map(_axis_name, points.columns)
    axes.set(xlim=(left, right), ylim=(bottom, top), xlabel=first, ylabel=second)
    equation = f"{w1:.4g} {first} + {w2:.4g} {second} + {kept.bias:.4g} = 0".replace("+ -", "- ")
    axes.set_title(equation, fontsize=10)
    axes.legend(title="class", frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _axis_name(column: str) -> str:
    """The name of a column; of a table without names, x1 and x2."""
    return f"x{column}" if column in {"1", "2"} else plain(shortened(column, _NAME_COLUMNS))


def _draw_errors(axes: "Axes", result: PerceptronResult, count: int, kept: Epoch) -> None:
    """The errors or, of the sigmoid rule, the loss after each epoch; a star marks the best line, which is kept."""
    from matplotlib.ticker import MaxNLocator

    is_step = result.rule == "step"
    values = [epoch.errors if is_step else epoch.loss for epoch in result.epochs]
    axes.plot(range(count), values[:count], color=_BLUE, marker="o" if len(values) <= _MOST_MARKERS else None, ms=4)
    if is_step:
        star: Any = {"color": _ORANGE, "markeredgecolor": "black", "ms": 14, "zorder": 4, "clip_on": False}
        axes.plot(kept.epoch, values[kept.epoch], "*", **star)
    axes.set(xlabel="epoch", ylabel="wrong points" if is_step else "log-loss (nats)")
    axes.set(xlim=(-0.5, len(values) - 0.5), ylim=(0, max(values) * 1.08 or 1.0))
    for axis in (axes.xaxis, *([axes.yaxis] if is_step else [])):
        axis.set_major_locator(MaxNLocator(integer=True))
    best = "best line (star), after " if is_step else ""
    axes.set_title(f"{best}epoch {kept.epoch}: {kept.errors} of {len(result.points.y)} points wrong", fontsize=10)


def _draw_scores(axes: "Axes", result: LineResult, count: int) -> None:
    scores = [step.score for step in result.steps]
    axes.axhline(0, color="black", linewidth=0.8)
    axes.plot(range(count), scores[:count], "o-", color=_BLUE, ms=4)
    axes.margins(y=0.1)
    axes.set(xlim=(-0.5, len(scores) - 0.5), xlabel="update", ylabel="score of the point")
    side = "positive" if result.label else "negative"
    axes.set_title(f"score {number(scores[count - 1])}; it must become {side}", fontsize=10)
