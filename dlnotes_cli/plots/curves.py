"""The plot of a training history."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dlnotes_cli.plots.figure import BLUE, COLORS, GRAY, ORANGE, RED, new_figure, png
from dlnotes_cli.plots.names import plain, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_MARKERS = 15  # entries of a history whose points are marked
_TITLE_COLUMNS = 80
_MEASURES = {"loss": "cross-entropy (nats)", "accuracy": "accuracy"}


def draw_curves(
    history: Sequence[dict[str, Any]], best: int | None, title: str, over: str = "epoch",
    measures: Mapping[str, str] = _MEASURES, model: str = "", others: Mapping[str, Mapping[str, float]] | None = None,
) -> bytes:  # fmt: skip
    """Training and validation curves of two measures over the field `over` of the history.

    `best` is the index of the chosen entry; `measures` are the names of the fields and of their axes; one that training
    does not have is drawn for validation only. `model` stands in front of the names of the splits, and `others` are the
    validation measures of other models, which are drawn as lines. Weight decay is drawn on a logarithmic axis,
    decreasing to the right.
    """
    figure = new_figure(9.6, 4.2)
    figure.suptitle(plain(shortened(title, _TITLE_COLUMNS)), fontsize=12)
    for column, (measure, name) in enumerate(measures.items()):
        axes = figure.add_subplot(1, 2, column + 1)
        _draw_splits(axes, history, measure, over, f"{model} " if model else "")
        for label, values in (others or {}).items():
            axes.axhline(values[measure], color=COLORS[2], linestyle="-.", label=f"{label} validation")
        if best is not None and history[best]["validation"][measure] is not None:
            _mark_best(axes, history[best], measure, over)
        axes.set_xlabel(over.replace("_", " "))
        axes.set_ylabel(name)
        _scale_history_axis(axes, history, over)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    if len(history) == 1:
        figure.supxlabel(_only_one(over), fontsize=10, color=GRAY)
    return png(figure)


def _only_one(over: str) -> str:
    if over in {"epoch", "step"}:
        return "only one validation: more epochs give curves"
    return f"only one {over.replace('_', ' ')}"


def _draw_splits(axes: "Axes", history: Sequence[dict[str, Any]], measure: str, over: str, prefix: str) -> None:
    positions = [entry[over] for entry in history]
    marker, size = ("o" if len(positions) <= _MOST_MARKERS else None), 7 if len(positions) == 1 else 3
    for split, color, style in (("train", ORANGE, "--"), ("validation", BLUE, "-")):
        values = [np.nan if entry[split].get(measure) is None else entry[split][measure] for entry in history]
        if np.isnan(values).all():
            continue
        label = f"{prefix}{split}" if len(values) > 1 else f"{prefix}{split} {values[0]:.4g}"
        axes.plot(positions, values, style, color=color, label=label, marker=marker, ms=size)


def _mark_best(axes: "Axes", entry: dict[str, Any], measure: str, over: str) -> None:
    position, title = entry[over], over.replace("_", " ")
    axes.axvline(position, color=GRAY, linewidth=1, linestyle=":")
    label = f"chosen: {title} {position:g}"
    axes.plot([position], [entry["validation"][measure]], "*", color=RED, ms=11, label=label, zorder=5)


def _scale_history_axis(axes: "Axes", history: Sequence[dict[str, Any]], over: str) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

    if over not in {"epoch", "step"}:
        if len(history) > 1:  # a single value, which may be 0, has no logarithmic scale
            low, *_, high = sorted(entry[over] for entry in history)
            axes.set_xscale("log")
            axes.invert_xaxis()
            if high < 100 * low:  # which may contain one power of ten, or none
                axes.set_xticks([low, high])
            axes.xaxis.set_minor_locator(NullLocator())  # ticks between powers of ten take half of the drawing time
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        return
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(history) == 1:  # the locator has no ticks for a single position
        axes.set_xticks([history[0][over]])
