"""The contact sheet of `explain`: image, heat map and both together for every class, and the test of each map."""

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.plots.figure import png
from dlnotes_cli.plots.names import plain
from dlnotes_cli.shell import output

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HEAT, _UNSEEN = "inferno", "#dddddd"  # colors of a heat map, and of what the network does not see
_DELETION, _INSERTION = "#D55E00", "#0072B2"  # vermilion and blue of Okabe and Ito, distinct for any color vision
_DPI = 120
_SMALL = 0.0005  # probability below which its power of ten is shown
_TITLE_COLUMNS = 28  # characters above a small plot


@dataclass(frozen=True)
class CheckCurve:
    """A curve of a tested map, with the area below it, and the mean curve of random maps."""

    name: str
    area: float
    values: Sequence[float]
    random: NDArray[np.floating[Any]]


@dataclass(frozen=True)
class CheckPanels:
    """The test of a map: the map of re-initialized weights (H, W) in 0..1, its rank correlation, and the curves."""

    randomized: NDArray[np.float32]  # nan where the network sees nothing
    rank_correlation: float
    curves: Sequence[CheckCurve]


@dataclass(frozen=True)
class ExplanationPanels:
    """The map of a class on an image: heat (H, W) in 0..1, nan where the network sees nothing, and the overlay."""

    class_name: str
    probability: float
    heat: NDArray[np.float32]
    overlay: NDArray[np.uint8]
    box: tuple[float, ...] | None  # x0, y0, x1, y1 in pixels
    check: CheckPanels | None = None

    @property
    def columns(self) -> int:
        """Number of plots."""
        return 2 if self.check is None else 4


@dataclass(frozen=True)
class ExplanationRow:
    """An image uint8 (H, W, 3) and the maps of its classes."""

    name: str
    image: NDArray[np.uint8]
    panels: Sequence[ExplanationPanels]


@cache
def heat_colors() -> NDArray[np.uint8]:
    """The colors (256, 3) of a heat map, from black to yellow with rising lightness, which any color vision reads."""
    from matplotlib import colormaps

    return np.asarray(np.rint(colormaps[_HEAT](np.arange(256))[:, :3] * 255), np.uint8)


def draw_explanations(rows: Sequence[ExplanationRow], method: str) -> bytes:
    """A contact sheet with a row for each image: the image, and heat map, overlay and tests for each class.

    `method` says below it what the heat is.
    """
    from matplotlib.figure import Figure

    columns = 1 + max(sum(panel.columns for panel in row.panels) for row in rows)
    heights = [2.2 * min(max(row.image.shape[0] / row.image.shape[1], 0.5), 2.0) + 0.5 for row in rows]
    figure = Figure(figsize=(2.4 * columns, sum(heights) + 0.5), dpi=_DPI, layout="constrained")
    grid = figure.subplots(len(rows), columns, squeeze=False, height_ratios=heights)
    for cells, row in zip(grid, rows, strict=True):
        for axes in cells:
            axes.set_axis_off()
        cells[0].imshow(row.image)
        cells[0].set_title(_fitted(row.name), fontsize=9)
        rest = list(cells[1:])
        for panel in row.panels:
            _show_explanation(rest[: panel.columns], panel)
            rest = rest[panel.columns :]
    _add_heat_scale(figure, grid)
    figure.supxlabel(f"heat: {plain(method)}; dashed: box around its highest 20 %", fontsize=8)
    return png(figure)


def _show_explanation(cells: "Sequence[Axes]", panel: ExplanationPanels) -> None:
    _show_heat(cells[0], panel.heat)
    cells[0].set_title(_fitted(panel.class_name), fontsize=9)
    cells[1].imshow(panel.overlay)
    digits = ".3f" if panel.probability >= _SMALL else ".1e"
    cells[1].set_title(f"probability {panel.probability:{digits}}", fontsize=9)
    if panel.box is not None:
        x0, y0, x1, y1 = (edge - 0.5 for edge in panel.box)
        for color, style in (("black", "-"), ("white", "--")):
            cells[1].plot([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], style, color=color, linewidth=1, clip_on=False)
    if panel.check is not None:
        _show_heat(cells[2], panel.check.randomized)
        rank = panel.check.rank_correlation
        found = f"rank correlation {rank:.2f}" if math.isfinite(rank) else "no map"
        cells[2].set_title(f"re-initialized weights\n{found}", fontsize=9)
        _show_curves(cells[3], panel.check.curves)


def _show_heat(axes: "Axes", heat: NDArray[np.float32]) -> None:
    from matplotlib import colormaps

    axes.imshow(heat, cmap=colormaps[_HEAT].with_extremes(bad=_UNSEEN), vmin=0, vmax=1, interpolation="nearest")


def _show_curves(axes: "Axes", curves: Sequence[CheckCurve]) -> None:
    """The probability of a class over the share of its pixels, solid; that of random maps is dotted."""
    axes.set_axis_on()
    for i, (curve, color) in enumerate(zip(curves, (_DELETION, _INSERTION), strict=True)):
        shares = np.linspace(0, 1, len(curve.values))
        axes.plot(shares, curve.values, color=color)
        axes.plot(shares, curve.random, color=color, linestyle=":")
        text = f"{curve.name} {curve.area:.2f} (random {np.trapezoid(curve.random, shares):.2f})"
        axes.text(0.5, 1.12 - 0.1 * i, text, color=color, fontsize=8, ha="center", transform=axes.transAxes)
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("share of the pixels", fontsize=7)
    axes.set_ylabel("probability", fontsize=7)
    axes.tick_params(labelsize=7)


def _add_heat_scale(figure: "Figure", grid: NDArray[Any]) -> None:
    from matplotlib.cm import ScalarMappable

    bar = figure.colorbar(ScalarMappable(cmap=_HEAT), ax=grid, fraction=0.02, pad=0.01, aspect=25, ticks=[0, 1])
    bar.ax.set_yticklabels(["none", "most"], fontsize=8)


def _fitted(name: str) -> str:
    """A name on at most two lines of a small plot; the end of a longer one is kept, as it tells files apart."""
    shown = output.printable(name)
    width = sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in shown) / max(len(shown), 1)
    line = int(_TITLE_COLUMNS / max(width, 1))
    if len(shown) > 2 * line:
        shown = f"{shown[: line - 1]}…{shown[-line:]}"
    return "\n".join(plain(shown[start : start + line]) for start in range(0, max(len(shown), 1), line))
