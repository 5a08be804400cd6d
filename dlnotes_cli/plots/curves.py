"""Curves: a training history, early stopping, and accuracies on changed images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from dlnotes_cli.plots.figure import BLUE, COLORS, GRAY, ORANGE, RED, new_figure, png
from dlnotes_cli.plots.names import plain, shortened
from dlnotes_cli.plots.sheet import in_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_MARKERS = 15  # entries of a history whose points are marked
_TITLE_COLUMNS = 80
_WIDE = 10  # ratio of epochs from which their axis is logarithmic
_STOPPING_PANEL = 7.6, 3.4  # inches
_PATIENCE_ROW = 0.28  # inches, for each patience
_PANEL_COLUMNS = 50
_MOST_COLUMNS = 3  # of panels
_PANEL_WIDTH, _PANEL_HEIGHT = 4.4, 3.6  # inches
_MOST_TICKS = 8  # intervals of the axis of amounts, so that their labels stay apart
_MODEL_MARKERS = "osD^vPX*"
_NAME_COLUMNS, _ROBUSTNESS_COLUMNS = 28, 90
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


def draw_learning_curves(histories: Mapping[str, Sequence[dict[str, Any]]]) -> bytes:
    """A PNG of the validation loss and accuracy of several runs, by name, over the epochs."""
    from matplotlib.ticker import MaxNLocator

    lengths = [history[-1]["epoch"] for history in histories.values()]
    is_wide = max(lengths) > _WIDE * min(lengths) > 0  # as next to the many short epochs of a head on cached features
    figure = new_figure(9.6, 4.2)
    for column, (measure, axis) in enumerate(_MEASURES.items()):
        axes = figure.add_subplot(1, 2, column + 1)
        for k, (name, history) in enumerate(histories.items()):
            points = [(entry["epoch"], entry["validation"].get(measure)) for entry in history]
            values = [value if isinstance(value, int | float) else np.nan for _, value in points]
            axes.plot(
                [epoch for epoch, _ in points], values, color=COLORS[k % len(COLORS)], ms=4,
                marker=_MODEL_MARKERS[k % len(_MODEL_MARKERS)] if len(points) <= _MOST_MARKERS else None,
                label=plain(shortened(name, _NAME_COLUMNS)),
            )  # fmt: skip
        axes.set(xlabel="epoch", ylabel=f"validation {axis}", xscale="log" if is_wide else "linear")
        if not is_wide:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    figure.axes[0].legend(frameon=False, fontsize=9)
    return png(figure)


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
    figure = new_figure(_STOPPING_PANEL[0] * len(panels), _STOPPING_PANEL[1] + _PATIENCE_ROW * rows)
    grid = figure.subplots(
        2,
        len(panels),
        squeeze=False,
        sharex="col",
        gridspec_kw={"height_ratios": (_STOPPING_PANEL[1], _PATIENCE_ROW * (rows + 1))},
    )
    for i, panel in enumerate(panels):
        curve, lines = grid[0][i], grid[1][i]
        curve.plot(panel.positions, panel.values, color=BLUE, linewidth=1.5)
        curve.set_ylabel(f"validation {monitor}")
        curve.set_title(plain(shortened(panel.title, _PANEL_COLUMNS)), fontsize=11)
        curve.grid(alpha=0.3)
        for k, (stop, kept) in enumerate(panel.stops):
            color = COLORS[(k + 1) % len(COLORS)]
            end, start = panel.positions[-1 if stop is None else stop], panel.positions[kept]
            lines.plot([start, end], [k, k], color=color, linewidth=2)
            lines.plot([end], [k], ">" if stop is None else "|", color=color, ms=9, markeredgewidth=2)
            for axes, level in ((lines, k), (curve, panel.values[kept])):
                axes.plot([start], [level], "*", color=color, ms=10)
        lines.set_yticks(
            range(len(panel.stops)), [_stopping_label(panel, k) for k in range(len(panel.stops))], fontsize=9
        )
        lines.set(ylim=(len(panel.stops) - 0.4, -0.6), xlabel=panel.axis)
        lines.grid(alpha=0.3, axis="x")
    return png(figure)


def _stopping_label(panel: StoppingPanel, row: int) -> str:
    stop, kept = panel.stops[row]
    end = "never stops" if stop is None else f"stops at {panel.positions[stop]}"
    return f"patience {panel.patiences[row]}: keeps {panel.positions[kept]}, {end}"


class AccuracyCurve(NamedTuple):
    """The accuracies of one model."""

    name: str
    amounts: Sequence[float]
    accuracies: Sequence[float]


def draw_robustness(panels: Sequence[tuple[str, Sequence[AccuracyCurve]]], title: str) -> bytes:
    """A PNG with a panel for each change of the images, with the name of its axis, and a curve for each model."""
    from matplotlib.ticker import MaxNLocator

    columns = in_rows(len(panels), _MOST_COLUMNS)
    rows = -(-len(panels) // columns)
    figure = new_figure(_PANEL_WIDTH * columns + 0.4, _PANEL_HEIGHT * rows + 0.7)
    figure.suptitle(plain(shortened(f"accuracy on changed images: {title}", _ROBUSTNESS_COLUMNS)), fontsize=12)
    for i, (axis, curves) in enumerate(panels):
        axes = figure.add_subplot(rows, columns, i + 1)
        for k, curve in enumerate(curves):
            axes.plot(
                curve.amounts, curve.accuracies, color=COLORS[k % len(COLORS)],
                marker=_MODEL_MARKERS[k % len(_MODEL_MARKERS)], ms=4, label=plain(shortened(curve.name, _NAME_COLUMNS)),
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
