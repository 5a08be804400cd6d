"""The plot of early stopping: the validations of a run, and where each patience stops and what it keeps."""

from collections.abc import Sequence
from dataclasses import dataclass

from dlnotes_cli.plots.figure import BLUE, COLORS, GRAY, new_figure, png
from dlnotes_cli.plots.names import plain, shortened

_PANEL = 6.4, 4.2  # inches
_TITLE_COLUMNS = 50


@dataclass(frozen=True)
class StoppingPanel:
    """The validations of a run, and for each patience the positions where it stops (None: never) and what it keeps."""

    title: str
    positions: Sequence[int]
    values: Sequence[float]
    axis: str  # "epoch" or "validation"
    patiences: Sequence[int]
    stops: Sequence[tuple[int | None, int]]


def draw_early_stopping(panels: Sequence[StoppingPanel], monitor: str) -> bytes:
    """A PNG with a panel for each run: the curve, and below it a line from what a patience keeps to where it stops."""
    figure = new_figure(_PANEL[0] * len(panels), _PANEL[1])
    for i, panel in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), i + 1)
        axes.plot(panel.positions, panel.values, color=BLUE, linewidth=1.5)
        finite = [value for value in panel.values if value == value]  # noqa: PLR0124  # nan is not
        low, high = min(finite), max(finite)
        step = (high - low or 1.0) * 0.09
        for k, (patience, (stop, kept)) in enumerate(zip(panel.patiences, panel.stops, strict=True)):
            color, level = COLORS[(k + 1) % len(COLORS)], low - step * (k + 1)
            end = panel.positions[-1] if stop is None else panel.positions[stop]
            start = panel.positions[kept]
            axes.plot([start, end], [level, level], color=color, linewidth=1.5)
            axes.plot([start], [level], "*", color=color, ms=10)
            label = f"patience {patience}: " + (f"keeps {start}, never stops" if stop is None else f"{end} / {start}")
            axes.plot([end], [level], ">" if stop is None else "|", color=color, ms=9, label=label, markeredgewidth=2)
            axes.plot([start], [panel.values[kept]], "*", color=color, ms=9)
        axes.set(xlabel=panel.axis, ylabel=f"validation {monitor}")
        axes.set_title(plain(shortened(panel.title, _TITLE_COLUMNS)), fontsize=11)
        axes.grid(alpha=0.3)
        axes.axhline(low, color=GRAY, linewidth=0.6, linestyle=":")
        axes.legend(frameon=False, fontsize=8, title=f"stopped / kept {panel.axis}", title_fontsize=8)
    return png(figure)
