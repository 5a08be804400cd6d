"""The drawings of `descend`: contours or a profile with the paths, and the value at each step."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from dlnotes_cli.lessons.descend import DescendResult, Run, evaluate
from dlnotes_cli.lessons.drawings import frame_lengths
from dlnotes_cli.lessons.surfaces import Bounds, Surface
from dlnotes_cli.plots.figure import COLORS, gif, new_figure, png
from dlnotes_cli.plots.names import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CELLS = 201  # of the grid on which a surface is drawn, along each axis
_LEVELS = 24
_MOST_INSIDE = 4  # names of a legend that leave room for the curves
_FRAME_S = 0.1
_TYPESET = {"**2": "²", "**3": "³", "**4": "⁴", "*": "·"}  # of formulas
_LARGE_RATIO = 50  # of values, from which their axis is logarithmic
_WIDEST = 1.5  # times the region: how much of a path that leaves it is drawn


def draw(result: DescendResult) -> bytes:
    """The whole paths."""
    return png(_figure(result, max(len(run.points) for run in result.runs)))


def animate(result: DescendResult) -> bytes:
    """An animation in which the paths grow."""
    longest = max(len(run.points) for run in result.runs)
    return gif((_figure(result, count) for count in frame_lengths(longest)), _FRAME_S)


def _figure(result: DescendResult, count: int) -> "Figure":
    """The first `count` points of every path."""
    labels = list(dict.fromkeys(map(_label, result.runs)))
    is_crowded, bounds = len(labels) > _MOST_INSIDE, _bounds(result)
    # The color of a run is that of its optimizer, or its own where there is a single optimizer.
    indices = [labels.index(_label(run)) for run in result.runs] if len(labels) > 1 else range(len(result.runs))
    colored = [(run, COLORS[i % len(COLORS)]) for run, i in zip(result.runs, indices, strict=True)]
    figure = new_figure(13.0 if is_crowded else 11.0, 4.8)
    left, right = figure.subplots(1, 2, width_ratios=[1.15, 1])
    if len(bounds) == 1:
        _draw_profile(left, result.surface, bounds)
    else:
        _draw_contours(left, result.surface, bounds)
    for run, color in colored:
        path = np.array(run.points[:count])
        x, y = path[:, 0], path[:, 1] if len(bounds) > 1 else np.array(run.heights[:count])
        style = {"linewidth": 1.8} if len(bounds) > 1 else {"linewidth": 1, "marker": ".", "ms": 3, "alpha": 0.6}
        left.plot(x, y, color=color, **style)
        left.plot(x[0], y[0], "o", color=color, markeredgecolor="black", ms=6, zorder=4)
        left.plot(x[-1], y[-1], "*", color=color, markeredgecolor="black", ms=11, zorder=5)
    text = result.surface.formula.text
    for written, shown in _TYPESET.items():
        text = text.replace(written, shown)
    meaning = f"{' cross: minimum;' if result.surface.minima else ''} dark: low" if len(bounds) > 1 else ""
    left.set_title(f"{plain(text)}\ncircle: start; star: end{';' if meaning else ''}{meaning}", fontsize=10)
    _draw_values(right, colored, bounds, count)
    if is_crowded:
        right.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    elif len(labels) > 1:
        right.legend(frameon=False, fontsize=9, loc="upper right")
    else:
        right.set_title(labels[0], fontsize=11)
    return figure


def _bounds(result: DescendResult) -> Bounds:
    """The region of the surface, made larger for paths that go beyond it, within reason."""
    bounds = []
    for i, (low, high) in enumerate(result.surface.bounds):
        reached = [point[i] for run in result.runs for point in run.points]
        spare = (_WIDEST - 1) * (high - low)
        bounds.append((max(min(low, *reached), low - spare), min(max(high, *reached), high + spare)))
    return tuple(bounds)


def _heights(surface: Surface, points: NDArray[np.float64]) -> NDArray[np.float64]:
    with torch.no_grad():
        heights: NDArray[np.float64] = evaluate(surface.formula, torch.from_numpy(points)).numpy().copy()
    heights[~np.isfinite(heights)] = np.nan
    return heights


def _draw_contours(axes: "Axes", surface: Surface, bounds: Bounds) -> None:
    from matplotlib.colors import BoundaryNorm

    x, y = np.meshgrid(*(np.linspace(low, high, _CELLS) for low, high in bounds))
    heights = _heights(surface, np.stack([x.ravel(), y.ravel()], axis=1)).reshape(x.shape)
    levels = np.unique(np.nanquantile(heights, np.linspace(0, 1, _LEVELS)))
    if len(levels) > 1:
        axes.contourf(x, y, heights, levels=levels, cmap="Greys_r", alpha=0.6, norm=BoundaryNorm(levels, 256))
        axes.contour(x, y, heights, levels=levels, colors="white", linewidths=0.5)
    for minimum in surface.minima:
        axes.plot(*minimum, "x", color="black", ms=7, mew=2, zorder=3)
    axes.set(xlim=bounds[0], ylim=bounds[1], xlabel="x", ylabel="y")


def _draw_profile(axes: "Axes", surface: Surface, bounds: Bounds) -> None:
    x = np.linspace(*bounds[0], 4 * _CELLS)
    axes.plot(x, _heights(surface, x[:, None]), color="#666666", linewidth=1.5)
    axes.set(xlim=bounds[0], xlabel="x", ylabel="value")
    axes.grid(alpha=0.3)


def _draw_values(axes: "Axes", colored: Sequence[tuple[Run, str]], bounds: Bounds, count: int) -> None:
    for i, (run, color) in enumerate(colored):
        label = None if any(_label(run) == _label(other) for other, _ in colored[:i]) else _label(run)
        axes.plot(run.heights[:count], color=color, label=label, linewidth=1.5)
    inside = [
        value
        for run, _ in colored
        for point, value in zip(run.points, run.heights, strict=True)
        if all(low <= x <= high for x, (low, high) in zip(point, bounds, strict=True))
    ]
    low, high = min(inside), max(inside)
    if low > 0 and high > _LARGE_RATIO * low:
        axes.set(yscale="log", ylim=(max(low, 1e-12 * high), 2 * high))
    else:
        spare = 0.05 * (high - low) or 1.0
        axes.set_ylim(low - spare, high + spare)
    axes.set(xlim=(0, max(len(run.points) for run, _ in colored) - 1 or 1), xlabel="step", ylabel="value")
    axes.grid(alpha=0.3)


def _label(run: Run) -> str:
    return f"{run.optimizer}, lr {run.lr:g}"
