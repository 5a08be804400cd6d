"""The plots of time series."""

from typing import TYPE_CHECKING

import numpy as np
import pytest

from dlnotes_cli.plots.forecasts import MOST_PANELS, ForecastLine, ForecastPanel, draw_errors_by_step, draw_forecasts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

pytestmark = pytest.mark.usefixtures("blank_figures")


def panel(title: str = "") -> ForecastPanel:
    days = np.arange("2024-01-01", "2024-01-11", dtype="datetime64[D]")
    interval = np.stack([np.zeros(3), np.ones(3)], axis=1)
    network = ForecastLine(days[-3:], np.array([0.2, 0.4, 0.6]), interval)
    naive = ForecastLine(days[-3:], np.zeros(3))
    return ForecastPanel(title, days, np.linspace(0, 1, 10), {"network": [network], "drift": [naive]}, "80% interval")


def test_a_panel_has_the_values_each_model_and_the_interval(figures: "list[Figure]") -> None:
    draw_forecasts([panel("north"), panel("south")], "sales", "units")
    first, second = figures[0].axes
    assert [line.get_label() for line in first.get_lines()] == ["values", "network", "drift"]
    assert len(first.collections) == 1
    assert [axes.get_title(loc="left") for axes in (first, second)] == ["north", "south"]
    legend = first.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["values", "network", "80% interval", "drift"]


def test_many_series_are_reduced_to_the_first(figures: "list[Figure]") -> None:
    draw_forecasts([panel(f"${i}") for i in range(9)], "all", "units")
    assert len(figures[0].axes) == MOST_PANELS
    assert "the first 6 of 9 series" in figures[0].get_suptitle()


def test_errors_by_step_are_below_the_panels(figures: "list[Figure]") -> None:
    draw_errors_by_step([panel()], {"network": [1.0, 2.0], "drift": [3.0, 4.0]}, "backtest", "units")
    axes = figures[0].axes[-1]
    assert [list(map(float, np.asarray(line.get_ydata()))) for line in axes.get_lines()] == [[1, 2], [3, 4]]
    assert [list(map(float, np.asarray(line.get_xdata()))) for line in axes.get_lines()] == [[1, 2], [1, 2]]
