"""Plots of time series: history, forecast and interval of each series, and errors for each step of the horizon."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dlnotes_cli.plots.figure import BLUE, COLORS, GRAY, ORANGE, new_figure, png
from dlnotes_cli.plots.names import plain, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PANELS = 6  # series that are drawn
_TITLE_COLUMNS, _UNIT_COLUMNS = 80, 30
_MOST_MARKERS = 60  # forecast values that have a marker
_DASHES = ("-", "-", "-.", "--")  # of the baselines
_FIRST_COLOR = 2  # of the baselines; the first two are those of network and interval


@dataclass(frozen=True)
class ForecastLine:
    """A forecast: its positions in time, values, and the ends of its interval."""

    x: NDArray[Any]  # (H,)
    y: NDArray[np.float64]
    interval: NDArray[np.float64] | None = None  # (H, 2)


@dataclass(frozen=True)
class ForecastPanel:
    """One series: its known values, and forecasts of one or several models."""

    title: str
    x: NDArray[Any]  # (T,): numbers or datetime64
    y: NDArray[np.float64]
    lines: Mapping[str, Sequence[ForecastLine]] = field(default_factory=dict)  # by model, the network first
    interval_name: str = ""


def draw_forecasts(panels: Sequence[ForecastPanel], title: str, unit: str) -> bytes:
    """A panel for each series, one below the other: known values in gray, each model in its color."""
    figure, _ = _figure_of(panels, title, unit, below=0)
    figure.axes[0].legend(frameon=False, ncols=4, loc="upper left", bbox_to_anchor=(0.0, -0.12), fontsize=9)
    return png(figure)


def draw_errors_by_step(
    panels: Sequence[ForecastPanel], errors: Mapping[str, Sequence[float]], title: str, unit: str
) -> bytes:
    """The forecasts of a backtest, and below them the RMSE of each model for each step of the horizon."""
    figure, axes = _figure_of(panels, title, unit, below=1)
    for index, (name, values) in enumerate(errors.items()):
        marker = "." if len(values) <= _MOST_MARKERS else None
        axes.plot(np.arange(1, len(values) + 1), values, label=name, marker=marker, **_style(index))
    axes.set_xlabel("step of the horizon")
    axes.set_ylabel(f"RMSE ({plain(shortened(unit, _UNIT_COLUMNS))})")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, ncols=3, fontsize=9)
    return png(figure)


def _figure_of(panels: Sequence[ForecastPanel], title: str, unit: str, below: int) -> "tuple[Figure, Axes]":
    """A figure with the first panels, and its last axes, which are empty with `below`."""
    shown = panels[:MOST_PANELS]
    rows = len(shown) + below
    figure = new_figure(9.6, 1.4 + 2.8 * rows)
    more = f" (the first {len(shown)} of {len(panels)} series)" if len(panels) > len(shown) else ""
    figure.suptitle(plain(shortened(title, _TITLE_COLUMNS)) + more, fontsize=12)
    for index, panel in enumerate(shown):
        axes = figure.add_subplot(rows, 1, index + 1)
        _draw_panel(axes, panel)
        axes.set_ylabel(plain(shortened(unit, _UNIT_COLUMNS)))
        if panel.title:
            axes.set_title(plain(shortened(panel.title, _TITLE_COLUMNS)), fontsize=10, loc="left")
    return figure, figure.add_subplot(rows, 1, rows) if below else axes


def _draw_panel(axes: "Axes", panel: ForecastPanel) -> None:
    axes.plot(panel.x, panel.y, color=GRAY, linewidth=1, label="values", zorder=2.5)
    for index, (name, lines) in enumerate(panel.lines.items()):
        for number, line in enumerate(lines):
            label = name if not number else None
            marker = "." if len(line.x) <= _MOST_MARKERS else None
            axes.plot(line.x, line.y, label=label, marker=marker, zorder=3 - index, **_style(index))
            if line.interval is not None:
                interval = panel.interval_name if not number else None
                axes.fill_between(
                    line.x,
                    line.interval[:, 0],
                    line.interval[:, 1],
                    color=ORANGE,
                    alpha=0.35,
                    linewidth=0,
                    label=interval,
                )
    if np.issubdtype(np.asarray(panel.x).dtype, np.datetime64):
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

        locator = AutoDateLocator()  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.margins(x=0.01)  # so that the axis of time ends in the month of the last value, which it names
    axes.grid(alpha=0.3)


def _style(index: int) -> dict[str, Any]:
    """Color, width and dashes of a model's line, so that of two equal ones both are seen."""
    if not index:
        return {"color": BLUE, "linewidth": 1.8}
    color = COLORS[(_FIRST_COLOR + index - 1) % len(COLORS)]
    return {"color": color, "linewidth": 1.2, "linestyle": _DASHES[(index - 1) % len(_DASHES)]}
