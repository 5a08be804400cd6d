"""The plot of early stopping: the validations of a run, and where each patience stops and what it keeps."""

from collections.abc import Sequence
from dataclasses import dataclass

from dlnotes_cli.plots.figure import BLUE, COLORS, new_figure, png
from dlnotes_cli.plots.names import plain, shortened

_PANEL = 7.6, 3.4  # inches
_ROW = 0.28  # inches, for each patience
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
    """A PNG with a panel for each run: its curve, and below it a line from what a patience keeps to where it stops."""
    rows = max(len(panel.patiences) for panel in panels)
    figure = new_figure(_PANEL[0] * len(panels), _PANEL[1] + _ROW * rows)
    grid = figure.subplots(
        2, len(panels), squeeze=False, sharex="col", gridspec_kw={"height_ratios": (_PANEL[1], _ROW * (rows + 1))}
    )
    for i, panel in enumerate(panels):
        curve, lines = grid[0][i], grid[1][i]
        curve.plot(panel.positions, panel.values, color=BLUE, linewidth=1.5)
        curve.set_ylabel(f"validation {monitor}")
        curve.set_title(plain(shortened(panel.title, _TITLE_COLUMNS)), fontsize=11)
        curve.grid(alpha=0.3)
        for k, (stop, kept) in enumerate(panel.stops):
            color = COLORS[(k + 1) % len(COLORS)]
            end, start = panel.positions[-1 if stop is None else stop], panel.positions[kept]
            lines.plot([start, end], [k, k], color=color, linewidth=2)
            lines.plot([end], [k], ">" if stop is None else "|", color=color, ms=9, markeredgewidth=2)
            for axes, level in ((lines, k), (curve, panel.values[kept])):
                axes.plot([start], [level], "*", color=color, ms=10)
        lines.set_yticks(range(len(panel.stops)), [_label(panel, k) for k in range(len(panel.stops))], fontsize=9)
        lines.set(ylim=(len(panel.stops) - 0.4, -0.6), xlabel=panel.axis)
        lines.grid(alpha=0.3, axis="x")
    return png(figure)


def _label(panel: StoppingPanel, row: int) -> str:
    stop, kept = panel.stops[row]
    end = "never stops" if stop is None else f"stops at {panel.positions[stop]}"
    return f"patience {panel.patiences[row]}: keeps {panel.positions[kept]}, {end}"
