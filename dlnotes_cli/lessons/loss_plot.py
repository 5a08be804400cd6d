"""The bars of `loss --plot`."""

from typing import TYPE_CHECKING

from dlnotes_cli.lessons.loss_results import LossResult, SampleLoss
from dlnotes_cli.plots.figure import COLORS, new_figure, png
from dlnotes_cli.plots.names import plain, shortened
from dlnotes_cli.shell.output import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_ROWS, _MOST_CLASSES = 6, 24
_MOST_NUMBERED = 8  # classes up to which each bar shows its number
_BAR = 0.4
_NAME_COLUMNS = 14
_DIGITS, _LARGE = 3, 1000
_BY_CLASS = {None, "cross-entropy", "nll"}


def draw(result: LossResult) -> bytes:
    """Scores, probabilities next to targets, and gradients, for the first rows of a result."""
    samples = result.samples[:_MOST_ROWS]
    panels = [name for name in ("values", "probabilities", "gradient") if getattr(samples[0], name) is not None]
    if result.config.probabilities is not None:
        panels.remove("values")
    figure = new_figure(3.6 * len(panels) + 0.6, 2.6 * len(samples) + 0.4)
    grid = figure.subplots(len(samples), len(panels), squeeze=False)
    for i, (axes_of_row, sample) in enumerate(zip(grid, samples, strict=True), 1):
        for axes, panel in zip(axes_of_row, panels, strict=True):
            _draw_panel(axes, panel, sample, result)
        if len(samples) > 1:
            axes_of_row[0].set_ylabel(f"row {i}")
    for axes in grid[-1]:
        axes.set_xlabel("class" if result.loss in _BY_CLASS or isinstance(samples[0].true, int) else "number")
    return png(figure)


def _draw_panel(axes: "Axes", panel: str, sample: SampleLoss, result: LossResult) -> None:
    blue, orange, green, *_ = COLORS
    names = result.classes[:_MOST_CLASSES]
    values = getattr(sample, panel)[: len(names)]
    probability = "sigmoid" if result.loss == "bce" else "softmax"
    if result.config.scores is None:
        probability = "probability"
    title = {"values": "scores", "probabilities": probability, "gradient": "gradient of the loss"}[panel]
    is_compared = panel == ("values" if sample.probabilities is None else "probabilities")  # with the targets
    is_index = isinstance(sample.true, int) and panel == "values"  # a class is no number to put next to scores
    if is_compared and sample.targets is not None and not is_index:
        _bars(axes, values, blue, -_BAR / 2, title)
        _bars(axes, sample.targets[: len(names)], orange, _BAR / 2, "target")
        axes.legend(frameon=False, fontsize=8, loc="upper center", ncols=2)
        axes.margins(y=0.35)
        if panel == "probabilities":
            axes.set_ylim(0, 1.3)
    else:
        _bars(axes, values, green if panel == "gradient" else blue, 0.0, title)
        axes.margins(y=0.2)
        if not any(values):
            axes.set_ylim(-1, 1)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xticks(range(len(names)), [plain(shortened(name, _NAME_COLUMNS)) for name in names], fontsize=8)
    if is_compared and sample.losses and result.loss:
        title += f": {result.loss}{'' if len(sample.losses) == 1 else ', sum'} {number(sum(sample.losses))}"
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)


def _bars(axes: "Axes", values: tuple[float, ...], color: str, shift: float, label: str) -> None:
    positions = [i + shift for i in range(len(values))]
    bars = axes.bar(positions, values, width=_BAR * (2 if not shift else 1) * 0.9, color=color, label=label)
    if len(values) <= _MOST_NUMBERED:
        texts = [f"{value + 0.0:.{_DIGITS if abs(value) < _LARGE else _DIGITS + 1}g}" for value in values]
        axes.bar_label(bars, texts, fontsize=7, padding=2)
