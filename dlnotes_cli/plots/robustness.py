"""The plot of accuracies against the amounts by which images are changed."""

from collections.abc import Sequence
from typing import NamedTuple

from dlnotes_cli.plots.figure import COLORS, GRAY, new_figure, png
from dlnotes_cli.plots.names import plain, shortened

_MOST_COLUMNS = 3  # of panels
_PANEL_WIDTH, _PANEL_HEIGHT = 4.4, 3.6  # inches
_MOST_TICKS = 8  # intervals of the axis of amounts, so that their labels stay apart
_MARKERS = "osD^vPX*"
_NAME_COLUMNS, _TITLE_COLUMNS = 28, 90


class AccuracyCurve(NamedTuple):
    """The accuracies of one model."""

    name: str
    amounts: Sequence[float]
    accuracies: Sequence[float]


def draw_robustness(panels: Sequence[tuple[str, Sequence[AccuracyCurve]]], title: str) -> bytes:
    """A PNG with a panel for each change of the images, with the name of its axis, and a curve for each model."""
    from matplotlib.ticker import MaxNLocator

    columns = min(len(panels), _MOST_COLUMNS)
    rows = -(-len(panels) // columns)
    figure = new_figure(_PANEL_WIDTH * columns + 0.4, _PANEL_HEIGHT * rows + 0.7)
    figure.suptitle(plain(shortened(f"accuracy on changed images: {title}", _TITLE_COLUMNS)), fontsize=12)
    for i, (axis, curves) in enumerate(panels):
        axes = figure.add_subplot(rows, columns, i + 1)
        for k, curve in enumerate(curves):
            axes.plot(
                curve.amounts, curve.accuracies, color=COLORS[k % len(COLORS)], marker=_MARKERS[k % len(_MARKERS)],
                ms=4, label=plain(shortened(curve.name, _NAME_COLUMNS)),
            )  # fmt: skip
        amounts = [amount for curve in curves for amount in curve.amounts]
        is_whole = all(float(amount).is_integer() for amount in amounts)
        axes.xaxis.set_major_locator(MaxNLocator(_MOST_TICKS, integer=is_whole, steps=[1, 2, 2.5, 5, 10]))
        axes.axhline(0, color=GRAY, linewidth=0.8)
        axes.set(xlabel=axis, ylim=(-0.02, 1.02))
        axes.set_ylabel("accuracy" if i % columns == 0 else "")
        axes.grid(alpha=0.3)
        if i == 0:
            axes.legend(frameon=False, loc="lower left", fontsize=9)
    return png(figure)
