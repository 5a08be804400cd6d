"""The drawings of `descend`: contours or a profile with the paths, and the value at each step."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from dlnotes_cli.lessons.descend import DescendResult, Run, evaluate
from dlnotes_cli.lessons.surfaces import Bounds, Surface
from dlnotes_cli.plots.figure import COLORS, gif, new_figure, png
from dlnotes_cli.plots.names import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CELLS = 201  # of the grid on which a surface is drawn, along each axis
_LEVELS = 24
_MOST_FRAMES = 60
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
    counts = sorted(set(np.linspace(1, longest, min(longest, _MOST_FRAMES)).round().astype(int).tolist()))
    return gif((_figure(result, count) for count in counts), _FRAME_S)


def _figure(result: DescendResult, count: int) -> "Figure":
    """The first `count` points of every path."""
    is_crowded = len({_label(run) for run in result.runs}) > _MOST_INSIDE
    figure = new_figure(13.0 if is_crowded else 11.0, 4.8)
    left, right = figure.subplots(1, 2, width_ratios=[1.15, 1])
    bounds = _bounds(result)
    if len(bounds) == 1:
        _draw_profile(left, result, bounds, count)
    else:
        _draw_contours(left, result, bounds, count)
    text = result.surface.formula.text
    for written, shown in _TYPESET.items():
        text = text.replace(written, shown)
    left.set_title(f"{plain(text)}\n{_marks(result)}", fontsize=10)
    _draw_values(right, result, bounds, count)
    return figure


def _bounds(result: DescendResult) -> Bounds:
    """The region of the surface, made larger for paths that go beyond it, within reason."""
    bounds = []
    for i, (low, high) in enumerate(result.surface.bounds):
        reached = [point[i] for run in result.runs for point in run.points]
        spare = (_WIDEST - 1) * (high - low)
        bounds.append((max(min(low, *reached), low - spare), min(max(high, *reached), high + spare)))
    return tuple(bounds)


def _colored(result: DescendResult) -> list[tuple[Run, str]]:
    """The runs, each with a color: that of its optimizer, or its own where there is a single optimizer."""
    choices = COLORS
    names = list(dict.fromkeys(_label(run) for run in result.runs))
    indices = [names.index(_label(run)) for run in result.runs] if len(names) > 1 else range(len(result.runs))
    return [(run, choices[i % len(choices)]) for run, i in zip(result.runs, indices, strict=True)]


def _heights(surface: Surface, points: NDArray[np.float64]) -> NDArray[np.float64]:
    with torch.no_grad():
        heights: NDArray[np.float64] = evaluate(surface.formula, torch.from_numpy(points)).numpy().copy()
    heights[~np.isfinite(heights)] = np.nan
    return heights


def _draw_contours(axes: "Axes", result: DescendResult, bounds: Bounds, count: int) -> None:
    from matplotlib.colors import BoundaryNorm

    x, y = np.meshgrid(*(np.linspace(low, high, _CELLS) for low, high in bounds))
    heights = _heights(result.surface, np.stack([x.ravel(), y.ravel()], axis=1)).reshape(x.shape)
    levels = np.unique(np.nanquantile(heights, np.linspace(0, 1, _LEVELS)))
    if len(levels) > 1:
        axes.contourf(x, y, heights, levels=levels, cmap="Greys_r", alpha=0.6, norm=BoundaryNorm(levels, 256))
        axes.contour(x, y, heights, levels=levels, colors="white", linewidths=0.5)
    for run, color in _colored(result):
        path = np.array(run.points[:count])
        axes.plot(path[:, 0], path[:, 1], "-", color=color, linewidth=1.8)
        axes.plot(path[0, 0], path[0, 1], "o", color=color, markeredgecolor="black", ms=6, zorder=4)
        axes.plot(path[-1, 0], path[-1, 1], "*", color=color, markeredgecolor="black", ms=11, zorder=5)
    for minimum in result.surface.minima:
        axes.plot(*minimum, "x", color="black", ms=7, mew=2, zorder=3)
    axes.set(xlim=bounds[0], ylim=bounds[1], xlabel="x", ylabel="y")


def _draw_profile(axes: "Axes", result: DescendResult, bounds: Bounds, count: int) -> None:
    x = np.linspace(*bounds[0], 4 * _CELLS)
    axes.plot(x, _heights(result.surface, x[:, None]), color="#666666", linewidth=1.5)
    for run, color in _colored(result):
        path, values = np.array(run.points[:count])[:, 0], np.array(run.heights[:count])
        axes.plot(path, values, ".-", color=color, linewidth=1, ms=3, alpha=0.6)
        axes.plot(path[0], values[0], "o", color=color, markeredgecolor="black", ms=7, zorder=4)
        axes.plot(path[-1], values[-1], "*", color=color, markeredgecolor="black", ms=12, zorder=5)
    axes.set(xlim=bounds[0], xlabel="x", ylabel="value")
    axes.grid(alpha=0.3)


def _draw_values(axes: "Axes", result: DescendResult, bounds: Bounds, count: int) -> None:
    labeled: set[str] = set()
    for run, color in _colored(result):
        label = _label(run)
        axes.plot(run.heights[:count], color=color, label=None if label in labeled else label, linewidth=1.5)
        labeled.add(label)
    everything = [
        value
        for run in result.runs
        for point, value in zip(run.points, run.heights, strict=True)
        if all(low <= x <= high for x, (low, high) in zip(point, bounds, strict=True))
    ]
    if min(everything) > 0 and max(everything) > _LARGE_RATIO * min(everything):
        axes.set_yscale("log")
        axes.set_ylim(max(min(everything), 1e-12 * max(everything)), 2 * max(everything))
    else:
        spare = 0.05 * (max(everything) - min(everything)) or 1.0
        axes.set_ylim(min(everything) - spare, max(everything) + spare)
    axes.set_xlim(0, max(len(run.points) for run in result.runs) - 1 or 1)
    axes.set(xlabel="step", ylabel="value")
    axes.grid(alpha=0.3)
    if len(labeled) > _MOST_INSIDE:
        axes.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    elif len(labeled) > 1:
        axes.legend(frameon=False, fontsize=9, loc="upper right")
    else:
        axes.set_title(_label(result.runs[0]), fontsize=11)


def _marks(result: DescendResult) -> str:
    """What the markers and the gray of the surface mean."""
    if len(result.surface.bounds) == 1:
        return "circle: start; star: end"
    return f"circle: start; star: end;{' cross: minimum;' if result.surface.minima else ''} dark: low"


def _label(run: Run) -> str:
    return f"{run.optimizer}, lr {run.lr:g}"
